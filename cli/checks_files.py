"""What `consortium doctor` looks at on this host: the settings, the files and folders they name, whom they have us speak to, and the disk.

Nothing is sent and nobody is asked: what the settings say is held against what they need.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from email.utils import parseaddr
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from activities.files import Unfit as UnfitFile
from activities.notices.addresses import LOOPBACK, AddressBookUnreadable, Addresses, entries
from activities.notices.sending import Smtp
from activities.private import Private
from activities.release.publishing import Accounts
from activities.screening import ListFiles, Unfit, read
from cli.failures import BadInput, Failure
from cli.findings import Finding, Patient, Verdict, aside
from cli.site import profile
from domain.register.state import Register
from eventstore.sqlite_file import owner
from settings import PREFIX, VARIABLES, Settings, file_of, in_database, without_password

TEMPORAL: Final = (
    "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_CONFIG_FILE", "TEMPORAL_PROFILE", "TEMPORAL_TLS",
    "TEMPORAL_TLS_SERVER_NAME", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_CERT_DATA",
    "TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_CLIENT_KEY_DATA", "TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_DATA",
    "TEMPORAL_CODEC_ENDPOINT", "TEMPORAL_CODEC_AUTH",
)  # fmt: skip
"""What Temporal's client reads; it passes over what is misspelt. Others' programs read more, so a name that is like none of these is no mistake."""
_ALIKE: Final = 0.85
GIGABYTE: Final = 1_000_000_000
SCARCE: Final = GIGABYTE // 2
"""With less free space something has to be done."""
LITTLE: Final = 0.05
"""With less than this part of a disk free it is worth knowing."""
FEW_FILES: Final = 0.01
"""With less than this part of a disk's files left something has to be done."""


class Problem(NamedTuple):
    """What is not as it should be in one place."""

    verdict: Verdict
    detail: str
    remedy: str = ""


def _finding(check: str, problems: Sequence[Problem], well: str, facts: Mapping[str, Any]) -> Finding:
    """One finding of all that was found, as bad as the worst; what is well is told where nothing else is."""
    worst = next((verdict for verdict in (Verdict.ACT, Verdict.NOTE) if any(each.verdict is verdict for each in problems)), Verdict.WELL)
    detail = "; ".join(each.detail for each in sorted(problems, key=lambda each: each.verdict is not Verdict.ACT)) or well
    told = [{"verdict": each.verdict.value, "detail": each.detail, "remedy": each.remedy} for each in problems]
    return Finding(check, worst, detail, tuple(each.remedy for each in problems if each.remedy), {"problems": told} | dict(facts))


# ---------------------------------------------------------------- the settings


async def settings(patient: Patient) -> Finding:
    """Whether every variable that is set is read by something, and can be meant."""
    problems = [Problem(Verdict.ACT, f"{each.variable} {each.why}", f"{each.variable}: {each.remedy}") for each in patient.wrong]
    problems += _misspelt()
    try:
        profile()
    except BadInput as error:
        problems.append(Problem(Verdict.ACT, error.message, error.remedy))
    if patient.wrong:
        problems.append(Problem(Verdict.NOTE, "all else was looked at as if these were not set"))
    found = sorted(name for name in os.environ if name.startswith((PREFIX, "TEMPORAL_")))
    named = f"the folder {patient.chosen.folder}"
    well = (
        f"{len(found)} {'variable is' if len(found) == 1 else 'variables are'} set, and all are read; {named}"
        if found
        else f"all by default; {named}"
    )
    return _finding("settings", problems, well, {"set": found, "folder": str(patient.chosen.folder)})


def _misspelt() -> Iterator[Problem]:
    for name in sorted(os.environ):
        if name.startswith("TEMPORAL_") and name not in TEMPORAL and (near := get_close_matches(name, TEMPORAL, 1, _ALIKE)):
            yield Problem(Verdict.ACT, f"{name} is read by nobody", f"{name}: is {near[0]} meant?")


# ---------------------------------------------------------------- files and folders


async def files(patient: Patient) -> Finding:
    """Whether the files and folders that are named are there, may be read or written, and hold what they must."""
    chosen, days = patient.chosen, await _list_days(patient)

    def look() -> Sequence[Problem]:
        held = (*_sanctions(chosen, days), *_addresses(chosen), *_accounts(chosen), *_key(chosen))
        return (*_readable(chosen), *_writable(chosen), *held)

    return _finding("files", await aside(look), "all that are named are there, and can be read and written", {})


