"""Artifacts: what lies in a release's folder, byte for byte, and what does not belong there.

| found | answer |
| --- | --- |
| the manifest's files, byte for byte | fits |
| one byte changed, an extra file, a missing file | Unfit, naming the file |
| a symbolic link (to a file, to a folder, out of the folder), a pipe, a socket | Unfit, naming it |
| `..`, absolute, hidden, invisible or ambiguous names, in the folder or in a manifest | Unfit, naming it |
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from activities.files import Unfit, checked, opened, working
from activities.release.artifacts import Artifact, Store, content, copied, hashed, manifest_from, manifest_of, require_same
from domain.kernel import canonical


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "weights").mkdir(parents=True)
    (made / "LICENSE").write_text("MIT\n")
    (made / "weights" / "model.bin").write_bytes(bytes(range(256)) * 100)
    return made


def test_the_manifest_lists_every_file_with_its_hash_and_does_not_depend_on_who_asks(folder: Path) -> None:
    manifest = hashed(folder)
    assert [(file.path, file.size) for file in manifest.files] == [("LICENSE", 4), ("weights/model.bin", 25_600)]
    assert manifest.size == 25_604
    assert manifest == hashed(folder)
    assert len(manifest.digest) == 64


def test_a_manifest_is_kept_under_its_own_digest_and_found_again(folder: Path, tmp_path: Path) -> None:
    store, manifest = Store(tmp_path / "kept"), hashed(folder)
    assert store.put(canonical(manifest)) == store.put(canonical(manifest)) == manifest.digest
    assert store.manifest(manifest.digest) == manifest


def test_what_was_changed_where_it_is_kept_is_found_out(folder: Path, tmp_path: Path) -> None:
    store, manifest = Store(tmp_path / "kept"), hashed(folder)
    digest = store.put(canonical(manifest))
    store.path(digest).write_bytes(canonical(manifest).replace(b"25600", b"25601"))
    with pytest.raises(Unfit, match="changed"):
        store.manifest(digest)
    with pytest.raises(Unfit, match="missing"):
        store.manifest("0" * 64)
    with pytest.raises(Unfit, match="not a SHA-256"):
        store.manifest("../../etc/passwd")


def test_one_byte_changed_is_refused_by_name(folder: Path) -> None:
    manifest = hashed(folder)
    with (folder / "weights/model.bin").open("r+b") as file:
        file.seek(12_345)
        file.write(b"\xff")
    with pytest.raises(Unfit, match=r"weights/model\.bin: changed"):
        require_same(folder, manifest)


def test_an_extra_file_is_refused_by_name(folder: Path) -> None:
    manifest = hashed(folder)
    (folder / "weights" / "extra.py").write_text("import os")
    with pytest.raises(Unfit, match=r"weights/extra\.py: an extra file"):
        require_same(folder, manifest)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    manifest = hashed(folder)
    (folder / "LICENSE").unlink()
    with pytest.raises(Unfit, match="LICENSE: missing"):
        require_same(folder, manifest)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "LICENSE", "weights"])
def test_a_symbolic_link_is_refused_by_name_wherever_it_leads(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    with pytest.raises(Unfit, match="link: a symbolic link"):
        hashed(folder)


def test_a_file_swapped_for_a_link_between_two_looks_is_not_followed(folder: Path, tmp_path: Path) -> None:
    manifest = hashed(folder)
    (tmp_path / "elsewhere").mkdir()
    (folder / "weights" / "model.bin").rename(tmp_path / "elsewhere" / "model.bin")
    (folder / "weights").rmdir()
    (folder / "weights").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unfit, match=r"weights/model\.bin: a symbolic link"), opened(folder, manifest.files[1].path):
        pass


def test_pipes_and_sockets_are_no_artifacts(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(Unfit, match="pipe: not an ordinary file"):
        hashed(folder)
    with pytest.raises(Unfit, match="pipe: not an ordinary file"), opened(folder, "pipe"):
        pass
    (folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "talk"))
        with pytest.raises(Unfit, match="talk: not an ordinary file"), opened(folder, "talk"):
            pass


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "a/../b",
        "/etc/passwd",
        "C:/x",
        "a\\b",
        "a//b",
        "./a",
        "",
        ".git/config",
        "a\nb",
        "a\u202eb",
        "e\u0301",
        "a/ b",
        "x/" * 20 + "y",
    ],
)
def test_names_that_leave_the_folder_hide_or_deceive_are_refused(path: str) -> None:
    with pytest.raises(Unfit):
        checked(path)


@pytest.mark.parametrize("path", [".git/config", "weights/.hidden"])
def test_a_hidden_file_is_refused_in_words_that_hold_in_every_folder(path: str) -> None:
    with pytest.raises(Unfit) as refused:
        checked(path)
    assert refused.value.why == "hidden files are not read; remove or rename it"


def test_a_manifest_with_a_path_out_of_the_folder_is_refused_by_name(folder: Path) -> None:
    forged = canonical(hashed(folder)).replace(b'"LICENSE"', b'"../../LICENSE"')
    with pytest.raises(Unfit, match=r"\.\./\.\./LICENSE"):
        manifest_from(forged)


def test_a_manifest_that_lists_a_file_twice_or_out_of_order_is_refused(folder: Path) -> None:
    manifest = hashed(folder)
    with pytest.raises(Unfit, match="sorted"):
        manifest_from(canonical(manifest.model_copy(update={"files": manifest.files[::-1]})))
    with pytest.raises(Unfit, match="is missing|must be"):
        manifest_from(b'{"files": []}')


def test_names_that_some_systems_cannot_tell_apart_are_refused(folder: Path) -> None:
    (folder / "license").write_text("other")
    with pytest.raises(Unfit, match="cannot tell it from"):
        hashed(folder)


def test_an_empty_folder_and_a_missing_one_have_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="no file"):
        hashed(tmp_path)
    with pytest.raises(Unfit, match="no such folder"):
        hashed(tmp_path / "nowhere")


def test_a_copy_is_hashed_while_it_is_made_so_that_nothing_else_is_published(folder: Path, tmp_path: Path) -> None:
    manifest = hashed(folder)
    (tmp_path / "good").mkdir()
    copied(folder, manifest, tmp_path / "good")
    require_same(tmp_path / "good", manifest)
    (folder / "LICENSE").write_text("Not\n")
    (tmp_path / "bad").mkdir()
    with pytest.raises(Unfit, match="LICENSE: changed"):
        copied(folder, manifest, tmp_path / "bad")


def test_a_small_file_is_read_only_as_the_manifest_has_it(folder: Path) -> None:
    licence = hashed(folder).by_path["LICENSE"]
    assert content(folder, licence) == b"MIT\n"
    (folder / "LICENSE").write_bytes(b"x" * 3_000_000)
    with pytest.raises(Unfit, match="LICENSE"):
        content(folder, licence)


def test_a_large_file_is_streamed_and_progress_is_told(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    with (big / "model.bin").open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    heard: list[int] = []
    tracemalloc.start()
    hashed(big, lambda _path, done: heard.append(done))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert heard == sorted(heard)
    assert heard[-1] == 256 * 1024 * 1024
    assert peak < 20 * 1024 * 1024


async def test_work_that_is_cancelled_stops_reading(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    with (big / "model.bin").open("wb") as file:
        file.truncate(64 * 1024 * 1024 * 1024)
    reached: list[int] = []

    def work(told: object) -> None:
        def heard(path: str, done: int) -> None:
            reached.append(done)
            told(path, done)  # type: ignore[operator]

        hashed(big, heard)

    task = asyncio.create_task(working(work))
    while not reached:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.2)
    seen = len(reached)
    await asyncio.sleep(0.2)
    assert len(reached) == seen


def test_a_manifest_keeps_the_digest_of_the_file_that_it_was_read_from(tmp_path: Path) -> None:
    """A later release may write a manifest otherwise, with a further field; what was approved before keeps its name."""
    made = manifest_of([Artifact(path="a", size=1, sha256="0" * 64)])
    written = json.dumps(json.loads(canonical(made)), indent=1).encode()  # the same manifest, as another release might write it
    store = Store(tmp_path)
    read = store.manifest(store.put(written))
    assert read == made
    assert read.digest == hashlib.sha256(written).hexdigest() != made.digest
