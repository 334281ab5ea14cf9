"""What no log may say of a vote: a watch that counts by itself, from the events and the register of their time, and trusts no tally."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.charter import DecisionRule, Office
from domain.kernel import Event, Step, digest_of
from domain.letters import Terms
from domain.proposal import events as proposal_events
from domain.proposal import voting
from domain.proposal.terms import RollEntry
from domain.register.facts import MandateExercised, MandateGranted, Standing, VoteDecided
from domain.register.fold import note
from domain.register.state import Register
from domain.stream import StepOwed
from eventstore.entries import Entry, instant
from eventstore.replica import Replica

WHOLE: Final = 10_000
SILENT: Final = ""
NEVER: Final = datetime.max.replace(tzinfo=UTC)


def unfair(entries: Sequence[Entry]) -> list[str]:
    """Where the votes of a log break a law, each with the entry that does."""
    replica, register, votes, found = Replica(), Register(), defaultdict[str, Vote](Vote), list[str]()
    for entry in entries:
        process = replica.process_of(entry.stream)
        events = replica.events_of(process, entry)
        if process.name == "proposal":
            broken = votes[entry.stream].note(events, instant(entry.at), register)
            found += [f"entry {entry.position} on {entry.stream}: {law}" for law in broken]
        for event in events:
            if isinstance(event, MandateExercised):
                votes[event.proposal].note((event,), instant(entry.at), register)
            register = note(register, event)
    return found


@dataclass
class Vote:
    """One proposal as its events tell it."""

    made: proposal_events.ProposalMade | None = None
    opened_at: datetime | None = None
    closes_at: datetime = NEVER
    roll: Mapping[str, RollEntry] = field(default_factory=dict)
    recused: set[str] = field(default_factory=set)
    ballots: dict[str, proposal_events.BallotCast] = field(default_factory=dict)
    extended: bool = False
    result: proposal_events.VoteClosed | None = None
    over: bool = False
    """Executed or withdrawn."""
    mandates: int = 0
    refused: bool = False
    given_up: bool = False
    carried_out: bool = False
    """Its mandate is spent."""

    def note(self, events: Sequence[Event], at: datetime, register: Register) -> list[str]:
        """Follows the events of one decision, taken on this register; which laws they break."""
        return [law for event in events for law in self._laws(event, at, register)]

    @property
    def rule(self) -> DecisionRule:
        """How this is decided."""
        assert self.made is not None
        return self.made.rule

    @property
    def terms(self) -> Terms:
        """What is voted on."""
        assert self.made is not None
        return self.made.terms

    @property
    def counted(self) -> Mapping[str, RollEntry]:
        """The seats that are in the quorum and the count."""
        return {seat: entry for seat, entry in self.roll.items() if seat not in self.recused}

    def _laws(self, event: Event, at: datetime, register: Register) -> Iterator[str]:
        match event:  # type: ignore[exhaustive-match]  # the other facts say nothing that the laws are about
            case proposal_events.ProposalMade():
                if self.opened_at is not None:
                    yield "what is voted on changes after the opening"
                self.made = event
            case proposal_events.VoteOpened():
                yield from self._opened(event, at, register)
            case proposal_events.BallotCast():
                yield from self._cast(event, at, register)
                if event.seat in self.counted:
                    self.ballots[event.seat] = event
            case proposal_events.ConflictDeclared(seat=seat):
                yield from self._cast(event, at, register)
                self.recused.add(seat)
                self.ballots.pop(seat, None)
            case proposal_events.VoteExtended(closes_at=closes_at):
                if self.extended or closes_at - self.closes_at != timedelta(hours=self.rule.late_quorum_hours):
                    yield "a vote is extended once, by what the charter says"
                self.closes_at, self.extended = closes_at, True
            case proposal_events.VoteClosed():
                yield from self._closed(event, at)
                self.result = event
            case VoteDecided(passed=passed, yes=yes, no=no):
                if self.result is None or passed != (self.result.outcome == "passed"):
                    yield "the register is told another result"
                if (yes, no) != (self._members("yes", "consent"), self._members("no", "object")):
                    yield "the register is told other votes"
            case proposal_events.ProposalExecuted():
                result = self.result
                if self.over or result is None or result.outcome != "passed" or result.executes_at is None or at < result.executes_at:
                    yield "only what passed is executed, once, after its timelock"
                self.over = True
            case MandateExercised():
                self.carried_out = True
            case proposal_events.MotionRefused():
                if not self.over or self.given_up or self.carried_out:
                    yield "only what was ordered, and was not carried out, is refused"
                self.refused = True
            case proposal_events.MotionCarriedOut():
                if not self.refused or self.given_up:
                    yield "only what was refused is carried out at another try"
                self.refused = False
            case proposal_events.MotionGivenUp():
                if not self.over or self.given_up:
                    yield "an order is given up once"
                if self.carried_out:
                    yield "what was carried out is given up"
                self.given_up = True
            case proposal_events.ProposalWithdrawn():
                if self.over or self.result is not None or self.ballots or at >= self.closes_at:
                    yield "what was voted on, or is over, is withdrawn"
                self.over = True
            case MandateGranted(digest=digest):
                yield from self._granted(digest)
            case StepOwed(step=Step(kind="notify", data={"template": "vote-opened", "facts": facts})):
                weighing = sum(entry.weight > 0 for entry in self.roll.values())
                for_members = any(entry.members for entry in self.roll.values())
                if ("weights" in facts) != (for_members and weighing * self.rule.group_cap < WHOLE):
                    yield "it is told where the cap on a group cannot hold"

    # ------------------------------------------------------------ the roll

    def _opened(self, event: proposal_events.VoteOpened, at: datetime, register: Register) -> Iterator[str]:
        if self.opened_at is not None or self.made is None or at < self.made.opens_at:
            yield "a vote opens once, after its notice"
        self.opened_at, self.closes_at = at, event.closes_at
        self.roll, self.recused = {entry.seat: entry for entry in event.roll}, set(event.barred)
        if event.closes_at != at + timedelta(hours=self.rule.duration_hours):
            yield "a vote lasts as long as the charter says"
        seats, board = _seats(register), set(register.holders(Office.BOARD))
        founding = len(seats) < register.charters[self.made.charter_version].membership.founding_seats if self.made else False
        for_members = {entry.seat: frozenset(entry.members) for entry in event.roll if entry.members}
        own = [entry.voter for entry in event.roll if not entry.members]
        if for_members != seats:
            yield "the roll is the seats of the active members, related ones on one"
        if len(own) != len(set(own)) or set(own) != (board - _speaking(seats, register) if founding else board if not seats else set()):
            yield "the board votes without members, and beside few"
        if founding and {entry.weight for entry in event.roll} - {1}:
            yield "members and board have one vote each while they decide together"
        if seats and not founding and not self._fair({seat: self._weight(members, register) for seat, members in seats.items()}):
            yield "seats weigh what the charter's scheme and cap give them at the opening"
        if not event.barred <= self.roll.keys():
            yield "who is not on the roll is barred"

    def _weight(self, members: frozenset[str], register: Register) -> int:
        assert self.made is not None
        tiers, cleared = register.charters[self.made.charter_version].tiers, sum(register.cleared.get(member, 0) for member in members)
        match self.rule.scheme:
            case "per_member":
                return 1
            case "per_tier":
                held = [register.members[member].tier for member in members]
                return max((tiers[tier].votes for tier in held if tier in tiers), default=0)
            case "contribution":
                return cleared
            case "square_root":
                root = int(cleared**0.5) + 2
                while root * root > cleared:
                    root -= 1
                return root

    def _fair(self, raw: Mapping[str, int]) -> bool:
        """Nobody weighs more than they have or than the rest, and the level to which the heaviest are cut is the highest that the cap allows."""
        if not any(raw.values()):
            raw = dict.fromkeys(raw, 1)
        given = {seat: entry.weight for seat, entry in self.roll.items()}
        level, cap = max(given.values(), default=0), self.rule.group_cap

        def holds(limit: int) -> bool:
            return limit * WHOLE <= cap * sum(min(weight, limit) for weight in raw.values())

        cut = level < max(raw.values())
        return (
            given == {seat: min(weight, level) for seat, weight in raw.items()}
            and (level == 1 or holds(level))
            and not (cut and holds(level + 1))
        )

    # ------------------------------------------------------------ ballots

    def _cast(
        self, event: proposal_events.BallotCast | proposal_events.ConflictDeclared, at: datetime, register: Register
    ) -> Iterator[str]:
        if self.opened_at is None or self.result is not None or self.over or not self.opened_at <= at < self.closes_at:
            yield "a ballot is recorded from the opening on and before the close"
        if event.seat not in self.counted:
            yield "who is not on the roll, or recused, votes"
        elif not _speaks(self.roll[event.seat], event.person, register):
            yield "a seat's ballot is cast by who speaks for it"

    def _members(self, *choices: str) -> frozenset[str]:
        return frozenset(member for seat, ballot in self.ballots.items() if ballot.choice in choices for member in self.roll[seat].members)

    # ------------------------------------------------------------ the result

    def _closed(self, event: proposal_events.VoteClosed, at: datetime) -> Iterator[str]:
        if self.result is not None or self.over or self.opened_at is None:
            yield "a vote has one result"
        if at < self.closes_at and not (self.rule.early_close and self._settled()):
            yield "a vote closes at its close, or when nobody can change its result"
        said = {seat: ballot.choice or "chose" for seat, ballot in self.ballots.items()}
        weights = {seat: entry.weight for seat, entry in self.counted.items()}
        told = (event.heads, event.roll_heads, event.voted_weight, event.roll_weight, event.yes_weight, event.no_weight)
        count = (
            len(said), len(weights), sum(weights[seat] for seat in said), sum(weights.values()),
            _said(said, weights, "yes"), _said(said, weights, "no", "object"),
        )  # fmt: skip
        if told != count or not all(type(number) is int for number in told):
            yield f"each seat counts once, by its weight on the roll: {told} is told, {count} is so"
        if event.outcome != self._outcome(said):
            yield f"{event.outcome} is told, {self._outcome(said)} is so"
        if event.outcome == "passed" and self.rule.method == "ranked" and not self._ranked(event):
            yield "the ranking does not follow from the ballots"
        if event.outcome == "passed" and self.rule.method == "budget" and not self._shared(event):
            yield "the budget is not shared as the ballots say"

    def _outcome(self, said: Mapping[str, str]) -> str:
        rule, weights = self.rule, {seat: entry.weight for seat, entry in self.counted.items()}
        whole, voted = sum(weights.values()), sum(weights[seat] for seat in said)
        enough = len(said) * WHOLE >= rule.quorum_heads * len(weights) and voted * WHOLE >= rule.quorum_weight * whole
        if not weights or (rule.method != "lazy" and not (said and enough)):
            return "lapsed"
        yes, no = _said(said, weights, "yes"), _said(said, weights, "no", "object")
        match rule.method:
            case "weighted" if rule.threshold_of == "roll":
                passed = yes == whole if rule.threshold == WHOLE else yes * WHOLE > rule.threshold * whole
            case "weighted" if rule.threshold == WHOLE:
                passed = yes > 0 and no == 0
            case "weighted":
                passed = yes * WHOLE > rule.threshold * (yes + no)
            case "lazy":
                passed = no == 0 or no * WHOLE < rule.objection * whole
            case _:
                passed = _said(said, weights, "chose") > 0
        return "passed" if passed else "rejected"

    def _settled(self) -> bool:
        """Whether the result is the same, whatever those say who have not voted."""
        said = {seat: ballot.choice or "chose" for seat, ballot in self.ballots.items()}
        silent = self.counted.keys() - said.keys()
        if self.rule.method in {"ranked", "budget"}:
            return not silent
        outcomes = {
            self._outcome(said | (dict.fromkeys(silent, choice) if choice else {}))
            for choice in (("yes", "no", SILENT) if self.rule.method == "weighted" else ("object", SILENT))
        }
        return len(outcomes) == 1

    def _ranked(self, event: proposal_events.VoteClosed) -> bool:
        """Every option has one place; who beats every other one by one is alone in front; the order of the ballots changes nothing."""
        options = [option.id for option in self.terms.options]
        ballots = [(ballot.ranking, self.roll[seat].weight) for seat, ballot in self.ballots.items() if ballot.ranking]

        def margin(one: str, other: str) -> int:
            places = [({option: place for place, option in enumerate(ranking)}, weight) for ranking, weight in ballots]
            return sum(
                weight * (_place(place, other) > _place(place, one)) - weight * (_place(place, one) > _place(place, other))
                for place, weight in places
            )

        beaten = [one for one in options if all(margin(one, other) > 0 for other in options if other != one)]
        return (
            sorted(option for group in event.ranking for option in group) == sorted(options)
            and (not beaten or event.ranking[0] == tuple(beaten))
            and self._with_ties(event) == voting.schulze(options[::-1], ballots[::-1])
            and (not self.rule.tie_breaks or "listed" not in self.rule.tie_breaks or all(len(group) == 1 for group in event.ranking))
            and (bool(self.rule.tie_breaks) or not event.tied)
        )

    def _with_ties(self, event: proposal_events.VoteClosed) -> tuple[tuple[str, ...], ...]:
        """The order as it was counted, before the charter's tie-breaks."""
        tied = {option: group for group in event.tied for option in group}
        return tuple(dict.fromkeys(tied.get(group[0], group) for group in event.ranking))

    def _shared(self, event: proposal_events.VoteClosed) -> bool:
        """Nothing twice, nothing that nobody wants, no more than there is; the order of the ballots changes nothing."""
        costs = {option.id: option.cost or 0 for option in self.terms.options}
        budget = self.terms.budget or 0
        ballots = [(ballot.approves, self.roll[seat].weight) for seat, ballot in self.ballots.items() if ballot.approves]
        return (
            len(set(event.funded)) == len(event.funded)
            and sum(costs[project] for project in event.funded) <= budget
            and all(any(project in liked and weight for liked, weight in ballots) for project in event.funded)
            and event.funded == voting.equal_shares(costs, budget, ballots[::-1])
        )

    def _granted(self, digest: str) -> Iterator[str]:
        """One mandate: for the motion when it passed, for what else was to happen when it did not."""
        motion, passed = self.terms.motion, self.result is not None and self.result.outcome == "passed"
        self.mandates += 1
        ordered = None if motion is None else motion.command if passed else motion.otherwise
        if motion is not None and self.result is not None and self.result.outcome == "lapsed" and motion.unanswered is not None:
            ordered = motion.unanswered
        ended = self.over or (self.result is not None and not passed)
        if self.mandates > 1 or not ended or motion is None or ordered is None or digest != digest_of(motion.stream, ordered):
            yield "a mandate is granted once, at the end, for exactly what was voted on"


def _seats(register: Register) -> Mapping[str, frozenset[str]]:
    seats = defaultdict[str, set[str]](set)
    for name, member in register.members.items():
        if member.standing is Standing.ACTIVE:
            seats[register.groups.get(name, name)].add(name)
    return {seat: frozenset(members) for seat, members in seats.items()}


def _speaking(seats: Mapping[str, frozenset[str]], register: Register) -> set[str]:
    """Who speaks for one of the seats."""
    members = frozenset[str]().union(*seats.values())
    return {person for person, known in register.people.items() if members.intersection(known.speaks_for)}


def _speaks(entry: RollEntry, person: str, register: Register) -> bool:
    known = register.people.get(person)
    if known is None:
        return False
    if not entry.members:
        return person == entry.voter and Office.BOARD in known.offices
    return any(member in known.speaks_for and register.members[member].standing is Standing.ACTIVE for member in entry.members)


def _said(said: Mapping[str, str], weights: Mapping[str, int], *choices: str) -> int:
    return sum(weights[seat] for seat, choice in said.items() if choice in choices)


def _place(places: Mapping[str, int], option: str) -> int:
    return places.get(option, len(places))
