"""What others wrote is read within bounds: nothing that is read or asked can fill memory, hold the process up or lead elsewhere."""

from __future__ import annotations

import ast
import asyncio
import io
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, Final, cast

import pytest

from activities.bounded import Unreadable, json_value, toml_table
from activities.private import Private
from activities.run.safetensors_files import Broken, require_loadable
from activities.web import Poster, Refused, Turned, Unreachable, Web
from tests.test_following import looked

ROOT: Final = Path(__file__).parent.parent
READERS: Final = {
    "json.loads": {
        "activities/bounded.py",
        "eventstore/wire.py",
        "eventstore/readmodels.py",
        "eventstore/upcasters.py",
        "signatures/sshsig.py",
    },
    "tomllib": {"activities/bounded.py"},
    "httpx": {"activities/web.py"},
    "zipfile": set[str](),
}
"""Where each is used: one place for what others wrote; in the log's own code for what the log wrote itself."""


# ---------------------------------------------------------------- where


@pytest.mark.parametrize("name", READERS)
def test_what_others_wrote_is_read_in_one_place(name: str) -> None:
    found = set()
    for path in [
        *ROOT.glob("*.py"),
        *(
            each
            for folder in ("activities", "audit", "cli", "eventstore", "signatures", "transparency")
            for each in (ROOT / folder).rglob("*.py")
        ),
    ]:
        names = {
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute | ast.Name)
        }
        if any(each == name or each.startswith(f"{name}.") for each in names):
            found.add(str(path.relative_to(ROOT)))
    assert found <= READERS[name]


# ---------------------------------------------------------------- JSON and TOML


def test_values_are_read_as_they_are_written() -> None:
    assert json_value(b'{"a": [1, 1.50, -2e3, "x", null, true]}') == {"a": [1, Decimal("1.50"), Decimal("-2e3"), "x", None, True]}
    assert json_value('{"loss": NaN}', number=str, constant=str) == {"loss": "NaN"}
    assert toml_table(b"a = 1.5\n[b]\nc = 'd'\n") == {"a": Decimal("1.5"), "b": {"c": "d"}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'"' + b"x" * 2_000 + b'"', "larger than 1000 bytes"),
        (b"[" * 70 + b"]" * 70, "deeper than 64"),
        (b"[" * 900 + b"]" * 90, "deeper than 64|no readable JSON"),
        (b"9" * 900, "more than 40 digits"),
        (b"1e99999", "longer than any measurement"),
        (b"1." + b"1" * 900, "longer than any measurement"),
        (b"NaN", "NaN is no number"),
        (b"{} trailing", "no readable JSON"),
        (b'{"secret-value": ', "no readable JSON"),
        (b"\xff\xfe", "no readable JSON|not UTF-8"),
    ],
    ids=["large", "deep", "torn and deep", "long whole number", "exponent", "long fraction", "nan", "trailing", "torn", "bytes"],
)
def test_what_is_beyond_the_bounds_is_refused_without_being_quoted(text: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says) as refused:
        json_value(text, most_bytes=1_000)
    assert "secret-value" not in str(refused.value)


def test_millions_of_small_values_are_refused_before_they_are_made() -> None:
    with pytest.raises(Unreadable, match="values"):
        json_value(b"[" + b"[]," * 2_100_000 + b"[]]")


def test_a_key_named_twice_is_refused_where_that_is_asked() -> None:
    assert json_value(b'{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(Unreadable, match="twice"):
        json_value(b'{"a": 1, "a": 2}', unique=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"a = ", "is no TOML"), (b"a = " + b"[" * 900, "deeper|no TOML"), (b"\xff", "UTF-8"), (b"a = 1e99999", "measurement")],
)
def test_toml_that_cannot_be_read_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        toml_table(text)


# ---------------------------------------------------------------- headers of weights


def weights(header: bytes, content: bytes = b"") -> BinaryIO:
    file = os.fdopen(os.memfd_create("weights"), "r+b")
    file.write(struct.pack("<Q", len(header)) + header + content)
    file.seek(0)
    return cast(BinaryIO, file)


def test_a_whole_file_of_weights_is_loadable() -> None:
    require_loadable(weights(b'{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}', bytes(8)))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[' + b",".join([b"9007199254740991"] * 100_000) + b'],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":["0",8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"a":[1]}',
        b"[]",
    ],
    ids=["a hundred thousand dimensions", "fraction", "beyond 2^53", "negative", "text", "twice", "no tensor", "no table"],
)
def test_a_header_that_no_tensor_has_is_broken(header: bytes) -> None:
    with pytest.raises(Broken):
        require_loadable(weights(header, bytes(8)))


