"""The watch over votes: it says nothing of a fair vote, and names the law that each planted bug breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import letters
from domain.charter import DecisionRule
from domain.kernel import SERVICE, WHOLE, Command, Event, PersonId, digest_of
from domain.process import Context
from domain.proposal import balloting, closing, ordering, roll, state, voting
from domain.proposal import commands as proposal_commands
from domain.proposal import events as proposal_events
from domain.register.facts import (
    Capacity,
    ContributionCleared,
    Holding,
    MandateExercised,
    OwnershipDeclared,
    RepresentativeSeated,
    VoteDecided,
)
from domain.register.state import Register, Seat
from domain.stream import DelayStep, WaiveStep
from tests.stories import Story, charter, day, founded, noted, with_members
from tests.test_proposal import EIGHT, EXPEL, PROJECTS, SIZES, board_of_three, story
from tests.votes import Vote

RULES = charter(decisions__funding__group_cap=2_000, decisions__expulsion__early_close=False)


@dataclass(frozen=True)
class Watched:
    """A story and the watch that looks at every answer of it."""

    story: Story
    vote: Vote = field(default_factory=Vote)
    broken: tuple[str, ...] = ()

    def when(self, command: Command, by: PersonId = SERVICE, at: datetime | None = None) -> Watched:
        after = self.story.when(command, by=by, at=at)
        return replace(self, story=after, broken=(*self.broken, *self.vote.note(after.answer, after.at, self.story.register)))

    def told(self, *events: Event) -> Watched:
        """The log says so, whatever was decided."""
        return replace(self, broken=(*self.broken, *self.vote.note(events, self.story.at, self.story.register)))

    def votes(self, choice: Any, *members: str, at: datetime | None = None) -> Watched:
        watched = self
        for member in members:
            watched = watched.when(proposal_commands.CastBallot(member=member, choice=choice), f"rep-{member}", at)
        return watched


def eight() -> Register:
    """Eight members on seven seats, of which one has contributed most and another nothing."""
    cleared = [ContributionCleared(member=name, source="round/x", amount=10**9 if name == "amber" else 10**6) for name in EIGHT[:7]]
    owned = OwnershipDeclared(member="cedar", holdings=(Holding(holder="birch", fraction=6_000),))
    return noted(with_members(founded(RULES), *EIGHT), owned, *cleared)


def proposed(title: str, **terms: Any) -> Watched:
    return Watched(story(eight(), f"proposal/{title}")).when(letters.Propose(title=title, **terms), "sam")


def expulsion() -> Watched:
    """Ballots are changed, for one seat by two persons, cast by strangers, by the barred and too late; the end is asked for too soon."""
    watched = proposed("expel", motion=EXPEL).votes("no", "birch").votes("yes", "cedar", "birch", "delta", "ember", "fjord")
    watched = watched.when(proposal_commands.CastBallot(member="grove", choice="yes"), "rep-amber").votes("no", "amber")
    watched = (
        watched.when(proposal_commands.WithdrawProposal(), "sam")
        .when(proposal_commands.DeclareConflict(member="ember", reason="a rival"), "rep-ember")
        .votes("yes", "ember")
    )
    watched = watched.votes("no", "grove", "haven", at=day(14)).when(proposal_commands.CloseVote(), at=day(14))
    return (
        watched.when(proposal_commands.Execute(), at=day(14))
        .when(proposal_commands.Execute(), at=day(17))
        .when(proposal_commands.Execute(), at=day(18))
    )


def unanswered() -> Watched:
    """What passed was carried out, the answer is still under way, and somebody wants to give it up."""
    ordered = expulsion()
    exercised = MandateExercised(proposal=ordered.story.stream, digest=digest_of(EXPEL.stream, EXPEL.command))
    watched = ordered.told(exercised)
    watched = replace(watched, story=replace(watched.story, register=noted(watched.story.register, exercised)))
    return watched.when(DelayStep(step=ordering.MOTION, reason="no answer")).when(
        WaiveStep(step=ordering.MOTION, reason="we live without it"), "sam"
    )


def cancelling() -> Watched:
    """Votes weigh by what was contributed, up to the cap."""
    watched = proposed("cancel", motion={"stream": "round/x", "command": {"kind": "cancel_round"}})
    return (
        watched.votes("yes", "amber", "delta")
        .votes("no", "ember", "fjord", "grove", "haven")
        .when(proposal_commands.CloseVote(), at=day(7))
    )


def halfhearted() -> Watched:
    """Of the votes cast it has a majority, of the roll it has none; and there are too few seats for the cap."""
    rules = charter(decisions__expulsion__threshold_of="roll", decisions__expulsion__group_cap=1_000)
    watched = Watched(story(with_members(founded(rules), *EIGHT), "proposal/halfhearted")).when(
        letters.Propose(title="x", motion=EXPEL), "sam"
    )
    return (
        watched.votes("yes", "birch", "cedar", "delta").votes("abstain", "ember", "fjord").when(proposal_commands.CloseVote(), at=day(14))
    )


def together() -> Watched:
    """Two members and the board, of whom one speaks for a member, decide together."""
    register = board_of_three(members=EIGHT[:2])
    register = noted(register, RepresentativeSeated(member="amber", person="bo", capacity=Capacity.ALTERNATE, at=day(0)))
    cleared = ContributionCleared(member="amber", source="round/x", amount=10**9)
    cancel = letters.Motion(stream="round/x", command={"kind": "cancel_round"})
    watched = Watched(story(noted(register, cleared), "proposal/together")).when(letters.Propose(title="x", motion=cancel), "sam")
    watched = watched.votes("no", "amber", "birch")
    for person in ("bo", "bea", "ben"):
        watched = watched.when(proposal_commands.CastBallot(choice="yes"), person)
    return watched.when(proposal_commands.CloseVote(), at=day(7))


def tied() -> Watched:
    watched = proposed("tied", decision="steering", options=SIZES)
    for member, ranking in zip(EIGHT, (("small", "large"), ("large", "small")) * 4, strict=True):
        watched = watched.when(proposal_commands.CastBallot(member=member, ranking=ranking), f"rep-{member}")
    return watched.when(proposal_commands.CloseVote(), at=day(10)).when(proposal_commands.CloseVote(), at=day(11))


def lonely() -> Watched:
    """One votes, and that is no quorum."""
    return proposed("alone", motion=EXPEL).votes("yes", "delta").when(proposal_commands.CloseVote(), at=day(14))


def steering() -> Watched:
    watched = proposed("size", decision="steering", options=SIZES)
    for member, ranking in zip(EIGHT, ("small", "large", "large", "medium", "medium", "medium", "large", "large"), strict=True):
        watched = watched.when(
            proposal_commands.CastBallot(member=member, ranking=(ranking, "medium") if ranking != "medium" else ("medium",)),
            f"rep-{member}",
        )
    return watched.when(proposal_commands.CloseVote(), at=day(10)).when(proposal_commands.CloseVote(), at=day(11))


def sharing() -> Watched:
    watched = proposed("share", decision="budget", options=PROJECTS, budget=100)
    for member in EIGHT:
        watched = watched.when(proposal_commands.CastBallot(member=member, approves=frozenset({"data", "safety"})), f"rep-{member}")
    return watched.when(proposal_commands.CloseVote(), at=day(10))


def consent() -> Watched:
    return (
        proposed("routine", decision="routine")
        .votes("consent", "birch")
        .votes("object", "delta", "ember")
        .when(proposal_commands.CloseVote(), at=day(3))
    )


def everything() -> set[str]:
    """What the watch says of all of it."""
    told = (play() for play in (expulsion, unanswered, cancelling, halfhearted, together, tied, lonely, steering, sharing, consent))
    return {law for watched in told for law in watched.broken}


def test_a_fair_vote_breaks_no_law() -> None:
    assert everything() == set()
    ends = [
        play().story.phase for play in (expulsion, unanswered, cancelling, halfhearted, together, tied, lonely, steering, sharing, consent)
    ]
    assert ends == ["executed", "executed", "rejected", "rejected", "rejected", "passed", "lapsed", "passed", "passed", "rejected"]


def nothing(*_: Any, **__: Any) -> None:
    """A rule that was forgotten."""


def each_alone(register: Register) -> tuple[Seat, ...]:
    return tuple(Seat(member, (member,)) for member in sorted(register.members))


def uncapped(weights: Mapping[str, int], cap: int) -> Mapping[str, int]:
    return weights


def first_come(options: Sequence[str], ballots: Sequence[tuple[voting.Ranking, int]]) -> tuple[tuple[str, ...], ...]:
    return tuple((option,) for option in dict.fromkeys((*ballots[0][0], *options)))


def everything_funded(costs: Mapping[str, int], budget: int, ballots: object) -> tuple[str, ...]:
    return tuple(costs)


def orders_another(proposal: state.Announced, context: Context) -> Sequence[Event]:
    another = letters.Motion(stream="round/x", command={}, otherwise={"kind": "cancel_round"})
    terms = proposal.terms.model_copy(update={"motion": another})
    return (proposal_events.ProposalExecuted(), *ordering.order_otherwise(replace(proposal, terms=terms), context))


def never(*_: Any) -> bool:
    return False


def untied(order: Sequence[Sequence[str]], *_: Any) -> tuple[tuple[str, ...], ...]:
    return tuple((option,) for group in reversed(order) for option in group)


def of_votes(rule: DecisionRule, tally: voting.Tally) -> bool:
    """As if the whole roll were never meant."""
    return tally.no == 0 if rule.method == "lazy" else tally.yes * WHOLE > rule.threshold * (tally.yes + tally.no)


def always(*_: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("place", "name", "bug", "law"),
    [
        (state, "_uncounted", lambda state, seat: state.tally, "each seat counts once"),
        (Register, "seats", each_alone, "the roll is the seats of the active members"),
        (balloting, "_require_in_time", nothing, "a ballot is recorded from the opening on and before the close"),
        (balloting, "_require_not_recused", nothing, "who is not on the roll, or recused, votes"),
        (Context, "require_speaker", nothing, "a seat's ballot is cast by who speaks for it"),
        (voting, "capped", uncapped, "seats weigh what the charter's scheme and cap give them"),
        (voting, "weight", lambda scheme, votes, cleared: 1, "seats weigh what the charter's scheme and cap give them"),
        (voting, "has_quorum", always, "passed is told, lapsed is so"),
        (voting, "carries", lambda rule, tally: tally.yes >= 0, "passed is told, rejected is so"),
        (roll, "_is_founding", never, "the board votes without members, and beside few"),
        (Register, "speaks_for", never, "the board votes without members, and beside few"),
        (voting, "without_ties", untied, "the ranking does not follow from the ballots"),
        (voting, "cap_holds", always, "it is told where the cap on a group cannot hold"),
        (voting, "carries", of_votes, "passed is told, rejected is so"),
        (voting, "is_settled", always, "a vote closes at its close, or when nobody can change its result"),
        (voting, "schulze", first_come, "the ranking does not follow from the ballots"),
        (voting, "equal_shares", everything_funded, "the budget is not shared as the ballots say"),
        (Context, "require_due", nothing, "only what passed is executed, once, after its timelock"),
        (closing, "_members", lambda state, *choices: frozenset(), "the register is told other votes"),
        (ordering, "_require_not_carried_out", nothing, "what was carried out is given up"),
        (ordering, "order_motion", orders_another, "a mandate is granted once, at the end, for exactly what was voted on"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)  # fmt: skip
def test_a_planted_bug_is_named_by_the_law_that_it_breaks(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, bug: Callable[..., Any], law: str
) -> None:
    monkeypatch.setattr(place, name, bug)
    assert any(said.startswith(law) for said in everything()), everything()


def test_a_second_result_another_result_and_a_withdrawal_afterwards_are_named() -> None:
    closed = cancelling()
    events = [event for event in closed.story.answer if isinstance(event, proposal_events.VoteClosed | VoteDecided)]
    assert not closed.broken
    result, decided = events
    assert isinstance(decided, VoteDecided)
    again = closed.told(result, decided.model_copy(update={"passed": True}))
    assert set(again.broken) == {"a vote has one result", "the register is told another result"}


# ---------------------------------------------------------------- laws

RULE = st.fixed_dictionaries(
    {
        "method": st.sampled_from(("weighted", "lazy")), "scheme": st.sampled_from(("per_member", "per_tier", "contribution", "square_root")),
        "group_cap": st.sampled_from((0, 1_500, 3_000, 10_000)), "duration_hours": st.just(240), "notice_hours": st.sampled_from((0, 24)),
        "quorum_heads": st.sampled_from((0, 3_000, 10_000)), "quorum_weight": st.sampled_from((0, 5_000, 10_000)),
        "threshold": st.sampled_from((0, 5_000, 6_667, 10_000)), "threshold_of": st.sampled_from(("votes", "roll")), "objection": st.sampled_from((0, 2_500, 10_000)),
        "late_quorum_hours": st.sampled_from((0, 48)), "early_close": st.booleans(), "timelock_hours": st.sampled_from((0, 72)),
        "subject_barred": st.booleans(), "covers": st.just(["member/expel"]), "sponsors": st.just(["secretariat"]),
    }
)  # fmt: skip
MEMBER, CHOICE = st.sampled_from(EIGHT), st.sampled_from(("yes", "no", "abstain", "consent", "object"))
ACTS = st.lists(
    st.one_of(
        st.builds(lambda member, choice: (proposal_commands.CastBallot(member=member, choice=choice), f"rep-{member}"), MEMBER, CHOICE),
        st.builds(lambda choice: (proposal_commands.CastBallot(choice=choice), "bo"), CHOICE),
        st.builds(lambda member: (proposal_commands.DeclareConflict(member=member, reason="a rival"), f"rep-{member}"), MEMBER),
        st.sampled_from(
            [
                (proposal_commands.WithdrawProposal(), "sam"),
                (proposal_commands.OpenVote(), SERVICE),
                (proposal_commands.CloseVote(), SERVICE),
                (proposal_commands.Execute(), SERVICE),
            ]
        ),
        st.integers(1, 5),
    ),
    max_size=40,
)
WEALTH = st.lists(st.sampled_from((0, 1, 100, 10**9)), min_size=8, max_size=8)


def test_every_vote_under_every_rule_breaks_no_law(*, long: bool) -> None:
    ends: Counter[str] = Counter()

    @settings(max_examples=1_500 if long else 150, deadline=None, derandomize=True, database=None)
    @given(RULE, WEALTH, ACTS, st.sampled_from((0, 0, 9)))
    def laws(rule: dict[str, Any], wealth: list[int], acts: list[Any], founding_seats: int) -> None:
        watched = voted(rule, wealth, acts, founding_seats)
        ends[watched.story.phase] += 1
        assert watched.broken == ()

    laws()
    assert all(ends[end] >= 5 for end in ("executed", "rejected", "lapsed", "withdrawn")), ends


def voted(rule: dict[str, Any], wealth: list[int], acts: list[Any], founding_seats: int) -> Watched:
    """A vote under this rule among members who contributed so much, with these acts and all that is due until its end."""
    cleared = [ContributionCleared(member=name, source="round/x", amount=amount) for name, amount in zip(EIGHT, wealth, strict=True)]
    owned = OwnershipDeclared(member="cedar", holdings=(Holding(holder="birch", fraction=6_000),))
    register = noted(
        with_members(founded(charter(decisions__expulsion=rule, membership__founding_seats=founding_seats)), *EIGHT), owned, *cleared
    )
    watched, at = Watched(story(register)).when(letters.Propose(title="Expel", motion=EXPEL), "sam"), 0
    for act in acts:
        if isinstance(act, int):
            at += act
        else:
            command, by = act
            watched = watched.when(command, by, day(at))
    for _ in range(6):
        deadline = watched.story.agenda.deadline
        if deadline is not None:
            watched = watched.when(deadline.command, SERVICE, deadline.at)
    return watched
