"""An audit of an export by itself: who forges anything is found at the entry, and what nobody can know from the file is said."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import auditing, reexecute
from audit.alone import examined
from audit.auditing import Audit
from audit.ids import Ids
from audit.reexecute import Reexecution
from cli import main
from cli.audit import say_decided, write_signed
from cli.options import HERE
from domain.kernel import LOG, SERVICE, derived_id
from domain.stream import deadline_id, letter_id
from eventstore.authority import NotOwed, behind
from eventstore.clock import MovedClock
from eventstore.entries import Broken, Entry, Submission, encode_json, hash_of
from eventstore.export import line_of
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.sealing import ORIGIN
from eventstore.statement import Carried, Seen, Sent, possession, written
from eventstore.verifying import Signing
from signatures import sshsig
from signatures.keys import Algorithm
from signatures.sshsig import Purpose
from simulation.scenario import Organisation, Story
from simulation.stage import SimulatedStage
from tests.authenticator import ORIGIN as PAGE
from tests.authenticator import RELYING_PARTY, client_data, needs_ssh_keygen, pen, pens
from tests.golden import FOLDER
from tests.sealing import flipped, resealed
from tests.signed_simulation import SignedSimulation
from tests.signers import Signers
from tests.stories import START, charter
from tests.test_authority import Site, unsigned_log
from tests.test_reexecution import recorded
from transparency import checkpoint
from transparency.checkpoint import Checkpoint
from transparency.note import SigningKey
from transparency.tree import Frontier

ATLAS: Final = "consortium/atlas"
GRANT: Final = {"kind": "grant_office", "person": "ann", "office": "auditor"}


@dataclass(frozen=True)
class Kept:
    """A signed log as an export has it, and everybody's keys."""

    entries: Sequence[Entry]
    signers: Signers

    @property
    def first(self) -> str:
        return self.entries[0].hash.hex()

    def sealed(self, size: int = 0, entries: Sequence[Entry] = (), *, by: str = LOG, origin: str = "") -> bytes:
        """What the log signed of its first entries, or somebody else of others."""
        entries = entries or self.entries
        size = size or len(entries)
        root = Frontier().extended(entry.hash for entry in entries[:size]).frontier.root()
        private = self.signers.key(by).private
        assert isinstance(private, Ed25519PrivateKey)
        name = origin or ORIGIN + entries[0].hash.hex()
        return checkpoint.sign(Checkpoint(name, size, root), SigningKey(name, private))

    def entry(self, fits: Callable[[Entry], bool]) -> Entry:
        """The last entry of a sort."""
        return next(entry for entry in reversed(self.entries) if fits(entry))

    def forged(self, position: int, **columns: Any) -> list[Entry]:
        """The log in which an entry has other columns, sealed anew from there on by whoever can write to it."""
        made = list(self.entries[: position - 1])
        made.append(resealed(self.entries[position - 1], **columns))
        for entry in self.entries[position:]:
            follows = entry._replace(previous=made[-1].hash)
            made.append(follows._replace(hash=hash_of(follows)))
        return made


@pytest_asyncio.fixture(scope="module")
async def kept() -> Kept:
    """Two organisations are taken in, and somebody asks for what is refused: persons, workers, letters and deadlines."""
    log = MemoryLog()
    simulation = SignedSimulation(START, log)
    story = Story(SimulatedStage(simulation), charter(), [
        Organisation("aalto", "Aalto Oy", "FI", "founding", 100, ("8b",)), Organisation("bharat", "Bharat Ltd", "IN", "partner", 90, ("8b",)),
    ])  # fmt: skip
    await story.found()
    await simulation.give(ATLAS, GRANT, "sam")
    await story.admit()
    await simulation.give(ATLAS, {**GRANT, "person": "bea"}, "tess")
    await simulation.give(ATLAS, {**GRANT, "person": "bea"}, "sam")
    await simulation.recorder.close()
    return Kept(list(await log.read(0, 10_000)), simulation.signers)


