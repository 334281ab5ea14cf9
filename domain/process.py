"""The process as four functions, and what the kernel does for all of them.

A process is `decide`, `evolve`, `agenda` and `describe` over its own state. Around that state there is a `Stream` (`domain.stream`): what
it owes to the outside world. Here a command's speaker is checked by the command's type, a deadline against the process's own agenda, and
an outcome against the steps that are owed; and a command is decided under the vote that authorises it, if there is one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from pydantic import TypeAdapter

from domain.charter import Charter, Office
from domain.kernel import (
    NOTIFY,
    SERVICE,
    TELL,
    Agenda,
    Command,
    Due,
    Event,
    Headline,
    Letter,
    MemberId,
    Outcome,
    PersonId,
    PublicKey,
    Refused,
    Step,
    StreamId,
    canonical_json,
    digest_of,
    escaped,
    mapping,
    shown_at,
    tell,
)
from domain.letters import TurnAwayPayment
from domain.money import Money
from domain.register.facts import MandateExercised, MandateGranted, MandateWithdrawn, RecipientsReached, RecipientsUnreached, Unreachable
from domain.register.state import Register, Substitute
from domain.stream import (
    COMMON,
    Common,
    DelayStep,
    FailStep,
    NoticeSent,
    RetryStep,
    StepCarriedOut,
    StepDelayed,
    StepDone,
    StepEvent,
    StepFailed,
    StepOwed,
    StepRetried,
    StepWaived,
    Stream,
    WaiveStep,
    after_step_event,
    owe,
    steps_of,
)

ACCEPTING_TIME: Final = frozenset({"accept_time"})
"""The kinds of the commands that are recorded while the log's last entry is far ahead of the clock: by them its time is accepted."""

NAMED: Final = 5
"""How many of those who may give a command a refusal names."""


# ---------------------------------------------------------------- context

Proven = frozenset[tuple[PersonId, PublicKey]]
"""Who was proved to hold which key."""


