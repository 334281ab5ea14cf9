"""Keys, by the command line: made, asked for, enrolled, rotated, revoked; and who signs what with which.

| key | signs for |
| --- | --- |
| in the folder's `keys` | the person of its comment |
| elsewhere, by its path | the same; or who is named by `--signer` |
| with a passphrase | whoever types it, has it in a file of their own, or added the key to ssh-agent |
| that is not enrolled, not the person's, or ended | nobody |
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.log.keyring import Keyring, own, public_half, read_request
from cli.options import Where
from cli.requests import filled
from domain.member.commands import SeatRepresentative
from eventstore.sqlite import SqliteLog
from eventstore.statement import Statement, possession, read
from signatures import keys, sshsig
from signatures.signers import CannotSign, key_in
from signatures.sshsig import Purpose
from tests.keyrings import ATLAS, keys_in
from tests.test_cli import CHARTER, Answer, Site, Terminal, bare, consortium
from tests.test_doctor import written
from tests.test_rehearsal import Run

__all__ = ["bare"]

pytestmark = pytest.mark.heavy

OFFICERS = "".join(
    f'[[officers]]\nperson = "{person}"\noffices = ["{office}"]\n'
    for person, office in {"sam": "secretariat", "tess": "treasurer", "theo": "second-signatory", "bea": "board", "rhea": "release-manager", "sia": "safety-reviewer"}.items()
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A founded consortium whose officers have keys in its folder."""
    site = Site(tmp_path_factory.mktemp("keys"))
    site.start()
    keys_in(site.folder, "sam", "tess", "theo", "bea", "rhea", "sia")
    officers = site.file("officers.toml", OFFICERS)
    words = ("consortium", "found", "atlas", "--charter", str(CHARTER), "--from", officers, "--key", "sam", "--folder", str(site.folder))
    founded = subprocess.run(consortium(*words), capture_output=True, text=True, timeout=120, check=False)
    assert founded.returncode == 0, founded.stderr
    yield site
    site.stop()


@pytest.fixture
def type_(bare: Terminal, site: Site) -> Terminal:
    bare.folder = str(site.folder)
    return bare


def grant(person: str, *more: str) -> tuple[str, ...]:
    return ("consortium", "grant-office", "atlas", "--person", person, "--office", "auditor", *more)


