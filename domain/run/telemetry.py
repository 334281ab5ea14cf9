"""The values of a run's telemetry: the plan of a stage, what is remembered between two looks, and what a look can find.

How readings become findings stands in `readings`. Integers only; losses are micro-nats (millionths).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from domain.forms import Form
from domain.kernel import Digest, Message
from domain.money import CEILING, SAFE

WINDOW: Final = 64
"""The most losses that are remembered between two looks."""
MOST: Final = 25
"""The most restarts and spikes of one look that are listed one by one; the rest is counted."""
STAGES: Final = 50
MISSING: Final = 200
"""The most gaps of one look that are listed one by one; the rest of each stage is listed as one."""
GAPS: Final = 100
"""The most gaps of a stage that can still end; what is missing beyond them stays missing."""

MOST_STEPS: Final = 10**12
MOST_TOKENS: Final = SAFE
MOST_COST: Final = 1_000 * CEILING
"""The most that a run is said to cost: an estimate beyond it is stated as this."""

StepNumber = Annotated[int, Field(ge=0, le=MOST_STEPS)]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
MicroNats = Annotated[int, Field(ge=-(10**12), le=10**12), Form("micro-nats (millionths of a nat)", 2_100_000)]
StageName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,79}$"),
    Form("ASCII letters, digits, spaces and . _ + -, at most 80 characters", "pretraining"),
]


class StagePlan(Message):
    """A stage of training and the checkpoints that it must leave: each `checkpoint_every` steps from the first, and the last."""

    name: StageName
    first_checkpoint: StepNumber
    checkpoint_every: Annotated[int, Field(ge=1, le=10**9)]
    last_step: StepNumber


class SpikeRule(Message):
    """Which losses are spikes."""

    window: Annotated[int, Field(ge=8, le=WINDOW)] = 32
    """How many losses before it are looked at; there is no spike while there are fewer than half as many."""
    threshold: Annotated[int, Field(ge=100, le=100_000)] = 600
    """In hundredths of the robust z-score."""
    floor_micro: Annotated[int, Field(ge=0, le=10**9)] = 10_000
    """A rise of less than this above the median is none, however calm the window was."""


class Gap(Message):
    """Planned checkpoints of a stage, one after another, that are not there."""

    first_step: StepNumber
    last_step: StepNumber


class StageWatch(Message):
    """How far a stage is, and which of its checkpoints are missing."""

    stage: str
    step: StepNumber = 0
    """Of the last reading."""
    highest: StepNumber = 0
    """The furthest of all readings."""
    began: int = 0
    """The number of its first reading; 0 before it."""
    heard: int = 0
    """The number of its last reading."""
    judged: Annotated[int, Field(ge=0, le=MOST_STEPS + 1)] = 0
    """The planned checkpoints below this step are there, or missing."""
    gaps: Annotated[tuple[Gap, ...], Field(max_length=GAPS)] = ()


class Watch(Message):
    """What must be remembered from one look to the next."""

    stage: str = ""
    """Where the run is."""
    step: StepNumber = 0
    tokens: Tokens = 0
    stages: Annotated[tuple[StageWatch, ...], Field(max_length=STAGES)] = ()
    """The stages that were entered or passed over, in that order."""
    losses: Annotated[tuple[int, ...], Field(max_length=WINDOW)] = ()
    evidence: Digest = hashlib.sha256(b"").hexdigest()
    """The SHA-256 of every reading so far, chained one after another."""
    readings: int = 0
    checkpoints: Annotated[int, Field(ge=0)] = 0
    """How many were reported."""
    unhashed: Annotated[int, Field(ge=0)] = 0
    """How many of them were reported without a hash."""

    checkpoint: int | None = None
    seen: Annotated[tuple[str, ...], Field(max_length=STAGES)] = ()
    """The last checkpoint of the present stage, and the names of all that were entered: what older watches hold instead of `stages`."""

    def watched(self) -> Sequence[StageWatch]:
        """The stages, also of an older watch that holds their names only."""
        judged = 0 if self.checkpoint is None else self.checkpoint + 1
        now = StageWatch(stage=self.stage, step=self.step, highest=self.step, judged=judged)
        return self.stages or [now if name == self.stage else StageWatch(stage=name, judged=MOST_STEPS) for name in self.seen]

    def beyond(self, before: Watch) -> bool:
        """Whether the run got further than it ever was; going again where it was before is no progress."""
        furthest = {each.stage: each.highest for each in before.watched()}
        return any(each.began and each.highest > furthest.get(each.stage, -1) for each in self.stages)

    def elsewhere(self) -> Watch:
        """What is remembered when another source is read from its beginning: its first rows are no step back."""
        return self.model_copy(update={"stages": tuple(each.model_copy(update={"step": 0}) for each in self.watched())})


class CheckpointRange(Message):
    """Checkpoints of one stage that came one after another, without any missing in between."""

    stage: StageName
    first_step: StepNumber
    last_step: StepNumber
    count: Annotated[int, Field(ge=1)]
    digest: Digest
    """SHA-256 over the lines `<step> <place> <sha256 or ->` of each."""


class Missing(Message):
    """Checkpoints that the contract retains are not there."""

    stage: StageName
    step: StepNumber
    """Of the first."""
    count: Annotated[int, Field(ge=1)] = 1
    """How many of the stage's, from that step on."""


class Found(Message):
    """Checkpoints that were missing are there after all."""

    stage: StageName
    step: StepNumber
    """Of the first."""
    count: Annotated[int, Field(ge=1)]


class Restart(Message):
    """The run went on from an earlier step."""

    stage: StageName
    from_step: StepNumber
    to_step: StepNumber


class Spike(Message):
    """A loss far above those before it."""

    stage: StageName
    step: StepNumber
    loss_micro: MicroNats
    score: int
    """Robust z-score in hundredths, at most 100,000."""


class Divergence(Message):
    """Losses that are no finite numbers: the run has diverged."""

    stage: StageName
    step: StepNumber
    """Of the first."""
    count: Annotated[int, Field(ge=1)]
    lasting: bool
    """Whether the last loss was one."""


# ---------------------------------------------------------------- the plan of a stage


def planned(plan: StagePlan) -> int:
    """How many checkpoints of a stage are retained."""
    return max(0, -((plan.first_checkpoint - plan.last_step) // plan.checkpoint_every)) + 1


def below(plan: StagePlan, step: int) -> int:
    """How many retained checkpoints lie below a step."""
    if step > plan.last_step:
        return planned(plan)
    return min(max(0, -((plan.first_checkpoint - step) // plan.checkpoint_every)), planned(plan) - 1)


def step_of(plan: StagePlan, number: int) -> int:
    """The step of a retained checkpoint; the first has the number 0."""
    return plan.last_step if number >= planned(plan) - 1 else plan.first_checkpoint + number * plan.checkpoint_every


# ---------------------------------------------------------------- cost


def forecast(spent: int, tokens: int, token_budget: int) -> int:
    """What the run will have cost in the end, if the rest costs what the tokens so far did: never less than what is spent."""
    return min(MOST_COST, max(spent, -(-spent * token_budget // tokens) if tokens else 0))


def summary(stage: str, step: int, tokens: int, token_budget: int) -> str:
    """How far it is, in a few words."""
    return f"{stage or 'not begun'}, step {step:,}, {tokens * 1_000 // max(token_budget, 1) / 10:.1f} % of its tokens"
