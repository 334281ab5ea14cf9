"""The process as four functions, and what all processes have in common: owed steps and mandates.

A process is `decide`, `evolve`, `agenda` and `describe` over its own state. Around that state this module keeps a
`Stream`: which steps are owed to the outside world, which failed and wait for a person, and which mandate a command
was given under. A process owes a step by stating `StepOwed` among its events, so an obligation is a stored fact: it
survives every crash, and a later release owes nothing new for the past.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import count
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar, cast, get_args

from pydantic import Field, TypeAdapter

from domain.charter import Charter, Office
from domain.kernel import (
    NOTIFY,
    SERVICE,
    TELL,
    Agenda,
    Command,
    CommandId,
    Due,
    Event,
    Headline,
    Letter,
    Map,
    MemberId,
    Outcome,
    PersonId,
    Prose,
    Refused,
    Step,
    StreamId,
    canonical_json,
    derived_id,
    digest_of,
    escaped,
    mapping,
    notify,
    shown_at,
    with_own_facts,
)
from domain.register.facts import MandateExercised, MandateGranted, MandateWithdrawn, RecipientsReached, RecipientsUnreached, Unreachable
from domain.register.state import Register
from domain.tables import Table

AT_ONCE: Final = 32
"""How many owed steps are shown, and so carried out, at a time: a bound on every workflow's width."""
ACCEPTING_TIME: Final = frozenset({"accept_time"})
"""The kinds of the commands that are recorded while the log's last entry is far ahead of the clock: by them its time is accepted."""

NAMED: Final = 5
"""How many of those who may give a command a refusal names."""

RECIPIENTS: Final = 100
"""The most recipients of one notice."""

# ---------------------------------------------------------------- context


@dataclass(frozen=True, slots=True)
class Mandate:
    """A passed proposal that authorises the command with this digest."""

    proposal: str
    digest: str


def mandate_for(register: Register, stream: str, command: Mapping[str, Any], actor: PersonId, at: datetime) -> Mandate | None:
    """The mandate under which this command, exactly as it was given, stands on this stream; spent and ended ones are gone.

    Only the service exercises one, when it tells the stream what was voted: nobody picks the moment, and what a person gives by
    an office of their own spends no mandate.
    """
    if actor != SERVICE or not register.mandates:
        return None
    digest = digest_of(stream, command)
    standing = (granted for granted in register.mandates.get(digest, ()) if granted.until is None or at < granted.until)
    first = next(standing, None)
    return None if first is None else Mandate(first.proposal, digest)


