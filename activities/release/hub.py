"""Publishing on the Hugging Face Hub, or another hub that speaks its HTTP API: one model repository a release.

The repository is made private and gated; one commit brings the files and documents, and a tag names the edition. Only when the
hub's own list of hashes agrees with the manifest does the repository become visible (`gated`), and later free for all (`public`).
The history holds that one commit and no other: whoever may read a repository of a hub reads all of its commits, so those of editions
that passed no gate are squashed away, and their tags deleted.
Requests for access are answered from the leases: who holds one is granted access without asking, everybody else is rejected.

What leases are open is kept here, in one file a release (the hub keeps no record of closed ones); workers share that folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from activities.files import Told, Unfit, unheard
from activities.release.artifacts import Artifact, as_json, content, paths_in, replace
from activities.release.hub_library import hub_library
from activities.release.publishing import AccessList, Accounts, Lease, Publication, View, access_list, alone

SMALL: Final = 5 * 1024 * 1024
"""Up to here a file is read at once; larger ones are streamed."""
MAIN: Final = "main"
CARD: Final = "MODEL_CARD.md"
README: Final = "README.md"
HUBS_OWN: Final = frozenset((".gitattributes",))
NO_LEASE: Final = "Early access is given to the persons whom members of the consortium name."

_FINAL: Final = frozenset((400, 401, 402, 403, 404, 413, 422))


class HubPublisher:
    """Publishes under a namespace (an organisation or user) of the hub. `accounts` gives each person's user name there."""

    name = "hub"

    def __init__(self, namespace: str, accounts: Accounts, leases: Path, *, endpoint: str | None = None, token: str | None = None) -> None:
        self._namespace = namespace
        self._accounts = accounts
        self._leases = leases
        self._endpoint = endpoint
        self._token = token
        self._opened: Any = None

    def publish(self, publication: Publication, view: View, told: Told = unheard) -> str:
        """The address of the repository."""
        release, repo = publication.release, self._repo(publication.release)
        tag = f"edition-{publication.edition[:32]}"
        where = f"{self._api.endpoint}/{repo}/tree/{tag}"
        with self._alone(f"{release}.publishing", told), self._translated():
            if self._access(release).showing(publication).order > publication.order:
                return where
            files = _named(publication)
            if not self._api.repo_exists(repo):
                self._api.create_repo(repo, private=True, exist_ok=True)
            visible = self._visible(repo)
            if visible is View.PRIVATE or (visible is View.GATED and view is View.PRIVATE):
                self._api.update_repo_settings(repo, gated="manual", private=True)
            if tag not in self._tags(repo):
                if view is not View.PUBLIC and visible is View.PUBLIC:
                    raise Unfit(repo, "everybody can read this repository already; give the release another name, or make it private")
                self._require_tree(repo, self._committed(repo, publication, files, told), publication, files)
                self._squashed(repo, publication)
                self._require_tree(repo, MAIN, publication, files)
                self._api.create_tag(repo, tag=tag, revision=MAIN, exist_ok=True)
            self._require_tree(repo, tag, publication, files)
            with self._locked(release, told) as access:
                self._show(access, publication, view)
        return where

    def _show(self, access: AccessList, publication: Publication, view: View) -> None:
        repo, access = self._repo(access.release), access.showing(publication)
        if access.order > publication.order:
            return
        self._write(access)
        match view:
            case View.PRIVATE:
                pass
            case View.GATED:
                if self._visible(repo) is View.PRIVATE:
                    self._api.update_repo_settings(repo, gated="manual", private=False)
                self._answer(access)
            case View.PUBLIC:
                self._api.update_repo_settings(repo, gated=False, private=False)

    def _squashed(self, repo: str, publication: Publication) -> None:
        """The repository's history is its present files: nothing names what was there before."""
        for tag in self._tags(repo):
            self._api.delete_tag(repo, tag=tag)
        self._api.super_squash_history(repo, branch=MAIN, commit_message=f"Release {publication.manifest.digest[:16]}")

    def _tags(self, repo: str) -> set[str]:
        return {each.name for each in self._api.list_repo_refs(repo).tags}

    def open_access(self, release: str, lease: Lease) -> None:
        """Grants access to the lease's persons, whether they asked or not."""
        self._accounts.of(lease.persons)
        with self._locked(release) as access, self._translated():
            self._answer(self._write(access.opened(lease)))

    def close_access(self, release: str, lease: str) -> None:
        """Takes the access back from persons who hold no other lease."""
        with self._locked(release) as access, self._translated():
            self._answer(self._write(access.closed(lease)))

    def withdraw(self, release: str, reason: str) -> None:
        """Makes the repository private and gated, and takes all access back."""
        repo = self._repo(release)
        with self._locked(release) as access, self._translated():
            nobody = self._write(access.without_any(reason))
            if self._api.repo_exists(repo):
                self._api.update_repo_settings(repo, gated="manual", private=True)
            self._answer(nobody)

    # ------------------------------------------------------------ files

    def _committed(self, repo: str, publication: Publication, files: Mapping[str, Artifact | bytes], told: Told) -> str:
        """Commits exactly these files, and nothing of what was there before; committed before, it is the same tree again."""
        hub = hub_library()
        paths_in(publication.folder)
        operations: list[Any] = []
        for path, file in files.items():
            match file:
                case bytes():
                    operations.append(hub.CommitOperationAdd(path, file))
                case Artifact() if file.size <= SMALL:
                    operations.append(hub.CommitOperationAdd(path, content(publication.folder, file, SMALL)))
                case Artifact():
                    addition = hub.CommitOperationAdd(path, publication.folder / file.path)
                    if addition.upload_info.sha256.hex() != file.sha256:
                        raise Unfit(file.path, "changed: its bytes are not those of the manifest")
                    operations.append(addition)
            told(path, 0)
        operations += [hub.CommitOperationDelete(path) for path in self._tree(repo, MAIN) if path not in files and path not in HUBS_OWN]
        told("", 0)
        commit: str = self._api.create_commit(repo, operations, commit_message=f"Release {publication.manifest.digest[:16]}").oid
        return commit

    def _require_tree(self, repo: str, revision: str, publication: Publication, files: Mapping[str, Artifact | bytes]) -> None:
        """The hub has exactly these files at the revision, by its own hashes. Raises `Unfit`, naming the first that differs."""
        tree = self._tree(repo, revision)
        if extra := sorted(tree.keys() - files.keys() - HUBS_OWN):
            raise Unfit(extra[0], f"an extra file in {repo} at {revision}")
        for path, file in files.items():
            there = tree.get(path)
            if there is None:
                raise Unfit(path, f"missing from {repo} at {revision}")
            if there.lfs is not None:
                same = there.lfs.sha256 == (hashlib.sha256(file).hexdigest() if isinstance(file, bytes) else file.sha256)
            else:
                body = file if isinstance(file, bytes) else content(publication.folder, file, SMALL)
                same = there.blob_id == _blob_id(body)
            if not same:
                raise Unfit(path, f"changed in {repo} at {revision}")

    def _tree(self, repo: str, revision: str) -> dict[str, Any]:
        entries = self._api.list_repo_tree(repo, recursive=True, revision=revision)
        return {each.path: each for each in entries if hasattr(each, "blob_id")}

    # ------------------------------------------------------------ access

    def _answer(self, access: AccessList) -> None:
        """Makes the hub's answers those of the access list: grants, rejections and what is taken back."""
        repo = self._repo(access.release)
        if not self._api.repo_exists(repo) or not self._api.model_info(repo).gated:
            return
        wanted = self._accounts.among(access.persons)
        for request in list(self._api.list_pending_access_requests(repo)):
            if request.username in wanted:
                self._api.accept_access_request(repo, request_id=request.request_id)
            else:
                self._api.reject_access_request(repo, request_id=request.request_id, rejection_reason=NO_LEASE)
        accepted = {request.username: request.request_id for request in self._api.list_accepted_access_requests(repo)}
        for user, request in accepted.items():
            if user not in wanted:
                self._api.reject_access_request(repo, request_id=request, rejection_reason=NO_LEASE)
        for user in sorted(wanted - accepted.keys()):
            self._api.grant_access(repo, user)

    def _visible(self, repo: str) -> View:
        info = self._api.model_info(repo)
        if info.private:
            return View.PRIVATE
        return View.GATED if info.gated else View.PUBLIC

    def _write(self, access: AccessList) -> AccessList:
        replace(self._list(access.release), as_json(access.model_dump(mode="json")))
        return access

    def _list(self, release: str) -> Path:
        return self._leases / f"{release}.json"

    def _access(self, release: str) -> AccessList:
        path = self._list(release)
        return access_list(release, path.read_bytes() if path.exists() else None)

    @contextmanager
    def _locked(self, release: str, told: Told = unheard) -> Iterator[AccessList]:
        """The access list, for one worker at a time; uploads do not hold it."""
        with self._alone(release, told):
            yield self._access(release)

    @contextmanager
    def _alone(self, name: str, told: Told = unheard) -> Iterator[None]:
        self._leases.mkdir(parents=True, exist_ok=True)
        with alone(self._leases / f".{name}.lock", told):
            yield

    # ------------------------------------------------------------ the hub

    def _repo(self, release: str) -> str:
        return f"{self._namespace}/{release}"

    @property
    def _api(self) -> Any:
        if self._opened is None:
            self._opened = hub_library().HfApi(endpoint=self._endpoint, token=self._token or False)
        return self._opened

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What the hub refuses for good is `Unfit`; what it could not do now is a fault, to be tried again."""
        refused = hub_library().errors.HfHubHTTPError
        try:
            yield
        except refused as error:
            if error.response.status_code in _FINAL:
                said = error.server_message or f"HTTP {error.response.status_code}"
                raise Unfit(self._namespace, f"the hub refuses: {said}; look at the token's rights and the accounts") from error
            raise


def _named(publication: Publication) -> dict[str, Artifact | bytes]:
    """Every file of the repository by its path: the model card is its README, unless the model brings its own. Raises `Unfit`."""
    files: dict[str, Artifact | bytes] = dict(publication.manifest.by_path)
    for name, body in publication.documents.items():
        path = README if name == CARD and README not in files else name
        if path in files:
            raise Unfit(path, "a document of the release has this name on the hub; rename the file")
        files[path] = body
    return files


def _blob_id(body: bytes) -> str:
    """How git names these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
