"""Nothing but the signature that a key made is accepted: mutations that know the form, most of which reach the arithmetic, and `ssh-keygen` beside."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from nacl.bindings import crypto_core_ed25519_is_valid_point

from signatures import keys, sshsig, wire
from signatures.errors import MalformedSignature, Unacceptable, WrongSignature
from signatures.keys import PublicKey
from signatures.sshsig import Asserted, Flags, Hash, Purpose, Signature, Touched
from tests.authenticator import ORIGIN, WEBAUTHN, Judge, Pen, client_data, needs_ssh_keygen, pen, pens
from tests.sealing import flipped_somewhere

MESSAGES: Final = (b'{"amount":500000}', b'{"amount":500001}', b"")
PENS: Final = (*pens().values(), pen(keys.Algorithm.ED25519, luck="second"), pen(keys.Algorithm.P256, luck="second"))
REACHES: Final = 0.3
"""Of the mutations, how many have to be judged by what was signed and not by their form."""


@dataclass(frozen=True)
class Given:
    """A signature as it is shown, with what it is said to be over."""

    by: Pen
    message: bytes
    purpose: Purpose
    signature: Signature


Luck = random.Random
Mutation = Callable[[Luck, Given, Given], Given | bytes]
"""Of a good signature, with the help of another good one: a changed one, or bytes that are none any more."""


def good(luck: Luck) -> Given:
    """Something that somebody signed."""
    return luck.choice(_signed())


@cache
def _signed() -> Sequence[Given]:
    """All that everybody can have signed."""
    return [
        Given(by, message, purpose, by.sign(message, purpose, hash_name))
        for by, message, purpose, hash_name in product(PENS, MESSAGES, Purpose, Hash)
    ]


# ---------------------------------------------------------------- mutations


def another_message(luck: Luck, given: Given, _: Given) -> Given:
    return replace(
        given, message=flipped_somewhere(luck, given.message) if given.message and luck.random() < 0.7 else given.message + b"\0"
    )


def another_purpose(luck: Luck, given: Given, _: Given) -> Given:
    purpose = luck.choice([each for each in Purpose if each != given.purpose])
    return replace(given, purpose=purpose, signature=replace(given.signature, namespace=purpose.value))


def another_hash(_: Luck, given: Given, __: Given) -> Given:
    other = Hash.SHA256 if given.signature.hash is Hash.SHA512 else Hash.SHA512
    return replace(given, signature=replace(given.signature, hash=other))


def another_signer(_: Luck, given: Given, other: Given) -> Given:
    """Said to be by somebody else, whose key is known."""
    return replace(given, by=other.by, signature=replace(given.signature, key_blob=other.by.public_key.blob))


def another_signature(_: Luck, given: Given, other: Given) -> Given:
    """With what somebody else signed, or the same person something else."""
    return replace(given, signature=replace(given.signature, form=other.signature.form, algorithm=other.signature.algorithm))


def another_value(luck: Luck, given: Given, _: Given) -> Given:
    return _form(given, value=flipped_somewhere(luck, given.signature.form.value))


def made_up_value(luck: Luck, given: Given, _: Given) -> Given:
    if given.by.public_key.algorithm.edwards:
        return _form(given, value=luck.randbytes(64))
    return _form(given, value=b"".join(wire.positive(luck.randrange(1, 2**255)) for _ in range(2)))


def numbers_exchanged(_: Luck, given: Given, __: Given) -> Given:
    value = given.signature.form.value
    if given.by.public_key.algorithm.edwards:
        return _form(given, value=value[32:] + value[:32])
    first, second = _two(value)
    return _form(given, value=second + first)


def half_of_another(_: Luck, given: Given, other: Given) -> Given:
    """The first half of one signature and the second of another."""
    mine, theirs = given.signature.form.value, other.signature.form.value
    if given.by.public_key.algorithm.edwards != other.by.public_key.algorithm.edwards:
        return _form(given, value=bytes(64) if given.by.public_key.algorithm.edwards else wire.positive(1) * 2)
    if given.by.public_key.algorithm.edwards:
        return _form(given, value=mine[:32] + theirs[32:])
    return _form(given, value=_two(mine)[0] + _two(theirs)[1])


def another_touch(luck: Luck, given: Given, _: Given) -> Given:
    """Of an authenticator: other flags, or another counter."""
    if not isinstance(given.signature.form, Touched | Asserted):
        return another_value(luck, given, given)
    if luck.random() < 0.5:
        return _form(given, counter=given.signature.form.counter ^ 1 << luck.randrange(32))
    return _form(given, flags=Flags(given.signature.form.flags ^ luck.choice([2, 4, 8, 16, 32])))


def another_page(luck: Luck, given: Given, _: Given) -> Given:
    """Of a browser: the data are changed, the challenge or a member beyond it."""
    form = given.signature.form
    if not isinstance(form, Asserted):
        return made_up_value(luck, given, given)
    said = json.loads(form.client_data)
    match luck.randrange(4):
        case 0:
            changed = client_data(sshsig.to_be_signed(given.message, given.purpose, given.signature.hash), extra=luck.random())
        case 1:
            changed = json.dumps(said | {"challenge": said["challenge"][:-1]}, separators=(",", ":")).encode()
        case 2:
            changed = flipped_somewhere(luck, form.client_data)
        case _:
            changed = form.client_data[:-1] + b" }"
    return _form(given, client_data=changed)


def challenge_forged(luck: Luck, given: Given, _: Given) -> Given:
    """The message is exchanged, and the browser's data with it: only the arithmetic can tell."""
    if not isinstance(given.signature.form, Asserted):
        return another_message(luck, given, given)
    message = given.message + luck.randbytes(3)
    return _form(
        replace(given, message=message), client_data=client_data(sshsig.to_be_signed(message, given.purpose, given.signature.hash))
    )


