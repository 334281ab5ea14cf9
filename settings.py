"""What the environment says: where the consortium's log, its folder and its neighbours are.

The connection to Temporal has its own profiles (`temporalio.envconfig`); everything else is read from variables that
begin with `CONSORTIUM_`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from activities.messages import TASK_QUEUE
from activities.private import Private
from domain.forms import in_words, typed
from domain.kernel import LOG
from domain.register.facts import SystemTime
from domain.register.state import Register
from eventstore.entries import Entry
from eventstore.log import Appended, Damaged, Log

PREFIX: Final = "CONSORTIUM_"
MARKER: Final = ".demo"
"""The file by which a folder is known to be of a demonstration: it may be made anew, and its log is a rehearsal's."""
_PASSWORD: Final = re.compile(r"(?P<before>://[^/?#@:]*:).*(?=@)|(?P<named>[?&](?:ssl)?password=)[^&#]*")


def _private(text: str) -> str:
    Private.parse(text)
    return text


class Settings(BaseSettings):
    """What the environment says. A misspelt variable is an error, not a default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    folder: Path = Path("state")
    """Where the embedded default keeps its log, its notices and its address book."""
    log: str = ""
    """`postgresql://…`, or the path of an SQLite file; by default `log.db` in the folder."""
    task_queue: str = TASK_QUEUE
    address: str = "localhost:7233"
    """Temporal, when no profile names one."""
    ui: str = ""
    """Where Temporal's UI is found, like `https://temporal.example.org`: `status` prints links into it. `consortium up` knows its own."""
    metrics: str = ""
    """Where Prometheus finds the worker's metrics, like `127.0.0.1:9464`."""
    debug: bool = False
    """Whether the command line shows the trace of an error."""
    bank: str = ""
    """The bank's address, `https://…`; without one statements are dropped into `bank/in` in the folder and orders are written to `bank/out`."""
    private_hosts: Annotated[str, AfterValidator(_private)] = ""
    """Hosts and networks off the public internet that may be asked for readings and components, like `mlflow.lan, 10.20.0.0/16`."""
    runs: Path | None = None
    """Where trainers write their readings and harnesses their results; by default `runs` in the folder."""
    artifacts: Path | None = None
    """Where the files of releases lie; by default `artifacts` in the folder."""
    kept: Path | None = None
    """Where manifests, signatures, reports and documents are kept by their digests, for all workers; by default `kept` in the folder."""
    signing_key: Path | None = None
    """The key that signs releases (EC P-256, PEM); made on first use, by default `signing.pem` in the folder."""
    key: str = ""
    """What signs commands that are given here, when `--key` names nothing: the name of a key in `keys` in the folder, or a path with a `/`."""
    passphrase_file: Path | None = None
    """A file, readable by its owner alone, whose first line is the passphrase of that key: for scripts. Without it a terminal is asked."""
    log_key: Path | None = None
    """The key with which workers sign what they record (Ed25519, OpenSSH); made on first use, by default `keys/log` in the folder."""
    licences: Path | None = None
    """A complete list of licences in SPDX's format, for judging openness."""
    accounts: Path | None = None
    """The accounts that persons have with publishers; by default `accounts.toml` in the folder."""
    published: Path | None = None
    """Where the publisher `directory` publishes; by default `published` in the folder."""
    s3_bucket: str = ""
    """The bucket of the publisher `s3`; credentials come from where boto3 finds them."""
    s3_endpoint: str = ""
    s3_region: str = ""
    hub_namespace: str = ""
    """The organisation or user of the publisher `hub`."""
    hub_endpoint: str = ""
    hub_token: SecretStr | None = None
    sanctions_list: Path | None = None
    """OFAC's `sdn.csv`, or a file with a name a line; by default `sanctions.txt` in the folder."""
    sanctions_aliases: Path | None = None
    """OFAC's `alt.csv`."""
    address_book: Path | None = None
    """Where people are reached; by default `addresses.toml` in the folder."""
    sender: str = "Open-model consortium <notices@consortium.invalid>"
    """Whom notices come from."""
    smtp_host: str = ""
    """The mail server; without one notices are written to `outbox` in the folder."""
    smtp_port: int = Field(default=465, ge=1, le=65_535)
    smtp_security: Literal["tls", "starttls", "none"] = "tls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None

    @property
    def keys(self) -> Path:
        """Where the keys of this folder are."""
        return self.folder / "keys"

    @property
    def log_key_path(self) -> Path:
        """Where the key is with which a worker on this folder signs the log."""
        return self.log_key or self.keys / LOG

    @property
    def release_key_path(self) -> Path:
        """Where the key is with which workers on this folder sign releases."""
        return self.signing_key or self.folder / "signing.pem"

    @property
    def demonstration(self) -> bool:
        """Whether the log is one that a demonstration left in the folder."""
        return not self.log and (self.folder / MARKER).is_file()

    @property
    def log_url(self) -> str:
        """Where the log is."""
        return self.log or str(self.folder / "log.db")

    @property
    def log_shown(self) -> str:
        """Where the log is, without a password."""
        return without_password(self.log_url)