class Context(NamedTuple):
    """What a decision may look at besides its own state: all of it is data, as of the entry's position."""

    at: datetime
    actor: PersonId
    stream: StreamId
    register: Register
    mandate: Mandate | None = None
    """The vote that authorises exactly this command on this stream."""
    owed: Mapping[str, Step] = mapping()
    failed: Mapping[str, str] = mapping()
    """The steps that the stream owes, and those of them that wait for a person."""
    position: int = 0
    """Of the entry that this decides."""
    given: bytes = b""
    """The command as it was given: the JSON that the log keeps."""
    delayed: Mapping[str, str] = mapping()
    """Of the owed steps those that did not succeed for long, and are still tried."""

    def digest_of(self, field: str) -> str:
        """What people approve when they approve this field of the command: the SHA-256 of its canonical JSON, as it was given.

        It is of what the log keeps, whatever fields a later release adds to the model.
        """
        return hashlib.sha256(canonical_json(json.loads(self.given)[field])).hexdigest()

    def digest_without(self, *fields: str) -> str:
        """The same of the command as an object without these fields."""
        given = json.loads(self.given)
        return hashlib.sha256(canonical_json({name: value for name, value in given.items() if name not in fields})).hexdigest()

    @property
    def charter(self) -> Charter:
        """The charter in force."""
        return self.register.charter

    def require_office(self, *offices: Office, clause: str = "roles") -> None:
        """Refuses actors who hold none of these offices."""
        if not self.register.holds(self.actor, *offices):
            names = " or ".join(offices)
            holders = sorted({person for office in offices for person in self.register.holders(office)})
            known = ", ".join(holders[:NAMED]) + (", …" if len(holders) > NAMED else "")
            raise Refused(
                "office_required",
                f"{self.actor} does not hold the office {names}",
                clause=clause,
                remedy=f"ask a holder of {names} to give this command" + (f": {known}" if known else "; nobody holds it yet"),
            )

    def require_speaker(self, member: MemberId) -> None:
        """Refuses actors who do not speak for the member, as representative or alternate."""
        if not self.register.speaks_for(self.actor, member):
            raise Refused(
                "not_a_representative",
                f"{self.actor} does not speak for {member}",
                remedy=f"ask a representative or alternate of {member} (`consortium who-represents {member}`)",
                clause="membership",
            )

    def require_representative(self, member: MemberId) -> None:
        """Refuses actors who do not speak for the member, and its alternates."""
        self.require_speaker(member)
        if not self.register.represents(self.actor, member):
            raise Refused(
                "representative_required",
                f"{self.actor} is an alternate of {member}",
                clause="membership",
                remedy=f"ask a representative to give this command (`consortium who-represents {member}`)",
            )

    def require_active(self, member: MemberId) -> None:
        """Refuses what only a member with all its rights may do."""
        known = self.register.members.get(member)
        if known is None:
            raise Refused(
                "unknown_member",
                f"{member} is not a member",
                clause="membership",
                remedy="check the spelling against `consortium members`, or apply first",
            )
        if not self.register.active(member):
            raise Refused(
                "member_not_active",
                f"{member} is {known.standing}",
                clause="membership",
                remedy="settle what is overdue; the member's page says what (`consortium show member/" + member + "`)",
            )

    def require_due(self, at: datetime) -> None:
        """Refuses a deadline before its instant. The recorder answers such a command "not yet", without an entry, and never comes here."""
        if self.at < at:
            raise Refused("not_due", f"this comes at {shown_at(at)}", remedy="none is needed: the system gives it when it is due")

    def require_service(self) -> None:
        """Refuses persons where only the system itself may speak."""
        if self.actor != SERVICE:
            raise Refused(
                "service_only", f"{self.actor} cannot give this command", remedy="none is needed: the system gives it when it is due"
            )

    def require_mandate(self) -> None:
        """Refuses what only a passed proposal can order, once."""
        if self.mandate is None:
            raise Refused(
                "no_mandate",
                "no passed proposal authorises exactly this command here",
                clause="decisions",
                remedy="propose it (`consortium proposal propose`); once passed it is carried out by itself",
            )


# ---------------------------------------------------------------- what every stream can be told


class StepDone(Outcome):
    """The step was carried out, and there is nothing else to say about it."""

    kind: Literal["step_done"] = "step_done"


class FailStep(Outcome):
    """The step failed for good."""

    kind: Literal["fail_step"] = "fail_step"
    reason: Annotated[str, Field(max_length=1_000)]


class DelayStep(Outcome):
    """The step did not succeed in so many tries that a person should look. It is still owed, and tried on."""

    kind: Literal["delay_step"] = "delay_step"
    reason: Annotated[str, Field(max_length=1_000)]


class NoticeSent(Outcome):
    """The notice went out, and did not come to these, each with the reason. Nobody is told again by itself: who has no address needs one first."""

    kind: Literal["notice_sent"] = "notice_sent"
    unreached: Annotated[dict[Annotated[str, Field(max_length=80)], Unreachable], Field(min_length=1, max_length=100)]


class RetryStep(Command):
    """Try a failed step again, or a delayed one now. By the secretariat."""

    kind: Literal["retry_step"] = "retry_step"
    step: str


class WaiveStep(Command):
    """Live without a step that failed or is delayed: it is owed no longer, nor authorised. By the secretariat, with the reason."""

    kind: Literal["waive_step"] = "waive_step"
    step: str
    reason: Prose


class StepOwed(Event):
    """The outside world is to be acted on."""

    kind: Literal["step_owed"] = "step_owed"
    step: Step


class StepCarriedOut(Event):
    """It was acted on."""

    kind: Literal["step_carried_out"] = "step_carried_out"
    step: str


