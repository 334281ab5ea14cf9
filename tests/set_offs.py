"""A member and the rounds that owe it money, on one register and one clock: what stories and laws of set-off are played on.

Each stream decides by itself, as on a log. A letter is on its way from the decision that owes it until somebody delivers it, in the order
in which it was owed to its stream, and may be delivered again at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from audit.ledger.books import setting_off
from audit.ledger.fold import Ledger
from domain import letters
from domain.charter import Charter
from domain.kernel import SERVICE, Command, Event, digest_of
from domain.member import events as member_events
from domain.member.process import MEMBER
from domain.member.state import Belonging, Dues
from domain.member.terms import NamedDelegate
from domain.process import Process
from domain.register.facts import CharterAdopted, LegalEntityNamed, MandateGranted, MemberActivated
from domain.register.fold import note
from domain.register.state import Register
from domain.round import commands as round_commands
from domain.round import events as round_events
from domain.round.books import Books
from domain.round.process import ROUND
from domain.round.state import books_of
from domain.round.terms import BudgetLine, Tranche
from domain.stream import StepDone
from tests.stories import START, Story, charter, day, founded, with_members

FEE: Final = 60_000
"""The year's dues."""
ADA: Final = "member/ada"
FIRST: Final = "round/first"
SECOND: Final = "round/second"
CALLED: Final = 100_000
"""What each of four members is called for in each round."""
MEMBERS: Final = ("ada", "bel", "cyd", "dov")
BOUND: Final[Mapping[str, int | str]] = {
    "funding__leaver_bound_until": "notice_ended",
    "funding__leaving_charge": 1_000,
    "funding__pledge_lock_hours": 48,
}
"""The terms of a charter that binds leavers: through their notice, at a tenth of what ends, and by a lock of pledges."""


def rules(**changes: Any) -> Charter:
    """The example charter with small dues, with few members who carry much each, and with commitments that end when a member leaves."""
    free_to_leave = {"funding__leaver_bound_until": "notice_given", "funding__leaving_charge": 0, "funding__pledge_lock_hours": 0}
    return charter(**{"tiers__founding__annual_fee": FEE, "funding__share_cap": 4_000, **free_to_leave, **changes})


def tomorrow(at: datetime) -> datetime:
    """A day later."""
    return at + timedelta(days=1)


