"""The activity `follow_telemetry`: reads what a trainer wrote since the last look, and tells what it means.

    jsonl              a file with one JSON object a line: the names of OLMo-core and of Levanter/Marin (wandb) are known
    checkpoint-table   a published CSV of checkpoints: stage, step, tokens seen, place
    mlflow             an MLflow server over REST: `http(s)://host[:port]/#<run id>`
    tensorboard        a folder of event files (extra `tensorboard`)

A look is repeatable: it begins at the cursor that the process kept, so a kill at any instant reads the same again and tells the
same, apart from rows that came meanwhile. Rows that cannot be understood are passed over and counted; a last line that has no end yet
waits until the file has not grown for a whole look. A file that is not there has nothing new: a run that stays silent is paged.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from activities.artifacts import Told, Unfit, checked, opened, working
from activities.missing import explained
from activities.outside import CarryOut, Outcome, failed
from domain.kernel import Step
from domain.money import CEILING
from domain.telemetry import MOST_STEPS, MOST_TOKENS, Reading, StageName, observe
from domain.training_messages import RANGES, FollowTelemetry, TelemetryReported

ROWS: Final = 200_000
"""The most rows of one look; the rest waits for the next."""
LINE: Final = 1024 * 1024
"""The longest line that is understood, in bytes."""
HEAD: Final = 256
"""So many bytes at its beginning tell whether a log is still the one that was read before."""
HEADER: Final = 100 * 1024 * 1024
"""The longest header of a safetensors file, in bytes."""

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
STAGES: Final = ("stage", "train/stage", "Stage", "Ingredient")
COSTS: Final = ("cost_minor", "cost/total_minor")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
_NO_NUMBER: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_STAGE: Final[TypeAdapter[str]] = TypeAdapter(StageName)
_BYTES: Final = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
                 "I8": 1, "U8": 1, "BOOL": 1}  # fmt: skip
"""Of the elements of safetensors' types."""


class Hindered(Exception):
    """The source cannot be read now, and a person must mend it; the text says what."""


