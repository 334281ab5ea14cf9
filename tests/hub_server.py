"""A small hub: the part of the Hugging Face Hub's HTTP API that publishing uses, over real sockets, with its state in memory.

Small files come within the commit, larger ones through Git LFS (batch, upload, verify); a commit is refused for objects that
were not uploaded, an upload for bytes that do not have their hash. Who may read what follows the hub's rules: a private
repository only its owner, a gated one also whom it granted access, a public one everybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit

OWNER: Final = "hf_owner"
"""The owner's token; a user's is their name after `hf_`."""
REGULAR: Final = 64 * 1024
"""Files up to this size are no LFS objects."""

Answer = tuple[int, Any]
Tree = dict[str, tuple[str, bytes]]
"""Of each path whether it is `regular` or `lfs`, and the bytes."""


@dataclass
class Repo:
    """A repository of models."""

    private: bool = True
    gated: Any = False
    commits: dict[str, Tree] = field(default_factory=dict)
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    squashed: int = 0
    requests: dict[str, str] = field(default_factory=dict)
    """Of each user who asked or was granted access: pending, accepted or rejected."""

    def __post_init__(self) -> None:
        self.commit({".gitattributes": ("regular", b"*.bin filter=lfs\n")})

    def commit(self, tree: Tree) -> str:
        self.head = hashlib.sha1(f"{len(self.commits)}".encode() + repr(sorted(tree)).encode()).hexdigest()
        self.commits[self.head] = tree
        return self.head

    def at(self, revision: str) -> str | None:
        """The commit of a revision."""
        known = {"main": self.head, "HEAD": self.head, **self.tags}.get(revision, revision)
        return known if known in self.commits else None

    def readable(self, token: str | None) -> bool:
        if token == OWNER:
            return True
        granted = token is not None and self.requests.get(token.removeprefix("hf_")) == "accepted"
        return not self.private and (not self.gated or granted)


class Hub:
    """The hub's state. `broken` is called before and after each request's effect, and may raise to drop the connection."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.users = {"ada-hf", "abe-hf", "vic-hf", "eve-hf"}
        self.log: list[str] = []
        self.broken: Callable[[str], None] = lambda _when: None
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> Answer:
        for pattern, wanted, act in _ROUTES:
            if wanted == method and (match := re.fullmatch(pattern, path)):
                parts = {name: unquote(part) for name, part in match.groupdict().items()}
                repo = self.repos.get(parts.get("repo", ""))
                if "repo" in parts and (repo is None or (repo.private and token != OWNER)):
                    return 404, {"error": "Repository not found"}
                if method != "GET" and token != OWNER and "user-access-request/ask" not in path:
                    return 403, {"error": "You have no write permission"}
                self.log.append(f"{method} {path}")
                return act(self, parts, repo, token, body)
        return 404, {"error": f"no such endpoint: {method} {path}"}


def _create(hub: Hub, _parts: dict[str, str], _repo: Repo | None, _token: str | None, body: bytes) -> Answer:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    if name in hub.repos:
        return 409, {"error": "You already created this model repo", "url": f"{hub.url}/{name}"}
    hub.repos[name] = Repo(private=asked.get("visibility") == "private" or asked.get("private") is True)
    return 200, {"url": f"{hub.url}/{name}"}


def _info(_hub: Hub, parts: dict[str, str], repo: Any, _token: str | None, _body: bytes) -> Answer:
    return 200, {
        "id": parts["repo"],
        "modelId": parts["repo"],
        "sha": repo.head,
        "private": repo.private,
        "gated": repo.gated,
        "tags": [],
        "downloads": 0,
        "likes": 0,
    }


def _settings(_hub: Hub, _parts: dict[str, str], repo: Any, _token: str | None, body: bytes) -> Answer:
    asked = json.loads(body)
    if "visibility" in asked:
        repo.private = asked["visibility"] == "private"
    repo.private = asked.get("private", repo.private)
    repo.gated = asked.get("gated", repo.gated)
    return 200, {}


def _refs(_hub: Hub, _parts: dict[str, str], repo: Any, _token: str | None, _body: bytes) -> Answer:
    tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in repo.tags.items()]
    return 200, {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}], "converts": [], "tags": tags}


def _tree(_hub: Hub, parts: dict[str, str], repo: Any, _token: str | None, _body: bytes) -> Answer:
    commit = repo.at(parts["revision"])
    if commit is None:
        return 404, {"error": "Revision not found"}
    listed = []
    for path, (mode, body) in sorted(repo.commits[commit].items()):
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(body), "oid": _blob(body)}
        if mode == "lfs":
            entry |= {
                "oid": _blob(b"pointer" + body[:8]),
                "lfs": {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130},
            }
        listed.append(entry)
    return 200, listed


