"""What a trainer's readings tell: progress, checkpoints and their gaps, restarts, loss spikes. Integers only, and no opinion.

Losses are micro-nats (millionths). A spike is a loss whose robust z-score over the window before it reaches the contract's threshold:
(loss - median) / (1.4826 * MAD), in hundredths (B. Iglewicz, D. Hoaglin, "How to Detect and Handle Outliers", 1993).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import Field

from domain.kernel import Digest, Message

WINDOW: Final = 64
"""The most losses that are remembered between two looks."""
MOST: Final = 25
"""The most gaps, restarts and spikes of one look that are told one by one; the rest is counted."""
STAGES: Final = 50
MISSING: Final = 200
"""The most missing checkpoints of one look that are named."""

StepNumber = Annotated[int, Field(ge=0, le=10**12)]
Tokens = Annotated[int, Field(ge=0, le=10**18)]
MicroNats = Annotated[int, Field(ge=-(10**12), le=10**12)]
StageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,79}$")]


class StagePlan(Message):
    """A stage of training and the checkpoints that it must leave: each `checkpoint_every` steps from the first, and the last."""

    name: StageName
    first_checkpoint: StepNumber
    checkpoint_every: Annotated[int, Field(ge=1, le=10**9)]
    last_step: StepNumber


class SpikeRule(Message):
    """Which losses are spikes."""

    window: Annotated[int, Field(ge=8, le=WINDOW)] = 32
    """How many losses before it are looked at; fewer than half as many tell nothing."""
    threshold: Annotated[int, Field(ge=100, le=100_000)] = 600
    """In hundredths of the robust z-score."""
    floor_micro: Annotated[int, Field(ge=0, le=10**9)] = 10_000
    """A rise of less than this above the median is none, however calm the window was."""


class Watch(Message):
    """What must be remembered from one look to the next."""

    stage: str = ""
    step: int = 0
    tokens: int = 0
    checkpoint: int | None = None
    """The last checkpoint of the stage."""
    seen: Annotated[tuple[str, ...], Field(max_length=STAGES)] = ()
    """The stages that were entered, in that order."""
    losses: Annotated[tuple[int, ...], Field(max_length=WINDOW)] = ()
    evidence: Digest = hashlib.sha256(b"").hexdigest()
    """The SHA-256 of every reading so far, chained one after another."""
    readings: int = 0


class CheckpointRange(Message):
    """Checkpoints of one stage that came one after another, without any missing in between."""

    stage: StageName
    first_step: StepNumber
    last_step: StepNumber
    count: Annotated[int, Field(ge=1)]
    digest: Digest
    """SHA-256 over the lines `<step> <place> <sha256 or ->` of each."""


class Missing(Message):
    """A checkpoint that the contract retains is not there."""

    stage: StageName
    step: StepNumber


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


@dataclass(frozen=True, slots=True)
class Reading:
    """One row that the trainer wrote; what it did not tell is none."""

    stage: str
    step: int
    tokens: int | None = None
    loss_micro: int | None = None
    checkpoint: str | None = None
    """Where a checkpoint of this step is."""
    checkpoint_sha256: str | None = None
    cost: int | None = None
    """What the run has cost so far, in minor units of the contract's currency."""


@dataclass(slots=True)
class Findings:
    """What a look brought to light."""

    checkpoints: list[CheckpointRange] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    spikes: list[Spike] = field(default_factory=list)
    more: int = 0
    """How many missing ones, restarts and spikes are not told one by one."""
    loss_micro: int | None = None
    cost: int | None = None


def observe(stages: Sequence[StagePlan], rule: SpikeRule, watch: Watch, readings: Iterable[Reading]) -> tuple[Watch, Findings]:
    """What the readings since the last look tell, and what is remembered for the next."""
    plans = {plan.name: plan for plan in stages}
    found, seen = Findings(), _Seen(watch)
    for reading in readings:
        if reading.stage != seen.stage:
            seen.enter(reading.stage, plans, found)
        elif reading.step < seen.step:
            _add(found, found.restarts, Restart(stage=reading.stage, from_step=seen.step, to_step=reading.step))
            seen.back(reading.step)
        seen.take(reading, plans, rule, found)
    seen.end(plans, found)
    return seen.watch(), found


def unfinished(stages: Sequence[StagePlan], watch: Watch) -> Sequence[Missing]:
    """What is missing of a run that is over: the rest of its last stage, and the stages it never entered."""
    lacking: list[Missing] = []
    for plan in stages:
        after = -1 if plan.name != watch.stage or watch.checkpoint is None else watch.checkpoint
        if plan.name == watch.stage or plan.name not in watch.seen:
            lacking += [Missing(stage=plan.name, step=step) for step in expected(plan) if step > after]
    return lacking[:MISSING]


def expected(plan: StagePlan) -> Iterable[int]:
    """The steps of a stage whose checkpoints are retained, in order."""
    yield from range(plan.first_checkpoint, plan.last_step, plan.checkpoint_every)
    yield plan.last_step


