"""The activity `read_evaluation`: the scores that a milestone asks for, from a results file as a harness really writes it.

Known are lm-evaluation-harness (its results JSON) and Inspect AI (its log as JSON). A file proves something only when the run was
whole: a limit, fewer items than the task has, or a status other than success is refused, naming the task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

from activities.artifacts import Told, Unfit, opened, unheard, working
from activities.outside import CarryOut, Outcome, failed, plain
from domain.kernel import Step
from domain.training_messages import EvaluationRead, EvaluationRefused, Measured, ReadEvaluation, Score

LIMIT: Final = 64 * 1024 * 1024
"""The largest results file, in bytes."""
DEPTH: Final = 64


class Refused(Exception):
    """The file proves nothing; the text says why, and what would."""


class Evaluations:
    """Reads results files under a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def activities(self) -> Mapping[str, CarryOut]:
        """The step's kind and who carries it out."""
        return {"read_evaluation": self.read}

    async def read(self, step: Step) -> Outcome:
        """`evaluation_read`, or `evaluation_refused` for what proves nothing."""
        asked = ReadEvaluation.model_validate_json(json.dumps(step.data))
        try:
            body = await working(lambda told: self._content(asked.file, told))
        except (Unfit, OSError) as error:
            return failed(step, f"{asked.file} cannot be read: {error}; then retry the step")
        digest = hashlib.sha256(body).hexdigest()
        try:
            harness, model, measured = scores(body, asked.scores)
        except Refused as refused:
            told = EvaluationRefused(
                step=step.key, milestone=asked.milestone, claim=asked.claim, reason=plain(f"{asked.file}: {refused}", 500)
            )
            return told.model_dump(mode="json")
        return EvaluationRead(
            step=step.key, milestone=asked.milestone, claim=asked.claim, file=digest, harness=harness, model=model, measured=measured
        ).model_dump(mode="json")  # fmt: skip

    def _content(self, place: str, told: Told = unheard) -> bytes:
        chunks, done = list[bytes](), 0
        with opened(self._folder, place) as file:
            while chunk := file.read(1024 * 1024):
                chunks.append(chunk)
                done += len(chunk)
                told(place, done)
                if done > LIMIT:
                    raise Unfit(place, f"larger than {LIMIT} bytes")
        return b"".join(chunks)


def scores(body: bytes, wanted: Sequence[Score]) -> tuple[str, str, tuple[Measured, ...]]:
    """The harness, the model that was evaluated, and the wanted scores in their order. Raises `Refused`."""
    value = _strict(body)
    if "lm_eval_version" in value or ("results" in value and "n-samples" in value):
        return _of_lm_eval(value, wanted)
    if "eval" in value and "status" in value:
        return _of_inspect(value, wanted)
    raise Refused("neither results of lm-evaluation-harness nor a log of Inspect AI: name the JSON file that the harness wrote")


def _of_lm_eval(value: Mapping[str, Any], wanted: Sequence[Score]) -> tuple[str, str, tuple[Measured, ...]]:
    limit = _table(value, "config").get("limit")
    if limit is not None:
        raise Refused(f"the run was limited to {limit} items a task (`--limit`): run it whole")
    results, samples = _table(value, "results"), _table(value, "n-samples")
    measured = tuple(_lm_eval_score(score, results, samples) for score in wanted)
    version = plain(str(value.get("lm_eval_version", "of unknown version")), 40)
    return f"lm-evaluation-harness {version}", plain(str(value.get("model_name", "")), 300), measured


def _lm_eval_score(score: Score, results: Mapping[str, Any], samples: Mapping[str, Any]) -> Measured:
    if score.task not in results:
        raise Refused(f"{score.task} was not run; it holds {', '.join(sorted(map(str, results)))[:200]}")
    counted = samples.get(score.task)
    if not isinstance(counted, dict) or not all(isinstance(counted.get(name), int) for name in ("original", "effective")):
        raise Refused(f"{score.task}: the file does not tell how many items were run")
    if counted["effective"] < counted["original"] or counted["original"] < 1:
        raise Refused(f"{score.task}: {counted['effective']} of {counted['original']} items were run: run it whole")
    row = _table(results, score.task)
    name, _, rest = score.metric.partition(",")
    return Measured(
        task=score.task, metric=score.metric, value=_millionths(row.get(score.metric), score),
        stderr=_optional(row.get(f"{name}_stderr,{rest or 'none'}")), samples=counted["effective"],
    )  # fmt: skip


def _of_inspect(value: Mapping[str, Any], wanted: Sequence[Score]) -> tuple[str, str, tuple[Measured, ...]]:
    if value["status"] != "success":
        raise Refused(f"the run ended as {plain(str(value['status']), 40)!r}: run it to its end")
    described, results = _table(value, "eval"), _table(value, "results")
    total, completed = results.get("total_samples"), results.get("completed_samples")
    task = str(described.get("task", ""))
    if not isinstance(total, int) or not isinstance(completed, int) or completed < total or total < 1:
        raise Refused(f"{plain(task, 100)}: {completed} of {total} samples were completed: run it whole")
    if _table(described, "config").get("limit") is not None:
        raise Refused(f"{plain(task, 100)}: the run was limited (`--limit`): run it whole")
    measured: list[Measured] = []
    for score in wanted:
        if score.task != task:
            raise Refused(f"{score.task} was not run; the log is of {plain(task, 100)}")
        found = _inspect_metrics(results)
        if score.metric not in found:
            raise Refused(f"{score.task} has no {score.metric}; it has {', '.join(sorted(found))[:200]}")
        stderr = found.get(f"{score.metric.rpartition('/')[0]}/stderr".lstrip("/"))
        measured.append(
            Measured(
                task=task, metric=score.metric, value=_millionths(found[score.metric], score), stderr=_optional(stderr), samples=completed
            )
        )
    return "Inspect AI", plain(str(described.get("model", "")), 300), tuple(measured)


def _inspect_metrics(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metrics by their name, and by `<scorer>/<metric>`."""
    found: dict[str, Any] = {}
    for scorer in results.get("scores", ()):
        if isinstance(scorer, dict):
            for name, metric in _table(scorer, "metrics").items():
                if isinstance(metric, dict):
                    found.setdefault(name, metric.get("value"))
                    found[f"{scorer.get('name')}/{name}"] = metric.get("value")
    return found


# ---------------------------------------------------------------- strict JSON


def _strict(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_float=Decimal, parse_constant=_never)
    except RecursionError as error:
        raise Refused(f"nested deeper than {DEPTH} levels") from error
    except ValueError as error:
        raise Refused(f"no readable JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise Refused("no JSON object")
    _require_shallow(value)
    return value


def _require_shallow(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise Refused(f"nested deeper than {DEPTH} levels")
        level = [child for item in level if isinstance(item, dict | list) for child in (item.values() if isinstance(item, dict) else item)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is named twice")
    return found


def _never(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _table(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name, {})
    if not isinstance(found, dict):
        raise Refused(f"{name} is no table")
    return found


def _millionths(value: Any, score: Score) -> int:
    found = _optional(value)
    if found is None:
        raise Refused(f"{score.task} has no {score.metric}")
    return found


def _optional(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return int((number * 1_000_000).to_integral_value()) if abs(number) <= 10**6 else None