def stated_by(command: Command) -> Proven:
    """Every possession that a command states, as if each proof had been verified: for tests of the core, rehearsals and unsigned logs."""
    return frozenset((stated.person, stated.public_key) for stated in command.possessions())


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
    proven: Proven = frozenset()
    """Who was proved to hold which key: of the possessions that the command states, those whose proof was verified."""

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

    def require_key(self, person: PersonId, public_key: PublicKey | None, whose: str = "") -> PublicKey:
        """The key, if it can be enrolled for this person: it is given, proved to be theirs, nobody else's and not ended."""
        named = whose or person
        if public_key is None:
            raise Refused(
                "key_missing",
                f"no key is named for {named}",
                clause="roles",
                remedy="name the public key and the proof of their key request",
            )
        self.register.require_free(public_key, person)
        if (person, public_key) not in self.proven:
            raise Refused(
                "key_not_proven",
                f"nothing proves that {named} holds this key",
                clause="roles",
                remedy="give the proof by that key, for exactly this person and consortium",
            )
        return public_key

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

    def require_duty(self, *offices: Office, clause: str = "roles") -> None:
        """Refuses actors who neither hold one of these offices nor stand in for an absent holder now. For acts, not for one signature of several."""
        if any(self.register.stands_in(self.actor, office, self.at) for office in offices):
            return
        try:
            self.require_office(*offices, clause=clause)
        except Refused as refused:
            raise self._with_period(refused, *offices) from None

    def _with_period(self, refused: Refused, *offices: Office) -> Refused:
        """The refusal, and when the actor stands in for a holder, if they ever do."""
        named = [each for each in self.register.substitutions(self.actor) if each.offices.intersection(offices)]
        barred = any(each.covers(self.at) for each in named)
        apart = ", for which the charter keeps it apart from another office of theirs, or the absent holds it no longer" if barred else ""
        return Refused(refused.rule, f"{refused.message}{self._period(named)}{apart}", clause=refused.clause, remedy=refused.remedy)

    def _period(self, named: Sequence[Substitute]) -> str:
        """When the actor was named to stand in: now, next, or last; nothing where they never were."""
        if not named:
            return ""
        nearest = next((each for each in named if self.at < each.until), named[-1])
        return f", and is a substitute from {shown_at(nearest.since)} until {shown_at(nearest.until)}"

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
        """Refuses actors who do not speak for the member, and its alternates that stand in for no absent representative now."""
        self.require_speaker(member)
        if not self.register.represents(self.actor, member) and not self.register.represents_absent(self.actor, member, self.at):
            named = [each for each in self.register.substitutions(self.actor) if member in each.members]
            raise Refused(
                "representative_required",
                f"{self.actor} is an alternate of {member}{self._period(named)}",
                clause="membership",
                remedy=f"ask a representative to give this command (`consortium who-represents {member}`)",
            )

    def require_not_own(
        self, person: PersonId, act: str, *, clause: str = "roles", remedy: str = "ask somebody else to approve it"
    ) -> None:
        """Refuses whoever did what is approved here: `act` says what, as in `named these details`."""
        if self.actor == person:
            raise Refused("same_person", f"{self.actor} {act}", clause=clause, remedy=remedy)

    def require_independent(self, signed: Iterable[PersonId], *, clause: str = "roles") -> None:
        """Refuses a second signature of one person under one act, and one for an organisation that signed: related companies are one.

        Who speaks for no member is of the consortium's own staff, and differs from others by their person only.
        """
        for other in signed:
            self.require_not_own(other, "signed it already", clause=clause, remedy="ask another person to sign it")
            if shared := self.register.organisations(self.actor) & self.register.organisations(other):
                raise Refused(
                    "same_organisation",
                    f"{self.actor} speaks for {min(shared)}, or a company related to it, and so does {other}",
                    clause=clause,
                    remedy="ask a person of another organisation to sign it",
                )

    def sides_with(self, member: MemberId) -> bool:
        """Whether the actor speaks for the member, or for a company related to it."""
        return self.register.seat_of(member) in self.register.organisations(self.actor)

    def require_disinterested(self, payee: str) -> None:
        """Refuses who speaks for a company that is paid: as this payee, as its owner, or as who is related to it."""
        own = self.own_companies(self.actor, payee)
        if own:
            is_payee = payee.removeprefix("member:") == own[0]
            paid = "which is paid" if is_payee else f"and {payee}, which is paid, belongs to it or to a company related to it"
            raise Refused("own_payment", f"{self.actor} speaks for {own[0]}, {paid}", remedy="ask another officer", clause="roles")

    def own_companies(self, person: PersonId, payee: str) -> tuple[MemberId, ...]:
        """The members that a person speaks for and that stand behind a payee, in order."""
        known = self.register.people.get(person)
        if known is None or not known.speaks_for:
            return ()
        return tuple(sorted(self.register.behind(payee) & frozenset(known.speaks_for)))

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


# ---------------------------------------------------------------- the process

S = TypeVar("S")
P = TypeVar("P")
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)

Events = Sequence[E | StepEvent]
"""What a decision answers with: facts of the process, and what becomes of its steps. Of a round it is `Events[RoundEvent]`."""


Cell = str | int | bool | Money | datetime | date | None
"""Nothing where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind of thing."""

    name: str
    """In snake_case, as programs read it."""
    columns: tuple[str, ...]
    """Their names, in snake_case."""
    rows: Sequence[tuple[Cell, ...]]


def nothing_follows(state: Any, command: Any, context: Context) -> Sequence[Any]:
    """For a process that looks at none of its owed steps."""
    return ()


def no_tables(state: Any, register: Register, at: datetime) -> Sequence[Table]:
    """For a process of which its row tells all."""
    return ()


@dataclass(frozen=True)
class Process(Generic[C, E, S]):
    """A process: its four functions, and the messages it speaks."""

    name: str
    initial: S
    decide: Callable[[S, C, Context], Events[E]]
    evolve: Callable[[S, E], S]
    agenda: Callable[[S], Agenda]
    describe: Callable[[S], Headline]
    commands: TypeAdapter[C]
    events: TypeAdapter[tuple[E | Common, ...]]
    tables: Callable[[S, Register, datetime], Sequence[Table]] = no_tables
    """What a person needs who looks closer, reckoned to an instant: never stored, so it is as long as it must be."""
    after_step: Callable[[S, StepDone | FailStep | WaiveStep, Context], Events[E]] = nothing_follows
    """What follows for the process from what became of a step that it owed: it was carried out with nothing else to say, failed for good,
    or is waived. Other outcomes are the process's own commands."""
    title: str = ""
    """What one of it is, in words: `a funding round`."""
    about: str = ""
    """What happens in it from its beginning to its end, in two sentences or three."""
    state_version: int = 1
    """Raised whenever a state is made of other fields, or the same events make another state: stored states of another version are not read."""
    list_version: int = 1
    """Raised whenever `agenda` or `describe` say something else of the same state: the rows of lists are made anew."""


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


