"""Every command that a person can give to a process, made from the messages of the catalog."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from cyclopts import App, Parameter
from pydantic.fields import FieldInfo
from rich.console import Console

from cli import charters, output, places
from cli.places import Folder, Json
from domain.catalog import CATALOG
from domain.charter import Charter
from domain.kernel import SERVICE, Command, Outcome, process_of
from domain.money import CEILING, parse_amount
from domain.process import Process
from eventstore.readmodels import Projector, standings
from eventstore.recorder import Recorder
from eventstore.wire import LIMIT, Malformed, canonical_command, parse

As = Annotated[str, Parameter(name="--as", help="Who gives the command: a person's handle.")]
Id = Annotated[str, Parameter(name="--id", help="The command's id; repeat a command with the id it was given with.")]
From = Annotated[
    str, Parameter(name="--from", help="A TOML or JSON file with fields of the command; - reads JSON from the standard input.")
]
BY_SYSTEM: Final = ("by the service.", "by a passed proposal.", "by the membership process.", "by a proposal that did not pass.")
"""How the docstrings of commands end that no person can give."""

# ---------------------------------------------------------------- sending


def give(stream: str, command: dict[str, Any], who: str, command_id: str, folder: Path | None, *, as_json: bool) -> None:
    """Sends a command, sees it on the log, and prints its receipt."""
    if who == SERVICE:
        raise ValueError("nobody gives commands as the service; name a person with --as")
    process = CATALOG[process_of(stream)]
    raw = canonical_command(json.dumps(command))
    parse(process, raw)
    _check_motion(command)
    command_id = command_id or str(uuid.uuid4())
    receipt = asyncio.run(_given(stream, command, who, command_id, folder))
    if as_json:
        output.as_json(receipt)
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"entry {receipt['position']}: {', '.join(receipt['events']) or 'nothing new'}  (id {command_id})")
    console.print(output.unescaped(receipt["line"]))


async def _given(stream: str, command: dict[str, Any], who: str, command_id: str, folder: Path | None) -> dict[str, Any]:
    sender = await places.sender(folder)
    with Console(stderr=True).status("waiting for the answer …"):
        receipt = await sender.send(stream, command_id, who, command)
    async with places.recorder(folder) as recorder:
        await _seen(recorder, command_id, receipt.hash)
        await Projector(recorder.log).catch_up()
        line = next((row["line"] for row in await standings(recorder.log) if row["stream"] == stream), "")
    return {**receipt.model_dump(mode="json"), "line": line}


async def _seen(recorder: Recorder, command_id: str, digest: str) -> None:
    """A command counts as accepted when its entry has been seen on the log."""
    found = await recorder.log.find([command_id])
    if not found or found[0].hash.hex() != digest:
        raise ValueError(f"the receipt of {command_id} names an entry that is not on this log; do not rely on it, and tell the auditor")


def _check_motion(command: dict[str, Any]) -> None:
    """A motion must be a command that its stream understands, or it could pass and never be carried out."""
    motion = command.get("motion")
    if not isinstance(motion, dict):
        return
    process = CATALOG.get(process_of(str(motion.get("stream"))))
    if process is None:
        raise ValueError(f"motion.stream: there is no process for {motion.get('stream')}")
    for name in ("command", "otherwise"):
        if motion.get(name) is not None:
            try:
                parse(process, canonical_command(json.dumps(motion[name])))
            except Malformed as error:
                raise ValueError(f"motion.{name}: {error}") from error


# ---------------------------------------------------------------- options out of fields


def kinds(process: Process[Any, Any, Any]) -> Iterator[type[Command]]:
    """The commands of a process that a person can give."""

    def walk(annotation: Any) -> Iterator[type[Command]]:
        if isinstance(annotation, type) and issubclass(annotation, Command):
            yield annotation
        for part in get_args(annotation):
            yield from walk(part)

    for kind in dict.fromkeys(walk(process.commands._type)):  # noqa: SLF001  pydantic shows the adapted type nowhere else
        text = " ".join((kind.__doc__ or "").split()).lower()
        if not issubclass(kind, Outcome) and not text.endswith(BY_SYSTEM):
            yield kind


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _parts(part)


def is_amount(field: FieldInfo) -> bool:
    """Whether a field is an amount of money, which people type in major units."""
    return any(getattr(part, "le", None) == CEILING for part in (*field.metadata, *_parts(field.annotation)))


def is_plain(field: FieldInfo) -> bool:
    """Whether a field fits an option: text, a number, a choice, or several of these separated by commas."""
    models = (part for part in _parts(field.annotation) if isinstance(part, type) and hasattr(part, "model_fields"))
    return not any(model is not Charter for model in models) and dict not in (get_origin(part) for part in _parts(field.annotation))


def choices(field: FieldInfo) -> tuple[str, ...]:
    """What a field may be, when it is one of a few."""
    for part in _parts(field.annotation):
        if isinstance(part, type) and issubclass(part, Enum):
            return tuple(str(member.value) for member in part)
        if get_origin(part) is Literal:
            return tuple(str(member) for member in get_args(part))
    return ()


def typed(name: str, field: FieldInfo, text: str, currency: str) -> Any:
    """What an option's text says. Raises `ValueError` with what to write."""
    parts = list(_parts(field.annotation))
    option = f"--{name.replace('_', '-')}"
    if Charter in parts:
        return charters.read(Path(text)).model_dump(mode="json")
    if is_amount(field):
        try:
            return parse_amount(text, currency)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from error
    if any(get_origin(part) in {tuple, frozenset} for part in parts):
        return [item for item in text.split(",") if item]
    if int in parts and str not in parts:
        if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 20:
            raise ValueError(f"{option}: {text[:40]!r} is not a whole number")
        return int(text)
    return text