def another_algorithm(luck: Luck, given: Given, _: Given) -> Given:
    return replace(given, signature=replace(given.signature, algorithm=luck.choice([*keys.Algorithm, WEBAUTHN, "ssh-rsa", "none"])))


def any_byte(luck: Luck, given: Given, _: Given) -> bytes:
    return flipped_somewhere(luck, sshsig.encode(given.signature))


def any_length(luck: Luck, given: Given, _: Given) -> bytes:
    """One of the lengths within is another."""
    blob = bytearray(sshsig.encode(given.signature))
    places = [at for at in range(10, len(blob) - 4) if blob[at : at + 2] == b"\0\0" and 0 < int.from_bytes(blob[at : at + 4], "big") < 512]
    at = luck.choice(places)
    changed = luck.choice([0, 1, int.from_bytes(blob[at : at + 4], "big") + luck.choice([-1, 1]), 2**31, 2**32 - 1])
    blob[at : at + 4] = changed.to_bytes(4, "big")
    return bytes(blob)


def cut_off(luck: Luck, given: Given, _: Given) -> bytes:
    blob = sshsig.encode(given.signature)
    return blob[: luck.randrange(len(blob))]


def gone_on(luck: Luck, given: Given, _: Given) -> bytes:
    return sshsig.encode(given.signature) + luck.randbytes(luck.randrange(1, 40))


def spliced(luck: Luck, given: Given, other: Given) -> bytes:
    mine, theirs = sshsig.encode(given.signature), sshsig.encode(other.signature)
    at = luck.randrange(min(len(mine), len(theirs)))
    return mine[:at] + theirs[at:]


MUTATIONS: Final[Sequence[Mutation]] = (
    another_message, another_purpose, another_hash, another_signer, another_signature, another_value, made_up_value, numbers_exchanged,
    half_of_another, another_touch, another_page, challenge_forged, another_algorithm, any_byte, any_length, cut_off, gone_on, spliced,
)  # fmt: skip


def _form(given: Given, **changes: object) -> Given:
    return replace(given, signature=replace(given.signature, form=replace(given.signature.form, **changes)))  # type: ignore[arg-type]


def _two(value: bytes) -> tuple[bytes, bytes]:
    reader = wire.Reader(value)
    return wire.string(reader.string(33, "r")), wire.string(reader.string(33, "s"))


# ---------------------------------------------------------------- the laws


def shown(mutation: Mutation, luck: Luck) -> tuple[Given, str]:
    """What became of a good signature, and its text."""
    given = good(luck)
    changed = mutation(luck, given, good(luck))
    if isinstance(changed, bytes):
        return given, sshsig.armour(changed)
    return changed, sshsig.armour(sshsig.encode(changed.signature))


