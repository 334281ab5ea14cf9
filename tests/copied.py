"""A copy of this tree in which something is changed, tried and put back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parent.parent
_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "*-pytest-*", "*.pyc.*", "state", "*.egg-info")
"""What is compiled already is copied, but for what pytest compiled, which would name this tree where a test fails, and what is being written."""
_PYTEST: Final = ("pytest", "-q", "-rfE", "--tb=short", "--no-header", "-p", "no:cacheprovider")


@dataclass
class Copy:
    """A copy of this tree."""

    folder: Path
    _count: int = field(default=0, init=False)

    @classmethod
    def into(cls, folder: Path) -> Self:
        """A fresh copy, in a folder that there is not yet."""
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)
        return cls(folder)

    def run(self, *words: str, limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
        """What a module says that is run in the copy; `limit` is called in its process before it begins."""
        return subprocess.run(
            (sys.executable, "-m", *words), cwd=self.folder, env=os.environ | {"PYTHONPATH": str(self.folder), "COLUMNS": "300"},
            capture_output=True, text=True, errors="replace", check=False, preexec_fn=limit,
        )  # fmt: skip

    def pytest(self, *words: str, limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
        """What the tests of the copy say that are named like this."""
        return self.run(*_PYTEST, *words, limit=limit)

    def write(self, path: Path, text: str) -> None:
        """Writes a file. Compiled modules are told apart by the second of their source: each change is of another one."""
        self._count += 1
        place = self.folder / path
        place.write_text(text, encoding="utf-8")
        os.utime(place, (self._count, self._count))

    def put_back(self, before: Mapping[Path, str]) -> None:
        """Writes what stood in files before."""
        for path, text in before.items():
            self.write(path, text)


def failed(said: str) -> list[str]:
    """The lines in which pytest names a test that failed, or a file that it could not read; that there is no such file is none of them."""
    return [line for line in said.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
