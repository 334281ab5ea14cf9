"""What stands behind each command: nobody speaks for another, and the log believes no argument.

| who gives it | what stands behind it | without that |
| --- | --- | --- |
| a person | their statement, signed by a key that is theirs as of the entry | no entry, and the id stays free |
| a person whose signature is theirs, and not enough | | a refusal on the log: other_consortium, other_place, command_expired, issued_ahead, unreadable_time, key_not_valid |
| who found it, applies, or begins to sign on an older log | the same, by a key that the command brings with its proof | no entry |
| a deadline | the stream's agenda, by the recorder's clock | no entry: not owed, or not yet |
| a letter, a motion | the step of the sending stream that owes exactly it | no entry |
| what came of a step | the tag of a worker: a log key's signature over log, stream, step, attempt and outcome | no entry, and the step is carried out again |
| that a step takes long | time: it changes attention only | no entry |
| a rehearsal's clock | the tag of a log key | no entry |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from audit.reexecute import Reexecution
from domain.charter import OFFICERS as OFFICES
from domain.charter import Office
from domain.kernel import LOG, SERVICE, Step, derived_id
from domain.stream import (
    StepDelayed,
    StepFailed,
    StepOwed,
    StepRetried,
    Stream,
    after_step_event,
    deadline_id,
    letter_id,
    outcome_id,
)
from eventstore.answers import NotYet, Recorded, SameIdOtherCommand
from eventstore.authority import NotOwed, Unauthorised, WrongTag
from eventstore.clock import MovedClock
from eventstore.entries import Submission, encode_json
from eventstore.log import KeyNotEnrolled, Unsigned
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from eventstore.statement import Carried, Restarted, Seen, Sent, digest, instant_text, written
from eventstore.verifying import Signing
from eventstore.wire import Malformed
from tests.golden_log import entries_of, logs, rules_file
from tests.signers import Signers, unsigned
from tests.stories import charter, day

ATLAS = "consortium/atlas"
ROUND = "round/vega"
OFFICERS = {"sam": ["secretariat"], "tess": ["treasurer"], "theo": ["second-signatory"], "bo": ["board"]}
GRANT = {"kind": "grant_office", "person": "ann", "office": "auditor"}
OPEN = {
    "kind": "open_round", "title": "Vega", "currency": "USD", "goal": 100_000_000, "minimum": 50_000_000,
    "opens_at": instant_text(day(2)), "closes_at": instant_text(day(10)),
    "budget": [{"name": "compute", "amount": 100_000_000}], "tranches": [{"name": "all", "fraction": 10_000}],
}  # fmt: skip


class Site:
    """A signed log, and everybody's keys."""

    def __init__(self) -> None:
        self.signers = Signers()
        self.clock = MovedClock(day(0))
        self.log = MemoryLog()
        self.signing = Signing(self.signers.key("log"))
        self.recorder = Recorder(self.log, clock=self.clock, signing=self.signing)
        self.first = ""

    async def found(self) -> Recorded:
        command = self.signers.founding(ATLAS, charter().model_dump(mode="json"), OFFICERS) | {"clock": {"kind": "moved"}}
        recorded = await self.recorder.record(self.signers.signed(ATLAS, "sam", command, "", at=self.clock.now()))
        assert recorded.refusal is None, recorded.refusal
        self.first = await self.recorder.first()
        return recorded

    def signed(self, stream: str, by: str, command: dict[str, Any], **changes: Any) -> Submission:
        return self.signers.signed(stream, by, command, self.first, **({"at": self.clock.now()} | changes))

    async def give(self, stream: str, by: str, command: dict[str, Any], **changes: Any) -> Recorded:
        return await self.recorder.record(self.signed(stream, by, command, **changes))

    async def enrol_log_key(self, name: str) -> None:
        """Two officers enrol the key of this name for a further worker."""
        proof = self.signers.proof(LOG, self.first, name)
        for officer in ("sam", "bo"):
            recorded = await self.give(ATLAS, officer, {"kind": "enrol_log_key", "public_key": self.signers.line(name), "proof": proof})
            assert recorded.refusal is None, recorded.refusal

    async def refused(self, rule: str, stream: str, by: str, command: dict[str, Any], **changes: Any) -> None:
        """The log holds the refusal, under this rule."""
        recorded = await self.give(stream, by, command, **changes)
        assert recorded.refusal is not None
        assert (recorded.refusal.rule, recorded.entry.position) == (rule, (await self.log.head()).position)

    async def no_entry(self, submission: Submission, error: type[Exception] | tuple[type[Exception], ...] = Unauthorised) -> str:
        """It is turned away, and the log is as before."""
        before = await self.log.head()
        with pytest.raises(error) as raised:
            await self.recorder.record(submission)
        assert await self.log.head() == before
        assert not await self.log.find([submission.command_id])
        return str(raised.value)

    def tagged(self, stream: str, came: dict[str, Any], attempt: int, *, by: str = "log", of: str = "", **changes: Any) -> Submission:
        body = encode_json(came)
        said = {
            "attempt": attempt,
            "log": self.first,
            "outcome": digest(body),
            "step": came["step"],
            "stream": of or stream,
            "version": 1,
        }
        signed, signature = Signing(self.signers.key(by)).tag(Carried(**{**said, **changes}))
        return Submission(stream, outcome_id(stream, came["step"], attempt), SERVICE, body, signed, signature)

    async def sound(self) -> None:
        """Whoever decides the log again comes to the same, signatures and all."""
        entries = await self.log.read(0, 10_000)
        check = Reexecution()
        assert (check.check(entries), check.unsigned) == (None, 0)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.found()
    yield site
    await site.sound()
    await site.recorder.close()