class StepFailed(Event):
    """It could not be acted on: a person must look."""

    kind: Literal["step_failed"] = "step_failed"
    step: str
    reason: str


class StepDelayed(Event):
    """It could not be acted on for long, and is tried on: a person should look."""

    kind: Literal["step_delayed"] = "step_delayed"
    step: str
    reason: str


class StepRetried(Event):
    """A person asked for another try."""

    kind: Literal["step_retried"] = "step_retried"
    step: str


class StepWaived(Event):
    """A person decided to live without it."""

    kind: Literal["step_waived"] = "step_waived"
    step: str
    reason: Prose


StepCommand = StepDone | NoticeSent | FailStep | DelayStep | RetryStep | WaiveStep
StepEvent = StepOwed | StepCarriedOut | StepFailed | StepDelayed | StepRetried | StepWaived
Common = StepEvent | MandateExercised | MandateWithdrawn | RecipientsUnreached | RecipientsReached
"""Events that any stream may hold besides its process's own."""
_COMMON: Final = frozenset(get_args(Common))

# ---------------------------------------------------------------- the process

S = TypeVar("S")
P = TypeVar("P")
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)

Events = Sequence[E | StepEvent]
"""What a decision answers with: facts of the process, and what becomes of its steps. Of a round it is `Events[RoundEvent]`."""


def no_tables(state: Any, register: Register, at: datetime) -> Sequence[Table]:
    """For a process of which its row tells all."""
    return ()


@dataclass(frozen=True)
class Process(Generic[C, E, S]):
    """A process: its four functions, and the messages it speaks."""

    name: str
    initial: S
    decide: Callable[[S, C, Context], Sequence[E | StepEvent]]
    evolve: Callable[[S, E], S]
    agenda: Callable[[S], Agenda]
    describe: Callable[[S], Headline]
    commands: TypeAdapter[C]
    events: TypeAdapter[tuple[E | Common, ...]]
    tables: Callable[[S, Register, datetime], Sequence[Table]] = no_tables
    """What a person needs who looks closer, reckoned to an instant: never stored, so it is as long as it must be."""
    title: str = ""
    """What one of it is, in words: `a funding round`."""
    about: str = ""
    """What happens in it from its beginning to its end, in two sentences or three."""
    state_version: int = 1
    """Raised whenever a state is made of other fields, or the same events make another state: stored states of another version are not read."""
    list_version: int = 1
    """Raised whenever `agenda` or `describe` say something else of the same state: the rows of lists are made anew."""


STREAM_VERSION: Final = 2
"""The version of `Stream`, raised as `Process.state_version` is: it belongs to the states of every process."""

Ready = tuple[tuple[str, str], ...]
"""For each step the stream that it tells something, or nothing, and its key."""


class Stream(NamedTuple, Generic[S]):
    """A process's state, and what it owes."""

    state: S
    version: int = 0
    """How many events made it."""
    owed: Map[str, Step] = mapping()
    ready: Ready = ()
    """Of the owed steps those that wait for no person, in the order in which they were owed or asked for again."""
    failed: Map[str, str] = mapping()
    """Of the owed steps those that wait for a person, with the reason."""
    tries: Map[str, int] = mapping()
    """The try of each owed step: the version at which it was owed, or a person asked for it again. No two tries of a stream are alike."""
    retried: Map[str, int] = mapping()
    """How often a person asked again for an owed step; those nobody asked for are not in it."""
    delayed: Map[str, str] = mapping()
    """Of the owed steps those that did not succeed for long, and are still tried; with the reason."""

    @property
    def attention(self) -> bool:
        """Whether a person should look: a step failed, or is delayed."""
        return bool(self.failed or self.delayed)


EITHER: Final[Mapping[str, str]] = {
    "cancel_round": "the clock after a shortfall that no vote mended, or a passed proposal",
    "fail_round": "the clock when the time to vote is over, or the vote that did not extend the round",
    "look_for_statements": "the clock, or the treasurer who does not want to wait",
    "order_payment": "the process that owes it, or the treasurer for the treasury itself",
    "propose": "a process that asks about itself, or whoever sponsors the decision",
    "release_tranche": "the round's run, or the board while there is none",
}
"""The commands that two kinds of speakers give, by their kinds: their rules look at the speaker themselves."""


