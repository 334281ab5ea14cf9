"""What a grant can be asked for."""

from __future__ import annotations

from typing import Literal

from domain import letters
from domain.kernel import Command, Due, Instant, MemberId, Name
from domain.letters import PayeeId
from domain.money import Amount


class RequestGrant(Command):
    """Ask for money from what the consortium holds. By a representative of an active member."""

    kind: Literal["request_grant"] = "request_grant"
    member: MemberId
    title: Name
    payee: PayeeId
    amount: Amount
    decide_by: Instant
    """When the request lapses, unless the board approved it."""


class ApproveGrant(Command):
    """Grant what was asked for. By the board."""

    kind: Literal["approve_grant"] = "approve_grant"


class LapseGrant(Due):
    """Nobody approved it in time. By the system, when it is due."""

    kind: Literal["lapse_grant"] = "lapse_grant"


GrantCommand = RequestGrant | ApproveGrant | LapseGrant | letters.RecordGrant | letters.ReturnGrant | letters.ReleaseGrant
