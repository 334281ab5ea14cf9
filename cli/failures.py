"""What can go wrong for the person at the terminal: one clear message and one exit code each, never a stack trace."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final


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


class Failure(Exception):
    """A command that did not do what was asked: what to tell, and the way out."""

    code: Code

    def __init__(self, message: str, way_out: str = "", **details: Any) -> None:
        super().__init__(message)
        self.name = NAMES[self.code]
        self.message = message
        self.way_out = way_out
        self.details = {name: value for name, value in details.items() if value}
        """What programs want to know besides: rule, clause, command_id, problems …"""


class Broken(Failure):
    """The log is not what it must be."""

    code = Code.BROKEN


class Unwell(Failure):
    """Something has to be done."""

    code = Code.BROKEN

    def __init__(self, message: str, way_out: str = "", **details: Any) -> None:
        super().__init__(message, way_out, **details)
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


def translated(error: Exception) -> Failure:
    """The failure that an error of the layers below means for a person."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Failure):
        return error
    from temporalio.service import RPCError

    from activities.missing import ExtraMissing
    from activities.sending import Mistaken, NotAnswered, NotTaken, TurnedDown
    from cli.embedded import AlreadyUp
    from eventstore.log import Damaged, LogUnavailable, NewerRules, NotWritable, WrittenByNewer, WrittenOn
    from eventstore.migrations import SchemaMismatch
    from eventstore.replica import UnreadableEntry
    from eventstore.wire import Malformed
    from open_model_consortium import overwritten, sentence
    from simulation.model_files import NoModel

    match error:
        case TurnedDown(refusal=refusal):
            return Refused(refusal.message, refusal.remedy, rule=refusal.rule, clause=refusal.clause)
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
        case LogUnavailable():
            return Unreachable(f"the log cannot be reached: {error}", "start its database, or name another with --folder or CONSORTIUM_LOG")
        case RPCError():
            return Unreachable(
                f"Temporal answered: {error.message}", "check its address and namespace: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE"
            )
        case ExtraMissing() | NoModel():
            return BadInput(str(error))
        case NotTaken() | Malformed() | AlreadyUp():
            return BadInput(str(error))
        case SchemaMismatch() | UnreadableEntry():
            return Broken(str(error), "use the release that wrote this log, or a newer one")
        case ImportError() | AttributeError() if files := overwritten():
            return BadInput(sentence(files))
        case _:
            return Bug(f"{type(error).__name__}: {error}", "see the trace with CONSORTIUM_DEBUG=1, and report it")