class Speaker(StrEnum):
    """Who gives a command, by its type."""

    PERSON = "person"
    """Or a passed proposal, under its mandate."""
    CLOCK = "clock"
    SYSTEM = "system"
    """Another process, or a step that came back."""
    EITHER = "either"


@cache
def speaker_of(kind: type[Command]) -> Speaker:
    """Who gives commands of this type."""
    if kind.model_fields["kind"].default in EITHER:
        return Speaker.EITHER
    if issubclass(kind, Due):
        return Speaker.CLOCK
    return Speaker.SYSTEM if issubclass(kind, Letter | Outcome) else Speaker.PERSON


def standing(state: object, phase: type[P]) -> P:
    """The phase in which a deadline's command is decided: the agenda names the deadline in no other."""
    assert isinstance(state, phase), f"no deadline stands in {type(state).__name__}"
    return state


def decide(process: Process[Any, Any, S], stream: Stream[S], command: Command, context: Context) -> Sequence[Event]:
    """The events that follow from a command, or `Refused`.

    A deadline that does not stand any more, and an answer to a step no longer owed, are old news: nothing follows.
    """
    match speaker_of(type(command)):
        case Speaker.CLOCK:
            context.require_service()
            deadlines = process.agenda(stream.state).deadlines
            deadline = next((each for each in deadlines if each.command == command), None)
            if deadline is None:
                return ()
            context.require_due(deadline.at)
        case Speaker.SYSTEM:
            context.require_service()
        case Speaker.PERSON | Speaker.EITHER:
            pass
    if _is_about_steps(type(command)):
        return _decide_about_step(process, stream, cast(Outcome | RetryStep | WaiveStep, command), context)
    events = process.decide(stream.state, command, context)
    if context.mandate is None:
        return events
    return (MandateExercised(proposal=context.mandate.proposal, digest=context.mandate.digest), *events)


@cache
def _is_about_steps(kind: type[Command]) -> bool:
    return issubclass(kind, Outcome | RetryStep | WaiveStep)


def _decide_about_step(
    process: Process[Any, Any, S], stream: Stream[S], command: Outcome | RetryStep | WaiveStep, context: Context
) -> Sequence[Event]:
    match command:
        case Outcome(step=key):
            if key not in stream.owed or key in stream.failed:
                return ()
            match command:
                case FailStep(reason=reason):
                    return (StepFailed(step=key, reason=reason),)
                case DelayStep(reason=reason):
                    return () if key in stream.delayed else (StepDelayed(step=key, reason=reason),)
                case StepDone():
                    return (StepCarriedOut(step=key), *_told(stream.owed[key], {}, context))
                case NoticeSent(unreached=unreached):
                    return (StepCarriedOut(step=key), *_told(stream.owed[key], unreached, context))
                case _:
                    return (StepCarriedOut(step=key), *process.decide(stream.state, command, context))
        case RetryStep(step=key):
            context.require_office(Office.SECRETARIAT)
            _require_troubled(stream, key)
            return (StepRetried(step=key),)
        case WaiveStep(step=key, reason=reason):
            context.require_office(Office.SECRETARIAT)
            _require_troubled(stream, key)
            return (StepWaived(step=key, reason=reason), *_given_up(stream.owed[key], context))


def _told(step: Step, unreached: Mapping[str, Unreachable], context: Context) -> Sequence[RecipientsUnreached | RecipientsReached]:
    """Whom a notice did not come to, and whom it came to at last; of everybody else nothing is said."""
    if step.kind != NOTIFY:
        return ()
    named: Sequence[str] = step.data["to"]
    lacking = {recipient: unreached[recipient] for recipient in named if recipient in unreached}
    again = tuple(recipient for recipient in named if recipient not in lacking and recipient in context.register.unreached)
    return (
        *((RecipientsUnreached(step=step.key, recipients=lacking, at=context.at),) if lacking else ()),
        *((RecipientsReached(step=step.key, recipients=again),) if again else ()),
    )


