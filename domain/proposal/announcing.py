"""Announcing a proposal: its class, its sponsor, its motion and its opening; and withdrawing it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from domain import letters
from domain.charter import DecisionRule
from domain.kernel import ASKED, SERVICE, Refused, canonical_json, process_of, shown_at, slug_of
from domain.letters import Motion, Terms
from domain.process import Context
from domain.proposal import commands, events
from domain.proposal.notices import notify_announced, notify_withdrawn
from domain.proposal.opening import open_vote
from domain.proposal.ordering import order_otherwise
from domain.proposal.rules import Events
from domain.proposal.state import Announced, Open, Unproposed, announced_by

NAMED_PROBLEMS: Final = 5
"""How many problems of an unreadable motion are named."""
PLACE_LENGTH: Final = 100
"""The most characters of a problem's place in a refusal: it holds names of the sender's making, of any length."""
OPENS_WITHIN: Final = timedelta(days=366)
"""How far ahead an opening may be set."""


def propose(_: Unproposed, command: letters.Propose, context: Context) -> Events:
    """A proposal is made."""
    _require_free_name(context)
    return _announce(command, context)


def amend(proposal: Announced, command: commands.AmendProposal, context: Context) -> Events:
    """The sponsor replaces the terms, and the notice begins again."""
    _require_sponsor_of(proposal, context)
    return _announce(command, context)


def withdraw(state: Announced | Open, context: Context) -> Events:
    """The sponsor takes it back; what its motion orders for that case is ordered."""
    proposal = state.proposal if isinstance(state, Open) else state
    _require_sponsor_of(proposal, context)
    return (events.ProposalWithdrawn(), *order_otherwise(proposal, context), *notify_withdrawn(state, context))


def _announce(terms: letters.Propose | commands.AmendProposal, context: Context) -> Events:
    """Announces these terms under the charter in force; without a notice period the vote opens at once."""
    decision = _class_of(terms, context)
    rule = context.charter.decisions[decision]
    clause = f"decisions.{decision}"
    _require_sponsor(rule, clause, context)
    _require_fitting(terms, rule, clause)
    _require_own_motion(terms, clause, context)
    _require_opening_near(terms.opens_at, clause, context)
    opens_at = max(context.at + timedelta(hours=rule.notice_hours), terms.opens_at or context.at)
    made = events.ProposalMade(
        terms=Terms(**{name: getattr(terms, name) for name in Terms.model_fields}),
        sponsor=context.actor,
        decision=decision,
        rule=rule,
        charter_version=context.register.version,
        opens_at=opens_at,
    )
    if opens_at > context.at:
        return (made, *notify_announced(made, context))
    return (made, *open_vote(announced_by(made), context))


def _require_free_name(context: Context) -> None:
    """Names like `admit-<member>` are for the processes that ask the members: a person who took one would block that vote for good."""
    word, _, about = slug_of(context.stream).partition("-")
    if context.actor != SERVICE and about and word in ASKED:
        raise Refused(
            "name_reserved",
            f"what is called {word}-… is put to the vote by the process it is about",
            clause="decisions",
            remedy=f"give it a name that does not begin with {word}-",
        )


def _class_of(terms: Terms, context: Context) -> str:
    """The class that decides this motion; without a motion it is the one that the sponsor names."""
    charter = context.charter
    if terms.motion is None:
        rule = charter.decisions.get(terms.decision or "")
        if terms.decision is None or rule is None or rule.covers:
            named = ", ".join(sorted(name for name, rule in charter.decisions.items() if not rule.covers))
            raise Refused(
                "no_decision_class", "no class of decision is named that needs no motion", remedy=f"name one of {named}", clause="decisions"
            )
        return terms.decision
    command = f"{process_of(terms.motion.stream)}/{terms.motion.command.get('kind')}"
    decision = charter.class_of(command)
    if decision is None:
        raise Refused(
            "no_decision_class",
            f"no vote can order {command}",
            remedy="move a command that the charter lets a vote decide",
            clause="decisions",
        )
    if terms.decision not in {None, decision}:
        raise Refused(
            "class_follows_from_motion",
            f"{command} is decided as {decision}",
            remedy=f"leave the class out, or say {decision}",
            clause=f"decisions.{decision}",
        )
    return decision


def _require_sponsor(rule: DecisionRule, clause: str, context: Context) -> None:
    person = context.register.people.get(context.actor)
    represents = person is not None and any(context.register.active(member) for member in person.speaks_for)
    if context.actor != SERVICE and not represents and not context.register.holds(context.actor, *rule.sponsors):
        raise Refused(
            "not_a_sponsor",
            f"{context.actor} cannot put this to the vote",
            clause=clause,
            remedy="ask a representative of an active member" + "".join(f", or the {office}" for office in sorted(rule.sponsors)),
        )


def _require_fitting(terms: Terms, rule: DecisionRule, clause: str) -> None:
    """Ranked choices need options, budgets options with costs, everything else none."""
    several = rule.method in {"ranked", "budget"}
    ids = [option.id for option in terms.options]
    if several and (len(ids) < 2 or len(ids) != len(set(ids))):
        raise Refused("options_unfit", "at least two options are needed, each named once", remedy="name the options", clause=clause)
    if not several and ids:
        raise Refused("options_unfit", f"a {rule.method} vote has no options", remedy="leave the options out", clause=clause)
    costed = [option.cost is not None for option in terms.options]
    if rule.method == "budget" and (terms.budget is None or not all(costed)):
        raise Refused("options_unfit", "sharing a budget needs the budget and each option's cost", remedy="name them", clause=clause)
    if rule.method != "budget" and (terms.budget is not None or any(costed)):
        raise Refused("options_unfit", "only a budget vote has a budget and costs", remedy="leave them out", clause=clause)
    for option in terms.options:
        asked = option.contract
        if asked is not None and rule.method == "budget" and asked.budget is not None:
            raise Refused("options_unfit", f"the budget of {option.id} is its cost", remedy="leave `contract.budget` out", clause=clause)
        if asked is not None and rule.method == "ranked" and asked.parameters_millions is None and asked.budget is None:
            raise Refused(
                "options_unfit",
                f"{option.id} asks nothing of the contract of {asked.run}",
                remedy="name a size (`contract.parameters_millions`) or a budget (`contract.budget`), or leave `contract` out",
                clause=clause,
            )


def _require_own_motion(terms: Terms, clause: str, context: Context) -> None:
    """Refuses an `otherwise`, or an `unanswered`, of a person: it is ordered without a majority, so only the process that needs an answer may give one."""
    motion = terms.motion
    if motion is not None and (motion.otherwise, motion.unanswered) != (None, None) and context.actor != SERVICE:
        raise Refused(
            "otherwise_reserved",
            "a person's motion orders nothing when it does not pass",
            clause=clause,
            remedy="leave `otherwise` and `unanswered` out, and propose that command by itself",
        )


def require_readable(motion: Motion, orders: Mapping[str, TypeAdapter[Any]]) -> None:
    """Refuses a motion that is no command of its stream's process: it would pass, and then could not be carried out."""
    process = process_of(motion.stream)
    if process not in orders:
        raise Refused(
            "motion_unreadable",
            f"no vote orders anything on {motion.stream}",
            clause="decisions",
            remedy=f"move a command on a stream of {', '.join(sorted(orders))}",
        )
    for command in (motion.command, motion.otherwise, motion.unanswered):
        try:
            if command is not None:
                orders[process].validate_json(canonical_json(command))
        except ValidationError as error:
            wrong = "; ".join(_problem_text(problem) for problem in error.errors(include_url=False, include_input=False)[:NAMED_PROBLEMS])
            raise Refused(
                "motion_unreadable",
                f"{motion.stream} takes no such command: {wrong}",
                clause="decisions",
                remedy=f"write the command as `consortium {process}` would give it, every field and no other",
            ) from error


def _problem_text(problem: ErrorDetails) -> str:
    """A problem with its place, in words that do not change with a release of pydantic; names are escaped, so that none controls a terminal."""
    place = ".".join(str(part) for part in problem["loc"][1:]) or "command"
    what = problem["msg"].removeprefix("Value error, ") if problem["type"] == "value_error" else problem["type"].replace("_", " ")
    return f"{ascii(place[:PLACE_LENGTH])[1:-1]}: {what}"


def _require_opening_near(opens_at: datetime | None, clause: str, context: Context) -> None:
    if opens_at is not None and not context.at <= opens_at <= context.at + OPENS_WITHIN:
        raise Refused(
            "opening_out_of_range",
            f"a vote opens within {OPENS_WITHIN.days} days, and not at {shown_at(opens_at)}",
            clause=clause,
            remedy="leave the opening out to open as soon as the notice is over, or name an instant in that time",
        )


def _require_sponsor_of(proposal: Announced, context: Context) -> None:
    """Refuses everybody but the sponsor."""
    if context.actor != proposal.sponsor:
        raise Refused("not_the_sponsor", f"{proposal.sponsor} made this proposal", remedy=f"ask {proposal.sponsor}", clause="decisions")
