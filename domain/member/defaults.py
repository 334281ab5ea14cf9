"""Suspensions for a default in a round, which the round reports."""

from __future__ import annotations

from hashlib import sha256

from domain import letters
from domain.kernel import slug_of
from domain.member.rules import Events, lift_suspension, suspend
from domain.member.state import Belonging
from domain.process import Context


def suspend_for_default(state: Belonging | None, command: letters.SuspendForDefault, context: Context) -> Events:
    """The member is in default in this round, and its rights rest."""
    return () if state is None else suspend(state, _cause_of(command.source), context)


def lift_default(state: Belonging | None, command: letters.LiftDefault) -> Events:
    """The member is no longer in default in this round."""
    return () if state is None else lift_suspension(state, _cause_of(command.source))


def _cause_of(source: str) -> str:
    """The cause of a suspension by this round alone. A name that is too long for a cause is cut, and made unique by a digest of it."""
    cause = f"default-{slug_of(source)}"
    return cause if len(cause) <= 64 else f"{cause[:47].rstrip('-')}-{sha256(source.encode()).hexdigest()[:16]}"