# ---------------------------------------------------------------- persons


async def test_what_a_person_signed_is_recorded_with_the_bytes_that_they_signed(site: Site) -> None:
    given = site.signed(ATLAS, "sam", GRANT)
    entry = (await site.recorder.record(given)).entry
    assert (entry.signed, entry.signature, entry.actor) == (given.signed, given.signature, "sam")


async def test_signed_again_it_is_the_same_command_and_gets_the_first_answer(site: Site) -> None:
    one = derived_id("once")
    first = await site.give(ATLAS, "sam", GRANT, command_id=one)
    site.clock.to(day(0) + timedelta(minutes=5))
    again = await site.give(ATLAS, "sam", GRANT, command_id=one, seen=Seen(first.entry.hash.hex(), first.entry.position))
    assert again.entry == first.entry
    with pytest.raises(SameIdOtherCommand):
        await site.give(ATLAS, "sam", {**GRANT, "person": "eve"}, command_id=one)


async def test_a_worker_that_has_not_read_what_another_recorded_turns_nobody_away_for_it(site: Site) -> None:
    other = Recorder(site.log, clock=site.clock, signing=site.signing)
    await other.record(site.signed(ATLAS, "sam", GRANT))
    await site.give(ATLAS, "sam", {"kind": "enrol_key", **site.signers.request("sam", site.first, "sam's second")})
    given = site.signed(ATLAS, "sam", GRANT | {"person": "ned"}, key="sam's second")
    assert (await other.record(given)).refusal is None
    await other.close()


async def test_without_a_signature_nobody_speaks(site: Site) -> None:
    assert "must sign" in await site.no_entry(unsigned(ATLAS, GRANT, "sam"))


async def test_nobody_speaks_for_another_by_a_key_of_their_own(site: Site) -> None:
    assert "no key of sam" in await site.no_entry(site.signed(ATLAS, "sam", GRANT, key="bo"))
    assert "no key of sam" in await site.no_entry(site.signed(ATLAS, "sam", GRANT, key="a stranger's"))
    borrowed = site.signed(ATLAS, "bo", GRANT)
    assert "by another person" in await site.no_entry(borrowed._replace(actor="sam"))


async def test_a_strangers_words_leave_no_entry(site: Site) -> None:
    await site.no_entry(site.signed(ATLAS, "eve", GRANT))


