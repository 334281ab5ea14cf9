"""The activities that touch the log: recording a command, and looking at a stream."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import accumulate, islice
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError

from activities.log.display import answered, currency_of, retry_command, step_line
from activities.messages import (
    ANOTHERS,
    BUG,
    ID_REUSED,
    LAST_SHOWN,
    MALFORMED,
    NOT_OWED,
    NOT_YET,
    STEP_FAILED,
    UNAVAILABLE,
    WRONG_TAG,
    Answering,
    Due,
    Envelope,
    Noted,
    Owed,
    Receipt,
    Recorded,
    RecordRequest,
    Refusal,
    Standing,
    StepRef,
    Tagged,
)
from activities.outside import FAILED, plain, progress_authenticated
from domain.forms import typed, words_for
from domain.kernel import SERVICE, Step, escaped, shown_at
from domain.register.facts import LogTime, MovedTime, PacedTime, SystemTime
from domain.stream import deadline_id, delay_id, failure_id, outcome_id
from eventstore import answers
from eventstore import recorder as store
from eventstore.answers import NotYet, SameIdOtherCommand
from eventstore.authority import NotOwed, WrongTag
from eventstore.clock import Clock, fact_of
from eventstore.entries import Entry, Submission, instant
from eventstore.export import line_of
from eventstore.log import HeadFarAhead, LogUnavailable, NewerRules, Unsigned, WrittenByNewer, WrittenOn
from eventstore.recorder import Recorder
from eventstore.statement import VERSION, Carried, digest
from eventstore.wire import Malformed, canonical_command, require_sender

DELAY: Final = "delay_step"
"""The kind of the command that says that a step takes long."""
FOUND: Final = "found"
"""The kind of the command that founds a consortium, and states the clock of its log."""
_LOG_TIME: Final[TypeAdapter[LogTime]] = TypeAdapter(LogTime)
DETAILS: Final = 4_000
"""The most characters of Markdown shown for a process."""
LONGEST_FAULT: Final = 500
"""The most characters that are told of what went wrong in a step."""
SEARCHED_BYTES: Final = 2_048
"""How long the JSON of those waited for may be that Temporal is told of: its limit for the value of one attribute. The lists have them all."""
LONGEST_SHOWN_ENTRY: Final = 64 * 1024
"""The longest line of an entry, in bytes, that a receipt carries."""
NAMED: Final = 20
"""How many of them the details name."""


_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """How an activity is tried, until it is done: for how long at a time, how often it must show life (0: never), after how many tries
    a person is asked to look, and how long it is waited between two tries from then on.
    """

    start_to_close: timedelta = timedelta(minutes=1)
    heartbeat: timedelta = timedelta()
    attempts: int = 10
    delayed: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        assert self.attempts > 0, "a person looks at what does not succeed"

    @property
    def patience(self) -> timedelta:
        """How long all tries take at least, until a person is asked: the waits between them, as Temporal's default policy has them."""
        return timedelta(seconds=sum(min(2**number, 60) for number in range(self.attempts - 1)))


