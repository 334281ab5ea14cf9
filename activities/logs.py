"""Logs: events with fields, one JSON object a line, without secrets and without repeats when a workflow replays."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

SECRET: Final = frozenset(
    {"api_key", "authorization", "email", "emails", "password", "private_key", "secret", "signature", "token", "webhook"}
)
"""Fields that are never written out, whoever logs them."""


def configure(stream: TextIO, *, level: int = logging.INFO) -> None:
    """Sends all logs of this process, the libraries' from warnings up among them, to a stream."""
    structlog.configure(
        processors=[
            _once,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redacted,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        stream=stream, level=logging.WARNING, force=True, format='{"level": "%(levelname)s", "logger": "%(name)s", "event": %(message)r}'
    )


def redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Puts `***` in place of secrets and personal data."""
    for name in event.keys() & SECRET:
        event[name] = "***"
    return event


def _once(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    workflow = sys.modules.get("temporalio.workflow")  # a program that never loaded it runs no workflow
    if workflow is not None and workflow.in_workflow() and workflow.unsafe.is_replaying_history_events():
        raise structlog.DropEvent
    return event
