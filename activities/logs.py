"""Logs: events with fields, one JSON object a line, without secrets and without repeats when a workflow replays."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

from domain.kernel import steerless

SECRET: Final = frozenset(
    {"api_key", "authorization", "email", "emails", "password", "private_key", "secret", "signature", "token", "webhook"}
)
"""Fields that are never written out, whoever logs them."""
LONGEST: Final = 20_000
"""The most characters of one field."""
_IN_ADDRESS: Final = re.compile(r"(://[^\s/?#@:]*:)[^\s@]+(@)")


def configure(stream: TextIO, *, level: int = logging.INFO) -> None:
    """Sends all logs of this process, the libraries' from warnings up among them, to a stream."""
    shared: list[Processor] = [
        _once,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redacted,
    ]
    renderer = structlog.processors.JSONRenderer(serializer=_line)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    theirs = logging.StreamHandler(stream)
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[theirs], level=logging.WARNING, force=True)


def _line(event: Any, **options: Any) -> str:
    """One line of JSON that steers no terminal: what others wrote may be in it."""
    return steerless(json.dumps(event, ensure_ascii=False, **options))


def redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Puts `***` in place of secrets and personal data, however deep they are, and of passwords in addresses."""
    for name, value in event.items():
        event[name] = "***" if name in SECRET else _redacted(value)
    return event


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return _IN_ADDRESS.sub(r"\1***\2", value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…")
        case Mapping():
            return {name: "***" if name in SECRET else _redacted(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            return value


def _once(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    workflow = sys.modules.get("temporalio.workflow")  # a program that never loaded it runs no workflow
    if workflow is not None and workflow.in_workflow() and workflow.unsafe.is_replaying_history_events():
        raise structlog.DropEvent
    return event