@cache
def _true() -> frozenset[tuple[PublicKey, bytes, Purpose, bytes]]:
    return frozenset((each.by.public_key, each.message, each.purpose, sshsig.encode(each.signature)) for each in _signed())


def same(changed: Given, armoured: str) -> bool:
    """Whether it came out as something that this person did sign."""
    return (changed.by.public_key, changed.message, changed.purpose, sshsig.unarmour(armoured)) in _true()


def test_no_mutation_is_accepted_and_none_breaks_the_verifier(*, long: bool) -> None:
    luck, verdicts = random.Random(15), Counter[str]()
    for number in range(100_000 if long else 5_400):
        changed, armoured = shown(MUTATIONS[number % len(MUTATIONS)], luck)
        if same(changed, armoured):
            verdicts["same"] += 1
            continue
        try:
            sshsig.verify(sshsig.parse(armoured), changed.message, changed.purpose, changed.by.public_key, {ORIGIN})
        except Unacceptable as error:
            verdicts[error.rule] += 1
        else:
            pytest.fail(f"{MUTATIONS[number % len(MUTATIONS)].__name__} of {number}: {armoured}")
    assert verdicts[WrongSignature.rule] > REACHES * verdicts.total(), verdicts
    assert verdicts[MalformedSignature.rule] > 0, verdicts
    assert verdicts["same"] < 0.05 * verdicts.total()


def test_mutations_of_the_text_are_not_accepted_either(*, long: bool) -> None:
    """One character of it another, one less, one more: what is accepted has the same bytes."""
    luck, seen = random.Random(16), Counter[str]()
    for _ in range(20_000 if long else 1_000):
        given = good(luck)
        text = sshsig.armour(sshsig.encode(given.signature))
        at = luck.randrange(len(text))
        changed = text[:at] + luck.choice(["", "A", "\n", "=", "\0", "é", text[at] * 2]) + text[at + 1 :]
        try:
            signature = sshsig.parse(changed)
            sshsig.verify(signature, given.message, given.purpose, given.by.public_key, {ORIGIN})
        except Unacceptable as error:
            seen[error.rule] += 1
        else:
            assert signature == given.signature
    assert seen[WrongSignature.rule] > 0


@needs_ssh_keygen
def test_ssh_keygen_accepts_none_of_them(tmp_path: Path, *, long: bool) -> None:
    luck, judge = random.Random(17), Judge(tmp_path)
    for number in range(3_600 if long else 90):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        changed, armoured = shown(mutation, luck)
        line = changed.by.public_key.line
        if not same(changed, armoured) and not lenient(armoured):
            assert not judge.accepts(armoured, changed.message, changed.purpose, line), (mutation.__name__, number, armoured)


def lenient(armoured: str) -> bool:
    """Where OpenSSH is known to look away: the version, the reserved field, and what is written in more than one way."""
    blob = sshsig.unarmour(armoured)
    if len(blob) < 10 or blob[6:10] != b"\0\0\0\1":
        return True
    reader = wire.Reader(blob[10:])
    try:
        reader.string(512, "key")
        reader.string(256, "namespace")
        reserved = reader.string(4_096, "reserved")
    except wire.Malformed:
        return False
    return bool(reserved)


def test_no_mutation_of_a_key_breaks_the_reader_and_what_it_takes_libsodium_takes(*, long: bool) -> None:
    luck, taken = random.Random(18), 0
    for _ in range(20_000 if long else 1_000):
        blob = luck.choice(PENS).public_key.blob
        changed = luck.choice(
            [flipped_somewhere(luck, blob), blob[: luck.randrange(len(blob))], blob + luck.randbytes(2), luck.randbytes(51)]
        )
        try:
            key = PublicKey(changed)
        except Unacceptable:
            continue
        taken += 1
        assert PublicKey(changed) == keys.parse(key.line)
        if key.algorithm.edwards:
            assert crypto_core_ed25519_is_valid_point(key.point)
    assert taken > 0


def test_every_mutation_does_something() -> None:
    verdicts: Mapping[str, Counter[str]] = {mutation.__name__: Counter() for mutation in MUTATIONS}
    for mutation in MUTATIONS:
        luck = random.Random(mutation.__name__)
        for _ in range(60):
            changed, armoured = shown(mutation, luck)
            verdicts[mutation.__name__]["same" if same(changed, armoured) else "changed"] += 1
    assert all(each["changed"] >= 30 for each in verdicts.values()), verdicts
