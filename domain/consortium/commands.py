"""What the consortium can be asked for."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.charter import Office, SoundCharter
from domain.consortium.terms import KeyRequest, Officer, Position, ReleaseKey
from domain.kernel import (
    LOG,
    RELEASES,
    Command,
    Due,
    Instant,
    Letter,
    MemberId,
    PersonId,
    Possession,
    Proof,
    Prose,
    PublicKey,
    possessions_of,
)
from domain.register.facts import LogTime, PacedTime, SystemTime


class AcceptTime(Command):
    """Accept that the last entry is dated ahead of the clock. By two of secretariat, treasurer, second signatory and board."""

    kind: Literal["accept_time"] = "accept_time"
    position: Position
    """The last entry's position, as `consortium doctor` names it; for the second officer the one that the first accepted."""
    at: Instant
    """The last entry's time."""


class RestartClock(Letter):
    """Let a rehearsal run on from new anchors, at this or another pace."""

    to: ClassVar[str] = "consortium"
    kind: Literal["restart_clock"] = "restart_clock"
    clock: PacedTime


class Found(Command):
    """Adopt the first charter and name the first officers. Once, by one of them."""

    kind: Literal["found"] = "found"
    charter: SoundCharter
    officers: tuple[Officer, ...] = Field(min_length=1, max_length=100)
    clock: LogTime = SystemTime()
    """Which clock the log goes by: the system's, unless it is a rehearsal. Where `consortium up --pace` runs it is filled in."""
    log_key: PublicKey | None = None
    """The key with which the first recorder signs the log: with it everything is signed from the first entry on. That of `keys/log` is filled in."""
    log_key_proof: Proof | None = None
    """That the recorder holds it."""

    def possessions(self) -> tuple[Possession, ...]:
        """The officers' keys, and the log's."""
        officers = ((named.person, named.public_key, named.proof) for named in self.officers)
        return possessions_of((*officers, (LOG, self.log_key, self.log_key_proof)))


class AmendCharter(Command):
    """Put a whole new charter in force. By a passed proposal."""

    kind: Literal["amend_charter"] = "amend_charter"
    charter: SoundCharter


class GrantOffice(Command):
    """Entrust a person with an office. By the secretariat; seats on the board by a passed proposal."""

    kind: Literal["grant_office"] = "grant_office"
    person: PersonId
    office: Office


class RevokeOffice(Command):
    """Take an office from a person. By the secretariat; seats on the board by a passed proposal."""

    kind: Literal["revoke_office"] = "revoke_office"
    person: PersonId
    office: Office


class _OfKey(Command):
    """A command that brings a key of one person."""

    person: PersonId
    public_key: PublicKey
    """Where it is left out, it is taken from their key request, with the proof."""
    proof: Proof | None = None
    """That this person holds the key, from their key request."""

    def possessions(self) -> tuple[Possession, ...]:
        """The key that it brings."""
        return possessions_of(((self.person, self.public_key, self.proof),))


class EnrolKey(_OfKey):
    """Let a key speak for a person with an office or a member. By that person, or the secretariat for an officer who never had one."""

    kind: Literal["enrol_key"] = "enrol_key"


class RotateKey(_OfKey):
    """Put a new key in the place of one of one's own, also of the last. By its holder."""

    kind: Literal["rotate_key"] = "rotate_key"
    old_key: PublicKey
    """The key that ends; the one under `public_key` is new."""


class RevokeKey(Command):
    """Let a key speak for a person never again. By that person, as long as another one is left; by the secretariat, when it is compromised."""

    kind: Literal["revoke_key"] = "revoke_key"
    person: PersonId
    public_key: PublicKey


class RecoverKey(_OfKey):
    """Ask for a new key for a person who lost the last one. By a holder of one of the charter's recovery offices; it takes a second one, and time."""

    kind: Literal["recover_key"] = "recover_key"


class ConfirmKeyRecovery(Command):
    """Confirm that a person lost their last key, and that the new one is theirs. By a second officer, of another organisation."""

    kind: Literal["confirm_key_recovery"] = "confirm_key_recovery"
    person: PersonId
    public_key: PublicKey
    """The new key, as the first officer named it."""