async def _list_days(patient: Patient) -> int | None:
    """How old the charter allows a sanctions list to be; `None` before there is a charter, and in a rehearsal."""
    if isinstance(patient.log, Failure) or not patient.log.near or patient.log.rehearsed:
        return None
    register = await patient.log.register()
    if not isinstance(register, Register) or not register.version:
        return None
    return register.charter.membership.list_age_days


def _readable(chosen: Settings) -> Iterator[Problem]:
    """What is read, and was named."""
    given = {
        VARIABLES[name]: getattr(chosen, name) for name in ("sanctions_list", "sanctions_aliases", "address_book", "accounts", "licences")
    }
    given |= {name: Path(os.environ[name]) for name in TEMPORAL if name.endswith(("_PATH", "_CONFIG_FILE")) and os.environ.get(name)}
    for variable, path in given.items():
        if path is not None:
            yield from _problems_with(variable, path, os.path.isfile, "file", os.R_OK)
    for name in ("runs", "artifacts"):
        if getattr(chosen, name) is not None:
            yield from _problems_with(VARIABLES[name], getattr(chosen, name), os.path.isdir, "folder", os.R_OK | os.X_OK)


def _writable(chosen: Settings) -> Iterator[Problem]:
    """What workers write: a folder that is not there yet is made where the one above it may be written."""
    for name in ("folder", "kept", "published"):
        path: Path | None = getattr(chosen, name)
        if path is None:
            continue
        there = _nearest(path)
        if not there.is_dir():
            yield Problem(Verdict.ACT, f"{there} is no folder", f"{VARIABLES[name]}: name a folder")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield _forbidden(f"{path} may not be written", there, "written")


def _problems_with(variable: str, path: Path, is_right: Callable[[Path], bool], what: str, right: int) -> Iterator[Problem]:
    there = _nearest(path.absolute().parent)
    if is_right(path):
        if not os.access(path, right):
            yield _forbidden(f"{path} may not be read", path, "read")
    elif os.access(there, os.X_OK):
        yield Problem(Verdict.ACT, f"there is no {what} {path}", f"{variable}: put it there, or name another")
    else:
        yield _forbidden(f"{path} may not be looked at", there, "read")


def _forbidden(detail: str, path: Path, how: str) -> Problem:
    """What this user may not do. It need not be wrong where the file is somebody else's: it is they who run the workers then."""
    theirs = owner(path)
    try:
        ours = path.stat().st_uid == os.geteuid()
    except OSError:
        ours = False
    if ours:
        return Problem(
            Verdict.ACT, f"{detail}, not even by its owner", f"have {path} {how} by its owner (chmod), or use a disk that allows it"
        )
    return Problem(
        Verdict.NOTE, f"{detail} by you: it belongs to {theirs}", f"have workers run as {theirs}, or let their user in (chmod, chgrp)"
    )


def _nearest(path: Path) -> Path:
    """The path, or the nearest one above it that is there."""
    return next((each for each in (path, *path.absolute().parents) if os.path.exists(each)), Path("/"))  # noqa: PTH110  a folder that may not be searched is none


def _held(path: Path) -> bool:
    """Whether there is a file that this user may read."""
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113  what may not be looked at is none


def _sanctions(chosen: Settings, days: int | None) -> Iterator[Problem]:
    files = ListFiles("sanctions", chosen.sanctions_list or chosen.folder / "sanctions.txt", chosen.sanctions_aliases)
    if not _held(files.path):
        if chosen.sanctions_list is None:
            remedy = f"put one at {files.path}, or name it by {VARIABLES['sanctions_list']}"
            yield Problem(Verdict.NOTE, "no sanctions list: nobody is screened", remedy)
        return
    try:
        age = (datetime.now(UTC).date() - read(files).dated).days
    except Unfit as error:
        yield Problem(Verdict.ACT, f"the sanctions list screens nobody: {error}", "fetch the list again")
        return
    if days is not None and age > days:
        older = f"the sanctions list is {age} days old, and screens nobody: the charter allows {days}"
        yield Problem(Verdict.ACT, older, f"put a new one at {files.path}, and refresh it daily")


