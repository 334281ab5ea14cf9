"""What a Temporal cluster tells of itself: its version, our namespace, the search attributes there, and who polls a task queue.

It is only looked at. What the namespace lacks is named with the commands that make it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.log.sending import ANSWER, no_namespace

SEARCH_ATTRIBUTES: Final[Mapping[str, str]] = {"Phase": "Keyword", "WaitsFor": "KeywordList", "Due": "Datetime", "Attention": "Bool"}
"""What workflows set, each with its type: a namespace without one of them takes no step of any workflow."""
RETENTION: Final = "30d"
"""How long a namespace that is made by our command keeps workflows that have ended."""
POLLED: Final = timedelta(minutes=2)
"""A poll waits for about a minute: who was heard of for so long no more polls no more."""
TAKEN: Final = {"workflows": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, "activities": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY}
_KIND: Final = "INDEXED_VALUE_TYPE_"
_CLOUD: Final = (".tmprl.cloud", ".api.temporal.io")
"""How the hosts of Temporal Cloud end, whose namespaces are changed by a program of its own."""
_NOT_TOLD: Final = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.UNIMPLEMENTED)


class Unprepared(Exception):
    """A namespace that is not there, or that lacks what workflows need."""

    def __init__(self, message: str, remedies: Sequence[str]) -> None:
        super().__init__(message)
        self.remedies = remedies
        """The commands that mend it, in their order."""


class NotTold(Exception):
    """A server that does not say this, or not to us."""


class Cluster(NamedTuple):
    """A Temporal, and our namespace there."""

    address: str
    namespace: str
    version: str
    retention: timedelta
    """How long workflows that ended can be looked at."""


class Poller(NamedTuple):
    """A worker, as the server knows it by its polls."""

    identity: str
    release: str
    """Empty for a worker that does not say it."""
    ago: timedelta
    """When it was heard of last."""
    takes: Sequence[str]
    """`workflows`, `activities`."""

    @property
    def polls(self) -> bool:
        """Whether it is there still, as far as the server can know."""
        return self.ago <= POLLED


class Queue(NamedTuple):
    """A task queue: who polls it, and what waits there."""

    pollers: Sequence[Poller]
    waiting: int
    """Tasks that nobody has taken yet, about."""
    waited: timedelta
    """For how long the first of them has."""


def address_of(client: Client) -> str:
    """Where a client's Temporal is."""
    return client.service_client.config.target_host


async def cluster(client: Client) -> Cluster:
    """What a client's Temporal is. Raises `Unprepared` where the namespace is not there, and `RPCError`."""
    version = (await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=ANSWER)).server_version
    try:
        found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace), timeout=ANSWER)
    except RPCError as error:
        if no_namespace(error):
            raise no_such(client) from error
        raise
    return Cluster(address_of(client), client.namespace, version, found.config.workflow_execution_retention_ttl.ToTimedelta())


async def require(client: Client) -> None:
    """Raises `Unprepared` for a namespace in which no workflow would get on, `NotTold` where that is not said to us, and `RPCError`."""
    try:
        request = ListSearchAttributesRequest(namespace=client.namespace)
        listed = await client.operator_service.list_search_attributes(request, timeout=ANSWER)
    except RPCError as error:
        if no_namespace(error) or error.status is RPCStatusCode.NOT_FOUND:
            raise no_such(client) from error
        if error.status in _NOT_TOLD:
            raise NotTold(f"Temporal does not tell us of search attributes: {error.message}") from error
        raise
    there = {name: _spelt(number) for name, number in listed.custom_attributes.items()}
    others = {name: there[name] for name, kind in SEARCH_ATTRIBUTES.items() if there.get(name, kind) != kind}
    missing = [name for name in SEARCH_ATTRIBUTES if name not in there]
    if missing or others:
        raise lacking(client, missing, others)


async def make_search_attributes(client: Client) -> None:
    """Makes those that are not there, where a server has no option for it."""
    kinds = {name: IndexedValueType.Value(_KIND + _listed(kind)) for name, kind in SEARCH_ATTRIBUTES.items()}
    await client.operator_service.add_search_attributes(AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds))


