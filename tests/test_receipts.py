"""Receipts, as a person at the command line has them: an answer is shown once the log proves it, and can be looked up again for ever.

| told by a worker | what happens |
| --- | --- |
| what the log holds | it is shown, as the entry says, and the receipt is kept |
| acknowledged or refused, and the log holds no such entry | broken: it is not shown as true |
| another entry, another outcome, a changed one, another's signature, a proof that does not fit, another log's | the same |
| proven by a key that was enrolled since | the log is read, and the key is known from then on |
| without the log at hand | what is pinned is enough; with nothing pinned nothing is shown |
"""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from activities.log import record
from activities.log.record import Recording
from activities.messages import Envelope, Receipt, Recorded, RecordRequest, Refusal
from cli import answers, keep, receipts
from cli.answers import Answer, Given
from cli.failures import BadInput, Broken, Refused, Unreachable
from cli.main import show_failure
from cli.options import Where
from cli.receipts import FOLDER, KNOWN, Desk
from cli.site import log_of
from domain.kernel import LOG, derived_id
from eventstore import sealing
from eventstore.entries import Entry, Submission, encode_json
from eventstore.export import entry_of, line_of
from eventstore.log import Log
from eventstore.recorder import Recorder
from eventstore.sqlite import SqliteLog
from eventstore.statement import possession
from eventstore.verifying import Signing
from settings import Settings
from signatures import sshsig
from signatures.sshsig import Purpose
from tests.authenticator import ORIGIN as PAGE
from tests.authenticator import client_data, pens
from tests.sealing import resealed
from tests.stories import charter
from tests.test_authority import ATLAS, GRANT, OFFICERS, Site
from transparency import checkpoint, note, proof
from transparency.checkpoint import Checkpoint
from transparency.tree import Frontier

REFUSED = GRANT | {"office": "treasurer", "person": "bo"}