class _Given(Settings):
    """Settings of which some variables are taken, and no others."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what is given."""
        return (init_settings,)


VARIABLES: Final = {name: f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
"""The variable of each setting."""
_ALIKE: Final = 0.8
"""How alike two names are of which one is meant by the other."""


class Wrong(NamedTuple):
    """A variable that cannot be meant so."""

    variable: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.variable}: it {self.why}; {self.remedy}"


def without_password(address: str) -> str:
    """An address as it may be shown."""
    return _PASSWORD.sub(lambda found: f"{found['before'] or found['named']}***", address)


def in_force() -> Settings:
    """The settings in force. Raises `ValueError` for a variable that none of them reads, and for a value that one of them cannot have."""
    chosen, wrong = examined()
    if wrong:
        raise ValueError("; ".join(map(str, wrong)))
    return chosen


def examined() -> tuple[Settings, Sequence[Wrong]]:
    """The settings as if every wrong variable were not set, and those that are wrong."""
    given: dict[str, Any] = {name: os.environ[variable] for name, variable in VARIABLES.items() if variable in os.environ}
    wrong = [_unknown(name) for name in sorted(os.environ) if name.upper().startswith(PREFIX) and name not in VARIABLES.values()]
    try:
        return _Given(**given), wrong
    except ValidationError as error:
        problems = {
            str(problem["loc"][0]): in_words(typed(Settings), [problem])[0].partition(": ")[2]
            for problem in error.errors(include_url=False, include_input=False)
        }
    wrong += [Wrong(VARIABLES[name], "cannot be what it is set to", told) for name, told in problems.items()]
    return _Given(**{name: value for name, value in given.items() if name not in problems}), wrong


def _unknown(variable: str) -> Wrong:
    if variable == "CONSORTIUM_CLOCK":
        return Wrong(variable, "is no setting", "a log says itself which clock it goes by; rehearse with `consortium up --pace`")
    near = get_close_matches(variable.upper(), VARIABLES.values(), n=1, cutoff=_ALIKE)
    return Wrong(variable, "is no setting", f"is {near[0]} meant?" if near else f"there are {', '.join(sorted(VARIABLES.values()))}")


def is_rehearsal(register: Register, chosen: Settings) -> bool:
    """Whether the log is only played: its founding says so, or it lies in the folder of a demonstration."""
    return not isinstance(register.clock, SystemTime) or chosen.demonstration


def rehearsed(folder: Path, **chosen: Any) -> Settings:
    """Settings for a consortium that is only played. Nothing is taken from the environment: no real log, bank or mailbox can be meant."""
    return Settings.model_construct(folder=folder, **chosen)


async def open_log(url: str) -> Log:
    """The log at this place, for writing: PostgreSQL for `postgresql://…`, else an SQLite file. It is made, or migrated, when needed."""
    if in_database(url):
        from eventstore.postgres import PostgresLog

        return await PostgresLog.open(url)
    from eventstore.sqlite import SqliteLog

    path = file_of(url)
    make_private(path.parent)
    return await SqliteLog.open(path)


async def look_at_log(url: str) -> Log:
    """The log at this place, for reading: nothing is made, migrated or written. Raises `LogUnavailable`, `SchemaMismatch`."""
    if in_database(url):
        from eventstore.postgres import PostgresLog

        return await PostgresLog.look(url)
    from eventstore.sqlite import SqliteLog

    return await SqliteLog.look(file_of(url))


async def copied(batches: AsyncIterator[Sequence[Entry]]) -> Log:
    """A log in this process's memory that holds these entries, to go on from without anybody knowing. Raises `Damaged`."""
    from eventstore.memory import MemoryLog

    log, position = MemoryLog(), 0
    async for entries in batches:
        if await log.append(entries) is not Appended.DONE:
            raise Damaged(position + 1, "it does not follow the entry before it")
        position = entries[-1].position if entries else position
    return log


def in_database(url: str) -> bool:
    """Whether the log is in a database, not in a file."""
    return url.startswith(("postgresql://", "postgres://"))


def file_of(url: str) -> Path:
    """The file of a log that is in no database."""
    return Path(url.removeprefix("sqlite:"))


def make_private(folder: Path) -> None:
    """Makes a folder that is not there, for its owner alone; one that is there stays as it is."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def keep_private(folder: Path) -> int:
    """Makes the folder if it is not there, and lets all files that this process makes be as open to others as it is; the umask before.

    Nobody else can write them. Where the folder cannot be made, they are closed to all others.
    """
    try:
        make_private(folder)
        return os.umask(0o022 | (~stat.S_IMODE(folder.stat().st_mode) & 0o077))
    except OSError:
        return os.umask(0o077)
