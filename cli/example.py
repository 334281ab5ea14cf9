"""Examples: a file for every command, filled in and with each field's meaning, and one of every other file that people write.

The values of the files in `examples/` are theirs; every other value is made from the field's type.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from activities.bounded import toml_table
from cli.amounts import MONEY, command_of
from cli.failures import BadInput
from cli.fields import docs_of, meaning_of
from cli.files import example as path_of
from cli.options import HERE, Where
from cli.output import say, say_json, table
from cli.processes import commands_of
from cli.statement import owed
from domain.catalog import CATALOG
from domain.charter import Charter
from domain.forms import Typed, choices_of, entries_of, items_of, kinds_of, model_of, typed_field
from domain.kernel import Command
from eventstore.wire import LIMIT

FILES: Final[Mapping[str, str]] = {
    "charter.toml": "a charter: `consortium charter check`, `consortium consortium found --charter`",
    "rate-card.toml": "the clause `rate_card` of a charter",
    "officers.toml": "the first officers: `consortium consortium found --from`",
    "application.toml": "an application: `consortium member apply`",
    "round.toml": "the terms of a round: `consortium round open-round`",
    "proposal-order.toml": "a proposal that orders a command when it passes: `consortium proposal propose`",
    "proposal-ranked.toml": "a proposal that ranks options",
    "proposal-budget.toml": "a proposal that shares a budget out",
    "proposal-lazy.toml": "a proposal that passes unless enough object",
    "contract.toml": "a run's contract: `consortium run plan-run`",
    "release.toml": "a release: `consortium release propose-release`",
    "statement.xml": "a bank's statement (camt.053): `consortium import-statement`, or dropped into `bank/in`",
    "addresses.toml": "the address book, `addresses.toml` in the folder",
    "accounts.toml": "the accounts that persons have with publishers, `accounts.toml` in the folder",
}
"""The files of `examples/`, and what each is."""

VALUES: Final[Mapping[tuple[str, str], str]] = {
    ("consortium", "found"): "officers.toml",
    ("member", "apply"): "application.toml",
    ("proposal", "propose"): "proposal-order.toml",
    ("proposal", "amend_proposal"): "proposal-order.toml",
    ("round", "open_round"): "round.toml",
    ("round", "amend_round"): "round.toml",
    ("run", "plan_run"): "contract.toml",
    ("run", "change_contract"): "contract.toml",
    ("release", "propose_release"): "release.toml",
    ("release", "amend_release"): "release.toml",
}
"""The commands whose values are those of a file."""

ALSO: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("treasury", "open_account"): ("iban", "bic"),
    ("treasury", "name_payee"): ("iban", "bic"),
    ("proposal", "cast_ballot"): ("member", "choice"),
    ("proposal", "declare_conflict"): ("member",),
}
"""What of what may be left out is filled in, because the command says nothing without it."""

USUAL: Final[Mapping[str, str]] = {
    "member": "helio", "defaulter": "nova", "person": "ada", "persons": "ada", "lead": "lea", "tier": "partner", "run": "atlas-1",
    "milestone": "half-way", "item": "h100-hour", "spending": "gpu-hours-1", "refund": "helio-1", "payment": "gpu-hours-1", "line": "compute",
    "evaluation": "arc-easy", "evaluations": "arc-easy", "finding": "leak-1", "lease": "helio-1", "supersedes": "atlas-0", "name": "Helio Labs Inc.",
    "owner": "Atlas Open-Model Consortium", "decision": "routine", "holder": "sunrise-capital", "ranking": "32b", "approves": "evaluation-suite",
    "id": "32b", "label": "32 billion parameters", "publishers": "directory", "subject": "helio",
}  # fmt: skip
"""What stands for a name, by the field."""

WIDTH: Final = 120
_AT: Final = datetime(2027, 1, 11, 9, tzinfo=UTC)
_DAY: Final = date(2027, 1, 29)

What = Annotated[str, Parameter(help="A process, with a command of its; or one of the other files; without any the list of them.")]
OfProcess = Annotated[str, Parameter(help="Which command of the process, like open-round.")]
Owed = Annotated[
    bool,
    Parameter(
        negative=(), show_default=False,
        help="With `statement`: of the rehearsal in the folder, as if everybody paid today what they owe.",
    ),
]  # fmt: skip


async def example(
    what: What = "", command: OfProcess = "", /, *, owed_: Annotated[Owed, Parameter(name="--owed")] = False, where: Where = HERE
) -> None:
    """Print a file to begin with: for a command (`consortium example round open-round`), or another that people write (`consortium example charter`).

    Amounts are in units. What begins with # and no space may be left out.
    """
    if not what:
        _list(as_json=where.json)
        return
    if owed_ and what != "statement":
        raise BadInput(f"--owed: {what} has no payers", "`consortium example statement --owed` pays what is owed in a rehearsal")
    text = await owed(where) if owed_ else _of_command(what, command) if command else _of_file(what)
    if where.json:
        say_json({"example": text})
    else:
        print(text, end="")


def of_command(process: str, command: type[Command]) -> str:
    """A file for a command of a process, for --from."""
    kind = str(command.model_fields["kind"].default)
    source = VALUES.get((process, kind))
    values = {name: value for name, value in _values(source).items() if name in command.model_fields} if source else {}
    also = ALSO.get((process, kind), ())
    wanted = [name for name, field in command.model_fields.items() if name not in values and (field.is_required() or name in also)]
    filled = values | {name: sample(typed_field(command.model_fields[name]), name) for name in wanted if name != "kind"}
    head = f"{process} {kind.replace('_', '-')}: {' '.join((command.__doc__ or '').split())}"
    note = (
        "What begins with # and no space may be left out."
        if command.model_fields.keys() > {"kind"}
        else "It has no fields: no file is needed."
    )
    written = (*_comment(head), *_comment(note), "", *_table(command, filled, "", Lines()))
    return re.sub(r"\n{3,}", "\n\n", "".join(f"{line}\n" for line in written))


def _of_command(process: str, name: str) -> str:
    if process not in CATALOG:
        raise BadInput(f"there is no process {process!r}", f"there are {', '.join(CATALOG)}")
    commands = {command.model_fields["kind"].default.replace("_", "-"): command for command in commands_of(CATALOG[process])}
    if name.replace("_", "-") not in commands:
        raise BadInput(f"there is no command {name!r} of {process}", f"there are {', '.join(commands)}")
    return of_command(process, commands[name.replace("_", "-")])


def _of_file(what: str) -> str:
    named = {Path(file).stem: file for file in FILES}
    if what in CATALOG and what not in named:
        raise BadInput(f"{what} has many commands: name one", f"`consortium {what} --help` lists them")
    if what not in named:
        raise BadInput(f"there is no example {what!r}", "`consortium example` lists what there is")
    return path_of(named[what]).read_text(encoding="utf-8")


def _list(*, as_json: bool) -> None:
    if as_json:
        commands = {
            name: [command.model_fields["kind"].default.replace("_", "-") for command in commands_of(each)]
            for name, each in CATALOG.items()
        }
        say_json({"files": {Path(file).stem: told for file, told in FILES.items()}, "commands": commands})
        return
    table(("consortium example …", "what it is"), [(Path(file).stem, told) for file, told in FILES.items()])
    say("", "And for every command: `consortium example round open-round`; `consortium round --help` lists those of rounds.")


def _values(file: str) -> Mapping[str, Any]:
    return toml_table(path_of(file).read_bytes(), most_bytes=LIMIT)


# ---------------------------------------------------------------- values


def sample(found: Typed, name: str) -> Any:
    """A value of a type, as it is written in a file; of a message what it cannot do without."""
    if choices := choices_of(found):
        return int(choices[0]) if choices[0].isdecimal() else choices[0]
    if kinds := kinds_of(found):
        kind, chosen = max(kinds.items(), key=lambda item: len(item[1].model_fields))
        return {"kind": kind} | _needed(chosen)
    if model := model_of(found):
        return _needed(model)
    if item := items_of(found):
        return [sample(item, name)]
    if entries := entries_of(found):
        return {} if entries[1].annotation is Any else {str(sample(entries[0], name)): sample(entries[1], name)}
    return _plain_sample(found, name)


def _needed(model: type[BaseModel]) -> dict[str, Any]:
    return {name: sample(typed_field(field), name) for name, field in model.model_fields.items() if field.is_required()}


def _plain_sample(found: Typed, name: str) -> Any:
    form = found.form
    match found.annotation:
        case type() as kind if kind is bool:
            return True
        case type() as kind if kind is int:
            return form.like if form else max(found.bound("ge") or 0, 1)
        case type() as kind if kind in {datetime, AwareDatetime}:
            return _AT
        case type() as kind if kind is date:
            return _DAY
        case _:
            return USUAL.get(name, form.like) if form and form.like in {"atlas-1", "Atlas"} else form.like if form else "text"


# ---------------------------------------------------------------- TOML


@dataclass
class Lines:
    """How lines are written: commented out, and without the meaning of what was explained before."""

    out: bool = False
    told: bool = False

    def of(self, line: str) -> str:
        """The line, commented out where that is wanted."""
        return f"#{line}" if self.out else line


def _table(model: type[BaseModel], values: Mapping[str, Any], place: str, lines: Lines) -> Iterator[str]:
    """A message's plain fields, then its tables."""
    if "kind" in values:
        yield lines.of(f"kind = {toml(values['kind'])}")
    names = [name for name in model.model_fields if name != "kind"]
    for name in names:
        found = typed_field(model.model_fields[name])
        if found.annotation is Charter:
            yield from _comment(f"{name}: a file of its own, by `--{name} {name}.toml`; `consortium example {name}` prints one.")
        elif not _is_table(found):
            yield from _plain_field(model, name, values, lines)
    for name in names:
        found = typed_field(model.model_fields[name])
        if _is_table(found) and found.annotation is not Charter:
            yield from _table_field(model, name, found, values, place, lines)


