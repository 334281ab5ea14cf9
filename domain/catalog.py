"""The processes by name: the one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from domain.consortium.process import CONSORTIUM
from domain.evaluation import ReadEvaluation
from domain.kernel import Message, process_of
from domain.member.process import MEMBER
from domain.process import Process
from domain.proposal.process import proposals
from domain.release import steps as release_steps
from domain.release.process import RELEASE
from domain.round.process import ROUND
from domain.run import steps as run_steps
from domain.run.process import RUN
from domain.treasury import steps as treasury_steps
from domain.treasury.process import TREASURY

RULES: Final = "7"
"""The version of the rules that decide, a number that never falls along a log.

Raised by the first change after a release that would decide an old entry otherwise: everything that an entry holds is a rule,
but for the wording of a refusal and of its remedy.
"""

_OTHERS: Final = (CONSORTIUM, MEMBER, ROUND, RUN, RELEASE, TREASURY)
PROPOSAL: Final = proposals(_OTHERS)

CATALOG: Final[Mapping[str, Process[Any, Any, Any]]] = {process.name: process for process in (*_OTHERS, PROPOSAL)}

STEP_DATA: Final[Mapping[str, type[Message]]] = {
    "build_manifest": release_steps.BuildManifest,
    "classify_openness": release_steps.ClassifyOpenness,
    "close_access": release_steps.CloseAccess,
    "fetch_statements": treasury_steps.FetchStatements,
    "follow_telemetry": run_steps.FollowTelemetry,
    "open_access": release_steps.OpenAccess,
    "publish": release_steps.Publish,
    "read_evaluation": ReadEvaluation,
    "read_statement": treasury_steps.ReadStatement,
    "send_payment": treasury_steps.SendPayment,
    "sign_manifest": release_steps.SignManifest,
    "verify_artifacts": release_steps.VerifyArtifacts,
    "withdraw": release_steps.Withdraw,
    "write_documents": release_steps.WriteDocuments,
}
"""What the data of steps are, by their kinds. Those of `tell`, `notify` and `screen` are plain values, of which each is a rule."""


def process_for(stream: str) -> Process[Any, Any, Any]:
    """The process that a stream belongs to. Raises `ValueError` when there is none of that name."""
    name = process_of(stream)
    if name not in CATALOG:
        raise ValueError(f"there is no process {name!r}; there are {', '.join(CATALOG)}")
    return CATALOG[name]
