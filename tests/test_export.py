"""A log as a file: every column as it was, and no second way to write it."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.entries import GENESIS, Entry, sealed
from eventstore.export import BadLine, entry_of, line_of
from tests.sealing import salts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    Entry, st.integers(1, 2**63 - 1), texts, texts, texts, texts, st.integers(-(2**63), 2**63 - 1), texts, st.binary(max_size=40),
    st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(("accepted", "refused")), st.binary(max_size=40), st.binary(max_size=40),
    st.just(GENESIS), st.binary(min_size=32, max_size=32),
)  # fmt: skip
ONE = sealed(1, "round/a", "c", "pledge", "ada", 5, "7", b"{}", b"", b"s", "accepted", b"[]", GENESIS, salts(1))
OLDER = sealed(1, "round/a", "c", "pledge", "ada", 5, "2", b"{}", b"", b"s", "accepted", b"[]", GENESIS)
OLDER_LINE = (
    b'{"position":1,"stream":"round/a","command_id":"c","kind":"pledge","actor":"ada","at":5,"rules":"2","command":"e30=","signed":"",'
    b'"signature":"cw==","outcome":"accepted","body":"W10=","previous":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",'
    b'"hash":"/8xAR2PV40NJEUa0uJC8zpFdBlSkMPfqHiLLrZv/7EE="}\n'
)
"""As releases before salts wrote it."""


@given(entries)
def test_an_entry_is_read_as_it_was(entry: Entry) -> None:
    assert entry_of(line_of(entry)) == entry


def test_a_line_is_an_object_with_the_columns_in_order_and_bytes_in_base64() -> None:
    told = json.loads(line_of(ONE))
    assert tuple(told) == Entry._fields
    assert base64.b64decode(told["command"], validate=True) == b"{}"


def test_an_entry_of_older_rules_has_the_line_that_releases_before_salts_wrote_and_is_read_from_it() -> None:
    assert line_of(OLDER) == OLDER_LINE
    assert entry_of(OLDER_LINE) == OLDER
    with pytest.raises(BadLine, match="is not written as exports are"):
        entry_of(OLDER_LINE.replace(b'"previous"', b'"salts":"","previous"'))


@given(entries, st.data())
def test_no_byte_of_a_line_is_without_meaning(entry: Entry, data: st.DataObject) -> None:
    line = bytearray(line_of(entry))
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(BadLine):
        assert entry_of(bytes(line)) != entry


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (line_of(ONE)[:-1], "is cut off"),
        (line_of(ONE).replace(b'"c"', b'"\\u0063"'), "is not written as exports are"),
        (line_of(ONE).replace(b"{", b'{"more":1,', 1), "unknown field `more`"),
        (line_of(ONE).replace(b'"c"', b'"\xff"'), "cannot be read"),
        (b"\n", "cannot be read"),
    ],
)
def test_what_no_export_wrote_is_damaged(line: bytes, said: str) -> None:
    with pytest.raises(BadLine, match=said):
        entry_of(line)
