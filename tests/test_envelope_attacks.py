"""Envelopes and exports that somebody who knows their structure changed: nothing is taken, nothing crashes, nothing is recorded.

Every change is of a part that has a meaning: a field of a statement, of a signature, of a tag, of an entry. Most are signed anew by
whoever made them, or leave the signature as it was, so that they are not turned away before anybody looks at signatures. One seed is one series: a
failure names it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from audit.alone import examined
from audit.auditing import Audit
from domain.kernel import LOG, SERVICE, derived_id
from eventstore.answers import NotYet, SameIdOtherCommand
from eventstore.authority import NotOwed, Unauthorised
from eventstore.entries import Entry, Submission, encode_json, hash_of, parts_of
from eventstore.export import line_of
from eventstore.wire import Malformed
from signatures import sshsig, wire
from signatures.sshsig import Purpose
from tests import test_audit
from tests.sealing import flipped_somewhere, salts
from tests.signers import Signers
from tests.test_audit import Kept
from tests.test_authority import ATLAS, GRANT, ROUND, Site, owed
from transparency.strict import Invalid

ENVELOPES: Final = 100_000
EXPORTS: Final = 10_000
LINES: Final = 30
"""Entries of an export that is changed."""
SHORT: Final = 50
"""In the short suite one of so many."""
REACHING: Final = 0.3
"""The least share that comes as far as the arithmetic of a signature."""
TURNED_AWAY: Final = (Unauthorised, Malformed, NotOwed, NotYet, SameIdOtherCommand)
TEXTS: Final = (
    "",
    "sam",
    "tess",
    "eve",
    SERVICE,
    LOG,
    "consortium/other",
    ATLAS,
    "round/vega",
    "\x00",
    "é",
    "x" * 5_000,
    "2199-01-01T00:00:00Z",
    "0" * 64,
)


class Arithmetic:
    """Counts how often the arithmetic of a signature is asked, and asks it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        real = sshsig._check_value

        def counted(*arguments: Any) -> None:
            self.asked += 1
            real(*arguments)

        monkeypatch.setattr(sshsig, "_check_value", counted)


@pytest.fixture
def arithmetic(monkeypatch: pytest.MonkeyPatch) -> Arithmetic:
    return Arithmetic(monkeypatch)


# ---------------------------------------------------------------- what is changed


def other_bytes(luck: Random, data: bytes) -> bytes:
    """Bytes that differ: a bit, a byte more or less, a part twice, a part gone."""
    at = luck.randrange(len(data) + 1)
    match luck.randrange(5):
        case 0 if data:
            return flipped_somewhere(luck, data)
        case 1:
            return data[:at] + luck.randbytes(1 + luck.randrange(4)) + data[at:]
        case 2 if data:
            return data[: at % len(data)]
        case 3 if data:
            end = at + 1 + luck.randrange(8)
            return data[:at] + data[at:end] * 2 + data[end:] if data[at:end] else data + b"\x00"
        case _:
            return data + luck.randbytes(1)


def other_value(luck: Random, value: Any) -> Any:
    """Another JSON value in the place of one: mostly of the same kind."""
    while True:
        match value:
            case dict() if value and luck.random() < 0.9:
                name = luck.choice(sorted(value))
                found: Any = (
                    {**value, name: other_value(luck, value[name])}
                    if luck.random() < 0.8
                    else {k: v for k, v in value.items() if k != name}
                )
            case int() if not isinstance(value, bool):
                found = luck.choice((value + 1, value - 1, 0, -1, 2**53, 2**63))
            case str():
                found = luck.choice((*TEXTS, value[::-1], value + "x", value[:-1], value.upper()))
            case _:
                found = luck.choice((None, True, 1, "x", [], {}, [value], {"kind": value}))
        if found != value:
            return found


def other_json(luck: Random, data: bytes) -> bytes:
    """What a statement or a command would be with another field: in canonical form, mostly."""
    said = other_value(luck, json.loads(data))
    written: bytes = encode_json(said)
    match luck.randrange(12):
        case 0:
            return json.dumps(said).encode()
        case 1:
            return written + b" "
        case 2 if isinstance(said, dict) and said:
            return written[:-1] + b"," + written[1:]
        case _:
            return written


FIELDS: Final = ("beginning", "version", "key", "namespace", "reserved", "hash", "inner")


