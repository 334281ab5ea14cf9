"""What is checked of an entry by itself, in any order and in any process: its line, its hash, its form, and its signature.

Whose key signed, whether it was theirs by then, and whether the rules demand what the entry holds, only what stands before it can tell
(`audit.reexecute`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from domain.catalog import RULES
from eventstore.authority import Unauthorised, behind, check_recorded
from eventstore.entries import ACCEPTED, REFUSED, UNSALTED, Entry, encode_json, falls, flaw_of
from eventstore.export import BadLine, entry_of


class Alone(NamedTuple):
    """What is wrong with an entry by itself, as the ends of sentences; empty for nothing."""

    wrong: str = ""
    """Its hash, or its form: whatever else the log holds."""
    unauthorised: str = ""
    """What stands behind it: wrong as soon as the log is signed."""


FINE: Final = Alone()


class Flaw(NamedTuple):
    """What is wrong with a line by itself."""

    number: int
    """Among the lines that were looked at, from 0."""
    unreadable: str
    """Why it is no entry."""
    alone: Alone


def examined(entry: Entry) -> Alone:
    """What is wrong with an entry by itself."""
    wrong = flaw_of(entry) or malformed(entry)
    if wrong or entry.rules in UNSALTED or falls(RULES, entry.rules):
        return Alone(wrong)
    try:
        check_recorded(behind(entry))
    except Unauthorised as error:
        return Alone("", str(error))
    return FINE


def flaws_in(lines: Sequence[bytes]) -> Sequence[Flaw]:
    """What is wrong with lines of an export, each by itself: the work of one of many processes."""
    found = list[Flaw]()
    for number, line in enumerate(lines):
        try:
            alone = examined(entry_of(line))
        except BadLine as error:
            found.append(Flaw(number, str(error), FINE))
            break
        if alone != FINE:
            found.append(Flaw(number, "", alone))
    return found


class _Command(msgspec.Struct):
    kind: str


class _Refusal(msgspec.Struct, forbid_unknown_fields=True):
    rule: str
    message: str
    remedy: str
    clause: str


def malformed(entry: Entry) -> str:
    """What of an entry has not the form that every release writes; empty for nothing."""
    try:
        if msgspec.json.decode(entry.command, type=_Command).kind != entry.kind:
            return "its kind is not that of its command"
        if entry.outcome == ACCEPTED:
            msgspec.json.decode(entry.body, type=list[_Command])
        elif entry.outcome == REFUSED:
            msgspec.json.decode(entry.body, type=_Refusal)
        else:
            return f"its outcome is neither {ACCEPTED} nor {REFUSED}"
        for name, stored in (("command", entry.command), ("body", entry.body)):
            if encode_json(msgspec.json.decode(stored)) != stored:
                return f"its {name} is not canonical JSON"
    except (ValueError, RecursionError) as error:
        return f"is not what a log holds: {error}"
    return ""
