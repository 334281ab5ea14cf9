"""Every command that a person can give, of every process, as a subcommand made from its message.

`cli.processes.round` is the app of the process `round`, and so on for the whole catalog.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from cli.amounts import in_minor_units, messages
from cli.failures import BadInput, Unreachable
from cli.fields import Option, inside_of, options_of, span
from cli.files import read_table
from cli.give import give
from cli.options import EXIT_CODES, MINE, By
from cli.requests import filled
from cli.site import currency, log_of, now_of, settings
from domain.catalog import CATALOG
from domain.kernel import Command
from domain.process import Process, Speaker, speaker_of

_FROM: Final = Parameter(
    name="--from",
    help='A TOML or JSON file with more fields; amounts as text in units, like "1,250,000.50 USD"; - is stdin.',
    allow_leading_hyphen=True,
)
_ORDER: Final = Parameter(
    name="--order",
    help='What it commands once passed, as the command line that gives it: "round reduce-goal vega --goal 8000000 --minimum 6000000".',
)


def __getattr__(name: str) -> App:
    if name not in CATALOG:
        raise AttributeError(name)
    return app_of(CATALOG[name])


def app_of(process: Process[Any, Any, Any]) -> App:
    """The subcommands of a process, in the order of its messages."""
    app = App(name=process.name, group_commands="Commands")
    for number, command in enumerate(commands_of(process)):
        name = command.model_fields["kind"].default.replace("_", "-")
        app.command(
            _giving(process.name, command),
            name=name,
            help=inspect.getdoc(command),
            help_epilogue=_epilogue(process.name, command),
            sort_key=number,
        )
    return app


def _epilogue(process: str, command: type[Command]) -> str:
    """What stands below the options: what is inside of them, and where to see all of it filled in."""
    name = command.model_fields["kind"].default.replace("_", "-")
    inside = "".join(f"\n  {place}: {meaning}" for place, meaning in inside_of(command))
    return (
        f"What is inside (in a file for --from, or as JSON):{inside}\n\n" if inside else ""
    ) + f"`consortium example {process} {name}` prints a file for --from, filled in.\n\n{EXIT_CODES}"


def commands_of(process: Process[Any, Any, Any]) -> Sequence[type[Command]]:
    """The commands of a process that persons give: no outcomes, and none that the system gives itself."""
    return tuple(command for command in messages_of(process) if speaker_of(command) in {Speaker.PERSON, Speaker.EITHER})


def messages_of(process: Process[Any, Any, Any]) -> Sequence[type[Command]]:
    """Every command of a process, in the order of its catalog."""
    return tuple(command for command in messages(process.commands.core_schema) if issubclass(command, Command))


def _giving(process: str, command: type[Command]) -> Callable[..., Awaitable[None]]:
    """The function of a subcommand, with a parameter for each field of the command."""

    async def giving(name: str, /, **typed: Any) -> None:
        by = typed.get("by", MINE)
        stream = stream_of(process, name)
        await give(by, stream, await filled(command, stream, await said(command, typed, by), by))

    who = inspect.Parameter("by", inspect.Parameter.KEYWORD_ONLY, default=MINE, annotation=By)
    giving.__signature__ = inspect.Signature([*parameters(process, command), who])  # type: ignore[attr-defined]
    giving.__annotations__ = {}
    return giving


async def said(command: type[Command], typed: Mapping[str, Any], by: By) -> dict[str, Any]:
    """The command that options, a file and an order say, as JSON values. Raises `BadInput`, and `Unreachable` where a currency is to be known."""
    source, order = typed.get("from_"), typed.get("order_")
    given = {option: typed[option.field] for option in options_of(command) if typed.get(option.field) not in {None, ()}}
    fields = {"kind": command.model_fields["kind"].default} | (await _from(source, command, by) if source else {})
    fields |= await _read(given, fields, by)
    if order is None:
        return fields
    if "motion" in fields:
        raise BadInput("--order: the motion is given in another way too", "leave one of them out")
    from cli.orders import motion  # an order is read by the parsers that this module makes

    return fields | {"motion": await motion(order, by)}


def parameters(process: str, command: type[Command]) -> Iterator[inspect.Parameter]:
    """What is typed for a command of a process: which stream, an option for each field, a file with more of them; and of a motion its order."""
    yield inspect.Parameter(
        "stream_", inspect.Parameter.POSITIONAL_ONLY,
        annotation=Annotated[str, Parameter(name=process.upper(), help=f"Which {process}, like atlas-1.")],
    )  # fmt: skip
    for option in options_of(command):
        reading = option.reading
        shown = Parameter(
            name=option.name, help=option.help, choices=reading.choices or None, negative=(), consume_multiple=reading.many, show_default=False,
            allow_leading_hyphen=option.field.endswith("proof"),  # a signature's armour begins with hyphens
        )  # fmt: skip
        yield inspect.Parameter(
            option.field, inspect.Parameter.KEYWORD_ONLY, default=() if reading.many else None,
            annotation=Annotated[tuple[str, ...], shown] if reading.many else Annotated[str | None, shown],
        )  # fmt: skip
    if "motion" in command.model_fields:
        yield inspect.Parameter("order_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, _ORDER])
    yield inspect.Parameter("from_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Path | None, _FROM])


def stream_of(process: str, name: str) -> str:
    """The stream that is meant by a name, with or without its process."""
    return name if name.startswith(f"{process}/") else f"{process}/{name}"


async def _from(source: Path, command: type[Command], by: By) -> dict[str, Any]:
    kind = command.model_fields["kind"].default
    fields = read_table(source)
    if fields.setdefault("kind", kind) != kind:
        raise BadInput(f"{source}: is a {fields['kind']!r}, not a {kind!r}")
    try:
        return in_minor_units(command, fields, await _currency_if_known(by))
    except BadInput as error:
        raise BadInput(f"{source}: {error.message}", error.remedy) from error


async def _currency_if_known(by: By) -> str:
    try:
        async with log_of(settings(by)) as log:
            return await currency(log)
    except Unreachable:
        return ""


async def _read(said: Mapping[Option, Any], fields: Mapping[str, Any], by: By) -> dict[str, Any]:
    """The typed options as JSON values."""
    money = ""
    said = await _dated(said, by)
    if any(option.reading.money for option in said):
        named = next((text for option, text in said.items() if option.field == "currency"), fields.get("currency"))
        money = str(named) if named else await _charter_currency(by)
    read: dict[str, Any] = {}
    for option, typed in said.items():
        try:
            reading = option.reading
            read[option.field] = [reading.read(text, money) for text in typed] if reading.many else reading.read(typed, money)
        except ValueError as error:
            raise BadInput(f"{option.name}: {error}") from error
    return read


async def _dated(said: Mapping[Option, Any], by: By) -> Mapping[Option, Any]:
    """The typed options, those that tell an instant by its distance from the log's time as that instant."""
    distances = {option: distance for option, text in said.items() if option.reading.at and (distance := span(text)) is not None}
    if not distances:
        return said
    chosen = settings(by)
    async with log_of(chosen) as log:
        now = await now_of(log, chosen)
    return {**said, **{option: (now + distance).isoformat(timespec="seconds") for option, distance in distances.items()}}


async def _charter_currency(by: By) -> str:
    try:
        async with log_of(settings(by)) as log:
            known = await currency(log)
    except Unreachable as error:
        raise Unreachable(
            f"the charter's currency is not known: {error.message}",
            "name the log with --folder or CONSORTIUM_LOG, or give amounts with their currency by --from",
        ) from error  # fmt: skip
    if not known:
        raise BadInput("the consortium has not been founded yet: there is no currency for amounts", "found it first")
    return known