def held(type_: Terminal, person: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = type_("key", "list", person, "--json").json["keys"]
    return found


def officer(type_: Terminal, person: str, *more: str) -> None:
    """A person with an office, and a key of theirs that is enrolled."""
    for words in (grant(person, "--key", "sam"), ("key", "new", person, *more), ("key", "enrol", person, "--key", "sam")):
        told = type_(*words)
        assert told.code == 0, told.err


def last(type_: Terminal) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(type_("log", "--json").out.splitlines()[-1])
    return entry


# ---------------------------------------------------------------- made here


def test_a_key_is_made_for_its_owner_alone_and_never_overwritten(bare: Terminal, tmp_path: Path) -> None:
    bare.folder = str(tmp_path)
    told = bare("key", "new", "ada", "alan", "--no-passphrase", "--for", "atlas", "--json")
    assert told.code == 0, told.err
    assert [Path(each["key"]).name for each in told.json] == ["ada", "alan"]
    ring = tmp_path / "keys"
    assert stat.S_IMODE(ring.stat().st_mode) == 0o700
    assert stat.S_IMODE((ring / "ada").stat().st_mode) == 0o600
    before = (ring / "ada").read_bytes()
    again = bare("key", "new", "ada", "--no-passphrase")
    assert (again.code, "never overwritten" in again.err, (ring / "ada").read_bytes()) == (4, True, before)
    assert bare("key", "new", "Ada", "--no-passphrase").code == 4
    assert bare("key", "new").code == 4
    assert "no person" in bare("key", "new", "log", "--no-passphrase").err


def test_a_request_proves_who_holds_the_key_and_for_which_consortium(bare: Terminal, tmp_path: Path) -> None:
    bare.folder = str(tmp_path)
    (made,) = bare("key", "new", "ada", "--no-passphrase", "--for", "consortium/atlas", "--json").json
    asked = read_request(Path(made["request"]), "ada")
    key = keys.parse(asked.public_key)
    assert (asked.consortium, key.fingerprint) == (ATLAS, made["fingerprint"])
    sshsig.verify(sshsig.parse(asked.proof), possession(ATLAS, "ada", asked.public_key), Purpose.POSSESSION, key)
    other = bare("key", "request", "ada", "--for", "vega", "--json").json[0]["request"]
    assert read_request(Path(other)).consortium == "consortium/vega"
    assert bare("key", "request", "ada", "--for", "no/thing").code == 4
    assert bare("key", "request", "ada").code == 3, "there is no log that says for which"


def test_a_passphrase_is_asked_for_at_a_terminal_or_read_from_a_file_that_its_owner_alone_may_read(
    bare: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.folder = str(tmp_path)
    told = bare("key", "new", "ada")
    assert (told.code, "CONSORTIUM_PASSPHRASE_FILE" in told.err, (tmp_path / "keys").exists()) == (4, True, False)
    secret = tmp_path / "passphrase"
    secret.write_text("a long one\n", encoding="utf-8")
    monkeypatch.setenv("CONSORTIUM_PASSPHRASE_FILE", str(secret))
    assert "can be read by others" in bare("key", "new", "ada").err
    secret.chmod(0o600)
    assert bare("key", "new", "ada").code == 0
    assert bare("key", "request", "ada", "--for", "atlas").code == 0
    secret.write_text("another one\n", encoding="utf-8")
    assert "the passphrase does not open it" in bare("key", "request", "ada", "--for", "atlas").err
    monkeypatch.delenv("CONSORTIUM_PASSPHRASE_FILE")
    assert "ssh-add" in bare("key", "request", "ada", "--for", "atlas").err


def test_of_two_who_make_the_logs_key_at_once_one_does_and_a_lost_one_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log"
    first = own(path).public_key
    assert own(path).public_key == first
    assert [entry.name for entry in sorted(path.parent.iterdir())] == ["log", "log.pub"]
    path.unlink()
    with pytest.raises(CannotSign, match="is missing, and its public half"):
        own(path)


# ---------------------------------------------------------------- the ceremony


def test_a_founding_names_the_officer_whose_request_is_missing(bare: Terminal, tmp_path: Path) -> None:
    bare.folder = str(tmp_path)
    officers = tmp_path / "officers.toml"
    officers.write_text(OFFICERS, encoding="utf-8")
    found = ("consortium", "found", "atlas", "--charter", str(CHARTER), "--from", str(officers), "--key", "sam")
    keys_in(tmp_path, "sam")
    told = bare(*found)
    assert told.code == 4
    assert told.err.startswith("bad input: nothing proves that tess holds any key: ")
    assert "consortium key request tess --for consortium/atlas" in told.err
    keys_in(tmp_path, "tess", "theo", "bea", "rhea", "sia")
    assert "no key signs the log" in bare(*found).err
    keys_in(tmp_path, "theo", consortium="consortium/vega")
    assert "theo for another consortium: 'consortium/vega'" in bare(*found).err
    (tmp_path / "keys" / "theo.request").write_text("{}", encoding="utf-8")
    assert "theo.request is no key request" in bare(*found).err


def test_everybody_named_at_the_founding_has_a_key_and_so_has_the_log(type_: Terminal, site: Site) -> None:
    told = type_("key", "list", "--json").json
    named = ("log", "bea", "rhea", "sam", "sia", "tess", "theo")
    assert [(each["holder"], each["here"]) for each in told["keys"]] == [(name, name) for name in named]
    assert all(each["position"] == 1 for each in told["keys"] if each["holder"] in {"log", "sam", "tess"})
    assert (told["without"], len(told["consortium"])) == ([], 64)
    shown = type_("key", "list", "sam").out
    assert keys.parse(Keyring(site.folder / "keys").public("sam")).fingerprint in shown
    assert "valid" in shown


def test_what_was_signed_stands_on_the_log_and_whoever_decides_it_again_checks_it(type_: Terminal, tmp_path: Path) -> None:
    assert type_(*grant("otto", "--key", "sam")).code == 0
    out = tmp_path / "log.jsonl"
    assert type_("export", str(out)).code == 0
    assert type_("verify", "--decide", "--file", str(out)).code == 0
    entry = json.loads(out.read_bytes().splitlines()[-1])
    said = read(Statement, base64.b64decode(entry["signed"]))
    signature = sshsig.parse_blob(base64.b64decode(entry["signature"]))
    assert (said.actor, said.command["person"]) == ("sam", "otto")
    assert said.consortium == type_("key", "list", "--json").json["consortium"]
    assert said.seen is not None
    assert keys.PublicKey(signature.key_blob).line == held(type_, "sam")[0]["key"]


def test_who_is_newly_seated_is_seated_with_their_key_and_who_has_one_enrols_others_by_themselves(type_: Terminal, site: Site) -> None:
    keys_in(site.folder, "grace", consortium=type_("key", "list", "--json").json["consortium"])

    def of(person: str) -> dict[str, Any]:
        fields = {"kind": "seat_representative", "person": person}
        return asyncio.run(filled(SeatRepresentative, "member/helio", fields, Where(folder=site.folder)))

    asked = read_request(site.folder / "keys" / "grace.request")
    assert (of("grace")["public_key"], of("grace")["proof"]) == (asked.public_key, asked.proof)
    assert "public_key" not in of("sam")
    assert "public_key" not in of("nobody")


def test_before_the_founding_nobody_has_a_key(bare: Terminal, tmp_path: Path) -> None:
    bare.folder = str(tmp_path)
    asyncio.run(empty_log(tmp_path / "log.db"))
    assert bare("key", "list", "--json").json == {"keys": [], "without": [], "consortium": None}
    assert "The log knows no key" in bare("key", "list").out


async def empty_log(path: Path) -> None:
    await (await SqliteLog.open(path)).close()


# ---------------------------------------------------------------- persons


def test_an_officers_first_key_is_enrolled_by_the_secretariat_and_signs_from_then_on(type_: Terminal) -> None:
    assert type_(*grant("ann", "--key", "sam")).code == 0
    assert "ann" in type_("key", "list").out.rpartition("Without a valid key")[2]
    assert type_("key", "new", "ann", "--no-passphrase").code == 0
    assert held(type_, "ann") == []
    turned = type_("key", "enrol", "ann", "--key", "ann")
    assert (turned.code, "is by no key of ann" in turned.err) == (4, True)
    assert type_("key", "enrol", "ann", "--key", "tess").code == 2, "the treasurer vouches for nobody"
    assert type_("key", "enrol", "ann", "--key", "sam").code == 0
    (key,) = held(type_, "ann")
    assert (key["ended"], key["here"]) == ("", "ann")
    assert type_("consortium", "revoke-office", "atlas", "--person", "otto", "--office", "auditor", "--key", "ann").code == 2


def test_a_key_is_rotated_in_the_folder_and_the_former_one_speaks_for_nobody(type_: Terminal, site: Site) -> None:
    officer(type_, "bob", "--no-passphrase")
    (before,) = held(type_, "bob")
    told = type_("key", "rotate", "--key", "bob", "--no-passphrase")
    assert told.code == 0, told.err
    former, now = held(type_, "bob")
    assert (former["key"], former["ended"], now["ended"], now["here"]) == (before["key"], "rotated", "", "bob")
    (kept,) = [path for path in (site.folder / "keys").glob("bob.former-*") if path.suffix != ".pub"]
    refused = type_(*grant("otto", "--key", str(kept), "--json"))
    assert (refused.code, refused.error["rule"]) == (2, "key_not_valid")
    assert (last(type_)["actor"], last(type_)["refusal"]["rule"]) == ("bob", "key_not_valid")
    assert type_("key", "rotate", "--key", "bob", "--no-passphrase").code == 0


def cut_before(step: int, monkeypatch: pytest.MonkeyPatch, type_: Terminal, *words: str) -> None:
    """Whoever types this is interrupted before the step of that number, of those by which files of keys get their names."""
    left = [step]

    def cutting(real: Any) -> Any:
        def named(source: Any, target: Any, *more: Any, **options: Any) -> Any:
            if "cut" in Path(target).name and Path(target).suffix != ".request":
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
            return real(source, target, *more, **options)

        return named

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", cutting(os.link))
        patched.setattr(Path, "replace", cutting(Path.replace))
        with pytest.raises(SystemExit, match="130"):
            type_(*words)


NEW_KEY, NAMES = range(2), range(2, 6)
"""The steps of a rotation at which files get names: those of the new key, then those that put it into the place of the former one."""


def test_a_rotation_that_was_cut_off_anywhere_goes_on_with_one_new_key(
    type_: Terminal, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer(type_, "cut", "--no-passphrase")
    ring, rotate = site.folder / "keys", ("key", "rotate", "--key", "cut", "--no-passphrase")
    for step in (*NEW_KEY, *NAMES):
        ended = len(held(type_, "cut"))
        cut_before(step, monkeypatch, type_, *rotate)
        assert len(held(type_, "cut")) == ended + (step in NAMES)
        told = type_(*rotate)
        assert told.code == 0, told.err
        now = held(type_, "cut")
        assert len(now) == ended + 1, "one new key, however often it was begun"
        assert [key["here"] for key in now if not key["ended"]] == ["cut"]
        pairs = sorted(path for path in ring.glob("cut*") if path.suffix not in {".pub", ".request"})
        assert len(pairs) == ended + 1, "no part of a new key is left, and each former one is kept"
        assert [keys.parse(public_half(path)) for path in pairs] == [key_in(path) for path in pairs]
        assert read_request(ring / "cut.request").public_key == key_in(ring / "cut").line
    assert type_(*grant("otto", "--key", "cut")).code == 2, "they have no right to it, and sign"


def test_a_key_that_is_compromised_is_revoked_by_its_fingerprint(type_: Terminal) -> None:
    officer(type_, "dan", "--no-passphrase")
    assert type_("key", "revoke", "dan", "--fingerprint", "SHA256:none", "--key", "sam").code == 4
    fingerprint = keys.parse(held(type_, "dan")[0]["key"]).fingerprint
    assert type_("key", "revoke", "dan", "--fingerprint", fingerprint, "--key", "sam").code == 0
    (key,) = held(type_, "dan")
    assert key["ended"] == "revoked"
    assert key["until"] is not None
    assert "no key of dan is valid now" in type_("key", "revoke", "dan", "--key", "sam").err
    refused = type_(*grant("otto", "--key", "dan", "--json"))
    assert (refused.code, refused.error["rule"]) == (2, "key_not_valid")


def test_a_key_that_is_elsewhere_signs_for_the_person_of_its_comment_or_for_who_is_named(
    type_: Terminal, site: Site, tmp_path: Path
) -> None:
    for end in ("", ".pub"):
        shutil.copy(site.folder / "keys" / f"sam{end}", tmp_path / f"id{end}")
    (tmp_path / "id.pub").write_text(Keyring(site.folder / "keys").public("sam").rpartition(" ")[0] + " sam at work\n", encoding="utf-8")
    assert type_(*grant("otto", "--key", str(tmp_path / "id"))).code == 0
    (tmp_path / "id.pub").write_text(Keyring(site.folder / "keys").public("sam").rpartition(" ")[0] + " sam@laptop\n", encoding="utf-8")
    assert "'sam@laptop' is not a person's handle" in type_(*grant("otto", "--key", str(tmp_path / "id"))).err
    (tmp_path / "id.pub").unlink()
    assert "does not say whose key it is" in type_(*grant("otto", "--key", str(tmp_path / "id"))).err
    assert type_(*grant("otto", "--key", str(tmp_path / "id"), "--signer", "sam")).code == 0
    (tmp_path / "id").chmod(0o644)
    assert "can be read by others" in type_(*grant("otto", "--key", str(tmp_path / "id"), "--signer", "sam")).err


def test_the_environment_names_the_key_of_whoever_sits_here(type_: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSORTIUM_KEY", "sam")
    assert type_(*grant("otto")).code == 0
    assert last(type_)["actor"] == "sam"
    assert type_("inbox").code == 0
    assert type_(*grant("otto", "--key", "tess")).code == 2


def test_a_key_with_a_passphrase_signs_from_the_agent_without_being_asked_for(
    type_: Terminal, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Path
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("a long one\n", encoding="utf-8")
    secret.chmod(0o600)
    monkeypatch.setenv("CONSORTIUM_PASSPHRASE_FILE", str(secret))
    officer(type_, "eva")
    monkeypatch.delenv("CONSORTIUM_PASSPHRASE_FILE")
    revoke = ("key", "revoke", "eva", "--key", "eva")
    assert "no terminal is here" in type_(*revoke).err
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ncat {secret}\n", encoding="utf-8")
    askpass.chmod(0o700)
    ask = os.environ | {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    subprocess.run(["ssh-add", str(site.folder / "keys" / "eva")], env=ask, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    refused = type_(*revoke, "--json")
    assert (refused.code, refused.error["rule"]) == (2, "last_key")
    (site.folder / "keys" / "eva").unlink()  # the agent alone has it now
    assert type_(*revoke, "--json").error["rule"] == "last_key"


# ---------------------------------------------------------------- the log's key, and releases'


def checked(type_: Terminal) -> dict[str, Any]:
    """What the doctor says of keys."""
    return next(check for check in type_("doctor", "--json").json["checks"] if check["check"] == "keys")


def by_two(type_: Terminal, one: str, other: str, *words: str) -> tuple[Answer, Answer]:
    """Two officers give the same command."""
    return type_(*words, "--json", "--key", one), type_(*words, "--json", "--key", other)


def test_a_further_workers_key_is_enrolled_by_two_officers_from_its_request_and_revoked_by_two(
    type_: Terminal, site: Site, tmp_path: Path
) -> None:
    first = type_("key", "list", "--json").json["consortium"]
    ring, second = Keyring(site.folder / "keys"), Keyring(tmp_path / "keys")
    ring.keep(second.ask("log", first))
    one, other = by_two(type_, "sam", "tess", "key", "enrol", "--log")
    assert one.json["events"] == ["act_proposed"]
    assert other.json["events"] == ["act_seconded", "log_key_enrolled"]
    theirs = second.own("log").public_key
    assert checked(type_)["verdict"] in {"well", "note"}
    assert [key["ended"] for key in held(type_, "log")] == ["", ""]
    assert "which key of log?" in type_("key", "revoke", "--log", "--key", "sam").err
    one, other = by_two(type_, "sam", "theo", "key", "revoke", "--log", "--fingerprint", theirs.fingerprint)
    assert other.json["events"] == ["act_seconded", "log_key_revoked"]
    assert [key["ended"] for key in held(type_, "log")] == ["", "revoked"]
    ring.place_of(second.ask("log", first)).unlink()
    assert type_("key", "enrol", "sam", "--log", "--key", "sam").code == 4


def test_the_key_that_signs_releases_is_enrolled_by_two_and_gives_way_to_the_next(
    type_: Terminal, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type_("key", "request", "releases").code == 0
    _, other = by_two(type_, "rhea", "sia", "key", "enrol", "--releases")
    assert other.json["events"] == ["act_seconded", "release_key_enrolled"]
    (key,) = held(type_, "releases")
    monkeypatch.setenv("CONSORTIUM_SIGNING_KEY", str(site.folder / "next.pem"))
    (site.folder / "keys" / "releases.request").unlink()
    _, other = by_two(type_, "rhea", "sia", "key", "enrol", "--releases", "--replaces", key["fingerprint"])
    assert other.json["events"] == ["act_seconded", "release_key_enrolled", "release_key_revoked"]
    assert [key["ended"] for key in held(type_, "releases")] == ["revoked", ""]
    assert type_("key", "revoke", "--releases", "--key", "sam").code == 0
    assert [key["ended"] for key in held(type_, "releases")] == ["revoked", "revoked"]


def test_the_doctor_names_who_has_no_key_and_a_worker_whose_key_nobody_enrolled(
    type_: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type_(*grant("zoe", "--key", "sam")).code == 0
    found = checked(type_)
    assert (found["verdict"], "zoe" in found["without"], "sam" in found["without"]) == ("note", True, False)
    monkeypatch.setenv("CONSORTIUM_LOG_KEY", str(tmp_path / "other"))
    own(tmp_path / "other")
    found = checked(type_)
    assert found["verdict"] == "act"
    assert "is not enrolled: it records nothing" in found["detail"]


# ---------------------------------------------------------------- an older log


def test_a_log_that_was_begun_without_signatures_goes_on_once_two_officers_begin_to_sign(bare: Terminal, tmp_path: Path) -> None:
    asyncio.run(written(tmp_path))
    bare.folder = str(tmp_path)
    with Run(tmp_path):
        first = bare("key", "list", "--json").json["consortium"]
        keys_in(tmp_path, "sam", "ada", "lea", "leo", consortium=first)
        begin = ("consortium", "begin-signing", "atlas", "--json")
        refused = bare(*grant("otto", "--key", "sam", "--json"))
        assert (refused.code, "unsigned up to entry 4" in refused.err) == (3, True), refused.err
        assert "nothing proves that tess holds any key" in bare(*begin, "--key", "sam").err
        keys_in(tmp_path, "tess", consortium=first)
        one, other = by_two(bare, "sam", "tess", *begin[:-1])
        assert (one.json["events"], other.json["events"][-1]) == (["act_proposed"], "signing_begun")
        assert bare(*grant("otto", "--key", "sam")).code == 0
        assert checked(bare)["signed"]
    assert bare("verify", "--decide").code == 0
