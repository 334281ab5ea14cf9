"""The rules are held to what they decided: golden logs of the rules in force decide again byte for byte, older ones fold as they did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from immutables import Map

from domain.catalog import RULES
from eventstore.entries import ACCEPTED, GENESIS, Broken, Entry, encode_events, verify
from eventstore.export import line_of
from eventstore.replica import Replica
from tests import state_digest
from tests.golden_log import FOLDER, entries_of, everything, kernel_stream, leaves, logs, rules_file, seen
from tests.state_digest import state_digest as digest_of_state

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parent.parent
KEPT = sorted(path.name.removesuffix(".json").removeprefix("rules-") for path in FOLDER.glob("rules-*.json"))
OLDER = [rules for rules in KEPT if rules != RULES]


def manifest(rules: str) -> dict[str, Any]:
    """What is kept beside golden logs."""
    kept: dict[str, Any] = json.loads((FOLDER / f"rules-{rules}.json").read_text(encoding="utf-8"))
    return kept


@pytest.fixture(scope="module")
def tree() -> list[Entry]:
    """The golden logs of the rules in force."""
    return entries_of(rules_file(RULES))


def walked(tree: list[Entry]) -> Iterator[tuple[Replica, Entry]]:
    """Each entry with a replica that stands before it; once in all, however many logs it is on."""
    standing = {GENESIS: Replica()}
    for entry in tree:
        replica = standing[entry.previous].copy()
        if replica.missing((entry.stream,)):
            replica.put(entry.stream, kernel_stream(entry.stream))
        standing[entry.hash] = replica
        yield replica, entry
        replica.follow((entry,))


def test_the_rules_in_force_decide_their_golden_logs_again_byte_for_byte(tree: list[Entry]) -> None:
    """Where only a field with a default was added the logs are written anew; where a rule was changed, `RULES` is raised first."""
    for replica, entry in walked(tree):
        events, refusal = replica.judge(entry)
        where = f"entry {entry.hash.hex()[:16]}: {entry.kind} on {entry.stream}"
        if entry.outcome == ACCEPTED:
            assert refusal is None, where
            assert encode_events(events) == entry.body, where
        else:
            stored = json.loads(entry.body)
            assert refusal is not None, where
            assert (refusal.rule, refusal.clause) == (stored["rule"], stored["clause"]), where


def test_the_golden_logs_are_whole_and_of_the_rules_in_force(tree: list[Entry]) -> None:
    found = list(logs(tree))
    assert len(found) == manifest(RULES)["logs"]
    assert {entry.rules for entry in tree} == {RULES}
    for log in found:
        assert not isinstance(verify(log), Broken)


def test_every_command_is_accepted_and_every_rule_refuses_somewhere_but_for_the_named_exceptions(tree: list[Entry]) -> None:
    lacking, named = everything() - seen(tree), set(manifest(RULES)["exceptions"])
    assert lacking - named == set(), "write the golden logs anew (`python -m tests.golden_log --write`), or name the exception"
    assert named - lacking == set(), "no exception any more: write the golden logs anew"


# ---------------------------------------------------------------- what logs fold to


@pytest.mark.parametrize("rules", KEPT)
def test_golden_logs_of_every_rules_are_read_and_fold_to_what_they_folded_to(rules: str) -> None:
    assert leaves(entries_of(rules_file(rules))) == manifest(rules)["digests"]


@pytest.mark.parametrize("rules", OLDER)
def test_every_older_rules_have_golden_logs_with_the_commit_that_wrote_them(rules: str) -> None:
    kept = manifest(rules)
    assert kept["commit"]
    assert {entry.rules for entry in entries_of(rules_file(rules))} == {rules}


@dataclass(frozen=True)
class Waits:
    """A phase as a release has it."""

    amount: int
    by: str = ""


@dataclass(frozen=True)
class WaitsNow:
    """The same in a later release: a field is called otherwise, one is new, and its default changes nothing."""

    amount: int
    whose: str = ""
    urgent: bool = False
    since: Map[str, int] = Map()


def as_stream(state: object) -> Any:
    """A stream in this state."""
    return kernel_stream("round/x")._replace(state=state)


def digest(state: object, phase: str = "waits", rules: int = 4) -> str:
    return digest_of_state("round", phase, as_stream(state), rules=rules)


def test_a_digest_tells_values_and_phases_apart_and_knows_no_class() -> None:
    class Renamed(Waits):
        """The same under another name."""

    assert digest(Waits(1, "ada")) == digest(Renamed(1, "ada"))
    assert len({digest(Waits(1, "ada")), digest(Waits(2, "ada")), digest(Waits(1, "bel")), digest(Waits(1, "ada"), "rests")}) == 4


def test_a_later_field_changes_no_digest_while_it_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert digest(WaitsNow(1)) == digest(Waits(1))
    assert digest(WaitsNow(1, urgent=True)) != digest(Waits(1))
    monkeypatch.setattr(state_digest, "ADDED", {"round.urgent": 5})
    assert digest(WaitsNow(1, urgent=True)) == digest(Waits(1))
    assert digest(WaitsNow(1, urgent=True), rules=5) != digest(Waits(1), rules=5)


def test_a_renamed_phase_or_field_goes_with_a_line_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert digest(WaitsNow(1, "ada"), "pending") != digest(Waits(1, "ada"), "waits")
    monkeypatch.setattr(state_digest, "RENAMED", {"round pending": "waits", "round.whose": "by"})
    assert digest(WaitsNow(1, "ada"), "pending") == digest(Waits(1, "ada"), "waits")


# ---------------------------------------------------------------- other releases


def patched(folder: Path) -> Path:
    """The release with a further field, with a default, in every message: charter, contract, events, commands, steps and all."""
    for name in ("domain", "eventstore", "audit", "signatures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    kernel = folder / "domain" / "kernel.py"
    text = kernel.read_text(encoding="utf-8")
    marker = "class Message(BaseModel):\n"
    assert text.count(marker) == 1
    kernel.write_text(text.replace(marker, f"{marker}    added_later: int = 7\n\n"), encoding="utf-8")
    return folder


DECIDE = '''
import sys
from eventstore.export import entry_of
from audit.reexecute import Reexecution
class Rules(Reexecution):
    """Golden logs are of unit tests of the core, which sign nothing: only decisions are tried."""

    def _vouched(self, entry, alone):
        return None


with open(sys.argv[1], "rb") as lines:
    entries = [entry_of(line) for line in lines]
start = 0
for end in range(1, len(entries) + 1):
    if end == len(entries) or entries[end].position == 1:
        again = Rules()
        found = again.check(entries[start:end])
        assert found is None, found
        start = end
'''


def decided_by(folder: Path, log_file: Path) -> subprocess.CompletedProcess[str]:
    """What the release in a folder says of a file of whole logs, one after the other."""
    return run_by(folder, DECIDE, str(log_file))


def run_by(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A program run by the release in a folder."""
    return subprocess.run(
        (sys.executable, "-c", program, *words), cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def exported(tree: list[Entry], file: Path, most: int) -> Path:
    """A file of so many whole logs, one after the other, spread over all of them."""
    whole = list(logs(tree))
    step = max(1, len(whole) // most)
    file.write_bytes(b"".join(line_of(entry) for log in whole[::step] for entry in log))
    return file


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release with a further field."""
    return patched(tmp_path_factory.mktemp("release"))


def test_a_further_field_with_a_default_in_every_message_breaks_no_decision(
    tree: list[Entry], release: Path, tmp_path: Path, *, long: bool
) -> None:
    told = decided_by(release, exported(tree, tmp_path / "logs.jsonl", 10_000 if long else 60))
    assert told.returncode == 0, told.stderr[-2_000:]


APPROVE = """
import sys
from collections import Counter
from eventstore.export import entry_of
from domain.catalog import CATALOG
from domain.stream import Stream
from eventstore.replica import Replica
replica, approved = Replica(), Counter()
with open(sys.argv[1], "rb") as lines:
    for entry in map(entry_of, lines):
        if entry.position == 1:
            replica = Replica()
        if replica.missing((entry.stream,)):
            replica.put(entry.stream, Stream(replica.process_of(entry.stream).initial))
        if entry.kind in sys.argv[2:] and entry.outcome == "accepted" and entry.body != b"[]":
            events, refusal = replica.judge(entry)
            assert refusal is None and events, (entry.position, refusal)
            approved[entry.kind] += 1
        replica.follow((entry,))
assert set(approved) == set(sys.argv[2:]), approved
"""
APPROVALS = ("approve_contract", "approve_payee", "approve_payment", "accept_milestone", "approve_stage")


def approving(entries: list[Entry], file: Path) -> Path:
    """A file of whole logs, one after the other, of which each kind of approval was taken on one."""
    found: dict[str, list[Entry]] = {}
    for log in logs(entries):
        for entry in log:
            if entry.kind in APPROVALS and entry.outcome == ACCEPTED and entry.body != b"[]":
                found.setdefault(entry.kind, log)
    file.write_bytes(b"".join(line_of(entry) for log in found.values() for entry in log))
    return file


@pytest.mark.parametrize("rules", OLDER)
def test_what_waited_for_approval_is_approved_by_the_digest_that_was_shown_whatever_fields_are_added_since(
    rules: str, release: Path, tmp_path: Path
) -> None:
    file = approving(entries_of(rules_file(rules)), tmp_path / "logs.jsonl")
    for place in (ROOT, release):
        told = run_by(place, APPROVE, str(file), *APPROVALS)
        assert told.returncode == 0, told.stderr[-2_000:]


def released(rules: str, folder: Path) -> Path:
    """The release that wrote golden logs, from its commit."""
    commit = manifest(rules)["commit"]
    history = subprocess.run(("git", "cat-file", "-e", f"{commit}^{{commit}}"), cwd=ROOT, capture_output=True, check=False)
    if history.returncode != 0:
        pytest.skip(f"the history has no commit {commit}")
    folder.mkdir()
    archive = subprocess.run(("git", "archive", commit), cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(("tar", "-x", "-C", str(folder)), input=archive, check=True)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("rules", OLDER)
def test_older_golden_logs_are_decided_again_by_the_release_that_wrote_them(rules: str, tmp_path: Path) -> None:
    told = decided_by(released(rules, tmp_path / "release"), exported(entries_of(rules_file(rules)), tmp_path / "logs.jsonl", 10_000))
    assert told.returncode == 0, told.stderr[-2_000:]
