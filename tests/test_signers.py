"""What signs for a person: files of OpenSSH, a real ssh-agent, `ssh-keygen`; none of them hands on what would be refused, or shows a secret."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import threading
from base64 import b64decode, encodebytes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from signatures import keys, sshsig, wire
from signatures.errors import WrongSignature
from signatures.keys import Algorithm, PublicKey
from signatures.signers import (
    MAX_FILE,
    AgentSigner,
    CannotSign,
    KeygenSigner,
    KeySigner,
    Signer,
    WrongPassphrase,
    from_agent,
    from_file,
    held_by_agent,
    new_key,
)
from signatures.sshsig import Purpose, Touched
from tests.authenticator import Judge, needs_ssh_keygen, pen

MESSAGE: Final = b'{"actor":"ada"}'
PASSPHRASE: Final = "Ångström sagt: «ja»".encode()
SECURITY_KEY: Final = pen(Algorithm.SK_P256, "ssh:atlas")


def never() -> bytes:
    raise AssertionError("asked for a passphrase that there is not")


def made_by_openssh(path: Path, kind: str, passphrase: str = "", *more: str) -> Path:
    subprocess.run(
        ("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "ada at home", "-f", path, *more), check=True, capture_output=True
    )
    return path


# ---------------------------------------------------------------- files


@needs_ssh_keygen
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize(("kind", "passphrase"), [("ed25519", ""), ("ed25519", "sesame"), ("ecdsa", ""), ("ecdsa", "sesame")])
def test_a_key_of_openssh_signs_what_ssh_keygen_accepts(kind: str, passphrase: str, purpose: Purpose, tmp_path: Path) -> None:
    path = made_by_openssh(tmp_path / "key", kind, passphrase, "-a", "1")
    signer = from_file(path, passphrase.encode if passphrase else never)
    assert signer.public_key == keys.parse((tmp_path / "key.pub").read_text(encoding="utf-8"))
    armoured = signer.sign(MESSAGE, purpose)
    sshsig.verify(sshsig.parse(armoured), MESSAGE, purpose, signer.public_key)
    assert Judge(tmp_path).accepts(armoured, MESSAGE, purpose, signer.public_key.line)


@needs_ssh_keygen
def test_a_new_key_is_read_by_openssh_with_its_passphrase_only(tmp_path: Path) -> None:
    made = new_key(tmp_path / "ada", PASSPHRASE, "ada@home")
    public = (tmp_path / "ada.pub").read_text(encoding="utf-8")
    assert public == f"{made.public_key.line} ada@home\n"
    words = ("ssh-keygen", "-y", "-f", tmp_path / "ada", "-P")
    assert subprocess.run((*words, PASSPHRASE), capture_output=True, text=True, check=True).stdout.split()[1] == public.split()[1]
    assert subprocess.run((*words, "wrong"), capture_output=True, check=False).returncode != 0
    assert from_file(tmp_path / "ada", lambda: PASSPHRASE).public_key == made.public_key


def test_a_new_key_is_readable_for_its_owner_alone_whatever_the_shell_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        new_key(tmp_path / "ada", None, "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "ada").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ada.pub").stat().st_mode) == 0o644
    assert from_file(tmp_path / "ada", never).sign(MESSAGE, Purpose.LOGIN)


@pytest.mark.parametrize("there", ["ada", "ada.pub"])
@pytest.mark.parametrize("link", [False, True])
def test_a_key_is_never_overwritten(there: str, *, link: bool, tmp_path: Path) -> None:
    if link:
        (tmp_path / there).symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / there).write_text("precious", encoding="utf-8")
    with pytest.raises(CannotSign, match="is there already: a key is never overwritten"):
        new_key(tmp_path / "ada", None, "")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert link or (tmp_path / there).read_text(encoding="utf-8") == "precious"


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CannotSign, match="cannot be written: No such file"):
        new_key(tmp_path / "nowhere" / "ada", None, "")
    with pytest.raises(CannotSign, match="one line"):
        new_key(tmp_path / "ada", None, "ada\nssh-ed25519 AAAA")
    for passphrase in (b"", b"x" * 2_000):
        with pytest.raises(CannotSign, match="1 to 1,024 bytes"):
            new_key(tmp_path / "ada", passphrase, "")
    assert not list(tmp_path.iterdir())


def test_a_wrong_passphrase_can_be_asked_for_again(tmp_path: Path) -> None:
    new_key(tmp_path / "ada", PASSPHRASE, "")
    for wrong in (b"", PASSPHRASE + b" "):
        with pytest.raises(WrongPassphrase, match="does not open it") as raised:
            from_file(tmp_path / "ada", lambda wrong=wrong: wrong)  # type: ignore[misc]
        assert PASSPHRASE.decode() not in str(raised.value)


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path: Path) -> None:
    """Files may not grow past the public half."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(CannotSign, match="cannot be written: File too large"):
            new_key(tmp_path / "ada", None, "ada")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_is_not_used(mode: int, tmp_path: Path) -> None:
    new_key(tmp_path / "ada", None, "")
    (tmp_path / "ada").chmod(mode)
    with pytest.raises(CannotSign, match="can be read by others: `chmod 600"):
        from_file(tmp_path / "ada", never)


