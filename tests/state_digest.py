"""Digests of states: what a fold of a log comes to, in a form that outlives the code that folded it.

A state is canonical JSON of its process, its phase and its fields, by their names, with their values. A field that has its default is
left out, so that a field which a later release adds changes nothing while it has it. What a later release calls otherwise is in
`RENAMED`, and what it makes of the same events besides, in `ADDED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Any, Final

from immutables import Map
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from domain.kernel import canonical_json
from domain.proposal.state import Open, Over

RENAMED: Final[Mapping[str, str]] = {
    "member.requested": "asked",
    "member.unconfirmed": "asked",
    "release.latest_verdicts": "known",
    "release.publications": "shown",
    "run.question_open": "asked",
}
"""Phases as `process phase`, fields as `process.field` (of the register: `register.field`): what is called so now, and how it was called before."""
ADDED: Final[Mapping[str, int]] = {
    "treasury.account_digest": 4,
    "register.applicants": 7,
    **dict.fromkeys(("member.asked", "member.resumption", "member.over", "proposal.persons", "proposal.phase"), 6),
    **dict.fromkeys(
        (f"treasury.{name}" for name in ("reading", "refused", "elsewhere", "statements", "editions_on", "proposed", "open_payments")), 4
    ),
}
"""Fields that a later release makes of the same events: since which rules. Digests of older logs are without them."""
FORMER: Final[Mapping[type, Mapping[str, Callable[[Any], Any]]]] = {
    Over: {"executed": lambda over: over.phase == "executed"},
    Open: {"seats": lambda vote: {**vote.seats, **vote.persons}},
}
"""What records of proposals held before rules 6 by these names, made of what they hold now."""


def state_digest(process: str, phase: str, stream: Any, *, rules: int) -> str:
    """The digest of a stream: of its process's state in a phase, and of what it owes, as a log of these rules has it."""
    named, plain = RENAMED.get(f"{process} {phase}", phase), _Plain(process, rules)
    owes = {name: value for name, value in plain.fields(stream).items() if name != "state"}
    return _digest({"process": process, "phase": named, "fields": plain.fields(stream.state), "owes": owes})


def register_digest(register: Any, *, rules: int) -> str:
    """The digest of the register."""
    return _digest({"register": _Plain("register", rules).fields(register)})


def _digest(value: Any) -> str:
    return sha256(canonical_json(value)).hexdigest()


class _Plain:
    """Values of a process as plain JSON."""

    def __init__(self, process: str, rules: int) -> None:
        self._process = process
        self._rules = rules

    def fields(self, value: Any) -> dict[str, Any]:
        """The fields of a record that have not their defaults, by their names."""
        found: dict[str, Any] = {}
        kind: Any = type(value)
        for name, default in _defaults(kind).items():
            known = f"{self._process}.{name}"
            if (held := getattr(value, name)) != default and ADDED.get(known, 0) <= self._rules:
                found[RENAMED.get(known, name)] = self.plain(held)
        if self._rules < 6:
            found |= {name: self.plain(former(value)) for name, former in FORMER.get(kind, {}).items()}
        return found

    def plain(self, value: Any) -> Any:
        """Any value that a state may hold."""
        match value:
            case None | bool():
                return value
            case Enum():
                return value.value
            case str():
                return value
            case int():
                return str(value)  # JSON holds not every integer
            case datetime() | date():
                return value.isoformat()
            case timedelta():
                return str(value // timedelta(microseconds=1))
            case Map() | Mapping():
                pairs = [[self.plain(key), self.plain(held)] for key, held in value.items()]
                return sorted(pairs, key=lambda pair: canonical_json(pair[0]))
            case Set():
                return sorted((self.plain(held) for held in value), key=canonical_json)
            case BaseModel():
                return self.fields(value)
            case _ if is_dataclass(value) or hasattr(value, "_fields"):
                return self.fields(value)
            case Sequence():
                return [self.plain(held) for held in value]
            case _:
                raise TypeError(f"{type(value).__name__} has no place in a state")


_NONE: Final = object()


@cache
def _defaults(kind: Any) -> Mapping[str, Any]:
    """The names of the fields of a kind of record, each with its default; something that equals nothing where it has none."""
    if issubclass(kind, BaseModel):
        found = kind.model_fields
        made = {name: field.get_default(call_default_factory=True) for name, field in found.items() if not field.is_required()}
        return {name: _NONE if made.get(name, PydanticUndefined) is PydanticUndefined or name == "kind" else made[name] for name in found}
    if hasattr(kind, "_fields"):
        return {name: kind._field_defaults.get(name, _NONE) for name in kind._fields}
    return {
        field.name: field.default if field.default is not MISSING else field.default_factory() if field.default_factory is not MISSING else _NONE
        for field in fields(kind)
    }  # fmt: skip