def written_to(folder: Path, entries: Sequence[Entry], sealed: bytes | None = None) -> Path:
    """An export, and the checkpoint that came with it."""
    file = folder / "atlas.jsonl"
    file.write_bytes(b"".join(map(line_of, entries)))
    if sealed is not None:
        (folder / "atlas.jsonl.checkpoint").write_bytes(sealed)
    return file


def audited(file: Path, sealed: bytes | None = None, processes: int = 1) -> Audit:
    """An audit that came to its end."""
    audit = Audit(file, sealed, processes)
    for _ in audit.steps():
        pass
    return audit


def found_in(entries: Sequence[Entry]) -> Broken:
    """What is wrong with a log."""
    found = Reexecution().check(entries)
    assert found is not None
    return found


# ---------------------------------------------------------------- a true log


def test_a_true_log_is_told_to_be_one_with_all_that_stands_behind_it(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written_to(tmp_path, kept.entries, kept.sealed())
    assert main.run(["audit", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    size, signed = len(kept.entries), sum(bool(entry.signature) for entry in kept.entries)
    assert (told["entries"], told["first"], told["head"]) == (size, kept.first, kept.entries[-1].hash.hex())
    assert (told["signatures"], told["unsigned_up_to"], told["sealed_up_to"]) == (signed, 0, size)
    assert main.run(["audit", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"{signed:,} signatures are by the keys that were valid by then" in said
    assert "The log signed all of them." in said
    assert "nsigned up to" not in said
    kinds = {type(behind(entry)).__name__ for entry in kept.entries}
    assert kinds == {"ByPerson", "ByWorker", "ByStream", "ByLog"}


def test_without_a_checkpoint_it_is_said_that_the_end_may_be_missing(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["audit", str(written_to(tmp_path, kept.entries[:-1]))]) == 0
    assert "may have been cut off" in capsys.readouterr().out


def test_entries_after_the_checkpoint_are_told(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = len(kept.entries) - 2
    assert main.run(["audit", str(written_to(tmp_path, kept.entries, kept.sealed(size)))]) == 0
    assert f"The log signed the first {size:,} entries" in capsys.readouterr().out


def test_verify_with_both_options_is_the_audit(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written_to(tmp_path, kept.entries, kept.sealed()))
    answers = []
    for words in (["audit", file], ["verify", "--file", file, "--decide"]):
        assert main.run([*words, "--json"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


async def test_up_to_where_a_log_is_unsigned_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = await recorded(MemoryLog())
    audit = audited(written_to(tmp_path, entries))
    assert (audit.broken, audit.again.unsigned, audit.again.signatures) == (None, len(entries), 0)
    say_decided(audit.again, HERE)
    assert f"Unsigned up to entry {len(entries)}: who gave those commands is only what the log says." in capsys.readouterr().out
    begun, _ = await unsigned_log()
    assert Reexecution().check(await begun.read(0, 10)) is None


def test_many_processes_find_what_one_finds(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "BATCH", 16)
    whole = audited(written_to(tmp_path, kept.entries), kept.sealed(), processes=2)
    assert (whole.broken, whole.again.head.position) == (None, len(kept.entries))
    person = kept.entry(lambda entry: entry.actor == "sam")
    forged = kept.forged(person.position, signature=flipped(person.signature, -8))
    lines = [*map(line_of, forged[: person.position]), b"no entry\n"]
    (tmp_path / "forged.jsonl").write_bytes(b"".join(lines))
    (tmp_path / "cut.jsonl").write_bytes(b"".join(map(line_of, kept.entries))[:-1])
    for name, position in (("forged.jsonl", person.position), ("cut.jsonl", len(kept.entries))):
        one, two = (audited(tmp_path / name, processes=processes).broken for processes in (1, 2))
        assert one == two
        assert one is not None
        assert one.position == position


# ---------------------------------------------------------------- forgers


def by(actor: str) -> Callable[[Entry], bool]:
    """Given by somebody, and accepted."""
    return lambda entry: entry.actor == actor and entry.outcome == "accepted"


def by_worker(entry: Entry) -> bool:
    return entry.actor == SERVICE and bool(entry.signature)


def by_letter(entry: Entry) -> bool:
    return entry.actor == SERVICE and bool(entry.signed) and not entry.signature


def by_deadline(entry: Entry) -> bool:
    return entry.actor == SERVICE and not entry.signed


def said_otherwise(kept: Kept, entry: Entry, **changes: Any) -> dict[str, Any]:
    """What an entry's person would have signed with another statement."""
    said = json.loads(entry.signed)
    forged = kept.signers.signed(
        changes.pop("stream", entry.stream), changes.pop("by", entry.actor), changes.pop("command", said["command"]), said["consortium"],
        command_id=changes.pop("command_id", entry.command_id), **({"issued_at": said["issued_at"], "expires_at": said["expires_at"]} | changes),
    )  # fmt: skip
    return {"signed": forged.signed, "signature": forged.signature}


def tagged_otherwise(kept: Kept, entry: Entry, key: str = LOG, **changes: Any) -> dict[str, Any]:
    """What another worker would have tagged, or the same one for something else."""
    signed = written(Carried(**{**json.loads(entry.signed), **changes}))
    return {"signed": signed, "signature": sshsig.unarmour(kept.signers.key(key).sign(signed, Purpose.OUTCOME))}


def tried_again(entry: Entry) -> dict[str, Any]:
    """A letter as if a person had retried it once."""
    sent = json.loads(entry.signed)
    return {"signed": written(Sent(1, sent["source"], sent["step"])), "command_id": letter_id(sent["source"], sent["step"], 1)}


FORGERIES: Final[Mapping[str, tuple[Callable[[Entry], bool], Callable[[Kept, Entry], dict[str, Any]], str]]] = {
    "another command than was signed": (by("sam"), lambda k, e: {"command": encode_json({**GRANT, "person": "eve"})}, "another command"),
    "nobody signed": (by("sam"), lambda k, e: {"signed": b"", "signature": b""}, "must sign"),
    "a signature, and nothing signed": (by_deadline, lambda k, e: {"signature": k.entries[1].signature}, "what was signed"),
    "one bit of the signature": (by("sam"), lambda k, e: {"signature": flipped(e.signature, -8)}, "is not SHA256"),
    "one bit of the statement": (by("sam"), lambda k, e: {"signed": e.signed.replace(b'"bea"', b'"bee"')}, "is not SHA256"),
    "a stranger's key": (by("sam"), lambda k, e: said_otherwise(k, e, key="eve"), "no key of sam"),
    "another officer's key": (by("sam"), lambda k, e: said_otherwise(k, e, key="bo"), "no key of sam"),
    "another officer's words": (by("sam"), lambda k, e: {**said_otherwise(k, e, by="tess"), "actor": "sam"}, "by another person"),
    "the log's key": (by("sam"), lambda k, e: said_otherwise(k, e, key=LOG), "no key of sam"),
    "expired": (by("sam"), lambda k, e: said_otherwise(k, e, expires_at="2000-01-01T00:00:00Z"), "refused by command_expired"),
    "from the future": (by("sam"), lambda k, e: said_otherwise(k, e, issued_at="2199-01-01T00:00:00Z", expires_at="2199-01-02T00:00:00Z"), "refused by issued_ahead"),
    "for another consortium": (by("sam"), lambda k, e: said_otherwise(k, e, consortium="0" * 64), "refused by other_consortium"),
    "for another stream": (by("sam"), lambda k, e: said_otherwise(k, e, stream="round/other"), "another stream"),
    "under another id": (by("sam"), lambda k, e: said_otherwise(k, e, command_id=derived_id("other")), "under another id"),
    "shown another log": (by("sam"), lambda k, e: said_otherwise(k, e, seen=Seen("0" * 64, 1)), "that this log does not hold"),
    "shown what comes later": (by("sam"), lambda k, e: said_otherwise(k, e, seen=Seen(e.hash.hex(), e.position)), "that this log does not hold"),
    "shown nothing": (by("sam"), lambda k, e: said_otherwise(k, e, seen=Seen("0" * 64, 0)), "that this log does not hold"),
    "another outcome": (by_worker, lambda k, e: {"command": e.command.replace(b"{", b'{"forged":1,', 1)}, ""),
    "no tag": (by_worker, lambda k, e: {"signed": b"", "signature": b""}, "no stream owes it"),
    "a rogue worker's tag": (by_worker, lambda k, e: tagged_otherwise(k, e, "rogue"), "no log key"),
    "an officer's tag": (by_worker, lambda k, e: tagged_otherwise(k, e, "sam"), "no log key"),
    "a tag of another log": (by_worker, lambda k, e: tagged_otherwise(k, e, log="0" * 64), "another log"),
    "a tag of another try": (by_worker, lambda k, e: tagged_otherwise(k, e, attempt=99), "id is not that"),
    "a letter of another stream": (by_letter, lambda k, e: {"signed": written(Sent(0, ATLAS, json.loads(e.signed)["step"]))}, "not owed"),
    "a letter of no stream": (by_letter, lambda k, e: {"signed": written(Sent(0, "no stream", "x"))}, "not owed"),
    "a letter of another amount": (by_letter, lambda k, e: {"command": encode_json({**json.loads(e.command), "amount": 1})}, "owes another letter"),
    "a letter under another id": (by_letter, lambda k, e: {"command_id": derived_id("forged")}, "not that of the letter"),
    "a letter of a try that was not": (by_letter, lambda k, e: tried_again(e), "not that of the letter"),
    "a deadline that nobody owes": (by_deadline, lambda k, e: {"command_id": derived_id("forged")}, "not owed"),
    "another actor": (by("tess"), lambda k, e: {"actor": "sam"}, ""),
    "a refusal where it was accepted": (by("sam"), lambda k, e: {"outcome": "refused", "body": b'{"clause":"","message":"m","remedy":"r","rule":"x"}'}, "accepted"),
    "an id twice": (by_worker, lambda k, e: {"command_id": k.entries[0].command_id}, "an earlier entry has its command's id"),
    "nested without end": (by("sam"), lambda k, e: {"signed": b"[" * 100_000}, "what was signed"),
    "a tag too long": (by_worker, lambda k, e: {"signed": b"x" * 200_000}, "at most"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_forged_and_sealed_anew_is_found_at_its_entry_even_without_a_checkpoint(kept: Kept, name: str) -> None:
    fits, forge, said = FORGERIES[name]
    entry = kept.entry(fits)
    found = found_in(kept.forged(entry.position, **forge(kept, entry)))
    assert found.position == entry.position, found
    assert said in found.reason


def test_what_was_recorded_once_is_not_recorded_again(kept: Kept) -> None:
    again = resealed(kept.entries[-1], position=len(kept.entries) + 1, previous=kept.entries[-1].hash)
    assert found_in([*kept.entries, again]).position == again.position


def test_a_key_is_worth_nothing_before_it_is_enrolled(kept: Kept) -> None:
    found = found_in(kept.forged(2, actor="aalto-rep", **said_otherwise(kept, kept.entries[1], by="aalto-rep")))
    assert (found.position, "no key of aalto-rep" in found.reason) == (2, True)


async def test_a_key_that_was_revoked_signs_nothing_that_is_audited_later(kept: Kept, tmp_path: Path) -> None:
    log = MemoryLog()
    await log.append(kept.entries)
    clock = MovedClock(START)
    recorder = Recorder(log, clock=clock, signing=Signing(kept.signers.key(LOG)))
    clock.to((await recorder.replica()).head_time)
    signed = kept.signers.signed

    async def give(command: dict[str, Any], key: str = "") -> Entry:
        given = signed(ATLAS, "sam", command, kept.first, at=clock.now(), key=key)
        return (await recorder.record(given)).entry

    await give({"kind": "enrol_key", **kept.signers.request("sam", kept.first, "sam's second")})
    await give({"kind": "revoke_key", "person": "sam", "public_key": kept.signers.line("sam")})
    refused = await give({**GRANT, "person": "eve"})
    assert refused.outcome == "refused"
    await give({**GRANT, "person": "eve"}, "sam's second")
    await recorder.close()
    entries = list(await log.read(0, 10_000))
    assert Reexecution().check(entries) is None
    after = Kept(entries, kept.signers)
    events = encode_json([{"kind": "office_granted", "office": "auditor", "person": "eve"}])
    found = found_in(after.forged(refused.position, outcome="accepted", body=events))
    assert (found.position, "refused by key_not_valid" in found.reason) == (refused.position, True)
    old = found_in(after.forged(len(entries), **said_otherwise(after, entries[-1], key="sam")))
    assert (old.position, "refused by key_not_valid" in old.reason) == (len(entries), True)


async def test_a_deadline_after_the_next_one_is_not_taken_before_its_time_and_keeps_its_id() -> None:
    log = MemoryLog()
    simulation = SignedSimulation(START, log)
    story = Story(SimulatedStage(simulation), charter(), [Organisation("aalto", "Aalto Oy", "FI", "founding", 100, ("8b",))])
    await story.found()
    await story.admit()
    await simulation.advance(START + timedelta(days=366))  # dues are owed, and the next ones come in a year
    standing, stream = simulation.standing("member/aalto"), "member/aalto"
    _, later = sorted(standing.agenda.deadlines, key=lambda deadline: deadline.at)
    said = later.command.model_dump(mode="json")
    early = Submission(stream, deadline_id(stream, standing.stream.version, later.at, said), SERVICE, encode_json(said))
    before = await log.head()
    with pytest.raises(NotOwed):
        await simulation.recorder.record(early)
    assert await log.head() == before
    await simulation.recorder.close()
    true = Kept(list(await log.read(0, 10_000)), simulation.signers)
    assert Reexecution().check(true.entries) is None
    come = true.entry(lambda entry: by_deadline(entry) and entry.at > true.entries[entry.position - 2].at)
    found = found_in(true.forged(come.position, at=true.entries[come.position - 2].at))
    assert (found.position, found.reason) == (come.position, "it was not owed")


# ---------------------------------------------------------------- the checkpoint


def checkpoints(kept: Kept) -> Mapping[str, tuple[Sequence[Entry], bytes, str]]:
    """Exports with checkpoints that are not theirs."""
    size, later = len(kept.entries), kept.entries[-1]
    moved = kept.forged(size, at=later.at + 1)
    return {
        "cut off": (kept.entries[:-3], kept.sealed(), "is missing"),
        "dated otherwise": (moved, kept.sealed(), "other entries"),
        "by a rogue worker": (kept.entries, kept.sealed(by="rogue"), "not signed by any known key"),
        "by an officer": (kept.entries, kept.sealed(by="sam"), "not signed by any known key"),
        "of another log": (kept.entries, kept.sealed(origin=ORIGIN + "0" * 64), "not this log's"),
        "no checkpoint": (kept.entries, kept.sealed().replace(b"\n\n", b"=\n\n", 1), ""),
    }


@pytest.mark.parametrize("name", ["cut off", "dated otherwise", "by a rogue worker", "by an officer", "of another log"])
def test_a_checkpoint_of_other_entries_or_by_another_key_is_found(kept: Kept, tmp_path: Path, name: str) -> None:
    entries, sealed, said = checkpoints(kept)[name]
    broken = audited(written_to(tmp_path, entries), sealed).broken
    assert broken is not None
    assert said in broken.reason
    if name == "cut off":
        assert broken.position == len(entries) + 1


def test_what_is_no_checkpoint_or_not_there_is_bad_input(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written_to(tmp_path, kept.entries[:3], checkpoints(kept)["no checkpoint"][1]))
    assert main.run(["audit", file]) == 4
    assert main.run(["audit", file, "--checkpoint", str(tmp_path / "none")]) == 4
    assert main.run(["audit", str(tmp_path / "none")]) == 4
    capsys.readouterr()


# ---------------------------------------------------------------- other releases


def test_the_signatures_of_older_rules_are_checked_too(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    later = str(int(kept.entries[0].rules) + 1)
    for name in ("audit.reexecute", "audit.alone", "eventstore.replica"):
        monkeypatch.setattr(f"{name}.RULES", later)
    again = Reexecution()
    assert again.check(kept.entries) is None
    assert again.undecided == [reexecute.Undecided(kept.entries[0].rules, 1, len(kept.entries))]
    for name in ("one bit of the signature", "another officer's key", "expired", "shown another log", "a rogue worker's tag"):
        fits, forge, _ = FORGERIES[name]
        entry = kept.entry(fits)
        assert found_in(kept.forged(entry.position, **forge(kept, entry))).position == entry.position, name


def test_a_key_that_newer_rules_may_have_enrolled_makes_no_log_broken_and_is_not_believed(kept: Kept, tmp_path: Path) -> None:
    newer = resealed(kept.entries[-1], rules=str(int(kept.entries[-1].rules) + 1))
    log = Kept([*kept.entries[:-1], newer], kept.signers)
    file = written_to(tmp_path, log.entries)
    audit = audited(file, log.sealed(by="a key of tomorrow"))
    assert (audit.broken, audit.sealed, [each.first for each in audit.again.undecided]) == (None, None, [newer.position])
    known = audited(file, log.sealed())
    assert (known.broken, known.sealed) == (None, newer.position)
    for other in (kept.sealed(by="a key of tomorrow"), log.sealed(by="a key of tomorrow", origin=ORIGIN + "0" * 64)):
        assert audited(file, other).broken is not None


# ---------------------------------------------------------------- what people signed, for others to judge


def judged(folder: Path, line: str) -> bool:
    """What a shell says of the command line that was shown."""
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, check=False).returncode == 0


@needs_ssh_keygen
@pytest.mark.parametrize("kind", pens())
def test_ssh_keygen_alone_accepts_what_is_exported_of_an_entry_and_nothing_else(
    kept: Kept, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, key = kept.entry(by("sam")), pens()[kind]
    entries = kept.forged(entry.position, signature=sshsig.encode(key.sign(entry.signed)))
    file, folder = written_to(tmp_path, entries), tmp_path / "signed"
    words = ["export-signature", str(entry.position), str(folder), "--file", str(file)]
    assert main.run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["signer"], told["public_key"]) == ("sam", key.public_key.line)
    assert judged(folder, told["command"])
    assert not judged(folder, told["command"].replace("-I sam", "-I tess"))
    assert not judged(folder, told["command"].replace("/command", "/login"))
    (folder / "statement.json").write_bytes(entry.signed + b" ")
    assert not judged(folder, told["command"])
    assert main.run(words) == 4, "nothing is written over"
    capsys.readouterr()


@needs_ssh_keygen
def test_ssh_keygen_alone_accepts_what_a_worker_tagged_and_what_a_passkey_signed_in_a_browser(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = written_to(tmp_path, kept.entries), tmp_path / "tag"
    assert main.run(["export-signature", str(kept.entry(by_worker).position), str(folder), "--file", str(file), "--json"]) == 0
    assert judged(folder, json.loads(capsys.readouterr().out)["command"])
    vector = json.loads((FOLDER / "signatures" / "passkey.json").read_bytes())
    [assertion] = (each for each in vector["assertions"] if each["name"] == "a command")
    folder = tmp_path / "passkey"
    assert judged(folder, write_signed(folder, "ada", vector["message"].encode(), sshsig.unarmour(assertion["armoured"])))


def _hostile(kept: Kept, entry: Entry, actor: str, **changes: Any) -> dict[str, Any]:
    """What somebody makes up who signs by a key of their own, under a name of their choice."""
    return {"actor": actor, **said_otherwise(kept, entry, by=actor, **changes)}


OTHERWISE: Final[Mapping[str, Callable[[Kept, Entry], dict[str, Any]]]] = {
    "a name with a command in it": lambda k, e: _hostile(k, e, "ada; touch /tmp/owned #"),
    "a name with a further signer in it": lambda k, e: _hostile(k, e, "ada\ntess"),
    "a name of other letters": lambda k, e: _hostile(k, e, "Ada"),
    "another name than the statement's": lambda k, e: {"actor": "tess"},
    "signed to log in": lambda k, e: {"signature": sshsig.unarmour(k.signers.key("sam").sign(e.signed, Purpose.LOGIN))},
    "one bit of the signature": lambda k, e: {"signature": flipped(e.signature, -8)},
}
"""Entries of an export that nobody checked."""


@pytest.mark.parametrize("how", OTHERWISE)
def test_nothing_is_told_to_a_shell_of_an_entry_that_its_person_did_not_sign_as_a_command(
    kept: Kept, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = kept.entry(by("sam"))
    file = written_to(tmp_path, kept.forged(entry.position, **OTHERWISE[how](kept, entry)))
    assert main.run(["export-signature", str(entry.position), str(tmp_path / "none"), "--file", str(file)]) == 4
    told = capsys.readouterr()
    assert ("ssh-keygen" in told.out + told.err, (tmp_path / "none").exists()) == (False, False)


def test_what_is_told_to_a_shell_is_quoted(kept: Kept, tmp_path: Path) -> None:
    signed, signature = b"{}", kept.signers.key("sam").sign(b"{}", Purpose.COMMAND)
    assert "-I 'ada; touch owned #' -n" in write_signed(tmp_path / "signed", "ada; touch owned #", signed, sshsig.unarmour(signature))


@pytest.mark.parametrize("fits", [by_letter, by_deadline])
def test_what_nobody_signed_cannot_be_judged_by_others(
    kept: Kept, tmp_path: Path, fits: Callable[[Entry], bool], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(written_to(tmp_path, kept.entries))
    for position in (kept.entry(fits).position, 0, len(kept.entries) + 1):
        assert main.run(["export-signature", str(position), str(tmp_path / "none"), "--file", file]) == 4
    assert not (tmp_path / "none").exists()
    capsys.readouterr()


def test_a_passkey_is_taken_on_pages_of_its_own_domain_only(kept: Kept) -> None:
    entry, passkey = kept.entry(by("sam")), pen(Algorithm.SK_P256, RELYING_PARTY)
    signed = sshsig.to_be_signed(entry.signed, Purpose.COMMAND)
    for page, taken in (
        (PAGE, True), (f"https://{RELYING_PARTY}:8443", True), (f"http://{RELYING_PARTY}", False), (f"https://evil-{RELYING_PARTY}", False),
        (f"https://{RELYING_PARTY}.evil.example", False), ("https://[", False),
    ):  # fmt: skip
        answer = passkey.answer(client_data(signed, page), origin=page)
        alone = examined(resealed(entry, signature=sshsig.encode(passkey.seal(answer))))
        assert (alone.unauthorised == "") == taken, page


async def test_a_passkey_is_enrolled_by_its_proof_and_gives_commands_on_the_pages_that_a_worker_accepts() -> None:
    site, passkey = Site(), pens()["passkey"]
    site.recorder = Recorder(site.log, clock=site.clock, signing=Signing(site.signers.key(LOG), frozenset({PAGE})))
    await site.found()
    line = passkey.public_key.line

    def proof(page: str) -> str:
        signed = sshsig.to_be_signed(possession(site.first, "sam", line), Purpose.POSSESSION)
        return sshsig.armour(sshsig.encode(passkey.seal(passkey.answer(client_data(signed, page), origin=page), Purpose.POSSESSION)))

    def by_passkey(person: str, page: str) -> Submission:
        given = site.signed(ATLAS, "sam", {**GRANT, "person": person})
        said = client_data(sshsig.to_be_signed(given.signed, Purpose.COMMAND), page)
        return given._replace(signature=sshsig.encode(passkey.seal(passkey.answer(said, origin=page))))

    enrolment = {"kind": "enrol_key", "person": "sam", "public_key": line}
    await site.refused("key_not_proven", ATLAS, "sam", {**enrolment, "proof": proof("https://evil.example")})
    assert (await site.give(ATLAS, "sam", {**enrolment, "proof": proof(PAGE)})).refusal is None
    assert (await site.recorder.record(by_passkey("ann", PAGE))).refusal is None
    await site.no_entry(by_passkey("eve", f"https://other.{RELYING_PARTY}"))
    await site.recorder.close()
    assert Reexecution().check(await site.log.read(0, 100)) is None


# ---------------------------------------------------------------- ids


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=300))
def test_an_id_is_new_once(names: list[str]) -> None:
    ids, seen = Ids(2), set[str]()
    for name in names:
        assert ids.add(name) == (name not in seen)
        seen.add(name)