@dataclass
class World:
    """The streams, and what was told on the way."""

    register: Register
    at: datetime = START
    stories: dict[str, Story] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    sent: list[tuple[str, str]] = field(default_factory=list)
    """The letters that were delivered: who sent them, and their keys."""
    told: list[tuple[str, Event]] = field(default_factory=list)
    """Everything that became true, with its stream, in order."""
    references: int = 0

    # ------------------------------------------------------------ the beginning

    @classmethod
    def begin(cls, **changes: Any) -> World:
        """`ada` is a member whose next dues were invoiced, and `bel`, `cyd` and `dov` are members besides."""
        adopted = rules(**changes)
        world = cls(with_members(founded(adopted), *MEMBERS))
        world.ledger.note(0, START.date(), "consortium/atlas", (CharterAdopted(version=1, charter=adopted),))
        joined = (
            member_events.ApplicationReceived(
                name="Ada", lei="52990000000000000196", country="CH", tier="founding", charter_version=1, terms=adopted.membership,
                representatives=(NamedDelegate(person="rep-ada"),), lapses_at=day(90),
            ),
            LegalEntityNamed(member="ada", lei="52990000000000000196"),
            member_events.ScreeningPassed(list="L", list_digest="0" * 64, list_date=START.date(), entries=9, score=0),
            member_events.ApplicantAdmitted(agreement=adopted.membership.agreement, sign_by=day(30)),
            member_events.DuesInvoiced(number=1, tier="founding", amount=0, credit_used=0, due_at=day(0), next_at=day(30)),
            MemberActivated(member="ada", name="Ada", tier="founding", country="CH", at=START),
        )  # fmt: skip
        world.stories[ADA] = Story.of(MEMBER, ADA, world.register).given(*joined)
        world.register = world.stories[ADA].register
        return world

    def open(self, stream: str, **changes: Any) -> None:
        """A round is committed, a quarter by each member, and called once: 100,000 of each."""
        opened = {
            "title": stream, "currency": "USD", "goal": 1_000_000, "minimum": 200_000, "opens_at": tomorrow(self.at),
            "closes_at": self.at + timedelta(days=2), "budget": (BudgetLine(name="compute", amount=1_000_000),),
            "tranches": (Tranche(name="start", fraction=4_000), Tranche(name="half", fraction=6_000, milestone="half")),
            "run": "atlas-1", **changes,
        }  # fmt: skip
        self.must(stream, round_commands.OpenRound(**opened), "sam")
        self.due(stream)
        for member in MEMBERS:
            self.must(stream, round_commands.Pledge(member=member, amount=250_000), f"rep-{member}")
        self.due(stream)
        self.must(stream, round_commands.CallTranche(tranche=1), "tess")

    # ------------------------------------------------------------ what happens

    def give(self, stream: str, command: Command, by: str = SERVICE) -> Story:
        """Somebody gives a command; what was decided is on every account."""
        story = self.stories.get(stream) or Story.of(_process_of(stream), stream)
        story = replace(story, register=self.register, at=self.at).when(command, by=by)
        if story.refusal is None:
            self.register, self.stories[stream] = story.register, story
            self.told += [(stream, event) for event in story.answer]
            self.ledger.note(len(self.told), self.at.date(), stream, story.answer)
        return story

    def must(self, stream: str, command: Command, by: str = SERVICE) -> Story:
        """The same of what must be accepted."""
        story = self.give(stream, command, by)
        assert story.refusal is None, story.refusal
        return story

    def voted(self, stream: str, command: Command) -> Story:
        """A vote decided on the command, and it is carried out."""
        digest = digest_of(stream, command.model_dump(mode="json"))
        self.register = note(self.register, MandateGranted(proposal="proposal/vote", digest=digest))
        return self.must(stream, command)

    def due(self, stream: str) -> Story:
        """The stream's next deadline comes."""
        deadline = self.stories[stream].agenda.deadline
        assert deadline is not None, f"nothing is due on {stream}"
        self.at = max(self.at, deadline.at)
        return self.must(stream, deadline.command)

    def pass_days(self, days: float, *, delivering: bool = True) -> None:
        """Time goes on, and every deadline comes in its order; letters arrive at once, unless they are not to."""
        until = self.at + timedelta(days=days)
        if delivering:
            self.deliver()
        while due := min(self._due_until(until), default=None):
            self.due(due[1])
            if delivering:
                self.deliver()
        self.at = until

    def _due_until(self, until: datetime) -> list[tuple[datetime, str]]:
        deadlines = [(story.agenda.deadline, stream) for stream, story in self.stories.items()]
        return [(deadline.at, stream) for deadline, stream in deadlines if deadline is not None and deadline.at <= until]

    def until(self, kind: str, *, within: int = 400) -> None:
        """Days pass until an event of this kind has become true on a stream."""
        before = len(self.told)
        for _ in range(within):
            if any(event.kind == kind for _, event in self.told[before:]):
                return
            deadline = min(self._due_until(self.at + timedelta(days=within)), default=None)
            assert deadline is not None, f"no {kind} will come"
            self.due(deadline[1])
            self.deliver()
        raise AssertionError(f"no {kind} came")

    # ------------------------------------------------------------ letters

    def letters(self) -> list[tuple[str, str]]:
        """What is on its way from one of the streams to another and is next in its order: who sends it, and its key."""
        found = list[tuple[str, str]]()
        for stream, story in self.stories.items():
            first = {target: key for target, key in reversed(story.state.ready) if target in self.stories}
            found += [(stream, key) for key in first.values()]
        return found

    def arrive(self, sender: str, key: str) -> Story:
        """A letter is recorded where it was sent to, and its sender does not know that yet."""
        step = self.stories[sender].known[key]
        stream = str(step.data["stream"])
        return self.must(stream, _process_of(stream).commands.validate_json(json.dumps(step.data["command"])))

    def send(self, sender: str, key: str) -> Story:
        """The same, and the sender knows."""
        story = self.arrive(sender, key)
        self.sent.append((sender, key))
        self.must(sender, StepDone(step=key))
        return story

    def deliver(self) -> None:
        """Every letter arrives."""
        while waiting := self.letters():
            self.send(*waiting[0])

    # ------------------------------------------------------------ money

    def pays_dues(self, amount: int, on: date | None = None) -> None:
        """Dues of ada arrive on the account."""
        self.references += 1
        reference = f"DUES-{self.references}"
        self.must(ADA, letters.RecordDuesPayment(amount=amount, reference=reference, value_date=on or self.at.date()))

    def pays(self, stream: str, amount: int, member: str = "ada") -> None:
        """Money of a member arrives for a round."""
        self.references += 1
        reference = f"IN-{self.references}"
        self.must(stream, letters.RecordPayment(member=member, amount=amount, reference=reference, value_date=self.at.date()))

    def all_pay(self, stream: str, *, besides: int = 0) -> None:
        """Everybody pays what was called; ada so much more."""
        for member in MEMBERS:
            self.pays(stream, CALLED + (besides if member == "ada" else 0), member)

    def orders_refund(self, stream: str, name: str, amount: int | None = None) -> None:
        """The treasurer orders credit of ada back."""
        self.must(stream, round_commands.OrderRefund(refund=name, member="ada", amount=amount), "tess")

    def refund(self, stream: str) -> tuple[str, int] | None:
        """The first refund of ada that was ordered and is still on its way: the payment's name, and the amount."""
        ordered = (
            (name, each.amount)
            for name, each in sorted(self.books(stream).refunds.items())
            if each.stage == "ordered" and each.member == "ada"
        )
        return next(ordered, None)

    def refund_made(self, stream: str) -> Story:
        """The bank shows that the refund left the account."""
        found = self.refund(stream)
        assert found is not None
        self.references += 1
        made = letters.RecordRefund(payment=found[0], member="ada", amount=found[1], reference=f"OUT-{self.references}")
        return self.must(stream, made)

    def refund_given_up(self, stream: str) -> Story:
        """The treasury gives the refund up."""
        found = self.refund(stream)
        assert found is not None
        return self.must(stream, letters.ReleaseRefund(payment=found[0], member="ada", amount=found[1]))

    # ------------------------------------------------------------ looking

    @property
    def dues(self) -> Dues:
        """What ada owes and paid; she is still a member."""
        state = self.stories[ADA].state.state
        assert isinstance(state, Belonging)
        return state.dues

    def books(self, stream: str) -> Books:
        """A round's books."""
        found = books_of(self.stories[stream].state.state)
        assert found is not None
        return found

    def credit(self, stream: str, member: str = "ada") -> int:
        """What a round owes a member, not counting what is on its way back."""
        return self.books(stream).accounts[member].figures.credit

    def refunding(self, stream: str) -> int:
        """What is on its way back to ada."""
        return self.books(stream).accounts["ada"].figures.refunding

    def of(self, kind: str) -> list[Any]:
        """The events of a kind, in order."""
        return [event for _, event in self.told if event.kind == kind]

    def notices(self, template: str) -> list[Mapping[str, Any]]:
        """The facts of the notices that ada was sent of this template."""
        steps = (event.step for event in self.of("step_owed"))
        return [
            step.data["facts"]
            for step in steps
            if step.kind == "notify" and step.data["template"] == template and "member:ada" in step.data["to"]
        ]

    @property
    def on_the_way(self) -> int:
        """What rounds took and ada's dues have not booked, or have sent back and the rounds have not booked: of the events alone."""
        taken, gone = Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        for stream, event in self.told:
            match event:
                case round_events.CreditSetOff(number=number, amount=amount):
                    taken[stream, number] += amount
                case round_events.CreditRestored(number=number, amount=amount):
                    gone[stream, number] += amount
                case member_events.DuesSetOff(source=source, number=number, amount=amount):
                    gone[source, number] += amount
                case _:
                    pass
        assert all(gone[each] <= taken[each] for each in gone), "nothing is booked that was not taken"
        return taken.total() - gone.total()

    @property
    def in_the_ledger(self) -> int:
        """What the ledger says of it."""
        return -self.ledger.balance(setting_off("ada"), "USD")

    def rounds(self) -> Sequence[str]:
        """The rounds that were opened."""
        return tuple(stream for stream in self.stories if stream.startswith("round/"))

    @property
    def position(self) -> int:
        """What ada brought into the consortium's rounds and did not get back from there, less what she owes in dues: no set-off changes it."""
        found = (books_of(self.stories[stream].state.state) for stream in self.rounds())
        figures = [books.accounts["ada"].figures for books in found if books is not None]
        state = self.stories[ADA].state.state
        own = state.dues.credit - state.dues.owed if isinstance(state, Belonging) else 0
        return (
            own
            + self.on_the_way
            + sum(each.cash + each.interest + each.credit + each.refunding + each.refunded - each.returned for each in figures)
        )

    def fork(self) -> World:
        """Another world that was like this one so far."""
        return replace(self, stories=dict(self.stories), ledger=deepcopy(self.ledger), sent=list(self.sent), told=list(self.told))


def _process_of(stream: str) -> Process[Any, Any, Any]:
    return MEMBER if stream.startswith("member/") else ROUND
