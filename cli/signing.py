"""Who gives a command: a key, whose it is, and the statement that it signs."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from activities.log.keyring import Keyring, public_half
from activities.log.signed import Moment, Signed, sign
from cli.failures import BadInput, of_file
from cli.options import By, folder_option
from cli.site import clock_of, log_of, played, up_of
from domain.kernel import RESERVED, SLUG
from eventstore.clock import Clock, StandingClock
from eventstore.log import Log
from settings import VARIABLES, Settings
from signatures import keys
from signatures.errors import Unacceptable
from signatures.signers import CannotSign, Signer, WrongPassphrase, from_agent, from_file

TRIES: Final = 3
"""How often a person may type a passphrase."""
_LONGEST: Final = 1_024


class Signatory(NamedTuple):
    """A person, and what signs for them."""

    person: str
    signer: Signer


def signatory(by: By, chosen: Settings) -> Signatory:
    """Who gives a command, by the key that is named. May ask for its passphrase. Raises `BadInput` and `CannotSign`."""
    path = own_path(by, chosen)
    person = by.signer or person_of(path, chosen)
    if re.fullmatch(SLUG, person) is None:
        said = "--signer" if by.signer else f"the comment of {path}.pub"
        raise BadInput(
            f"{said}: {person[:80]!r} is not a person's handle: lower-case ASCII letters, digits and hyphens, at most 64",
            "name the person by --signer, as the log knows them",
        )
    if person in RESERVED:
        raise BadInput(f"nobody speaks as {person!r}: that is the system itself", "give the command as a person, with a key of theirs")
    return Signatory(person, signer_of(path, chosen))


def own_path(by: By, chosen: Settings) -> Path:
    """Where the private key is of who gives a command. Raises `BadInput` where none is named."""
    named = by.key or chosen.key
    if not named:
        raise BadInput(
            "nobody is named who gives the command, by the key that signs it",
            f"name it by --key, or {VARIABLES['key']}; `consortium key new PERSON` makes one, and `consortium key list` shows who has which",
        )
    return path_of(named, chosen)


def path_of(named: str, chosen: Settings) -> Path:
    """Where the private key is that is named: in the folder's `keys`, or at a path, which has a `/`. Raises `BadInput` for what is no name."""
    if "/" in named:
        return Path(named).expanduser()
    try:
        return Keyring(chosen.keys).path(named)
    except ValueError as error:
        raise BadInput(f"--key: {error}", f"name a key in {chosen.keys}, or its path, like ./{named[:80]}") from error


def person_of(path: Path, chosen: Settings) -> str:
    """Whose key this is, as its comment says; of one in the folder's `keys` that has none its name. Raises `BadInput` where nothing says it."""
    comment = public_half(path).split(" ")[2:]
    if comment and comment[0]:
        return comment[0]
    if path.parent == chosen.keys:
        return path.name
    raise BadInput(
        f"{path}.pub does not say whose key it is", "name the person by --signer, or begin the comment of the key with their handle"
    )


def signer_of(path: Path, chosen: Settings) -> Signer:
    """What signs with a key: its file; or the agent, for one of which only the public half is here, or that has a passphrase. Raises `CannotSign` and `BadInput`."""
    if not path.exists():
        held = _held_by_agent(path)
        if held is not None:
            return held
        raise BadInput(
            f"there is no key at {path}",
            f"`consortium key new PERSON{folder_option(chosen.folder)}` makes one; name one that is elsewhere by its path, with a /",
        )
    try:
        return from_file(path, _locked)
    except _Locked:
        return _held_by_agent(path) or _unlocked(path, chosen)


class _Locked(Exception):
    """A key has a passphrase."""


def _locked() -> bytes:
    raise _Locked


def _held_by_agent(path: Path) -> Signer | None:
    """What signs with this key in ssh-agent; nothing where the agent does not hold it, or there is none."""
    with suppress(CannotSign, Unacceptable):
        if line := public_half(path):
            return from_agent(keys.parse(line))
    return None


def _unlocked(path: Path, chosen: Settings) -> Signer:
    if chosen.passphrase_file is not None:
        return from_file(path, lambda: passphrase_in(chosen.passphrase_file))
    if not sys.stdin.isatty():
        raise BadInput(
            f"{path} has a passphrase, and no terminal is here to ask for it",
            f"add it to ssh-agent (`ssh-add {path}`), or name a file with the passphrase in {VARIABLES['passphrase_file']}",
        )
    for left in reversed(range(TRIES)):
        try:
            return from_file(path, lambda: getpass.getpass(f"Passphrase of {path}: ").encode())
        except WrongPassphrase:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def passphrase_in(path: Path | None) -> bytes:
    """The first line of a file that its owner alone may read. Raises `BadInput`."""
    assert path is not None
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BadInput(f"{path} can be read by others", f"`chmod 600 {path}`, and give the key another passphrase if they did")
            line = file.readline(_LONGEST + 2).rstrip(b"\r\n")
    except OSError as error:
        raise of_file(error, path, "read") from error
    if not 0 < len(line) <= _LONGEST:
        raise BadInput(f"{path} does not begin with a line that is a passphrase", f"it has 1 to {_LONGEST:,} bytes")
    return line


async def signed(signatory: Signatory, chosen: Settings, stream: str, command_id: str, command: dict[str, object]) -> Signed:
    """The statement of the command, signed. May wait for the person, up to two minutes. Raises a `Failure` and `CannotSign`."""
    async with log_of(chosen) as log:
        moment = await Moment.of(log, await _clock(log, chosen))
    return await asyncio.to_thread(sign, signatory.signer, signatory.person, stream, command_id, command, moment)


async def _clock(log: Log, chosen: Settings) -> Clock:
    """The log's clock as the `consortium up` that runs announced it; a rehearsal that nobody runs stands at its last entry."""
    up = up_of(chosen)
    return StandingClock() if up is None and await played(log, chosen) else clock_of(up)
