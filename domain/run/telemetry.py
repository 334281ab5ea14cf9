"""What a trainer's readings tell: progress, checkpoints and their gaps, restarts, loss spikes. Integers only, and no opinion.

Losses are micro-nats (millionths). A spike is a loss whose robust z-score over the window before it reaches the contract's threshold:
(loss - median) / (1.4826 * MAD), in hundredths (B. Iglewicz, D. Hoaglin, "How to Detect and Handle Outliers", 1993).

A planned checkpoint is missing when a later one of its stage came, when its stage was left, or when the run is a whole interval beyond
it. Every stage is watched by itself, so that stages may be trained side by side; one that turns up later is missing no longer.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import Field

from domain.forms import Form
from domain.kernel import Digest, Message
from domain.money import CEILING, SAFE

WINDOW: Final = 64
"""The most losses that are remembered between two looks."""
MOST: Final = 25
"""The most restarts and spikes of one look that are told one by one; the rest is counted."""
STAGES: Final = 50
MISSING: Final = 200
"""The most gaps of one look that are told one by one; the rest of each stage is told as one."""
GAPS: Final = 100
"""The most gaps of a stage that can still end; what is missing beyond them stays missing."""

MOST_STEPS: Final = 10**12
MOST_TOKENS: Final = SAFE
MOST_COST: Final = 1_000 * CEILING
"""The most that a run is said to cost: what is reckoned beyond it is told as this."""

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
    """How many losses before it are looked at; fewer than half as many tell nothing."""
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
    """The last that was told."""
    highest: StepNumber = 0
    """The furthest that was told."""
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
    """How many were told."""
    unhashed: Annotated[int, Field(ge=0)] = 0
    """How many of them were told without a hash."""

    checkpoint: int | None = None
    seen: Annotated[tuple[str, ...], Field(max_length=STAGES)] = ()
    """The last checkpoint of the present stage, and the names of all that were entered: what was kept before `stages` was."""

    def watched(self) -> Sequence[StageWatch]:
        """The stages, also of a watch that kept their names only."""
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
    diverged: bool = False
    """Whether its loss is told, and is no finite number."""

    @property
    def trained(self) -> bool:
        """Whether a loss is told: the trainer was at this step then."""
        return self.diverged or self.loss_micro is not None


@dataclass(slots=True)
class Findings:
    """What a look brought to light."""

    checkpoints: list[CheckpointRange] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    spikes: list[Spike] = field(default_factory=list)
    diverged: Divergence | None = None
    more: int = 0
    """How many restarts and spikes are not told one by one."""
    loss_micro: int | None = None
    cost: int | None = None


def observe(
    stages: Sequence[StagePlan], rule: SpikeRule, watch: Watch, readings: Iterable[Reading], *, relisted: bool = False
) -> tuple[Watch, Findings]:
    """What the readings since the last look tell, and what is remembered for the next.

    `relisted`: they are the whole list of the checkpoints that there are, so what is not among them is missing.
    """
    seen = _Seen(stages, watch, relisted=relisted)
    for reading in readings:
        seen.take(reading, rule)
    if seen.checkpoints:
        seen.judge()
    seen.conclude()
    return seen.watch(), seen.findings


def lacking(stages: Sequence[StagePlan], watch: Watch) -> Sequence[Missing]:
    """What should be there by now and was not told as missing yet, also of a run that told no checkpoint at all."""
    seen = _Seen(stages, watch)
    seen.judge()
    seen.conclude()
    return seen.findings.missing


def unfinished(stages: Sequence[StagePlan], watch: Watch) -> Sequence[Missing]:
    """What is missing of a run that is over and was not told as missing yet: the rest of every stage."""
    judged = {each.stage: each.judged for each in watch.watched()}
    rest = [(plan, below(plan, judged.get(plan.name, 0))) for plan in stages]
    return [
        Missing(stage=plan.name, step=step_of(plan, first), count=planned(plan) - first) for plan, first in rest if first < planned(plan)
    ]


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


# ---------------------------------------------------------------- spikes


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


# ---------------------------------------------------------------- the fold

Numbers = list[tuple[int, int]]
"""Ranges of the numbers of a stage's retained checkpoints, both ends included, in order and apart."""


