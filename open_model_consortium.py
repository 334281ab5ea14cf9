"""The command `consortium`, as it is installed: under a name of its own, which no other package overwrites.

The packages beside it have names that others use too (`cli`, `domain`, `settings`). When another package in the same
environment has put its files in their place, this module says so in one sentence.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final, NoReturn

NAME: Final = "open-model-consortium"
BAD_INPUT: Final = 4
"""The exit code for an environment that cannot be meant (cli/failures.py, which may be what is gone)."""


def main() -> NoReturn:
    """Runs the command line of this process, and ends it."""
    try:
        from cli.main import main as run

        run()
    except Exception:
        _end_if_overwritten()
        raise


def overwritten() -> tuple[str, ...]:
    """Those of our installed files that hold something else now; none where the installation keeps no record of them (editable)."""
    return tuple(sorted(_changed()))


def sentence(files: tuple[str, ...]) -> str:
    """What to do about overwritten files."""
    return (
        f"another package has overwritten {', '.join(files[:3])}{' …' if len(files) > 3 else ''}: "
        f"install {NAME} in an environment of its own (`pipx install {NAME}`, `uv tool install {NAME}`)"
    )


def _changed() -> Iterator[str]:
    try:
        files = distribution(NAME).files or ()
    except PackageNotFoundError:
        return
    for file in files:
        if file.hash is None or file.suffix != ".py":
            continue
        try:
            content = file.read_binary()
        except OSError:
            yield str(file)
            continue
        if base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode() != file.hash.value:
            yield str(file)


def _end_if_overwritten() -> None:
    if files := overwritten():
        sys.stderr.write(f"bad input: {sentence(files)}\n")
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