def read_fields(source: str) -> dict[str, Any]:
    """The fields in a file. Raises `ValueError` for what is too large or not readable."""
    if not source:
        return {}
    try:
        content = sys.stdin.buffer.read(LIMIT * 20 + 1) if source == "-" else Path(source).read_bytes()
        if len(content) > LIMIT * 20:
            raise ValueError(f"{source} is larger than any command")
        text = content.decode()
        fields = tomllib.loads(text) if source.endswith(".toml") else json.loads(text)
    except OSError as error:
        raise ValueError(f"{source}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{source} is not readable: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{source} must hold the command's fields by name")
    return dict(json.loads(json.dumps(fields, default=str)))


# ---------------------------------------------------------------- the commands


def build(name: str, title: str) -> App:
    """The commands of one process, each with its options."""
    made = App(name=name, help=title)
    for kind in kinds(CATALOG[name]):
        word = str(kind.model_fields["kind"].default)
        made.command(_function(name, word, kind), name=word.replace("_", "-"), help=" ".join((kind.__doc__ or "").split()))
    return made


def _function(process: str, word: str, kind: type[Command]) -> Callable[..., None]:
    fields = {name: field for name, field in kind.model_fields.items() if name != "kind" and is_plain(field)}

    def run(slug: str, **options: Any) -> None:
        command = {"kind": word, **read_fields(options.pop("from_"))}
        who, command_id, folder, as_json = (options.pop(key) for key in ("as_", "id_", "folder", "json"))
        given = {name: text for name, text in options.items() if text is not None}
        money = any(is_amount(fields[name]) for name in given)
        currency = asyncio.run(_currency(folder)) if money else "USD"
        command |= {name: typed(name, fields[name], text, currency) for name, text in given.items()}
        give(f"{process}/{slug}", command, who, command_id, folder, as_json=as_json)

    run.__signature__ = _signature(fields, process)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in _signature(fields, process).parameters.values()}
    return run


def _signature(fields: Mapping[str, FieldInfo], process: str) -> inspect.Signature:
    option = inspect.Parameter.KEYWORD_ONLY
    slug = Annotated[str, Parameter(help=f"The name after {process}/.")]
    parameters = [inspect.Parameter("slug", inspect.Parameter.POSITIONAL_ONLY, annotation=slug)]
    for name, field in fields.items():
        annotation = Annotated[str | None, Parameter(name=f"--{name.replace('_', '-')}", help=_help(name, field))]
        parameters.append(inspect.Parameter(name, option, default=None, annotation=annotation))
    parameters += [
        inspect.Parameter("as_", option, annotation=As),
        inspect.Parameter("from_", option, default="", annotation=From),
        inspect.Parameter("id_", option, default="", annotation=Id),
        inspect.Parameter("folder", option, default=None, annotation=Folder),
        inspect.Parameter("json", option, default=False, annotation=Json),
    ]
    return inspect.Signature(parameters)


def _help(name: str, field: FieldInfo) -> str:
    hints = ["needed" if field.is_required() else "may be left out"]
    if is_amount(field):
        hints.append("in the charter's currency, like 1250000.50")
    elif some := choices(field):
        hints.append("one of " + ", ".join(some))
    elif any(get_origin(part) in {tuple, frozenset} for part in _parts(field.annotation)):
        hints.append("several, separated by commas")
    elif name.endswith(("_at", "until")):
        hints.append("with its offset, like 2026-12-01T12:00:00Z")
    return "; ".join(hints)


async def _currency(folder: Path | None) -> str:
    async with places.recorder(folder) as recorder:
        return (await recorder.replica()).register.charter.currency


consortium: Final = build("consortium", "Commands: the founding, the officers, the charter.")
member: Final = build("member", "Commands of memberships.")
proposal: Final = build("proposal", "Commands of proposals and votes.")
round_: Final = build("round", "Commands of funding rounds.")


def retry(stream: str, step: str, *, as_: As, id_: Id = "", folder: Folder = None, json: Json = False) -> None:
    """Try a failed step again. By the secretariat."""
    give(stream, {"kind": "retry_step", "step": step}, as_, id_, folder, as_json=json)


def waive(stream: str, step: str, *, reason: str, as_: As, id_: Id = "", folder: Folder = None, json: Json = False) -> None:
    """Live without a failed step. By the secretariat, with the reason."""
    give(stream, {"kind": "waive_step", "step": step, "reason": reason}, as_, id_, folder, as_json=json)