async def queue(client: Client, name: str) -> Queue:
    """Who polls a task queue, those heard of last first, and what waits there. Raises `RPCError`."""
    seen: dict[str, Poller] = {}
    waiting, waited = 0, timedelta()
    for takes, kind in TAKEN.items():
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind, report_stats=True
        )
        found = await client.workflow_service.describe_task_queue(request, timeout=ANSWER)
        for each in found.pollers:
            seen[each.identity] = _also(seen.get(each.identity), each, takes)
        waiting += found.stats.approximate_backlog_count
        waited = max(waited, found.stats.approximate_backlog_age.ToTimedelta())
    return Queue(sorted(seen.values(), key=lambda poller: (poller.ago, poller.identity)), waiting, waited)


def _also(before: Poller | None, polled: PollerInfo, takes: str) -> Poller:
    """A worker with one more that it takes."""
    ago = max(datetime.now(UTC) - polled.last_access_time.ToDatetime(UTC), timedelta())
    release = polled.deployment_options.build_id or polled.worker_version_capabilities.build_id
    if before is None:
        return Poller(polled.identity, release, ago, (takes,))
    return Poller(polled.identity, release or before.release, min(ago, before.ago), (*before.takes, takes))


# ---------------------------------------------------------------- what mends it


def no_such(client: Client) -> Unprepared:
    """That the namespace is not there, and what makes it."""
    message = f"Temporal at {address_of(client)} has no namespace {client.namespace}"
    if _in_the_cloud(client):
        return Unprepared(message, ("name the one that Temporal Cloud shows, with its account, by TEMPORAL_NAMESPACE",))
    made = _command("temporal", "operator", "namespace", "create", *_there(client), "--retention", RETENTION)
    return Unprepared(message, (made, _made(client, list(SEARCH_ATTRIBUTES))))


def lacking(client: Client, missing: Sequence[str], others: Mapping[str, str]) -> Unprepared:
    """That search attributes are missing, or have other types, and what mends it."""
    lacks = [f"has no search attribute {', '.join(missing)}"] if missing else []
    wrong = [f"has {name} of type {kind}, not {SEARCH_ATTRIBUTES[name]}" for name, kind in others.items()]
    message = f"Temporal's namespace {client.namespace} at {address_of(client)} {' and '.join((*lacks, *wrong))}: no workflow gets on"
    return Unprepared(message, (*(_removed(client, name) for name in others), _made(client, (*missing, *others))))


def _made(client: Client, names: Sequence[str]) -> str:
    """The command that makes search attributes."""
    if _in_the_cloud(client):
        given = [word for name in names for word in ("--search-attribute", f"{name}={SEARCH_ATTRIBUTES[name]}")]
        return _command("tcld", "namespace", "search-attributes", "add", "--namespace", client.namespace, *given)
    given = [word for name in names for word in ("--name", name, "--type", SEARCH_ATTRIBUTES[name])]
    return _command("temporal", "operator", "search-attribute", "create", *_there(client), *given)


def _removed(client: Client, name: str) -> str:
    """What takes away a search attribute of another type."""
    if _in_the_cloud(client):
        return f"ask Temporal's support to remove {name} from the namespace"
    return _command("temporal", "operator", "search-attribute", "remove", *_there(client), "--name", name, "--yes")


def _there(client: Client) -> tuple[str, ...]:
    """Temporal's command line takes certificates and keys from the same variables and profiles as we do."""
    return ("--address", address_of(client), "--namespace", client.namespace)


def _command(*words: str) -> str:
    return shlex.join(words)


def _in_the_cloud(client: Client) -> bool:
    return address_of(client).rpartition(":")[0].endswith(_CLOUD)


def _spelt(number: IndexedValueType.ValueType) -> str:
    """A type as command lines spell it: `KeywordList`."""
    return "".join(part.title() for part in IndexedValueType.Name(number).removeprefix(_KIND).split("_"))


def _listed(kind: str) -> str:
    """A type as the interface spells it: `KEYWORD_LIST`."""
    return "".join(f"_{letter}" if letter.isupper() and place else letter for place, letter in enumerate(kind)).upper()
