"""Who signed which bytes, for what: `ssh-keygen -Y verify` agrees with whatever is accepted, and consent is asked for more strictly than it asks."""

from __future__ import annotations

import json
import random
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_is_valid_point

from signatures import keys, sshsig, wire
from signatures.ed25519 import ORDER, PRIME
from signatures.errors import (
    MalformedKey,
    MalformedSignature,
    NotTouched,
    OtherChallenge,
    OtherKey,
    OtherOrigin,
    OtherPurpose,
    Unacceptable,
    UnsupportedKey,
    UnsupportedSignature,
    WeakKey,
    WrongSignature,
)
from signatures.keys import Algorithm, PublicKey
from signatures.sshsig import Asserted, Flags, Hash, Plain, Purpose, Signature, Touched
from tests.authenticator import ORIGIN, RELYING_PARTY, WEBAUTHN, Judge, Pen, client_data, needs_ssh_keygen, pen, pens
from tests.sealing import flipped

MESSAGE: Final = b'{"actor":"ada","command":{"kind":"pledge","amount":500000}}'
PENS: Final = pens()
VECTOR: Final[Mapping[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "signatures" / "passkey.json").read_text(encoding="utf-8")
)
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


def armoured(signature: Signature) -> str:
    return sshsig.armour(sshsig.encode(signature))


def verify(signature: Signature, by: Pen, message: bytes = MESSAGE, purpose: Purpose = Purpose.COMMAND) -> None:
    """As it arrives: through its text."""
    sshsig.verify(sshsig.parse(armoured(signature)), message, purpose, by.public_key, {ORIGIN})


# ---------------------------------------------------------------- keys


@needs_ssh_keygen
@pytest.mark.parametrize("kind", PENS)
def test_a_key_is_read_from_its_line_and_shown_as_ssh_keygen_shows_it(kind: str, tmp_path: Path) -> None:
    key = PENS[kind].public_key
    assert keys.parse(f" {key.line}\tada at home\r\n") == key
    assert keys.parse(key.line).line == key.line
    (tmp_path / "key.pub").write_text(key.line + "\n", encoding="utf-8")
    shown = subprocess.run(("ssh-keygen", "-l", "-f", tmp_path / "key.pub"), capture_output=True, text=True, check=True).stdout
    assert key.fingerprint == shown.split()[1]


def test_a_key_says_what_it_is() -> None:
    assert [each.public_key.passkey for each in PENS.values()] == [False, False, False, False, True]
    assert PENS["passkey"].public_key.application == RELYING_PARTY
    assert PENS["ed25519"].public_key.application == ""
    assert len({each.public_key for each in PENS.values()} | {PublicKey(each.public_key.blob) for each in PENS.values()}) == len(PENS)


ED: Final = PENS["ed25519"].public_key
P256: Final = PENS["p256"].public_key
RSA: Final = wire.strings([b"ssh-rsa", b"\1\0\1", b"\0" + b"\x99" * 256])


def _words(key: PublicKey) -> tuple[str, str]:
    name, text = key.line.split()
    return name, text


