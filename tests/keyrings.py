"""Keys of persons in a folder, as the command line finds them: without a passphrase, each with its request."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from activities.log.keyring import Keyring

ATLAS: Final = "consortium/atlas"


def keys_in(folder: Path, *persons: str, consortium: str = ATLAS) -> None:
    """A key for each person, and its request for a consortium that is to be founded, or whose log begins with the entry of this hash."""
    ring = Keyring(folder / "keys")
    for person in persons:
        ring.keep(ring.ask(person, consortium))
