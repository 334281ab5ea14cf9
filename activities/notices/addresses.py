"""The address book: where persons and members are reached. Nothing in it is ever on the log, so all of it can be erased.

An entry belongs to a person (`ada`), or to a member or an office as such (`member:helio`, `office:treasurer`). The file
is TOML, one table an entry:

    [ada]
    emails = ["ada@helio.example"]

    ["member:helio"]
    webhooks = [{ url = "https://helio.example/consortium", secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }]
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from activities.bounded import Unreadable, toml_table
from domain.forms import Form, in_words, typed
from domain.kernel import SLUG

LIMIT: Final = 4 * 1024 * 1024
"""The largest address book, in bytes."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Recipient = Annotated[
    str, Field(pattern=rf"^(member:|office:)?{SLUG}$", max_length=80), Form("a person's handle, member:<id> or office:<name>", "ada")
]
"""A person's handle, `member:<id>` or `office:<name>`."""

Email = Annotated[
    str, Field(max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"),
    Form("a mail address in ASCII", "ada@helio.example"),
]  # fmt: skip
"""A mail address in ASCII (domains of other scripts in their `xn--` form)."""


def _safe_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("a webhook goes to https, or to http on this machine only")
    if not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("a webhook's URL names a host, and neither a user nor a fragment")
    return url


def _signing_secret(secret: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("a webhook's secret is `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks)")
    return secret


class Webhook(BaseModel):
    """Where signed notices are posted, and the secret that signs them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[
        str, Field(max_length=2_000, pattern=r"^[!-~]+$", repr=False), AfterValidator(_safe_url),
        Form("an https address in printable ASCII", "https://helio.example/consortium"),
    ]  # fmt: skip
    secret: Annotated[str, Field(max_length=200, repr=False), AfterValidator(_signing_secret)]


class Addresses(BaseModel):
    """Everywhere one is reached: a notice goes to all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    emails: Annotated[tuple[Email, ...], Field(max_length=5, repr=False)] = ()
    webhooks: Annotated[tuple[Webhook, ...], Field(max_length=5, repr=False)] = ()

    def by_place(self) -> Mapping[str, str | Webhook]:
        """Every address by its place in the entry (`webhook-0`, `email-1`): what an id may be made of, for it is not personal."""
        hooks = {f"webhook-{place}": hook for place, hook in enumerate(self.webhooks)}
        return hooks | {f"email-{place}": email for place, email in enumerate(self.emails)}


class AddressBook(Protocol):
    """Knows where somebody is reached."""

    async def find(self, recipient: str) -> Addresses | None:
        """The addresses of a person, a member or an office as such; `None` when the book has no entry."""


class AddressBookUnreadable(Exception):
    """The book cannot be used as it stands; the text says where, and shows no address."""


class MemoryBook:
    """An address book that is given."""

    def __init__(self, entries: Mapping[str, Addresses]) -> None:
        self._entries = dict(entries)

    async def find(self, recipient: str) -> Addresses | None:
        """See `AddressBook.find`."""
        return self._entries.get(recipient)


Book = dict[Recipient, Addresses]
_ENTRIES: Final = TypeAdapter(Book, config=ConfigDict(hide_input_in_errors=True))
_Stamp = tuple[int, int, int]


class TomlBook:
    """An address book in a TOML file, read again when the file changes. A missing file is an empty book."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: Mapping[str, Addresses] = {}
        self._stamp: _Stamp | None = None

    async def find(self, recipient: str) -> Addresses | None:
        """See `AddressBook.find`. Raises `AddressBookUnreadable`."""
        return (await asyncio.to_thread(self._current)).get(recipient)

    def _current(self) -> Mapping[str, Addresses]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            structlog.get_logger().warning("address_book.missing", file=self._path.name)
            return {}
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._entries, self._stamp = entries(self._path), stamp
        return self._entries


def entries(path: Path) -> Mapping[str, Addresses]:
    """All entries of the book in this file. Raises `AddressBookUnreadable`."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
        return _ENTRIES.validate_python(toml_table(content, most_bytes=LIMIT))
    except ValidationError as error:
        wrong, *_ = in_words(typed(Book), error.errors(include_url=False, include_input=False))
        raise AddressBookUnreadable(f"{path.name}, {wrong}") from None
    except Unreadable as error:
        raise AddressBookUnreadable(f"{path.name} {error}") from None
    except OSError as error:
        raise AddressBookUnreadable(f"{path.name} cannot be read ({type(error).__name__})") from None