def _addresses(chosen: Settings) -> Iterator[Problem]:
    path = chosen.address_book or chosen.folder / "addresses.toml"
    if not _held(path):
        if chosen.address_book is None:
            remedy = f"write one at {path}, or name it by {VARIABLES['address_book']}"
            yield Problem(Verdict.NOTE, "no address book: notices reach nobody", remedy)
        return
    try:
        entries(path)
    except AddressBookUnreadable as error:
        yield Problem(Verdict.ACT, f"the address book: {error}", f"correct {path}: until then no notice is sent")


def _accounts(chosen: Settings) -> Iterator[Problem]:
    path = chosen.accounts or chosen.folder / "accounts.toml"
    if not _held(path):
        return
    try:
        Accounts(path, "hub").among(())
    except (UnfitFile, OSError) as error:
        yield Problem(Verdict.ACT, f"the accounts with publishers: {error}", f"correct {path}: until then no lease opens")


def _key(chosen: Settings) -> Iterator[Problem]:
    path = chosen.release_key_path
    if not os.path.exists(path):  # noqa: PTH110  one that may not be looked at is none
        if chosen.signing_key is not None:
            made = f"{path} is not there: a new key is made on first use"
            yield Problem(Verdict.NOTE, made, "put the former key there if there was one: people check releases by it")
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Problem(Verdict.ACT, f"the key that signs releases, {path}, is open to others", f"chmod 600 {path}")


# ---------------------------------------------------------------- the world outside


async def outside(patient: Patient) -> Finding:
    """Whom workers speak to by these settings: bank, mail, webhooks, publishers, and machines off the public internet."""
    chosen = _in_earnest(patient)
    if chosen is None:
        return Finding("outside", Verdict.WELL, "a rehearsal: no bank, mail server or publisher is spoken to", facts={"rehearsed": True})
    book = await aside(lambda: _book(chosen))
    told = {
        "bank": without_password(chosen.bank) or f"files in {chosen.folder / 'bank'}",
        "mail": f"{chosen.smtp_host}:{chosen.smtp_port} ({chosen.smtp_security})"
        if chosen.smtp_host
        else f"files in {chosen.folder / 'outbox'}",
        "webhooks": str(sum(len(each.webhooks) for each in book)),
        "publishers": ", ".join(_publishers(chosen)),
        "private hosts": chosen.private_hosts or "none",
    }
    problems = [*_mail(chosen), *_bank(chosen), *_extras(chosen), *_private(chosen)]
    well = "; ".join(f"{name}: {value}" for name, value in told.items())
    if problems:
        problems.append(Problem(Verdict.NOTE, well))
    facts = {name.replace(" ", "_"): value for name, value in told.items()}
    return _finding("outside", problems, well, facts | {"addresses": len(book), "rehearsed": False})


def _in_earnest(patient: Patient) -> Settings | None:
    """The settings, unless the log is a rehearsal's: then none that names anybody is read."""
    return None if not isinstance(patient.log, Failure) and patient.log.rehearsed else patient.chosen


def _book(chosen: Settings) -> Sequence[Addresses]:
    path = chosen.address_book or chosen.folder / "addresses.toml"
    try:
        return list(entries(path).values()) if _held(path) else ()
    except (AddressBookUnreadable, OSError):
        return ()  # it is told among the files


def _mail(chosen: Settings) -> Iterator[Problem]:
    if not chosen.smtp_host:
        if chosen.smtp_username or chosen.smtp_password:
            yield Problem(Verdict.ACT, "there is somebody to send mail as, and no mail server", f"set {VARIABLES['smtp_host']}")
        return
    try:
        Smtp(chosen.smtp_host, chosen.smtp_port, chosen.smtp_security)
    except ValueError as error:
        yield Problem(Verdict.ACT, str(error), f"set {VARIABLES['smtp_security']} to tls or starttls")
    if bool(chosen.smtp_username) != bool(chosen.smtp_password and chosen.smtp_password.get_secret_value()):
        lacking = VARIABLES["smtp_password" if chosen.smtp_username else "smtp_username"]
        yield Problem(Verdict.ACT, f"mail is sent as somebody, and {lacking} is empty", f"set {lacking}, or neither")
    if chosen.sender == Settings.model_fields["sender"].default or "@" not in parseaddr(chosen.sender)[1]:
        yield Problem(
            Verdict.ACT, "notices come from an address that is nobody's", f"set {VARIABLES['sender']}, like `Atlas <notices@atlas.example>`"
        )


