"""Keys: made, asked to be enrolled with a proof, enrolled, rotated and revoked; and who has which.

Keys of this folder lie in its `keys`: `PERSON` is private, `PERSON.pub` may be seen by anybody, and `PERSON.request` is what a person sends to whoever
enrols the key. Keys that are elsewhere (`~/.ssh`, a security key, ssh-agent) are named by their path.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

from cyclopts import App, Parameter

from activities.log import keyring
from activities.log.keyring import KeyRequest, Keyring, public_half
from cli import times
from cli.failures import BadInput, of_file
from cli.give import give
from cli.options import EXIT_CODES, HERE, MINE, By, Where
from cli.output import say, say_json, table
from cli.requests import filled, founding, signer_of_releases
from cli.signing import own_path, passphrase_in, path_of, signatory, signer_of
from cli.site import log_of, now_of, register, settings
from domain.consortium import commands
from domain.kernel import LOG, RELEASES, RESERVED, SERVICE, Command
from domain.register.state import Register
from eventstore.entries import ACCEPTED, Entry, instant
from eventstore.log import Log
from eventstore.wire import decoded
from settings import VARIABLES, Settings, make_private
from signatures import keys
from signatures.errors import Unacceptable
from signatures.keys import PublicKey
from signatures.signers import Signer, key_in, new_key

app: Final = App(name="key", help_epilogue=EXIT_CODES)

MOST: Final = 100_000
"""How many entries of a stream are looked at for when its keys were enrolled."""

Persons = Annotated[
    str, Parameter(help="Whose: persons' handles. A request is also written for `log`, the key of a worker, and for `releases`.")
]
Person = Annotated[str, Parameter(help="Whose: a person's handle.")]
For = Annotated[
    str | None,
    Parameter(name="--for", show_default=False, help="Before the founding: for which consortium, like consortium/atlas; later the log says it."),
]  # fmt: skip
Elsewhere = Annotated[
    str | None,
    Parameter(name="--key", show_default=False, help="The path of a key that is elsewhere, like ~/.ssh/id_ed25519_sk; by default in the folder."),
]  # fmt: skip
OfLog = Annotated[bool, Parameter(negative=(), show_default=False, help="The key with which a worker signs the log.")]
OfReleases = Annotated[bool, Parameter(negative=(), show_default=False, help="The key with which workers sign releases.")]
Replaces = Annotated[
    str | None, Parameter(show_default=False, help="With --releases: the fingerprint of a key that signs none any more then.")
]
Which = Annotated[
    str | None, Parameter(show_default=False, help="Which key, by its fingerprint as `consortium key list` shows it; needed for one of several.")
]  # fmt: skip


# ---------------------------------------------------------------- made here


@app.command
async def new(
    *persons: Persons, for_: For = None,
    no_passphrase: Annotated[bool, Parameter(negative=(), show_default=False, help="Write it as it is: for a rehearsal, or a disk that is encrypted.")] = False,
    where: Where = HERE,
) -> None:  # fmt: skip
    """Make a key for each person in the folder's `keys`, and its request where it is known for which consortium. Nothing is ever overwritten.

    A passphrase is asked for twice, or read from the file that CONSORTIUM_PASSPHRASE_FILE names.
    """
    _require_some(persons)
    if reserved := RESERVED.intersection(persons):
        raise BadInput(f"{min(reserved)!r} is no person: workers make their keys by themselves", "ask for one by `consortium key request`")
    chosen = settings(where)
    consortium = await _consortium_if_known(for_, chosen)
    made = []
    for person in persons:
        path = path_of(person, chosen)
        signer = _new(path, None if no_passphrase else _passphrase(person, chosen), person, chosen)
        asked = None if consortium is None else await _kept(person, signer, consortium, chosen)
        made.append(_told(path, signer, asked))
    _show(made, where)


@app.command
async def request(*persons: Persons, for_: For = None, key: Elsewhere = None, where: Where = HERE) -> None:
    """Write the request by which a key is enrolled: `PERSON.request`, with the proof that its person holds it. Send it to whoever enrols it."""
    _require_some(persons)
    if key is not None and len(persons) > 1:
        raise BadInput("--key: one key is of one person", "write each request by itself")
    chosen = settings(where)
    consortium = _named(for_) if for_ is not None else (await founding(chosen)).hash.hex()
    written = []
    for person in persons:
        if person == RELEASES and key is None:
            path, signer = chosen.release_key_path, signer_of_releases(chosen)
        else:
            path = chosen.log_key_path if person == LOG and key is None else path_of(key or person, chosen)
            signer = signer_of(path, chosen)
        written.append(_told(path, signer, await _kept(person, signer, consortium, chosen)))
    _show(written, where)


def _require_some(persons: Sequence[str]) -> None:
    if not persons:
        raise BadInput("nobody is named", "name the person, like `consortium key new ada`")
    for person in persons:
        if person == SERVICE:
            raise BadInput(f"{person!r} is no person: that is the system itself", "name a person by their handle")


def _named(text: str) -> str:
    """The stream of a consortium that is to be founded."""
    try:
        return keyring.consortium_of(text)
    except ValueError as error:
        raise BadInput(f"--for: {error}", "write it like consortium/atlas") from error


async def _consortium_if_known(named: str | None, chosen: Settings) -> str | None:
    if named is not None:
        return _named(named)
    try:
        return (await founding(chosen)).hash.hex()
    except Exception:  # noqa: BLE001  then the request is written once it is known
        return None


def _passphrase(person: str, chosen: Settings) -> bytes:
    if chosen.passphrase_file is not None:
        return passphrase_in(chosen.passphrase_file)
    if not sys.stdin.isatty():
        raise BadInput(
            "no terminal is here to ask for a passphrase",
            f"name a file with it in {VARIABLES['passphrase_file']}, or leave it out by --no-passphrase",
        )
    first = getpass.getpass(f"Passphrase for the key of {person}: ")
    if not first:
        raise BadInput("an empty passphrase protects nothing", "type one, or say --no-passphrase")
    if getpass.getpass("The same again: ") != first:
        raise BadInput("these were two passphrases", "type the same one twice")
    return first.encode()


def _new(path: Path, passphrase: bytes | None, person: str, chosen: Settings) -> Signer:
    try:
        make_private(chosen.folder)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return new_key(path, passphrase, person)
    except OSError as error:
        raise of_file(error, path, "written", "name another folder with --folder") from error


async def _kept(person: str, signer: Signer, consortium: str, chosen: Settings) -> Path:
    asked, ring = await _asked(person, signer, consortium), Keyring(chosen.keys)
    try:
        return ring.place_of(ring.keep(asked))
    except OSError as error:
        raise of_file(error, ring.place_of(asked), "written", "name another folder with --folder") from error


async def _asked(person: str, signer: Signer, consortium: str) -> KeyRequest:
    try:
        return await asyncio.to_thread(keyring.request, signer, person, consortium)
    except ValueError as error:
        raise BadInput(f"{person[:80]!r} is not a person's handle: lower-case ASCII letters, digits and hyphens, at most 64") from error


def _told(path: Path, signer: Signer, asked: Path | None) -> dict[str, Any]:
    key = signer.public_key
    return {
        "key": str(path), "fingerprint": key.fingerprint, "public_key": key.line, "request": None if asked is None else str(asked),
    }  # fmt: skip


def _show(made: Sequence[Mapping[str, Any]], where: Where) -> None:
    if where.json:
        say_json(list(made))
        return
    for each in made:
        say(f"{each['key']}  {each['fingerprint']}")
        say(
            f"  its request: {each['request']}"
            if each["request"]
            else "  its request: `consortium key request`, once it is known for which consortium"
        )


# ---------------------------------------------------------------- on the log


@app.command
async def enrol(
    person: Person = "", /, *, log: OfLog = False, releases: OfReleases = False, replaces: Replaces = None, by: By = MINE
) -> None:
    """Let a key speak for a person, from their request in the folder's `keys`. By that person; an officer's first key by the secretariat.

    With --log or --releases let a further key sign the log, or releases: two officers of different organisations give the same command, of
    the log two that answer for the whole, of releases two of release managers, safety reviewers and the board. Who speaks for a member is
    named with their key by `consortium member apply` and `seat-representative`.
    """
    _require_one(person, log=log, releases=releases)
    chosen = settings(by)
    command: type[Command] = commands.EnrolLogKey if log else commands.EnrolReleaseKey if releases else commands.EnrolKey
    fields: dict[str, Any] = {"kind": command.model_fields["kind"].default} | ({} if log or releases else {"person": person})
    if replaces is not None:
        if not releases:
            raise BadInput(
                "--replaces: only a key that signs releases takes another's place so", "a person rotates: `consortium key rotate`"
            )
        fields["replaces"] = _chosen(await _valid(RELEASES, chosen), replaces, RELEASES)
    stream = (await founding(chosen)).stream
    await give(by, stream, await filled(command, stream, fields, by))


@app.command
async def rotate(
    *, new: Annotated[str | None, Parameter(show_default=False, help="The path of the new key, where it is there already; by default one is made.")] = None,
    no_passphrase: Annotated[bool, Parameter(negative=(), show_default=False, help="Write the new key as it is.")] = False,
    by: By = MINE,
) -> None:  # fmt: skip
    """Put a new key in the place of the one that signs this (--key), which speaks for nobody again. By its holder.

    A key of the folder is replaced there, and the former one is kept beside it. Given again after an interruption it goes on with the same new key.
    """
    chosen = settings(by)
    path = own_path(by, chosen)
    if new is None and path.parent != chosen.keys:
        raise BadInput(f"{path} is not of this folder: nobody replaces it there", "make the new key yourself, and name it by --new")
    beside = path.with_name(f"{path.name}.next") if new is None else path_of(new, chosen)
    if new is None and _completed(path, beside):
        _say_signs(path)
        return
    former = signatory(by, chosen)
    if new is None and not beside.exists():
        _new(beside, None if no_passphrase else _passphrase(former.person, chosen), former.person, chosen)
    signer = signer_of(beside, chosen)
    first = await founding(chosen)
    asked = await _asked(former.person, signer, first.hash.hex())
    if asked.public_key not in await _valid(former.person, chosen):
        command = {
            "kind": "rotate_key", "person": former.person, "old_key": former.signer.public_key.line, "public_key": asked.public_key, "proof": asked.proof,
        }  # fmt: skip
        await give(by, first.stream, command)
    Keyring(chosen.keys).keep(asked)
    if new is None:
        for end in ("", ".pub"):
            _replace(path, beside, end, former.signer.public_key)
    _say_signs(path if new is None else beside)


def _say_signs(path: Path) -> None:
    print(f"{path} signs from now on", file=sys.stderr)


def _completed(path: Path, beside: Path) -> bool:
    """Completes a rotation that was cut off when the new private key was in its place, and its public half was not yet; whether there was one.

    The public half of a new key that was never made whole is removed: nothing was signed with it.
    """
    if beside.exists() or not Path(f"{beside}.pub").exists():
        return False
    line = public_half(beside)
    if not line or not path.exists() or keys.parse(line) != key_in(path):
        Path(f"{beside}.pub").unlink()
        return False
    former = public_half(path)
    _replace(path, beside, ".pub", keys.parse(former or line))
    return True


def _replace(path: Path, beside: Path, end: str, former: PublicKey) -> None:
    """Puts a half of the new key into the place of the former one's, which is kept under its fingerprint. Cut off anywhere, one of the two is there."""
    mark = former.fingerprint.partition(":")[2].replace("/", "_")[:12]
    with suppress(FileNotFoundError, FileExistsError):  # the agent alone has it; or it was kept before an interruption
        os.link(f"{path}{end}", f"{path}.former-{mark}{end}")
    Path(f"{beside}{end}").replace(f"{path}{end}")