def _blob(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def _preupload(_hub: Hub, _parts: dict[str, str], repo: Any, _token: str | None, body: bytes) -> Answer:
    tree = repo.commits[repo.head]
    return 200, {
        "files": [
            {
                "path": each["path"], "uploadMode": "lfs" if each["size"] > REGULAR else "regular", "shouldIgnore": False,
                **({"oid": _oid(tree[each["path"]])} if each["path"] in tree else {}),
            }
            for each in json.loads(body)["files"]
        ]
    }  # fmt: skip


def _oid(entry: tuple[str, bytes]) -> str:
    return hashlib.sha256(entry[1]).hexdigest() if entry[0] == "lfs" else _blob(entry[1])


def _batch(hub: Hub, parts: dict[str, str], _repo: Repo | None, _token: str | None, body: bytes) -> Answer:
    objects = []
    for each in json.loads(body)["objects"]:
        actions = {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}, "verify": {"href": f"{hub.url}/{parts['repo']}.git/info/lfs/verify"}}
        objects.append({"oid": each["oid"], "size": each["size"], **({} if each["oid"] in hub.objects else {"actions": actions})})
    return 200, {"transfer": "basic", "objects": objects}


def _verify(hub: Hub, _parts: dict[str, str], _repo: Repo | None, _token: str | None, body: bytes) -> Answer:
    return (200, {}) if json.loads(body)["oid"] in hub.objects else (404, {"error": "object not found"})


def _commit(hub: Hub, parts: dict[str, str], repo: Any, _token: str | None, body: bytes) -> Answer:
    tree: Tree = dict(repo.commits[repo.head])
    for line in body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        match entry["key"]:
            case "file":
                tree[value["path"]] = ("regular", base64.b64decode(value["content"]))
            case "lfsFile":
                if value["oid"] not in hub.objects:
                    return 422, {"error": f"LFS object {value['oid']} was not uploaded"}
                tree[value["path"]] = ("lfs", hub.objects[value["oid"]])
            case "deletedFile":
                tree.pop(value["path"])
            case _:
                pass
    commit = repo.commit(tree)
    return 200, {"success": True, "commitOid": commit, "commitUrl": f"{hub.url}/{parts['repo']}/commit/{commit}"}


def _tag(_hub: Hub, parts: dict[str, str], repo: Any, _token: str | None, body: bytes) -> Answer:
    tag = json.loads(body)["tag"]
    if tag in repo.tags:
        return 409, {"error": "Tag already exists"}
    commit = repo.at(parts["revision"])
    if commit is None:
        return 404, {"error": "Revision not found"}
    repo.tags[tag] = commit
    return 200, {}


def _untag(_hub: Hub, parts: dict[str, str], repo: Any, _token: str | None, _body: bytes) -> Answer:
    if repo.tags.pop(parts["tag"], None) is None:
        return 404, {"error": "no such tag"}
    return 200, {}


def _squash(_hub: Hub, _parts: dict[str, str], repo: Any, _token: str | None, _body: bytes) -> Answer:
    """The branch is one commit then; what no tag names is gone."""
    tree = repo.commits[repo.head]
    named = {commit: repo.commits[commit] for commit in repo.tags.values()}
    repo.squashed += 1
    repo.commits = dict(named)
    repo.head = hashlib.sha1(f"squashed {repo.squashed}".encode() + repr(sorted(tree)).encode()).hexdigest()
    repo.commits[repo.head] = tree
    return 200, {}


def _requests(_hub: Hub, parts: dict[str, str], repo: Any, _token: str | None, _body: bytes) -> Answer:
    return 200, [
        {"requestId": f"id-{user}", "user": {"user": user, "fullname": user}, "status": status, "timestamp": "2026-11-02T09:00:00.000Z"}
        for user, status in sorted(repo.requests.items())
        if status == parts["status"]
    ]


def _handle(_hub: Hub, _parts: dict[str, str], repo: Any, _token: str | None, body: bytes) -> Answer:
    asked = json.loads(body)
    user = asked.get("user") or asked["requestId"].removeprefix("id-")
    if user not in repo.requests:
        return 404, {"error": "no such request"}
    if repo.requests[user] == asked["status"]:
        return 400, {"error": f"the request is {asked['status']} already"}
    repo.requests[user] = asked["status"]
    return 200, {}


