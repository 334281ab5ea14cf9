"""The parts of an entry: what enters its hash and how, and what a reader can tell from whom parts are withheld."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest

from audit.reexecute import Reexecution
from eventstore.entries import (
    EMPTY,
    GENESIS,
    SALT_BYTES,
    Broken,
    Entry,
    Head,
    digests_of,
    hash_of,
    hash_with,
    part_digest,
    parts_of,
    random_salts,
    sealed,
    verify,
)
from eventstore.memory import MemoryLog
from eventstore.recorder import Recorder
from tests.sealing import flipped, resealed, salts
from tests.test_recorder import founding, grant

COMMAND = b'{"amount":50000000,"kind":"pledge","member":"ada"}'
FIRST, SECOND = b'{"amount":50000000,"kind":"pledge_made","member":"ada"}', b'{"kind":"round_filled","note":"},{"}'
BODY = b"[" + FIRST + b"," + SECOND + b"]"
REFUSAL = b'{"clause":"caps","message":"m","remedy":"r","rule":"pledge_above_cap"}'
AT = 1_795_000_000_000_000


def pledge(rules: str = "7", outcome: str = "accepted", body: bytes = BODY, previous: bytes = GENESIS, position: int = 1) -> Entry:
    unsealed = Entry(
        position, "round/atlas-1", f"id-{position}", "pledge", "Ærla", AT, rules, COMMAND, b"statement", b"signature", outcome, body, b"",
        previous, b"",
    )  # fmt: skip
    return resealed(unsealed)


# ---------------------------------------------------------------- the hash, from the words of docs/log-format.md


def number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "big")


REQUEST = number(50, 4) + number(9, 4) + number(9, 4) + COMMAND + b"statement" + b"signature"
TEXTS = [b"round/atlas-1", b"id-1", b"pledge", b"\xc3\x86rla", b"7", b"accepted"]


def framed(contents: bytes, texts: list[bytes]) -> bytes:
    lengths = b"".join(number(len(text), 2) for text in texts)
    return sha256(bytes(32) + number(1, 8) + number(AT, 8) + lengths + contents + b"".join(texts)).digest()


def test_an_entry_of_rules_7_has_the_hash_that_the_document_says() -> None:
    entry = pledge()
    salt = [entry.salts[:16], entry.salts[16:32], entry.salts[32:]]
    digests = [sha256(salt[0] + REQUEST).digest(), sha256(salt[1] + FIRST).digest(), sha256(salt[2] + SECOND).digest()]
    assert framed(number(3, 4) + b"".join(digests), TEXTS) == entry.hash
    assert entry.hash.hex() == "1f918f51ba3c50f3eb62caa4827cfa69b177ae4ab77db4b74c7980f77c7a5918"


def test_a_refusal_of_rules_7_has_the_hash_that_the_document_says() -> None:
    entry = pledge(outcome="refused", body=REFUSAL)
    digests = sha256(entry.salts[:16] + REQUEST).digest() + sha256(entry.salts[16:] + REFUSAL).digest()
    assert framed(number(2, 4) + digests, [*TEXTS[:5], b"refused"]) == entry.hash


def test_an_entry_of_older_rules_has_the_hash_that_it_always_had() -> None:
    entry = pledge(rules="6")
    assert framed(sha256(REQUEST).digest() + sha256(BODY).digest(), [*TEXTS[:4], b"6", b"accepted"]) == entry.hash
    assert (entry.salts, entry.hash.hex()) == (b"", "461098bd1a0aef220db7d1f330b197c99c08d1b5cd8349f85270a1aaaf1e1bb7")


def test_an_accepted_command_without_events_is_its_request_alone() -> None:
    entry = pledge(body=b"[]")
    assert parts_of(entry) == [REQUEST]
    assert framed(number(1, 4) + sha256(entry.salts + REQUEST).digest(), TEXTS) == entry.hash


@pytest.mark.parametrize("entry", [pledge(), pledge(outcome="refused", body=REFUSAL), pledge(rules="6")], ids=["7", "refused", "6"])
def test_one_bit_changed_anywhere_in_an_entry_is_found(entry: Entry) -> None:
    assert verify([entry]) == Head.of(entry)
    for name, value in entry._asdict().items():
        for other in _one_bit_off(value):
            assert isinstance(verify([entry._replace(**{name: other})]), Broken), (name, other)


def _one_bit_off(value: int | str | bytes) -> Iterator[Any]:
    match value:
        case int():
            yield from (value ^ 1 << bit for bit in range(62))
        case bytes():
            yield from (flipped(value, bit) for bit in range(8 * len(value)))
        case str():
            yield from filter(None, (_text(flipped(value.encode(), bit)) for bit in range(8 * len(value.encode()))))


def _text(value: bytes) -> str:
    """The text of these bytes; empty for what is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


# ---------------------------------------------------------------- what is no entry