async def test_one_bit_of_the_statement_or_of_the_signature_is_noticed(site: Site) -> None:
    given = site.signed(ATLAS, "sam", GRANT)
    changed = given.signed.replace(b'"auditor"', b'"advisor"')
    await site.no_entry(given._replace(signed=changed))
    await site.no_entry(given._replace(signature=given.signature[:-1] + bytes([given.signature[-1] ^ 1])))
    await site.no_entry(given._replace(command=given.command.replace(b"ann", b"eve")))


async def test_a_statement_in_another_form_than_the_canonical_one_is_none(site: Site) -> None:
    given = site.signed(ATLAS, "sam", GRANT)
    for other in (given.signed + b" ", given.signed.replace(b'{"actor"', b'{"more":1,"actor"'), b"{}", b"", b"\xff", b"[" * 5_000):
        await site.no_entry(given._replace(signed=other))


async def test_what_was_signed_for_another_stream_or_another_id_is_refused_once_and_its_own_id_stays_free(site: Site) -> None:
    given = site.signed(ATLAS, "sam", GRANT)
    turned = await site.recorder.record(given._replace(command_id=derived_id("another")))
    assert turned.refusal is not None
    assert turned.refusal.rule == "other_place"
    head = await site.log.head()
    assert (await site.recorder.record(given._replace(command_id=derived_id("a third")))).entry == turned.entry
    with pytest.raises(SameIdOtherCommand):
        await site.recorder.record(given._replace(stream="consortium/other"))
    assert await site.log.head() == head, "a captured statement leaves one trace, not many"
    assert (await site.recorder.record(given)).refusal is None


async def test_what_was_signed_for_another_consortium_is_refused(site: Site) -> None:
    await site.refused("other_consortium", ATLAS, "sam", GRANT, consortium="0" * 64)


async def test_what_was_signed_expires_and_holds_nothing_from_the_future(site: Site) -> None:
    now = site.clock.now()
    await site.refused("command_expired", ATLAS, "sam", GRANT, at=now - timedelta(hours=2))
    await site.refused("issued_ahead", ATLAS, "sam", GRANT, at=now + timedelta(seconds=31))
    await site.refused("unreadable_time", ATLAS, "sam", GRANT, issued_at="2199-01-01")
    await site.refused("issued_ahead", ATLAS, "sam", GRANT, issued_at="9999-12-31T23:59:59Z", expires_at="9999-12-31T23:59:59Z")
    assert (await site.give(ATLAS, "sam", GRANT, at=now + timedelta(seconds=30))).refusal is None


async def test_a_key_that_was_revoked_signs_nothing_more_and_what_it_signs_is_still_known_to_be_its_holders(site: Site) -> None:
    second = site.signers.request("sam", site.first, "sam's second")
    assert (await site.give(ATLAS, "sam", {"kind": "enrol_key", **second})).refusal is None
    old = site.signers.line("sam")
    assert (await site.give(ATLAS, "sam", {"kind": "revoke_key", "person": "sam", "public_key": old})).refusal is None
    await site.refused("key_not_valid", ATLAS, "sam", GRANT)
    assert (await site.give(ATLAS, "sam", GRANT, key="sam's second")).refusal is None


async def test_a_key_is_enrolled_with_a_proof_by_that_key_alone(site: Site) -> None:
    mine = {"kind": "enrol_key", "person": "sam", "public_key": site.signers.line("found on the street")}
    for proof in (
        site.signers.proof("sam", site.first),
        site.signers.proof("bo", site.first, "found on the street"),
        site.signers.proof("sam", "0" * 64, "found on the street"),
    ):
        await site.refused("key_not_proven", ATLAS, "sam", mine | {"proof": proof})


async def test_what_was_seen_of_another_log_is_worth_nothing_here(site: Site) -> None:
    head = await site.log.head()
    assert (await site.give(ATLAS, "sam", GRANT, seen=Seen(head.hash.hex(), head.position))).refusal is None
    for seen in (Seen("0" * 64, head.position), Seen(head.hash.hex(), head.position + 10), Seen("0" * 64, 0)):
        assert "another log" in await site.no_entry(site.signed(ATLAS, "bo", GRANT, seen=seen))


