"""Everything that compose.yaml names, with what an operator puts beside it, and the log as people see it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from trial import containers
from trial.containers import COMPOSE, Folder
from trial.services import MAIL_PORT, Mail, Postgres, Temporal
from trial.shell import ROOT, call, require, succeeds, until

RELEASE: Final = f"localhost/{COMPOSE['services']['worker']['image']}"
NEXT: Final = f"{RELEASE}.post1"
SENDER: Final = "Consortium <notices@consortium.example>"
READER: Final = "reader"
ADA: Final = "ada@helio.example"
APPLICATION: Final = """name = "{name}"
lei = "{lei}"
country = "NO"
tier = "partner"

[[representatives]]
person = "{person}"
"""


class Deployment:
    """Everything that compose.yaml names, with what an operator puts beside it."""

    def __init__(self, path: Path, networks_: Sequence[str], next_version: str) -> None:
        self.folder = Folder(path, {"CONSORTIUM_SENDER": SENDER, "CONSORTIUM_SMTP_HOST": "mail", "CONSORTIUM_SMTP_USERNAME": "notices"})
        self.first, self.second, self._commands = networks_
        self.image = RELEASE
        self.next_version = next_version
        self.backup = path / "consortium.dump"
        self.kept: Mapping[str, Any] = {}
        self._path = path
        self._stack = ExitStack()
        self._write()
        self.postgres = Postgres(path / "postgres", path / "secrets")
        self.temporal = Temporal(path, COMPOSE["services"]["worker"]["environment"]["TEMPORAL_NAMESPACE"])
        self.mail = Mail(path, "notices", (path / "secrets" / "smtp_password").read_text(encoding="utf-8"))

    def _write(self) -> None:
        """What docs/operations.md has an operator write."""
        for name, mode in (("", 0o711), ("secrets", 0o700), ("config", 0o755)):
            (self._path / name).mkdir(mode=mode)
        for name in COMPOSE["secrets"]:
            (self._path / "secrets" / name).write_text(secrets.token_hex(24), encoding="utf-8")
            (self._path / "secrets" / name).chmod(0o444)
        self.write("addresses.toml", f'[ada]\nemails = ["{ADA}"]\n')
        for name in ("sdn.csv", "alt.csv"):
            self.write(name, (ROOT / "tests" / "data" / name).read_text(encoding="utf-8"))
        for name in ("charter.toml", "officers.toml", "application.toml"):
            self.write(name, (ROOT / "examples" / name).read_text(encoding="utf-8"))
        settings = f"CONSORTIUM_SMTP_PORT={MAIL_PORT}\nSSL_CERT_FILE=/etc/consortium/mail.pem\n"
        (self._path / "settings.env").write_text(settings, encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Puts a file into `config`, which containers see and cannot write."""
        (self._path / "config" / name).write_text(text, encoding="utf-8")
        (self._path / "config" / name).chmod(0o644)

    def __enter__(self) -> Deployment:
        self.mail.start()
        self._stack.callback(self.mail.stop)
        shutil.copyfile(self.mail.certificate, self._path / "config" / "mail.pem")
        self.postgres.start()
        self._stack.callback(self.postgres.stop)
        self._stack.callback(self.temporal.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self.read_no_more()
        succeeds("podman", "rm", "--force", "--all", "--time=0")
        self._stack.close()

    # ------------------------------------------------------------ containers

    def run(self, service: str, *words: str, errors: bool = True) -> str:
        """Runs a container of a service to its end, as `docker compose run --rm` does; what it said."""
        options = containers.words(COMPOSE["services"][service], self.image, self._commands, self.folder, "--rm")
        return call(*options, *words, errors=errors)

    def command(self, *words: str) -> str:
        """Gives a command of `consortium`; what it answered."""
        return self.run("worker", *words)

    def told(self, *words: str) -> Any:
        """What a command answers in JSON."""
        return json.loads(self.run("worker", *words, "--json", errors=False))

    def work(self, *names: str) -> None:
        """Starts workers and waits until each of them works and is healthy."""
        for name in names:
            containers.started(COMPOSE["services"]["worker"], self.image, name, self.folder)

        def healthy(name: str) -> bool:
            containers.require_running(name)
            return "worker.started" in containers.events(name) and succeeds("podman", "healthcheck", "run", name)

        for name in names:
            until(f"{name} works and is healthy", partial(healthy, name))

    def stop(self, name: str) -> None:
        """Stops a worker as compose does. Raises `Failed` when it does not end well, and by itself."""
        code, told = containers.stopped(name), containers.events(name)
        well = code == 0 and "worker.stopping" in told and "worker.ended_short" not in told
        require(well, f"{name} ended with {code}: {sorted(told)}")

    def end(self, *names: str) -> None:
        """Stops workers and removes their containers."""
        for name in names:
            self.stop(name)
            call("podman", "rm", name)

    # ------------------------------------------------------------ the log

    def read(self) -> None:
        """Begins to follow the log, by a command in a container of its own."""
        options = containers.words(COMPOSE["services"]["worker"], self.image, self._commands, self.folder, "--detach", f"--name={READER}")
        call(*options, "log", "--follow", "--json")

    def read_no_more(self) -> None:
        """Follows the log no more."""
        call("podman", "rm", "--force", "--ignore", "--time=0", READER)

    def entries(self) -> Sequence[Mapping[str, Any]]:
        """The entries that were read from the log so far. Raises `Failed` when the log is followed no more."""
        containers.require_running(READER)
        whole = call("podman", "logs", READER, errors=False).rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def hash_at(self, position: int) -> str:
        """The hash of an entry, once it was read."""
        entry = until(f"entry {position} is read", lambda: next((each for each in self.entries() if each["position"] == position), None))
        return str(entry["hash"])

    def event(self, stream: str, kind: str) -> Mapping[str, Any]:
        """An event of a stream, once it is on the log."""

        def look() -> Mapping[str, Any] | None:
            found = (event for entry in self.entries() if entry["stream"] == stream for event in entry.get("events", ()))
            return next((event for event in found if event["kind"] == kind), None)

        return until(f"{kind} on {stream}", look)

    def apply(self, member: str, name: str, lei: str) -> None:
        """Has an organisation apply; its representative is named like it."""
        self.write(f"{member}.toml", APPLICATION.format(name=name, lei=lei, person=member))
        self.command("key", "new", member, "--no-passphrase")
        self.command("member", "apply", member, "--from", f"/etc/consortium/{member}.toml", "--key", member)
        self.event(f"member/{member}", "application_received")