@dataclass(slots=True)
class Read:
    """What a look read."""

    readings: list[Reading] = field(default_factory=list)
    cursor: str = ""
    unreadable: int = 0
    relisted: bool = False
    """Whether the whole list of checkpoints was read, from its beginning."""
    written_at: float | None = None
    """When the trainer wrote last, as seconds of the epoch, where the source tells."""


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
            return await working(lambda told: self._looked(step, asked, told))
        except (Hindered, Unfit) as error:
            return failed(step, f"{asked.source.location}: {error}; then retry the step")

    def _looked(self, step: Step, asked: FollowTelemetry, told: Told) -> Outcome:
        try:
            read = self._adapters[asked.source.adapter](asked, told)
        except Unfit as unfit:
            if unfit.reason != "missing":
                raise
            read = Read(cursor=asked.cursor)
        watch, found = observe(asked.stages, asked.spikes, asked.watch, read.readings, relisted=read.relisted)
        quiet = 0 if read.written_at is None else min(10**10, max(0, int(time.time() - read.written_at)))
        return TelemetryReported(
            step=step.key, number=asked.number, cursor=read.cursor, watch=watch, loss_micro=found.loss_micro, cost=found.cost,
            checkpoints=tuple(found.checkpoints[:RANGES]), missing=tuple(found.missing), found=tuple(found.found),
            restarts=tuple(found.restarts), spikes=tuple(found.spikes), diverged=found.diverged, quiet_seconds=quiet,
            more=found.more + len(found.checkpoints[RANGES:]), unreadable=read.unreadable,
        ).model_dump(mode="json")  # fmt: skip

    # ------------------------------------------------------------ files

    def _jsonl(self, asked: FollowTelemetry, told: Told) -> Read:
        read, stage = Read(), asked.watch.stage or asked.stages[0].name
        for line in self._lines(asked, read, told, lambda line: _object(line) is not None, head=HEAD):
            reading = _reading(_object(line), stage)
            stage = reading.stage if reading is not None else stage
            self._take(reading, read, told)
        return read

    def _table(self, asked: FollowTelemetry, told: Told) -> Read:
        read = Read()
        with self._opened(asked.source.location) as file:
            header = _columns(file.readline(LINE))
        _require_columns(header, asked)
        for line in self._lines(asked, read, told, lambda line: len(_columns(line)) == len(header), head=None):
            row = _columns(line)
            if row != header:
                whole = dict(zip(header, row, strict=True)) if len(row) == len(header) else None
                self._take(_reading(whole, asked.stages[0].name), read, told)
        return read

    def _take(self, reading: Reading | None, read: Read, told: Told) -> None:
        """A row as it is kept. A checkpoint that is a file under the folder and cannot be loaded is none."""
        if reading is None:
            read.unreadable += 1
            return
        try:
            read.readings.append(self._hashed(reading, told))
        except Broken:
            read.unreadable += 1
            read.readings.append(replace(reading, checkpoint=None))

    def _lines(
        self, asked: FollowTelemetry, read: Read, told: Told, whole: Callable[[bytes], bool], *, head: int | None
    ) -> Iterator[bytes]:  # fmt: skip
        """Lines after the cursor; from the beginning when the file is another than before, by so many bytes of what was read then."""
        location = asked.source.location
        with self._opened(location) as file:
            status = os.fstat(file.fileno())
            read.written_at = status.st_mtime
            offset, before, torn_at = _place(asked.cursor)
            if offset > status.st_size or before != _digest(file, offset, head):
                offset, torn_at = 0, None
            read.relisted = head is None and offset == 0
            torn = ""
            file.seek(offset)
            for _ in range(ROWS):
                line = file.readline(LINE)
                if not line.endswith(b"\n"):
                    if len(line) < LINE:
                        if not line or torn_at != status.st_size or not whole(line):
                            torn = f":{status.st_size}" if line else ""
                            break
                    else:
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
            read.cursor = f"{offset}:{_digest(file, offset, head)}{torn}"

    @contextmanager
    def _opened(self, location: str) -> Iterator[BinaryIO]:
        try:
            with opened(self._folder, location) as file:
                buffered = io.BufferedReader(cast(io.RawIOBase, file), LINE)
                try:
                    yield buffered
                finally:
                    buffered.detach()
        except OSError as error:
            raise Hindered(f"cannot be read: {error.strerror or error}") from error

    def _hashed(self, reading: Reading, told: Told) -> Reading:
        """With the hash of a checkpoint that is one file under the folder, when the trainer told none. Raises `Broken`."""
        place = reading.checkpoint
        if place is None or "://" in place:
            return reading
        digest, done = hashlib.sha256(), 0
        try:
            with opened(self._folder, place) as file:
                if place.endswith(".safetensors"):
                    _require_loadable(file)
                    file.seek(0)
                while reading.checkpoint_sha256 is None and (chunk := file.read(LINE)):
                    digest.update(chunk)
                    done += len(chunk)
                    told(place, done)
        except (Unfit, OSError):
            return reading
        return replace(reading, checkpoint_sha256=reading.checkpoint_sha256 or digest.hexdigest())

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
        read = Read()
        done = [_count(part) for part in (*asked.cursor.split(":"), asked.cursor)[:2]]
        new = [islice(counts.get(key or "", ()), start, start + ROWS) for key, start in zip((loss, tokens), done, strict=True)]
        points = list(heapq.merge(
            (Point(int(each.get("timestamp", 0)), int(each.get("step", 0)), loss=str(each["value"])) for each in new[0]),
            (Point(int(each.get("timestamp", 0)), int(each.get("step", 0)), tokens=str(each["value"])) for each in new[1]),
            key=lambda point: point.at,
        ))  # fmt: skip
        ends = [min(len(counts.get(key or "", ())), start + ROWS) for key, start in zip((loss, tokens), done, strict=True)]
        read.cursor = ":".join(str(max(start, end)) for start, end in zip(done, ends, strict=True))
        read.written_at = points[-1].at / 1_000 if points else None
        self._take_points(points, read, asked)
        return read

    def _tensorboard(self, asked: FollowTelemetry, told: Told) -> Read:
        with explained("tensorboard"):
            from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
            from tensorboard.util.tensor_util import make_ndarray
        done, number = _count(asked.cursor), 0
        points: list[Point] = []
        read = Read()
        for name in self._event_files(asked.source.location):
            with opened(self._folder, f"{asked.source.location}/{name}") as file:
                for event in EventFileLoader(f"/dev/fd/{file.fileno()}").Load():
                    for value in event.summary.value:
                        number += 1
                        told(asked.source.location, number)
                        if done < number <= done + ROWS and value.tag in (*LOSSES, *TOKENS):
                            array = make_ndarray(value.tensor) if value.HasField("tensor") else None
                            shown = repr(float(value.simple_value if array is None else array.flat[0] if array.size else "nan"))
                            told_as = {"loss": shown} if value.tag in LOSSES else {"tokens": shown}
                            points.append(Point(int(event.wall_time * 1_000), event.step, **told_as))
        read.cursor = str(max(done, min(number, done + ROWS)))
        read.written_at = points[-1].at / 1_000 if points else None
        self._take_points(points, read, asked)
        return read

    def _event_files(self, location: str) -> Sequence[str]:
        """The names of the event files in a folder under the workers' folder; no name on the way is a symbolic link. Raises `Unfit`."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            directory = os.open(self._folder, flags)
        except OSError as error:
            raise Hindered(f"cannot be read: {error.strerror or error}") from error
        try:
            for part in checked(location).split("/"):
                above, directory = directory, os.open(part, flags, dir_fd=directory)
                os.close(above)
            with os.scandir(directory) as entries:
                return sorted(entry.name for entry in entries if "tfevents" in entry.name)
        except FileNotFoundError as error:
            raise Unfit(location, "missing", "missing") from error
        except OSError as error:
            raise Hindered("is no folder of event files; name the trainer's log directory") from error
        finally:
            os.close(directory)

    @staticmethod
    def _take_points(points: Iterable[Point], read: Read, asked: FollowTelemetry) -> None:
        """Points in the order in which they were logged; those of one step that follow each other are one row."""
        stage, row = asked.watch.stage or asked.stages[0].name, dict[str, Any]()
        for point in points:
            kind = LOSSES[0] if point.loss else TOKENS[0]
            if row and (row["step"] != str(point.step) or kind in row):
                _append(row, read, stage)
                row = {}
            row |= {"step": str(point.step), kind: point.loss or point.tokens}
        if row:
            _append(row, read, stage)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric, as a server keeps it; `at` in milliseconds of the epoch."""

    at: int
    step: int
    loss: str = ""
    tokens: str = ""


