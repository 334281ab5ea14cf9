"""The activity `read_evaluation`: the scores that a milestone asks for, from a results file as a harness really writes it.

Known are lm-evaluation-harness (its results JSON) and Inspect AI (its log as JSON). A file proves something only when the run was
whole: a limit, fewer items than the task has, or a status other than success is refused, naming the task. A group of tasks is whole
when each of its tasks is. A value is rounded away from its bound, so that no rounding reaches it. A file that is not there or cannot
be read proves nothing either: another claim can name the right one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Final

from activities.bounded import Unreadable, json_value
from activities.files import Told, Unfit, opened, unheard, working
from activities.outside import CarryOut, Outcome, passes, plain
from domain.evaluation import EvaluationRead, EvaluationRefused, Measured, ReadEvaluation, Score
from domain.kernel import Step

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
            harness, model, measured = scores(body, asked.scores)
        except (Refused, Unfit, OSError) as refused:
            if isinstance(refused, OSError) and passes(refused):
                raise
            why = plain(f"{asked.file}: {_why(refused)}", 500)
            return EvaluationRefused(step=step.key, subject=asked.subject, number=asked.number, reason=why).model_dump(mode="json")
        digest = hashlib.sha256(body).hexdigest()
        return EvaluationRead(
            step=step.key, subject=asked.subject, number=asked.number, file=digest, harness=harness, model=model, measured=measured
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


def _why(refused: Refused | Unfit | OSError) -> str:
    match refused:
        case Unfit(why=why):
            return f"cannot be read: {why}"
        case OSError():
            return f"cannot be read: {refused.strerror}"
        case _:
            return str(refused)


def scores(body: bytes, wanted: Sequence[Score]) -> tuple[str, str, tuple[Measured, ...]]:
    """The harness, the model that was evaluated, and the wanted scores in their order. Raises `Refused`."""
    value = _strict(body)
    if "lm_eval_version" in value or ("results" in value and {"n-samples", "versions", "config"} & value.keys()):
        return _of_lm_eval(value, wanted)
    if "eval" in value and "status" in value:
        return _of_inspect(value, wanted)
    raise Refused("neither results of lm-evaluation-harness nor a log of Inspect AI: name the JSON file that the harness wrote")


# ---------------------------------------------------------------- lm-evaluation-harness


def _of_lm_eval(value: Mapping[str, Any], wanted: Sequence[Score]) -> tuple[str, str, tuple[Measured, ...]]:
    config = _table(value, "config")
    for name, what in (("limit", "items a task"), ("samples", "chosen items")):
        if config.get(name) is not None:
            raise Refused(f"the run was limited to {plain(str(config[name]), 100)} {what} (`--{name}`): run it whole")
    if "n-samples" not in value:
        raise Refused("the file does not tell how many items were run (`n-samples`): evaluate with lm-evaluation-harness 0.4.2 or later")
    measured = tuple(_lm_eval_score(score, value) for score in wanted)
    version = plain(str(value.get("lm_eval_version") or "of unknown version"), 40)
    model = value.get("model_name") or config.get("model_args") or config.get("model") or ""
    return f"lm-evaluation-harness {version}", plain(str(model), 300), measured


def _lm_eval_score(score: Score, value: Mapping[str, Any]) -> Measured:
    results = _table(value, "results")
    if score.task not in results:
        raise Refused(f"{score.task} was not run; it holds {', '.join(sorted(map(str, results)))[:200]}")
    samples = sum(_lm_eval_items(task, value) for task in _lm_eval_tasks(score.task, value))
    row = _table(results, score.task)
    name, _, rest = score.metric.partition(",")
    better = _table(value, "higher_is_better").get(score.task)
    _require_direction(score, better.get(name) if isinstance(better, dict) else None)
    return Measured(
        task=score.task, metric=score.metric, value=_millionths(row.get(score.metric), score),
        stderr=_optional(row.get(f"{name}_stderr,{rest or 'none'}")), samples=samples,
    )  # fmt: skip


def _lm_eval_tasks(task: str, value: Mapping[str, Any]) -> Sequence[str]:
    """The tasks of a group and of the groups in it; of a task, itself."""
    groups, waiting, tasks, seen = _table(value, "group_subtasks"), [task], list[str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        parts = groups.get(name)
        if isinstance(parts, list) and parts:
            waiting += [str(part) for part in parts]
        else:
            tasks.append(name)
    return tasks


def _lm_eval_items(task: str, value: Mapping[str, Any]) -> int:
    """How many items of a task were run: all of them."""
    counted, row = _table(value, "n-samples").get(task), _table(value, "results").get(task)
    original, effective = (_whole(counted.get(name)) for name in ("original", "effective")) if isinstance(counted, dict) else (None, None)
    if original is None or effective is None:
        raise Refused(f"{plain(task, 100)}: the file does not tell how many items were run")
    scored = _whole(row["sample_len"]) if isinstance(row, dict) and "sample_len" in row else effective
    run = min(effective, 0 if scored is None else scored)
    if run < original or original < 1:
        raise Refused(f"{plain(task, 100)}: {run} of {original} items were run: run it whole")
    return effective


def _require_direction(score: Score, higher: object) -> None:
    """Refuses a bound on the wrong side, where the harness says which side is better."""
    if isinstance(higher, bool) and higher != (score.at_least is not None):
        side = "more" if higher else "less"
        bound = "at_least" if higher else "at_most"
        raise Refused(f"{score.task}: of {score.metric} {side} is better, so its bound is `{bound}`: propose a change order")


# ---------------------------------------------------------------- Inspect AI


def _of_inspect(value: Mapping[str, Any], wanted: Sequence[Score]) -> tuple[str, str, tuple[Measured, ...]]:
    if value["status"] != "success" or value.get("invalidated"):
        ended = "invalidated" if value["status"] == "success" else plain(str(value["status"]), 40)
        raise Refused(f"the run ended as {ended!r}: run it to its end")
    described, results = _table(value, "eval"), _table(value, "results")
    task = str(described.get("task", ""))
    completed, epochs = _inspect_items(plain(task, 100), described, results)
    measured: list[Measured] = []
    for score in wanted:
        if score.task != task:
            raise Refused(f"{score.task} was not run; the log is of {plain(task, 100)}")
        scorer = _inspect_scorer(score, results)
        _require_scored(score, scorer, completed // epochs)
        metrics = {name: metric.get("value") for name, metric in _table(scorer, "metrics").items() if isinstance(metric, dict)}
        found = metrics[score.metric.rpartition("/")[2]]
        measured.append(
            Measured(
                task=task, metric=score.metric, value=_millionths(found, score), stderr=_optional(metrics.get("stderr")), samples=completed
            )
        )
    return "Inspect AI", plain(str(described.get("model") or ""), 300), tuple(measured)


def _inspect_items(task: str, described: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[int, int]:
    """How many samples were completed, and how often each: all of the dataset's."""
    config, dataset = _table(described, "config"), _table(described, "dataset")
    for name in ("limit", "sample_id"):
        if config.get(name) is not None:
            raise Refused(f"{task}: the run was limited (`--{name.replace('_', '-')}`): run it whole")
    epochs = 1 if config.get("epochs") is None else _whole(config["epochs"])
    total, completed = _whole(results.get("total_samples")), _whole(results.get("completed_samples"))
    if total is None or completed is None or not epochs or total < 1:
        raise Refused(f"{task}: the log does not tell how many samples were completed")
    there = total if dataset.get("samples") is None else (_whole(dataset["samples"]) or 0) * epochs
    if completed < max(total, there):
        raise Refused(f"{task}: {completed} of {max(total, there)} samples were completed: run it whole")
    return completed, epochs


