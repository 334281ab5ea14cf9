"""Signing a release's files: OpenSSF model signing with a P-256 key.

| changed after signing | answer |
| --- | --- |
| nothing | verified, also by the `model_signing` program |
| one byte, an extra file, a missing file, a symbolic link | Unfit, naming the file |
| another key, another signature, a signature over fewer files | Unfit, naming model.sig |
"""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from activities.files import Unfit
from activities.missing import ExtraMissing, explained
from activities.release.artifacts import Manifest, Store, hashed
from activities.release.signing import Signed, Signing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "weights").mkdir(parents=True)
    (made / "LICENSE").write_text("MIT\n")
    (made / "weights" / "model.bin").write_bytes(bytes(range(256)) * 100)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "kept")


@pytest.fixture
def signing(tmp_path: Path, store: Store) -> Signing:
    return Signing(tmp_path / "keys" / "release.pem", store, tmp_path / "signatures")


def test_the_key_is_made_on_first_use_and_only_its_owner_reads_it(folder: Path, signing: Signing, tmp_path: Path) -> None:
    signed = signing.sign(folder, hashed(folder))
    key = tmp_path / "keys" / "release.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "PRIVATE" not in "".join(path.read_text(errors="replace") for path in (tmp_path / "kept").iterdir())
    signing.verify(folder, hashed(folder), signed)


def test_a_key_that_others_may_read_signs_nothing(folder: Path, signing: Signing, tmp_path: Path) -> None:
    signing.sign(folder, hashed(folder))
    (tmp_path / "keys" / "release.pem").chmod(0o644)
    with pytest.raises(Unfit, match="chmod 600"):
        signing.sign(folder, hashed(folder))


def test_signing_again_gives_the_same_signature(folder: Path, signing: Signing, store: Store, tmp_path: Path) -> None:
    first = signing.sign(folder, hashed(folder))
    again = Signing(tmp_path / "keys" / "release.pem", store, tmp_path / "signatures")
    assert again.sign(folder, hashed(folder)) == first


async def test_two_workers_that_sign_at_once_agree(folder: Path, signing: Signing) -> None:
    signed = await asyncio.gather(*(asyncio.to_thread(signing.sign, folder, hashed(folder)) for _ in range(4)))
    assert len(set(signed)) == 1


def test_anybody_can_verify_with_the_program_that_everybody_has(folder: Path, signing: Signing, store: Store) -> None:
    signed = signing.sign(folder, hashed(folder))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    files = ["--signature", str(store.path(signed.signature)), "--public_key", str(store.path(signed.key))]
    assert subprocess.run([*command, *files], check=False, capture_output=True).returncode == 0
    (folder / "LICENSE").write_text("GPL\n")
    assert subprocess.run([*command, *files], check=False, capture_output=True).returncode != 0


def _byte(folder: Path) -> None:
    with (folder / "weights/model.bin").open("r+b") as file:
        file.write(b"\xff")


def _extra(folder: Path) -> None:
    (folder / "weights" / "extra.py").write_text("")


def _missing(folder: Path) -> None:
    (folder / "LICENSE").unlink()


def _link(folder: Path) -> None:
    (folder / "weights" / "link").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("tamper", "named"),
    [(_byte, r"weights/model\.bin"), (_extra, r"weights/extra\.py"), (_missing, "LICENSE"), (_link, "weights/link")],
)
def test_what_was_tampered_with_is_refused_by_name(tamper: object, named: str, folder: Path, signing: Signing) -> None:
    manifest = hashed(folder)
    signed = signing.sign(folder, manifest)
    tamper(folder)  # type: ignore[operator]
    with pytest.raises(Unfit, match=named):
        signing.verify(folder, manifest, signed)
    with pytest.raises(Unfit, match=named):
        signing.sign(folder, manifest)


def test_a_signature_by_another_key_does_not_verify(folder: Path, signing: Signing, store: Store, tmp_path: Path) -> None:
    ours = signing.sign(folder, hashed(folder))
    other = Signing(tmp_path / "keys" / "other.pem", store, tmp_path / "others").sign(folder, hashed(folder))
    with pytest.raises(Unfit, match=r"model\.sig"):
        signing.verify(folder, hashed(folder), Signed(other.signature, ours.key))


def test_a_signature_over_other_files_does_not_verify(folder: Path, signing: Signing) -> None:
    before: Manifest = hashed(folder)
    signed = signing.sign(folder, before)
    (folder / "more.txt").write_text("more")
    with pytest.raises(Unfit, match=r"model\.sig"):
        signing.verify(folder, hashed(folder), signed)


def test_a_signature_that_was_changed_where_it_is_kept_is_found_out(folder: Path, signing: Signing, store: Store) -> None:
    signed = signing.sign(folder, hashed(folder))
    store.path(signed.signature).write_bytes(b"{}")
    with pytest.raises(Unfit, match="changed"):
        signing.verify(folder, hashed(folder), signed)
    junk = store.put(b"{}")
    with pytest.raises(Unfit, match=r"model\.sig"):
        signing.verify(folder, hashed(folder), Signed(junk, signed.key))


def test_a_library_that_is_not_there_says_which_extra_brings_it() -> None:
    with pytest.raises(ExtraMissing, match=r"pip install 'open-model-consortium\[release\]'"), explained():
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401
