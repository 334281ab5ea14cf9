"""Logs are JSON, one object a line, whoever wrote them, and hold no secret however deep it lies."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from activities import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_with_its_fields(stream: io.StringIO) -> None:
    structlog.get_logger().warning("notice.sent", recipient="zoë", text="two\nlines")
    (told,) = lines(stream)
    assert (told["event"], told["level"], told["recipient"], told["text"]) == ("notice.sent", "warning", "zoë", "two\nlines")
    assert told["timestamp"].endswith("Z")


def test_secrets_are_masked_at_every_depth(stream: io.StringIO) -> None:
    structlog.get_logger().info(
        "mail.tried",
        password="p1",
        server={"host": "mail", "token": "t1", "accounts": [{"email": "zoe@example.org"}]},
        url="smtp://zoe:p2@mail",
    )
    written = stream.getvalue()
    assert not any(secret in written for secret in ("p1", "t1", "zoe@example.org", "p2"))
    assert lines(stream)[0]["server"]["host"] == "mail"


def test_passwords_in_addresses_are_masked_in_exceptions_too(stream: io.StringIO) -> None:
    lost = ConnectionError("cannot connect to postgresql://worker:hunter2@db/consortium")
    structlog.get_logger().error("log.lost", exc_info=lost)
    assert "hunter2" not in stream.getvalue()
    assert "postgresql://worker:***@db" in lines(stream)[0]["exception"]


def test_what_libraries_say_is_json_too(stream: io.StringIO) -> None:
    logging.getLogger("asyncpg").warning('lost "%s" at %s', "it", "postgresql://worker:hunter2@db")
    logging.getLogger("asyncpg").info("nothing of note")
    logging.getLogger("httpx").error("failed", exc_info=ValueError("wrong"))
    first, second = lines(stream)
    assert (first["logger"], first["level"], first["event"]) == ("asyncpg", "warning", 'lost "it" at postgresql://worker:***@db')
    assert "ValueError: wrong" in second["exception"]