def _inspect_scorer(score: Score, results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one scorer that a metric means: by `<metric>`, `<scorer>/<metric>` or `<scorer>/<reducer>/<metric>`."""
    scorers = [scorer for scorer in results.get("scores") or () if isinstance(scorer, dict)]
    named: dict[str, list[Mapping[str, Any]]] = {}
    for scorer in scorers:
        for metric in _table(scorer, "metrics"):
            names = (metric, f"{scorer.get('name')}/{metric}", f"{scorer.get('name')}/{scorer.get('reducer')}/{metric}")
            for name in dict.fromkeys(names):
                named.setdefault(name, []).append(scorer)
    meant = named.get(score.metric, ())
    if len(meant) == 1:
        return meant[0]
    held = ", ".join(sorted(plain(name, 60) for name, each in named.items() if len(each) == 1 and "/None/" not in name))[:300]
    if not meant:
        raise Refused(f"{score.task} has no {score.metric}; it has {held or 'no scores'}")
    raise Refused(f"{score.task} has several {score.metric}, so that nobody can tell which one is meant; name one of {held}")


def _require_scored(score: Score, scorer: Mapping[str, Any], samples: int) -> None:
    """Refuses scores over a part of the samples."""
    unscored = 0 if scorer.get("unscored_samples") is None else _whole(scorer["unscored_samples"])
    scored = samples if scorer.get("scored_samples") is None else _whole(scorer["scored_samples"])
    if unscored != 0 or scored is None or scored < samples:
        raise Refused(f"{score.task}: {scored} of {samples} samples were scored: score them all")


# ---------------------------------------------------------------- strict JSON


def _strict(body: bytes) -> Mapping[str, Any]:
    try:
        value = json_value(body, most_bytes=LIMIT, depth=DEPTH, unique=True)
    except Unreadable as error:
        raise Refused(str(error)) from error
    if not isinstance(value, dict):
        raise Refused("no JSON object")
    return value


def _table(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name, {})
    if not isinstance(found, dict):
        raise Refused(f"{name} is no table")
    return found


def _whole(value: Any) -> int | None:
    """A count; none for what is no whole number from 0 on."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _millionths(value: Any, score: Score) -> int:
    found = _optional(value, rounding=ROUND_FLOOR if score.at_least is not None else ROUND_CEILING)
    if found is None:
        raise Refused(f"{score.task} has no {score.metric}")
    return found


def _optional(value: Any, *, rounding: str = ROUND_HALF_EVEN) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return int((number * 1_000_000).to_integral_value(rounding)) if abs(number) <= 10**6 else None