def other_signature(luck: Random, signature: bytes, keys: Sequence[bytes]) -> bytes:
    """A signature of which one field is another, encoded as it should be; or whose bytes are others."""
    if luck.random() < 0.2:
        return other_bytes(luck, signature)
    reader = wire.Reader(signature)
    parts: dict[str, bytes] = {"beginning": reader.take(6, ""), "version": reader.take(4, "")}
    parts |= {name: reader.string(10_000, "") for name in FIELDS[2:]}
    match luck.randrange(6):
        case 0:
            parts["key"] = luck.choice(keys)
        case 1:
            parts["namespace"] = luck.choice((*Purpose, "", "file", "git")).encode()
        case 2:
            parts["hash"] = luck.choice((b"sha256", b"sha1", b"sha512\0"))
        case 3:
            name = luck.choice(FIELDS)
            parts[name] = other_bytes(luck, parts[name])
        case _:
            inner = wire.Reader(parts["inner"])
            algorithm, value = inner.string(100, ""), inner.string(1_000, "")
            parts["inner"] = wire.strings(
                [algorithm, luck.choice((flipped_somewhere(luck, value), luck.randbytes(len(value)), bytes(len(value))))]
            )
    return parts["beginning"] + parts["version"] + wire.strings([parts[name] for name in FIELDS[2:]])


def signed_by(signers: Signers, name: str, signed: bytes, signature: bytes) -> bytes:
    """A true signature by somebody else, for the purpose that the first was for."""
    purpose = Purpose(sshsig.parse_blob(signature).namespace)
    return sshsig.unarmour(signers.key(name).sign(signed, purpose))


def changed(luck: Random, given: Submission, others: Sequence[Submission], signers: Signers) -> Submission:
    """An envelope that says something else than it did, or by whom."""
    rogues = ("eve", "rogue", "bo" if given.actor != "bo" else "sam", LOG if given.actor != SERVICE else "sam")
    match luck.randrange(10) if given.signature else luck.choice((6, 7, 8)):
        case 0 | 1:  # other words under the same signature
            signed = other_json(luck, given.signed)
            return given._replace(signed=signed, command=_command_in(signed, given))
        case 2:  # other words, signed by a rogue
            signed = other_json(luck, given.signed)
            return given._replace(
                signed=signed,
                command=_command_in(signed, given),
                signature=signed_by(signers, luck.choice(rogues), signed, given.signature),
            )
        case 3:  # the same words, signed by a rogue
            return given._replace(signature=signed_by(signers, luck.choice(rogues), given.signed, given.signature))
        case 4 | 5:
            blobs = [signers.key(name).public_key.blob for name in rogues]
            return given._replace(signature=other_signature(luck, given.signature, blobs))
        case 6:  # another command than was signed
            return given._replace(command=other_json(luck, given.command))
        case 7:
            return given._replace(signed=other_bytes(luck, given.signed))
        case 8:  # somebody else
            return given._replace(actor=luck.choice([each for each in ("sam", "tess", "bo", "eve", SERVICE, "") if each != given.actor]))
        case _:  # what belongs to another envelope
            other = luck.choice([each for each in others if each != given])
            signed, signature = luck.choice(
                ((other.signed, given.signature), (given.signed, other.signature), (other.signed, other.signature))
            )
            return given._replace(signed=signed, signature=signature)


def _command_in(signed: bytes, given: Submission) -> bytes:
    """The command that a statement holds, as who forges it would give it beside."""
    try:
        said = json.loads(signed)
        return encode_json(said["command"]) if given.actor != SERVICE else given.command
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError):
        return given.command


# ---------------------------------------------------------------- envelopes


@pytest_asyncio.fixture
async def site() -> Site:
    site = Site()
    await site.found()
    return site


async def test_no_changed_envelope_is_taken_or_recorded(site: Site, arithmetic: Arithmetic, long: bool) -> None:  # noqa: FBT001
    key, attempt = await owed(site)
    second = site.signers.request("sam", site.first, "sam's second")
    true: Sequence[Submission] = (
        site.signed(ATLAS, "sam", GRANT), site.signed(ATLAS, "bo", {**GRANT, "person": "cyd"}), site.signed(ATLAS, "sam", {"kind": "enrol_key", **second}),
        site.tagged(ROUND, {"kind": "step_done", "step": key}, attempt),
    )  # fmt: skip
    luck, number, before, ends = Random(15), ENVELOPES if long else ENVELOPES // SHORT, await site.log.head(), Counter[str]()
    reaching = 0
    for at in range(number):
        given, asked = luck.choice(true), arithmetic.asked
        forged = changed(luck, given, true, site.signers)
        if forged == given:
            continue
        try:
            recorded = await site.recorder.record(forged)
        except TURNED_AWAY as error:
            ends[type(error).__name__] += 1
        else:
            ends[recorded.refusal.rule if recorded.refusal else "taken"] += 1
            assert recorded.refusal is not None, (at, forged)
            assert recorded.entry.position > (await site.log.head()).position, (at, forged)
        reaching += arithmetic.asked > asked
    assert await site.log.head() == before
    assert reaching >= REACHING * number, (reaching, ends)
    for given in true:
        assert (await site.recorder.record(given)).entry.position > before.position, "what was not changed is taken"
    await site.recorder.close()


