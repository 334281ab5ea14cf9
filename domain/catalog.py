"""The processes by name: the one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from domain.consortium import CONSORTIUM
from domain.evaluation import ReadEvaluation
from domain.funding import FUNDING
from domain.kernel import Message, process_of
from domain.membership import MEMBERSHIP
from domain.process import Process
from domain.proposal import proposals
from domain.release import RELEASE
from domain.release_steps import (
    BuildManifest,
    ClassifyOpenness,
    CloseAccess,
    OpenAccess,
    Publish,
    SignManifest,
    VerifyArtifacts,
    Withdraw,
    WriteDocuments,
)
from domain.training import TRAINING
from domain.training_messages import FollowTelemetry
from domain.treasury import TREASURY
from domain.treasury_messages import FetchStatements, ReadStatement, SendPayment

RULES: Final = "5"
"""The version of the rules that decide, a number that never falls along a log.

Raised by the first change after a release that would decide an old entry otherwise: everything that an entry holds is a rule,
but for the wording of a refusal and of its remedy.
"""

_OTHERS: Final = (CONSORTIUM, MEMBERSHIP, FUNDING, TRAINING, RELEASE, TREASURY)
PROPOSAL: Final = proposals(_OTHERS)

CATALOG: Final[Mapping[str, Process[Any, Any, Any]]] = {process.name: process for process in (*_OTHERS, PROPOSAL)}

STEP_DATA: Final[Mapping[str, type[Message]]] = {
    "build_manifest": BuildManifest,
    "classify_openness": ClassifyOpenness,
    "close_access": CloseAccess,
    "fetch_statements": FetchStatements,
    "follow_telemetry": FollowTelemetry,
    "open_access": OpenAccess,
    "publish": Publish,
    "read_evaluation": ReadEvaluation,
    "read_statement": ReadStatement,
    "send_payment": SendPayment,
    "sign_manifest": SignManifest,
    "verify_artifacts": VerifyArtifacts,
    "withdraw": Withdraw,
    "write_documents": WriteDocuments,
}
"""What the data of steps are, by their kinds. Those of `tell`, `notify` and `screen` are plain values, of which each is a rule."""


def process_for(stream: str) -> Process[Any, Any, Any]:
    """The process that a stream belongs to. Raises `ValueError` when there is none of that name."""
    name = process_of(stream)
    if name not in CATALOG:
        raise ValueError(f"there is no process {name!r}; there are {', '.join(CATALOG)}")
    return CATALOG[name]