class Recording:
    """Recording on one log, as activities."""

    def __init__(self, recorder: Recorder, policies: Mapping[str, Policy] | None = None) -> None:
        self._recorder = recorder
        self._policies = policies or {}

    def activities(self) -> Sequence[Callable[..., Any]]:
        """What a worker registers."""
        return (self.record, self.standing)

    @activity.defn(name="record")
    async def record(self, request: RecordRequest, envelope: Envelope) -> Recorded:
        """Records a command once and gives its answer, a refusal included. Only faults are raised; those may be tried again.

        No argument is believed: what the command rests on is looked at by the log (`eventstore.authority`). A deadline that has not come is
        told as `NOT_YET`, with the seconds until it does by Temporal's clock, if it does by itself; what is not owed as `NOT_OWED`. An
        outcome that a rule refuses, or that is no command at all, is recorded as the failure of its step.
        """
        try:
            await self._require_patience(request.stream, envelope)
            command_id = _command_id(request, envelope.command)
            require_sender(envelope.actor, command_id)
            if envelope.command.get("kind") == FOUND and not (await self._recorder.replica()).register.version:
                require_clock(envelope.command, self._recorder.clock)
            submission = Submission(
                request.stream, command_id, envelope.actor,
                canonical_command(envelope.command),
                base64.b64decode(envelope.signed, validate=True), base64.b64decode(envelope.signature, validate=True),
                request.due,
            )  # fmt: skip
            recorded = await self._recorded(request, submission)
        except (Malformed, binascii.Error) as error:
            said = str(error) if isinstance(error, Malformed) else f"signed or signature: {error}"
            if self._is_tagged_only(request):
                _log.error("outcome.wrong_tag", stream=request.stream, command_id=request.command_id, reason=said)
            raise _told(WrongTag(said) if self._is_tagged_only(request) else Malformed(said)) from error
        except NotYet as error:
            raise ApplicationError(str(error), self._seconds_until(error), type=NOT_YET, non_retryable=True) from error
        except (HeadFarAhead, Unsigned) as error:
            # What the system says goes on waiting; a person is told at once.
            said = f"{error}. Then give the command again, under a new id"
            raise ApplicationError(said, type=UNAVAILABLE, non_retryable=envelope.actor != SERVICE) from error
        except Exception as error:
            raise _told(error) from error
        entry, refusal = recorded.entry, recorded.refusal
        on_log = entry.position <= recorded.position  # what a stranger was refused is not
        return Recorded(
            receipt=Receipt(
                position=entry.position, stream=entry.stream, command_id=entry.command_id, at=instant(entry.at),
                events=list(recorded.kinds), hash=entry.hash.hex(),
                entry=_line(entry) if on_log else "", proof=await self._proof(recorded) if on_log else "",
            ),
            refusal=refusal and Refusal(rule=refusal.rule, message=refusal.message, remedy=refusal.remedy, clause=refusal.clause),
            standing=self._shown(
                entry.stream, self._recorder.view(entry.stream, recorded.position, recorded.stream),
                [self._noted(entry)] if on_log else [],
            ),
        )  # fmt: skip

    async def _proof(self, recorded: answers.Recorded) -> str:
        """That the log holds the entry; nothing where it signs nothing, or cannot be read now: the command is answered all the same."""
        try:
            return (await self._recorder.proof(recorded) or b"").decode()
        except (LogUnavailable, ValueError) as error:
            _log.warning("proof.missing", position=recorded.entry.position, error=str(error))
            return ""

    async def _recorded(self, request: RecordRequest, submission: Submission) -> answers.Recorded:
        """The answer of the log; of an outcome that it does not take the answer to the failure of its step, which this worker says itself."""
        answering = request.command_id
        if not isinstance(answering, Answering) or not self._is_tagged_only(request):
            return await self._recorder.record(submission)
        try:
            recorded = await self._recorder.record(submission)
        except Malformed as error:
            if not await self._recorder.is_tagged(submission, answering.step, answering.number):
                raise WrongTag(str(error)) from error
            reason = str(error)
        else:
            if recorded.refusal is None:
                return recorded
            reason = f"{recorded.refusal.rule}: {recorded.refusal.message}"
        failed = canonical_command({"kind": "fail_step", "step": answering.step, "reason": plain(reason, LONGEST_FAULT)})
        signed, signature = await self._tag(request.stream, answering.step, answering.number, failed)
        failure = failure_id(request.stream, answering.step, answering.number)
        return await self._recorder.record(Submission(request.stream, failure, SERVICE, failed, signed, signature))

    def _is_tagged_only(self, request: RecordRequest) -> bool:
        """Whether it is what came of a step, which the log takes with a worker's tag only: without one it is carried out again."""
        answering = request.command_id
        return self._recorder.signing is not None and isinstance(answering, Answering) and answering.what == "outcome"

    async def _tag(self, stream: str, step: str, attempt: int, outcome: bytes) -> tuple[bytes, bytes]:
        """What this worker says came of a step, and its tag; nothing in unit tests of the core."""
        signing = self._recorder.signing
        if signing is None:
            return b"", b""
        log = await self._recorder.first()
        return signing.tag(Carried(attempt=attempt, log=log, outcome=digest(outcome), step=step, stream=stream, version=VERSION))

    async def _require_patience(self, stream: str, envelope: Envelope) -> None:
        """Raises `NotOwed` for a step that is said to take long before it can: nobody is left to sign that, so the log's clock is asked.

        Whoever says it: a workflow of ours, or somebody who knows under which id it would.
        """
        if self._recorder.signing is None or envelope.command.get("kind") != DELAY or envelope.signature:
            return
        key = str(envelope.command.get("step"))
        step = await self.step(stream, key)
        since = None if step is None else await self._recorder.owed_since(stream, key)
        if step is None or since is None:
            raise NotOwed
        clock = self._recorder.clock
        began, now = clock.real(since), clock.real(clock.now(since))
        if began is not None and now is not None and clock.runs and now - began < self._policies.get(step.kind, Policy()).patience:
            raise NotOwed

    @activity.defn(name="standing")
    async def standing(self, stream: str) -> Standing:
        """What is true and owed on a stream now."""
        try:
            standing = await self._recorder.standing(stream)
            return self._shown(stream, standing, [self._noted(entry) for entry in await self._recorder.log.last_of(stream, LAST_SHOWN)])
        except Exception as error:
            raise _told(error) from error

    async def step(self, stream: str, key: str) -> Step | None:
        """An owed step with its data, or `None` when it is owed no longer."""
        return (await self._recorder.standing(stream)).stream.owed.get(key)

    async def entry(self, command_id: str) -> Entry | None:
        """The entry of a command, if it is on the log."""
        return next(iter(await self._recorder.log.find([command_id])), None)

    def flaw_of(self, stream: str, command: Any) -> str:
        """Why no stream of that name can take a command; empty where one can."""
        return self._recorder.flaw_of(stream, command)

    async def retried(self, stream: str, key: str) -> int:
        """How often a person asked again for an owed step."""
        return (await self._recorder.standing(stream)).stream.retried.get(key, 0)

    def carrying_out(self, kind: str, carry_out: Callable[[Step], Awaitable[dict[str, Any]]]) -> Callable[..., Any]:
        """The activity for steps of a kind. It reads the step from the log, and does nothing for one no longer owed, nor for whoever asks
        but the workflow of its stream.

        Where the workflow knows it (`StepRef.raises`), a step that failed for good is an error of the activity, so that it is seen as one.
        """

        @activity.defn(name=kind)
        async def carried_out(ref: StepRef) -> dict[str, Any]:
            stream = (await self._recorder.standing(ref.stream)).stream
            step, attempt = stream.owed.get(ref.key), stream.tries.get(ref.key, 0)
            if activity.info().workflow_id != ref.stream or (step is not None and (step.kind != kind or ref.key in stream.failed)):
                raise ApplicationError(f"{ref.stream} owes no {kind} by {plain(ref.key, 80)!r}", type=NOT_OWED, non_retryable=True)
            if step is None:
                return await self._tagged(ref, attempt, {"kind": "step_done", "step": ref.key})
            signing = self._recorder.signing
            authenticate = None if signing is None else partial(signing.authentication, ref.stream, ref.key, attempt)
            with _told_briefly(), progress_authenticated(authenticate):
                outcome = await carry_out(step)
            tagged = await self._tagged(ref, attempt, outcome)
            if ref.raises and outcome.get("kind") == FAILED:
                raise ApplicationError(plain(str(outcome["reason"]), LONGEST_FAULT), tagged, type=STEP_FAILED, non_retryable=True)
            return tagged

        return carried_out

    async def _tagged(self, ref: StepRef, attempt: int, outcome: dict[str, Any]) -> dict[str, Any]:
        """An outcome as the activity returns it: with this worker's tag. One that is no JSON at all cannot be tagged, and is told as it is."""
        if self._recorder.signing is None:
            return outcome
        signed, signature = await self._tag(ref.stream, ref.key, attempt, canonical_command(outcome))
        return Tagged(
            command=outcome, signed=base64.b64encode(signed).decode(), signature=base64.b64encode(signature).decode()
        ).model_dump()

    def _seconds_until(self, early: NotYet) -> float | None:
        clock = self._recorder.clock
        then, now = clock.real(early.at), clock.real(early.now)
        return None if then is None or now is None else (then - now).total_seconds()

    @property
    def currency(self) -> str:
        """The charter's currency, as far as this worker knows; empty before the founding."""
        return currency_of(self._recorder.register)

    def _noted(self, entry: Entry) -> Noted:
        return Noted(position=entry.position, line=answered(entry, self.currency))

    def _shown(self, stream: str, standing: store.Standing, noted: Sequence[Noted]) -> Standing:
        agenda, headline, state = standing.agenda, standing.headline, standing.stream
        register = self._recorder.register
        again, awaited = partial(retry_command, register, stream), register.awaited(headline.waits_for)
        failed = _troubles("failed", state.failed, again) + _troubles("is delayed, and tried on", state.delayed, again)
        title = self._recorder.title_of(stream)
        due = None
        if agenda.deadline is not None:
            due = Due(
                command=agenda.deadline.command.model_dump(mode="json"),
                at=agenda.deadline.at, wake_at=self._recorder.clock.real(agenda.deadline.at),
            )  # fmt: skip
        return Standing(
            stream=stream, version=state.version, phase=headline.phase, line=headline.line,
            details="\n\n".join(
                part for part in (title and f"{escaped(title.capitalize())}\\.", _awaited(awaited, due), f"**Needs attention**\n{failed}" if failed else "", headline.text) if part
            )[:DETAILS],
            waits_for=_searchable(awaited), attention=state.attention, due=due, noted=list(noted),
            steps=[self._owed(step, state.tries[step.key], delayed=step.key in state.delayed) for step in agenda.steps],
            closed=agenda.closed,
        )  # fmt: skip

    def _owed(self, step: Step, attempt: int, *, delayed: bool) -> Owed:
        policy = self._policies.get(step.kind, Policy())
        return Owed(
            kind=step.kind, key=step.key, attempt=attempt, line=step_line(step),
            start_to_close_seconds=int(policy.start_to_close.total_seconds()), heartbeat_seconds=int(policy.heartbeat.total_seconds()),
            attempts=policy.attempts, delayed=delayed, delayed_seconds=int(policy.delayed.total_seconds()),
        )  # fmt: skip


