"""Steering decisions bind, and suppliers have no vote on their own contract.

An option of a ranked vote, or of a budget, may say what it asks of a run's contract (`contract`: the run, its size, its budget).

| vote | what is a fact in the register once it passed |
| --- | --- |
| ranked | the size and the budget that the winner asks for; of tied winners one of theirs; nothing where one of them asks nothing |
| budget | of each run that an option names: what its funded options cost, 0 where none is funded; and the size that they ask for |
| one that asks nothing, or did not pass | nothing: what was decided before stands |

| command | refused |
| --- | --- |
| plan_run, approve_contract, change_contract | steered_otherwise (the clause is the proposal): another size, or a P80 that is not the budget |
| cast_ballot on a motion on the run's stream | recused: who is, owns or is related to a supplier of the contract that is in force, waits or is moved |
| accept_milestone, reject_milestone | supplier_reviews (`training.reviewers`) |
| propose with options that ask | options_unfit: an option of a budget with another budget than its cost, a ranked one that asks nothing of its run |
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain import letters
from domain.catalog import PROPOSAL
from domain.kernel import Event
from domain.letters import Motion, Option, Steered
from domain.proposal import commands as proposal_commands
from domain.register.facts import ContractSteered, PayeeLinked, SuppliersNamed
from domain.register.state import Decided, Register, Steering
from domain.run import commands as run_commands
from domain.run.process import RUN
from domain.treasury import commands
from domain.treasury.process import TREASURY
from tests.stories import Story, charter, founded, noted, stated, with_members
from tests.test_proposal import EIGHT, related_to_birch, story
from tests.test_run import approved, cast, claimed, contract, voted
from tests.test_treasury import IBAN, SUPPLIER


def sized(name: str, millions: int | None = None, budget: int | None = None, run: str = "atlas-1") -> Option:
    return Option(id=name, label=name, contract=Steered(run=run, parameters_millions=millions, budget=budget))


SIZES = (sized("small", 8_000), sized("large", 70_000), Option(id="later", label="Decide later"))
PROJECTS = (
    Option(id="model", label="Model", cost=60, contract=Steered(run="atlas-1", parameters_millions=32_000)),
    Option(id="tokens", label="More tokens for it", cost=30, contract=Steered(run="atlas-1", parameters_millions=32_000)),
    Option(id="speech", label="Speech", cost=90, contract=Steered(run="speech-1")),
)


def ranked(*rankings: str, register: Register | None = None, options: tuple[Option, ...] = SIZES) -> Story:
    opened = story(register).when(letters.Propose(title="How large?", decision="steering", options=options), by="lea")
    for member, names in zip(EIGHT, rankings, strict=False):
        ballot = proposal_commands.CastBallot(member=member, ranking=tuple(names.split(">")))
        opened = opened.when(ballot, by=f"rep-{member}")
        assert opened.refusal is None, opened.refusal
    return opened.due()


def tying() -> Register:
    """Where the charter breaks no tie."""
    return with_members(founded(charter(decisions__steering__tie_breaks=[])), *EIGHT)


def shared(*approvals: str, budget: int = 100) -> Story:
    opened = story().when(letters.Propose(title="Share 100", decision="budget", options=PROJECTS, budget=budget), by="sam")
    for member, names in zip(EIGHT, approvals, strict=False):
        ballot = proposal_commands.CastBallot(member=member, approves=frozenset(names.split("+")))
        opened = opened.when(ballot, by=f"rep-{member}")
    return opened.due()


def knowing(story: Story, *facts: Event) -> Story:
    return replace(story, register=noted(story.register, *facts))


SIZE = ContractSteered(proposal="proposal/size", run="atlas-1", parameters_millions=(70_000,))
BUDGET = ContractSteered(proposal="proposal/money", run="atlas-1", budgets=(90_000_00,))

# ---------------------------------------------------------------- what a vote decides


def test_the_size_that_won_is_decided_for_the_run() -> None:
    register = ranked(*["large>small"] * 5).register
    assert register.steered["atlas-1"] == Steering(Decided((70_000,), "proposal/one"))


def test_options_that_tie_leave_the_choice_among_their_sizes() -> None:
    rankings = ("large>small>later", "large>small>later", "small>large>later", "small>large>later")
    register = ranked(*rankings, register=tying()).register
    assert register.steered["atlas-1"].parameters_millions.values == (8_000, 70_000)


@pytest.mark.parametrize(
    "rankings", [["later>large"] * 5, ["later", "large", "later", "large"], ["large"]], ids=["won", "tied", "no quorum"]
)
def test_a_winner_that_asks_nothing_and_a_vote_without_a_quorum_decide_nothing(rankings: list[str]) -> None:
    assert dict(ranked(*rankings, register=tying()).register.steered) == {}


def test_a_later_vote_replaces_what_it_decides_and_leaves_the_rest() -> None:
    first = ranked(*["both"] * 5, options=(sized("both", 8_000, 50), sized("other", 9_000))).register
    second = ranked(*["large"] * 5, register=first).register
    assert second.steered["atlas-1"] == Steering(Decided((70_000,), "proposal/one"), Decided((50,), "proposal/one"))


def test_a_shared_budget_decides_the_budget_of_each_run_that_it_was_for() -> None:
    steered = shared(*["model+tokens"] * 5).register.steered
    assert steered["atlas-1"] == Steering(Decided((32_000,), "proposal/one"), Decided((90,), "proposal/one"))
    assert steered["speech-1"].budget.values == (0,)


@pytest.mark.parametrize(
    "proposal",
    [
        letters.Propose(title="No demand", decision="steering", options=(sized("none"), sized("small", 8_000))),
        letters.Propose(
            title="Two budgets", decision="budget", budget=100,
            options=(Option(id="a", label="A", cost=10, contract=Steered(run="a", budget=20)), Option(id="b", label="B", cost=10)),
        ),
    ],
    ids=lambda proposal: proposal.title,
)  # fmt: skip
def test_an_option_asks_for_something_and_for_no_second_budget(proposal: letters.Propose) -> None:
    story().when(proposal, by="sam").refused("options_unfit")


def test_a_vote_that_binds_contracts_says_so() -> None:
    opened = story().when(letters.Propose(title="How large?", decision="steering", options=SIZES), by="lea")
    assert "| binds | the contract of run/atlas-1 |" in PROPOSAL.describe(opened.state.state).text


# ---------------------------------------------------------------- what a contract must meet


@pytest.mark.parametrize(("fact", "fits"), [(SIZE, {"parameters_millions": 70_000}), (BUDGET, {"p80": 90_000_00})], ids=["size", "budget"])
def test_a_contract_of_another_size_or_budget_is_refused_by_the_vote_that_decided_it(fact: ContractSteered, fits: dict[str, Any]) -> None:
    steered = knowing(cast(), fact)
    refused = steered.when(run_commands.PlanRun(contract=contract()), by="lea").refused("steered_otherwise")
    assert refused.refusal is not None
    assert refused.refusal.clause == fact.proposal
    assert {"USD 90,000.00": fact is BUDGET, "70,000 million": fact is SIZE} == {
        text: text in refused.refusal.message for text in ("USD 90,000.00", "70,000 million")
    }
    steered.when(run_commands.PlanRun(contract=contract(**fits)), by="lea").followed_by("run_planned", "lead_named")


def test_from_the_vote_to_the_contract() -> None:
    decided = Story.of(RUN, "run/atlas-1", ranked(*["large>small"] * 5).register)
    refused = decided.when(run_commands.PlanRun(contract=contract()), by="lea").refused("steered_otherwise")
    assert refused.refusal is not None
    assert refused.refusal.clause == "proposal/one"
    decided.when(run_commands.PlanRun(contract=contract(parameters_millions=70_000)), by="lea").followed_by("run_planned", "lead_named")


def test_a_run_that_was_not_funded_has_no_contract() -> None:
    unfunded = knowing(cast(), ContractSteered(proposal="proposal/money", run="atlas-1", budgets=(0,)))
    refused = unfunded.when(run_commands.PlanRun(contract=contract()), by="lea").refused("steered_otherwise")
    assert refused.refusal is not None
    assert refused.refusal.remedy == "put the budget to the vote anew"


def test_a_contract_that_was_planned_before_the_vote_and_a_change_order_must_meet_it_too() -> None:
    planned = cast().when(run_commands.PlanRun(contract=contract()), by="lea")
    approve = run_commands.ApproveContract(contract=stated(contract()))
    voted(knowing(planned, SIZE), approve).refused("steered_otherwise")
    change = run_commands.ChangeContract(contract=contract(title="Atlas-1b"))
    voted(knowing(approved(), SIZE), change).refused("steered_otherwise")
    fitting = voted(knowing(approved(), SIZE), run_commands.ChangeContract(contract=contract(parameters_millions=70_000)))
    assert "contract_approved" in {event.kind for event in fitting.answer}


def test_what_another_run_was_decided_of_binds_this_one_to_nothing() -> None:
    other = knowing(cast(), SIZE.model_copy(update={"run": "speech-1"}))
    other.when(run_commands.PlanRun(contract=contract()), by="lea").followed_by("run_planned", "lead_named")


# ---------------------------------------------------------------- suppliers


def test_a_contract_names_whom_it_pays_and_a_change_order_names_them_anew() -> None:
    story = cast().when(run_commands.PlanRun(contract=contract(suppliers=("gpu-cloud",))), by="lea")
    assert story.followed_by("run_planned", "lead_named", "suppliers_named").register.suppliers["atlas-1"] == {"gpu-cloud"}
    changed = voted(
        approved(contract(suppliers=("gpu-cloud",))), run_commands.ChangeContract(contract=contract(suppliers=("member:amber",)))
    )
    assert changed.register.suppliers["atlas-1"] == {"member:amber"}


def test_a_contract_without_suppliers_is_written_as_before_there_were_any() -> None:
    assert "suppliers" not in contract().model_dump(mode="json")


APPROVE = Motion(stream="run/atlas-1", command={"kind": "approve_contract", "contract": "0" * 64})
CHANGE = Motion(
    stream="run/atlas-1", command=run_commands.ChangeContract(contract=contract(suppliers=("gpu-cloud",))).model_dump(mode="json")
)
NAMED = SuppliersNamed(run="atlas-1", suppliers=frozenset({"gpu-cloud"}))
LINKED = PayeeLinked(payee="gpu-cloud", members=frozenset({"birch"}))


@pytest.mark.parametrize(
    ("motion", "known"),
    [
        (APPROVE, (NAMED, LINKED)),
        (CHANGE, (LINKED,)),
        (APPROVE, (SuppliersNamed(run="atlas-1", suppliers=frozenset({"birch"})),)),
        (APPROVE, (SuppliersNamed(run="atlas-1", suppliers=frozenset({"member:cedar"})),)),
    ],
    ids=["waits", "moved", "by its handle", "a related company"],
)
def test_a_supplier_is_recused_from_its_own_contract_with_all_that_are_related_to_it(motion: Motion, known: tuple[Event, ...]) -> None:
    opened = story(noted(related_to_birch(), *known)).when(letters.Propose(title="Decide", motion=motion), by="sam")
    for member in ("birch", "cedar"):
        opened.when(proposal_commands.CastBallot(member=member, choice="yes"), by=f"rep-{member}").refused("recused")
    opened.when(proposal_commands.CastBallot(member="amber", choice="yes"), by="rep-amber").followed_by("ballot_cast")


def test_from_the_bank_details_and_the_plan_to_the_recusal() -> None:
    treasury = Story.of(TREASURY, "treasury/main", related_to_birch()).when(commands.OpenAccount(iban=IBAN, owner="Atlas"), by="tess")
    named = treasury.when(commands.NamePayee(payee="gpu-cloud", name="Cloud AG", iban=SUPPLIER, member="birch"), by="tess")
    planned = Story.of(RUN, "run/atlas-1", named.register).when(run_commands.PlanRun(contract=contract(suppliers=("gpu-cloud",))), by="lea")
    opened = story(planned.register).when(letters.Propose(title="Decide", motion=APPROVE), by="sam")
    for member in ("birch", "cedar"):
        opened.when(proposal_commands.CastBallot(member=member, choice="yes"), by=f"rep-{member}").refused("recused")


def test_a_supplier_of_nobody_here_recuses_nobody() -> None:
    opened = story(noted(related_to_birch(), NAMED)).when(letters.Propose(title="Decide", motion=APPROVE), by="sam")
    opened.when(proposal_commands.CastBallot(member="birch", choice="yes"), by="rep-birch").followed_by("ballot_cast")


def test_a_reviewer_who_speaks_for_a_supplier_judges_no_milestone() -> None:
    def supplied(story: Story) -> Story:
        book = story.state.state.book
        paid = replace(book, contract=book.contract.model_copy(update={"suppliers": ("gpu-cloud",)}))
        return replace(story, state=story.state._replace(state=replace(story.state.state, book=paid)))

    story, evidence = claimed()
    accept = run_commands.AcceptMilestone(milestone="half", evidence=evidence)
    linked = knowing(supplied(story), PayeeLinked(payee="gpu-cloud", members=frozenset({"amber"})))
    linked.when(accept, by="eva").refused("supplier_reviews")
    linked.when(accept, by="sia").followed_by("milestone_signed")
    before = supplied(story).when(accept, by="eva").followed_by("milestone_signed")
    joined = knowing(before, PayeeLinked(payee="gpu-cloud", members=frozenset({"amber"})))
    joined.when(accept, by="sia").followed_by("milestone_signed")