def _private(path: Path, written: bytes) -> Path:
    path.write_bytes(written)
    path.chmod(0o600)
    return path


def _wrapped(blob: bytes) -> bytes:
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + encodebytes(blob) + b"-----END OPENSSH PRIVATE KEY-----\n"


def _head(public: bytes, cipher: bytes = b"none", count: int = 1) -> bytes:
    return b"openssh-key-v1\0" + wire.strings([cipher, b"none", b""]) + count.to_bytes(4, "big") + wire.string(public)


UNREADABLE: Final = {
    "nothing": (b"", "is no private key of OpenSSH"),
    "a public key": (SECURITY_KEY.public_key.line.encode(), "without `.pub`"),
    "another format": (
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "is no private key of OpenSSH",
    ),
    "a large file": (bytes(MAX_FILE + 1), "larger than 65536 bytes"),
    "no Base64": (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "cannot be used"),
    "another beginning": (_wrapped(b"openssh-key-v2\0" + bytes(100)), "its beginning is another"),
    "a beginning alone": (_wrapped(b"openssh-key-v1\0"), "its cipher is cut off"),
    "two keys": (_wrapped(_head(SECURITY_KEY.public_key.blob, count=2)), "its number of keys is another"),
    "an RSA key": (_wrapped(_head(wire.strings([b"ssh-rsa", b"\1\0\1", b"\0" + b"\x99" * 256]))), "ssh-rsa is not taken"),
    "no secret": (_wrapped(_head(pen(Algorithm.ED25519).public_key.blob)), "is damaged"),
    "an unknown cipher": (_wrapped(_head(pen(Algorithm.ED25519).public_key.blob, b"rot13")), "`ssh-keygen -p -f"),
}


@pytest.mark.parametrize("written", UNREADABLE)
def test_a_file_that_is_no_key_is_refused_in_plain_words(written: str, tmp_path: Path) -> None:
    content, says = UNREADABLE[written]
    with pytest.raises(CannotSign, match=says):
        from_file(_private(tmp_path / "key", content), lambda: b"")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, says in ((tmp_path / "pipe", "is no file"), (tmp_path, "is no file"), (tmp_path / "none", "No such file")):
        with pytest.raises(CannotSign, match=says):
            from_file(path, never)


def test_a_file_whose_halves_are_of_two_keys_signs_nothing(tmp_path: Path) -> None:
    """Else a person would sign with another key than the one that they were shown."""
    one, other = (new_key(tmp_path / name, None, "").public_key for name in ("one", "other"))
    lines = (tmp_path / "one").read_bytes().splitlines()
    blob = b64decode(b"".join(lines[1:-1])).replace(one.blob, other.blob, 1)
    written = b"\n".join([lines[0], encodebytes(blob).rstrip(b"\n"), lines[-1], b""])
    with pytest.raises(CannotSign, match="is damaged"):
        from_file(_private(tmp_path / "mixed", written), never)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    signer = new_key(tmp_path / "ada", None, "")
    assert repr(signer) == f"KeySigner({signer.public_key.fingerprint})"