LINES: Final[Mapping[str, tuple[str, type[Unacceptable], str]]] = {
    "nothing": ("", MalformedKey, "not a name of an algorithm"),
    "a name": ("ssh-ed25519", MalformedKey, "not a name of an algorithm"),
    "options before it": (f"no-touch-required {ED.line}", MalformedKey, "not Base64"),
    "an RSA key": (f"ssh-rsa {b64encode(RSA).decode()}", UnsupportedKey, "ssh-rsa is not taken"),
    "another name": (f"ecdsa-sha2-nistp256 {_words(ED)[1]}", MalformedKey, "another algorithm than its ssh-ed25519"),
    "two spaces": (f"ssh-ed25519  {_words(ED)[1]}", MalformedKey, "cut off"),
    "a letter less": (f"ssh-ed25519 {_words(ED)[1][:-1]}", MalformedKey, "not Base64"),
    "no padding": (P256.line.rstrip("="), MalformedKey, "not Base64"),
    "two lines": (f"{ED.line}\n{ED.line}", MalformedKey, "more than one line"),
    "two lines of an old Macintosh": (f"{ED.line} ada\r{ED.line}", MalformedKey, "more than one line"),
    "a long comment": (f"{ED.line} {'x' * 3_000}", MalformedKey, "longer than 2048 characters"),
    "Cyrillic": ("ssh-ed25519 АAAA", MalformedKey, "not Base64"),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_no_key_is_refused(line: str) -> None:
    text, error, says = LINES[line]
    with pytest.raises(error, match=says):
        keys.parse(text)


@pytest.mark.parametrize("kind", PENS)
def test_a_key_that_is_cut_off_or_goes_on_is_refused(kind: str) -> None:
    blob = PENS[kind].public_key.blob
    for length in range(len(blob)):
        with pytest.raises((MalformedKey, UnsupportedKey)):
            PublicKey(blob[:length])
    with pytest.raises(MalformedKey, match="1 bytes too many"):
        PublicKey(blob + b"\0")
    with pytest.raises(MalformedKey, match="longer than 512 bytes"):
        PublicKey(blob + bytes(600))


@pytest.mark.parametrize(
    ("application", "error", "says"),
    [
        ("", MalformedKey, "empty"),
        ("ssh: atlas", MalformedKey, "printable ASCII"),
        ("b\0c", MalformedKey, "printable ASCII"),
        ("bücher.example", MalformedKey, "printable ASCII"),
        ("x" * 254, MalformedKey, "longer than 253"),
    ],
)
def test_a_security_key_of_no_application_is_refused(application: str, error: type[Unacceptable], says: str) -> None:
    with pytest.raises(error, match=says):
        keys.encode(Algorithm.SK_P256, P256.point, application)


def test_a_passkey_of_ed25519_is_refused_for_openssh_reads_none() -> None:
    with pytest.raises(UnsupportedKey, match="P-256 only"):
        keys.encode(Algorithm.SK_ED25519, ED.point, RELYING_PARTY)


# ---------------------------------------------------------------- points of Ed25519

SMALL: Final = tuple(
    bytes.fromhex(each)
    for each in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    )
)
"""The eight points of small order."""
UNCANONICAL: Final = tuple(((value + PRIME) | sign << 255).to_bytes(32, "little") for value in range(19) for sign in (0, 1)) + tuple(
    (value | 1 << 255).to_bytes(32, "little") for value in (1, PRIME - 1)
)
"""Every y that can be written in a second way, with both signs, and the two points whose x has no sign."""


@pytest.mark.parametrize("point", SMALL, ids=bytes.hex)
def test_a_point_of_small_order_is_no_key(point: bytes) -> None:
    with pytest.raises(WeakKey, match="small order"):
        keys.encode(Algorithm.ED25519, point)
    with pytest.raises(WeakKey, match="small order"):
        keys.encode(Algorithm.SK_ED25519, point, "ssh:")


@needs_ssh_keygen
def test_of_a_key_of_small_order_one_signature_fits_every_message_for_ssh_keygen(judge: Judge) -> None:
    """Why it is refused: whoever enrols it could later say that they signed anything, or nothing."""
    blob = wire.strings([b"ssh-ed25519", SMALL[0]])
    fits_all = armoured(Signature(blob, Purpose.COMMAND, Hash.SHA512, "ssh-ed25519", Plain(SMALL[0] + bytes(32))))
    line = f"ssh-ed25519 {b64encode(blob).decode()}"
    assert judge.accepts(fits_all, b"one", Purpose.COMMAND, line)
    assert judge.accepts(fits_all, b"another", Purpose.COMMAND, line)
    ed25519.Ed25519PublicKey.from_public_bytes(SMALL[0]).verify(SMALL[0] + bytes(32), b"any")
    with pytest.raises(WeakKey):
        keys.parse(line)


@pytest.mark.parametrize("point", UNCANONICAL, ids=bytes.hex)
def test_a_point_in_its_second_spelling_is_no_key(point: bytes) -> None:
    with pytest.raises(WeakKey):
        keys.encode(Algorithm.ED25519, point)


def _points(count: int) -> list[bytes]:
    """Keys of signers, the same with a part of small order, and what is on the curve by chance or not at all."""
    luck = random.Random(count)
    good = [ed25519.Ed25519PrivateKey.from_private_bytes(luck.randbytes(32)).public_key().public_bytes_raw() for _ in range(count)]
    mixed = [crypto_core_ed25519_add(point, SMALL[number % 8]) for number, point in enumerate(good)]
    return [*good, *mixed, *(luck.randbytes(32) for _ in range(2 * count)), *SMALL, *UNCANONICAL, b"\xff" * 32, b"\2" + bytes(31)]


def test_libsodium_takes_the_same_points(*, long: bool) -> None:
    accepted = 0
    for point in _points(2_000 if long else 100):
        try:
            keys.encode(Algorithm.ED25519, point)
        except WeakKey:
            ours = False
        else:
            ours = True
        assert ours == bool(crypto_core_ed25519_is_valid_point(point)), point.hex()
        accepted += ours
    assert accepted >= 100


# ---------------------------------------------------------------- points of P-256