async def test_nobody_founds_in_the_name_of_an_officer_without_their_key() -> None:
    site = Site()
    command = site.signers.founding(ATLAS, charter().model_dump(mode="json"), OFFICERS) | {"clock": {"kind": "moved"}}
    await site.no_entry(site.signers.signed(ATLAS, "sam", command, "", at=site.clock.now(), key="eve"))
    await site.no_entry(unsigned(ATLAS, command, "sam"))
    for log_key in (site.signers.log_key(ATLAS, "eve"), {"log_key": None}):
        theirs = command | log_key
        assert "of the host" in await site.no_entry(site.signers.signed(ATLAS, "sam", theirs, "", at=site.clock.now()))
    other = site.signers.signed(ATLAS, "sam", command, "0" * 64, at=site.clock.now())
    turned = await site.recorder.record(other)
    assert turned.refusal is not None
    assert (turned.refusal.rule, (await site.log.head()).position) == ("other_consortium", 0)
    await site.recorder.close()


# ---------------------------------------------------------------- the system


async def opened(site: Site) -> Recorded:
    """A round is announced, with a deadline and notices owed."""
    recorded = await site.give(ROUND, "tess", OPEN)
    assert recorded.refusal is None, recorded.refusal
    return recorded


async def test_nobody_speaks_as_the_system(site: Site) -> None:
    await opened(site)
    money = {"kind": "record_payment", "member": "ada", "amount": 1, "reference": "X", "value_date": "2026-03-01"}
    assert "nothing stands behind" in await site.no_entry(unsigned(ROUND, money))
    await site.no_entry(site.signed(ROUND, SERVICE, money))
    assert (await site.give(ROUND, "bo", money)).refusal is not None


async def test_a_deadline_is_what_the_agenda_owes_when_it_has_come_and_nothing_else(site: Site) -> None:
    await opened(site)
    standing = await site.recorder.standing(ROUND)
    deadline = standing.agenda.deadline
    assert deadline is not None
    said = deadline.command.model_dump(mode="json")
    named = deadline_id(ROUND, standing.stream.version, deadline.at, said)
    await site.no_entry(unsigned(ROUND, said, command_id=named), NotYet)
    await site.no_entry(unsigned(ROUND, said), NotOwed)
    await site.no_entry(unsigned(ROUND, {"kind": "close_pledging"}), NotOwed)
    site.clock.to(deadline.at)
    await site.no_entry(unsigned(ROUND, said, command_id=derived_id("forged")), NotOwed)
    assert (await site.recorder.record(unsigned(ROUND, said, command_id=named))).refusal is None


async def test_nothing_but_the_deadline_itself_passes_under_its_id(site: Site) -> None:
    """The id can be reckoned by everybody: what counts is the command that the agenda owes."""
    key, _ = await owed(site)
    standing = await site.recorder.standing(ROUND)
    deadline = standing.agenda.deadline
    assert deadline is not None
    named = deadline_id(ROUND, standing.stream.version, deadline.at, deadline.command.model_dump(mode="json"))
    site.clock.to(deadline.at)
    money = {"kind": "record_payment", "member": "ada", "amount": 1, "reference": "X", "value_date": "2026-03-01"}
    for command in (money, {"kind": "step_done", "step": key}, {"kind": "fail_step", "step": key, "reason": "forged"}):
        await site.no_entry(unsigned(ROUND, command, command_id=named))
    await site.no_entry(unsigned(ROUND, {"kind": "close_pledging"}, command_id=named), NotOwed)
    assert (await site.recorder.record(unsigned(ROUND, deadline.command.model_dump(mode="json"), command_id=named))).refusal is None


async def owed(site: Site) -> tuple[str, int]:
    """The key and the attempt of a notice that is owed."""
    await opened(site)
    stream = (await site.recorder.standing(ROUND)).stream
    key = next(key for key, step in stream.owed.items() if step.kind == "notify")
    return key, stream.tries[key]