def _line(entry: Entry) -> str:
    """The entry for its receipt; nothing where it is long, for Temporal keeps every answer twice."""
    line = line_of(entry)
    return line.decode() if len(line) <= LONGEST_SHOWN_ENTRY else ""


@contextmanager
def _told_briefly() -> Iterator[None]:
    """Faults become errors whose words, which may quote servers and files of others, are one short line: Temporal keeps and shows them."""
    try:
        yield
    except FailureError:
        raise
    except Exception as error:  # noqa: BLE001  every fault is told to Temporal, which tries again
        _log.warning("step.not_carried_out", exc_info=True)
        raise ApplicationError(plain(str(error), LONGEST_FAULT) or type(error).__name__, type=type(error).__name__) from None


def _searchable(names: Sequence[str]) -> list[str]:
    """As many names from the first on as Temporal takes in one attribute."""
    sizes = accumulate((len(name.encode()) + len('"",') for name in names), initial=len("[]") - len(","))
    return [name for name, size in zip(names, islice(sizes, 1, None), strict=False) if size <= SEARCHED_BYTES]


def _awaited(awaited: Sequence[str], due: Due | None) -> str:
    """Who is waited for, and until when."""
    names = ", ".join(escaped(name) for name in awaited[:NAMED])
    more = len(awaited) - NAMED
    who = names + (f" and {more} more" if more > 0 else "")
    if due is None:
        return f"**Waits for** {who}, without a deadline" if who else ""
    until = f"{shown_at(due.at)}: then {due.kind}" + ("; the log's time stands still" if due.wake_at is None else "")
    return f"**Waits for** {who}, until {until}" if who else f"**Next** {until}"


