"""Running lanes: first the control, then round after round until so many faults were brought about; what was done is kept."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final

import structlog

from activities import logs
from tests.chaos.lane import Findings, Ground, Lane, Round

ROUND_SECONDS: Final = 900
"""A round that takes longer hangs, and that is a problem."""
SHOWN: Final = 5
"""How many problems of a round are printed."""
CONTROL: Final = 0
"""The number under which the control is kept; rounds begin with 1."""


@dataclass(frozen=True, slots=True)
class Done:
    """One round that was run, or the control, as the journal keeps it."""

    lane: str
    seed: int
    long: bool
    round: int
    faults: int
    problems: Sequence[str]
    seconds: float


class Journal:
    """What was done, in a folder, a file a lane and a JSON object a line; or only in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._done: list[Done] = []
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def of(self, lane: str, seed: int, *, long: bool) -> list[Done]:
        """What was done of a lane before."""
        done = self._done if self._folder is None else [Done(**json.loads(line)) for line in _whole(self._folder / f"{lane}.jsonl")]
        return [each for each in done if (each.lane, each.seed, each.long) == (lane, seed, long)]

    def add(self, done: Done) -> None:
        """Keeps one more."""
        if self._folder is None:
            self._done.append(done)
            return
        with (self._folder / f"{done.lane}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(done)) + "\n")


def _whole(path: Path) -> list[str]:
    """The lines of a file; one that was cut off with its session is taken away."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return whole.splitlines()


class Run:
    """One run of lanes with a seed."""

    def __init__(self, journal: Journal, *, seed: int, long: bool) -> None:
        self._journal = journal
        self._seed = seed
        self._long = long

    def lanes(self, lanes: Sequence[Lane]) -> int:
        """Runs them one after the other; 1 if anything is wrong, else 0."""
        start, wrong = time.monotonic(), []
        for lane in lanes:
            if not self._wanted(lane):
                say(f"{lane.name}: only in the long run")
            elif reason := lane.missing():
                say(f"{lane.name}: skipped, {reason}")
            elif not self._lane(lane):
                wrong.append(lane.name)
        say(f"chaos: {time.monotonic() - start:.0f} s; " + (f"wrong: {', '.join(wrong)}" if wrong else "nothing is wrong"))
        return bool(wrong)

    def _lane(self, lane: Lane) -> bool:
        wanted = self._wanted(lane)
        done = self._journal.of(lane.name, self._seed, long=self._long)
        if not any(each.round == CONTROL for each in done):
            control = self._round(lane, lane.control, CONTROL, min(wanted, lane.a_round))
            if not any(lane.notices in problem for problem in control.problems):
                say(
                    f"{lane.name}: FAILED, its control ({lane.careless}) was to show {lane.notices!r} and showed {control.problems[:SHOWN]}"
                )
                return False
            done = [*done, self._kept(control)]
        while (left := wanted - faults(done)) > 0:
            done = [*done, self._kept(self._round(lane, lane.run, 1 + max(each.round for each in done), min(left, lane.a_round)))]
        problems = [problem for each in done if each.round != CONTROL for problem in each.problems]
        noticed = sum(len(each.problems) for each in done if each.round == CONTROL)
        say(
            f"{lane.name}: {'FAILED, ' if problems else ''}{faults(done)} of {wanted} faults, {len(problems)} problems; the control"
            f" ({lane.careless}) showed {noticed}; {sum(each.seconds for each in done):.0f} s"
        )
        return not problems

    def _wanted(self, lane: Lane) -> int:
        return lane.long if self._long else lane.short

    def _kept(self, done: Done) -> Done:
        self._journal.add(done)
        return done

    def _round(self, lane: Lane, run: Round, number: int, wanted: int) -> Done:
        start = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix=f"chaos-{lane.name}-", ignore_cleanup_errors=True) as folder,
            no_orphans(),
            quiet(Path(folder)),
        ):
            ground = Ground(Path(folder).resolve(), Random(f"{self._seed}/{lane.name}/{number}"), wanted)
            try:
                findings = asyncio.run(_within(run, ground))
            except Exception as error:  # noqa: BLE001  whatever ends a round is a finding; the other lanes go on
                traceback.print_exc()
                findings = Findings(wanted, [f"the round ended with {type(error).__name__}: {error}"])
        if not findings.faults and number != CONTROL:
            findings = Findings(wanted, [*findings.problems, "no fault was brought about"])
        for problem in findings.problems[:SHOWN] if number != CONTROL else ():
            say(f"  {lane.name}, round {number} of seed {self._seed}: {problem}")
        return Done(
            lane.name, self._seed, self._long, number, findings.faults, list(findings.problems), round(time.monotonic() - start, 1)
        )  # fmt: skip


def faults(done: Sequence[Done]) -> int:
    """How many were brought about in the rounds."""
    return sum(each.faults for each in done if each.round != CONTROL)


async def _within(run: Round, ground: Ground) -> Findings:
    async with asyncio.timeout(ROUND_SECONDS):
        return await run(ground)


@contextmanager
def no_orphans() -> Iterator[None]:
    """Whatever processes were begun meanwhile have ended afterwards: a round leaves nothing to the next."""
    import psutil

    before = set(psutil.Process().children(recursive=True))
    try:
        yield
    finally:
        for child in set(psutil.Process().children(recursive=True)) - before:
            try:
                os.kill(child.pid, signal.SIGCONT)
                child.kill()
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """What we log meanwhile goes into a file: faults are many, and expected."""
    with (folder / "chaos.log").open("w", encoding="utf-8") as file:
        logs.configure(file)
        try:
            yield
        finally:
            structlog.reset_defaults()


def say(line: str) -> None:
    """Prints at once, for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