def _plain_field(model: type[BaseModel], name: str, values: Mapping[str, Any], lines: Lines) -> Iterator[str]:
    given = name in values
    if not lines.told:
        yield from _comment(meaning_of(model, name))
    if given or not lines.told:
        value = values[name] if given else _instead(model.model_fields[name], name)
        yield Lines(lines.out or not given).of(f"{name} = {toml(value)}")


def _instead(field: FieldInfo, name: str) -> Any:
    """What holds when a field is left out, where that can be written down; else a value that it could have."""
    found, value = typed_field(field), field.get_default(call_default_factory=True)
    if isinstance(value, int) and MONEY not in found.metadata:
        return value
    return str(value) if isinstance(value, str) and value else sample(found, name)


def _table_field(
    model: type[BaseModel], name: str, found: Typed, values: Mapping[str, Any], place: str, lines: Lines
) -> Iterator[str]:  # fmt: skip
    given, item = name in values, items_of(found)
    if lines.told and not given:
        return
    value = values[name] if given else sample(found, name)
    for number, each in enumerate(value if item else [value]):
        own = Lines(lines.out or not given, lines.told or number > 0)
        here = f"{place}{name}"
        yield ""
        if not own.told:
            yield from _comment(f"{here}: {docs_of(model).get(name) or _doc_of(item or found) or 'a table.'}")
        yield own.of(f"[[{here}]]" if item else f"[{here}]")
        yield from _inside(item or found, each, values, f"{here}.", own)


def _inside(found: Typed, value: Mapping[str, Any], around: Mapping[str, Any], place: str, lines: Lines) -> Iterator[str]:
    inner = model_of(found)
    if inner is None and isinstance(kind := value.get("kind"), str):
        inner = command_of(str(around.get("stream")), kind)  # what a motion orders
    if inner is not None:
        yield from _table(inner, value, place, lines)
    else:
        yield from (lines.of(f"{key} = {toml(each)}") for key, each in value.items())


def _is_table(found: Typed) -> bool:
    """Whether values of the type stand in tables of their own, and not on a line."""
    inner = items_of(found) or found
    return model_of(inner) is not None or entries_of(inner) is not None


def _doc_of(found: Typed) -> str:
    model = model_of(found)
    return " ".join((model.__doc__ or "").split()) if model else ""


def _comment(text: str) -> Sequence[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)]


def toml(value: Any) -> str:
    """A value as TOML, on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case dict():
            return f"{{ {', '.join(f'{key} = {toml(each)}' for key, each in value.items())} }}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
