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

import hashlib
import heapq
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

from activities.files import Told, Unfit, checked, opened, working
from activities.missing import explained
from activities.outside import CarryOut, Outcome, failed, passes, plain
from activities.run.rows import (
    LINE,
    LOSSES,
    TOKENS,
    Hindered,
    Point,
    Read,
    columns,
    object_of,
    reading_of,
    require_columns,
    take_points,
)
from activities.run.safetensors_files import Broken, require_loadable
from activities.web import PAGES, Refused, Turned, Web
from domain.kernel import Step
from domain.run import steps
from domain.run.readings import Reading, observe
from domain.run.terms import RANGES

ROWS: Final = 200_000
"""The most rows of one look; the rest waits for the next."""
HEAD: Final = 256
"""So many bytes at its beginning tell whether a log is still the one that was read before."""

POINTS: Final = 10_000_000
"""The most points of one metric: a run of a year that logs three times a second."""

Adapter = Callable[[steps.FollowTelemetry, Told], Read]


class Following:
    """Follows trainers whose files lie under a folder, or who write to a server."""

    def __init__(self, folder: Path, web: Web | None = None) -> None:
        self._folder = folder
        self._web = web or Web()
        self._adapters: Mapping[str, Adapter] = {
            "jsonl": self._jsonl, "checkpoint-table": self._table, "mlflow": self._mlflow, "tensorboard": self._tensorboard,
        }  # fmt: skip

    def activities(self) -> Mapping[str, CarryOut]:
        """The step's kind and who carries it out."""
        return {"follow_telemetry": self.follow}

    async def follow(self, step: Step) -> Outcome:
        """`telemetry_reported`: what is new, in a bounded number of facts."""
        asked = steps.FollowTelemetry.model_validate_json(json.dumps(step.data))
        try:
            return await working(lambda told: self._looked(step, asked, told))
        except (Hindered, Unfit) as error:
            return failed(step, f"{asked.source.location}: {error}; then retry the step")

    def _looked(self, step: Step, asked: steps.FollowTelemetry, told: Told) -> Outcome:
        try:
            read = self._adapters[asked.source.adapter](asked, told)
        except Unfit as unfit:
            if unfit.reason != "missing":
                raise
            read = Read(cursor=asked.cursor)
        watch, found = observe(asked.stages, asked.spikes, asked.watch, read.readings, relisted=read.relisted)
        quiet = 0 if read.written_at is None else min(10**10, max(0, int(time.time() - read.written_at)))
        return steps.TelemetryReported(
            step=step.key, number=asked.number, cursor=read.cursor, watch=watch, loss_micro=found.loss_micro, cost=found.cost,
            checkpoints=tuple(found.checkpoints[:RANGES]), missing=tuple(found.missing), found=tuple(found.found),
            restarts=tuple(found.restarts), spikes=tuple(found.spikes), diverged=found.diverged, quiet_seconds=quiet,
            more=found.more + len(found.checkpoints[RANGES:]), unreadable=read.unreadable,
        ).model_dump(mode="json")  # fmt: skip

    # ------------------------------------------------------------ files

    def _jsonl(self, asked: steps.FollowTelemetry, told: Told) -> Read:
        read, stage = Read(), asked.watch.stage or asked.stages[0].name
        for line in self._lines(asked, read, told, lambda line: object_of(line) is not None, head=HEAD):
            reading = reading_of(object_of(line), stage)
            stage = reading.stage if reading is not None else stage
            self._take(reading, read, told)
        return read

    def _table(self, asked: steps.FollowTelemetry, told: Told) -> Read:
        read = Read()
        with self._opened(asked.source.location) as file:
            first = file.readline(LINE)
        if not first.endswith(b"\n"):
            return Read(cursor=asked.cursor)
        header = columns(first)
        require_columns(header, asked)
        for line in self._lines(asked, read, told, lambda line: len(columns(line)) == len(header), head=None):
            row = columns(line)
            if row != header:
                whole = dict(zip(header, row, strict=True)) if len(row) == len(header) else None
                self._take(reading_of(whole, asked.stages[0].name), read, told)
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
        self, asked: steps.FollowTelemetry, read: Read, told: Told, whole: Callable[[bytes], bool], *, head: int | None
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
                ended = line.endswith(b"\n")
                if not ended and len(line) == LINE:
                    offset += LINE + _rest(file)
                    read.unreadable += 1
                    continue
                if not ended and not (line and torn_at == status.st_size and whole(line)):
                    torn = f":{status.st_size}" if line else ""
                    break
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
            if passes(error):
                raise
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
                    require_loadable(file)
                    file.seek(0)
                while reading.checkpoint_sha256 is None and (chunk := file.read(LINE)):
                    digest.update(chunk)
                    done += len(chunk)
                    told(place, done)
        except Unfit:
            return reading
        except OSError as error:
            if passes(error):
                raise
            return reading
        return replace(reading, checkpoint_sha256=reading.checkpoint_sha256 or digest.hexdigest())

    # ------------------------------------------------------------ servers

    def _mlflow(self, asked: steps.FollowTelemetry, told: Told) -> Read:
        """`runs/get` names the metrics, `metrics/get-history` has their points, page by page, in the order in which they were logged."""
        place = urlsplit(asked.source.location)
        if place.scheme not in {"http", "https"} or not place.fragment:
            raise Hindered("an MLflow run is named as http(s)://host[:port]/#<run id>")
        base = f"{place.scheme}://{place.netloc}{place.path.rstrip('/')}/api/2.0/mlflow"
        with _understood():
            run = self._web.json(f"{base}/runs/get", {"run_id": place.fragment})
            known = [each["key"] for each in run["run"]["data"].get("metrics", ())]
            loss, tokens = _first(LOSSES, known), _first(TOKENS, known)
            if loss is None and tokens is None:
                return Read(cursor=asked.cursor)
            counts = {key: _history(self._web, base, place.fragment, key, told) for key in (loss, tokens) if key is not None}
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
        take_points(points, read, asked)
        return read

    def _tensorboard(self, asked: steps.FollowTelemetry, told: Told) -> Read:
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
        take_points(points, read, asked)
        return read

    def _event_files(self, location: str) -> Sequence[str]:
        """The names of the event files in a folder under the workers' folder; no name on the way is a symbolic link. Raises `Unfit`."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            directory = os.open(self._folder, flags)
        except OSError as error:
            if passes(error):
                raise
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
            if passes(error):
                raise
            raise Hindered("is no folder of event files; name the trainer's log directory") from error
        finally:
            os.close(directory)


# ---------------------------------------------------------------- files


def _place(cursor: str) -> tuple[int, str, int | None]:
    """Where reading goes on, the digest of what was read, and the file's size if its last line had no end then."""
    offset, _, rest = cursor.partition(":")
    head, _, size = rest.partition(":")
    return _count(offset), head, _count(size) if size else None


