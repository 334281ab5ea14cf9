"""The run contract: planned by the training lead, approved and changed by votes."""

from __future__ import annotations

from typing import Final

from domain.charter import Office
from domain.kernel import Refused, notify, shown_at, slug_of
from domain.money import display
from domain.process import Context
from domain.register.facts import LeadNamed, SuppliersNamed
from domain.register.state import Steering
from domain.run import commands, events, looks, telemetry
from domain.run.rules import Events, changeable, not_now, phase_of, report
from domain.run.state import Approved, Book, Paused, Planned, Running, RunState, Unplanned, evolve
from domain.run.terms import Contract
from domain.stream import owe

MOST_CHECKPOINTS: Final = 1_000_000
VOTED: Final = ("run/approve_contract", "run/continue_run", "run/change_contract", "run/stop_run")
"""What only a vote can order here."""


def plan(state: Unplanned | Planned, command: commands.PlanRun, context: Context) -> Events:
    """The training lead plans the run; the board is notified, and the contract waits for its vote."""
    contract = command.contract
    context.require_office(Office.TRAINING_LEAD, clause="training")
    if context.actor != contract.lead:
        raise not_now("not_the_lead", f"the contract names {contract.lead} as responsible", "name yourself, or let that person plan it")
    if isinstance(state, Planned):
        _require_replaceable(state.contract, context)
    _require_sound(contract, context)
    if isinstance(state, Planned) and state.contract == contract:
        return ()
    digest = context.digest_of("contract")
    board = notify("run-planned", ("office:board",), key=f"notice:planned:{digest[:16]}", run=context.stream, contract=digest)
    lead = LeadNamed(run=slug_of(context.stream), lead=contract.lead)
    return (events.RunPlanned(contract=contract, digest=digest), lead, *_name_suppliers(contract, context), owe(board))


def _name_suppliers(contract: Contract, context: Context) -> Events:
    """The register's fact of who is paid under the contract, where it is another one."""
    run, suppliers = slug_of(context.stream), frozenset(contract.suppliers)
    return () if suppliers == context.register.suppliers.get(run, frozenset()) else (SuppliersNamed(run=run, suppliers=suppliers),)


def _require_replaceable(waiting: Contract, context: Context) -> None:
    """Refuses a contract in place of one of another training lead, who may still want it voted on."""
    other = waiting.lead
    if context.actor != other and context.register.holds(other, Office.TRAINING_LEAD):
        raise not_now(
            "other_contract_waits", f"the contract of {other} waits for its vote", f"let it be voted on, or let {other} plan anew"
        )


def _require_sound(contract: Contract, context: Context) -> None:
    _require_terms(contract, context)
    undecided = [command for command in VOTED if context.charter.class_of(command) is None]
    if undecided:
        raise Refused(
            "nobody_decides",
            f"no class of decision covers {', '.join(undecided)}",
            clause="decisions",
            remedy="amend the charter: let a class cover them, for example [decisions.runs]",
        )
    past = next((milestone for milestone in contract.milestones if milestone.due_at <= context.at), None)
    if past is not None:
        raise not_now("due_date_passed", f"{past.id} is due at {shown_at(past.due_at)}, which is over", "name a later day")
    if contract.start_funds and contract.round is None:
        raise not_now("no_round", "the contract waits for money of no round", "name the round that pays for it")


