"""What can go wrong for the person at the terminal: one clear message and one exit code each, never a stack trace."""

from __future__ import annotations

import errno
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from cyclopts import CycloptsError, UnknownCommandError


class Code(IntEnum):
    """How a command ended."""

    DONE = 0
    BROKEN = 1
    """The log does not hold what it must, or something has to be done (`doctor`)."""
    REFUSED = 2
    """A rule said no."""
    UNREACHABLE = 3
    """Temporal, a worker or the log did not answer."""
    BAD_INPUT = 4
    OTHER_RULES = 5
    """The log is whole, and was decided in part by rules that this release does not have."""
    BUG = 70
    """Our own mistake."""


NAMES: Final = {
    Code.BROKEN: "broken", Code.REFUSED: "refused", Code.UNREACHABLE: "unreachable", Code.BAD_INPUT: "bad input",
    Code.OTHER_RULES: "other rules", Code.BUG: "bug",
}  # fmt: skip


LONGEST: Final = 1_000
"""The most characters of what another program, or a rule, said."""


class Failure(Exception):
    """A command that did not do what was asked: what to tell, and the remedy."""

    code: Code

    def __init__(self, message: str, remedy: str = "", **details: Any) -> None:
        super().__init__(message)
        self.name = NAMES[self.code]
        self.message = message
        self.remedy = remedy
        self.details = {name: value for name, value in details.items() if value}
        """What programs want to know besides: rule, clause, command_id, problems …"""


class Broken(Failure):
    """The log is not what it must be."""

    code = Code.BROKEN


class Unwell(Failure):
    """Something has to be done."""

    code = Code.BROKEN

    def __init__(self, message: str, remedy: str = "", **details: Any) -> None:
        super().__init__(message, remedy, **details)
        self.name = "unwell"


class Refused(Failure):
    """A rule said no."""

    code = Code.REFUSED


class Unreachable(Failure):
    """Nobody answered."""

    code = Code.UNREACHABLE


class BadInput(Failure):
    """What was typed or read cannot be meant."""

    code = Code.BAD_INPUT


class OtherRules(Failure):
    """Nothing is wrong with the log; a release with other rules must decide part of it again."""

    code = Code.OTHER_RULES


class Bug(Failure):
    """Our own mistake."""

    code = Code.BUG


def of_file(error: OSError, path: Path, what: str, remedy: str = "") -> Failure:
    """That a file or folder cannot be `read` or `written`: bad input, with this remedy, unless only the right to do it is missing."""
    from eventstore.sqlite_file import NOT_ALLOWED, owner, user

    named = Path(error.filename or path) if isinstance(error.filename, str | Path | None) else path
    if error.errno == errno.EROFS:
        return Unreachable(f"{named} cannot be {what}: the disk is read-only", "use one that may be written")
    if error.errno in NOT_ALLOWED:
        remedy = f"run this as {owner(named)}, who can also let you (chmod, chgrp)" + (f"; or {remedy}" if remedy else "")
        return Unreachable(f"{named} may not be {what} by {user()}", remedy)
    return BadInput(f"{named} cannot be {what}: {error.strerror or error}", remedy)


def usage(error: CycloptsError) -> str:
    """What is wrong with the words; without loading every command to look for similar ones."""
    if isinstance(error, UnknownCommandError) and error.app is not None and error.unused_tokens:
        from difflib import get_close_matches

        names = [name for name in error.app if not name.startswith("-")]
        near = get_close_matches(error.unused_tokens[0], names, n=1)
        return f"there is no command {error.unused_tokens[0]!r}" + (
            f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
        )
    return " ".join(str(error).split())


def translated(error: Exception) -> Failure:
    """The failure that an error of the layers below means for a person."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Failure):
        return error
    from temporalio.service import RPCError

    from activities.log.cluster import Unprepared
    from activities.log.heads import OtherLog
    from activities.log.sending import Mistaken, NotAnswered, NotTaken, TurnedDown
    from activities.missing import ExtraMissing
    from cli.embedded import AlreadyUp
    from domain.kernel import one_line
    from eventstore.log import (
        Damaged,
        KeyNotEnrolled,
        LogUnavailable,
        NewerRules,
        NotMigrated,
        NotReadable,
        NotWritable,
        WrittenByNewer,
        WrittenOn,
    )
    from eventstore.migrations import SchemaMismatch
    from eventstore.replica import UnreadableEntry
    from eventstore.sqlite_file import NOT_ALLOWED
    from eventstore.wire import Malformed
    from open_model_consortium import overwritten, sentence
    from signatures.signers import CannotSign
    from simulation.model_files import NoModel

    match error:
        case TurnedDown(refusal=refusal):
            message, remedy = one_line(refusal.message, LONGEST), one_line(refusal.remedy, LONGEST)
            return Refused(message, remedy, rule=refusal.rule, clause=refusal.clause)
        case Mistaken():
            return Bug(str(error), "see the worker's log, and report it; once it is mended, give the command again")
        case NotAnswered():
            return Unreachable(
                str(error), "start a worker (`consortium up`, `consortium worker`) if none runs; `consortium doctor` looks what is wrong"
            )
        case NotWritable():
            return Unreachable(
                f"the log cannot be written from here: {error}", "ask as a role that may write, at the database that takes writes"
            )
        case Damaged():
            return Broken(str(error), "restore the log from a backup; nothing is recorded after that entry")
        case NewerRules() | WrittenByNewer() | WrittenOn():
            return Unreachable(str(error), "use the newer release")
        case KeyNotEnrolled():
            return Unreachable(str(error), "put back the key that signed before (`keys/log`), or let officers enrol this one")
        case NotReadable(remedy=remedy):
            return Unreachable(f"the log cannot be read from here: {error}", remedy)
        case NotMigrated():
            return Unreachable(
                f"this release cannot read the log yet: {error}",
                "a worker of this release brings it there, or its owner by `consortium migrate`",
            )
        case OSError(errno=number) if number in NOT_ALLOWED:
            return of_file(error, Path(), "used")
        case LogUnavailable():
            return Unreachable(f"the log cannot be reached: {error}", "start its database, or name another with --folder or CONSORTIUM_LOG")
        case RPCError():
            return Unreachable(
                f"Temporal answered: {one_line(error.message, LONGEST)}",
                "check its address and namespace: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE; `consortium doctor` looks what is wrong",
            )
        case CannotSign():
            return BadInput(str(error))
        case ExtraMissing() | NoModel():
            return BadInput(str(error))
        case NotTaken() | Malformed() | AlreadyUp():
            return BadInput(str(error))
        case Unprepared(remedies=remedies):
            return Unwell(str(error), "; then ".join(f"`{remedy}`" for remedy in remedies))
        case OtherLog():
            return Broken(
                str(error),
                "name the log that this Temporal works for, or put it back; to go on with an older copy of it, begin Temporal anew"
                " (docs/operations.md, Restore)",
            )
        case SchemaMismatch() | UnreadableEntry():
            return Broken(str(error), "use the release that wrote this log, or a newer one")
        case ImportError() | AttributeError() if files := overwritten():
            return BadInput(sentence(files))
        case _:
            return Bug(f"{type(error).__name__}: {one_line(str(error), LONGEST)}", "see the trace with CONSORTIUM_DEBUG=1, and report it")
