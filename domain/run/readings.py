"""How a trainer's readings become findings: checkpoints and their gaps, restarts, loss spikes. Integers only, and no opinion.

A spike is a loss whose robust z-score over the window before it reaches the contract's threshold:
(loss - median) / (1.4826 * MAD), in hundredths (B. Iglewicz, D. Hoaglin, "How to Detect and Handle Outliers", 1993).

A planned checkpoint is missing when a later one of its stage came, when its stage was left, or when the run is a whole interval beyond
it. Every stage is watched by itself, so that stages may be trained side by side; one that turns up later is missing no longer.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from domain.run.telemetry import (
    GAPS,
    MISSING,
    MOST,
    MOST_STEPS,
    STAGES,
    WINDOW,
    CheckpointRange,
    Divergence,
    Found,
    Gap,
    Missing,
    Restart,
    Spike,
    SpikeRule,
    StagePlan,
    StageWatch,
    Watch,
    below,
    planned,
    step_of,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One row that the trainer wrote; what is not in it is none."""

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
    """Whether it has a loss that is no finite number."""

    @property
    def trained(self) -> bool:
        """Whether it has a loss: the trainer was at this step then."""
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
    """How many restarts and spikes are not listed one by one."""
    loss_micro: int | None = None
    cost: int | None = None


def observe(
    stages: Sequence[StagePlan], rule: SpikeRule, watch: Watch, readings: Iterable[Reading], *, relisted: bool = False
) -> tuple[Watch, Findings]:
    """What is remembered for the next look, and what the readings since the last one brought to light.

    `relisted`: they are the whole list of the checkpoints that there are, so what is not among them is missing.
    """
    fold = _Fold(stages, watch, relisted=relisted)
    for reading in readings:
        fold.take(reading, rule)
    if fold.checkpoints:
        fold.judge()
    fold.conclude()
    return fold.watch(), fold.findings


def lacking(stages: Sequence[StagePlan], watch: Watch) -> Sequence[Missing]:
    """What should be there by now and was not reported as missing yet, also of a run without any checkpoint."""
    fold = _Fold(stages, watch)
    fold.judge()
    fold.conclude()
    return fold.findings.missing


def unfinished(stages: Sequence[StagePlan], watch: Watch) -> Sequence[Missing]:
    """What is missing of a run that is over and was not reported as missing yet: the rest of every stage."""
    judged = {each.stage: each.judged for each in watch.watched()}
    rest = [(plan, below(plan, judged.get(plan.name, 0))) for plan in stages]
    return [
        Missing(stage=plan.name, step=step_of(plan, first), count=planned(plan) - first) for plan, first in rest if first < planned(plan)
    ]


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
    """The gaps that were reported already."""
    steps: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The checkpoints since the last gap."""

    @classmethod
    def of(cls, watched: StageWatch, plan: StagePlan | None) -> _Stage:
        gaps = [(below(plan, gap.first_step), below(plan, gap.last_step + 1) - 1) for gap in watched.gaps] if plan else []
        return cls(watched.stage, plan, watched.step, watched.highest, watched.began, watched.heard, watched.judged, gaps, list(gaps))

    def watched(self) -> StageWatch:
        gaps = [(step_of(self.plan, first), step_of(self.plan, last)) for first, last in self.gaps[-GAPS:]] if self.plan else []
        return StageWatch(
            stage=self.name,
            step=self.step,
            highest=self.highest,
            began=self.began,
            heard=self.heard,
            judged=self.judged,
            gaps=tuple(Gap(first_step=first, last_step=last) for first, last in gaps),
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


class _Fold:
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
        stage = self._enter(reading.stage)
        if stage is not None:
            self._move(stage, reading)
            self._record_checkpoint(stage, reading)
            self._judge_loss(reading, rule)

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
        """Adds to the findings the ranges of checkpoints, what is missing now and was not before, and the other way round."""
        findings = self.findings
        for stage in self._stages.values():
            findings.checkpoints += stage.close()
            if stage.plan is not None:
                self._add_missing(stage.plan, _apart(stage.gaps, stage.before))
                found = _apart(stage.before, stage.gaps)
                if found:
                    findings.found.append(Found(stage=stage.name, step=step_of(stage.plan, found[0][0]), count=_count(found)))

    def _add_missing(self, plan: StagePlan, gaps: Numbers) -> None:
        room = max(0, MISSING - len(self.findings.missing))
        one_by_one, rest = gaps[:room], gaps[room:]
        listed = [(first, last - first + 1) for first, last in one_by_one]
        if rest:
            listed.append((rest[0][0], _count(rest)))
        self.findings.missing += [Missing(stage=plan.name, step=step_of(plan, first), count=count) for first, count in listed]

    def _enter(self, name: str) -> _Stage | None:
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

    def _move(self, stage: _Stage, reading: Reading) -> None:
        """The run is where it trains or writes a checkpoint; a row that has tokens only, or comes late, is no step back."""
        if reading.step < stage.step:
            again = reading.checkpoint is not None and reading.step < stage.judged and not stage.lacks(reading.step)
            if not (again or reading.trained):
                return
            _add(self.findings, self.findings.restarts, Restart(stage=stage.name, from_step=stage.step, to_step=reading.step))
        self._stage, self._step = stage.name, reading.step
        stage.step, stage.highest = reading.step, max(stage.highest, reading.step)

    def _record_checkpoint(self, stage: _Stage, reading: Reading) -> None:
        """What is written again after a restart is no second checkpoint."""
        if reading.checkpoint is not None and (reading.step >= stage.judged or stage.lacks(reading.step)):
            self.findings.checkpoints += stage.record(reading)
            self.checkpoints += 1
            self._unhashed += reading.checkpoint_sha256 is None

    def _judge_loss(self, reading: Reading, rule: SpikeRule) -> None:
        findings = self.findings
        if reading.diverged:
            earlier = findings.diverged or Divergence(stage=reading.stage, step=reading.step, count=1, lasting=True)
            count = earlier.count + (findings.diverged is not None)
            findings.diverged, findings.loss_micro = earlier.model_copy(update={"count": count, "lasting": True}), None
        elif reading.loss_micro is not None:
            if findings.diverged is not None:
                findings.diverged = findings.diverged.model_copy(update={"lasting": False})
            findings.loss_micro = reading.loss_micro
            score = spike_score(self._losses, reading.loss_micro, rule)
            if score is not None:
                _add(findings, findings.spikes, Spike(stage=reading.stage, step=reading.step, loss_micro=reading.loss_micro, score=score))
            # A spike is remembered as well: a loss that stays up is a new level, and not a spike for ever.
            self._losses = [*self._losses[-(WINDOW - 1) :], reading.loss_micro]


def _add(findings: Findings, listed: list[Restart] | list[Spike], each: Restart | Spike) -> None:
    if len(listed) < MOST:
        listed.append(each)  # type: ignore[arg-type]
    else:
        findings.more += 1


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