def _append(row: Mapping[str, Any], read: Read, stage: str) -> None:
    reading = _reading(row, stage)
    if reading is None:
        read.unreadable += 1
    else:
        read.readings.append(reading)


# ---------------------------------------------------------------- rows


def _columns(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8-sig", "replace")]), [])


def _require_columns(header: Sequence[str], asked: FollowTelemetry) -> None:
    """Refuses tables that do not tell what a run is followed by."""
    names = set(header)
    if not names & set(STEPS) or not names & set(CHECKPOINTS):
        raise Hindered(f"no table of checkpoints: its header names none of {', '.join(CHECKPOINTS)}; name the right file")
    if not names & set(STAGES) and len(asked.stages) > 1:
        raise Hindered(f"it does not tell the stage of a checkpoint, and the contract has several: add a column {', '.join(STAGES)}")
    if not names & set(TOKENS) and not asked.watch.tokens:
        raise Hindered("it does not tell the tokens, by which milestones are reached: add a column `Tokens Seen`")


def _reading(row: Mapping[str, Any] | None, stage: str) -> Reading | None:
    """What a row tells, of this stage if it names none; none when it has no step, nothing besides, or a value beyond every bound."""
    if row is None:
        return None
    nested = row.get("metrics")
    row = {**row, **nested} if isinstance(nested, Mapping) else row
    step, tokens, place = _integer(_told(row, STEPS)), _integer(_told(row, TOKENS)), _told(row, CHECKPOINTS)
    loss, cost = _told(row, LOSSES), _integer(_told(row, COSTS))
    micro, diverged = _loss(loss)
    if step is None or step > MOST_STEPS or (tokens is None and not loss and not place) or (loss and micro is None and not diverged):
        return None
    if cost is not None and cost > CEILING:
        return None
    try:
        named = _STAGE.validate_python(_told(row, STAGES) or stage)
    except ValidationError:
        return None
    digest = str(row.get("checkpoint_sha256", ""))
    return Reading(
        named, step, tokens, micro, place[:500] or None, digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None, cost, diverged
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
    """A whole number, also written as `1e6` or `12.0`; at most 10^18."""
    number = _decimal(text.replace(",", ""))
    if number is None or not 0 <= number <= MOST_TOKENS or number != number.to_integral_value():
        return None
    return int(number)


def _loss(text: str) -> tuple[int | None, bool]:
    """A loss in millionths, rounded half to even; and whether it is NaN, infinite or beyond a million instead."""
    number = _decimal(text)
    if number is None or abs(number) > 10**6:
        return None, number is not None or _NO_NUMBER.fullmatch(text.strip()) is not None
    return int((number * 1_000_000).to_integral_value()), False


def _decimal(text: str) -> Decimal | None:
    if _NUMBER.fullmatch(text.strip()) is None:
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


# ---------------------------------------------------------------- files


class Broken(Exception):
    """A checkpoint's file is no whole safetensors file."""


def _require_loadable(file: BinaryIO) -> None:
    """Refuses a safetensors file whose header cannot be read, or whose tensors do not add up to its size. Raises `Broken`."""
    size, length = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(HEADER, size - 8):
        raise Broken
    try:
        header = json.loads(file.read(length))
        tensors = [header[name] for name in header if name != "__metadata__"]
        places = sorted(
            (int(first), int(last), each["dtype"], prod(each["shape"])) for each in tensors for first, last in [each["data_offsets"]]
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Broken from error
    end = 0
    for first, last, kind, count in places:
        if first != end or last - first != count * _BYTES.get(kind, (last - first) // max(count, 1)):
            raise Broken
        end = last
    if 8 + length + end != size:
        raise Broken


def _place(cursor: str) -> tuple[int, str, int | None]:
    """Where reading goes on, the digest of what was read, and the file's size if its last line had no end then."""
    offset, _, rest = cursor.partition(":")
    head, _, size = rest.partition(":")
    return _count(offset), head, _count(size) if size else None


def _count(text: str) -> int:
    """A number of a cursor; a cursor of another source begins anew."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _digest(file: BinaryIO, offset: int, head: int | None) -> str:
    """Of what lies before the offset: of its first bytes only, when so many are named."""
    digest, left = hashlib.sha256(), offset if head is None else min(head, offset)
    file.seek(0)
    while left and (chunk := file.read(min(LINE, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()[:16]


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
