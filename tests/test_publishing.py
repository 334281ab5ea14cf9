"""Publishing: one promise, three adapters (a directory, S3-compatible storage, a hub), each against the real thing or its protocol.

| call | when repeated, or killed at any boundary and tried again |
| --- | --- |
| publish | the same place with the same bytes, once |
| open_access, close_access | the same persons; a closed lease is opened by no late call |
| withdraw | nothing is shown; no late publish shows it again |
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from activities.files import Unfit, unheard
from activities.release.artifacts import hashed
from activities.release.directory import DirectoryPublisher
from activities.release.hub import NO_LEASE, HubPublisher
from activities.release.publishing import Accounts, Lease, Publication, Publisher, View
from activities.release.s3 import S3Publisher, client
from tests.dying import dies
from tests.hub_server import OWNER, Hub, Repo, serving

pytestmark = pytest.mark.heavy

DOCUMENTS = frozenset(("model.sig", "README.md"))
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
HELIO = Lease("helio-1", ("ada", "abe"), NOW + timedelta(days=30))
VEGA = Lease("vega-1", ("vic",), NOW + timedelta(days=30))


_names = count(1)


class Place(Protocol):
    """Where a publisher publishes, as somebody outside sees it."""

    def publisher(self) -> Publisher:
        """A publisher as a fresh worker would make it."""

    def fresh(self) -> Place:
        """Another such place, with nothing in it."""

    def shown(self, view: View) -> dict[str, bytes]:
        """The files that the view shows, by path; nothing when it shows none."""

    def persons(self) -> set[str]:
        """Who may read the gated view."""


# ---------------------------------------------------------------- a directory


@dataclass
class Directory:
    """A directory, as one who reads it sees it."""

    root: Path

    def publisher(self) -> Publisher:
        return DirectoryPublisher(self.root)

    def fresh(self) -> Directory:
        return Directory(self.root.with_name(f"published-{next(_names)}"))

    def shown(self, view: View) -> dict[str, bytes]:
        current = self.root / view / "atlas-1" / "current"
        return {path.relative_to(current).as_posix(): path.read_bytes() for path in current.rglob("*") if path.is_file()}

    def persons(self) -> set[str]:
        path = self.root / "access" / "atlas-1.json"
        return set(json.loads(path.read_bytes())["persons"]) if path.exists() else set()


# ---------------------------------------------------------------- S3


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A local server that speaks S3."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "moto_server"
    server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/moto-api/", timeout=1)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


@dataclass
class S3:
    """A bucket of its own on the server."""

    url: str
    bucket: str
    accounts: Path

    def fresh(self) -> S3:
        bucket = f"bucket-{next(_names)}"
        self.client().create_bucket(Bucket=bucket)
        return S3(self.url, bucket, self.accounts)

    def client(self) -> Any:
        return client(self.url, "us-east-1")

    def publisher(self) -> Publisher:
        return S3Publisher(self.client, self.bucket, Accounts(self.accounts, "s3"), "models/", part=5 * 1024 * 1024)

    def shown(self, view: View) -> dict[str, bytes]:
        s3, top = self.client(), f"models/{view}/atlas-1/"
        try:
            edition = json.loads(s3.get_object(Bucket=self.bucket, Key=f"{top}current.json")["Body"].read())["edition"]
        except s3.exceptions.NoSuchKey:
            return {}
        top += f"{edition}/"
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=self.bucket, Prefix=top).get("Contents", [])]
        return {key.removeprefix(top): s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def statements(self) -> list[dict[str, Any]]:
        s3 = self.client()
        try:
            found: list[dict[str, Any]] = json.loads(s3.get_bucket_policy(Bucket=self.bucket)["Policy"])["Statement"]
        except s3.exceptions.ClientError:
            return []
        return found

    def persons(self) -> set[str]:
        leases = [each for each in self.statements() if each["Sid"].startswith("ConsortiumLease")]
        return {arn.rpartition("/")[2] for each in leases for arn in each["Principal"]["AWS"]}


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    accounts = tmp_path / "accounts.toml"
    accounts.write_text("[s3]\n" + "".join(f'{name} = "arn:aws:iam::123456789012:user/{name}"\n' for name in ("ada", "abe", "vic")))
    return S3(s3_server, "", accounts).fresh()


# ---------------------------------------------------------------- a hub


@dataclass
class OnHub:
    """A namespace of its own on the hub."""

    hub: Hub
    folder: Path
    namespace: str = "consortium"

    @property
    def repo(self) -> Repo | None:
        return self.hub.repos.get(f"{self.namespace}/atlas-1")

    def publisher(self) -> Publisher:
        accounts = Accounts(self.folder / "accounts.toml", "hub")
        return HubPublisher(self.namespace, accounts, self.folder / self.namespace, endpoint=self.hub.url, token=OWNER)

    def fresh(self) -> OnHub:
        return OnHub(self.hub, self.folder, f"consortium-{next(_names)}")

    def read(self, token: str | None) -> dict[str, bytes]:
        """What somebody with this token downloads."""
        if self.repo is None:
            return {}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        top = f"{self.hub.url}/{self.namespace}/atlas-1/resolve/main"
        tree = {"model/" + path if path not in DOCUMENTS else path: path for path in self.repo.commits[self.repo.head]}
        answers = {name: httpx.get(f"{top}/{path}", headers=headers) for name, path in tree.items() if path != ".gitattributes"}
        return {name: answer.content for name, answer in answers.items() if answer.status_code == 200}

    def shown(self, view: View) -> dict[str, bytes]:
        if view is View.PUBLIC:
            return self.read(None)
        if self.repo is None or self.repo.private:
            return {}
        return self.read(OWNER)

    def persons(self) -> set[str]:
        granted = self.repo.requests.items() if self.repo else ()
        return {user.removesuffix("-hf") for user, status in granted if status == "accepted"}


@pytest.fixture(scope="session")
def hub_server() -> Iterator[Hub]:
    """A local hub."""
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(hub_server: Hub, tmp_path: Path) -> OnHub:
    (tmp_path / "accounts.toml").write_text("[hub]\n" + "".join(f'{name} = "{name}-hf"\n' for name in ("ada", "abe", "vic", "noa")))
    return OnHub(hub_server, tmp_path).fresh()


# ---------------------------------------------------------------- the promise


@pytest.fixture(params=["directory", "s3", "hub"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: Place = Directory(tmp_path / "published") if request.param == "directory" else request.getfixturevalue(request.param)
    return made


@pytest.fixture
def publication(tmp_path: Path) -> Publication:
    folder = tmp_path / "model"
    (folder / "weights").mkdir(parents=True)
    (folder / "LICENSE").write_text("MIT\n")
    (folder / "weights" / "model.bin").write_bytes(bytes(range(256)) * 1024 * 26)
    return Publication("atlas-1", folder, hashed(folder), {"model.sig": b"{}", "README.md": b"---\nlicense: mit\n---\n# Atlas\n"})


@pytest.fixture
def tiny(tmp_path: Path) -> Publication:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "model.bin").write_bytes(bytes(range(256)) * 300)
    return Publication("atlas-1", folder, hashed(folder), {"model.sig": b"{}", "README.md": b"---\nlicense: mit\n---\n"})


def every(place: Place, long: bool) -> int:  # noqa: FBT001
    """How far the boundaries that are tried lie apart: none is left out at full size, and never in the directory."""
    return 1 if long or isinstance(place, Directory) else 8


def whole(publication: Publication) -> dict[str, bytes]:
    """Everything of a publication, as every view shows it."""
    files = {f"model/{file.path}": (publication.folder / file.path).read_bytes() for file in publication.manifest.files}
    return files | dict(publication.documents)


def test_a_release_goes_from_private_to_gated_to_public_with_the_same_bytes(place: Place, publication: Publication) -> None:
    publisher = place.publisher()
    publisher.publish(publication, View.PRIVATE, unheard)
    assert not place.shown(View.GATED)
    assert not place.shown(View.PUBLIC)
    publisher.publish(publication, View.GATED, unheard)
    assert place.shown(View.GATED) == whole(publication)
    assert not place.shown(View.PUBLIC)
    publisher.publish(publication, View.PUBLIC, unheard)
    assert place.shown(View.PUBLIC) == whole(publication)


def test_publishing_again_is_publishing_once(place: Place, publication: Publication) -> None:
    first = place.publisher().publish(publication, View.PUBLIC, unheard)
    assert place.publisher().publish(publication, View.PUBLIC, unheard) == first
    assert place.shown(View.PUBLIC) == whole(publication)


def test_a_file_that_changed_since_the_manifest_is_not_published(place: Place, publication: Publication) -> None:
    with (publication.folder / "weights/model.bin").open("r+b") as file:
        file.seek(6 * 1024 * 1024)
        file.write(b"\xff\xff")
    with pytest.raises(Unfit, match=r"weights/model\.bin: changed"):
        place.publisher().publish(publication, View.PUBLIC, unheard)
    assert not place.shown(View.PUBLIC)


def test_a_symbolic_link_out_of_the_folder_is_not_published(place: Place, publication: Publication, tmp_path: Path) -> None:
    (publication.folder / "LICENSE").rename(tmp_path / "LICENSE")
    (publication.folder / "LICENSE").symlink_to(tmp_path / "LICENSE")
    with pytest.raises(Unfit, match="LICENSE: a symbolic link"):
        place.publisher().publish(publication, View.PUBLIC, unheard)
    assert not place.shown(View.PUBLIC)


def test_another_edition_takes_the_place_of_the_first(place: Place, publication: Publication) -> None:
    place.publisher().publish(publication, View.GATED, unheard)
    revised = replace(publication, documents={**publication.documents, "README.md": b"# Atlas, revised\n"})
    assert revised.edition != publication.edition
    place.publisher().publish(revised, View.GATED, unheard)
    assert place.shown(View.GATED)["README.md"] == b"# Atlas, revised\n"


def later(publication: Publication, tmp_path: Path, order: tuple[int, int] = (2, 1)) -> Publication:
    """Other files of the same release."""
    folder = tmp_path / "later"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"other weights")
    return Publication(publication.release, folder, hashed(folder), publication.documents, order)


def test_an_edition_that_comes_late_does_not_take_the_place_of_a_later_one(place: Place, tiny: Publication, tmp_path: Path) -> None:
    newer = later(tiny, tmp_path)
    place.publisher().publish(newer, View.GATED, unheard)
    place.publisher().publish(replace(tiny, order=(1, 2)), View.GATED, unheard)
    assert place.shown(View.GATED) == whole(newer)
    place.publisher().publish(replace(newer, order=(2, 3)), View.PUBLIC, unheard)
    place.publisher().publish(newer, View.GATED, unheard)
    place.publisher().publish(replace(tiny, order=(2, 2)), View.PUBLIC, unheard)
    assert place.shown(View.PUBLIC) == whole(newer)


def test_an_edition_that_was_replaced_is_read_by_nobody(place: Place, tiny: Publication, tmp_path: Path) -> None:
    place.publisher().publish(tiny, View.GATED, unheard)
    place.publisher().publish(later(tiny, tmp_path, (2, 0)), View.PRIVATE, unheard)
    assert not place.shown(View.GATED)
    match place:
        case Directory(root=root):
            assert not list((root / "gated" / "atlas-1").iterdir())
        case S3():
            assert not place.client().list_objects_v2(Bucket=place.bucket, Prefix="models/gated/atlas-1/").get("Contents")
        case OnHub():
            assert place.repo is not None
            assert place.repo.private
        case _:
            raise AssertionError(place)


def test_who_reads_a_public_repository_finds_no_edition_that_passed_no_gate(hub: OnHub, tiny: Publication, tmp_path: Path) -> None:
    hub.publisher().publish(tiny, View.PRIVATE, unheard)
    newer = later(tiny, tmp_path)
    hub.publisher().publish(newer, View.PRIVATE, unheard)
    hub.publisher().publish(newer, View.PUBLIC, unheard)
    assert hub.shown(View.PUBLIC) == whole(newer)
    assert hub.repo is not None
    assert set(hub.repo.commits) == {hub.repo.head}
    assert set(hub.repo.tags.values()) == {hub.repo.head}


@pytest.mark.parametrize("name", ["s3", "hub"])
def test_a_person_who_lost_his_account_keeps_nobody_else_in_or_out(
    name: str, request: pytest.FixtureRequest, tiny: Publication, tmp_path: Path
) -> None:
    place: Place = request.getfixturevalue(name)
    place.publisher().publish(tiny, View.GATED, unheard)
    place.publisher().open_access("atlas-1", HELIO)
    accounts = tmp_path / "accounts.toml"
    accounts.write_text("\n".join(line for line in accounts.read_text().splitlines() if not line.startswith("ada")))
    place.publisher().open_access("atlas-1", VEGA)
    assert place.persons() == {"abe", "vic"}
    place.publisher().close_access("atlas-1", "vega-1")
    assert place.persons() == {"abe"}
    place.publisher().withdraw("atlas-1", "A licence was wrong.")
    assert place.persons() == set()
    assert not place.shown(View.GATED)


def test_a_bucket_policy_that_would_be_too_large_is_refused_before_anybody_is_promised_anything(s3: S3, tiny: Publication) -> None:
    s3.accounts.write_text(
        "[s3]\n" + "".join(f'p{number} = "arn:aws:iam::123456789012:user/p{number}-{"x" * 40}"\n' for number in range(300))
    )
    s3.publisher().publish(tiny, View.GATED, unheard)
    many = Lease("many", tuple(f"p{number}" for number in range(300)), NOW + timedelta(days=30))
    with pytest.raises(Unfit, match="S3 takes 20480"):
        s3.publisher().open_access("atlas-1", many)
    few = Lease("few", ("p1", "p2"), NOW + timedelta(days=30))
    s3.publisher().open_access("atlas-1", few)
    assert len(s3.persons()) == 2


@pytest.mark.parametrize("name", ["directory", "hub"])
def test_people_are_let_in_and_kept_out_while_files_are_copied(
    name: str, request: pytest.FixtureRequest, tiny: Publication, tmp_path: Path
) -> None:
    place: Place = Directory(tmp_path / "published") if name == "directory" else request.getfixturevalue(name)
    place.publisher().publish(tiny, View.GATED, unheard)
    met: list[set[str]] = []

    def told(_path: str, _done: int) -> None:
        if not met:
            place.publisher().open_access("atlas-1", VEGA)
            met.append(place.persons())
            place.publisher().close_access("atlas-1", "vega-1")
            met.append(place.persons())
            place.publisher().withdraw("atlas-1", "A licence was wrong.")

    with pytest.raises(Unfit, match="withdrawn"):
        place.publisher().publish(later(tiny, tmp_path), View.PRIVATE if name == "hub" else View.GATED, told)
    assert met == [{"vic"}, set()]
    assert not place.shown(View.GATED)


def test_leases_open_and_close_and_repeating_changes_nothing(place: Place, publication: Publication) -> None:
    place.publisher().publish(publication, View.GATED, unheard)
    for _ in range(2):
        place.publisher().open_access("atlas-1", HELIO)
    place.publisher().open_access("atlas-1", VEGA)
    assert place.persons() == {"ada", "abe", "vic"}
    for _ in range(2):
        place.publisher().close_access("atlas-1", "helio-1")
    assert place.persons() == {"vic"}


def test_a_closed_lease_is_not_opened_by_a_call_that_comes_late(place: Place, publication: Publication) -> None:
    place.publisher().publish(publication, View.GATED, unheard)
    place.publisher().close_access("atlas-1", "helio-1")
    place.publisher().open_access("atlas-1", HELIO)
    assert place.persons() == set()


def test_what_was_withdrawn_is_shown_to_nobody_and_stays_withdrawn(place: Place, publication: Publication) -> None:
    place.publisher().publish(publication, View.GATED, unheard)
    place.publisher().open_access("atlas-1", HELIO)
    place.publisher().publish(publication, View.PUBLIC, unheard)
    for _ in range(2):
        place.publisher().withdraw("atlas-1", "A licence was wrong.")
    assert not place.shown(View.GATED)
    assert not place.shown(View.PUBLIC)
    assert place.persons() == set()
    with pytest.raises(Unfit, match="withdrawn"):
        place.publisher().publish(publication, View.PUBLIC, unheard)
    place.publisher().open_access("atlas-1", VEGA)
    assert place.persons() == set()


def test_a_release_that_was_never_published_can_be_withdrawn(place: Place) -> None:
    place.publisher().withdraw("atlas-1", "Given up.")
    assert not place.shown(View.PUBLIC)


def test_killed_at_any_boundary_of_publishing_and_tried_again_it_is_published_once(
    place: Place,
    publication: Publication,
    long: bool,  # noqa: FBT001
) -> None:
    for at in count(1, every(place, long)):
        here, died = dies(place.fresh, lambda here: here.publisher().publish(publication, View.PUBLIC, unheard), at)
        assert here.shown(View.PUBLIC) in ({}, whole(publication))
        here.publisher().publish(publication, View.PUBLIC, unheard)
        assert here.shown(View.PUBLIC) == whole(publication)
        if isinstance(here, OnHub):
            assert here.repo is not None
            assert len(here.repo.tags) == 1
            assert len(here.repo.commits) <= 2
        if not died:
            break
    assert at > 3


@pytest.mark.parametrize("act", ["open", "close", "withdraw"])
def test_killed_at_any_boundary_of_a_lease_or_a_withdrawal_and_tried_again_it_is_done_once(
    place: Place,
    tiny: Publication,
    act: str,
    long: bool,  # noqa: FBT001
) -> None:
    acts: dict[str, Callable[[Publisher], object]] = {
        "open": lambda publisher: publisher.open_access("atlas-1", VEGA),
        "close": lambda publisher: publisher.close_access("atlas-1", "helio-1"),
        "withdraw": lambda publisher: publisher.withdraw("atlas-1", "A licence was wrong."),
    }
    expected = {"open": {"ada", "abe", "vic"}, "close": set[str](), "withdraw": set[str]()}

    def leased() -> Place:
        here = place.fresh()
        here.publisher().publish(tiny, View.GATED, unheard)
        here.publisher().open_access("atlas-1", HELIO)
        return here

    for at in count(1, every(place, long)):
        here, died = dies(leased, lambda here: acts[act](here.publisher()), at)
        acts[act](here.publisher())
        assert here.persons() == expected[act]
        assert here.shown(View.GATED) == ({} if act == "withdraw" else whole(tiny))
        if not died:
            break
    assert at > 1


def test_a_directory_that_somebody_changed_is_not_shown_again(tmp_path: Path, publication: Publication) -> None:
    place = Directory(tmp_path / "published")
    shown = Path(place.publisher().publish(publication, View.PUBLIC, unheard))
    (shown / "model" / "LICENSE").chmod(0o644)
    (shown / "model" / "LICENSE").write_text("GPL\n")
    with pytest.raises(Unfit, match="LICENSE: .*changed"):
        place.publisher().publish(publication, View.PUBLIC, unheard)


def test_in_a_directory_only_the_owner_reads_what_is_not_public(tmp_path: Path, publication: Publication) -> None:
    place = Directory(tmp_path / "published")
    place.publisher().publish(publication, View.GATED, unheard)
    assert all((place.root / name).stat().st_mode & 0o007 == 0 for name in ("versions", "gated", "access", ".part"))
    assert not any(path.stat().st_mode & 0o222 for path in (place.root / "versions").rglob("*") if path.is_file())


def test_strangers_read_what_is_public_in_s3_and_nothing_else(s3: S3, publication: Publication) -> None:
    def status(view: str) -> int:
        return httpx.get(f"{s3.url}/{s3.bucket}/models/{view}/atlas-1/{publication.edition}/model/LICENSE").status_code

    s3.publisher().publish(publication, View.GATED, unheard)
    assert (status("versions"), status("gated"), status("public")) == (403, 403, 404)
    s3.publisher().publish(publication, View.PUBLIC, unheard)
    assert (status("versions"), status("gated"), status("public")) == (403, 404, 200)
    s3.publisher().withdraw("atlas-1", "A licence was wrong.")
    assert status("public") == 404


def test_s3_itself_ends_a_lease_when_no_worker_is_there_to_do_it(s3: S3, publication: Publication) -> None:
    s3.publisher().publish(publication, View.GATED, unheard)
    s3.publisher().open_access("atlas-1", HELIO)
    lease = next(each for each in s3.statements() if each["Sid"].startswith("ConsortiumLease"))
    assert lease["Condition"] == {"DateLessThan": {"aws:CurrentTime": "2026-12-02T09:00:00Z"}}
    assert lease["Resource"] == f"arn:aws:s3:::{s3.bucket}/models/gated/atlas-1/*"


def test_statements_of_others_in_the_bucket_policy_are_left_alone(s3: S3, publication: Publication) -> None:
    theirs = {
        "Sid": "Audit",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{s3.bucket}/log/*",
    }
    s3.client().put_bucket_policy(Bucket=s3.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]}))
    s3.publisher().publish(publication, View.PUBLIC, unheard)
    assert theirs in s3.statements()


def test_an_upload_in_parts_that_was_left_half_done_is_given_up(s3: S3, publication: Publication) -> None:
    key = f"models/versions/atlas-1/{publication.edition}/model/weights/model.bin"
    s3.client().create_multipart_upload(Bucket=s3.bucket, Key=key)
    s3.publisher().publish(publication, View.PUBLIC, unheard)
    assert not s3.client().list_multipart_uploads(Bucket=s3.bucket).get("Uploads")


def test_the_hub_lets_lease_holders_read_and_rejects_others_who_ask(hub: OnHub, publication: Publication) -> None:
    hub.publisher().publish(publication, View.GATED, unheard)
    for user in ("eve-hf", "ada-hf"):
        httpx.post(f"{hub.hub.url}/{hub.namespace}/atlas-1/user-access-request/ask", headers={"Authorization": f"Bearer hf_{user}"})
    assert not hub.read("hf_ada-hf")
    hub.publisher().open_access("atlas-1", HELIO)
    assert hub.read("hf_ada-hf") == hub.read("hf_abe-hf") == whole(publication)
    assert not hub.read("hf_eve-hf")
    assert not hub.read(None)
    assert hub.repo is not None
    assert hub.repo.requests["eve-hf"] == "rejected"
    hub.publisher().close_access("atlas-1", "helio-1")
    assert not hub.read("hf_ada-hf")
    assert NO_LEASE


def test_leases_that_open_before_the_hub_has_the_files_are_granted_when_it_has(hub: OnHub, publication: Publication) -> None:
    hub.publisher().open_access("atlas-1", HELIO)
    hub.publisher().publish(publication, View.GATED, unheard)
    assert hub.persons() == {"ada", "abe"}


def test_the_hub_s_own_hashes_must_be_those_of_the_manifest(hub: OnHub, publication: Publication) -> None:
    hub.publisher().publish(publication, View.PRIVATE, unheard)
    assert hub.repo is not None
    hub.repo.commits[hub.repo.head]["LICENSE"] = ("regular", b"GPL\n")
    with pytest.raises(Unfit, match="LICENSE: changed"):
        hub.publisher().publish(publication, View.PUBLIC, unheard)
    assert not hub.shown(View.PUBLIC)


def test_a_repository_that_everybody_reads_gets_no_early_files(hub: OnHub, publication: Publication) -> None:
    hub.hub.repos[f"{hub.namespace}/atlas-1"] = Repo(private=False)
    with pytest.raises(Unfit, match="everybody can read"):
        hub.publisher().publish(publication, View.PRIVATE, unheard)


@pytest.mark.parametrize("name", ["s3", "hub"])
def test_a_person_without_an_account_is_named(name: str, request: pytest.FixtureRequest, publication: Publication) -> None:
    place: Place = request.getfixturevalue(name)
    place.publisher().publish(publication, View.GATED, unheard)
    with pytest.raises(Unfit, match=rf"no {name} account for zoe; add it under \[{name}\]"):
        place.publisher().open_access("atlas-1", Lease("zoe-1", ("zoe",), NOW))


def test_a_user_whom_the_hub_does_not_know_is_refused_for_good(hub: OnHub, publication: Publication) -> None:
    hub.publisher().publish(publication, View.GATED, unheard)
    with pytest.raises(Unfit, match="noa-hf not found"):
        hub.publisher().open_access("atlas-1", Lease("noa-1", ("noa",), NOW))


@pytest.mark.parametrize("when", ["before", "after"])
def test_replies_that_the_hub_lost_are_asked_for_again(hub: OnHub, tiny: Publication, when: str, long: bool) -> None:  # noqa: FBT001
    told: list[Exception] = []
    for lost in range(1, 40, every(hub, long)):
        here, heard = hub.fresh(), count(1)

        def drop(at: str, heard: Iterator[int] = heard, lost: int = lost) -> None:
            if at == when and next(heard) == lost:
                raise ConnectionAbortedError

        hub.hub.broken = drop
        try:
            here.publisher().publish(tiny, View.PUBLIC, unheard)
        except Exception as error:  # noqa: BLE001
            told.append(error)
        finally:
            hub.hub.broken = lambda _when: None
        here.publisher().publish(tiny, View.PUBLIC, unheard)
        assert here.shown(View.PUBLIC) == whole(tiny)
        if next(heard) < lost:
            break
    assert told
    assert not any(isinstance(error, Unfit) for error in told)
