"""What becomes true of the consortium; most of it is kept by the register."""

from __future__ import annotations

from typing import Literal

from domain.kernel import Digest, Event, Instant, PersonId, Prose, PublicKey
from domain.register.facts import (
    CharterAdopted,
    ClockSet,
    KeyEnrolled,
    KeyRevoked,
    LogKeyEnrolled,
    LogKeyRevoked,
    OfficeGranted,
    OfficeRevoked,
    ReleaseKeyEnrolled,
    ReleaseKeyRevoked,
    SigningBegun,
    SubstituteNamed,
    SubstituteWithdrawn,
    TimeAccepted,
)


class TimeAcceptanceGiven(Event):
    """A first officer accepts that entries are dated like this one until the clock has passed it. It takes a second one."""

    kind: Literal["time_acceptance_given"] = "time_acceptance_given"
    position: int
    at: Instant
    by: PersonId


class KeyRecoveryRequested(Event):
    """A first officer asks for a new key for somebody who lost the last one; that it is theirs is proved. It takes a second officer."""

    kind: Literal["key_recovery_requested"] = "key_recovery_requested"
    person: PersonId
    public_key: PublicKey
    by: PersonId
    at: Instant


class KeyRecoveryConfirmed(Event):
    """A second officer confirms it: the key is enrolled at that instant, unless somebody stops it."""

    kind: Literal["key_recovery_confirmed"] = "key_recovery_confirmed"
    person: PersonId
    public_key: PublicKey
    by: PersonId
    until: Instant


class KeyRecoveryStopped(Event):
    """No new key is enrolled by this request: the person or an officer stopped it, or it could not be done in the end (by the service)."""

    kind: Literal["key_recovery_stopped"] = "key_recovery_stopped"
    person: PersonId
    by: PersonId
    reason: Prose


class KeyRecovered(Event):
    """Nobody stopped it in time: the person has a new key, for which two officers stand."""

    kind: Literal["key_recovered"] = "key_recovered"
    person: PersonId
    public_key: PublicKey
    by: tuple[PersonId, ...]


class ActProposed(Event):
    """An officer gave a command that takes two: another one who gives exactly the same brings it about."""

    kind: Literal["act_proposed"] = "act_proposed"
    act: str
    """The kind of the command."""
    digest: Digest
    """Of the command without its kind, as it was given."""
    by: PersonId


class ActSeconded(Event):
    """A second officer gave the same command: what it brings about follows."""

    kind: Literal["act_seconded"] = "act_seconded"
    act: str
    digest: Digest
    by: tuple[PersonId, PersonId]


ConsortiumEvent = (
    CharterAdopted
    | OfficeGranted
    | OfficeRevoked
    | KeyEnrolled
    | KeyRevoked
    | SubstituteNamed
    | SubstituteWithdrawn
    | ClockSet
    | TimeAcceptanceGiven
    | TimeAccepted
    | KeyRecoveryRequested
    | KeyRecoveryConfirmed
    | KeyRecoveryStopped
    | KeyRecovered
    | ActProposed
    | ActSeconded
    | LogKeyEnrolled
    | LogKeyRevoked
    | ReleaseKeyEnrolled
    | ReleaseKeyRevoked
    | SigningBegun
)