async def test_what_came_of_a_step_is_taken_from_a_worker_of_this_log_only(site: Site) -> None:
    key, attempt = await owed(site)
    done = {"kind": "step_done", "step": key}
    mine = site.tagged(ROUND, done, attempt)
    for forged in (
        site.tagged(ROUND, done, attempt, by="a rogue worker"),
        site.tagged(ROUND, done, attempt, by="sam"),
        site.tagged(ROUND, done, attempt, log="0" * 64),
        site.tagged(ROUND, done, attempt, of="round/other"),
        site.tagged(ROUND, done, attempt, outcome="0" * 64),
        site.tagged(ROUND, done, attempt + 1)._replace(command_id=mine.command_id),
        mine._replace(command=encode_json({"kind": "fail_step", "step": key, "reason": "forged"})),
    ):
        await site.no_entry(forged, WrongTag)
    await site.no_entry(unsigned(ROUND, done, command_id=mine.command_id))
    failed = {"kind": "fail_step", "step": key, "reason": "forged"}
    await site.no_entry(unsigned(ROUND, failed, command_id=mine.command_id))
    assert (await site.recorder.record(mine)).kinds[0] == "step_carried_out"
    await site.no_entry(site.tagged(ROUND, {"kind": "step_done", "step": "another"}, attempt), NotOwed)


async def test_a_letter_is_what_the_sending_stream_owes_word_for_word(site: Site) -> None:
    """A statement of the bank is imported, and money that nobody expects waits: the only letters here are those that streams owe."""
    await opened(site)
    money = {"kind": "record_payment", "member": "ada", "amount": 1, "reference": "X", "value_date": "2026-03-01"}
    for sent in (Sent(0, "treasury/main", "tell:X"), Sent(0, ATLAS, "tell:X"), Sent(0, "no stream", "tell:X"), Sent(0, ROUND, "tell:X")):
        forged = Submission(ROUND, letter_id(sent.source, sent.step, 0), SERVICE, encode_json(money), written(sent))
        await site.no_entry(forged, (NotOwed, Malformed))


async def test_a_rehearsals_clock_is_set_by_whoever_runs_its_log(site: Site) -> None:
    clock = {"kind": "paced", "real": instant_text(datetime.now(UTC)), "log": instant_text(site.clock.now()), "pace": 60}
    body = encode_json({"kind": "restart_clock", "clock": clock})
    named = derived_id("clock")
    await site.no_entry(Submission(ATLAS, named, SERVICE, body))
    for log, by, command in (("0" * 64, "log", digest(body)), (site.first, "eve", digest(body)), (site.first, "log", "0" * 64)):
        signed, signature = Signing(site.signers.key(by)).tag(Restarted(command, named, log, 1))
        await site.no_entry(Submission(ATLAS, named, SERVICE, body, signed, signature), WrongTag)
    signed, signature = site.signing.tag(Restarted(digest(body), named, site.first, 1))
    await site.no_entry(Submission(ATLAS, derived_id("later"), SERVICE, body, signed, signature), WrongTag)
    recorded = await site.recorder.record(Submission(ATLAS, named, SERVICE, body, signed, signature))
    assert recorded.refusal is None
    with pytest.raises(WrongTag):
        await site.recorder.record(Submission(ATLAS, derived_id("later"), SERVICE, body, signed, signature))


def test_only_a_step_that_failed_is_asked_for_again_under_an_id_of_its_own() -> None:
    """A letter of a delayed step may have been taken: under a further id it would be given twice."""
    step = Step(kind="tell", key="tell:x", data={"stream": ROUND, "command": {"kind": "start_pledging"}})
    stream = after_step_event(Stream(None), StepOwed(step=step))
    delayed = after_step_event(after_step_event(stream, StepDelayed(step="tell:x", reason="late")), StepRetried(step="tell:x"))
    failed = after_step_event(after_step_event(stream, StepFailed(step="tell:x", reason="refused")), StepRetried(step="tell:x"))
    assert (delayed.retried.get("tell:x", 0), failed.retried.get("tell:x", 0)) == (0, 1)
    assert delayed.tries["tell:x"] > stream.tries["tell:x"]


