"""Every workflow that a worker registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from workflows.consortium import Consortium
from workflows.log import Log
from workflows.member import Member
from workflows.process import ProcessWorkflow
from workflows.proposal import Proposal
from workflows.release import Release
from workflows.round import Round
from workflows.run import Run
from workflows.treasury import Treasury

PROCESSES: Final[Sequence[type[ProcessWorkflow]]] = (Consortium, Member, Proposal, Round, Run, Release, Treasury)
WORKFLOWS: Final[Sequence[type]] = (*PROCESSES, Log)