@app.command
async def revoke(
    person: Person = "", /, *, log: OfLog = False, releases: OfReleases = False, fingerprint: Which = None, by: By = MINE
) -> None:  # fmt: skip
    """Let a key speak for a person never again. By that person, as long as another key of theirs is left; by the secretariat when it is compromised.

    With --log or --releases let a key sign the log, or releases, no longer: of the log two officers of different organisations give the same command.
    """
    _require_one(person, log=log, releases=releases)
    chosen, whose = settings(by), LOG if log else RELEASES if releases else person
    fields = {"kind": "revoke_log_key"} if log else {"kind": "revoke_release_key"} if releases else {"kind": "revoke_key", "person": person}
    line = _chosen(await _valid(whose, chosen), fingerprint, whose)
    await give(by, (await founding(chosen)).stream, {**fields, "public_key": line})


async def _valid(whose: str, chosen: Settings) -> Sequence[str]:
    """The keys of a person, of the log or of releases that are valid now."""
    async with log_of(chosen) as log:
        agreed = await register(log)
    if whose == LOG:
        return agreed.valid_log_keys()
    if whose == RELEASES:
        return agreed.valid_release_keys()
    return sorted(agreed.people[whose].keys) if whose in agreed.people else ()


def _require_one(person: str, *, log: bool, releases: bool) -> None:
    if (bool(person), log, releases).count(True) != 1:
        raise BadInput("whose key is it?", "name a person, or say --log or --releases, and only one of them")