def _bank(chosen: Settings) -> Iterator[Problem]:
    if not chosen.bank:
        return
    parts = urlsplit(chosen.bank)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield Problem(Verdict.ACT, f"{VARIABLES['bank']} is no address", "it is one like https://bank.example")
    elif parts.scheme == "http" and parts.hostname not in LOOPBACK:
        yield Problem(Verdict.ACT, "the bank is spoken to in the clear", f"set {VARIABLES['bank']} to its https address")


def _publishers(chosen: Settings) -> Iterator[str]:
    yield "directory"
    if chosen.s3_bucket:
        yield f"s3 ({chosen.s3_bucket})"
    if chosen.hub_namespace:
        yield f"hub ({chosen.hub_namespace})"


def _extras(chosen: Settings) -> Iterator[Problem]:
    """What publishers need besides their names."""
    for name, wanted, library in (("s3", chosen.s3_bucket, "boto3"), ("hub", chosen.hub_namespace, "huggingface_hub")):
        if wanted and find_spec(library) is None:
            remedy = "pip install 'open-model-consortium[release]'"
            yield Problem(Verdict.ACT, f"the publisher {name} is named, and {library} is not installed", remedy)
    if chosen.hub_namespace and not (chosen.hub_token and chosen.hub_token.get_secret_value()):
        yield Problem(Verdict.ACT, "the publisher hub has no token", f"set {VARIABLES['hub_token']}")
    if not chosen.hub_namespace and chosen.hub_token:
        yield Problem(Verdict.ACT, "there is a token for the hub, and nobody to publish as", f"set {VARIABLES['hub_namespace']}")


def _private(chosen: Settings) -> Iterator[Problem]:
    wide = [str(each) for each in Private.parse(chosen.private_hosts).networks if each.prefixlen == 0]
    if wide:
        told = f"members may have workers ask any machine ({', '.join(wide)})"
        yield Problem(Verdict.ACT, told, f"name in {VARIABLES['private_hosts']} the hosts and networks that are meant")


# ---------------------------------------------------------------- the disk


async def disk(patient: Patient) -> Finding:
    """How much room there is where workers write, and for a log in a file where that is."""
    chosen = patient.chosen
    places = [chosen.folder, chosen.kept, chosen.published, *([] if in_database(chosen.log_url) else [file_of(chosen.log_url).parent])]
    rooms = await aside(lambda: _rooms(place for place in places if place is not None))
    problems = [problem for room in rooms for problem in scarce(room)]
    told = "; ".join(f"{room.place}: {_size(room.free)} of {_size(room.total)} free" for room in rooms)
    if in_database(chosen.log_url):
        told += "; the database's disk is not seen from here: watch it there"
    facts = {"rooms": [room._asdict() | {"place": str(room.place)} for room in rooms]}
    return _finding("disk", [*problems, *([Problem(Verdict.NOTE, told)] if problems else [])], told, facts)


class Room(NamedTuple):
    """A disk, by a folder on it."""

    place: Path
    free: int
    """Bytes that we may still write."""
    total: int
    files: float
    """The part of its files that is left, from 0 to 1; 1 where it counts none."""


def _rooms(places: Iterable[Path]) -> Sequence[Room]:
    """Each disk once."""
    found: dict[int, Room] = {}
    for place in places:
        there = _nearest(place)
        usage, counted = shutil.disk_usage(there), os.statvfs(there)
        left = counted.f_favail / counted.f_files if counted.f_files else 1.0
        found.setdefault(there.stat().st_dev, Room(there, usage.free, usage.total, left))
    return list(found.values())


def scarce(room: Room) -> Iterator[Problem]:
    """What is scarce on a disk."""
    if room.free < SCARCE:
        detail = f"{_size(room.free)} left at {room.place}: without room nothing is recorded"
        yield Problem(Verdict.ACT, detail, f"make room on the disk of {room.place}, or move it to a larger one")
    elif room.free < LITTLE * room.total:
        yield Problem(Verdict.NOTE, f"less than {LITTLE:.0%} of the disk at {room.place} is left", f"make room on the disk of {room.place}")
    if room.files < FEW_FILES:
        remedy = f"remove files on the disk of {room.place}, or move it to one that takes more"
        yield Problem(Verdict.ACT, f"the disk at {room.place} takes hardly any more files", remedy)


def _size(number: int) -> str:
    return f"{number / GIGABYTE:,.1f} GB" if number >= GIGABYTE else f"{number / 1_000_000:,.0f} MB"
