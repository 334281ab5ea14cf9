"""Laws of memberships, watched after every decision of random histories of four companies that may own each other.

Whatever people do in whatever order: related active members have one seat, and others one each; nobody speaks for two, and who
has no role has no key; a reinstated member has exactly its former rights; each invoice climbs the ladder rung by rung; dues
invoiced are paid or owed, to the cent; and nobody outside binds two members to each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Final, Literal

import pytest

from domain import letters
from domain.kernel import SERVICE, Command, Event, digest_of
from domain.member import commands as member_commands
from domain.member import events as member_events
from domain.member import steps as member_steps
from domain.member.process import MEMBER
from domain.member.state import Active, Ended, Leaving, Paying, Unapplied
from domain.member.terms import Delegate, Rung
from domain.register.facts import Capacity, Holding, MandateGranted, MemberReinstated, MemberSuspended, Standing
from domain.register.fold import note
from domain.register.state import Member, Register
from tests.keys import PROOF, key_of
from tests.stories import OFFICERS, START, Story, charter, founded
from tests.test_member import FEE, lei

pytestmark = pytest.mark.heavy

MEMBERS = ("amber", "birch", "cedar", "dune")
HOLDERS = (*MEMBERS, "sol", "luna")
LADDER = list(Rung)
VERDICTS: Final[Sequence[Literal["clear", "confirm"]]] = ("clear", "confirm")


# ---------------------------------------------------------------- playing


@dataclass
class World:
    """Four companies on one register and one clock, and what the laws remember of them."""

    register: Register = field(default_factory=founded)
    stories: dict[str, Story] = field(default_factory=dict)
    at: datetime = START
    accepted: Counter[str] = field(default_factory=Counter)
    rights: dict[str, Member] = field(default_factory=dict)
    """Of each suspended member, what it was before."""
    rungs: dict[tuple[str, int], list[Rung]] = field(default_factory=dict)
    invoiced: Counter[str] = field(default_factory=Counter)
    movements: int = 0
    booked: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """The payments that stand, by company: reference and amount."""

    def give(self, member: str, command: Command, by: str) -> None:
        """Somebody gives a command; the laws are watched when it is accepted."""
        story = self.stories.get(member) or Story.of(MEMBER, f"member/{member}")
        story = replace(story, register=self.register, at=self.at).when(command, by=by)
        if story.refusal is None:
            before, self.register, self.stories[member] = self.register, story.register, story
            self.accepted[command.kind] += bool(story.answer)
            self.watch(member, story.answer, before)

    def mandate(self, member: str, command: Command) -> None:
        """A vote decided on the command, and it is carried out."""
        digest = digest_of(f"member/{member}", command.model_dump(mode="json"))
        self.register = note(self.register, MandateGranted(proposal="vote", digest=digest))
        self.give(member, command, SERVICE)

    def screen(self, member: str, score: int) -> None:
        """The list answers what it is asked about the company, if anything."""
        for step in self.stories[member].steps if member in self.stories else ():
            if step.kind == "screen":
                found = member_steps.ScreeningCompleted(
                    step=step.key, list="L", list_digest="a" * 64, list_date=self.at.date(), entries=9, score=score, match="X"
                )
                self.give(member, found, SERVICE)

    def join(self, member: str, holdings: tuple[Holding, ...]) -> None:
        """From the application to the first dues, which make it a member once they are paid."""
        representative, alternate = f"{member}-1", f"{member}-2"
        delegates = (
            Delegate(person=representative, public_key=key_of(representative), proof=PROOF),
            Delegate(person=alternate, capacity=Capacity.ALTERNATE, public_key=key_of(alternate), proof=PROOF),
        )
        number = MEMBERS.index(member) + 1
        self.give(
            member,
            member_commands.Apply(
                name=member.title(), lei=lei(number), country="CH", tier="founding", holdings=holdings, representatives=delegates
            ),
            representative,
        )
        self.screen(member, 0)
        self.mandate(member, member_commands.Admit())
        self.give(member, member_commands.SignAgreement(agreement=charter().membership.agreement), representative)
        self.give(member, member_commands.CountersignAgreement(), "bo")

    def pay(self, member: str, amount: int) -> None:
        self.movements += 1
        reference = f"IN-{member.upper()}-{self.movements}"
        self.give(member, letters.RecordDuesPayment(amount=amount, reference=reference, value_date=self.at.date()), SERVICE)
        if reference in self.register.references:
            self.booked.setdefault(member, []).append((reference, amount))

    def take_back(self, member: str) -> None:
        """The bank takes back the last payment that was booked here."""
        if booked := self.booked.get(member):
            original, amount = booked.pop()
            self.give(member, letters.ReverseDuesPayment(amount=amount, reference=f"BACK-{original}", original=original), SERVICE)

    def plan(self, member: str, days: int) -> None:
        self.give(member, member_commands.AgreePaymentPlan(until=self.at + timedelta(days=days)), "tess")

    def expel(self, member: str) -> None:
        self.mandate(member, member_commands.Expel())

    def confirm(self, member: str, by: str) -> None:
        """Somebody confirms whatever was declared and waits."""
        state = self.stories[member].state.state if member in self.stories else Unapplied()
        if not isinstance(state, Unapplied) and state.identity.unconfirmed is not None:
            self.give(member, member_commands.ConfirmOwnership(holdings=state.identity.unconfirmed.holdings), by)

    def pass_days(self, days: int) -> None:
        """Deadlines come in their order."""
        until = self.at + timedelta(days=days)
        while due := min(self._deadlines(until), default=None):
            self.at, member = max(self.at, due[0]), due[1]
            deadline = self.stories[member].agenda.deadline
            assert deadline is not None
            self.give(member, deadline.command, SERVICE)
            after = self.stories[member].agenda.deadline
            assert after is None or (after.at, after.command) != (deadline.at, deadline.command), "a deadline came, and still stands"
        self.at = until

    def _deadlines(self, until: datetime) -> Iterator[tuple[datetime, str]]:
        for member, story in self.stories.items():
            deadline = story.agenda.deadline
            if deadline is not None and deadline.at <= until:
                yield deadline.at, member

    # ------------------------------------------------------------ watching

    def watch(self, member: str, events: Sequence[Event], before: Register) -> None:
        """Every law, after every decision."""
        one_seat_and_one_vote(self.register)
        nobody_for_two(self.register)
        self._as_the_process_says(member)
        for event in events:
            match event:
                case MemberSuspended():
                    self.rights.setdefault(member, before.members[member])
                case MemberReinstated():
                    self._former_rights(member)
                case member_events.RungReached(invoice=invoice, rung=rung):
                    climbed = self.rungs.setdefault((member, invoice), [])
                    climbed.append(rung)
                    assert climbed == LADDER[: len(climbed)], climbed
                case member_events.DuesInvoiced(amount=amount):
                    self.invoiced[member] += amount
                case _:
                    pass
        self._to_the_cent(member)

    def _former_rights(self, member: str) -> None:
        former, now = self.rights.pop(member), self.register.members[member]
        if now.standing is Standing.ACTIVE:
            assert now == former._replace(tier=now.tier), (former, now)

    def _as_the_process_says(self, member: str) -> None:
        state, known = self.stories[member].state.state, self.register.members.get(member)
        match state:
            case Active(causes=causes):
                assert known is not None
                assert known.standing is (Standing.SUSPENDED if causes else Standing.ACTIVE)
                assert bool(known.causes) == bool(causes)
            case Leaving(causes=causes):
                assert known is not None
                assert known.standing is Standing.LEAVING
                assert bool(known.causes) == bool(causes)
            case Ended():
                assert known is None or known.standing is Standing.GONE
                assert self.register.representatives(member, self.at) == ()
                assert member not in self.register.entities.values()
                assert member not in self.register.holdings
                assert member not in self.register.reserved
            case _:
                assert known is None

    def _to_the_cent(self, member: str) -> None:
        state = self.stories[member].state.state
        if isinstance(state, Paying | Active | Leaving):
            assert state.dues.owed == self.invoiced[member] - state.dues.received + state.dues.credit
            assert not (state.dues.open and state.dues.credit)


def one_seat_and_one_vote(register: Register) -> None:
    """Reckoned anew, in the most simple-minded way: grow groups until nobody is controlled by one of them."""
    control = register.charter.membership.control
    groups = [{holder} for holder in HOLDERS]
    declared: Mapping[str, Sequence[Holding]] = {name: held for name, held in register.holdings.items() if register.belongs(name)}

    def joined() -> bool:
        for company, held in declared.items():
            own = next(group for group in groups if company in group)
            for group in groups:
                if group is not own and sum(holding.fraction for holding in held if holding.holder in group) > control:
                    own |= group
                    groups.remove(group)
                    return True
        return False

    while joined():
        pass
    active = {member for member in MEMBERS if register.active(member)}
    expected = {frozenset(group & active) for group in groups if group & active}
    assert {frozenset(seat.members) for seat in register.seats()} == expected
    assert len(register.seats()) == len(expected)


def nobody_for_two(register: Register) -> None:
    """A person speaks for one member at most; whoever has no role has no key."""
    for person, known in register.people.items():
        assert len(known.speaks_for) <= 1, person
        assert known.offices or known.speaks_for or not known.keys, person


# ---------------------------------------------------------------- what people do


def played(chance: Random) -> Counter[str]:
    """A random history, with three members to begin with and time for every deadline in the end; how often each command was accepted."""
    world = World()
    for name in MEMBERS[:3]:
        world.join(name, holdings(chance))
        world.pay(name, chance.choice((1, FEE)))
    for _ in range(chance.randint(15, 60)):
        act(world, chance.choice(MEMBERS), chance)
    world.pass_days(800)
    return world.accepted


def act(world: World, member: str, chance: Random) -> None:
    """What somebody, the list, the bank or the calendar does about one company."""
    by = chance.choice([person_of(member, chance), chance.choice(sorted(OFFICERS))])
    match chance.randrange(16):
        case 0 | 1 | 2 | 3:
            world.give(member, command(member, chance), by)
        case 13:
            world.give(
                member, chance.choice([member_commands.JudgeScreening(verdict=verdict, reason="looked") for verdict in VERDICTS]), "cora"
            )
        case 4:
            world.join(member, holdings(chance))
        case 5 | 11:
            world.confirm(member, chance.choice([by, "cora"]))
        case 6 | 12:
            world.screen(member, chance.choice((0, 95)))
        case 7 | 14:
            world.pay(member, chance.choice((1, FEE, 3 * FEE)))
        case 8:
            world.plan(member, chance.randint(1, 180))
        case 9:
            world.give(
                member,
                chance.choice([letters.SuspendForDefault(source="round/a"), letters.LiftDefault(source="round/a")]),
                SERVICE,
            )
        case 10:
            chance.choice([world.take_back, world.take_back, world.expel])(member)
        case _:
            world.pass_days(chance.choice((1, 10, 30, 90)))


def command(member: str, chance: Random) -> Command:
    person = person_of(member, chance)
    return chance.choice(
        [
            member_commands.DeclareOwnership(holdings=holdings(chance)), member_commands.DeclareOwnership(holdings=holdings(chance)), member_commands.Rescreen(), member_commands.Rescreen(),
            member_commands.SeatRepresentative(person=person, capacity=chance.choice(list(Capacity)), public_key=key_of(person), proof=PROOF),
            member_commands.UnseatRepresentative(person=person), member_commands.GiveNotice(), member_commands.WithdrawApplication(),
        ]
    )  # fmt: skip


def person_of(member: str, chance: Random) -> str:
    """One of the company's own mostly, else another's."""
    return chance.choice([*(f"{member}-{number}" for number in (1, 1, 1, 2, 3)), f"{chance.choice(MEMBERS)}-1"])


def holdings(chance: Random) -> tuple[Holding, ...]:
    holders = chance.sample(HOLDERS, chance.randint(0, 2))
    return tuple(Holding(holder=holder, fraction=chance.choice((1_000, 3_000, 5_000, 6_000))) for holder in holders)


def test_the_laws_hold_after_every_decision(*, long: bool) -> None:
    total: Counter[str] = Counter()
    histories = 2_000 if long else 50
    for seed in range(histories):
        total.update(played(Random(seed)))
    for kind in ("declare_ownership", "confirm_ownership", "seat_representative", "unseat_representative", "give_notice", "climb_ladder",
                 "screening_completed", "judge_screening", "agree_payment_plan", "suspend_for_default", "lift_default",
                 "reverse_dues_payment", "end_membership"):  # fmt: skip
        assert total[kind] >= histories // 50, f"{kind} was hardly ever accepted: {total}"
