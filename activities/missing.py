"""What to do when an optional part of this package is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ExtraMissing(Exception):
    """A library or program that only some installations need is not there; the text says what to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; `pip install 'open-model-consortium[{extra}]'` brings it")


@contextmanager
def explained(extra: str = "release") -> Iterator[None]:
    """Imports inside it that fail say which extra brings the library."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(error.name or "a library", extra) from error