# ---------------------------------------------------------------- security keys


def stand_in(folder: Path, answer: str) -> str:
    """A program in the place of `ssh-keygen` that answers this, whatever it is asked."""
    (folder / "answer").write_text(answer, encoding="utf-8")
    program = folder / "ssh-keygen"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/words\ncat > {folder}/message\nexec cat {folder}/answer\n', encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def test_a_security_key_signs_through_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _private(tmp_path / "id_ecdsa_sk", _wrapped(_head(SECURITY_KEY.public_key.blob)))
    armoured = sshsig.armour(sshsig.encode(SECURITY_KEY.sign(MESSAGE, Purpose.POSSESSION)))
    stand_in(tmp_path, armoured)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    signer = from_file(path, never)
    assert isinstance(signer, KeygenSigner)
    assert signer.sign(MESSAGE, Purpose.POSSESSION) == armoured
    assert (tmp_path / "message").read_bytes() == MESSAGE
    assert (tmp_path / "words").read_text(encoding="utf-8").split() == ["-Y", "sign", "-f", str(path), "-n", Purpose.POSSESSION]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "no signature that is taken"),
        ("ü", "no signature that is taken"),
        ("x" * 1_000_000, "no signature that is taken"),
        (sshsig.armour(sshsig.encode(SECURITY_KEY.sign(b"other"))), "would not be accepted"),
        (sshsig.armour(sshsig.encode(SECURITY_KEY.sign(MESSAGE, Purpose.LOGIN))), "would not be accepted"),
        (sshsig.armour(sshsig.encode(pen(Algorithm.ED25519).sign(MESSAGE))), "another key signed"),
        (
            sshsig.armour(sshsig.encode(SECURITY_KEY.seal(SECURITY_KEY.touched(sshsig.to_be_signed(MESSAGE, Purpose.COMMAND), flags=0)))),
            "without being touched",
        ),
    ],
    ids=["nothing", "no ASCII", "too much", "another message", "another purpose", "another key", "untouched"],
)
def test_what_would_be_refused_is_not_handed_on(answer: str, says: str, tmp_path: Path) -> None:
    signer = KeygenSigner(tmp_path / "key", SECURITY_KEY.public_key, stand_in(tmp_path, answer))
    with pytest.raises(CannotSign, match=says):
        signer.sign(MESSAGE, Purpose.COMMAND)


def test_a_security_key_that_does_not_sign_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotSign, match="cannot be run .No such file"):
        KeygenSigner(tmp_path / "key", SECURITY_KEY.public_key, str(tmp_path / "none")).sign(MESSAGE, Purpose.COMMAND)
    with pytest.raises(CannotSign, match="is the security key plugged in"):
        KeygenSigner(tmp_path / "key", SECURITY_KEY.public_key, "false").sign(MESSAGE, Purpose.COMMAND)


@needs_ssh_keygen
def test_ssh_keygen_itself_signs_what_is_accepted(tmp_path: Path) -> None:
    path = made_by_openssh(tmp_path / "key", "ed25519")
    key = keys.parse((tmp_path / "key.pub").read_text(encoding="utf-8"))
    armoured = KeygenSigner(path, key).sign(MESSAGE, Purpose.AGREEMENT)
    assert armoured == from_file(path, never).sign(MESSAGE, Purpose.AGREEMENT)
    sshsig.verify(sshsig.parse(armoured), MESSAGE, Purpose.AGREEMENT, key)


# ---------------------------------------------------------------- an agent


def add(*words: str | Path) -> None:
    subprocess.run(("ssh-add", *words), check=True, capture_output=True, stdin=subprocess.DEVNULL)


