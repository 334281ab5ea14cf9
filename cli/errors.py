"""Errors as people see them: one clear message, what rule it is, and the way out."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import NamedTuple

from activities.sending import NotAnswered, NotTaken, TurnedDown
from cli.embedded import AlreadyUp
from cli.output import plain
from domain.kernel import Refused
from eventstore.log import LogUnavailable
from eventstore.migrations import SchemaMismatch
from eventstore.recorder import SameIdOtherCommand
from eventstore.wire import Malformed

REFUSED, UNREACHABLE, BAD_INPUT, BUG = 2, 3, 4, 70


class Told(NamedTuple):
    """An error in words."""

    code: int
    error: str
    message: str
    remedy: str = ""
    clause: str = ""


def told(error: BaseException) -> Told:
    """What an error means to whoever gave the command."""
    match error:
        case TurnedDown(refusal=refusal):
            return Told(REFUSED, refusal.rule, refusal.message, refusal.remedy, refusal.clause)
        case Refused(rule=rule, message=message, remedy=remedy, clause=clause):
            return Told(REFUSED, rule, message, remedy, clause)
        case NotAnswered():
            return Told(
                UNREACHABLE,
                "not_answered",
                str(error),
                "start a worker (`consortium up` or `consortium worker`), then repeat with the same --id",
            )
        case LogUnavailable():
            return Told(UNREACHABLE, "log_unavailable", str(error), "check CONSORTIUM_LOG or --folder, and that the database runs")
        case RuntimeError() if "onnection" in str(error) or "connect" in str(error):
            return Told(
                UNREACHABLE, "temporal_unreachable", str(error)[:300], "start `consortium up`, or set TEMPORAL_ADDRESS or a profile"
            )
        case NotTaken() | Malformed() | SameIdOtherCommand() | AlreadyUp() | SchemaMismatch() | ValueError() | OSError():
            return Told(BAD_INPUT, "bad_input", str(error))
        case _:
            return Told(BUG, "bug", f"{type(error).__name__}: {error}", "run again with CONSORTIUM_DEBUG=1 and report what it prints")


def explained(error: BaseException, *, as_json: bool) -> int:
    """Prints an error to the standard error; its exit code."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if os.environ.get("CONSORTIUM_DEBUG"):
        traceback.print_exception(error)
    what = told(error)
    if as_json:
        print(json.dumps(what._asdict(), ensure_ascii=False), file=sys.stderr)
        return what.code
    lead = "refused" if what.code == REFUSED else what.error.replace("_", " ")
    rule = f" [{what.error}{', clause ' + what.clause if what.clause else ''}]" if what.code == REFUSED else ""
    print(plain(f"{lead}{rule}: {what.message}"), file=sys.stderr)
    if what.remedy:
        print(plain(f"way out: {what.remedy}"), file=sys.stderr)
    return what.code