def _grant(hub: Hub, _parts: dict[str, str], repo: Any, _token: str | None, body: bytes) -> Answer:
    user = json.loads(body)["user"]
    if not repo.gated:
        return 400, {"error": "The repo is not gated"}
    if user not in hub.users:
        return 404, {"error": f"User {user} not found"}
    if repo.requests.get(user) == "accepted":
        return 400, {"error": "The user already has access"}
    repo.requests[user] = "accepted"
    return 200, {}


def _ask(_hub: Hub, _parts: dict[str, str], repo: Any, token: str | None, _body: bytes) -> Answer:
    if token is None or not repo.gated:
        return 400, {"error": "sign in, and ask a gated repo"}
    repo.requests.setdefault(token.removeprefix("hf_"), "pending")
    return 200, {}


def _upload(hub: Hub, parts: dict[str, str], _repo: Repo | None, _token: str | None, body: bytes) -> Answer:
    if hashlib.sha256(body).hexdigest() != parts["oid"]:
        return 400, {"error": "the bytes have another hash"}
    hub.objects[parts["oid"]] = body
    return 200, {}


def _yaml(_hub: Hub, _parts: dict[str, str], _repo: Repo | None, _token: str | None, body: bytes) -> Answer:
    text = json.loads(body)["content"]
    return (
        (200, {"errors": [], "warnings": []})
        if text.startswith("---\n")
        else (200, {"errors": [], "warnings": [{"message": "empty metadata"}]})
    )


def _resolve(_hub: Hub, parts: dict[str, str], repo: Any, token: str | None, _body: bytes) -> Answer:
    if not repo.readable(token):
        return 403, {"error": "Access to this model is restricted"}
    commit = repo.at(parts["revision"])
    if commit is None or parts["path"] not in repo.commits[commit]:
        return 404, {"error": "Entry not found"}
    return 200, repo.commits[commit][parts["path"]][1]


_REPO: Final = r"(?P<repo>[\w.-]+/[\w.-]+)"
_ROUTES: Final[tuple[tuple[str, str, Callable[..., Answer]], ...]] = (
    (r"/api/repos/create", "POST", _create),
    (r"/api/validate-yaml", "POST", _yaml),
    (rf"/api/models/{_REPO}", "GET", _info),
    (rf"/api/models/{_REPO}/revision/(?P<revision>[^/]+)", "GET", _info),
    (rf"/api/models/{_REPO}/settings", "PUT", _settings),
    (rf"/api/models/{_REPO}/refs", "GET", _refs),
    (rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)", "GET", _tree),
    (rf"/api/models/{_REPO}/preupload/(?P<revision>[^/]+)", "POST", _preupload),
    (rf"/api/models/{_REPO}/commit/(?P<revision>[^/]+)", "POST", _commit),
    (rf"/api/models/{_REPO}/tag/(?P<revision>[^/]+)", "POST", _tag),
    (rf"/api/models/{_REPO}/tag/(?P<tag>[^/]+)", "DELETE", _untag),
    (rf"/api/models/{_REPO}/super-squash/(?P<revision>[^/]+)", "POST", _squash),
    (rf"/api/models/{_REPO}/user-access-request/handle", "POST", _handle),
    (rf"/api/models/{_REPO}/user-access-request/grant", "POST", _grant),
    (rf"/{_REPO}/user-access-request/ask", "POST", _ask),
    (rf"/api/models/{_REPO}/user-access-request/(?P<status>pending|accepted|rejected)", "GET", _requests),
    (rf"/{_REPO}\.git/info/lfs/objects/batch", "POST", _batch),
    (rf"/{_REPO}\.git/info/lfs/verify", "POST", _verify),
    (r"/lfs/(?P<oid>[0-9a-f]{64})", "PUT", _upload),
    (rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "GET", _resolve),
)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self._body()
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            path = urlsplit(self.path).path
            if path.startswith("/lfs/"):
                token = OWNER
            with hub.lock:
                try:
                    hub.broken("before")
                    status, answer = hub.answer(self.command, path, token, body)
                    hub.broken("after")
                except ConnectionAbortedError:
                    self.close_connection = True
                    return
            payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream" if isinstance(answer, bytes) else "application/json")
            self.send_header("Content-Length", str(len(payload)))
            if status >= 400:
                self.send_header("X-Error-Message", answer["error"])
                if answer["error"] == "Repository not found":
                    self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = respond  # noqa: N815

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def log_message(self, *_: object) -> None:
            """Keeps the tests' output to the tests."""

    return Handler


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