def spike_score(losses: Sequence[int], loss: int, rule: SpikeRule) -> int | None:
    """The robust z-score in hundredths of a loss that is a spike; none for one that is not."""
    window = losses[-rule.window :]
    if len(window) * 2 < rule.window:
        return None
    middle = _median(window)
    rise = loss - middle
    spread = _median([abs(each - middle) for each in window])
    if rise < max(rule.floor_micro, 1):
        return None
    score = min(100_000, rise * 1_000_000 // max(spread * 14_826, 1)) if spread else 100_000
    return score if score >= rule.threshold else None


def _median(values: Sequence[int]) -> int:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


def _add(found: Findings, told: list[Restart] | list[Spike], each: Restart | Spike) -> None:
    if len(told) < MOST:
        told.append(each)  # type: ignore[arg-type]
    else:
        found.more += 1


class _Seen:
    """The fold of readings, while a look lasts."""

    def __init__(self, watch: Watch) -> None:
        self.stage, self.step, self.tokens, self.checkpoint = watch.stage, watch.step, watch.tokens, watch.checkpoint
        self.losses, self.seen = list(watch.losses), list(watch.seen)
        self.evidence, self.readings = watch.evidence, watch.readings
        self._range: list[str] = []
        self._steps: list[int] = []

    def watch(self) -> Watch:
        return Watch(
            stage=self.stage, step=self.step, tokens=self.tokens, checkpoint=self.checkpoint, seen=tuple(self.seen[:STAGES]), losses=tuple(self.losses[-WINDOW:]),
            evidence=self.evidence, readings=self.readings,
        )  # fmt: skip

    def enter(self, stage: str, plans: Mapping[str, StagePlan], found: Findings) -> None:
        """A stage begins: what the one before it still lacks is missing, and so are the stages that were passed over."""
        if self.stage in plans:
            self._lack(plans[self.stage], plans[self.stage].last_step + 1, found)
        self._close(found)
        if stage in self.seen:
            _add(found, found.restarts, Restart(stage=stage, from_step=self.step, to_step=0))
            self.stage, self.step, self.losses = stage, 0, []
            self.checkpoint = plans[stage].last_step if stage in plans else None
            return
        for name in list(plans)[: list(plans).index(stage)] if stage in plans else ():
            if name not in self.seen:
                self.seen.append(name)
                self.checkpoint = None
                self._lack(plans[name], plans[name].last_step + 1, found)
        self.seen.append(stage)
        self.stage, self.step, self.checkpoint, self.losses = stage, 0, None, []

    def back(self, step: int) -> None:
        """The run went back: what is written again is no gap and no second checkpoint."""
        self.step = step

    def take(self, reading: Reading, plans: Mapping[str, StagePlan], rule: SpikeRule, found: Findings) -> None:
        line = f"{reading.stage}\x1f{reading.step}\x1f{reading.tokens}\x1f{reading.loss_micro}\x1f{reading.checkpoint}\x1f{reading.checkpoint_sha256}"
        self.evidence = hashlib.sha256(f"{self.evidence}\n{line}".encode()).hexdigest()
        self.readings += 1
        self.step = reading.step
        self.tokens = max(self.tokens, reading.tokens or 0)
        found.cost = reading.cost if reading.cost is not None else found.cost
        if reading.loss_micro is not None:
            found.loss_micro = reading.loss_micro
            score = spike_score(self.losses, reading.loss_micro, rule)
            if score is not None:
                _add(found, found.spikes, Spike(stage=reading.stage, step=reading.step, loss_micro=reading.loss_micro, score=score))
            else:
                self.losses = [*self.losses[-(WINDOW - 1) :], reading.loss_micro]
        if reading.checkpoint is not None and (self.checkpoint is None or reading.step > self.checkpoint):
            if reading.stage in plans:
                self._lack(plans[reading.stage], reading.step, found)
            self._steps.append(reading.step)
            self._range.append(f"{reading.step} {reading.checkpoint} {reading.checkpoint_sha256 or '-'}\n")
            self.checkpoint = reading.step

    def end(self, plans: Mapping[str, StagePlan], found: Findings) -> None:
        self._close(found)

    def _lack(self, plan: StagePlan, before: int, found: Findings) -> None:
        """Names what is missing after the last checkpoint and before a step."""
        after = -1 if self.checkpoint is None else self.checkpoint
        lacking = [step for step in expected(plan) if after < step < before]
        if lacking:
            self._close(found)
        for step in lacking:
            if len(found.missing) < MISSING:
                found.missing.append(Missing(stage=plan.name, step=step))
            else:
                found.more += 1
        if lacking:
            self.checkpoint = lacking[-1]

    def _close(self, found: Findings) -> None:
        if self._steps:
            digest = hashlib.sha256("".join(self._range).encode()).hexdigest()
            found.checkpoints.append(
                CheckpointRange(
                    stage=self.stage, first_step=self._steps[0], last_step=self._steps[-1], count=len(self._steps), digest=digest
                )
            )
        self._steps, self._range = [], []


def forecast(spent: int, tokens: int, token_budget: int) -> int:
    """What the run will have cost in the end, if the rest costs what the tokens so far did; 0 before the first."""
    return -(-spent * token_budget // tokens) if tokens else 0


def summary(stage: str, step: int, tokens: int, token_budget: int) -> str:
    """How far it is, in a few words."""
    return f"{stage or 'not begun'}, step {step:,}, {tokens * 1_000 // max(token_budget, 1) / 10:.1f} % of its tokens"