class StopKeyRecovery(Command):
    """Stop the recovery of a key before it is done. By the person, with a key that is still valid, or a holder of a recovery office."""

    kind: Literal["stop_key_recovery"] = "stop_key_recovery"
    person: PersonId
    reason: Prose


class CompleteKeyRecovery(Due):
    """The time in which the recovery of a key could be stopped is over."""

    kind: Literal["complete_key_recovery"] = "complete_key_recovery"
    person: PersonId
    public_key: PublicKey


class BeginSigning(Command):
    """Sign everything on a log that was begun without signatures. By two officers, who give the same command."""

    kind: Literal["begin_signing"] = "begin_signing"
    holders: Annotated[tuple[KeyRequest, ...], Field(min_length=1, max_length=1_000)]
    """Every officer's key, and those of representatives who have one; keys that are not named here end."""
    log_key: PublicKey
    """The key with which the recorder signs the log."""
    log_key_proof: Proof | None = None

    def possessions(self) -> tuple[Possession, ...]:
        """The keys of the holders, and the log's."""
        named = ((each.person, each.public_key, each.proof) for each in self.holders)
        return possessions_of((*named, (LOG, self.log_key, self.log_key_proof)))


class EnrolLogKey(Command):
    """Let a further key sign the log. By two officers of different organisations, who give the same command."""

    kind: Literal["enrol_log_key"] = "enrol_log_key"
    public_key: PublicKey
    proof: Proof | None = None

    def possessions(self) -> tuple[Possession, ...]:
        """The log's key."""
        return possessions_of(((LOG, self.public_key, self.proof),))


class RevokeLogKey(Command):
    """Let a key sign the log no longer, never the last one. By two officers of different organisations, who give the same command."""

    kind: Literal["revoke_log_key"] = "revoke_log_key"
    public_key: PublicKey


class EnrolReleaseKey(Command):
    """Let a key sign releases, if wanted in the place of another. By two of release managers, safety reviewers and the board, who give the same command."""

    kind: Literal["enrol_release_key"] = "enrol_release_key"
    public_key: ReleaseKey
    proof: Proof | None = None
    replaces: ReleaseKey | None = None
    """A key that signs no release any more once this one does."""

    def possessions(self) -> tuple[Possession, ...]:
        """The key for releases."""
        return possessions_of(((RELEASES, self.public_key, self.proof),))


class RevokeReleaseKey(Command):
    """Let a key sign releases no longer. By a release manager, a safety reviewer, the board or the secretariat."""

    kind: Literal["revoke_release_key"] = "revoke_release_key"
    public_key: ReleaseKey


class NameSubstitute(Command):
    """Have somebody see to duties of one's own for the time of an absence. By who is absent; for a member, by one of its representatives."""

    kind: Literal["name_substitute"] = "name_substitute"
    substitute: PersonId
    """A person with a key; for a member one who speaks for it, as its alternates do."""
    since: Instant
    until: Instant
    offices: Annotated[tuple[Office, ...], Field(max_length=len(Office))] = ()
    """Offices of one's own: treasurer or secretariat. Others sign, judge or answer by name, and nobody does that for them."""
    members: Annotated[tuple[MemberId, ...], Field(max_length=20)] = ()
    """Members that one represents."""


class WithdrawSubstitute(Command):
    """See to one's duties alone again. By who named the substitute, or by the substitute."""

    kind: Literal["withdraw_substitute"] = "withdraw_substitute"
    person: PersonId
    """Who is absent."""
    substitute: PersonId


ConsortiumCommand = (
    Found
    | AmendCharter
    | GrantOffice
    | RevokeOffice
    | EnrolKey
    | RotateKey
    | RevokeKey
    | RecoverKey
    | ConfirmKeyRecovery
    | StopKeyRecovery
    | CompleteKeyRecovery
    | BeginSigning
    | EnrolLogKey
    | RevokeLogKey
    | EnrolReleaseKey
    | RevokeReleaseKey
    | NameSubstitute
    | WithdrawSubstitute
    | AcceptTime
    | RestartClock
)
