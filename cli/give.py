"""Giving a command: checked here first, sent through Temporal, and its answer shown only once the log proves it."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from activities.log.display import lacks_currency, line_of
from activities.log.sending import NotAnswered, NotTaken, Sender
from activities.messages import Receipt
from cli import answers, signing
from cli.failures import BadInput, Broken, translated
from cli.options import By
from cli.output import Progress, say, say_json, unescaped
from cli.site import currency, log_of, row_of, settings, temporal
from domain.catalog import process_for
from eventstore.log import Log
from eventstore.wire import Malformed, canonical_command, parse
from settings import Settings

Result = Callable[[Log, Receipt], Awaitable[str]]
"""Says in words what a command led to beyond its own entry, and may wait a while for that. Raises `BadInput` when that was refused."""


async def give(by: By, stream: str, command: dict[str, Any], result: Result | None = None) -> None:
    """Signs a command, gives it, and shows what came of it. Raises a `Failure`, with the command's id once there is an answer."""
    command_id = _command_id(by.id)
    body = checked(stream, command)
    chosen = settings(by)
    signatory = signing.signatory(by, chosen)
    actor = signatory.person
    line = line_of(stream, actor, body, await _currency(chosen) if lacks_currency(stream, body) else "")
    client = await temporal(chosen)
    said = await signing.signed(signatory, chosen, stream, command_id, command)
    try:
        async with Progress("waiting for an answer"):
            sender = Sender(client, chosen.task_queue)
            sent = sender.send(stream, command_id, actor, command, signed=said.signed, signature=said.signature, line=line)
            receipt, refusal = await answers.answered(sent)
    except (NotAnswered, NotTaken) as error:
        failure = translated(error)
        failure.details["command_id"] = command_id
        raise failure from error
    answer = await answers.checked(chosen, answers.Given.of(stream, command_id, actor, body, said.signed, said.signature), receipt, refusal)
    await _look(by, chosen, answers.accepted(answer, command_id), answer.unseen, answer.unkept, result)


def checked(stream: str, command: dict[str, Any]) -> bytes:
    """The command's canonical form. Raises `BadInput` for what no rule need look at, commands inside of it included."""
    try:
        body = canonical_command(command)
        parse(process_for(stream), body)
        _check_inside(command, "")
    except (Malformed, ValueError) as error:
        raise BadInput(f"{command['kind']} on {stream}: {error}", "`--help` after the command shows its fields") from error
    return body


def _check_inside(value: Any, place: str) -> None:
    """Checks every command that a command carries for another stream, as a motion does."""
    match value:
        case {"stream": str(stream), "command": dict()}:
            for name in ("command", "otherwise"):
                if isinstance(inner := value.get(name), dict):
                    try:
                        parse(process_for(stream), canonical_command(inner))
                    except (Malformed, ValueError) as error:
                        raise Malformed(f"{place}{name}: {error}") from error
        case dict():
            for key, item in value.items():
                _check_inside(item, f"{place}{key}.")
        case list():
            for number, item in enumerate(value):
                _check_inside(item, f"{place}{number}.")
        case _:
            return


async def _currency(chosen: Settings) -> str:
    """The charter's currency, for words about amounts; empty where the log cannot be read from here: the command is given all the same."""
    try:
        async with log_of(chosen) as log:
            return await currency(log)
    except Exception:  # noqa: BLE001  only words depend on it
        return ""


def _command_id(text: str | None) -> str:
    if text is None:
        return new_id()
    try:
        if str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise BadInput(f"--id: {text[:80]!r} is not a UUID in its usual form, like {new_id()}")


def new_id() -> str:
    """A fresh UUID of version 7 (RFC 9562): later ones sort after earlier ones."""
    milliseconds, chance = time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10))
    number = milliseconds << 80 | 7 << 76 | (chance >> 68) << 64 | 2 << 62 | chance & (1 << 62) - 1
    return str(UUID(int=number))


async def _look(by: By, chosen: Settings, receipt: Receipt, unseen: str, unkept: str, result: Result | None) -> None:
    """Looks at the log for what came of an accepted command, and shows it.

    Raises `BadInput` for what was refused after the command was accepted. What keeps us from looking (the log may not be read from here,
    say) is told with the receipt: the command was answered.
    """
    row: dict[str, Any] | None = None
    words, seen = "", not unseen
    try:
        async with log_of(chosen) as log:
            await answers.require_shown(chosen, log, receipt)
            if result is not None:
                words = await awaited(result, log, receipt)
            row = await row_of(log, receipt.stream)
    except (Broken, BadInput):
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the command was answered, and whoever gave it must know
        unseen = translated(error).message
    _show(by, receipt, row, words, seen=seen, unseen=unseen, unkept=unkept)


async def awaited(result: Result, log: Log, receipt: Receipt) -> str:
    """What the command led to. A `BadInput` that this raises tells of the command itself, too, which was accepted."""
    try:
        async with Progress("waiting for what comes of it"):
            return await result(log, receipt)
    except BadInput as refused:
        refused.details |= {"position": receipt.position, "command_id": receipt.command_id}
        raise


def _show(by: By, receipt: Receipt, row: dict[str, Any] | None, result: str, *, seen: bool, unseen: str, unkept: str) -> None:
    if by.json:
        told = receipt.model_dump(mode="json", exclude={"entry", "proof"}) | {
            "outcome": "accepted",
            "seen": seen,
            "phase": row and row["phase"],
        }
        more = {name: words for name, words in (("came_of_it", result), ("unseen", unseen), ("unkept", unkept)) if words}
        say_json(told | {"line": row and unescaped(row["line"]), **more})
        return
    say(f"accepted at position {receipt.position}: {', '.join(receipt.events) or 'nothing changed'}")
    if result:
        say(result)
    if row is not None:
        say(f"{receipt.stream}, {row['phase']}: {unescaped(row['line'])}")
    if unseen:
        say(f"({'seen on the log, but not looked at further' if seen else 'not seen on the log'}: {unseen})")
    if unkept:
        say(f"(the receipt is not kept: {unkept})")
    say(f"id {receipt.command_id}")
