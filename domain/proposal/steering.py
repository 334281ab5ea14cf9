"""What a steering vote decided of the contracts of runs: facts that a contract must meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domain.kernel import StreamId
from domain.letters import Option, Steered, Terms
from domain.proposal.events import VoteClosed
from domain.register.facts import ContractSteered


def steer(proposal: StreamId, terms: Terms, closed: VoteClosed) -> Iterator[ContractSteered]:
    """What the winners, or the funded options, of a vote that passed ask of the contract of each run that its options name."""
    for run in sorted({option.contract.run for option in terms.options if option.contract is not None}):
        steered = _funded(proposal, run, terms, closed) if terms.budget is not None else _won(proposal, run, terms, closed)
        if steered.parameters_millions or steered.budgets:
            yield steered


def _won(proposal: StreamId, run: str, terms: Terms, closed: VoteClosed) -> ContractSteered:
    """Options that tie leave the choice among what they ask; one of them that asks nothing leaves it free."""
    winners = [option for option in terms.options if option.id in closed.ranking[0]]
    asked = [_asked(option, run) for option in winners]
    return ContractSteered(
        proposal=proposal,
        run=run,
        parameters_millions=_choice([each.parameters_millions if each else None for each in asked]),
        budgets=_choice([each.budget if each else None for each in asked]),
    )


def _funded(proposal: StreamId, run: str, terms: Terms, closed: VoteClosed) -> ContractSteered:
    """The budget of a run is what its options that are funded cost; a run without any has none."""
    funded = [(option.cost or 0, asked) for option in terms.options if option.id in closed.funded and (asked := _asked(option, run))]
    return ContractSteered(
        proposal=proposal,
        run=run,
        parameters_millions=_choice([asked.parameters_millions for _, asked in funded]),
        budgets=(sum(cost for cost, _ in funded),),
    )


def _asked(option: Option, run: str) -> Steered | None:
    return option.contract if option.contract is not None and option.contract.run == run else None


def _choice(values: Sequence[int | None]) -> tuple[int, ...]:
    named = [value for value in values if value is not None]
    return tuple(sorted(set(named))) if len(named) == len(values) else ()