def _chosen(valid: Sequence[str], fingerprint: str | None, whose: str) -> str:
    """The key that is meant of several. Raises `BadInput`."""
    found = [line for line in valid if fingerprint is None or fingerprint in {line, _fingerprint(line)}]
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(_fingerprint, valid))
    if not valid:
        raise BadInput(f"no key of {whose} is valid now", "`consortium key list` shows who has which")
    raise BadInput(
        f"which key of {whose}? There are {there}"
        if fingerprint is None
        else f"{whose} has no key {fingerprint[:80]!r}; there are {there}",
        "name it by --fingerprint",
    )


def _fingerprint(line: str) -> str:
    """Of a key; of one that logs of older rules hold in another form the text itself."""
    try:
        return keys.parse(line).fingerprint
    except Unacceptable:
        return line


# ---------------------------------------------------------------- who has which


class Held(NamedTuple):
    """A key, and what became of it."""

    holder: str
    key: str
    since: str | None
    position: int | None
    ended: str
    """How it ended; empty while it is valid."""
    until: str | None


@app.command(name="list")
async def list_(person: Person = "", /, *, where: Where = HERE) -> None:
    """Show who has which key, since when, and those that ended; one person's alone if one is named."""
    chosen = settings(where)
    async with log_of(chosen) as log:
        agreed, now, first = await register(log), await now_of(log, chosen), await log.read(0, 1)
        held = [each for each in await _held(log, agreed) if not person or each.holder == person]
    without = [] if person else list(agreed.without_key())
    here = {keys.parse(line).line: name for name, line in Keyring(chosen.keys).names().items()}
    if where.json:
        rows = [{**each._asdict(), "fingerprint": _fingerprint(each.key), "here": here.get(each.key)} for each in held]
        say_json({"keys": rows, "without": without, "consortium": first[0].hash.hex() if first else None})
        return
    if not held:
        say(f"The log knows no key{f' of {person}' if person else ''}.")
    else:
        rows_shown = [
            (
                each.holder,
                _fingerprint(each.key),
                times.shown(each.since, now) if each.since else "",
                _state(each, now),
                here.get(each.key, ""),
            )
            for each in held
        ]
        table(("of", "key", "since", "", "in keys/"), rows_shown)
    if without:
        say(f"Without a valid key: {', '.join(without)}")


