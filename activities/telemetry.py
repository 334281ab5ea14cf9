"""The activity `follow_telemetry`: reads what a trainer wrote since the last look, and tells what it means.

    jsonl              a file with one JSON object a line: the names of OLMo-core and of Levanter/Marin (wandb) are known
    checkpoint-table   a published CSV of checkpoints: stage, step, tokens seen, place
    mlflow             an MLflow server over REST: `http(s)://host[:port]/#<run id>`
    tensorboard        a folder of event files (extra `tensorboard`)

A look is repeatable: it begins at the cursor that the process kept, so a kill at any instant reads the same again and tells the
same, apart from rows that came meanwhile. Rows that cannot be understood are passed over and counted; a torn last line waits.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from activities.artifacts import Told, Unfit, opened, working
from activities.missing import explained
from activities.outside import CarryOut, Outcome, failed
from domain.kernel import Step
from domain.money import SAFE
from domain.telemetry import Reading, observe
from domain.training_messages import RANGES, FollowTelemetry, TelemetryReported

ROWS: Final = 200_000
"""The most rows of one look; the rest waits for the next."""
LINE: Final = 1024 * 1024
"""The longest line that is understood, in bytes."""
HEAD: Final = 256
"""So many bytes at its beginning tell whether a file is still the one that was read before."""

STEPS: Final = ("step", "global_step", "_step", "train/step", "Step")
TOKENS: Final = (
    "throughput/total tokens",
    "throughput/total_tokens",
    "train/total_tokens",
    "total_tokens",
    "num_tokens",
    "tokens",
    "Tokens Seen",
)
LOSSES: Final = ("train/CE loss", "train/loss", "train/cross_entropy_loss", "loss")
CHECKPOINTS: Final = ("checkpoint", "checkpoint/path", "checkpoint_path", "Checkpoint Directory")
STAGES: Final = ("stage", "train/stage", "Stage")
COSTS: Final = ("cost_minor", "cost/total_minor")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,2})?")


class Hindered(Exception):
    """The source cannot be read now, and a person must mend it; the text says what."""


@dataclass(slots=True)
class Read:
    """What a look read."""

    readings: list[Reading] = field(default_factory=list)
    cursor: str = ""
    unreadable: int = 0


Adapter = Callable[[FollowTelemetry, Told], Read]


class Following:
    """Follows trainers whose files lie under a folder, or who write to a server."""

    def __init__(self, folder: Path, http: Callable[[], httpx.Client] = httpx.Client) -> None:
        self._folder = folder
        self._http = http
        self._adapters: Mapping[str, Adapter] = {
            "jsonl": self._jsonl, "checkpoint-table": self._table, "mlflow": self._mlflow, "tensorboard": self._tensorboard,
        }  # fmt: skip

    def activities(self) -> Mapping[str, CarryOut]:
        """The step's kind and who carries it out."""
        return {"follow_telemetry": self.follow}

    async def follow(self, step: Step) -> Outcome:
        """`telemetry_reported`: what is new, in a bounded number of facts."""
        asked = FollowTelemetry.model_validate_json(json.dumps(step.data))
        try:
            read = await working(lambda told: self._adapters[asked.source.adapter](asked, told))
        except (Hindered, Unfit) as error:
            return failed(step, f"{asked.source.location}: {error}; then retry the step")
        watch, found = observe(asked.stages, asked.spikes, asked.watch, read.readings)
        dropped = found.checkpoints[RANGES:]
        return TelemetryReported(
            step=step.key, number=asked.number, cursor=read.cursor, watch=watch, loss_micro=found.loss_micro, cost=found.cost,
            checkpoints=tuple(found.checkpoints[:RANGES]), missing=tuple(found.missing), restarts=tuple(found.restarts),
            spikes=tuple(found.spikes), more=found.more + len(dropped), unreadable=read.unreadable,
        ).model_dump(mode="json")  # fmt: skip

    # ------------------------------------------------------------ files

    def _jsonl(self, asked: FollowTelemetry, told: Told) -> Read:
        read = Read()
        for line in self._lines(asked, read, told):
            reading = _reading(_object(line), asked)
            if reading is None:
                read.unreadable += 1
            else:
                read.readings.append(self._hashed(reading))
        return read

    def _table(self, asked: FollowTelemetry, told: Told) -> Read:
        read = Read()
        with self._opened(asked.source.location) as file:
            header = next(csv.reader([file.readline(LINE).decode("utf-8", "replace")]), [])
        if not set(header) & set(STEPS) or not set(header) & set(CHECKPOINTS):
            raise Hindered(f"no table of checkpoints: its header names none of {', '.join(CHECKPOINTS)}; name the right file")
        for line in self._lines(asked, read, told):
            row = next(csv.reader([line.decode("utf-8", "replace")]), [])
            if row == header:
                continue
            reading = _reading(dict(zip(header, row, strict=False)), asked) if len(row) == len(header) else None
            if reading is None:
                read.unreadable += 1
            else:
                read.readings.append(reading)
        return read

    def _lines(self, asked: FollowTelemetry, read: Read, told: Told) -> Iterator[bytes]:
        """Whole lines after the cursor; from the beginning when the file is another than before."""
        location = asked.source.location
        with self._opened(location) as file:
            size = os.fstat(file.fileno()).st_size
            offset, head = _place(asked.cursor)
            if offset > size or head != _digest(file.read(min(HEAD, offset))):
                offset = 0
            file.seek(offset)
            for _ in range(ROWS):
                line = file.readline(LINE)
                if not line.endswith(b"\n"):
                    if len(line) < LINE:
                        break
                    while line and not line.endswith(b"\n"):
                        offset += len(line)
                        line = file.readline(LINE)
                    read.unreadable += 1
                    offset += len(line)
                    continue
                offset += len(line)
                told(location, offset)
                if line.strip():
                    yield line
            file.seek(0)
            read.cursor = f"{offset}:{_digest(file.read(min(HEAD, offset)))}"

    def _opened(self, location: str) -> Any:
        try:
            return opened(self._folder, location)
        except OSError as error:
            raise Hindered(f"cannot be read: {error.strerror or error}") from error

    def _hashed(self, reading: Reading) -> Reading:
        """A checkpoint that is one file under the folder is hashed here, when the trainer told no hash."""
        if reading.checkpoint is None or reading.checkpoint_sha256 is not None or "://" in reading.checkpoint:
            return reading
        digest = hashlib.sha256()
        try:
            with opened(self._folder, reading.checkpoint) as file:
                while chunk := file.read(LINE):
                    digest.update(chunk)
        except (Unfit, OSError):
            return reading
        return Reading(
            reading.stage, reading.step, reading.tokens, reading.loss_micro, reading.checkpoint, digest.hexdigest(), reading.cost
        )

    # ------------------------------------------------------------ servers

    def _mlflow(self, asked: FollowTelemetry, told: Told) -> Read:
        """`runs/get` names the metrics, `metrics/get-history` has their points, page by page, in the order in which they were logged."""
        place = urlsplit(asked.source.location)
        if place.scheme not in {"http", "https"} or not place.fragment:
            raise Hindered("an MLflow run is named as http(s)://host[:port]/#<run id>")
        with self._http() as http:
            base = f"{place.scheme}://{place.netloc}{place.path.rstrip('/')}/api/2.0/mlflow"
            run = _answer(http.get(f"{base}/runs/get", params={"run_id": place.fragment}))
            known = [each["key"] for each in run["run"]["data"].get("metrics", ())]
            loss, tokens = _first(LOSSES, known), _first(TOKENS, known)
            if loss is None and tokens is None:
                return Read(cursor=asked.cursor)
            counts = {key: _history(http, base, place.fragment, key, told) for key in (loss, tokens) if key is not None}
        done = int(asked.cursor or 0)
        seen = {int(point["step"]): _integer(str(point["value"])) for point in counts.get(tokens or "", ())}
        points = counts[loss] if loss is not None else counts[tokens or ""]
        read = Read(cursor=str(min(len(points), done + ROWS)))
        stage = asked.watch.stage or asked.stages[0].name
        for point in points[done : done + ROWS]:
            value = _micro(str(point["value"])) if loss is not None else None
            read.unreadable += loss is not None and value is None
            read.readings.append(Reading(stage, int(point["step"]), seen.get(int(point["step"])), value))
        return read

    def _tensorboard(self, asked: FollowTelemetry, told: Told) -> Read:
        with explained("tensorboard"):
            from tensorboard.backend.event_processing.directory_loader import DirectoryLoader
            from tensorboard.backend.event_processing.event_file_loader import TimestampedEventFileLoader
        folder = self._folder / asked.source.location
        if not folder.is_dir() or folder.is_symlink():
            raise Hindered("is no folder of event files; name the trainer's log directory")
        done, number = int(asked.cursor or 0), 0
        losses: dict[int, int] = {}
        tokens: dict[int, int] = {}
        read = Read()
        for event in DirectoryLoader(str(folder), TimestampedEventFileLoader).Load():
            for value in event.summary.value:
                number += 1
                told(asked.source.location, number)
                if not done < number <= done + ROWS:
                    continue
                shown = repr(float(value.tensor.float_val[0] if value.tensor.float_val else value.simple_value))
                if value.tag in LOSSES and (micro := _micro(shown)) is not None:
                    losses[event.step] = micro
                elif value.tag in TOKENS and (count := _integer(shown)) is not None:
                    tokens[event.step] = count
                elif value.tag in LOSSES or value.tag in TOKENS:
                    read.unreadable += 1
        stage = asked.watch.stage or asked.stages[0].name
        read.readings = [Reading(stage, step, tokens.get(step), losses.get(step)) for step in sorted(losses.keys() | tokens.keys())]
        read.cursor = str(min(number, done + ROWS))
        return read