@needs_ssh_keygen
def test_the_keys_in_an_agent_sign_what_ssh_keygen_accepts(agent: Path, tmp_path: Path) -> None:
    assert held_by_agent() == []
    for number, (kind, *more) in enumerate((("ed25519",), ("ecdsa",), ("ecdsa", "-b", "384"))):
        add("-q", made_by_openssh(tmp_path / str(number), kind, "", *more))
    held = held_by_agent()
    assert [each.key.algorithm for each in held] == [Algorithm.ED25519, Algorithm.P256]
    assert {each.comment for each in held} == {"ada at home"}
    for each in held:
        signer = from_agent(each.key)
        armoured = signer.sign(MESSAGE, Purpose.COMMAND)
        sshsig.verify(sshsig.parse(armoured), MESSAGE, Purpose.COMMAND, each.key)
        assert Judge(tmp_path).accepts(armoured, MESSAGE, Purpose.COMMAND, each.key.line)


@needs_ssh_keygen
def test_an_agent_that_does_not_sign_says_so(agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key(tmp_path / "ada", None, "").public_key
    with pytest.raises(CannotSign, match="does not hold SHA256:.*: `ssh-add`"):
        from_agent(key)
    add("-q", tmp_path / "ada")
    signer = from_agent(key)
    assert signer.sign(MESSAGE, Purpose.LOGIN)
    add("-q", "-D")
    with pytest.raises(CannotSign, match="did not sign with SHA256:"):
        signer.sign(MESSAGE, Purpose.LOGIN)
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(CannotSign, match="SSH_AUTH_SOCK is not set"):
        held_by_agent()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    with pytest.raises(CannotSign, match="no ssh-agent answers at"):
        held_by_agent()


@contextmanager
def answering(listening: Path, answer: bytes) -> Iterator[None]:
    """An agent that says this to whatever it is asked, and hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(listening))
        server.listen()

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(65_536)
                caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


ED25519: Final = pen(Algorithm.ED25519)
SIGNED: Final = ED25519.raw(sshsig.to_be_signed(MESSAGE, Purpose.COMMAND))


def _signed(*parts: bytes) -> bytes:
    return wire.string(b"\x0e" + wire.string(wire.strings(parts)))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "hung up"),
        (b"\0\0", "hung up"),
        (b"\0\0\0\x10abc", "hung up"),
        (b"\0\0\0\0", "answer is 0 bytes long"),
        (b"\xff\xff\xff\xff", "answer is 4294967295 bytes long"),
        (wire.string(b"\5"), "does not tell its keys|did not sign"),
        (wire.string(b"\x0c\xff\xff\xff\xff"), "agent's number of keys is 4294967295|did not sign"),
        (wire.string(b"\x0c\0\0\0\1\0\0\0\4abc"), "a key is cut off|did not sign"),
        (wire.string(b"\x0c\0\0\0\0x"), "1 bytes too many|did not sign"),
    ],
    ids=["nothing", "half a length", "half an answer", "empty", "4 GB", "no", "many keys", "half a key", "more"],
)
@pytest.mark.parametrize(
    "ask", [held_by_agent, lambda: AgentSigner(ED25519.public_key, os.environ["SSH_AUTH_SOCK"]).sign(MESSAGE, Purpose.LOGIN)]
)
def test_an_agent_that_answers_nonsense_is_not_believed(
    answer: bytes, says: str, ask: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with answering(tmp_path / "agent", answer), pytest.raises(CannotSign, match=says):
        ask()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (_signed(b"ssh-ed25519", ED25519.raw(b"another")), "would not be accepted: the signature is not"),
        (_signed(b"ssh-ed25519", b"short"), "no signature that is taken"),
        (_signed(b"rsa-sha2-512", bytes(256)), "no signature that is taken"),
        (_signed(b"ssh-ed25519", SIGNED) + b"rest", ""),
        (wire.string(b"\x0e"), "no signature that is taken"),
        (wire.string(b"\x0e" + wire.string(wire.strings([b"ssh-ed25519", SIGNED])) + b"x"), "no signature that is taken"),
    ],
    ids=["another message", "short", "RSA", "good, and more on the line", "empty", "more within"],
)
def test_what_an_agent_signed_is_checked_before_it_is_handed_on(answer: bytes, says: str, tmp_path: Path) -> None:
    signer = AgentSigner(ED25519.public_key, str(tmp_path / "agent"))
    with answering(tmp_path / "agent", answer):
        if says:
            with pytest.raises(CannotSign, match=says):
                signer.sign(MESSAGE, Purpose.COMMAND)
        else:
            sshsig.verify(sshsig.parse(signer.sign(MESSAGE, Purpose.COMMAND)), MESSAGE, Purpose.COMMAND, ED25519.public_key)


def test_a_key_in_memory_signs_for_its_purpose() -> None:
    signer = KeySigner(ED25519.private)
    signature = sshsig.parse(signer.sign(MESSAGE, Purpose.COMMAND))
    with pytest.raises(WrongSignature):
        sshsig.verify(signature, b"other", Purpose.COMMAND, signer.public_key)


# ---------------------------------------------------------------- a security key behind the real `ssh-keygen`

HANDLE: Final = b"by which the device knows its key"
VERSIONS: Final = ("000a0000", "00090000", "00080000", "00070000", "000b0000", "000c0000")
"""Of the interface between `ssh-keygen` and a security key's middleware: each OpenSSH knows one."""


def _sk_file(path: Path, key: PublicKey) -> Path:
    """What `ssh-keygen -t ed25519-sk` writes: no secret, but the handle by which the device knows its key."""
    fields = key.blob + b"\1" + wire.strings([HANDLE, b"", b"ada at home"])
    private = b"same" * 2 + fields
    private += bytes(range(1, 1 + -len(private) % 8))
    return _private(path, _wrapped(_head(key.blob) + wire.string(private)))


@pytest.fixture(scope="session")
def middleware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler: the middleware of a security key cannot be made")
    library = tmp_path_factory.mktemp("middleware") / "security_key.so"
    subprocess.run((compiler, "-shared", "-fPIC", "-o", library, Path(__file__).parent / "security_key.c"), check=True)
    return library


@needs_ssh_keygen
@pytest.mark.parametrize("algorithm", [Algorithm.SK_ED25519, Algorithm.SK_P256])
def test_a_security_key_signs_through_the_real_ssh_keygen(
    algorithm: Algorithm, middleware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = pen(algorithm, "ssh:atlas")
    signer = from_file(_sk_file(tmp_path / "id_sk", by.public_key), never)
    monkeypatch.setenv("SSH_SK_PROVIDER", str(middleware))
    monkeypatch.setenv("SK_FOLDER", str(tmp_path))
    monkeypatch.setenv("SK_SIGNS", f"cat {tmp_path}/answer")
    signed = sshsig.to_be_signed(MESSAGE, Purpose.COMMAND)
    (tmp_path / "answer").write_text(_words(by.touched(signed)), encoding="utf-8")
    armoured = _by_any_version(signer, monkeypatch)
    assert (tmp_path / "asked").read_text(encoding="utf-8").split() == ["ssh:atlas", HANDLE.hex(), signed.hex()]
    sshsig.verify(sshsig.parse(armoured), MESSAGE, Purpose.COMMAND, by.public_key)
    assert Judge(tmp_path).accepts(armoured, MESSAGE, Purpose.COMMAND, by.public_key.line)
    (tmp_path / "answer").write_text(_words(by.touched(signed, flags=0)), encoding="utf-8")
    with pytest.raises(CannotSign, match="without being touched"):
        signer.sign(MESSAGE, Purpose.COMMAND)


def _words(form: Touched) -> str:
    """As the middleware reads them: flags, counter, and the signature's one part or two."""
    if len(form.value) == 64:
        return f"{form.flags:d} {form.counter} {form.value.hex()}"
    reader = wire.Reader(form.value)
    return f"{form.flags:d} {form.counter} " + " ".join(reader.positive(33, "number").to_bytes(32, "big").hex() for _ in "rs")


def _by_any_version(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> str:
    for version in VERSIONS:
        monkeypatch.setenv("SK_VERSION", version)
        with suppress(CannotSign):
            return signer.sign(MESSAGE, Purpose.COMMAND)
    pytest.skip("this OpenSSH speaks another version with the middleware of security keys, or was built without them")
