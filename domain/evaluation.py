"""What an evaluation must reach, and what came of reading a results file: milestones of runs and gates of releases are judged by it.

Scores are millionths.

| step | data | outcomes |
| --- | --- | --- |
| read_evaluation | `ReadEvaluation` | `EvaluationRead`, `EvaluationRefused` |
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain.forms import Form
from domain.kernel import Digest, Message, Name, Outcome, Prose, Slug

Millionths = Annotated[int, Field(ge=-(10**12), le=10**12), Form("millionths", 712_500)]
TaskName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/+@,-]{0,119}$"),
    Form("a task or metric as the harness writes it, at most 120 characters", "acc,none"),
]
"""A task or metric, as the harness calls it."""

Place = Annotated[
    str,
    Field(min_length=1, max_length=500, pattern=r"^[!-~]+( [!-~]+)*$"),
    Form("a path under the folder of runs, or an http(s) address, in printable ASCII", "atlas-1/results.json"),
]
"""Where the trainer writes: a path under the workers' folder of telemetry, or an http(s) address; printable ASCII."""


class Score(Message):
    """What an evaluation must reach, named before it is run: at least this, or at most this where less is better."""

    task: TaskName
    metric: TaskName
    """As the harness writes it, for example `acc,none`."""
    at_least: Millionths | None = None
    at_most: Millionths | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Score:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a score has one bound: `at_least`, or `at_most` where less is better")
        return self

    def reached(self, value: int) -> bool:
        """Whether a value in millionths is within the bound."""
        return value >= self.at_least if self.at_least is not None else self.at_most is not None and value <= self.at_most


class ReadEvaluation(Message):
    """The data of a step `read_evaluation`: read a results file that a harness wrote, and tell the scores that are asked for."""

    run: Slug
    subject: Slug
    """What is judged by it: a milestone of the run, or an evaluation of a release of the run's model."""
    number: Annotated[int, Field(ge=1)]
    """Of the claim or the reading that asks."""
    file: Place
    scores: tuple[Score, ...]


class Measured(Message):
    """A score as the harness wrote it."""

    task: TaskName
    metric: TaskName
    value: Millionths
    stderr: Millionths | None = None
    samples: Annotated[int, Field(ge=0)] | None = None


class MilestonePassed(Message):
    """A milestone of a run that reviewers accepted, on which evidence, and what its evaluations measured."""

    milestone: Slug
    evidence: Digest
    measured: Annotated[tuple[Measured, ...], Field(max_length=30)] = ()


class EvaluationRead(Outcome):
    """The file is a complete run of a known harness."""

    kind: Literal["evaluation_read"] = "evaluation_read"
    subject: Slug
    number: Annotated[int, Field(ge=1)]
    file: Digest
    harness: Name
    model: Annotated[Prose, Field(max_length=300)] = ""
    measured: Annotated[tuple[Measured, ...], Field(max_length=30)]


class EvaluationRefused(Outcome):
    """The file proves nothing: a partial run, another task, or no results file."""

    kind: Literal["evaluation_refused"] = "evaluation_refused"
    subject: Slug
    number: Annotated[int, Field(ge=1)]
    reason: Annotated[Prose, Field(max_length=500)]


def decimal_of(millionths: int) -> str:
    """A score in millionths as a decimal number."""
    whole, rest = divmod(abs(millionths), 1_000_000)
    return f"{'-' if millionths < 0 else ''}{whole}.{rest:06d}"