def _given_up(step: Step, context: Context) -> Sequence[MandateWithdrawn]:
    """An order that is not told any more is authorised no longer."""
    if step.kind != TELL:
        return ()
    digest = digest_of(step.data["stream"], step.data["command"])
    mine = (granted for granted in context.register.mandates.get(digest, ()) if granted.proposal == context.stream)
    return tuple(MandateWithdrawn(proposal=granted.proposal, digest=digest) for granted in mine)


def _require_troubled(stream: Stream[Any], key: str) -> None:
    if key not in stream.failed and key not in stream.delayed:
        raise Refused(
            "step_not_failed",
            f"no step {key!r} waits for a person here",
            remedy="`consortium show` lists the steps that failed or are delayed",
        )


def evolve(process: Process[Any, Any, S], stream: Stream[S], event: Event) -> Stream[S]:
    """The stream after an event. Copies, and never fails on a stored event."""
    if type(event) not in _COMMON:
        state = process.evolve(stream.state, event)
        return Stream(state, stream.version + 1, stream.owed, stream.ready, stream.failed, stream.tries, stream.retried, stream.delayed)
    return _obliged(stream, cast(Common, event))


def _obliged(stream: Stream[S], event: Common) -> Stream[S]:
    """What the stream owes after an event that is none of its process's own."""
    stream = stream._replace(version=stream.version + 1)
    match event:
        case StepOwed(step=step):
            ready = stream.ready if step.key in stream.failed else _queued(_but(stream, step.key), step)
            return stream._replace(
                owed=stream.owed.set(step.key, step),
                ready=ready,
                tries=stream.tries.set(step.key, stream.version),
                delayed=_without(stream.delayed, step.key),
            )
        case StepCarriedOut(step=key) | StepWaived(step=key):
            return stream._replace(
                owed=_without(stream.owed, key),
                ready=_but(stream, key),
                failed=_without(stream.failed, key),
                tries=_without(stream.tries, key),
                retried=_without(stream.retried, key),
                delayed=_without(stream.delayed, key),
            )
        case StepFailed(step=key, reason=reason):
            return stream._replace(ready=_but(stream, key), failed=stream.failed.set(key, reason), delayed=_without(stream.delayed, key))
        case StepDelayed(step=key, reason=reason):
            return stream._replace(delayed=stream.delayed.set(key, reason))
        case StepRetried(step=key):
            return stream._replace(
                ready=_queued(_but(stream, key), stream.owed[key]),
                failed=_without(stream.failed, key),
                delayed=_without(stream.delayed, key),
                tries=stream.tries.set(key, stream.version),
                retried=stream.retried.set(key, stream.retried.get(key, 0) + 1),
            )
        case MandateExercised() | MandateWithdrawn() | RecipientsUnreached() | RecipientsReached():
            return stream


V = TypeVar("V")


def _without(items: Map[str, V], key: str) -> Map[str, V]:
    return items.delete(key) if key in items else items


def _place(step: Step) -> tuple[str, str]:
    return (step.data["stream"] if step.kind == TELL else "", step.key)


def _queued(ready: Ready, step: Step) -> Ready:
    last: Ready = (_place(step),)
    return ready + last


def _but(stream: Stream[Any], key: str) -> Ready:
    """What is ready without the step of this key."""
    if key not in stream.owed or key in stream.failed:
        return stream.ready
    index = stream.ready.index(_place(stream.owed[key]))
    return stream.ready[:index] + stream.ready[index + 1 :]


def agenda(process: Process[Any, Any, S], stream: Stream[S]) -> Agenda:
    """What the process and its stream owe: at most `AT_ONCE` steps at a time; closed when all is done."""
    own = process.agenda(stream.state)
    return Agenda(own.deadlines, _shown(stream), own.closed and not stream.owed)


