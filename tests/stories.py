"""Given what happened, when somebody asks for something, then this follows: the language the process tests are told in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from cli.files import read_charter
from domain.charter import Charter, Office
from domain.kernel import SERVICE, Agenda, Command, Event, Message, PersonId, Refused, Step, StreamId, canonical, canonical_json
from domain.process import Context, Process, agenda, decide, evolve, mandate_for, stated_by
from domain.register.facts import (
    Capacity,
    CharterAdopted,
    ContributionCleared,
    KeyEnrolled,
    MemberActivated,
    OfficeGranted,
    RepresentativeSeated,
)
from domain.register.fold import note
from domain.register.state import Register
from domain.stream import StepOwed, Stream
from tests import golden
from tests.commands_named import in_text, wrong

EXAMPLE: Final = Path(__file__).parent.parent / "examples/charter.toml"
ASIDE: Final = frozenset({"step_owed", "duty_awaited", "credit_stated"})
"""What a story need not name: that a notice goes out, until when a duty is waited for, or what a round states of its members' credit."""
_MACHINES: Final = re.compile(r"[0-9]T[0-9]{2}:[0-9]{2}")
START = datetime(2026, 11, 2, 9, tzinfo=UTC)
"""A Monday."""


CALENDAR: Final = {"holidays": ["2026-12-25", "2027-01-01", "2027-03-26", "2027-03-29", "2027-05-01", "2027-08-01", "2027-12-25"]}
"""The stories' own: their days are reckoned by hand, and those of the example's calendar are renewed when it runs out."""


def day(number: float) -> datetime:
    """The instant so many days after the story's start."""
    return START + timedelta(days=number)


def charter(**changes: Any) -> Charter:
    """The example charter with the stories' calendar; changes are dotted paths with `__`, for example `funding__share_cap=2_000`."""
    return _changed(json.dumps(changes, default=str))


@cache
def _changed(changes: str) -> Charter:
    data: dict[str, Any] = json.loads(_example())
    for path, value in json.loads(changes).items():
        *parents, last = path.split("__")
        section = data
        for parent in parents:
            section = section[parent]
        section[last] = value
    return Charter.model_validate_json(json.dumps(data))


@cache
def _example() -> str:
    return json.dumps(read_charter(EXAMPLE) | {"calendar": CALENDAR}, default=str)


@dataclass(frozen=True)
class Told:
    """A command of a story, and what it brought about: what a golden log is played from."""

    before: Told | None
    process: str
    stream: str
    register: Register
    """As it was when the command was given."""
    command: Mapping[str, Any]
    by: PersonId
    at: datetime
    mandated: bool
    events: tuple[Event, ...]
    rule: str
    """Of the refusal; empty when there is none."""
    story: Story
    """As it was when the command was given."""
    asked: Command
    """The command itself: read anew from JSON, its sets come in another order, and nobody voted on that."""


HEARD: list[Told] = []
"""Every command of every story, while `listening`."""
_LISTENING: list[bool] = []


def listen() -> None:
    """From now on every command of a story is kept in `HEARD`."""
    _LISTENING.append(True)


def hush() -> Sequence[Told]:
    """What was kept; from now on nothing is."""
    heard = tuple(HEARD)
    HEARD.clear()
    _LISTENING.clear()
    return heard


def stated(value: Message) -> str:
    """What an approval of a contract, or of an account, is bound to when it was given with every field written out, as in stories."""
    return sha256(canonical(value)).hexdigest()


OFFICERS: Mapping[PersonId, tuple[Office, ...]] = {
    "sam": (Office.SECRETARIAT,),
    "tess": (Office.TREASURER,),
    "theo": (Office.SECOND_SIGNATORY,),
    "bo": (Office.BOARD,),
    "cora": (Office.COMPLIANCE_REVIEWER,),
    "lea": (Office.TRAINING_LEAD,),
}


def founded(rules: Charter | None = None) -> Register:
    """The register after the founding: `sam` is the secretariat, `tess` the treasurer, and so on."""
    register = note(Register(), CharterAdopted(version=1, charter=rules or charter()))
    for person, offices in OFFICERS.items():
        for office in offices:
            register = note(register, OfficeGranted(person=person, office=office))
    return register


def with_members(register: Register, *members: str, tier: str = "founding") -> Register:
    """The register with these active members, each spoken for by `rep-<member>`."""
    for member in members:
        register = note(register, MemberActivated(member=member, name=member.title(), tier=tier, country="CH", at=START))
        register = note(register, RepresentativeSeated(member=member, person=f"rep-{member}", capacity=Capacity.REPRESENTATIVE, at=START))
    return register


def noted(register: Register, *events: Event) -> Register:
    """The register after these events."""
    for event in events:
        register = note(register, event)
    return register


_BARE: Final = re.compile(r"(?<![\w.,:/-])-?[0-9]{5,}(?![\w-])")
"""A number as only amounts have, without separators."""


def in_units(refusal: Refused) -> bool:
    """Whether no amount is told in minor units: people give amounts in units, and would take one for the other."""
    return _BARE.search(f"{refusal.message} {refusal.remedy}") is None


_NOTHING: Final = re.compile(r"[A-Z]{3} 0(\.0+)?")
MAY_BE_NOTHING: Final = frozenset({"per_day", "held", "sound"})
"""Facts of notices that may be an amount of nothing: what a further day adds to interest alone, and what of a round's money is there."""