def _rest(file: BinaryIO) -> int:
    """Passes over the rest of a line; how many bytes it has."""
    passed, line = 0, b" "
    while line and not line.endswith(b"\n"):
        line = file.readline(LINE)
        passed += len(line)
    return passed


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


def _history(web: Web, base: str, run: str, key: str, told: Told) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    token = ""
    for _ in range(PAGES):
        asked = {"run_id": run, "metric_key": key, "max_results": "25000"} | ({"page_token": token} if token else {})
        page = web.json(f"{base}/metrics/get-history", asked)
        points.extend(page.get("metrics", ()))
        told(key, len(points))
        token = page.get("next_page_token", "")
        if not token:
            return points
        if len(points) > POINTS:
            break
    raise Hindered(f"the history of {plain(key, 60)} has no end: more than {len(points)} points in {PAGES} pages at most")


@contextmanager
def _understood() -> Iterator[None]:
    """Raises `Hindered` for what asking again does not mend, in our own words; a fault stays one, and Temporal asks again."""
    try:
        yield
    except Turned as error:
        raise Hindered(f"{error}; name the run, or give access") from error
    except Refused as error:
        raise Hindered(str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise Hindered("the server does not answer as MLflow does") from error


def _first(wanted: Sequence[str], known: Sequence[str]) -> str | None:
    return next(islice((name for name in wanted if name in known), 1), None)