def _troubles(word: str, steps: Mapping[str, str], again: Callable[[str], str]) -> str:
    return "".join(
        f"\n- {escaped(key, 160)} {word}: {escaped(reason, 200)}; to try again: `{again(key)}`" for key, reason in sorted(steps.items())[:5]
    )


def require_clock(command: Mapping[str, Any], clock: Clock) -> None:
    """Raises `Malformed` for a founding that states another clock than the one by which it would be dated. A moved clock has no other."""
    ours = fact_of(clock)
    if isinstance(ours, MovedTime):
        return
    try:
        stated = _LOG_TIME.validate_json(canonical_command(command.get("clock", SystemTime().model_dump())))
    except ValidationError as error:
        raise Malformed(f"clock: must be {words_for(typed(LogTime))}") from error
    if stated != ours:
        runs = f"a rehearsal's, at a pace of {ours.pace:,}" if isinstance(ours, PacedTime) else "the system's"
        raise Malformed(f"clock: the clock here is {runs}; `consortium consortium found --folder` states it by itself")


def _command_id(request: RecordRequest, command: Mapping[str, Any]) -> str:
    """A person's own, or the one that what the command answers leads to."""
    match request.command_id:
        case str(given):
            return given
        case Answering(what="deadline", number=version):
            assert request.due is not None, "a deadline stands at an instant"
            return deadline_id(request.stream, version, request.due, command)
        case Answering(what="outcome", step=key, number=attempt):
            return outcome_id(request.stream, key, attempt)
        case Answering(what="delay", step=key, number=attempt):
            return delay_id(request.stream, key, attempt)
        case Answering(step=key, number=attempt):
            return failure_id(request.stream, key, attempt)


def _told(error: Exception) -> ApplicationError:
    """The error as workflows and clients see it: what is bad input stays so however often it is tried."""
    match error:
        case NotOwed():
            return ApplicationError("the log does not owe this, or no longer", type=NOT_OWED, non_retryable=True)
        case WrongTag():
            return ApplicationError(plain(str(error), LONGEST_FAULT), type=WRONG_TAG, non_retryable=True)
        case Malformed():
            return ApplicationError(plain(str(error), LONGEST_FAULT), type=MALFORMED, non_retryable=True)
        case SameIdOtherCommand():
            return ApplicationError(str(error), type=ID_REUSED, non_retryable=True)
        case WrittenOn() | WrittenByNewer() | NewerRules():
            return ApplicationError(str(error), type=ANOTHERS, non_retryable=True)
        case LogUnavailable():
            return ApplicationError(str(error), type=UNAVAILABLE)
        case _:
            return ApplicationError(f"{type(error).__name__} while deciding", type=BUG)