# ---------------------------------------------------------------- exports

kept = test_audit.kept


def changed_entry(luck: Random, entry: Entry, signers: Signers) -> Entry:
    """An entry in which a column that has a meaning is another, sealed as a recorder would."""
    given = Submission(entry.stream, entry.command_id, entry.actor, entry.command, entry.signed, entry.signature)
    match luck.randrange(12):
        case 0:
            found = entry._replace(at=entry.at + luck.choice((-1, 1, 10**6, 10**13, -(10**15))))
        case 1:
            found = entry._replace(body=other_json(luck, entry.body))
        case 2:
            found = entry._replace(outcome=luck.choice(("refused", "deferred", "accepted")), body=luck.choice((b"[]", b"{}", entry.body)))
        case 3:
            name = luck.choice(("stream", "kind", "actor", "command_id", "rules"))
            found = entry._replace(**{name: luck.choice((*TEXTS[:-2], "6", "8", derived_id("x")))})  # type: ignore[arg-type]
        case _:
            forged = changed(luck, given, (given, given._replace(signed=b"{}", signature=b"")), signers)
            found = entry._replace(actor=forged.actor, command=forged.command, signed=forged.signed, signature=forged.signature)
    return sealed_anew(found)


def sealed_anew(entry: Entry) -> Entry:
    """With the hash of what it holds, and as many salts as it has parts; as it is where it has none."""
    try:
        whole = entry if len(parts_of(entry)) * 16 == len(entry.salts) else entry._replace(salts=salts(len(parts_of(entry))))
        return whole._replace(hash=hash_of(whole))
    except ValueError:
        return entry


def changed_export(luck: Random, log: Kept, true: bytes) -> tuple[bytes, bytes, Entry | None]:
    """An export and its checkpoint after a change: of an entry and all that follow, of a line, of the order, of the checkpoint; and the changed entry."""
    entries, sealed, found = list(log.entries), true, None
    signed = [number for number, entry in enumerate(entries) if entry.signature]
    at = luck.choice(signed) if luck.random() < 0.9 else luck.randrange(len(entries))
    match luck.randrange(40):
        case 0:
            del entries[at]
        case 1:
            entries.insert(at, entries[luck.randrange(len(entries))])
        case 2:
            sealed = other_bytes(luck, true)
        case 3:
            sealed = log.sealed(by=luck.choice(("eve", "sam")))
        case 4:
            lines = [line_of(entry) for entry in entries]
            lines[at] = other_bytes(luck, lines[at])
            return b"".join(lines), sealed, None
        case _:
            found = entries[at] = changed_entry(luck, entries[at], log.signers)
            for later in range(at + 1, len(entries)):
                entries[later] = sealed_anew(entries[later]._replace(previous=entries[later - 1].hash))
    return b"".join(map(line_of, entries)), sealed, found


def verdict(file: Path, sealed: bytes) -> str:
    """Why an export is not taken; empty where it is."""
    try:
        audit = Audit(file, sealed, 1)
    except Invalid:
        return "no checkpoint"
    for _ in audit.steps():
        pass
    return "" if audit.broken is None else audit.broken.reason


def test_no_changed_export_is_taken_for_what_the_log_signed(kept: Kept, arithmetic: Arithmetic, tmp_path: Path, long: bool) -> None:  # noqa: FBT001
    beginning, file = Kept(kept.entries[:LINES], kept.signers), tmp_path / "atlas.jsonl"
    sealed = beginning.sealed()
    true = b"".join(map(line_of, beginning.entries))
    file.write_bytes(true)
    assert verdict(file, sealed) == ""
    luck, number, reaching = Random(51), EXPORTS if long else EXPORTS // SHORT, 0
    for at in range(number):
        export, checkpoint, entry = changed_export(luck, beginning, sealed)
        if (export, checkpoint) == (true, sealed):
            continue
        file.write_bytes(export)
        assert verdict(file, checkpoint), (at, entry)
        asked = arithmetic.asked
        if entry is not None:
            examined(entry)
        reaching += arithmetic.asked > asked
    assert reaching >= REACHING * number, reaching