def tells_of_nothing(event: Event) -> str:
    """The fact of a notice that asks for no money, gives none back or takes none, as `template: fact`; empty where there is none."""
    if not isinstance(event, StepOwed) or event.step.kind != "notify":
        return ""
    notice = event.step.data
    lists_all = {"credit"} if notice["template"] == "duty_passed" else set[str]()
    for facts in (notice["facts"], *notice.get("each", {}).values()):
        for name, value in facts.items():
            if name not in MAY_BE_NOTHING | lists_all and isinstance(value, str) and _NOTHING.fullmatch(value):
                return f"{notice['template']}: {name}"
    return ""


@dataclass(frozen=True)
class Story:
    """One stream's story. Every call returns the story so far; `then`, `refused` and `owes` look at its last answer."""

    process: Process[Any, Any, Any]
    stream: StreamId
    register: Register
    state: Stream[Any]
    at: datetime = START
    answer: tuple[Event, ...] = ()
    refusal: Refused | None = None
    known: Mapping[str, Step] = field(default_factory=dict)
    """All steps that were ever owed, by their keys."""
    position: int = 0
    """Of the last entry, as if nothing were on the log but what was asked for here."""
    told: Told | None = None

    @classmethod
    def of(cls, process: Process[Any, Any, Any], stream: str, register: Register | None = None) -> Self:
        """A story that begins with an empty stream."""
        return cls(process, StreamId(stream), register or founded(), Stream(process.initial))

    def given(self, *events: Event) -> Self:
        """These events happened."""
        return self._with(events)

    def when(self, command: Command, *, by: PersonId = SERVICE, at: datetime | None = None) -> Self:
        """Somebody gives a command; what follows is kept as the answer, and as history."""
        golden.note_command(self.process.name, command)
        now, position = max(at or self.at, self.at), self.position + 1
        given = command.model_dump(mode="json")
        mandate = mandate_for(self.register, self.stream, given, by, now)
        stream = self.state
        context = Context(
            now, by, self.stream, self.register, mandate, stream.owed, stream.failed, position, canonical_json(given), stream.delayed,
            stated_by(command),
        )  # fmt: skip
        try:
            events = tuple(decide(self.process, self.state, command, context))
        except Refused as refusal:
            told = self._told(command, given, by, now, (), refusal.rule, mandated=mandate is not None)
            return replace(self, at=now, answer=(), refusal=refusal, position=position, told=told)
        assert not any(nothing := tells_of_nothing(event) for event in events), f"a notice of no money: {nothing}"
        told = self._told(command, given, by, now, events, "", mandated=mandate is not None)
        return replace(self._with(events), at=now, answer=events, refusal=None, position=position, told=told)

    def _told(
        self, asked: Command, given: Mapping[str, Any], by: PersonId, at: datetime, events: tuple[Event, ...], rule: str, *, mandated: bool
    ) -> Told | None:
        if not _LISTENING:
            return None
        told = Told(self.told, self.process.name, self.stream, self.register, given, by, at, mandated, events, rule, self, asked)
        HEARD.append(told)
        return told

    def due(self) -> Self:
        """The next deadline comes."""
        deadline = self.agenda.deadline
        assert deadline is not None, "nothing is due"
        return self.when(deadline.command, at=deadline.at)

    def then(self, *events: Event) -> Self:
        """Exactly these events followed (owed steps, and how long is waited, aside)."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert tuple(event for event in self.answer if event.kind not in ASIDE) == events
        return self

    def followed_by(self, *kinds: str) -> Self:
        """Events of these kinds followed, in this order (owed steps, and how long is waited, aside)."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert tuple(event.kind for event in self.answer if event.kind not in ASIDE) == kinds
        return self

    def refused(self, rule: str) -> Self:
        """The rule said no, and told the remedy."""
        assert self.refusal is not None, f"not refused: {[event.kind for event in self.answer]}"
        assert self.refusal.rule == rule, f"refused by {self.refusal.rule}: {self.refusal}"
        assert self.refusal.remedy
        assert in_units(self.refusal), f"an amount without its currency: {self.refusal}, {self.refusal.remedy}"
        told = f"{self.refusal.message}\n{self.refusal.remedy}"
        assert not _MACHINES.search(told), f"an instant as machines write it: {told}"
        assert wrong(in_text(told, rule)) == []
        return self

    def owes(self, kind: str, key: str | None = None) -> Self:
        """A step of this kind (and key) is owed now."""
        assert any(step.kind == kind and key in {None, step.key} for step in self.steps), [step.key for step in self.steps]
        return self

    @property
    def agenda(self) -> Agenda:
        """What is owed next."""
        return agenda(self.process, self.state)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every owed step."""
        return tuple(self.state.owed.values())

    @property
    def phase(self) -> str:
        """The phase's name as people see it."""
        return self.process.describe(self.state.state).phase

    def _with(self, events: tuple[Event, ...]) -> Self:
        state, register, known = self.state, self.register, dict(self.known)
        for event in events:
            golden.note(self.process.name, event)
            if isinstance(event, StepOwed):
                assert known.setdefault(event.step.key, event.step) == event.step, f"{event.step.key} names two effects: one is never had"
            state, register = evolve(self.process, state, event), note(register, event)
        return replace(self, state=state, register=register, known=known)


__all__ = [
    "OFFICERS", "START", "Capacity", "ContributionCleared", "KeyEnrolled", "Story", "charter", "day", "founded", "noted", "stated", "with_members",
]  # fmt: skip
