"""The lane in which one release takes over from another while people go on, and gives back again.

Both are real: wheels of this tree and of this tree with a patch, each in an environment of its own, workers of both on one PostgreSQL
log and one Temporal. One patch adds a field to an event, a command and an event, and changes no rule; the other raises `RULES` too.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from domain.catalog import RULES
from eventstore.entries import Entry
from eventstore.postgres import PostgresLog
from tests.chaos.checks import chained, everything
from tests.chaos.lane import Findings, Ground, Lane
from tests.chaos.workers import PATIENCE, People, Site, promises, staffed

ROOT: Final = Path(__file__).parent.parent.parent
LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__", "state", "tests", "bench", "docs", "deploy", "*.egg-info")
PARKED: Final = 4
"""How many commands are given to the older release alone on streams that it cannot read."""
WORKER: Final = ("-m", "worker")
NEWER: Final = ("added", "raised")
"""The releases that take over, by turns."""
RAISED: Final = str(int(RULES) + 1)

_DECIDE_AGAIN: Final = """
import asyncio, sys
from audit.reexecute import Reexecution
from settings import open_log

async def main(url):
    log, again, at = await open_log(url), Reexecution(), 0
    while entries := await log.read(at, 1000):
        broken, at = again.check(entries), entries[-1].position
        if broken is not None:
            print(broken)
            break
    await log.close()

asyncio.run(main(sys.argv[1]))
"""


# ------------------------------------------------------------ releases

Patch = Callable[[Path], None]


def _insert(tree: Path, after: str, text: str) -> None:
    """Puts text after the one place in the rules where another text stands."""
    found = [path for path in sorted(tree.glob("domain/**/*.py")) if after in path.read_text(encoding="utf-8")]
    assert len(found) == 1, f"{after!r} stands in {found}: the patch is to be brought up to date"
    source = found[0].read_text(encoding="utf-8")
    assert source.count(after) == 1, f"{after!r} stands more than once"
    found[0].write_text(source.replace(after, after + text), encoding="utf-8")


def unchanged(_: Path) -> None:
    """The tree as it is."""


def added(tree: Path) -> None:
    """A field with a default on an event; a command, and the event that follows from it."""
    _insert(tree, 'kind: Literal["application_received"] = "application_received"\n', '    contact: str = ""\n')
    _insert(
        tree,
        'kind: Literal["give_notice"] = "give_notice"\n',
        '\n\nclass NoteContact(Command):\n    """Say how one is reached."""\n\n'
        '    kind: Literal["note_contact"] = "note_contact"\n    contact: str\n',
    )
    _insert(
        tree,
        'kind: Literal["departure_begun"] = "departure_begun"\n    cause: Cause\n',
        '\n\nclass ContactNoted(Event):\n    """How one is reached."""\n\n'
        '    kind: Literal["contact_noted"] = "contact_noted"\n    contact: str\n',
    )
    _insert(tree, "MemberCommand = (\n", "    NoteContact |\n")
    _insert(tree, "MemberEvent = (\n", "    ContactNoted |\n")
    _insert(
        tree,
        "def decide(state: MemberState, command: commands.MemberCommand, context: Context) -> Events:\n",
        "    if command.kind == 'note_contact':\n        return (events.ContactNoted(contact=command.contact),)\n",
    )
    _insert(
        tree,
        "def evolve(state: MemberState, event: events.MemberEvent) -> MemberState:\n",
        "    if event.kind == 'contact_noted':\n        return state\n",
    )


def raised(tree: Path) -> None:
    """The same, and applications lapse a day later: another rule, under another version of the rules."""
    added(tree)
    later(tree)
    catalog = tree / "domain" / "catalog.py"
    source = catalog.read_text(encoding="utf-8")
    line = f'RULES: Final = "{RULES}"'
    assert line in source
    catalog.write_text(source.replace(line, f'RULES: Final = "{RAISED}"'), encoding="utf-8")


def later(tree: Path) -> None:
    """Applications lapse a day later: another rule."""
    _insert(tree, "lapses_at=context.at + days(context.charter.membership.application_days)", " + days(1)")


@dataclass(frozen=True, slots=True)
class Release:
    """A release in an environment of its own."""

    python: Path

    async def decides_again(self, url: str) -> str:
        """What is wrong with a log by this release's rules; empty when nothing is."""
        return await _run(self.python, "-c", _DECIDE_AGAIN, url)


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    """Where releases are: until this process ends, for they are the same in every round."""
    return tempfile.TemporaryDirectory(prefix="chaos-releases-")


_built: dict[str, Release] = {}


async def built(name: str, patch: Patch) -> Release:
    """The release by this name: a wheel of this tree with a patch, installed beside the packages that are installed here."""
    if name not in _built:
        _built[name] = await _build(Path(_home().name).resolve(), name, patch)
    return _built[name]


