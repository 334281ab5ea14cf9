"""Publishing into a directory: the embedded default, for a web server or a shared disk to serve.

    versions/<release>/<edition>/model/…   the files, read-only, with the documents beside `model`: for the owner only
    gated/<release>/<edition>/…            the same files for lease-holders; `current` links to the edition that is shown
    access/<release>.json                  who the lease-holders are: for whatever serves `gated`, and nobody else
    public/<release>/<edition>/…           the same files for everybody; `current` as above
    withdrawn/<release>.json               what was taken back, and why

Serve `public` to all and `gated` by the access lists; each stands alone, for its files are hard links. An edition appears by
one rename and is shown by another, so that nobody sees half of it. One lock file serialises those who copy files, another those who
change what is seen and by whom: nobody waits for hours of copying to be let in or kept out.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from activities.files import Told, Unfit, settle, unheard
from activities.release.artifacts import as_json, copied, replace, require_same
from activities.release.publishing import AccessList, Lease, Publication, View, access_list, alone

CURRENT: Final = "current"
PARTS: Final = ".part"
"""Where editions are made, by whoever publishes."""
GONE: Final = ".gone"
"""Where what is seen no longer goes first."""


class DirectoryPublisher:
    """Publishes under a root directory."""

    name = "directory"

    def __init__(self, root: Path) -> None:
        self._root = root

    def publish(self, publication: Publication, view: View, told: Told = unheard) -> str:
        """The path of what the view shows, or of the edition while it is private."""
        release, edition = publication.release, publication.edition
        kept = self._root / "versions" / release / edition
        shown = kept if view is View.PRIVATE else self._root / view / release / edition
        where = str(kept if view is View.PRIVATE else shown.with_name(CURRENT))
        with self._alone(".publishing", told):
            self._swept(PARTS)
            if self._access(release).showing(publication).order > publication.order:
                return where
            self._placed(self._made(kept, lambda half: _filled(half, publication, told)), kept)
            _require_edition(kept, publication, told)
            half = self._made(shown, lambda half: _linked(kept, half))
            _require_edition(half or shown, publication, told)
            with self._alone(".lock", told):
                self._show(publication, view, half, shown)
        return where

    def _show(self, publication: Publication, view: View, half: Path | None, shown: Path) -> None:
        access = self._access(publication.release).showing(publication)
        if access.order > publication.order:
            return
        self._write(access)
        self._drop(View.GATED, publication.release, but=publication.edition if view is View.GATED else "")
        if view is not View.PRIVATE:
            self._placed(half, shown)
            self._link(shown.with_name(CURRENT), publication.edition)

    def open_access(self, release: str, lease: Lease) -> None:
        """Adds the lease to the access list."""
        with self._alone(".lock"):
            self._write(self._access(release).opened(lease))

    def close_access(self, release: str, lease: str) -> None:
        """Closes the lease on the access list."""
        with self._alone(".lock"):
            self._write(self._access(release).closed(lease))

    def withdraw(self, release: str, reason: str) -> None:
        """Empties the views and says so in `withdrawn`."""
        with self._alone(".lock"):
            access = self._access(release).without_any(reason)
            self._write(access)
            for view in (View.PUBLIC, View.GATED):
                self._drop(view, release)
            _made_open(self._root / "withdrawn", 0o755)
            notice = self._root / "withdrawn" / f"{release}.json"
            replace(notice, as_json({"release": release, "reason": access.withdrawn}))
            notice.chmod(0o644)

    def _drop(self, view: View, release: str, but: str = "") -> None:
        """The view shows no edition of the release but this one."""
        self._swept(GONE)
        folder = self._root / view / release
        current = folder / CURRENT
        if current.is_symlink() and str(current.readlink()) != but:
            current.unlink()
        for edition in folder.glob("[0-9a-f]*"):
            if edition.name != but:
                edition.chmod(0o755)
                edition.rename(self._root / GONE / str(uuid4()))
        self._swept(GONE)

    def _made(self, edition: Path, fill: Callable[[Path], None]) -> Path | None:
        """The edition, complete, where nobody sees it; nothing when it is in its place already."""
        if edition.exists():
            return None
        half = self._root / PARTS / str(uuid4())
        half.mkdir()
        fill(half)
        for folder in _folders(half):
            settle(folder)
        return half

    def _placed(self, half: Path | None, edition: Path) -> None:
        """The edition in its place by one rename, and read-only."""
        if half is not None:
            _open_to(edition.parent, self._root / edition.relative_to(self._root).parts[0])
            half.rename(edition)
            settle(edition.parent)
        for folder in _folders(edition):
            folder.chmod(0o555)

    def _access(self, release: str) -> AccessList:
        path = self._list(release)
        return access_list(release, path.read_bytes() if path.exists() else None)

    def _write(self, access: AccessList) -> None:
        replace(self._list(access.release), as_json(access.model_dump(mode="json")))

    def _list(self, release: str) -> Path:
        return self._root / "access" / f"{release}.json"

    def _link(self, shown: Path, edition: str) -> None:
        beside = self._root / PARTS / str(uuid4())
        beside.symlink_to(edition)
        beside.replace(shown)
        settle(shown.parent)

    def _swept(self, name: str) -> None:
        """Removes what a killed worker left half made, or was moved out of a view."""
        parts = self._root / name
        if parts.exists():
            for folder in _folders(parts):
                folder.chmod(0o755)
            shutil.rmtree(parts)
        parts.mkdir(mode=0o700)

    @contextmanager
    def _alone(self, lock: str, told: Told = unheard) -> Iterator[None]:
        for folder, mode in (("", 0o755), ("access", 0o750), ("versions", 0o750), ("gated", 0o750), ("public", 0o755)):
            _made_open(self._root / folder, mode)
        with alone(self._root / lock, told):
            yield


def _made_open(folder: Path, mode: int) -> None:
    """Makes a folder that is not there, with this mode whatever the umask: what is published is there to be seen."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)


def _open_to(folder: Path, view: Path) -> None:
    """Makes a folder that is not there, as open as the view that it is in."""
    _made_open(folder, stat.S_IMODE(view.stat().st_mode))


def _filled(half: Path, publication: Publication, told: Told) -> None:
    (half / "model").mkdir()
    copied(publication.folder, publication.manifest, half / "model", told)
    for name, body in publication.documents.items():
        replace(half / name, body, mode=0o444)
        (half / name).chmod(0o444)


def _linked(kept: Path, half: Path) -> None:
    shutil.copytree(kept, half, copy_function=os.link, dirs_exist_ok=True)
    for folder in _folders(half):
        folder.chmod(0o755)


def _folders(top: Path) -> list[Path]:
    return [Path(folder) for folder, _, _ in os.walk(top)]


def _require_edition(edition: Path, publication: Publication, told: Told) -> None:
    """The edition holds what was published, and nothing else. Raises `Unfit`."""
    try:
        require_same(edition / "model", publication.manifest, told)
    except Unfit as unfit:
        raise Unfit(unfit.path, f"{unfit} in {edition}; remove that edition there and try again") from unfit
    present = {path.name for path in edition.iterdir()} - {"model"}
    for name in sorted(present | publication.documents.keys()):
        if name not in present or publication.documents.get(name) != (edition / name).read_bytes():
            raise Unfit(name, f"not as it was published in {edition}; remove that edition there and try again")
