"""Commands, answers and steps in a line for people, as Temporal's UI shows them. Nobody believes these lines; they are never on the log."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, get_args

import msgspec
from pydantic.fields import FieldInfo

from activities.messages import LONGEST_LINE, is_plain
from domain.catalog import process_for
from domain.charter import Office
from domain.kernel import TELL, Message, Step, escaped, shown_at
from domain.money import Minor, Money
from domain.register.state import Register
from eventstore.entries import ACCEPTED, Entry, Refusal, encode_json, instant
from eventstore.wire import Malformed, parse

MOST_KINDS: Final = 5
"""How many kinds of events a line names."""
_MONEY: Final = get_args(Minor)[1]
"""What marks an integer as an amount of money in the annotations of messages."""


class _Kind(msgspec.Struct):
    kind: str


def line_of(stream: str, actor: str, command: bytes, currency: str = "") -> str:
    """A command in words: `pledge by ada for helio: USD 500,000.00`. Empty for what is no command.

    Amounts for which neither the command nor the caller names a currency are left out, and so is what does not fit.
    """
    message = _message(stream, command)
    if message is None:
        return ""
    member = getattr(message, "member", None)
    line = f"{_kind(message)} by {actor}" + (f" for {member}" if isinstance(member, str) else "")
    if not is_plain(line):
        return ""
    mark = ": "
    for word in _words(message, currency):
        if not is_plain(longer := f"{line}{mark}{word}"):
            break
        line, mark = longer, ", "
    return line


def retry_command(register: Register, stream: str, step: str) -> str:
    """The command by which a step is tried again, as it is typed: by the first of the secretariat."""
    person = next(iter(register.holders(Office.SECRETARIAT)), "WHO")
    return f"consortium retry {stream} {shlex.quote(step)} --key {person}"


def lacks_currency(stream: str, command: bytes) -> bool:
    """Whether a command names amounts and no currency: they are in the charter's."""
    message = _message(stream, command)
    return message is not None and any(not amount.currency for _, amount in _amounts(message, ""))


def answered(entry: Entry, currency: str) -> str:
    """An entry in a line of Markdown: when it was recorded, the command in words, and what came of it."""
    asked = line_of(entry.stream, entry.actor, entry.command, currency) or escaped(f"{entry.kind} by {entry.actor}", LONGEST_LINE)
    return f"{shown_at(instant(entry.at))} {asked}: {_outcome(entry)}"


def step_line(step: Step) -> str:
    """An owed step in words: of one that speaks to another stream what it says, and where; of others the key. Empty where that is not plain."""
    line = step.key
    if step.kind == TELL:
        line = f"{step.data['command'].get('kind')} to {step.data['stream']}"
    return line if is_plain(line) else ""


def currency_of(register: Register) -> str:
    """The charter's currency; empty before the founding."""
    return register.charter.currency if register.version else ""


def _message(stream: str, command: bytes) -> Message | None:
    try:
        return parse(process_for(stream), command)
    except (Malformed, ValueError):
        return None


def _kind(message: Message) -> str:
    return str(type(message).model_fields["kind"].default)


def _words(message: Message, currency: str) -> Iterator[str]:
    """The step that a message is about, the amounts that it names, and what it orders elsewhere."""
    step = getattr(message, "step", None)
    if isinstance(step, str):
        yield step
    amounts = [(name, str(amount)) for name, amount in _amounts(message, currency) if amount.currency]
    for name, amount in amounts:
        yield amount if name == "amount" else f"{name.replace('_', ' ')} {amount}"
    motion = getattr(message, "motion", None)
    if isinstance(motion, Message):
        stream, command = str(getattr(motion, "stream", "")), getattr(motion, "command", {})
        yield f"{command.get('kind')} on {stream}"
        inner = _message(stream, encode_json(command))
        if inner is not None:
            yield from _words(inner, currency)


def _amounts(message: Message, currency: str) -> Iterator[tuple[str, Money]]:
    own = getattr(message, "currency", None) or currency
    for name, field in type(message).model_fields.items():
        value = getattr(message, name)
        if isinstance(value, int) and _is_money(field):
            yield name, Money(value, own)


def _is_money(field: FieldInfo) -> bool:
    return _MONEY in field.metadata or any(_MONEY in get_args(part) for part in get_args(field.annotation))


def _outcome(entry: Entry) -> str:
    """Accepted with which events, or refused by which rule; of a body that cannot be read, which others tell better, the first word alone."""
    try:
        if entry.outcome == ACCEPTED:
            return f"accepted, {_counted([each.kind for each in msgspec.json.decode(entry.body, type=list[_Kind])])}"
        return f"**refused** by {escaped(msgspec.json.decode(entry.body, type=Refusal).rule)}"
    except msgspec.MsgspecError:
        return entry.outcome


def _counted(kinds: Sequence[str]) -> str:
    counted = Counter(kinds)
    words = [escaped(kind) if number == 1 else f"{escaped(kind)} ×{number}" for kind, number in list(counted.items())[:MOST_KINDS]]
    return ", ".join(words) + (f" and {len(counted) - MOST_KINDS} more" if len(counted) > MOST_KINDS else "") or "nothing changed"
