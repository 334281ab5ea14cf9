"""The run contract, and the other values that a run's commands and events are made of.

Amounts are minor units of the charter's currency; losses are micro-nats; scores of evaluations are millionths.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from domain.evaluation import Measured, Place, Score
from domain.forms import Form
from domain.kernel import BasisPoints, Instant, Message, Name, PersonId, Prose, Slug, is_empty
from domain.letters import PayeeId
from domain.money import Amount, Currency, Minor
from domain.run.telemetry import MOST_TOKENS, STAGES, MicroNats, SpikeRule, StagePlan, Tokens, Watch

MOST_MILESTONES: Final = 40
MOST_SUPPLIERS: Final = 50
RANGES: Final = 60
"""The most ranges of checkpoints of one look."""

Cursor = Annotated[str, Field(max_length=400, pattern=r"^[ -~]*$"), Form("printable ASCII", "1")]
"""Where reading goes on, as only the reader understands it; empty at the beginning."""

RoundStream = Annotated[str, Field(pattern=r"^round/[a-z0-9-]{1,64}$"), Form("a round's stream", "round/atlas-1")]


class Share(Message):
    """A part of the data mix."""

    name: Name
    fraction: BasisPoints


class Source(Message):
    """Where the trainer's readings come from."""

    adapter: Literal["jsonl", "checkpoint-table", "mlflow", "tensorboard"]
    location: Place


class Criteria(Message):
    """When a milestone is reached; what is left out is not asked for."""

    tokens: Tokens = 0
    loss_at_least_micro: MicroNats | None = None
    loss_at_most_micro: MicroNats | None = None
    """The loss band that was registered beforehand."""
    scores: Annotated[tuple[Score, ...], Field(max_length=30)] = ()
    checkpoints_retained: bool = True
    """Whether every checkpoint of the plan up to here must be there."""
    checkpoints_hashed: bool = False
    """Whether each of them must be reported with its SHA-256."""
    spent_at_most: Amount | None = None


class Milestone(Message):
    """A part of the run that people look at before it goes on being paid."""

    id: Slug
    text: Annotated[Prose, Field(min_length=1)]
    criteria: Criteria
    due_at: Instant
    tranche: Annotated[int, Field(ge=1, le=50)] | None = None
    """The tranche of the round that its acceptance releases."""


class Contract(Message):
    """What is trained, by whom, for how much, and how everybody can tell that it goes well."""

    title: Name
    lead: PersonId
    """The directly responsible individual."""
    objective: Annotated[Prose, Field(min_length=1)]
    architecture: Name
    parameters_millions: Annotated[int, Field(ge=1, le=10**8)]
    token_budget: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    data_mix: Annotated[tuple[Share, ...], Field(min_length=1, max_length=100)]
    currency: Currency
    p50: Amount
    """What it costs as likely as not."""
    p80: Amount
    """What it costs at most in four of five cases: a forecast above it opens a vote."""
    cost_per_billion_tokens: Amount | None = None
    """What is estimated with while the trainer does not report its cost; the P50 over the token budget when left out."""
    round: RoundStream | None = None
    """The round that pays for it."""
    start_funds: Minor = Field(default=0, ge=0)
    """What must have cleared in that round before the run starts."""
    stages: Annotated[tuple[StagePlan, ...], Field(min_length=1, max_length=STAGES)]
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1, max_length=MOST_MILESTONES)]
    suppliers: Annotated[tuple[PayeeId, ...], Field(max_length=MOST_SUPPLIERS, exclude_if=is_empty)] = ()
    """Who is paid for hardware, data or work under it, as the treasury names payees: the members behind them have no vote on it."""
    source: Source
    spikes: SpikeRule = SpikeRule()
    look_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 6
    """How often the trainer's readings are looked at: so many looks bound the events of a day, whatever the trainer writes."""
    silent_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 24
    """After so long without a reading somebody is paged."""
    stalled_hours: Annotated[int, Field(ge=1, le=24 * 30)] = 48
    """After so long without a later step, though readings come, somebody is notified."""

    @model_validator(mode="after")
    def _adds_up(self) -> Contract:
        if sum(share.fraction for share in self.data_mix) != 10_000:
            raise ValueError("the fractions of the data mix add up to 10,000 basis points")
        if self.p80 < self.p50:
            raise ValueError("the P80 is at least the P50")
        names = [milestone.id for milestone in self.milestones]
        stages = [stage.name for stage in self.stages]
        if len(set(names)) != len(names) or len(set(stages)) != len(stages):
            raise ValueError("a milestone or a stage is named twice; name it once")
        if any(stage.last_step < stage.first_checkpoint for stage in self.stages):
            raise ValueError("a stage's last step comes before its first checkpoint")
        return self


@dataclass(frozen=True, slots=True)
class Results:
    """What a harness measured, and on what; nothing where a milestone asks for no scores."""

    file: str | None = None
    """The SHA-256 of the results file."""
    harness: str = ""
    model: str = ""
    measured: tuple[Measured, ...] = ()


def evidence_digest(contract: str, milestone: str, watch: Watch, loss_micro: int | None, spent: int, results: Results) -> str:
    """What an acceptance is bound to: the contract, the milestone, every reading so far, the spend, and the results.

    The contract's digest stands for the milestone's terms; nothing is encoded again.
    """
    measured = (f"{each.task}\x1f{each.metric}\x1f{each.value} {each.stderr} {each.samples}" for each in results.measured)
    read = f"{watch.tokens} {loss_micro} {spent}"
    parts = (contract, milestone, watch.evidence, read, results.file or "-", results.harness, results.model, *measured)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