def test_a_header_of_a_hundred_megabytes_is_not_read() -> None:
    file = io.FileIO(os.memfd_create("weights"), "r+")
    file.write(struct.pack("<Q", 100 * 2**20))
    file.truncate(200 * 2**20)
    file.seek(0)
    with pytest.raises(Broken):
        require_loadable(cast(BinaryIO, file))
    assert file.tell() == 8


# ---------------------------------------------------------------- other machines


class Server(BaseHTTPRequestHandler):
    """A server that misbehaves as its paths say."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/drip-head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            self._drip()
        elif path == "/drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self._drip()
        elif path.startswith("/round"):
            self._answer(302, b"", {"Location": "/round"})
        elif path == "/inside":
            self._answer(302, b"", {"Location": "http://169.254.169.254/latest/meta-data"})
        elif path == "/large":
            self._answer(200, b" " * (17 * 2**20))
        elif path.endswith("/runs/get"):
            self._answer(200, b'{"run": {"data": {"metrics": [{"key": "train/loss"}]}}}')
        elif path.endswith("/metrics/get-history"):
            self._answer(200, b'{"metrics": [{"value": 1.5, "step": 1, "timestamp": 1}], "next_page_token": "more"}')
        elif path == "/hostile":
            self._answer(403, b"[link](https://evil.example) \x1b[31mred")
        else:
            self._answer(200, b'{"ok": 1}')

    def do_POST(self) -> None:
        self.do_GET()

    def _drip(self) -> None:
        with suppress(OSError):
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()


HERE: Final = Private.parse("127.0.0.1")


def test_an_answer_is_read(server: str) -> None:
    assert Web(HERE).json(f"{server}/fine", {"page": "1"}) == {"ok": 1}


def test_a_machine_inside_is_asked_only_when_the_settings_name_it(server: str) -> None:
    with pytest.raises(Refused, match="public internet"):
        Web().json(f"{server}/fine")
    for named in ("localhost", "127.0.0.0/8"):
        assert Web(Private.parse(named)).json(server.replace("127.0.0.1", "localhost")) == {"ok": 1}


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://mlflow", "mlflow\u0131"])
def test_private_hosts_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a host"):
        Private.parse(text)


def test_a_redirect_to_a_machine_inside_is_not_followed(server: str) -> None:
    with pytest.raises(Refused, match="public internet"):
        Web(HERE).json(f"{server}/inside")


def test_redirects_come_to_an_end(server: str) -> None:
    with pytest.raises(Refused, match="redirects"):
        Web(HERE).json(f"{server}/round")


def test_an_answer_that_is_too_large_is_given_up(server: str) -> None:
    with pytest.raises(Refused, match="larger than"):
        Web(HERE).json(f"{server}/large")


@pytest.mark.timeout(4)
@pytest.mark.parametrize("where", ["drip", "drip-head"])
def test_a_server_that_drips_is_given_up(server: str, where: str) -> None:
    with pytest.raises(Unreachable, match="too long to answer"):
        Web(HERE, seconds=0.3).json(f"{server}/{where}")


def test_a_server_that_is_away_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        Web(HERE).json("http://127.0.0.1:9/")


@pytest.mark.parametrize(
    "address", ["ftp://a.example/", "http://user@a.example/", "http:///nowhere", "file:///etc/passwd", "http://a.example:99999/"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(Refused):
        Web(resolve=lambda _host, _port: ["93.184.216.34"]).json(address)


def test_what_a_server_says_of_its_refusal_is_not_passed_on(server: str) -> None:
    with pytest.raises(Turned) as turned:
        Web(HERE).json(f"{server}/hostile")
    assert str(turned.value) == "the server answers 403"


async def test_a_history_without_an_end_is_given_up(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.run.telemetry.PAGES", 20)
    outcome = await looked(tmp_path, "mlflow", f"{server}#r1")
    assert outcome["kind"] == "fail_step"
    assert "has no end" in outcome["reason"]


# ---------------------------------------------------------------- posting


async def test_a_receiver_that_is_away_has_no_answer() -> None:
    async with asyncio.timeout(20):
        assert await Poster(timeout_seconds=0.3).post("http://127.0.0.1:9/", b"", {}) is None


@pytest.mark.timeout(4)
async def test_a_receiver_that_drips_is_given_up(server: str) -> None:
    assert await Poster(timeout_seconds=0.3).post(f"{server}/drip-head", b"", {}) is None