def _small_x() -> bytes:
    """A point whose x is so small that it can be written in a second way."""
    for x in range(1, 1_000):
        square = (x**3 - 3 * x + 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B) % P256_PRIME
        y = pow(square, (P256_PRIME + 1) // 4, P256_PRIME)
        if y * y % P256_PRIME == square:
            return b"\4" + (x + P256_PRIME).to_bytes(32, "big") + y.to_bytes(32, "big")
    raise AssertionError


@pytest.mark.parametrize(
    ("point", "error", "says"),
    [
        (b"\0", WeakKey, "infinity"),
        (bytes(65), MalformedKey, "uncompressed"),
        (b"\4" + bytes(64), WeakKey, "not on the curve"),
        (flipped(P256.point, -8), WeakKey, "not on the curve"),
        (bytes([2 + P256.point[-1] % 2]) + P256.point[1:33], MalformedKey, "compressed"),
        (bytes([6 + P256.point[-1] % 2]) + P256.point[1:], MalformedKey, "uncompressed"),
        (P256.point + b"\0", MalformedKey, "uncompressed"),
        (b"", MalformedKey, "uncompressed"),
        (_small_x(), WeakKey, "not on the curve"),
    ],
    ids=["infinity", "zeros", "origin", "beside", "compressed", "hybrid", "longer", "empty", "not reduced"],
)
@pytest.mark.parametrize(
    ("algorithm", "application"), [(Algorithm.P256, ""), (Algorithm.SK_P256, "ssh:"), (Algorithm.SK_P256, RELYING_PARTY)]
)
def test_what_is_no_point_of_p256_is_no_key(
    algorithm: Algorithm, application: str, point: bytes, error: type[Unacceptable], says: str
) -> None:
    with pytest.raises(error, match=says):
        keys.encode(algorithm, point, application)


def test_a_key_of_another_curve_is_refused() -> None:
    with pytest.raises(UnsupportedKey, match="nistp384"):
        PublicKey(wire.strings([b"ecdsa-sha2-nistp256", b"nistp384", b"\4" + bytes(96)]))
    with pytest.raises(UnsupportedKey, match="ecdsa-sha2-nistp384"):
        PublicKey(wire.strings([b"ecdsa-sha2-nistp384", b"nistp384", b"\4" + bytes(96)]))


# ---------------------------------------------------------------- good signatures


@needs_ssh_keygen
@pytest.mark.parametrize("hash_name", Hash)
@pytest.mark.parametrize("kind", PENS)
def test_ssh_keygen_accepts_what_is_accepted_of_every_kind_of_key(kind: str, hash_name: Hash, judge: Judge) -> None:
    by = PENS[kind]
    for purpose in Purpose:
        signature = by.sign(MESSAGE, purpose, hash_name)
        verify(signature, by, purpose=purpose)
        assert sshsig.parse(armoured(signature)) == signature
        assert judge.accepts(armoured(signature), MESSAGE, purpose, by.public_key.line)
        assert not judge.accepts(armoured(signature), MESSAGE + b" ", purpose, by.public_key.line)


@needs_ssh_keygen
@pytest.mark.parametrize("message", [b"", b"\0" * 10, bytes(range(256)), b"x" * 1_000_000], ids=["empty", "zeros", "bytes", "large"])
def test_any_bytes_can_be_signed(message: bytes, judge: Judge) -> None:
    by = PENS["ed25519"]
    verify(by.sign(message), by, message)
    assert judge.accepts(armoured(by.sign(message)), message, Purpose.COMMAND, by.public_key.line)


@pytest.mark.parametrize("kind", PENS)
def test_a_signature_is_for_one_message_one_purpose_and_one_key(kind: str) -> None:
    by, other = PENS[kind], pen(PENS[kind].public_key.algorithm, PENS[kind].public_key.application, "another")
    signature = by.sign(MESSAGE)
    with pytest.raises((WrongSignature, OtherChallenge)):
        verify(signature, by, MESSAGE + b" ")
    for purpose in set(Purpose) - {Purpose.COMMAND}:
        with pytest.raises(OtherPurpose, match="signed for open-model-consortium/command, and not for"):
            verify(signature, by, purpose=purpose)
        with pytest.raises((WrongSignature, OtherChallenge)):
            verify(replace(signature, namespace=purpose.value), by, purpose=purpose)
    with pytest.raises(OtherKey):
        verify(signature, other)
    with pytest.raises(WrongSignature):
        verify(replace(signature, key_blob=other.public_key.blob), other)
    with pytest.raises((WrongSignature, OtherChallenge)):
        verify(replace(signature, hash=Hash.SHA256), by)


def test_the_key_that_a_signature_names_is_not_read() -> None:
    """So a stranger's signature costs nothing but its parsing, and no weak key gets a say."""
    signature = sshsig.parse(armoured(replace(PENS["ed25519"].sign(MESSAGE), key_blob=b"anything")))
    assert signature.key_blob == b"anything"
    with pytest.raises(OtherKey):
        verify(signature, PENS["ed25519"])


@needs_ssh_keygen
@pytest.mark.parametrize("kind", ["p256", "sk-p256", "passkey"])
def test_ecdsa_has_a_second_signature_for_everything_so_nothing_hangs_on_its_bytes(kind: str, judge: Judge) -> None:
    by = PENS[kind]
    signature = by.sign(MESSAGE)
    reader = wire.Reader(signature.form.value)
    first, second = reader.positive(33, "r"), reader.positive(33, "s")
    twin = replace(signature, form=replace(signature.form, value=wire.positive(first) + wire.positive(P256_ORDER - second)))
    verify(twin, by)
    assert judge.accepts(armoured(twin), MESSAGE, Purpose.COMMAND, by.public_key.line)


@needs_ssh_keygen
@pytest.mark.parametrize("kind", PENS)
def test_the_documented_command_line_is_the_judge_of_every_kind_of_key(kind: str, tmp_path: Path) -> None:
    """And says no to another statement, and to a signature for another purpose."""
    by = PENS[kind]
    text = (Path(__file__).parent.parent / "docs" / "security.md").read_text(encoding="utf-8")
    words = ("sh", "-ec", text.split("```sh\n")[1].split("```")[0])
    (tmp_path / "ada.pub").write_text(f"{by.public_key.line} ada@home\n", encoding="utf-8")
    for message, purpose, accepted in ((MESSAGE, Purpose.COMMAND, True), (b"{}", Purpose.COMMAND, False), (MESSAGE, Purpose.LOGIN, False)):
        (tmp_path / "statement.json").write_bytes(MESSAGE)
        (tmp_path / "statement.json.sig").write_text(armoured(by.sign(message, purpose)), encoding="utf-8")
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout.startswith('Good "open-model-consortium/command" signature for ada with') == accepted, done
        assert (done.returncode == 0) == accepted


# ---------------------------------------------------------------- what a passkey signs


def test_what_a_passkey_signed_in_chromium_is_accepted() -> None:
    key, message = keys.parse(VECTOR["key"]), VECTOR["message"].encode()
    seen = set()
    for kept in VECTOR["assertions"]:
        purpose, hash_name = Purpose(kept["purpose"]), Hash(kept["hash"])
        parts = [b64decode(kept[part]) for part in ("authenticator_data", "client_data", "signature")]
        signature = sshsig.from_assertion(key, purpose, *parts, hash_name=hash_name)
        assert armoured(signature) == kept["armoured"]
        sshsig.verify(sshsig.parse(kept["armoured"]), message, purpose, key, {VECTOR["origin"]})
        with pytest.raises(OtherOrigin, match="not an accepted page"):
            sshsig.verify(signature, message, purpose, key, {"https://consortium.example"})
        with pytest.raises(OtherOrigin):
            sshsig.verify(signature, message, purpose, key)
        with pytest.raises(OtherChallenge):
            sshsig.verify(signature, message + b" ", purpose, key, {VECTOR["origin"]})
        assert isinstance(signature.form, Asserted)
        seen.add((signature.form.flags.user_verified, bool(signature.form.extensions)))
    assert seen == {(False, False), (True, False), (True, True)}


@needs_ssh_keygen
def test_ssh_keygen_accepts_what_a_passkey_signed_in_chromium(judge: Judge) -> None:
    for kept in VECTOR["assertions"]:
        assert judge.accepts(kept["armoured"], VECTOR["message"].encode(), kept["purpose"], VECTOR["key"])
        assert not judge.accepts(kept["armoured"], b"something else", kept["purpose"], VECTOR["key"])


def _from_assertion(authenticator_data: bytes, said: bytes, signature: bytes) -> Signature:
    return sshsig.from_assertion(PENS["passkey"].public_key, Purpose.COMMAND, authenticator_data, said, signature)


@pytest.mark.parametrize(
    ("part", "value", "error", "says"),
    [
        ("authenticator_data", b"\0" * 36, MalformedSignature, "malformed"),
        ("authenticator_data", b"\0" * 37, OtherOrigin, "not used for consortium.example"),
        ("client_data", b"[]", MalformedSignature, "not an object"),
        ("client_data", b"{}", MalformedSignature, "no origin"),
        ("client_data", b'{"origin":7}', MalformedSignature, "no origin"),
        ("client_data", b'{"origin":"\\u00fc"}', MalformedSignature, "printable ASCII"),
        ("client_data", b'{"origin":"\\ud800"}', MalformedSignature, "printable ASCII"),
        ("signature", b"", MalformedSignature, "malformed"),
        ("signature", b"\x30\x06\x02\x01\xff\x02\x01\x01", MalformedSignature, "malformed"),
        ("signature", b"\x30\x06\x02\x01\x00\x02\x01\x01", MalformedSignature, "zero"),
    ],
)
def test_an_assertion_that_is_none_is_refused_before_it_is_a_signature(
    part: str, value: bytes, error: type[Unacceptable], says: str
) -> None:
    good = {
        "authenticator_data": sha256(RELYING_PARTY.encode()).digest() + b"\5" + bytes(4),
        "said": client_data(b"x"),
        "signature": b"\x30\x06\x02\x01\x01\x02\x01\x01",
    }
    _from_assertion(**good)
    with pytest.raises(error, match=says):
        _from_assertion(**good | {"said" if part == "client_data" else part: value})


SIGNED: Final = sshsig.to_be_signed(MESSAGE, Purpose.COMMAND)
SAID: Final = client_data(SIGNED)
Saying = tuple[bytes, dict[str, Any], type[Unacceptable] | None, bool]
BROWSERS: Final[Mapping[str, Saying]] = {
    "as WebAuthn says": (SAID, {}, None, True),
    "with further members": (client_data(SIGNED, other_keys_can_be_added_here="do not compare clientDataJSON against a template"), {}, None, True),
    "with members of any kind": (client_data(SIGNED, extra={"nested": [1, 2.5, None, "ü"]}), {}, None, True),
    "without crossOrigin": (SAID.replace(b',"crossOrigin":false', b""), {}, None, True),
    "with data of an extension": (SAID, {"flags": 0x85, "extensions": b"\xa1\x63abc\xf5"}, None, True),
    "backed up, and nobody verified": (SAID, {"flags": 0x19}, None, True),
    "of a new passkey": (client_data(SIGNED, type="webauthn.create"), {}, OtherChallenge, False),
    "of a payment": (client_data(SIGNED, type="payment.get"), {}, OtherChallenge, False),
    "over another challenge": (client_data(SIGNED + b"x"), {}, OtherChallenge, False),
    "over the message without its namespace": (client_data(MESSAGE), {}, OtherChallenge, False),
    "with a padded challenge": (client_data(SIGNED, challenge=b64encode(SIGNED).decode()), {}, OtherChallenge, False),
    "without a challenge": (client_data(SIGNED, challenge=None), {}, OtherChallenge, False),
    "on another page": (client_data(SIGNED, "https://evil.example"), {"origin": "https://evil.example"}, OtherOrigin, True),
    "on another page, called by this one's name": (client_data(SIGNED, "https://evil.example"), {}, OtherOrigin, False),
    "on a page whose name begins alike": (client_data(SIGNED, ORIGIN + ".evil.example"), {"origin": ORIGIN + ".evil.example"}, OtherOrigin, True),
    "on this page, named otherwise outside": (SAID, {"origin": "https://evil.example"}, OtherOrigin, False),
    "on a page without encryption": (client_data(SIGNED, ORIGIN.replace("s", "", 1)), {"origin": ORIGIN.replace("s", "", 1)}, OtherOrigin, True),
    "in a page inside another's": (client_data(SIGNED, crossOrigin=True), {}, OtherOrigin, True),
    "in a page inside a page that is named": (client_data(SIGNED, topOrigin="https://evil.example"), {}, OtherOrigin, True),
    "with something else than a truth": (client_data(SIGNED, crossOrigin=0), {}, OtherOrigin, True),
    "untouched": (SAID, {"flags": 0x04}, NotTouched, True),
    "as a new key's": (SAID, {"flags": 0x45}, MalformedSignature, False),
    "with a flag for extensions that are not there": (SAID, {"flags": 0x85}, MalformedSignature, False),
    "with extensions without a flag": (SAID, {"extensions": b"\xa0"}, MalformedSignature, False),
    "with an empty object": (b"{}", {}, OtherChallenge, False),
    "as no JSON": (SAID[:-1], {}, MalformedSignature, True),
    "with something after it": (SAID + b" x", {}, MalformedSignature, True),
    "with a member twice": (SAID[:-1] + b',"origin":"https://evil.example"}', {}, MalformedSignature, True),
    "with a number that is none": (SAID[:-1] + b',"n":NaN}', {}, MalformedSignature, True),
    "with a number of thousands of digits": (SAID[:-1] + b',"n":' + b"9" * 3_000 + b"}", {}, None, True),
    "deeper than anything": (SAID[:-1] + b',"n":' + b"[" * 3_500 + b"}", {}, MalformedSignature, True),
    "in another encoding": (SAID.decode().encode("utf-16"), {}, MalformedSignature, False),
    "with bytes that are no text": (SAID[:-1] + b',"n":"\xff"}', {}, MalformedSignature, True),
    "with a mark before it": (b"\xef\xbb\xbf" + SAID, {}, MalformedSignature, False),
    "in another order": (json.dumps(dict(reversed(json.loads(SAID).items())), separators=(",", ":")).encode(), {}, MalformedSignature, False),
    "with spaces": (json.dumps(json.loads(SAID)).encode(), {}, MalformedSignature, False),
    "with an escaped origin": (SAID.replace(b"https://desk", b"https:\\/\\/desk"), {}, MalformedSignature, False),
    "with an escaped origin on both sides": (
        SAID.replace(b"https://desk", b"https:\\/\\/desk"), {"origin": ORIGIN.replace("/", "\\/")}, OtherOrigin, True,
    ),
    "with a quotation mark in the origin": (client_data(SIGNED, f'{ORIGIN}"'), {"origin": f'{ORIGIN}"'}, MalformedSignature, False),
    "with no origin": (client_data(SIGNED, ""), {"origin": ""}, OtherOrigin, True),
    "at great length": (client_data(SIGNED, more="x" * 4_096), {}, MalformedSignature, True),
    "with long extensions": (SAID, {"flags": 0x85, "extensions": bytes(2_000)}, MalformedSignature, True),
}  # fmt: skip
"""What a browser says, how the passkey signs it, the error, and whether `ssh-keygen` accepts it."""


@pytest.mark.parametrize("said", BROWSERS)
def test_a_passkey_counts_when_it_was_asked_for_this_on_an_accepted_page(said: str, judge: Judge) -> None:
    by = PENS["passkey"]
    client, ways, error, openssh = BROWSERS[said]
    signature = by.seal(by.answer(client, **ways))
    if error:
        with pytest.raises(error):
            verify(signature, by)
    else:
        verify(signature, by)
    assert judge.agrees(openssh, armoured(signature), by.public_key, MESSAGE)


# ---------------------------------------------------------------- what a security key signs


@pytest.mark.parametrize("kind", ["sk-ed25519", "sk-p256"])
def test_a_security_key_has_to_be_touched_which_ssh_keygen_does_not_ask(kind: str, judge: Judge) -> None:
    by = PENS[kind]
    for flags, error in ((1, None), (5, None), (0, NotTouched), (4, NotTouched), (0x41, MalformedSignature), (0x81, MalformedSignature)):
        signature = by.seal(by.touched(SIGNED, flags, counter=2**32 - 1))
        if error:
            with pytest.raises(error):
                verify(signature, by)
        else:
            verify(signature, by)
        assert judge.agrees(True, armoured(signature), by.public_key, MESSAGE)  # noqa: FBT003
    good = by.touched(SIGNED)
    for changed in (replace(good, counter=8), replace(good, flags=Flags(5))):
        with pytest.raises(WrongSignature):
            verify(by.seal(changed), by)


def test_a_passkey_signs_in_a_browser_only_and_a_security_key_of_openssh_never(judge: Judge) -> None:
    """Else the accepted pages could be gone around."""
    passkey, key = PENS["passkey"], PENS["sk-p256"]
    for by, form in ((passkey, passkey.touched(SIGNED)), (key, key.answer(SAID))):
        signature = by.seal(form)
        assert judge.agrees(True, armoured(signature), by.public_key, MESSAGE)  # noqa: FBT003
        with pytest.raises(UnsupportedSignature, match="signs as"):
            verify(signature, by)


@pytest.mark.parametrize("kind", PENS)
def test_a_signature_of_another_kind_than_its_key_is_refused(kind: str) -> None:
    by = PENS[kind]
    for other in PENS.values():
        signature = other.sign(MESSAGE)
        if signature.algorithm != by.sign(MESSAGE).algorithm:
            with pytest.raises(UnsupportedSignature):
                verify(replace(signature, key_blob=by.public_key.blob), by)


def test_a_signature_put_together_by_hand_does_not_go_around_the_touch() -> None:
    by = PENS["sk-ed25519"]
    with pytest.raises(MalformedSignature, match="has other parts"):
        sshsig.verify(by.seal(Plain(by.raw(SIGNED))), MESSAGE, Purpose.COMMAND, by.public_key)


# ---------------------------------------------------------------- the form


def _with(**changes: bytes) -> bytes:
    """The bytes of a good signature with some fields of others."""
    signature = PENS["ed25519"].sign(MESSAGE)
    fields = {
        "magic": b"SSHSIG", "version": b"\0\0\0\1", "key": wire.string(signature.key_blob), "namespace": wire.string(Purpose.COMMAND.encode()),
        "reserved": wire.string(b""), "hash": wire.string(b"sha512"),
        "value": wire.string(wire.strings([b"ssh-ed25519", signature.form.value])), "end": b"",
    } | changes  # fmt: skip
    return b"".join(fields.values())


def _inner(*parts: bytes, then: bytes = b"") -> bytes:
    return wire.string(wire.strings(parts) + then)


def _beyond() -> bytes:
    """The same signature with its second half written beyond the order."""
    value = PENS["ed25519"].sign(MESSAGE).form.value
    second = int.from_bytes(value[32:], "little") + ORDER
    return _inner(b"ssh-ed25519", value[:32] + second.to_bytes(32, "little"))


ED_VALUE: Final = PENS["ed25519"].sign(MESSAGE).form.value
FORMS: Final[Mapping[str, tuple[bytes, type[Unacceptable] | None, bool | None]]] = {
    "good": (_with(), None, True),
    "another beginning": (_with(magic=b"SSHSIX"), MalformedSignature, False),
    "version 0": (_with(version=b"\0\0\0\0"), UnsupportedSignature, True),
    "version 2": (_with(version=b"\0\0\0\2"), UnsupportedSignature, False),
    "a key of four gigabytes": (_with(key=b"\xff\xff\xff\xff"), MalformedSignature, False),
    "an empty namespace": (_with(namespace=wire.string(b"")), OtherPurpose, False),
    "another namespace": (_with(namespace=wire.string(b"file")), OtherPurpose, False),
    "another namespace for the rest": (_with(namespace=wire.string(Purpose.COMMAND.encode() + b"s")), OtherPurpose, False),
    "a namespace that ends early": (_with(namespace=wire.string(Purpose.COMMAND.encode() + b"\0x")), MalformedSignature, False),
    "a long namespace": (_with(namespace=wire.string(b"x" * 300)), MalformedSignature, False),
    "something reserved": (_with(reserved=wire.string(b"x")), MalformedSignature, True),
    "SHA-1": (_with(hash=wire.string(b"sha1")), UnsupportedSignature, False),
    "another hash": (_with(hash=wire.string(b"sha256")), WrongSignature, False),
    "no hash": (_with(hash=wire.string(b"")), UnsupportedSignature, False),
    "something after it": (_with(end=b"\0"), MalformedSignature, False),
    "an RSA signature": (_with(value=_inner(b"rsa-sha2-512", bytes(256))), UnsupportedSignature, False),
    "a short signature": (_with(value=_inner(b"ssh-ed25519", ED_VALUE[:63])), MalformedSignature, False),
    "a long signature": (_with(value=_inner(b"ssh-ed25519", ED_VALUE + b"\0")), MalformedSignature, False),
    "something after the signature's value": (_with(value=_inner(b"ssh-ed25519", ED_VALUE, then=b"\0")), MalformedSignature, False),
    "flags where no authenticator was": (_with(value=_inner(b"ssh-ed25519", ED_VALUE, then=b"\1\0\0\0\1")), MalformedSignature, False),
    "nothing signed": (_with(value=_inner(b"ssh-ed25519", bytes(64))), WrongSignature, False),
    "another kind of key's": (_with(value=_inner(b"sk-ssh-ed25519@openssh.com", ED_VALUE, then=b"\1\0\0\0\1")), UnsupportedSignature, False),
    "a second half beyond the order": (_with(value=_beyond()), WrongSignature, None),
}  # fmt: skip
"""Bytes of a signature, the error, and whether `ssh-keygen` accepts them: `None` where that depends on its version."""


@pytest.mark.parametrize("form", FORMS)
def test_there_is_one_form_of_a_signature(form: str, judge: Judge) -> None:
    blob, error, openssh = FORMS[form]
    by = PENS["ed25519"]

    def check() -> None:
        sshsig.verify(sshsig.parse(sshsig.armour(blob)), MESSAGE, Purpose.COMMAND, by.public_key)

    if error:
        with pytest.raises(error):
            check()
    else:
        check()
    assert judge.agrees(openssh, sshsig.armour(blob), by.public_key, MESSAGE)


Numbers = Callable[[int, int], bytes]
NUMBERS: Final[Mapping[str, tuple[Numbers, type[Unacceptable] | None, bool]]] = {
    "good": (lambda r, s: wire.positive(r) + wire.positive(s), None, True),
    "swapped": (lambda r, s: wire.positive(s) + wire.positive(r), WrongSignature, False),
    "first zero": (lambda _, s: wire.string(b"") + wire.positive(s), MalformedSignature, False),
    "second zero": (lambda r, _: wire.positive(r) + wire.string(b"\0"), MalformedSignature, False),
    "both zero": (lambda *_: wire.string(b"") * 2, MalformedSignature, False),
    "first beyond the order": (lambda r, s: wire.positive(r + P256_ORDER) + wire.positive(s), MalformedSignature, False),
    "second the order": (lambda r, _: wire.positive(r) + wire.positive(P256_ORDER), MalformedSignature, False),
    "negative": (
        lambda r, s: wire.string(r.to_bytes(32, "big")) + wire.string((s | 1 << 255).to_bytes(32, "big")),
        MalformedSignature,
        False,
    ),
    "leading zeros": (
        lambda r, s: wire.string(bytes(4) + r.to_bytes(33, "big").lstrip(b"\0")) + wire.positive(s),
        MalformedSignature,
        True,
    ),
    "one number": (lambda r, _: wire.positive(r), MalformedSignature, False),
    "three numbers": (lambda r, s: wire.positive(r) + wire.positive(s) + wire.positive(1), MalformedSignature, False),
    "DER": (encode_dss_signature, MalformedSignature, False),
}
"""How the two numbers of ECDSA are written, the error, and whether `ssh-keygen` accepts it."""


@pytest.mark.parametrize("kind", ["p256", "sk-p256", "passkey"])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_the_numbers_of_ecdsa_are_written_in_one_way(kind: str, numbers: str, judge: Judge) -> None:
    by, (write, error, openssh) = PENS[kind], NUMBERS[numbers]
    signature = by.sign(MESSAGE)
    reader = wire.Reader(signature.form.value)
    changed = replace(signature, form=replace(signature.form, value=write(reader.positive(33, "r"), reader.positive(33, "s"))))
    if error:
        with pytest.raises(error):
            verify(changed, by)
    else:
        verify(changed, by)
    assert judge.agrees(openssh, armoured(changed), by.public_key, MESSAGE)


GOOD: Final = armoured(PENS["ed25519"].sign(MESSAGE))
BODY: Final = "".join(GOOD.splitlines()[1:-1])


TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "nothing": ("", "begin and end"),
    "no first letter": (GOOD[1:], "begin and end"),
    "a line before": ("\n" + GOOD, "begin and end"),
    "no last letters": (GOOD[:-3], "begin and end"),
    "two": (GOOD + GOOD, "not Base64"),
    "a line after": (GOOD + "\n", "begin and end"),
    "Windows": (GOOD.replace("\n", "\r\n"), "begin and end"),
    "another name": (GOOD.replace("SSH SIGNATURE", "SSH SIGNATURES"), "begin and end"),
    "one line": (f"-----BEGIN SSH SIGNATURE-----\n{BODY}-----END SSH SIGNATURE-----\n", "begin and end"),
    "no line": ("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n", "cut off"),
    "an empty line": ("-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n", "cut off"),
    "a space": (GOOD.replace(BODY[:10], BODY[:5] + " " + BODY[5:10]), "not Base64"),
    "an umlaut": (GOOD.replace(BODY[:10], "ü" + BODY[:10]), "not Base64"),
    "the alphabet of URLs": (GOOD.replace(BODY[:10], BODY[:10] + "-_"), "not Base64"),
    "very long": ("-----BEGIN SSH SIGNATURE-----\n" + "A" * 20_000 + "\n-----END SSH SIGNATURE-----\n", "longer than 16384 characters"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_no_signature_is_refused(text: str) -> None:
    written, says = TEXTS[text]
    with pytest.raises(MalformedSignature, match=says):
        sshsig.parse(written)


def test_lines_of_the_text_may_have_any_length() -> None:
    """`ssh-keygen` writes 70 characters, other programs 76; the bytes are what counts."""
    lines = "\n".join(BODY[at : at + 76] for at in range(0, len(BODY), 76))
    assert sshsig.unarmour(f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----") == sshsig.unarmour(GOOD)
    assert sshsig.armour(sshsig.unarmour(GOOD)) == GOOD


def test_every_reason_has_an_id_of_its_own_and_says_no_more_than_fits_a_line() -> None:
    rules = [kind.rule for kind in Unacceptable.__subclasses__()]
    assert len(set(rules)) == len(rules) == 11
    with pytest.raises(OtherPurpose) as raised:
        verify(replace(PENS["ed25519"].sign(MESSAGE), namespace="x" * 256), PENS["ed25519"])
    assert len(str(raised.value)) < 160


def test_each_kind_of_key_signs_in_one_form() -> None:
    forms = {kind: type(by.sign(MESSAGE).form) for kind, by in PENS.items()}
    assert forms == {"ed25519": Plain, "p256": Plain, "sk-ed25519": Touched, "sk-p256": Touched, "passkey": Asserted}
    assert PENS["passkey"].sign(MESSAGE).algorithm == WEBAUTHN
