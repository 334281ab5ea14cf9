"""Services of compose.yaml as containers of podman: what stands there of a service is what is run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from trial.networks import HOST
from trial.shell import DEPLOY, Failed, call

Service = Mapping[str, Any]
COMPOSE: Final[Mapping[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
NEIGHBOURS: Final = ("postgres", "temporal", "mail")
"""The names by which containers reach what runs beside them."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What an operator makes beside compose.yaml: `config`, `secrets`, `.env` and `settings.env`."""

    path: Path
    interpolated: Mapping[str, str]
    """What `.env` says."""

    def read(self, text: str) -> str:
        """A text of compose.yaml with `${NAME:?…}` and `$$` replaced."""

        def value(found: re.Match[str]) -> str:
            return "$" if found[0] == "$$" else self.interpolated[found["name"]]

        return re.sub(r"\$\$|\$\{(?P<name>\w+)[^}]*\}", value, text)


def words(service: Service, image: str, network: str, folder: Folder, *options: str) -> Sequence[str]:
    """The words of `podman run` for a service, up to its command."""
    return (
        "podman", "run", "--pull=never", f"--network=ns:/run/netns/{network}", *(f"--add-host={name}:{HOST}" for name in NEIGHBOURS),
        *_confined(service), *_told(service, folder), *_mounted(service, folder), *options, *_entered(service, folder), image,
    )  # fmt: skip


def _confined(service: Service) -> Iterator[str]:
    """What keeps the container in bounds."""
    if service.get("read_only"):
        yield from ("--read-only", "--read-only-tmpfs=false")
    yield from (f"--tmpfs={place}" for place in service.get("tmpfs", ()))
    yield from (f"--cap-drop={capability}" for capability in service.get("cap_drop", ()))
    yield from (f"--security-opt={option.removesuffix(':true')}" for option in service.get("security_opt", ()))
    yield f"--memory={service['mem_limit']}"
    yield f"--log-driver={service['logging']['driver']}"
    yield f"--log-opt=max-size={service['logging']['options']['max-size']}"
    if "stop_grace_period" in service:
        yield f"--stop-timeout={service['stop_grace_period'].removesuffix('s')}"
    if service.get("healthcheck", {}).get("disable"):
        yield "--no-healthcheck"


def _told(service: Service, folder: Folder) -> Iterator[str]:
    """What its environment says: files first, so that the service's own settings win."""
    yield from (f"--env-file={folder.path / file['path']}" for file in service.get("env_file", ()))
    yield from (f"--env={name}={folder.read(str(value))}" for name, value in service.get("environment", {}).items())


def _mounted(service: Service, folder: Folder) -> Iterator[str]:
    for volume in service.get("volumes", ()):
        source, rest = volume.split(":", 1)
        yield f"--volume={folder.path / source if source.startswith('.') else source}:{rest}"
    yield from (f"--volume={folder.path}/secrets/{secret}:/run/secrets/{secret}:ro" for secret in service.get("secrets", ()))


def _entered(service: Service, folder: Folder) -> Iterator[str]:
    if "entrypoint" in service:
        yield f"--entrypoint={json.dumps([folder.read(word) for word in service['entrypoint']])}"


# ---------------------------------------------------------------- containers that run


def started(service: Service, image: str, name: str, folder: Folder) -> None:
    """Starts a service's container of this name, in the network of this name."""
    call(*words(service, image, name, folder, "--detach", f"--name={name}"), *service["command"])


def stopped(name: str) -> int:
    """Stops a container as compose does; its exit code."""
    call("podman", "stop", name)
    return exit_code(name)


def exit_code(name: str) -> int:
    """With what the container ended."""
    return int(call("podman", "inspect", "--format", "{{.State.ExitCode}}", name))


def runs(name: str) -> bool:
    """Whether the container runs."""
    return call("podman", "inspect", "--format", "{{.State.Running}}", name).strip() == "true"


def logged(name: str) -> Sequence[Mapping[str, Any]]:
    """What the worker in a container logged: events with fields."""
    lines = (line for line in call("podman", "logs", name).splitlines() if line.startswith("{"))
    return [json.loads(line) for line in lines]


def events(name: str) -> set[str]:
    """The names of the events that the worker in a container logged."""
    return {str(line.get("event", "")) for line in logged(name)}


def count(name: str, event: str) -> int:
    """How many times the worker in a container logged an event."""
    return sum(line.get("event") == event for line in logged(name))


def require_running(name: str) -> None:
    """Raises `Failed` with the last of its log for a container that does not run."""
    if not runs(name):
        raise Failed(f"{name} ended with {exit_code(name)}:\n{call('podman', 'logs', '--tail', '30', name)}")
