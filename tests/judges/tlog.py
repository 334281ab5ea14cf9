"""Go's checksum database as an outside judge of proofs: other people's code, in another language, which shares none with this one.

`tlog.go` is what asks it. It wants Debian's golang-1.19-go and golang-golang-x-mod-dev, which `.ci/tools` fetches; nothing else is fetched
when it is built.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_suffix(".go")
_PLACES: Final = (None, "/usr/lib/go-1.19/bin")
"""Where Go may be: on the path, or where Debian puts that version."""
_GOPATH: Final = Path("/usr/share/gocode")

Question = Mapping[str, bytes]
"""`Data` and `Proof`, or `Old`, `Hashes` and `New`: see `tlog.go`."""


def _go() -> str | None:
    return next((found for place in _PLACES if (found := shutil.which("go", path=place))), None)


def missing() -> str:
    """Why it cannot be asked; empty when it can."""
    if _go() is None:
        return "go is not installed (Debian: golang-1.19-go)"
    return "" if (_GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir() else "Go's x/mod is not installed (Debian: golang-golang-x-mod-dev)"


def built(folder: Path) -> Path:
    """The judge, as a program in this folder."""
    program, go = folder / "judge", _go()
    assert go is not None, missing()
    surroundings = {"GOPATH": str(_GOPATH), "GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "CGO_ENABLED": "0", "HOME": str(folder)}
    subprocess.run([go, "build", "-o", program, SOURCE], check=True, cwd=folder, env=surroundings)
    return program


def asked(program: Path, origin: str, key: str, questions: Iterable[Question]) -> Sequence[str]:
    """Its answers about the log of this name, by a key in its C2SP form: `yes`, or why not."""
    lines = (
        json.dumps({"Origin": origin, "Key": key, **{name: b64encode(value).decode() for name, value in question.items()}})
        for question in questions
    )
    done = subprocess.run([program], input="\n".join(lines), check=True, capture_output=True, text=True)
    return done.stdout.splitlines()