def _state(held: Held, now: Any) -> str:
    if not held.ended:
        return "valid"
    return f"{held.ended} {times.shown(held.until, now)}" if held.until else held.ended


async def _held(log: Log, agreed: Register) -> Sequence[Held]:
    """Every key that is or was on the log: the log's own, then persons', each one's in the order in which they were enrolled."""
    begun, ended = await _dates(log, agreed)
    holders = {**agreed.keyholders, **{key: name for name, known in agreed.people.items() for key in known.keys}}
    valid = {key for known in agreed.people.values() for key in known.keys} | {*agreed.valid_log_keys(), *agreed.valid_release_keys()}
    found = []
    for key, holder in holders.items():
        since, until = begun.get((holder, key)), ended.get((holder, key))
        state = "" if key in valid else agreed.ended_keys.get(key, until[2] if until else "ended")
        found.append(Held(holder, key, since and since[1], since and since[0], state, until[1] if until and state else None))
    return sorted(found, key=lambda each: (each.holder not in {LOG, RELEASES}, each.holder, each.position or 0))


Dates = dict[tuple[str, str], tuple[int, str, str]]
"""By holder and key: the position, the instant, and the cause."""
_KINDS: Final[Mapping[str, str]] = {
    "key_enrolled": "", "key_revoked": "", "log_key_enrolled": LOG, "log_key_revoked": LOG, "release_key_enrolled": RELEASES, "release_key_revoked": RELEASES,
}  # fmt: skip


async def _dates(log: Log, agreed: Register) -> tuple[Dates, Dates]:
    """When keys were enrolled, and when they ended: only the consortium's stream and those of members hold such facts."""
    first = await log.read(0, 1)
    members = sorted(
        {f"member/{member}" for known in agreed.people.values() for member in known.speaks_for} | {f"member/{m}" for m in agreed.members}
    )
    begun: Dates = {}
    ended: Dates = {}
    for stream in [*(entry.stream for entry in first), *members]:
        for entry in await log.last_of(stream, MOST):
            for event in _key_facts(entry):
                holder = _KINDS[event["kind"]] or event["person"]
                into = begun if event["kind"].endswith("_enrolled") else ended
                into[holder, event["public_key"]] = (entry.position, instant(entry.at).isoformat(), event.get("cause", "revoked"))
    return begun, ended


def _key_facts(entry: Entry) -> Sequence[Mapping[str, Any]]:
    if entry.outcome != ACCEPTED or b"key_" not in entry.body:
        return ()
    return [event for event in decoded(entry.body) if event["kind"] in _KINDS]
