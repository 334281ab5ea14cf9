"""Publishing to S3-compatible storage.

    <prefix>versions/<release>/<edition>/model/…   the files, with the documents beside `model`: for nobody else
    <prefix>gated/<release>/<edition>/…            copies for lease-holders; `current.json` names the edition that is shown
    <prefix>access/<release>.json                  the access list: for nobody else
    <prefix>public/<release>/<edition>/…           copies for everybody; `current.json` as above

Objects are written once (`If-None-Match: *`) and never changed; a large file is an upload in parts that completes only when its
hash is right. The bucket policy lets everybody read `public/`, and each lease's persons `gated/<release>/` until the
lease ends: the storage itself closes a lease when no worker is there to do it. Statements of other people are left alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from activities.bounded import json_value
from activities.files import Told, Unfit, opened, unheard
from activities.missing import explained
from activities.release.artifacts import Artifact, as_json, content
from activities.release.publishing import LIMIT, AccessList, Accounts, Lease, Publication, View, access_list

PART: Final = 16 * 1024 * 1024
"""The size of a part; S3 wants at least 5 MiB and at most 10,000 parts."""
MOST_PARTS: Final = 10_000
POLICY_LIMIT: Final = 20 * 1024
"""The largest bucket policy that S3 takes, in bytes."""
TRIES: Final = 50
"""How often a change of the access list is tried against others who change it."""

_LOST: Final = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"))
_ABSENT: Final = frozenset(("NoSuchKey", "404", "NoSuchBucketPolicy", "NotFound"))


def client(endpoint: str | None = None, region: str | None = None) -> Any:
    """A client of the storage; credentials come from where boto3 finds them."""
    with explained():
        import boto3
        from botocore.config import Config
    retrying = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10, read_timeout=60)
    return boto3.client("s3", endpoint_url=endpoint, region_name=region, config=retrying)


class S3Publisher:
    """Publishes into one bucket, under a prefix. `accounts` gives each person's principal (an ARN)."""

    name = "s3"

    def __init__(self, client: Callable[[], Any], bucket: str, accounts: Accounts, prefix: str = "", part: int = PART) -> None:
        self._open = client
        self._bucket = bucket
        self._accounts = accounts
        self._prefix = prefix
        self._part = part
        self._opened: Any = None

    def publish(self, publication: Publication, view: View, told: Told = unheard) -> str:
        """The place of the edition, as `s3://bucket/…/`."""
        release, edition = publication.release, publication.edition
        kept = self._key("versions", release, edition)
        shown = kept if view is View.PRIVATE else self._key(view, release, edition)
        where = f"s3://{self._bucket}/{shown}/"
        if self._change(release, lambda access: access.showing(publication)).order > publication.order:
            return where
        digests = self._uploaded(kept, publication, told)
        self._empty(View.GATED, release, but=edition if view is View.GATED else "")
        if view is not View.PRIVATE:
            for path in digests:
                self._copied(f"{kept}/{path}", f"{shown}/{path}", digests[path])
                told(path, 0)
            self._grant()
            self._point(publication, view)
        self._overtaken(publication, view)
        return where

    def _point(self, publication: Publication, view: View) -> None:
        """The view names the edition that is shown, unless it names a later one."""
        key = self._key(view, publication.release, "current.json")
        current: dict[str, Any] = {
            "release": publication.release, "edition": publication.edition, "manifest": publication.manifest.digest,
            "order": list(publication.order),
        }  # fmt: skip

        def pointing(body: bytes | None) -> bytes:
            named = [0, 0] if body is None else json_value(body).get("order", [0, 0])
            return as_json(current) if body is None or named <= current["order"] else body

        self._exchange(key, pointing)

    def _overtaken(self, publication: Publication, view: View) -> None:
        """Takes back what came into a view after a withdrawal or a later edition. Raises `Unfit` after a withdrawal."""
        access = self._access(publication.release)
        if access.withdrawn is not None:
            self._emptied(publication.release)
        elif access.order > publication.order and view is View.GATED:
            self._empty(View.GATED, publication.release, of=publication.edition)
        access.require_published()

    def open_access(self, release: str, lease: Lease) -> None:
        """Adds the lease to the access list, then to the bucket policy."""
        self._accounts.of(lease.persons)
        self._require_room(self._access(release).opened(lease))
        self._change(release, lambda access: access.opened(lease))
        self._grant()

    def close_access(self, release: str, lease: str) -> None:
        """Closes the lease on the access list, then in the bucket policy."""
        self._change(release, lambda access: access.closed(lease))
        self._grant()

    def withdraw(self, release: str, reason: str) -> None:
        """Remembers the withdrawal, deletes what views show and closes every lease."""
        self._change(release, lambda access: access.without_any(reason))
        self._emptied(release)
        self._grant()

    # ------------------------------------------------------------ objects

    def _uploaded(self, kept: str, publication: Publication, told: Told) -> Mapping[str, str]:
        """Every object of the edition is there afterwards: their names under it, with their SHA-256."""
        digests: dict[str, str] = {}
        done = 0
        for file in publication.manifest.files:
            self._upload(f"{kept}/model/{file.path}", publication, file, done, told)
            done += file.size
            digests[f"model/{file.path}"] = file.sha256
        for name, body in publication.documents.items():
            digests[name] = hashlib.sha256(body).hexdigest()
            if not self._there(f"{kept}/{name}", digests[name], len(body)):
                self._put_once(f"{kept}/{name}", body, digests[name])
        return digests

    def _upload(self, key: str, publication: Publication, file: Artifact, done: int, told: Told) -> None:
        if self._there(key, file.sha256, file.size):
            told(file.path, done + file.size)
        elif file.size <= self._part:
            self._put_once(key, content(publication.folder, file, self._part), file.sha256)
            told(file.path, done + file.size)
        else:
            self._upload_parts(key, publication, file, done, told)

    def _upload_parts(self, key: str, publication: Publication, file: Artifact, done: int, told: Told) -> None:
        """Uploads in parts; what an earlier try left half done is given up first. Raises `Unfit` for a file that has changed."""
        self._abort(key)
        place = {"Bucket": self._bucket, "Key": key}
        upload = self._s3.create_multipart_upload(**place, Metadata={"sha256": file.sha256})["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            digest, size = hashlib.sha256(), 0
            with opened(publication.folder, file.path) as source:
                for number, chunk in enumerate(_chunks(source, max(self._part, -(-file.size // MOST_PARTS))), start=1):
                    digest.update(chunk)
                    size += len(chunk)
                    if size > file.size:
                        break
                    etag = self._s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=chunk)["ETag"]
                    parts.append({"PartNumber": number, "ETag": etag})
                    told(file.path, done + size)
            _require_bytes(file, digest.hexdigest(), size)
            with self._unless_there(key, file.sha256, file.size):
                self._s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except BaseException:
            with suppress(Exception):
                self._s3.abort_multipart_upload(**place, UploadId=upload)
            raise

    def _abort(self, key: str) -> None:
        for upload in self._s3.list_multipart_uploads(Bucket=self._bucket, Prefix=key).get("Uploads", []):
            if upload["Key"] == key:
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload["UploadId"])

    def _put_once(self, key: str, body: bytes, digest: str) -> None:
        checksum = base64.b64encode(bytes.fromhex(digest)).decode()
        with self._unless_there(key, digest, len(body)):
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=body, Metadata={"sha256": digest}, ChecksumSHA256=checksum, IfNoneMatch="*"
            )

    def _copied(self, source: str, target: str, digest: str) -> None:
        """Copies within the storage, in parts where it is large; copied before, it stays."""
        size = self._s3.head_object(Bucket=self._bucket, Key=source)["ContentLength"]
        if not self._there(target, digest, size):
            self._s3.copy(
                {"Bucket": self._bucket, "Key": source},
                self._bucket,
                target,
                ExtraArgs={"Metadata": {"sha256": digest}, "MetadataDirective": "REPLACE"},
            )

    def _there(self, key: str, digest: str, size: int) -> bool:
        """Whether the object is there. Raises `Unfit` for another one in its place."""
        head = self._absent(lambda: self._s3.head_object(Bucket=self._bucket, Key=key))
        if head is None:
            return False
        if (head["Metadata"].get("sha256"), head["ContentLength"]) != (digest, size):
            raise Unfit(key, "another object is in its place; remove it there and try again")
        return True

    def _emptied(self, release: str) -> None:
        for view in (View.PUBLIC, View.GATED):
            self._empty(view, release)

    def _empty(self, view: View, release: str, *, of: str = "", but: str = "") -> None:
        """Deletes what a view shows of a release: one edition, or every one but one."""
        top = self._key(view, release, "")
        for key in self._keys(top + of):
            if not but or not (key.startswith(f"{top}{but}/") or key == f"{top}current.json"):
                self._s3.delete_object(Bucket=self._bucket, Key=key)

    def _keys(self, prefix: str) -> Iterator[str]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from (each["Key"] for each in page.get("Contents", []))

    # ------------------------------------------------------------ access

    def _access(self, release: str) -> AccessList:
        return access_list(release, self._read(self._list(release))[0])

    def _change(self, release: str, change: Callable[[AccessList], AccessList]) -> AccessList:
        """Changes the access list, and tells what it is then."""
        body = self._exchange(
            self._list(release), lambda body: as_json(change(access_list(release, body)).model_dump(mode="json"))
        )  # fmt: skip
        return access_list(release, body)

    def _read(self, key: str) -> tuple[bytes | None, str | None]:
        """A small object and its version (an ETag), if there is one."""
        found = self._absent(lambda: self._s3.get_object(Bucket=self._bucket, Key=key))
        return (None, None) if found is None else (found["Body"].read(LIMIT), found["ETag"])

    def _exchange(self, key: str, change: Callable[[bytes | None], bytes]) -> bytes:
        """Changes a small object; who was quicker is not overwritten."""
        for _ in range(TRIES):
            before, version = self._read(key)
            after = change(before)
            if after == before:
                return after
            condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
            try:
                self._put(key, after, **condition)
            except self._error as error:
                if error.response["Error"]["Code"] not in _LOST:
                    raise
            else:
                return after
        raise TimeoutError(f"{key} was changed by others {TRIES} times in a row")

    def _grant(self) -> None:
        """Makes the bucket policy say what the access lists say; again, when they changed meanwhile."""
        for _ in range(TRIES):
            wanted = self._statements()
            before, after = self._policies(wanted)
            if json_value(before) != json_value(after):
                self._s3.put_bucket_policy(Bucket=self._bucket, Policy=after)
            if self._statements() == wanted:
                return
        raise TimeoutError(f"the access lists in {self._bucket} were changed by others {TRIES} times in a row")

    def _require_room(self, access: AccessList) -> None:
        """The bucket policy has room for this access list. Raises `Unfit`, before anybody is promised anything."""
        size = len(self._policies(self._statements(access))[1].encode())
        if size > POLICY_LIMIT:
            raise Unfit(
                self._bucket, f"the bucket's policy would have {size} bytes and S3 takes {POLICY_LIMIT}; let persons share a role "
                "(an ARN) in the accounts, or revoke leases",
            )  # fmt: skip

    def _policies(self, wanted: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
        """The bucket policy as it is, and with these statements in place of ours."""
        found = self._absent(lambda: self._s3.get_bucket_policy(Bucket=self._bucket))
        policy: dict[str, Any] = json_value(found["Policy"]) if found else {"Version": "2012-10-17", "Statement": []}
        others = [each for each in policy["Statement"] if not str(each.get("Sid", "")).startswith("Consortium")]
        after = policy | {"Statement": [*others, *wanted]}
        return json.dumps(policy, sort_keys=True), json.dumps(after, sort_keys=True, separators=(",", ":"))

    def _statements(self, instead: AccessList | None = None) -> list[dict[str, Any]]:
        """The policy's statements: one for everybody, and one for each open lease; with one access list in place of what is there."""
        allow: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject"}
        made = [allow | {"Sid": "ConsortiumPublic", "Principal": "*", "Resource": self._arn("public/*")}]
        top = self._key("access", "")
        releases = {key.removeprefix(top).removesuffix(".json") for key in self._keys(top)} | ({instead.release} if instead else set())
        for release in sorted(releases):
            access = instead if instead is not None and instead.release == release else self._access(release)
            made += self._leases(access, allow)
        return made

    def _leases(self, access: AccessList, allow: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for lease, entry in sorted(access.leases.items()):
            accounts = self._accounts.among(entry.persons)
            if entry.closed or access.withdrawn is not None or not accounts:
                continue
            until = {} if entry.until is None else {"Condition": {"DateLessThan": {"aws:CurrentTime": f"{entry.until:%Y-%m-%dT%H:%M:%SZ}"}}}
            yield {
                **allow,
                "Sid": "ConsortiumLease" + hashlib.sha256(f"{access.release}/{lease}".encode()).hexdigest()[:32],
                "Principal": {"AWS": sorted(accounts)},
                "Resource": self._arn(f"gated/{access.release}/*"),
                **until,
            }

    # ------------------------------------------------------------ the storage

    @property
    def _s3(self) -> Any:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    @property
    def _error(self) -> type[Any]:
        error: type[Any] = self._s3.exceptions.ClientError
        return error

    def _absent(self, ask: Callable[[], Any]) -> Any:
        """The answer, or nothing where there is nothing."""
        try:
            return ask()
        except self._error as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return None
            raise

    def _put(self, key: str, body: bytes, **condition: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", **condition)

    def _list(self, release: str) -> str:
        return self._key("access", f"{release}.json")

    def _key(self, *parts: str) -> str:
        return self._prefix + "/".join(parts)

    def _arn(self, path: str) -> str:
        return f"arn:aws:s3:::{self._bucket}/{self._prefix}{path}"

    def _unless_there(self, key: str, digest: str, size: int) -> _UnlessThere:
        return _UnlessThere(self._error, lambda: self._there(key, digest, size))


class _UnlessThere:
    """Passes over a write that came second, when the first wrote the same."""

    def __init__(self, error: type[Any], there: Callable[[], bool]) -> None:
        self._error = error
        self._there = there

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: Any, trace: object) -> bool:
        return isinstance(error, self._error) and error.response["Error"]["Code"] in _LOST and self._there()


def _require_bytes(file: Artifact, digest: str, size: int) -> None:
    if (digest, size) != (file.sha256, file.size):
        raise Unfit(file.path, "changed: its bytes are not those of the manifest")


def _chunks(source: Any, size: int) -> Iterator[bytes]:
    """The file in parts of this size; the last may be shorter."""
    while True:
        part = bytearray()
        while len(part) < size and (chunk := source.read(min(size - len(part), 1024 * 1024))):
            part += chunk
        if not part:
            return
        yield bytes(part)
