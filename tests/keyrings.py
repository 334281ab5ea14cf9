"""Keys of persons in a folder, as the command line finds them: without a passphrase, each with its request; and what they sign."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from activities.log.keyring import Keyring
from activities.log.signed import Moment, sign
from domain.kernel import LOG
from eventstore.entries import EMPTY

ATLAS: Final = "consortium/atlas"


def keys_in(folder: Path, *persons: str, consortium: str = ATLAS) -> None:
    """A key for each person, and its request for a consortium that is to be founded, or whose log begins with the entry of this hash."""
    ring = Keyring(folder / "keys")
    for person in persons:
        ring.keep(ring.ask(person, consortium))


class Holders:
    """People who sign what they send to workers on a folder, by its clock, the system's."""

    def __init__(self, folder: Path) -> None:
        self._ring = Keyring(folder / "keys")
        self.first = ""
        """The hash of the log's first entry, once the founding was answered with it."""

    def key_of(self, person: str, consortium: str = "") -> dict[str, str]:
        """A key and its proof, as commands bring them; before the founding for the consortium of this name."""
        asked = self._ring.ask(person, consortium or self.first)
        return {"public_key": asked.public_key, "proof": asked.proof}

    def founding(self, charter: Mapping[str, Any], officers: Mapping[str, Collection[str]], stream: str = ATLAS) -> dict[str, Any]:
        """The founding by these officers, with the keys of all and of the workers on the folder."""
        named = [
            {"person": person, "offices": sorted(map(str, offices)), **self.key_of(person, stream)} for person, offices in officers.items()
        ]
        log = self.key_of(LOG, stream)
        return {"kind": "found", "charter": charter, "officers": named, "log_key": log["public_key"], "log_key_proof": log["proof"]}

    def sign(self, stream: str, command_id: str, by: str, command: dict[str, Any]) -> dict[str, str]:
        """What is sent with the command: the statement and the signature."""
        moment = Moment(self.first, EMPTY, datetime.now(UTC))
        return sign(self._ring.own(by), by, stream, command_id, command, moment)._asdict()