def _shown(stream: Stream[Any]) -> tuple[Step, ...]:
    """The first owed steps in their order. What another stream is told waits until it took what it was told before: no word overtakes another."""
    shown, told = list[Step](), set[str]()
    for target, key in stream.ready:
        if target in told:
            continue
        shown.append(stream.owed[key])
        if len(shown) == AT_ONCE:
            break
        if target:
            told.add(target)
    return tuple(shown)


def describe(process: Process[Any, Any, S], stream: Stream[S]) -> Headline:
    """The process in a line, which tells too that a step failed or is delayed: then the secretariat is waited for."""
    own = process.describe(stream.state)
    if not stream.attention:
        return own
    troubled = "".join(f"; {word}: {_listed(steps)}" for word, steps in (("failed", stream.failed), ("delayed", stream.delayed)) if steps)
    waits_for = tuple(dict.fromkeys((*own.waits_for, f"office:{Office.SECRETARIAT}")))
    return replace(own, line=f"{own.line}{troubled}", waits_for=waits_for)


def _listed(steps: Mapping[str, str]) -> str:
    return escaped(", ".join(sorted(steps)[:3]) + (", …" if len(steps) > 3 else ""), 120)


def tell_motion(stream: str, command: Mapping[str, Any], mandate: MandateGranted, *, key: str) -> Step:
    """The step that gives what was voted on, exactly as it was written: the only way to send what is no letter, and under a mandate only."""
    assert mandate.digest == digest_of(stream, command), "the mandate is for another command"
    return Step(kind=TELL, key=key, data={"stream": stream, "command": dict(command)})


def owe(step: Step) -> StepOwed:
    """The event by which a decision owes a step."""
    return StepOwed(step=step)


def owe_notices(
    template: str,
    to: Sequence[str],
    key: str,
    facts: Mapping[str, str | int],
    *,
    each: Mapping[str, Mapping[str, str | int]] = mapping(),
    first: int = 1,
    by: int = 1,
) -> Iterator[StepOwed]:
    """The steps that notify many, at most `RECIPIENTS` with one notice: its key ends in a number, which begins at `first` and grows by `by`.

    `each` holds further facts for some of the recipients, which nobody else is sent.
    """
    for start, number in zip(range(0, len(to), RECIPIENTS), count(first, by), strict=False):
        batch = tuple(to[start : start + RECIPIENTS])
        notice = notify(template, batch, key=f"{key}:{number}", **facts)
        own = {recipient: each[recipient] for recipient in batch if recipient in each}
        yield owe(with_own_facts(notice, own) if own else notice)


def fold(evolve: Callable[[S, E], S], state: S, decided: Sequence[Event]) -> S:
    """A process's state after the events of a decision of its own that is not recorded yet. Its steps are no part of that state."""
    for event in decided:
        if not isinstance(event, StepEvent):
            state = evolve(state, cast(E, event))
    return state


# ---------------------------------------------------------------- what the system itself says


def deadline_id(name: str, version: int, at: datetime, command: Mapping[str, Any]) -> CommandId:
    """The id of a deadline's command on the stream of this name: asked again it is the same, until something happens there.

    So an answer that was right while the stream stood otherwise, or one to another deadline at the same instant, is never taken for its own.
    """
    return derived_id(name, "deadline", canonical_json(command).decode(), at.isoformat(), str(version))


def outcome_id(name: str, key: str, attempt: int) -> CommandId:
    """The id of the outcome that one try of a step brought back."""
    return derived_id(name, "outcome", key, str(attempt))


def failure_id(name: str, key: str, attempt: int) -> CommandId:
    """The id of the command that says that the outcome itself was not taken."""
    return derived_id(name, "failure", key, str(attempt))


def delay_id(name: str, key: str, attempt: int) -> CommandId:
    """The id of the command that says that one try of a step takes long."""
    return derived_id(name, "delay", key, str(attempt))


def told_id(name: str, key: str, retries: int) -> CommandId:
    """The id under which a `tell` of the stream of this name gives its command after so many retries by a person.

    An answer under an id is for ever, a refusal too: whoever tells asks under the earlier ids first, so that what one of them
    brought about is not told twice, and what all of them were refused is told anew.
    """
    return derived_id(name, "tell", key, *([str(retries)] if retries else ()))