def test_every_part_has_one_salt_and_entries_of_older_rules_have_none() -> None:
    whole = pledge()
    for wrong in (b"", whole.salts[:-16], whole.salts + bytes(16), whole.salts[:-1], whole.salts[16:] + whole.salts[:16]):
        assert isinstance(verify([whole._replace(salts=wrong)]), Broken)
        assert Reexecution().check([whole._replace(salts=wrong)]) is not None
    older = pledge(rules="6")
    assert verify([older._replace(salts=salts(2))]) == Broken(1, "was changed after it was recorded: rules 6 have no salts")


@pytest.mark.parametrize(
    "body",
    [b"[ " + FIRST + b"]", b"[" + FIRST + b", " + SECOND + b"]", b"[" + FIRST + b"] ", b"[ ]", b"[" + FIRST, b"{}", b"", b"[" * 100_000],
)
def test_a_body_with_something_between_its_events_is_no_entry(body: bytes) -> None:
    found = verify([pledge()._replace(body=body)])
    assert isinstance(found, Broken)
    assert found.reason.startswith("was changed after it was recorded: ")


def test_two_events_are_not_taken_for_one_nor_one_for_two() -> None:
    two = pledge()
    joined = part_digest(two.salts[16:32], FIRST + b"," + SECOND)
    hashed = hash_with(two, digests_of(two)[:32] + joined)
    assert isinstance(verify([two._replace(salts=two.salts[:32], hash=hashed)]), Broken)


def test_numbers_that_no_log_holds_are_found_and_stop_no_reader() -> None:
    for entry in (pledge()._replace(at=2**80), pledge()._replace(stream="x" * 70_000)):
        assert isinstance(verify([entry]), Broken)


def test_a_log_goes_on_by_rules_7_after_entries_of_rules_6() -> None:
    first = pledge(rules="6")
    second = pledge(previous=first.hash, position=2)
    assert verify([first, second]) == Head.of(second)
    third = pledge(rules="6", previous=second.hash, position=3)
    assert isinstance(verify([first, second, third]), Broken)


# ---------------------------------------------------------------- a reader from whom parts are withheld


def test_a_reader_from_whom_parts_are_withheld_verifies_what_is_shown_and_the_chain() -> None:
    entry = pledge()
    shown = entry._replace(command=b"", signed=b"", signature=b"", body=b"", salts=b"")
    withheld = digests_of(entry)
    digests = withheld[:64] + part_digest(entry.salts[32:], SECOND)
    assert hash_with(shown, digests) == entry.hash
    assert hash_with(shown, withheld[:64] + part_digest(entry.salts[32:], SECOND + b" ")) != entry.hash


def test_a_withheld_amount_cannot_be_found_by_guessing() -> None:
    entry = pledge()
    digest = digests_of(entry)[32:64]
    assert digest not in {sha256(FIRST).digest(), part_digest(b"", FIRST), part_digest(bytes(16), FIRST)}
    assert digest not in {part_digest(entry.salts[0:16], FIRST), part_digest(entry.salts[32:], FIRST)}, "salts of other parts do not help"
    assert digest == part_digest(entry.salts[16:32], FIRST)


def each_salt(together: bytes) -> list[bytes]:
    """Salts one by one, as many as lie there one after the other."""
    return [together[at : at + SALT_BYTES] for at in range(0, len(together), SALT_BYTES)]


async def test_every_part_that_is_recorded_has_a_salt_of_its_own() -> None:
    recorder = Recorder(MemoryLog())
    for submission in (founding(), grant(1), grant(2)):
        await recorder.record(submission)
    entries = await recorder.log.read(0)
    made = [salt for entry in entries for salt in each_salt(entry.salts)]
    assert len(made) == len(set(made)) == sum(len(parts_of(entry)) for entry in entries)
    assert not isinstance(verify(entries, EMPTY), Broken)
    assert Reexecution().check(entries) is None
    await recorder.close()


async def test_a_recorder_uses_the_salts_that_it_is_given() -> None:
    recorder = Recorder(MemoryLog(), salts=salts)
    await recorder.record(founding())
    (entry,) = await recorder.log.read(0)
    assert entry.salts == salts(len(parts_of(entry)))
    assert len(random_salts(3)) == 48
    await recorder.close()


def test_an_entry_is_sealed_with_as_many_salts_as_it_has_parts_or_not_at_all() -> None:
    columns = (1, "round/a", "c", "pledge", "ada", 5, "7", b"{}", b"", b"", "accepted", b"[]", GENESIS)
    assert hash_of(sealed(*columns, salts(1))) == sealed(*columns, salts(1)).hash
    with pytest.raises(ValueError, match="there are 0 bytes of salts for 1 parts"):
        sealed(*columns)


def test_no_two_parts_have_one_salt_whoever_makes_them() -> None:
    reader, writer = os.pipe()
    ours = random_salts(300)
    if not (child := os.fork()):
        os.write(writer, random_salts(500))
        os._exit(0)
    ours += random_salts(500) + b"".join(map(random_salts, range(1, 40)))
    os.waitpid(child, 0)
    with ThreadPoolExecutor() as pool:
        others = [os.read(reader, 8_000), *pool.map(random_salts, [20] * 50)]
    made = b"".join([ours, *others])
    found = each_salt(made)
    assert len(found) == len(set(found)) == 300 + 500 + 780 + 500 + 1_000
