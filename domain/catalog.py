"""The processes by name: the one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from domain.consortium import CONSORTIUM
from domain.funding import FUNDING
from domain.kernel import process_of
from domain.membership import MEMBERSHIP
from domain.process import Process
from domain.proposal import proposals
from domain.release import RELEASE
from domain.training import TRAINING
from domain.treasury import TREASURY

RULES: Final = "4"
"""The version of the rules that decide. Raised when a change would decide an old entry otherwise."""

_OTHERS: Final = (CONSORTIUM, MEMBERSHIP, FUNDING, TRAINING, RELEASE, TREASURY)
PROPOSAL: Final = proposals(_OTHERS)

CATALOG: Final[Mapping[str, Process[Any, Any, Any]]] = {process.name: process for process in (*_OTHERS, PROPOSAL)}


def process_for(stream: str) -> Process[Any, Any, Any]:
    """The process that a stream belongs to. Raises `ValueError` when there is none of that name."""
    name = process_of(stream)
    if name not in CATALOG:
        raise ValueError(f"there is no process {name!r}; there are {', '.join(CATALOG)}")
    return CATALOG[name]