async def _build(folder: Path, name: str, patch: Patch) -> Release:
    tree, wheels, home = folder / f"{name}-tree", folder / f"{name}-wheel", folder / f"{name}-venv"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    patch(tree)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    await _run(sys.executable, "-m", "pip", "wheel", *quiet, "--no-build-isolation", "--wheel-dir", wheels, tree)
    await _run(sys.executable, "-m", "venv", "--without-pip", home)
    release = Release(home / "bin" / "python")
    site = Path((await _run(release.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")).strip())
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    await _run(sys.executable, "-m", "pip", "--python", release.python, "install", *quiet, *wheels.glob("*.whl"))
    for program in ("temporal", "temporal-test-server"):
        if (there := Path(sys.executable).with_name(program)).exists():
            release.python.with_name(program).symlink_to(there)
    return release


async def _run(*words: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    process = await asyncio.create_subprocess_exec(
        *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd="/", env=environment
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, f"{words[0]} {words[1:3]} ended with {process.returncode}: {errors.decode()[-1_000:]}"
    return out.decode()


# ------------------------------------------------------------ up and back


async def change(ground: Ground) -> Findings:
    """So many times up to a newer release and back again, side by side, by turns one that changes no rule and one that does."""
    older, *newers = await asyncio.gather(built("older", unchanged), built("added", added), built("raised", raised))

    async def changed(number: int) -> list[str]:
        place = replace(ground, folder=ground.folder / str(number))
        place.folder.mkdir()
        return [f"{NEWER[number % 2]}: {problem}" for problem in await up_and_back(place, older, newers[number % 2])]

    found = await asyncio.gather(*map(changed, range(ground.faults)))
    return Findings(ground.faults, list(itertools.chain.from_iterable(found)))


async def up_and_back(ground: Ground, older: Release, newer: Release) -> list[str]:
    """What goes wrong while the newer release takes over, gives back, and takes over again."""
    async with staffed(ground) as (site, people):
        async with AsyncExitStack() as first:
            await first.enter_async_context(site.worker(older.python, *WORKER, name="older"))
            await people.found()
            await people.go_on()
            async with site.worker(newer.python, *WORKER, name="newer"):
                await people.go_on()
                await first.aclose()
                await people.go_on()
                await asyncio.gather(*map(people.note_contact, people.applied))
                parked = [await people.apply() for _ in range(PARKED)]
                async with site.worker(older.python, *WORKER, name="older"):
                    await people.go_on()
        async with site.worker(older.python, *WORKER, name="older"):
            behind = await _alone(people, parked, site)
        async with site.worker(newer.python, *WORKER, name="newer"):
            await behind
            await people.go_on()
        entries = await _entries(site)
        again = await newer.decides_again(site.url)
        return [*site.problems, *people.shown, *chained(entries), *promises(entries, people), *falling(entries), *_broken(again)]


async def _alone(people: People, parked: Sequence[str], site: Site) -> asyncio.Future[list[None]]:
    """The older release alone: it goes on where it can, and refuses nothing. What it cannot do is answered later."""
    waiting = asyncio.gather(*map(people.withdraw, parked))
    before = await _entries(site)
    if all(entry.rules == RULES for entry in before):
        people.applied = []
        await people.go_on()
    else:
        await asyncio.sleep(PATIENCE.total_seconds() / 2)
        grown = len(await _entries(site)) - len(before)
        people.shown += [f"the older release recorded {grown} entries after one of newer rules"] if grown else []
    return waiting


async def _entries(site: Site) -> Sequence[Entry]:
    log = await PostgresLog.open(site.url)
    entries = await everything(log)
    await log.close()
    return entries


def falling(entries: Sequence[Entry]) -> list[str]:
    """Where the version of the rules falls."""
    pairs = itertools.pairwise(entries)
    return [f"the rules fall at position {each.position}" for last, each in pairs if int(each.rules) < int(last.rules)]


def _broken(said: str) -> list[str]:
    return [f"re-execution: {said.strip()}"] if said.strip() else []


async def under_one_name(ground: Ground) -> Findings:
    """The control: another rule under the same version of the rules."""
    older, newer = await asyncio.gather(built("older", unchanged), built("careless", later))
    async with staffed(ground) as (site, people):
        async with site.worker(older.python, *WORKER, name="older"):
            await people.found()
            await people.go_on()
        return Findings(1, [*site.problems, *people.shown, *_broken(await newer.decides_again(site.url))])


LANES: Final = (
    Lane(
        "two-releases", "a release takes over while the last one works, and gives back", 2, 20, 2,
        change, under_one_name, "another rule under the same version", "re-execution", seconds=190,
    ),
)  # fmt: skip