def _require_terms(contract: Contract, context: Context) -> None:
    """Refuses terms that no run can be followed or judged by, in a contract as in a change order."""
    currency = context.charter.currency
    if contract.currency != currency:
        raise Refused("other_currency", f"the books are kept in {currency}", remedy="state the cost in that currency", clause="currency")
    _require_steered(contract, context)
    checkpoints = sum(telemetry.planned(stage) for stage in contract.stages)
    if checkpoints > MOST_CHECKPOINTS:
        raise not_now(
            "too_many_checkpoints", f"the stages retain {checkpoints:,} checkpoints", f"retain at most {MOST_CHECKPOINTS:,}: fewer of each"
        )
    if contract.look_hours >= min(contract.silent_hours, contract.stalled_hours):
        raise not_now(
            "looks_too_rare",
            f"the readings are looked at every {contract.look_hours} hours, which is too rare to tell a silent run in time",
            "let `silent_hours` and `stalled_hours` be longer than `look_hours`",
        )
    for milestone in contract.milestones:
        lowest, highest = milestone.criteria.loss_at_least_micro, milestone.criteria.loss_at_most_micro
        if lowest is not None and highest is not None and lowest > highest:
            raise not_now("loss_band_inverted", f"no loss is within the band of {milestone.id}", "name the lower loss as the lower end")


def _require_steered(contract: Contract, context: Context) -> None:
    """Refuses another size or budget than the members decided by vote: the contract's P80 is its budget."""
    steered = context.register.steered.get(slug_of(context.stream), Steering())
    size, budget = steered.parameters_millions, steered.budget
    if size.values and contract.parameters_millions not in size.values:
        decided = " or ".join(f"{value:,}" for value in size.values)
        raise Refused(
            "steered_otherwise",
            f"the members decided on {decided} million parameters, and the contract names {contract.parameters_millions:,}",
            clause=size.proposal,
            remedy=f"name {decided} million parameters, or put the size to the vote anew",
        )
    if budget.values and contract.p80 not in budget.values:
        decided = " or ".join(display(value, contract.currency) for value in budget.values)
        raise Refused(
            "steered_otherwise",
            f"the members decided on a budget of {decided}, and the contract's P80 is {display(contract.p80, contract.currency)}",
            clause=budget.proposal,
            remedy="put the budget to the vote anew"
            if budget.values == (0,)
            else f"let the P80 be {decided}, or put the budget to the vote anew",
        )


def approve(state: Planned, command: commands.ApproveContract, context: Context) -> Events:
    """The contract that was voted on is in force."""
    context.require_mandate()
    digest = command.contract
    if digest != state.digest:
        raise not_now("other_contract", f"the contract that waits is {state.digest}", "vote on that one")
    _require_steered(state.contract, context)
    version = context.register.version
    book = Book(state.contract, digest, 1, version)
    lead = notify("run-approved", (state.contract.lead,), key="notice:approved", run=context.stream)
    approved = events.ContractApproved(contract=state.contract, digest=digest, version=1, charter_version=version)
    return (approved, report(book, "approved", context), owe(lead))


def change(state: RunState, command: commands.ChangeContract, context: Context) -> Events:
    """A change order is in force; a question that was open is settled by it."""
    context.require_mandate()
    current, contract = changeable(state), command.contract
    book = current.book
    _require_sound_change(book, contract, context)
    digest = context.digest_of("contract")
    approved = events.ContractApproved(contract=contract, digest=digest, version=book.version + 1, charter_version=book.charter_version)
    settled = (events.QuestionSettled(question=book.question, by="change-order"),) if book.question_open else ()
    after = evolve(current, approved)
    assert isinstance(after, Approved | Running | Paused), "a change order changes no phase"
    moved = isinstance(after, Running) and contract.source != book.contract.source
    suppliers = _name_suppliers(contract, context)
    return (
        approved,
        *settled,
        *suppliers,
        report(after.book, phase_of(current), context),
        *(looks.begin_look(after.book, context) if moved else ()),
    )


def _require_sound_change(book: Book, contract: Contract, context: Context) -> None:
    _require_terms(contract, context)
    after = {milestone.id: milestone for milestone in contract.milestones}
    for milestone in book.contract.milestones:
        if book.mark(milestone.id).stage == "accepted" and after.get(milestone.id) != milestone:
            raise not_now("milestone_accepted", f"{milestone.id} is accepted under its terms", "leave accepted milestones as they are")