@dataclass(slots=True)
class _Stage:
    """A stage while a look lasts."""

    name: str
    plan: StagePlan | None
    step: int = 0
    highest: int = 0
    began: int = 0
    heard: int = 0
    judged: int = 0
    gaps: Numbers = field(default_factory=list)
    before: Numbers = field(default_factory=list)
    """The gaps that were told already."""
    steps: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The checkpoints since the last gap."""

    @classmethod
    def of(cls, watched: StageWatch, plan: StagePlan | None) -> _Stage:
        gaps = [(below(plan, gap.first_step), below(plan, gap.last_step + 1) - 1) for gap in watched.gaps] if plan else []
        return cls(watched.stage, plan, watched.step, watched.highest, watched.began, watched.heard, watched.judged, gaps, list(gaps))

    def watched(self) -> StageWatch:
        gaps = [(step_of(self.plan, first), step_of(self.plan, last)) for first, last in self.gaps[-GAPS:]] if self.plan else []
        told = tuple(Gap(first_step=first, last_step=last) for first, last in gaps)
        return StageWatch(
            stage=self.name, step=self.step, highest=self.highest, began=self.began, heard=self.heard, judged=self.judged, gaps=told
        )

    def relist(self) -> None:
        """Every checkpoint that was there must be listed again; no row of the list is a step back."""
        self.step = 0
        if self.plan is not None and (last := below(self.plan, self.judged) - 1) >= 0:
            self.gaps = [(0, last)]

    def lacks(self, step: int) -> bool:
        """Whether the checkpoint of this step is planned, and missing so far."""
        if self.plan is None or step >= self.judged:
            return False
        number = below(self.plan, step)
        place = bisect_right(self.gaps, (number, MOST_STEPS)) - 1
        return number < below(self.plan, step + 1) and place >= 0 and number <= self.gaps[place][1]

    def judge(self, step: int) -> None:
        """Planned checkpoints below this step that did not come are missing."""
        if step > self.judged:
            if self.plan is not None and (first := below(self.plan, self.judged)) <= (last := below(self.plan, step) - 1):
                if self.gaps and self.gaps[-1][1] == first - 1:
                    first = self.gaps.pop()[0]
                self.gaps.append((first, last))
            self.judged = step

    def record(self, reading: Reading) -> Iterator[CheckpointRange]:
        """A checkpoint came; the range before it, when it does not go on."""
        step = reading.step
        if self.steps and (step <= self.steps[-1] or (self.plan and below(self.plan, step) > below(self.plan, self.steps[-1] + 1))):
            yield from self.close()
        if self.plan is not None and self.lacks(step):
            number = below(self.plan, step)
            place = bisect_right(self.gaps, (number, MOST_STEPS)) - 1
            self.gaps[place : place + 1] = _apart([self.gaps[place]], [(number, number)])
        self.judge(step)
        self.judged = max(self.judged, step + 1)
        self.steps.append(step)
        self.lines.append(f"{step} {reading.checkpoint} {reading.checkpoint_sha256 or '-'}\n")

    def close(self) -> Iterator[CheckpointRange]:
        """The range of checkpoints that ends here, if there is one."""
        if self.steps:
            digest = hashlib.sha256("".join(self.lines).encode()).hexdigest()
            yield CheckpointRange(stage=self.name, first_step=self.steps[0], last_step=self.steps[-1], count=len(self.steps), digest=digest)
        self.steps, self.lines = [], []


class _Seen:
    """The fold of readings, while a look lasts."""

    def __init__(self, stages: Sequence[StagePlan], watch: Watch, *, relisted: bool = False) -> None:
        self._plans = {plan.name: plan for plan in stages}
        self._stages = {each.stage: _Stage.of(each, self._plans.get(each.stage)) for each in watch.watched()}
        self._stage, self._step, self._tokens = watch.stage, watch.step, watch.tokens
        self._losses, self._evidence, self._readings = list(watch.losses), watch.evidence, watch.readings
        self.checkpoints, self._unhashed = watch.checkpoints or int(watch.checkpoint is not None), watch.unhashed
        self.findings = Findings()
        if relisted:
            self.checkpoints = self._unhashed = 0
            for stage in self._stages.values():
                stage.relist()

    def watch(self) -> Watch:
        """What is remembered for the next look."""
        return Watch(
            stage=self._stage,
            step=self._step,
            tokens=self._tokens,
            stages=tuple(each.watched() for each in self._stages.values()),
            losses=tuple(self._losses[-WINDOW:]),
            evidence=self._evidence,
            readings=self._readings,
            checkpoints=self.checkpoints,
            unhashed=self._unhashed,
        )

    def take(self, reading: Reading, rule: SpikeRule) -> None:
        """One row more."""
        loss = "diverged" if reading.diverged else reading.loss_micro
        line = f"{reading.stage}\x1f{reading.step}\x1f{reading.tokens}\x1f{loss}\x1f{reading.checkpoint}\x1f{reading.checkpoint_sha256}"
        self._evidence = hashlib.sha256(f"{self._evidence}\n{line}".encode()).hexdigest()
        self._readings += 1
        self._tokens = max(self._tokens, reading.tokens or 0)
        self.findings.cost = reading.cost if reading.cost is not None else self.findings.cost
        stage = self._entered(reading.stage)
        if stage is not None:
            self._moved(stage, reading)
            self._recorded(stage, reading)
            self._judged_loss(reading, rule)

    def judge(self) -> None:
        """What should be there by now: of a stage that was left all of it, else what lies a whole interval behind."""
        entered = [name for name in self._plans if name in self._stages and self._stages[name].began]
        passed = list(self._plans)[: list(self._plans).index(entered[-1])] if entered else []
        for name in passed:
            if name not in self._stages and len(self._stages) < STAGES:
                self._stages[name] = _Stage(name, self._plans[name])
        latest = max((each.began for each in self._stages.values() if each.plan is not None), default=0)
        for stage in self._stages.values():
            if stage.plan is not None:
                left = stage.heard < latest
                stage.judge(stage.plan.last_step + 1 if left else stage.highest - stage.plan.checkpoint_every + 1)

    def conclude(self) -> None:
        """Tells the ranges of checkpoints, what is missing now and was not before, and the other way round."""
        told = self.findings
        for stage in self._stages.values():
            told.checkpoints += stage.close()
            if stage.plan is not None:
                self._tell_missing(stage.plan, _apart(stage.gaps, stage.before))
                found = _apart(stage.before, stage.gaps)
                if found:
                    told.found.append(Found(stage=stage.name, step=step_of(stage.plan, found[0][0]), count=_count(found)))

    def _tell_missing(self, plan: StagePlan, gaps: Numbers) -> None:
        room = max(0, MISSING - len(self.findings.missing))
        one_by_one, rest = gaps[:room], gaps[room:]
        told = [(first, last - first + 1) for first, last in one_by_one]
        if rest:
            told.append((rest[0][0], _count(rest)))
        self.findings.missing += [Missing(stage=plan.name, step=step_of(plan, first), count=count) for first, count in told]

    def _entered(self, name: str) -> _Stage | None:
        """The stage of a row; none for a stage that is not planned, beyond those that can be watched."""
        stage = self._stages.get(name)
        if stage is None:
            if name not in self._plans and len(self._stages) >= STAGES - len(self._plans):
                self.findings.more += 1
                return None
            stage = self._stages[name] = _Stage(name, self._plans.get(name))
        if name != self._stage:
            self._losses = []
        stage.began = stage.began or self._readings
        stage.heard = self._readings
        return stage

    def _moved(self, stage: _Stage, reading: Reading) -> None:
        """The run is where it trains or writes a checkpoint; a row that only tells tokens, or comes late, is no step back."""
        if reading.step < stage.step:
            again = reading.checkpoint is not None and reading.step < stage.judged and not stage.lacks(reading.step)
            if not (again or reading.trained):
                return
            _add(self.findings, self.findings.restarts, Restart(stage=stage.name, from_step=stage.step, to_step=reading.step))
        self._stage, self._step = stage.name, reading.step
        stage.step, stage.highest = reading.step, max(stage.highest, reading.step)

    def _recorded(self, stage: _Stage, reading: Reading) -> None:
        """What is written again after a restart is no second checkpoint."""
        if reading.checkpoint is not None and (reading.step >= stage.judged or stage.lacks(reading.step)):
            self.findings.checkpoints += stage.record(reading)
            self.checkpoints += 1
            self._unhashed += reading.checkpoint_sha256 is None

    def _judged_loss(self, reading: Reading, rule: SpikeRule) -> None:
        told = self.findings
        if reading.diverged:
            earlier = told.diverged or Divergence(stage=reading.stage, step=reading.step, count=1, lasting=True)
            count = earlier.count + (told.diverged is not None)
            told.diverged, told.loss_micro = earlier.model_copy(update={"count": count, "lasting": True}), None
        elif reading.loss_micro is not None:
            if told.diverged is not None:
                told.diverged = told.diverged.model_copy(update={"lasting": False})
            told.loss_micro = reading.loss_micro
            score = spike_score(self._losses, reading.loss_micro, rule)
            if score is not None:
                _add(told, told.spikes, Spike(stage=reading.stage, step=reading.step, loss_micro=reading.loss_micro, score=score))
            # A spike is remembered as well: a loss that stays up is a new level, and not a spike for ever.
            self._losses = [*self._losses[-(WINDOW - 1) :], reading.loss_micro]


def _add(found: Findings, told: list[Restart] | list[Spike], each: Restart | Spike) -> None:
    if len(told) < MOST:
        told.append(each)  # type: ignore[arg-type]
    else:
        found.more += 1


def _count(ranges: Numbers) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _apart(ranges: Numbers, others: Numbers) -> Numbers:
    """The part of some ranges that lies in none of others."""
    left: Numbers = []
    following = iter(others)
    other = next(following, None)
    for first, last in ranges:
        begin = first
        while other is not None and other[1] < begin:
            other = next(following, None)
        while other is not None and other[0] <= last:
            if begin < other[0]:
                left.append((begin, other[0] - 1))
            begin = max(begin, other[1] + 1)
            if other[1] > last:
                break
            other = next(following, None)
        if begin <= last:
            left.append((begin, last))
    return left


# ---------------------------------------------------------------- cost


def forecast(spent: int, tokens: int, token_budget: int) -> int:
    """What the run will have cost in the end, if the rest costs what the tokens so far did: never less than what is spent."""
    return min(MOST_COST, max(spent, -(-spent * token_budget // tokens) if tokens else 0))


def summary(stage: str, step: int, tokens: int, token_budget: int) -> str:
    """How far it is, in a few words."""
    return f"{stage or 'not begun'}, step {step:,}, {tokens * 1_000 // max(token_budget, 1) / 10:.1f} % of its tokens"
