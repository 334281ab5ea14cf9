"""Looking takes no right to write: another user, a folder that is read-only, a log that nobody works on or whose worker was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import asyncpg
import pytest

from eventstore.log import NotMigrated, NotWritable
from eventstore.migrations import migrations
from eventstore.postgres import PostgresLog
from eventstore.sqlite import SqliteLog
from eventstore.sqlite_file import owner
from settings import keep_private
from tests.keyrings import keys_in
from tests.places import chain, write
from tests.test_cli import CHARTER, OFFICERS, Answer, consortium

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parent.parent
STRANGER = 61_234
"""A user who owns nothing here."""
LOOKING = (
    ("status",), ("doctor",), ("members",), ("proposals",), ("rounds",), ("runs",), ("releases",), ("show", "consortium/atlas"), ("log",),
    ("inbox", "sam"), ("who-represents", "helio"), ("verify", "--decide"), ("registry",), ("ledger",), ("ledger", "--format", "beancount"),
    ("plot", "atlas-1"), ("charter", "show"), ("export", "{scratch}/atlas.jsonl"),
)  # fmt: skip
MAY_FIND_NOTHING = {"who-represents", "plot"}
"""Nothing is on the log of what they are asked for."""
MODES: dict[str, int] = {}
"""The modes of what `up` made."""
MANY = """
import contextlib, io, json, os, sys
from cli import main
answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.run(words)
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers), flush=True)
os._exit(0)
"""


def as_stranger(*commands: Sequence[str], folder: Path) -> list[Answer]:
    """What a user is answered to whom the rights of files and folders apply, as they do not to root."""
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    words = json.dumps([[*command, "--folder", str(folder)] for command in commands])
    told = subprocess.run(
        [*powerless, sys.executable, "-c", MANY, words], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )
    assert told.returncode == 0, told.stderr
    return [Answer(*answer) for answer in json.loads(told.stdout)]


@contextmanager
def read_only(folder: Path, mode: int = 0o555) -> Iterator[None]:
    """A folder that belongs to somebody else, as far as we may give it away, and that nobody may write in."""
    mine, files = folder.stat().st_uid, [path for path in folder.iterdir() if path.is_file()]
    theirs = STRANGER if os.geteuid() == 0 else mine
    for path in files:
        path.chmod(0o444)
        os.chown(path, theirs, -1)
    folder.chmod(mode)
    os.chown(folder, theirs, -1)
    try:
        yield
    finally:
        os.chown(folder, mine, -1)
        folder.chmod(0o755)
        for path in (path for path in files if path.exists()):
            os.chown(path, mine, -1)
            path.chmod(0o644)


@dataclass
class Up:
    """`consortium up` on a folder with a consortium."""

    folder: Path
    process: subprocess.Popen[str]

    def end(self, by: signal.Signals) -> None:
        self.process.send_signal(by)
        self.process.wait(30)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    tmp_path = tmp_path_factory.mktemp("looking")
    folder = tmp_path / "state"
    process = subprocess.Popen(consortium("up", "--folder", str(folder), "--json"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    MODES.update({str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]})
    officers = tmp_path / "officers.toml"
    officers.write_text(OFFICERS, encoding="utf-8")
    keys_in(folder, "sam", "tess")
    words = ("consortium", "found", "atlas", "--charter", str(CHARTER), "--from", str(officers), "--key", "sam", "--folder", str(folder))
    assert subprocess.run(consortium(*words), capture_output=True, timeout=60, check=False).returncode == 0
    yield Up(folder, process)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    server = folder / "temporal.pid"
    if server.exists():  # an `up` that was killed leaves it to the next one on this folder
        os.kill(int(server.read_text(encoding="ascii")), signal.SIGTERM)


def seen_by_a_stranger(folder: Path, scratch: Path) -> None:
    scratch.mkdir()
    scratch.chmod(0o777)
    before = sorted(path.name for path in folder.iterdir())
    commands = [[word.format(scratch=scratch) for word in command] for command in LOOKING]
    for command, answer in zip(commands, as_stranger(*commands, folder=folder), strict=True):
        well = {0, 4} if command[0] in MAY_FIND_NOTHING else {0}
        assert answer.code in well, (command, answer)
        assert "Permission" not in answer.err
    assert sorted(path.name for path in folder.iterdir()) == before, "who looks leaves nothing behind"
    shutil.rmtree(scratch)


def test_a_command_of_another_user_is_signed_for_the_log_that_they_may_read_and_for_none_else(up: Up) -> None:
    grant = ("consortium", "grant-office", "atlas", "--person", "lea", "--office", "training-lead", "--key", "sam")
    with read_only(up.folder):
        (told,) = as_stranger((*grant, "--json"), folder=up.folder)
        (up.folder / "log.db").chmod(0o000)
        (unread,) = as_stranger(grant, folder=up.folder)
        (up.folder / "up.json").chmod(0o000)
        closed, _ = as_stranger(grant, ("status",), folder=up.folder)
    assert (told.code, told.json["seen"], told.json["position"]) == (0, True, 2), told
    assert unread.code == 3
    assert "log.db may not be read by" in unread.err
    assert closed.code == 3
    assert "up.json may not be read by" in closed.err


def test_everything_that_looks_works_for_another_user_while_a_worker_runs_when_it_ended_and_when_it_was_killed(
    up: Up, tmp_path: Path
) -> None:
    with read_only(up.folder):
        seen_by_a_stranger(up.folder, tmp_path / "live")
    up.end(signal.SIGKILL)
    assert (up.folder / "log.db-wal").stat().st_size > 0
    with read_only(up.folder):
        seen_by_a_stranger(up.folder, tmp_path / "killed")
    (up.folder / "log.db-shm").unlink()
    with read_only(up.folder):
        (told,) = as_stranger(("status",), folder=up.folder)
    assert told.code == 3
    assert "log.db-shm" in told.err
    assert "copy the whole folder" in told.err
    connection = apsw.Connection(str(up.folder / "log.db"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert not (up.folder / "log.db-wal").exists()
    with read_only(up.folder):
        seen_by_a_stranger(up.folder, tmp_path / "ended")


def test_a_folder_that_is_closed_to_others_is_told_with_who_can_help(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "log.db").touch()
    with read_only(folder, 0o000):
        theirs = owner(folder)
        told = as_stranger(("status",), ("log",), ("up",), ("rebuild",), ("recover",), ("migrate",), folder=folder)
        (examined,) = as_stranger(("doctor",), folder=folder)
    for answer in told:
        assert answer.code == 3, answer
        assert "may not be" in answer.err
        assert f"run this as {theirs}" in answer.err
    assert examined.code == 1
    assert f"run this as {theirs}" in examined.out


async def test_what_writes_says_that_it_may_not_and_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    log = await SqliteLog.open(folder / "log.db")
    await log.close()
    with read_only(folder):
        told = as_stranger(("rebuild",), ("migrate",), ("up",), folder=folder)
    assert [answer.code for answer in told] == [3, 3, 3], told
    assert all("may not be" in answer.err for answer in told)


async def test_who_opened_a_log_for_reading_can_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    written = await SqliteLog.open(path)
    await write(written, 1, size=3, by="ada")
    log = await SqliteLog.look(path)
    with pytest.raises(NotWritable):
        await log.append(chain(await log.head(), 1, by="bea"))
    with pytest.raises(NotWritable):
        await log.new_generation("x")
    with pytest.raises(NotWritable):
        async with log.leading("x"):
            pass
    with pytest.raises(NotWritable):
        async with log.exclusive():
            pass
    await log.close()
    await written.close()


async def test_who_looks_sees_what_is_written_meanwhile_and_what_is_put_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = await SqliteLog.open(path)
    await write(log, 1, size=3, by="ada")
    await log.close()
    looking = await SqliteLog.look(path)
    assert (await looking.head()).position == 3
    log = await SqliteLog.open(path)
    await write(log, 1, size=2, by="bea")
    assert (await looking.head()).position == 5
    assert [entry.position for entry in await looking.read(0)] == [1, 2, 3, 4, 5]
    await write(log, 1, size=2, by="cid")
    assert (await looking.head()).position == 7
    await looking.close()
    await log.close()


async def test_who_looks_at_a_log_of_an_earlier_release_leaves_it_as_it_is(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "log.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT")
    first = migrations("sqlite")[0]
    connection.execute("INSERT INTO migrations VALUES (?, ?)", (first.name, first.digest))
    connection.close()
    content = path.read_bytes()
    with pytest.raises(NotMigrated, match=migrations("sqlite")[1].name):
        await SqliteLog.look(path)
    assert path.read_bytes() == content
    with pytest.raises(NotMigrated, match="no log yet"):
        await PostgresLog.look(postgres_url)
    owner = await asyncpg.connect(postgres_url)
    assert await owner.fetchval("SELECT to_regclass('migrations') IS NULL")
    await owner.close()


async def test_an_auditor_of_a_database_looks_with_the_right_to_read_alone(postgres_url: str) -> None:
    log = await PostgresLog.open(postgres_url)
    await write(log, 1, size=3, by="ada")
    owner = await asyncpg.connect(postgres_url)
    await owner.execute((ROOT / "deploy/postgres-roles.sql").read_text(encoding="utf-8"))
    await owner.execute("DROP ROLE IF EXISTS auditor_2; CREATE ROLE auditor_2 LOGIN IN ROLE consortium_auditor")
    auditor = await PostgresLog.look(postgres_url.replace("postgres:@", "auditor_2:@"))
    assert (await auditor.head()).position == 3
    assert len(await auditor.read(0)) == 3
    assert (await auditor.shown("x", "standings")).rows == []
    with pytest.raises(NotWritable):
        await auditor.append(chain(await auditor.head(), 1, by="bea"))
    await auditor.close()
    await owner.execute("DROP ROLE auditor_2")
    await owner.close()
    await log.close()


def test_what_runs_makes_its_folder_for_its_owner_alone_and_no_file_more_open_than_its_folder(tmp_path: Path) -> None:
    made, group = tmp_path / "new" / "state", tmp_path / "group"
    group.mkdir(mode=0o700)
    group.chmod(0o750)
    before = keep_private(made)
    try:
        (made / "a").touch()
        keep_private(group)
        (group / "b").touch()
        (group / "c").mkdir()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (made, made / "a", group, group / "b", group / "c")]
    assert modes == [0o700, 0o600, 0o750, 0o640, 0o750]


def test_a_folder_that_up_made_is_closed_to_all_others(up: Up) -> None:
    assert set(MODES) >= {".", "log.db", "log.db-wal", "temporal.db", "up.json", "worker.log", "temporal.log"}
    assert [name for name, mode in MODES.items() if mode & 0o077] == []