# ---------------------------------------------------------------- rows


def _reading(row: Mapping[str, Any] | None, asked: FollowTelemetry) -> Reading | None:
    """What a row tells; none when it has no step, or nothing besides."""
    if row is None:
        return None
    step = _integer(_told(row, STEPS))
    tokens, loss = _integer(_told(row, TOKENS)), _told(row, LOSSES)
    place = _told(row, CHECKPOINTS)
    if step is None or (tokens is None and not loss and not place):
        return None
    micro = _micro(loss) if loss else None
    if loss and micro is None:
        return None
    stage = _told(row, STAGES) or asked.watch.stage or asked.stages[0].name
    digest = str(row.get("checkpoint_sha256", ""))
    return Reading(
        stage[:80], step, tokens, micro, place[:500] or None, digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
        _integer(_told(row, COSTS)),
    )  # fmt: skip


def _told(row: Mapping[str, Any], names: Sequence[str]) -> str:
    value = next((row[name] for name in names if row.get(name) is not None), "")
    return value if isinstance(value, str) else "" if isinstance(value, bool | list | dict) else str(value)


def _object(line: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(line, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _integer(text: str) -> int | None:
    """A whole number, also written as `1e6` or `12.0`; at most 2^53 - 1."""
    number = _decimal(text.replace(",", ""))
    if number is None or number != number.to_integral_value() or not 0 <= number <= SAFE:
        return None
    return int(number)


def _micro(text: str) -> int | None:
    """Millionths, rounded half to even; none for NaN, the infinities, and beyond a million."""
    number = _decimal(text)
    return None if number is None or abs(number) > 10**6 else int((number * 1_000_000).to_integral_value())


def _decimal(text: str) -> Decimal | None:
    if _NUMBER.fullmatch(text.strip()) is None:
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


def _place(cursor: str) -> tuple[int, str]:
    offset, _, head = cursor.partition(":")
    return int(offset or 0), head or _digest(b"")


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:16]


# ---------------------------------------------------------------- MLflow


def _history(http: httpx.Client, base: str, run: str, key: str, told: Told) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    token = ""
    while True:
        asked = {"run_id": run, "metric_key": key, "max_results": "25000"} | ({"page_token": token} if token else {})
        page = _answer(http.get(f"{base}/metrics/get-history", params=asked))
        points.extend(page.get("metrics", ()))
        told(key, len(points))
        token = page.get("next_page_token", "")
        if not token:
            return points


def _answer(response: httpx.Response) -> Any:
    """The answer as JSON. Raises `Hindered` for what asking again does not mend; else a fault, and Temporal asks again."""
    if response.status_code in {400, 401, 403, 404}:
        raise Hindered(f"the server answers {response.status_code}: {response.text[:200]}; name the run, or give access")
    response.raise_for_status()
    return response.json()


def _first(wanted: Sequence[str], known: Sequence[str]) -> str | None:
    return next(islice((name for name in wanted if name in known), 1), None)
