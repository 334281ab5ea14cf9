"""A bank that is reached through folders, as banking programs and transfer services keep them.

    inbox/                      the bank's files are dropped here
    inbox/taken/                statements, and reports on orders, that were kept
    inbox/other/                the bank's other messages: notifications
    inbox/refused/              what cannot be kept
    outbox/<MsgId>.xml          payment orders, each whole, for whoever carries them to the bank and takes them away
    outbox/.sending/            the order that is about to be handed out, and a marker of each that ever was

An order is handed out by renaming it into the outbox, which happens or does not. The marker is written before; when it is there
and the order is not waiting beside it any more, the order went out, whether or not it still lies in the outbox.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from activities.bank.pain import Answer, Verdict, report
from activities.bank.statements import CHUNK, Hindered, Statements, locked
from activities.bank.xml import MESSAGES, Unreadable, sniffed
from activities.files import Told, settle
from activities.outside import plain
from domain.treasury import steps

UNFINISHED: Final = (".part", ".tmp", ".filepart", ".crdownload")
READ: Final = frozenset({"camt.053", "pain.002"})
"""The messages that are kept."""
NAME: Final = 200
"""The longest name of a file that was put away, in bytes."""
REPORT: Final = 4 * 1024 * 1024
"""The largest report on orders that is looked at, in bytes."""
REPORTS: Final = 1_000
"""How many of the latest reports are looked through for an answer."""


class FolderBank:
    """A bank behind an inbox and an outbox."""

    def __init__(self, inbox: Path, outbox: Path, *, settled: timedelta = timedelta(seconds=2), patience: timedelta = timedelta(0)) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._sending = outbox / ".sending"
        self._settled = settled
        """A file that was written to more recently is left for the next look."""
        self._patience = patience
        """How long an answer to an order is waited for; the order counts as taken when none comes."""

    # ------------------------------------------------------------ statements

    def bring(self, statements: Statements, told: Told) -> Sequence[str]:
        """Keeps every file of the inbox that may be a statement or a report on orders, and puts the others aside."""
        self._inbox.mkdir(parents=True, exist_ok=True)
        aside: list[str] = []
        for path in self._dropped():
            try:
                with _opened(path) as file:
                    message = sniffed(_chunks(file))
                    if message is not None and message.name not in READ:
                        aside.append(f"{path.name}: {MESSAGES.get(message.name, message.name)}, which is not read")
                        self._away(path, "other", path.name)
                        continue
                    file.seek(0)
                    digest = statements.keep(_chunks(file), path.name, told)
                self._away(path, "taken", f"{digest[:16]}-{path.name}")
            except FileNotFoundError:
                continue
            except Hindered as hindered:
                aside.append(str(hindered))
                self._away(path, "refused", path.name)
        return aside

    def _dropped(self) -> list[Path]:
        """The files of the inbox that nobody writes to any more, by name; no links and no hidden ones."""
        before = time.time() - self._settled.total_seconds()
        with os.scandir(self._inbox) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if entry.is_file(follow_symlinks=False)
                and not entry.name.startswith(".")
                and not entry.name.lower().endswith(UNFINISHED)
                and entry.stat(follow_symlinks=False).st_mtime <= before
            )

    def _away(self, path: Path, where: str, name: str) -> None:
        """Puts a file that was dealt with out of the way; where that is not allowed it stays, and is known the next time."""
        with suppress(PermissionError):
            (self._inbox / where).mkdir(exist_ok=True)
            path.replace(self._inbox / where / os.fsdecode(os.fsencode(name)[:NAME]))

    # ------------------------------------------------------------ payments

    def send(self, payment: steps.SendPayment, document: bytes) -> Answer:
        """Hands the order out, once; then what the bank answers within the patience, or that the order is on its way."""
        self._sending.mkdir(parents=True, exist_ok=True)
        with locked(self._sending / ".lock"):
            self._hand_out(payment.message_id, document)
        give_up = time.monotonic() + self._patience.total_seconds()
        while True:
            answer = self._answer(payment)
            if answer is not None:
                return answer
            if time.monotonic() >= give_up:
                return Answer(Verdict.TAKEN)
            time.sleep(0.2)

    def _hand_out(self, message_id: str, document: bytes) -> None:
        marker, waiting = self._sending / f"{message_id}.sha256", self._sending / f"{message_id}.xml"
        digest = hashlib.sha256(document).hexdigest()
        if marker.exists():
            if marker.read_text(encoding="ascii") != digest:
                raise Hindered(f"another order went out under the id {message_id}: look at {marker}")
            if not waiting.exists():
                return
        else:
            _write(waiting, document)
            _write(marker, digest.encode("ascii"))
        waiting.replace(self._outbox / f"{message_id}.xml")
        settle(self._outbox)
        settle(self._sending)

    def _answer(self, payment: steps.SendPayment) -> Answer | None:
        """What the bank's reports say of an order; that it was repeated says nothing of it."""
        for path in self._reports():
            with suppress(Unreadable, Hindered, OSError), _opened(path) as file:
                content = file.read(REPORT + 1)
                if len(content) > REPORT or payment.message_id.encode("ascii") not in content:
                    continue
                found = report((content,))
                answer = found.answer_to(payment.end_to_end_id) if found.original == payment.message_id else None
                if answer is not None and answer.verdict is not Verdict.REPEATED:
                    return answer
        return None

    def _reports(self) -> Iterator[Path]:
        """The files that may be reports, the latest first."""
        found: list[tuple[float, Path]] = []
        for folder in (self._inbox, self._inbox / "taken", self._inbox / "other"):
            with suppress(FileNotFoundError), os.scandir(folder) as entries:
                found += [(entry.stat().st_mtime, Path(entry.path)) for entry in entries if entry.is_file(follow_symlinks=False)]
        return (path for _, path in sorted(found, reverse=True)[:REPORTS])


def _write(path: Path, content: bytes) -> None:
    """A file, whole or not at all, durable."""
    beside = path.with_name(f"{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    settle(path.parent)


def _opened(path: Path) -> BinaryIO:
    """A file of the bank's. Raises `Hindered` for one that we may not read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError as error:
        raise Hindered(f"{plain(path.name, 100)} may not be read by this worker: let it, and put the file back") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return os.fdopen(descriptor, "rb")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