# ---------------------------------------------------------------- whoever checks the log


async def test_whoever_decides_the_log_again_finds_what_stands_behind_nothing(site: Site) -> None:
    """An operator who writes to the log by themselves, unsigned or with a signature for something else, is found at the entry."""
    await site.give(ATLAS, "sam", GRANT)
    rogue = Recorder(site.log, clock=site.clock)
    await rogue.record(unsigned(ATLAS, {**GRANT, "person": "eve"}, "sam"))
    found = Reexecution().check(await site.log.read(0, 100))
    assert found is not None
    assert (found.position, "sign" in found.reason) == (3, True)
    await rogue.close()
    site.log = MemoryLog()  # what is checked afterwards is empty


# ---------------------------------------------------------------- a log that was begun without signatures


async def unsigned_log() -> tuple[MemoryLog, list[str]]:
    """The founding of a consortium under rules 6, and its officers."""
    founded = next(iter(logs(entries_of(rules_file("6")))))[:1]
    log = MemoryLog()
    await log.append(founded)
    return log, sorted({event["person"] for event in msgspec.json.decode(founded[0].body) if event["kind"] == "office_granted"})


async def test_a_log_that_was_begun_without_signatures_goes_on_once_two_officers_begin_to_sign() -> None:
    site = Site()
    site.log, officers = await unsigned_log()
    stream = (await site.log.read(0, 1))[0].stream
    site.recorder = Recorder(site.log, clock=site.clock, signing=site.signing)
    site.first = await site.recorder.first()
    site.clock.to((await site.recorder.replica()).head_time + timedelta(minutes=1))
    for officer in officers:
        await site.no_entry(site.signed(stream, officer, GRANT), (Unsigned, Unauthorised))
    register = (await site.recorder.replica()).register
    answering = [person for person in officers if register.holds(person, *OFFICES)]
    holders = [site.signers.request(person, site.first) for person in officers]
    begin = {"kind": "begin_signing", "holders": holders, **site.signers.log_key(site.first)}
    await site.no_entry(site.signed(stream, answering[0], begin, key="eve"))
    await site.no_entry(unsigned(stream, begin, answering[0]))
    assert (await site.give(stream, answering[0], begin)).refusal is None
    await site.no_entry(site.signed(stream, answering[0], GRANT), Unsigned)
    assert (await site.give(stream, answering[1], begin)).kinds[-1] == "signing_begun"
    secretary = next(person for person in officers if register.holds(person, Office.SECRETARIAT))
    assert (await site.give(stream, secretary, GRANT)).refusal is None
    check = Reexecution()
    assert (check.check(await site.log.read(0, 100)), check.head.position) == (None, (await site.log.head()).position)
    await site.recorder.close()


# ---------------------------------------------------------------- whoever records


async def test_a_worker_whose_key_nobody_enrolled_records_nothing_and_takes_up_once_two_officers_have(site: Site) -> None:
    other = Recorder(site.log, clock=site.clock, signing=Signing(site.signers.key("another host")))
    assert other.unfit is None
    unfit = await other.examine()
    assert unfit is not None
    assert (unfit.reason, "consortium key enrol --log" in str(unfit)) == ("log_key_not_enrolled", True)
    with pytest.raises(KeyNotEnrolled):
        await other.record(site.signed(ATLAS, "sam", GRANT))
    await site.enrol_log_key("another host")
    assert await other.examine() is None
    assert (await other.record(site.signed(ATLAS, "sam", GRANT))).refusal is None
    revoke = {"kind": "revoke_log_key", "public_key": site.signers.line("another host")}
    for officer in ("sam", "theo"):
        assert (await site.give(ATLAS, officer, revoke)).refusal is None
    assert await other.examine() is not None
    await other.close()


async def test_before_the_founding_every_workers_key_will_do() -> None:
    recorder = Recorder(MemoryLog(), clock=MovedClock(day(0)), signing=Signing(Signers().key("log")))
    assert await recorder.examine() is None
    await recorder.close()