class Shell(Site):
    """A signed log in a folder, a worker on it, and a person who gives commands there."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.chosen = Settings(folder=folder)
        self.folder = folder

    @classmethod
    async def opened(cls, folder: Path) -> Shell:
        """Before the founding."""
        shell = cls(folder)
        shell.log = await SqliteLog.open(folder / "log.db")  # type: ignore[assignment]
        shell.recorder = Recorder(shell.log, clock=shell.clock, signing=shell.signing)
        return shell

    @classmethod
    async def begun(cls, folder: Path) -> Shell:
        shell = await cls.opened(folder)
        await shell.found()
        return shell

    async def end(self) -> None:
        await self.recorder.close()
        await self.log.close()

    async def answer(self, given: Submission) -> Recorded:
        """What an honest worker says."""
        envelope = Envelope(
            actor=given.actor, command=json.loads(given.command),
            signed=base64.b64encode(given.signed).decode(), signature=base64.b64encode(given.signature).decode(),
        )  # fmt: skip
        return await Recording(self.recorder).record(RecordRequest(stream=given.stream, command_id=given.command_id), envelope)

    async def told(self, given: Submission, receipt: Receipt | None, refusal: Refusal | None = None) -> Answer:
        """What is shown of an answer."""
        return await answers.checked(self.chosen, Given(*given[:6]), receipt, refusal)

    async def gives(self, by: str, command: dict[str, Any], **changes: Any) -> Answer:
        """A command and its honest answer."""
        given = self.signed(ATLAS, by, command, **changes)
        recorded = await self.answer(given)
        return await self.told(given, recorded.receipt, recorded.refusal)

    async def checks(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        """`consortium receipts --json`."""
        capsys.readouterr()
        await receipts.receipts(where=Where(folder=self.folder, json=True))
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found


@pytest_asyncio.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    shell = await Shell.begun(tmp_path)
    yield shell
    await shell.end()


def kept(shell: Shell) -> list[str]:
    return [path.stem for path in Desk(shell.chosen).kept()]


def sealed_after(shell: Shell, entries: Sequence[Entry], forged: Entry) -> str:
    """The proof that whoever has the log key can make of an entry that is on no log."""
    before = Frontier().extended([entry.hash for entry in entries]).frontier
    edge = before.extended([forged.hash]).frontier
    lie = sealing.seal(edge, [], shell.signing.note_key(sealing.origin_of(shell.first))).sealed
    assert lie is not None
    return sealing.Commit.of(before, [forged], lie).proof(forged.position).decode()


def claimed_after(shell: Shell, entries: Sequence[Entry], given: Submission, **columns: Any) -> Receipt:
    """What whoever has the log key can claim: that this was recorded after the last entry."""
    forged = resealed(
        entries[-1], position=len(entries) + 1, previous=entries[-1].hash, kind="grant_office", actor="sam", command_id=given.command_id,
        command=given.command, signed=given.signed, signature=given.signature, **columns,
    )  # fmt: skip
    return Receipt(
        position=forged.position, stream=ATLAS, command_id=given.command_id, at=shell.clock.now(), events=[], hash=forged.hash.hex(),
        entry=line_of(forged).decode(), proof=sealed_after(shell, entries, forged),
    )  # fmt: skip


def pinned_keys(shell: Shell) -> Sequence[str]:
    """The keys of the log that are pinned."""
    known = Desk(shell.chosen).known()
    assert known is not None
    return list(known.keys)


# ---------------------------------------------------------------- what is so


async def test_an_answer_that_the_log_proves_is_shown_and_kept(shell: Shell) -> None:
    one = derived_id("one")
    answer = await shell.gives("sam", GRANT, command_id=one)
    assert answer.receipt is not None
    assert (answer.receipt.position, answer.receipt.events, answer.unseen, answer.unkept) == (2, ["office_granted"], "", "")
    assert kept(shell) == [one]
    for path in (shell.folder / FOLDER).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((shell.folder / FOLDER).stat().st_mode) == 0o700


async def test_a_refusal_is_proven_shown_as_the_entry_says_and_kept(shell: Shell) -> None:
    given = shell.signed(ATLAS, "bo", REFUSED)
    recorded = await shell.answer(given)
    lie = Refusal(rule="you_are_a_fool", message="go away", remedy="pay", clause="")
    answer = await shell.told(given, recorded.receipt, lie)
    assert answer.refusal == recorded.refusal
    with pytest.raises(Refused) as raised:
        answers.accepted(answer, given.command_id)
    assert raised.value.details["command_id"] == given.command_id
    assert kept(shell) == [given.command_id]


async def test_whoever_founds_checks_their_own_founding(tmp_path: Path) -> None:
    shell = await Shell.opened(tmp_path)
    command = shell.signers.founding(ATLAS, charter().model_dump(mode="json"), OFFICERS) | {"clock": {"kind": "moved"}}
    given = shell.signers.signed(ATLAS, "sam", command, "", at=shell.clock.now())
    answer = await shell.told(given, (await shell.answer(given)).receipt)
    assert answer.receipt is not None
    known = Desk(shell.chosen).known()
    assert known is not None
    assert (known.first, list(known.keys)) == (answer.receipt.hash, [shell.signers.line(LOG)])
    await shell.end()


async def test_a_repeated_command_is_checked_by_its_first_entry_though_it_was_signed_again(shell: Shell) -> None:
    one = derived_id("one")
    first = await shell.gives("sam", GRANT, command_id=one)
    shell.clock.to(shell.clock.now() + timedelta(minutes=5))
    again = await shell.gives("sam", GRANT, command_id=one)
    assert again.receipt == first.receipt


async def test_a_command_first_signed_by_a_passkey_may_be_repeated_with_a_key_in_a_file(shell: Shell) -> None:
    passkey, accepting = pens()["passkey"], Signing(shell.signers.key(LOG), frozenset({PAGE}))
    await shell.recorder.close()
    shell.recorder = Recorder(shell.log, clock=shell.clock, signing=accepting)

    def used(signed: bytes, purpose: Purpose) -> bytes:
        said = client_data(sshsig.to_be_signed(signed, purpose), PAGE)
        return sshsig.encode(passkey.seal(passkey.answer(said, origin=PAGE), purpose))

    line = passkey.public_key.line
    proven = sshsig.armour(used(possession(shell.first, "sam", line), Purpose.POSSESSION))
    assert (await shell.give(ATLAS, "sam", {"kind": "enrol_key", "person": "sam", "public_key": line, "proof": proven})).refusal is None
    one = derived_id("one")
    given = shell.signed(ATLAS, "sam", GRANT, command_id=one)
    first = await shell.answer(given._replace(signature=used(given.signed, Purpose.COMMAND)))
    shell.clock.to(shell.clock.now() + timedelta(minutes=5))
    again = await shell.gives("sam", GRANT, command_id=one)
    assert again.receipt is not None
    assert again.receipt.position == first.receipt.position


async def test_a_long_entry_is_read_on_the_log(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LONGEST_SHOWN_ENTRY", 0)
    given = shell.signed(ATLAS, "sam", GRANT)
    recorded = await shell.answer(given)
    assert recorded.receipt.entry == ""
    assert (await shell.told(given, recorded.receipt)).receipt is not None
    assert (await shell.told(given, recorded.receipt.model_copy(update={"proof": ""}))).receipt is not None
    assert kept(shell) == [given.command_id]


async def test_what_is_pinned_is_enough_where_the_log_cannot_be_read(shell: Shell) -> None:
    await shell.gives("sam", GRANT)
    (shell.folder / "log.db").rename(shell.folder / "elsewhere.db")
    answer = await shell.gives("sam", GRANT | {"person": "liv"})
    assert answer.receipt is not None
    assert answer.receipt.position == 3


async def test_a_receipt_that_cannot_be_kept_is_shown_and_said_so(shell: Shell) -> None:
    await shell.gives("sam", GRANT)
    given = shell.signed(ATLAS, "sam", GRANT | {"person": "liv"})
    recorded = await shell.answer(given)
    (shell.folder / FOLDER / f"{given.command_id}.json").mkdir()
    answer = await shell.told(given, recorded.receipt)
    assert answer.receipt is not None
    assert "cannot be written" in answer.unkept


# ---------------------------------------------------------------- what is not so


async def broken(shell: Shell, given: Submission, receipt: Receipt | None, refusal: Refusal | None = None) -> str:
    before = kept(shell)
    with pytest.raises(Broken) as raised:
        await shell.told(given, receipt, refusal)
    assert kept(shell) == before, "nothing is kept of it"
    assert raised.value.details["command_id"] == given.command_id
    return raised.value.message


NO = Refusal(rule="round_closed", message="the round is closed", remedy="wait", clause="")


async def test_an_acknowledgement_that_is_on_no_log_is_not_shown_as_true(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SEEN_SECONDS", 0)
    given = shell.signed(ATLAS, "sam", GRANT)
    made_up = Receipt(position=2, stream=ATLAS, command_id=given.command_id, at=shell.clock.now(), events=["office_granted"], hash="0" * 64)
    assert "does not hold it" in await broken(shell, given, made_up)


async def test_a_refusal_that_is_on_no_log_is_not_shown_as_true(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SEEN_SECONDS", 0)
    given = shell.signed(ATLAS, "sam", GRANT)
    assert "does not hold it" in await broken(shell, given, None, NO)
    made_up = Receipt(position=2, stream=ATLAS, command_id=given.command_id, at=shell.clock.now(), events=[], hash="0" * 64)
    assert "does not hold it" in await broken(shell, given, made_up, NO)


async def test_what_was_accepted_is_not_shown_as_refused_nor_the_other_way_round(shell: Shell) -> None:
    accepted, refused = shell.signed(ATLAS, "sam", GRANT), shell.signed(ATLAS, "bo", REFUSED)
    assert "the log says accepted" in await broken(shell, accepted, (await shell.answer(accepted)).receipt, NO)
    assert "the log says refused" in await broken(shell, refused, (await shell.answer(refused)).receipt)


async def test_the_entry_of_another_command_is_no_answer(shell: Shell) -> None:
    mine, other = shell.signed(ATLAS, "sam", GRANT), shell.signed(ATLAS, "sam", GRANT | {"person": "liv"})
    await shell.answer(mine)
    assert "another command" in await broken(shell, mine, (await shell.answer(other)).receipt)


async def test_an_id_that_another_command_has_is_bad_input(shell: Shell) -> None:
    mine = shell.signed(ATLAS, "sam", GRANT)
    recorded = await shell.answer(mine)
    other = shell.signed(ATLAS, "sam", GRANT | {"person": "liv"}, command_id=mine.command_id)
    with pytest.raises(BadInput, match="another command has this id"):
        await shell.told(other, recorded.receipt)


async def test_a_changed_entry_and_one_that_a_worker_made_by_itself_are_no_answer(shell: Shell) -> None:
    given = shell.signed(ATLAS, "sam", GRANT)
    receipt = (await shell.answer(given)).receipt
    entry = entry_of(receipt.entry.encode())

    def claiming(changed: Entry) -> Receipt:
        return receipt.model_copy(update={"entry": line_of(changed).decode(), "hash": changed.hash.hex()})

    assert "was changed" in await broken(shell, given, claiming(entry._replace(body=b"[]")))
    assert "does not prove it" in await broken(shell, given, claiming(resealed(entry, body=b'[{"kind":"office_granted"}]')))
    assert "not written as exports are" in await broken(shell, given, receipt.model_copy(update={"entry": receipt.entry.strip() + " \n"}))
    assert "cannot be read" in await broken(shell, given, receipt.model_copy(update={"entry": "nonsense"}))


async def test_what_was_signed_for_something_else_is_no_answer(shell: Shell) -> None:
    """Whoever holds the log key can seal what they like; they cannot sign for a person."""
    given = shell.signed(ATLAS, "sam", GRANT)
    recorded = await shell.answer(given)
    entry = entry_of(recorded.receipt.entry.encode())
    older = shell.signed(ATLAS, "sam", GRANT | {"person": "liv"})
    stranger = shell.signed(ATLAS, "sam", GRANT, command_id=given.command_id, key="a stranger's", lifetime=timedelta(minutes=9))
    again = shell.signed(ATLAS, "sam", GRANT, command_id=given.command_id, lifetime=timedelta(minutes=8))

    async def sealed(signed: bytes, signature: bytes) -> Receipt:
        forged = resealed(entry, signed=signed, signature=signature)
        file = sealed_after(shell, await shell.log.read(0, 1), forged)
        return recorded.receipt.model_copy(update={"entry": line_of(forged).decode(), "proof": file})

    for signed, signature, why in (
        (b"", b"", "not signed as the command was"),
        (given.signed[:-1] + b" }", given.signature, "not signed as the command was"),
        (again.signed, given.signature, "not signed as the command was"),
        (older.signed, older.signature, "another command"),
        (stranger.signed, stranger.signature, "never was sam's"),
    ):
        assert why in await broken(shell, given, await sealed(signed, signature))
    assert (await shell.told(given, await sealed(again.signed, again.signature))).receipt is not None


async def test_a_proof_that_does_not_fit_proves_nothing(shell: Shell) -> None:
    one, given = await shell.answer(shell.signed(ATLAS, "sam", GRANT)), shell.signed(ATLAS, "sam", GRANT | {"person": "liv"})
    receipt = (await shell.answer(given)).receipt
    parsed = proof.parse(receipt.proof.encode())
    origin = sealing.origin_of(shell.first)
    stranger = Signing(shell.signers.key("a stranger's"))
    other = checkpoint.sign(
        Checkpoint("open-model-consortium/" + "0" * 64, 3, bytes(32)), shell.signing.note_key("open-model-consortium/" + "0" * 64)
    )
    unsigned = checkpoint.sign(
        Checkpoint(origin, 3, checkpoint.read(parsed.checkpoint.decode().partition("\n\n")[0] + "\n").root), stranger.note_key(origin)
    )
    for file in (
        one.receipt.proof, "nonsense", receipt.proof.replace("index 2", "index 1"),
        proof.Proof(parsed.index, parsed.hashes[:-1], parsed.checkpoint).encode().decode(),
        proof.Proof(parsed.index, parsed.hashes, other).encode().decode(),
        proof.Proof(parsed.index, parsed.hashes, unsigned).encode().decode(),
    ):  # fmt: skip
        assert "does not prove it" in await broken(shell, given, receipt.model_copy(update={"proof": file}))
    assert (await shell.told(given, receipt)).receipt is not None


def shown(answer: Answer, given: Submission, capsys: pytest.CaptureFixture[str]) -> str:
    """What a person reads of a refusal."""
    with pytest.raises(Refused) as raised:
        answers.accepted(answer, given.command_id)
    capsys.readouterr()
    assert show_failure(raised.value, as_json=False) == 2
    return capsys.readouterr().err


async def test_an_application_of_somebody_unknown_may_be_refused_without_an_entry_and_nothing_else(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    command = {"kind": "apply"}
    given = Submission("member/helio", derived_id("apply"), "ada", encode_json(command))
    answer = await shell.told(given, None, NO)
    assert (answer.refusal, "nothing proves it" in answer.unseen) == (NO, True)
    assert kept(shell) == []
    assert "not seen on the log: what those are refused" in shown(answer, given, capsys)


async def test_a_refusal_whose_receipt_cannot_be_kept_is_shown_and_said_so(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    await shell.gives("sam", GRANT)
    given = shell.signed(ATLAS, "bo", REFUSED)
    recorded = await shell.answer(given)
    assert "not seen" not in shown(await shell.told(given, recorded.receipt, recorded.refusal), given, capsys)
    (path := shell.folder / FOLDER / f"{given.command_id}.json").unlink()
    path.mkdir()
    said = shown(await shell.told(given, recorded.receipt, recorded.refusal), given, capsys)
    assert "the receipt is not kept: " in said
    assert "cannot be written" in said


async def test_a_refusal_on_a_log_that_nobody_signs_is_shown_with_that_remark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await (await SqliteLog.open(tmp_path / "log.db")).close()
    given = Submission(ATLAS, derived_id("unsigned"), "sam", encode_json(GRANT))
    answer = await answers.checked(Settings(folder=tmp_path), Given(*given[:6]), None, NO)
    assert "not seen on the log: nobody signs this log" in shown(answer, given, capsys)


# ---------------------------------------------------------------- keys and logs


async def test_a_key_that_was_enrolled_since_is_learnt_from_the_log(shell: Shell) -> None:
    await shell.gives("sam", GRANT)
    await shell.enrol_log_key("log-2")
    first = shell.recorder
    shell.recorder = Recorder(shell.log, clock=shell.clock, signing=Signing(shell.signers.key("log-2")))
    assert len(pinned_keys(shell)) == 1
    answer = await shell.gives("sam", GRANT | {"person": "liv"})
    assert answer.receipt is not None
    assert len(pinned_keys(shell)) == 2
    await first.close()


async def test_a_key_counts_up_to_the_entry_that_revokes_it(shell: Shell) -> None:
    await shell.gives("sam", GRANT)
    await shell.enrol_log_key("log-2")
    revoke = {"kind": "revoke_log_key", "public_key": shell.signers.line(LOG)}
    await shell.give(ATLAS, "sam", revoke)
    last = shell.signed(ATLAS, "bo", revoke)
    assert (await shell.told(last, (await shell.answer(last)).receipt)).receipt is not None
    desk = Desk(shell.chosen)
    async with log_of(shell.chosen) as log:
        desk.learn(await receipts.Known.on(log))
    entries = await shell.log.read(0, 100)
    given = shell.signed(ATLAS, "sam", GRANT | {"person": "liv"})
    assert "does not prove it" in await broken(shell, given, claimed_after(shell, entries, given))


async def test_no_refusal_is_believed_of_a_key_that_was_revoked_while_another_one_was_pinned(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SEEN_SECONDS", 0)
    await shell.gives("sam", GRANT)
    await shell.enrol_log_key("log-2")
    for officer in ("sam", "bo"):
        await shell.give(ATLAS, officer, {"kind": "revoke_log_key", "public_key": shell.signers.line(LOG)})
    entries = await shell.log.read(0, 100)
    given = shell.signed(ATLAS, "sam", GRANT | {"person": "liv"})
    claim = claimed_after(shell, entries, given, outcome="refused", body=encode_json(NO.model_dump()))
    with pytest.raises(Broken, match="does not hold this command there"):
        await shell.told(given, claim, NO)
    (shell.folder / "log.db").rename(shell.folder / "elsewhere.db")
    assert "there is no log" in (await shell.told(given, claim, NO)).unseen


async def test_another_log_in_the_place_of_the_one_that_was_met_is_noticed(shell: Shell, tmp_path: Path) -> None:
    await shell.gives("sam", GRANT)
    await shell.end()
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    other = await Shell.begun(tmp_path)
    given = other.signed(ATLAS, "sam", GRANT)
    assert "another one than" in await broken(other, given, (await other.answer(given)).receipt)
    with pytest.raises(Broken, match="another one than"):
        await receipts.receipts(where=Where(folder=tmp_path))
    (tmp_path / FOLDER / KNOWN).unlink()
    assert (await other.gives("sam", GRANT | {"person": "liv"})).receipt is not None
    shell.log, shell.recorder = other.log, other.recorder


async def test_a_signed_answer_that_cannot_be_checked_from_here_is_not_shown(shell: Shell) -> None:
    given = shell.signed(ATLAS, "sam", GRANT)
    recorded = await shell.answer(given)
    (shell.folder / "log.db").rename(shell.folder / "elsewhere.db")
    with pytest.raises(Unreachable, match="cannot be checked from here"):
        await shell.told(given, recorded.receipt)


DAMAGED = (
    "{", "[]", "7", '{"a log": 7}', '{"a log": {}}', '{"a log": {"first": "0"}}', '{"a log": {"first": 0, "keys": {}}}',
    '{"a log": {"first": "0", "keys": []}}', '{"a log": {"first": "0", "keys": {"a key": 7}}}',
    '{"a log": {"first": "0", "keys": {"a key": [1]}}}', '{"a log": {"first": "0", "keys": {"a key": ["1", null]}}}',
)  # fmt: skip


async def test_damaged_pins_are_told_and_not_made_anew(shell: Shell) -> None:
    await shell.gives("sam", GRANT)
    for written in DAMAGED:
        (shell.folder / FOLDER / KNOWN).write_text(written, encoding="utf-8")
        with pytest.raises(BadInput, match=r"known\.json is damaged"):
            await shell.gives("sam", GRANT | {"person": "liv"})


# ---------------------------------------------------------------- later


async def test_all_receipts_are_still_on_the_log(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        await shell.gives("sam" if number % 2 else "bo", GRANT | {"person": f"ann-{number}"})
    found = await shell.checks(capsys)
    assert found["newest"] == 6
    assert [(each["position"], each["outcome"], each["wrong"]) for each in found["receipts"]] == [
        (number + 2, "accepted" if number % 2 else "refused", "") for number in range(5)
    ]
    await receipts.receipts(where=Where(folder=shell.folder))
    assert "5 receipts: the log holds every one of them" in " ".join(capsys.readouterr().out.split())


async def test_without_receipts_there_is_nothing_to_find(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert await shell.checks(capsys) == {"receipts": [], "others": 0, "newest": 1}


async def test_an_older_copy_of_the_log_is_noticed_by_who_has_a_receipt(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.gives("sam", GRANT)
    first = await shell.log.read(0, 1)
    await shell.end()
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    shell.log = copy = await SqliteLog.open(tmp_path / "log.db")  # type: ignore[assignment]
    edge, more = Frontier().extended([first[0].hash])
    await copy.append(first, None, sealing.seal(edge, more, shell.signing.note_key(sealing.origin_of(shell.first))))
    with pytest.raises(Broken) as raised:
        await shell.checks(capsys)
    assert "does not hold entry 2 any more" in raised.value.message
    # A vote that vanished: the worker goes on with another history, signed by the same key.
    shell.recorder = Recorder(copy, clock=shell.clock, signing=shell.signing)
    await shell.give(ATLAS, "sam", GRANT | {"person": "liv"})
    with pytest.raises(Broken) as raised:
        await shell.checks(capsys)
    assert "holds another entry at 2" in raised.value.message


async def test_a_log_that_signs_another_history_than_before_is_noticed(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    await shell.gives("sam", GRANT)
    await shell.gives("sam", GRANT | {"person": "liv"})
    origin = sealing.origin_of(shell.first)
    for size, why in ((3, "does not go on"), (2, "says now that there are 2")):
        lie = checkpoint.sign(Checkpoint(origin, size, bytes(32)), shell.signing.note_key(origin))
        await shell.log._write(lambda db, row=(size, lie): db.execute("INSERT OR REPLACE INTO sealed VALUES (1, ?, ?)", row))  # type: ignore[attr-defined]
        with pytest.raises(Broken) as raised:
            await shell.checks(capsys)
        assert why in raised.value.message
    await shell.log._write(lambda db: db.execute("DELETE FROM sealed"))  # type: ignore[attr-defined]
    with pytest.raises(Broken, match="there is no checkpoint"):
        await shell.checks(capsys)


async def test_a_receipt_that_was_changed_is_named(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    await shell.gives("sam", GRANT)
    path = Desk(shell.chosen).kept()[0]
    good = json.loads(path.read_text(encoding="utf-8"))
    entry = entry_of(good["entry"].encode())
    for change, why in (
        ({"entry": "nonsense"}, "cannot be read"),
        ({"proof": "nonsense"}, "proves nothing"),
        ({"entry": line_of(entry._replace(actor="eve")).decode()}, "was changed"),
        ({"entry": line_of(resealed(entry, actor="eve")).decode()}, "proves nothing"),
        ({"log": 7}, "is no receipt"),
    ):
        path.write_text(json.dumps(good | change), encoding="utf-8")
        with pytest.raises(Broken) as raised:
            await shell.checks(capsys)
        assert why in raised.value.message


async def test_receipts_of_another_log_are_counted_and_never_passed_over(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.gives("sam", GRANT)
    path = Desk(shell.chosen).kept()[0]
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"log": "0" * 64}), encoding="utf-8")
    with pytest.raises(Broken, match="none of the receipts here is of the log at .*: 1 is of another log, and was not checked") as raised:
        await shell.checks(capsys)
    assert raised.value.details["others"] == 1
    await shell.gives("sam", GRANT | {"person": "liv"})
    found = await shell.checks(capsys)
    assert ([each["position"] for each in found["receipts"]], found["others"]) == ([3], 1)
    await receipts.receipts(where=Where(folder=shell.folder))
    assert "Besides, 1 is of another log" in " ".join(capsys.readouterr().out.split())
    # Nobody pins the log that is in its place, for nobody signs it.
    await shell.end()
    for each in [*tmp_path.glob("log.db*"), tmp_path / FOLDER / KNOWN]:
        each.unlink()
    shell.log = await SqliteLog.open(tmp_path / "log.db")  # type: ignore[assignment]
    shell.recorder = Recorder(shell.log, clock=shell.clock)
    with pytest.raises(Broken, match="2 are of another log, and were not checked"):
        await shell.checks(capsys)


async def test_an_export_comes_with_what_the_log_signed_of_it_even_if_others_append_meanwhile(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.gives("sam", GRANT)
    real, late = keep.of_log, [shell.signed(ATLAS, "sam", GRANT | {"person": "late"})]

    async def with_others(log: Log) -> AsyncIterator[Sequence[Entry]]:
        async for batch in real(log):
            yield batch
            if late:
                await shell.recorder.record(late.pop())
                return

    monkeypatch.setattr(keep, "of_log", with_others)
    where, file = Where(folder=shell.folder, json=True), tmp_path / "atlas.jsonl"
    await keep.export(file, where=where)
    told = json.loads(capsys.readouterr().out)
    entries = [entry_of(line) for line in file.read_bytes().splitlines(keepends=True)]
    found = checkpoint.read(note.parse((tmp_path / "atlas.jsonl.checkpoint").read_bytes()).text)
    assert (told["entries"], told["sealed"], found.size) == (3, 3, 3)
    assert found.root == Frontier().extended(entry.hash for entry in entries).frontier.root()
    file.unlink()
    with pytest.raises(BadInput, match="is there already"):
        await keep.export(file, where=where)