def phase_of_deadline(state: object, phase: type[P]) -> P:
    """The phase in which a deadline's command is decided: the agenda names the deadline in no other."""
    assert isinstance(state, phase), f"no deadline stands in {type(state).__name__}"
    return state


def decide(process: Process[Any, Any, S], stream: Stream[S], command: Command, context: Context) -> Sequence[Event]:
    """The events that follow from a command, or `Refused`.

    A deadline that does not stand any more, and an answer to a step no longer owed, change nothing.
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
                    return (StepFailed(step=key, reason=reason), *process.after_step(stream.state, command, context))
                case DelayStep(reason=reason):
                    return () if key in stream.delayed else (StepDelayed(step=key, reason=reason),)
                case StepDone():
                    followed = process.after_step(stream.state, command, context)
                    return (StepCarriedOut(step=key), *_reached(stream.owed[key], {}, context), *followed)
                case NoticeSent(unreached=unreached):
                    return (StepCarriedOut(step=key), *_reached(stream.owed[key], unreached, context))
                case _:
                    return (StepCarriedOut(step=key), *process.decide(stream.state, command, context))
        case RetryStep(step=key):
            context.require_duty(Office.SECRETARIAT)
            _require_waiting(stream, key)
            return (StepRetried(step=key),)
        case WaiveStep(step=key, reason=reason):
            context.require_duty(Office.SECRETARIAT)
            _require_waiting(stream, key)
            followed = process.after_step(stream.state, command, context)
            return (StepWaived(step=key, reason=reason), *_withdrawn(stream.owed[key], context), *followed)


def _reached(step: Step, unreached: Mapping[str, Unreachable], context: Context) -> Sequence[RecipientsUnreached | RecipientsReached]:
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


def _withdrawn(step: Step, context: Context) -> Sequence[MandateWithdrawn]:
    """An order that is not told any more is authorised no longer."""
    if step.kind != TELL:
        return ()
    digest = digest_of(step.data["stream"], step.data["command"])
    mine = (granted for granted in context.register.mandates.get(digest, ()) if granted.proposal == context.stream)
    return tuple(MandateWithdrawn(proposal=granted.proposal, digest=digest) for granted in mine)


def _require_waiting(stream: Stream[Any], key: str) -> None:
    if key not in stream.failed and key not in stream.delayed:
        raise Refused(
            "step_not_failed",
            f"no step {key!r} waits for a person here",
            remedy="`consortium show` lists the steps that failed or are delayed",
        )


def evolve(process: Process[Any, Any, S], stream: Stream[S], event: Event) -> Stream[S]:
    """The stream after an event. Copies, and never fails on a stored event."""
    if type(event) not in COMMON:
        state = process.evolve(stream.state, event)
        return Stream(state, stream.version + 1, stream.owed, stream.ready, stream.failed, stream.tries, stream.retried, stream.delayed)
    return after_step_event(stream, cast(Common, event))


def agenda(process: Process[Any, Any, S], stream: Stream[S]) -> Agenda:
    """What the process and its stream owe: at most `AT_ONCE` steps at a time; closed when all is done."""
    own = process.agenda(stream.state)
    return Agenda(own.deadlines, steps_of(stream), own.closed and not stream.owed)


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


def tell_treasury(context: Context, letter: Letter, key: str) -> StepOwed:
    """The step that sends a letter to the consortium's treasury."""
    return owe(tell(f"treasury/{context.charter.treasury.account}", letter, key=f"tell:{key}"))


def turn_away(context: Context, line: str, reason: str) -> StepOwed:
    """The step by which the treasury keeps money that this stream cannot take, or cannot give back: a person decides."""
    letter = TurnAwayPayment(line=line, stream=context.stream, reason=reason)
    return tell_treasury(context, letter, f"turned-away:{line}:{context.at.isoformat()}")


def fold(evolve: Callable[[S, E], S], state: S, decided: Sequence[Event]) -> S:
    """A process's state after the events of a decision of its own that is not recorded yet. Its steps are no part of that state."""
    for event in decided:
        if not isinstance(event, StepEvent):
            state = evolve(state, cast(E, event))
    return state
