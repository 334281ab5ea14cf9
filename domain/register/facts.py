"""The facts that the register keeps.

They are ordinary events that any process may state; every other event passes the register by.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from domain.charter import Charter, Office
from domain.evaluation import MilestonePassed
from domain.forms import Form
from domain.kernel import BasisPoints, Count, CountryCode, Digest, Event, Instant, MemberId, Message, Name, PersonId, PublicKey, Slug
from domain.money import Currency, Minor
from domain.reference import BankReference


class Capacity(StrEnum):
    """How a person speaks for a member: an alternate votes, pledges and judges in a representative's stead, and resigns for
    themselves; who speaks for the member, who owns it, its tier and its leaving are a representative's alone.
    """

    REPRESENTATIVE = "representative"
    ALTERNATE = "alternate"


class Standing(StrEnum):
    """A member's rights. Only an active member votes and pledges; a leaving one keeps its duties."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEAVING = "leaving"
    GONE = "gone"


CreditorReference = Annotated[
    str,
    Field(pattern=r"^RF[0-9]{2}[A-Z0-9]{1,21}$"),
    Form("a creditor reference (ISO 11649): RF, two digits, letters and digits", "RF18539007547034"),
]
"""A structured creditor reference (ISO 11649), without spaces; its check digits are right."""


LegalEntity = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9]{20}$"),
    Form("a Legal Entity Identifier: 20 capital letters and digits (ISO 17442)", "52990000000000000196"),
]
"""A Legal Entity Identifier as it is kept: its check digits were proved when it was given."""


class Holding(Message):
    """Who holds how much of a company. The holder is any company's handle, a member's or not."""

    holder: Slug
    fraction: BasisPoints
    lei: LegalEntity | None = None
    """The holder's Legal Entity Identifier: only that entity may apply under the holder's handle."""


class SystemTime(Message):
    """The log goes by the clock of the hosts that record: it is in earnest."""

    kind: Literal["system"] = "system"


class PacedTime(Message):
    """A rehearsal: the log showed `log` when the host's clock showed `real`, and runs `pace` times as fast from there."""

    kind: Literal["paced"] = "paced"
    real: Instant
    log: Instant
    pace: Annotated[int, Field(ge=1, le=10_000_000)]


class MovedTime(Message):
    """A rehearsal whose clock somebody moves: a test, or Temporal's time-skipping server."""

    kind: Literal["moved"] = "moved"


LogTime = Annotated[SystemTime | PacedTime | MovedTime, Field(discriminator="kind")]
"""Which clock a log goes by."""


Unreachable = Literal["no_address", "refused"]
"""Why a notice does not come to somebody."""


class SubstituteNamed(Event):
    """A person is absent in [since, until): meanwhile the substitute sees to these duties of theirs, besides them. In place of an earlier naming."""

    kind: Literal["substitute_named"] = "substitute_named"
    person: PersonId
    substitute: PersonId
    offices: tuple[Office, ...]
    """Whose acts the substitute gives; signatures of several people are nobody's to pass on."""
    members: tuple[MemberId, ...]
    """Whose representative the substitute is, who speaks for them anyway."""
    since: Instant
    until: Instant


class SubstituteWithdrawn(Event):
    """The person sees to their duties alone again."""

    kind: Literal["substitute_withdrawn"] = "substitute_withdrawn"
    person: PersonId
    substitute: PersonId


class ClockSet(Event):
    """The log goes by this clock from this entry on. Logs founded under rules older than 4 do not say so: theirs is the system's."""

    kind: Literal["clock_set"] = "clock_set"
    clock: LogTime


class TimeAccepted(Event):
    """Two officers accepted that the log is ahead of its clock: entries are dated like this one until the clock has passed it."""

    kind: Literal["time_accepted"] = "time_accepted"
    position: int
    until: Instant
    by: tuple[PersonId, PersonId]


class CharterAdopted(Event):
    """A version of the charter is in force from this entry on."""

    kind: Literal["charter_adopted"] = "charter_adopted"
    version: int
    charter: Charter


class OfficeGranted(Event):
    """A person holds an office."""

    kind: Literal["office_granted"] = "office_granted"
    person: PersonId
    office: Office


class OfficeRevoked(Event):
    """A person no longer holds an office."""

    kind: Literal["office_revoked"] = "office_revoked"
    person: PersonId
    office: Office


class KeyEnrolled(Event):
    """Signatures by this key (OpenSSH one-line form) speak for the person from this entry on.

    Logs of rules older than 7 enrolled keys without a proof that the person holds them.
    """

    kind: Literal["key_enrolled"] = "key_enrolled"
    person: PersonId
    public_key: Annotated[str, Field(max_length=1_000)]


KeyEnd = Literal["", "revoked", "rotated", "recovered", "left", "unproven"]
"""Why a key ended: it was revoked, another took its place, it was lost, its holder has no role any more, or it was enrolled without a proof
before signing began. Nothing in logs of rules older than 7: there the key is free for others again."""

ENDED_FOR_GOOD: Final = frozenset({"revoked", "rotated", "recovered"})
"""The ends after which a key is enrolled for nobody again: somebody else may have it, and its old proofs are on the log."""


class KeyRevoked(Event):
    """The key speaks for the person no longer. It is never anybody else's, unless rules older than 7 revoked it."""

    kind: Literal["key_revoked"] = "key_revoked"
    person: PersonId
    public_key: str
    cause: Annotated[KeyEnd, Field(exclude_if=lambda cause: cause == "")] = ""


class LogKeyEnrolled(Event):
    """Checkpoints and tags by this key are the log's own from this entry on."""

    kind: Literal["log_key_enrolled"] = "log_key_enrolled"
    public_key: PublicKey
    position: int
    """Of this entry."""


class LogKeyRevoked(Event):
    """What this key signs of the log after this entry is not the log's."""

    kind: Literal["log_key_revoked"] = "log_key_revoked"
    public_key: PublicKey
    position: int
    """Of this entry."""


class ReleaseKeyEnrolled(Event):
    """Releases are signed with this key from this entry on."""

    kind: Literal["release_key_enrolled"] = "release_key_enrolled"
    public_key: PublicKey
    fingerprint: Digest
    """As releases name it: the SHA-256 of the public key's PEM file."""
    position: int
    """Of this entry."""


class ReleaseKeyRevoked(Event):
    """No release is signed or published under a signature of this key after this entry; what is public stays."""

    kind: Literal["release_key_revoked"] = "release_key_revoked"
    public_key: PublicKey
    position: int
    """Of this entry."""


class SigningBegun(Event):
    """From this entry on everything on the log is signed; what comes before is not."""

    kind: Literal["signing_begun"] = "signing_begun"
    position: int
    """Of this entry."""


class RepresentativeSeated(Event):
    """A person speaks for a member."""

    kind: Literal["representative_seated"] = "representative_seated"
    member: MemberId
    person: PersonId
    capacity: Capacity
    at: Instant


class RepresentativeUnseated(Event):
    """A person speaks for the member no longer."""

    kind: Literal["representative_unseated"] = "representative_unseated"
    member: MemberId
    person: PersonId
    at: Instant
    vacated_by: PersonId | None = None
    """Who thereby left the member without a representative; nobody while one remains."""


class MemberActivated(Event):
    """A member has all rights of its tier for the first time."""

    kind: Literal["member_activated"] = "member_activated"
    member: MemberId
    name: Name
    tier: Slug
    country: CountryCode
    at: Instant


class MemberSuspended(Event):
    """A member's rights rest; its duties do not."""

    kind: Literal["member_suspended"] = "member_suspended"
    member: MemberId
    cause: Slug


class MemberReinstated(Event):
    """A member has exactly its former rights again."""

    kind: Literal["member_reinstated"] = "member_reinstated"
    member: MemberId


class MemberStaying(Event):
    """The member took its notice back: its rights are those that it had."""

    kind: Literal["member_staying"] = "member_staying"
    member: MemberId


class MemberDeparting(Event):
    """A member gave notice, or was given it: no vote and no new duty from here on."""

    kind: Literal["member_departing"] = "member_departing"
    member: MemberId
    leaves_at: Instant
    keeps_access: bool = False
    """Whether the early access that it has a right to lasts until the end: so it does for one who leaves of its own will."""
    at: Instant | None = None
    """When that was; not known of a departure that began under rules before 6."""


class MemberDeparted(Event):
    """The membership is over."""

    kind: Literal["member_departed"] = "member_departed"
    member: MemberId
    cause: Literal["left", "terminated", "expelled"]
    at: Instant


class OwnershipDeclared(Event):
    """Who owns a member, in full; replaces what was declared before. Relations are recomputed from it."""

    kind: Literal["ownership_declared"] = "ownership_declared"
    member: MemberId
    holdings: tuple[Holding, ...]


class ContributionCleared(Event):
    """Money of a member arrived, or goods were accepted: it counts for weights from here on."""

    kind: Literal["contribution_cleared"] = "contribution_cleared"
    member: MemberId
    source: str
    amount: Minor


class ContributionReturned(Event):
    """A contribution went back to the member and counts no longer."""

    kind: Literal["contribution_returned"] = "contribution_returned"
    member: MemberId
    source: str
    amount: Minor


class LegalEntityNamed(Event):
    """A legal entity applies as this member; no other application may name it while this one or the membership lasts."""

    kind: Literal["legal_entity_named"] = "legal_entity_named"
    member: MemberId
    lei: LegalEntity


class LegalEntityReleased(Event):
    """An application came to nothing or a membership ended; the legal entity may apply again, as another member."""

    kind: Literal["legal_entity_released"] = "legal_entity_released"
    lei: LegalEntity


class TierReserved(Event):
    """A seat of a tier is kept for one who was admitted to it or asked to change to it, in place of any kept for it before."""

    kind: Literal["tier_reserved"] = "tier_reserved"
    member: MemberId
    tier: Slug


class TierChanged(Event):
    """A member belongs to another tier."""

    kind: Literal["tier_changed"] = "tier_changed"
    member: MemberId
    tier: Slug


class BankReferenceUsed(Event):
    """A movement on a bank account was booked under this reference; no other may be."""

    kind: Literal["bank_reference_used"] = "bank_reference_used"
    reference: BankReference
    source: str


class EvidenceUsed(Event):
    """What this evidence shows was accepted as a contribution; it counts nowhere else."""

    kind: Literal["evidence_used"] = "evidence_used"
    evidence: Digest
    source: str


class CommitmentBound(Event):
    """What a member has bound itself to fund on a stream, in all; 0 when nothing is left."""

    kind: Literal["commitment_bound"] = "commitment_bound"
    member: MemberId
    source: str
    amount: Minor


class CommitmentKept(Event):
    """What binds a leaving member still, of what it is not called for on a stream yet; 0 when nothing does."""

    kind: Literal["commitment_kept"] = "commitment_kept"
    member: MemberId
    source: str
    amount: Minor


class DebtStated(Event):
    """What a member has been called for on a stream and not paid, in all; 0 when nothing is owed."""

    kind: Literal["debt_stated"] = "debt_stated"
    member: MemberId
    source: str
    amount: Minor


class CreditStated(Event):
    """What of a member's money on a stream is payable to it, and what is on its way back to it already; 0 when nothing is.

    Only a stream that was begun under a charter with set-off says so.
    """

    kind: Literal["credit_stated"] = "credit_stated"
    member: MemberId
    source: str
    payable: Minor
    refunding: Minor
    currency: Currency
    since: Instant
    """When the stream began: the credit of the oldest is set off first."""


class LeasesHeld(Event):
    """How many leases of early access to a release a member has, not ended yet; 0 when none is left."""

    kind: Literal["leases_held"] = "leases_held"
    member: MemberId
    source: str
    leases: Annotated[int, Field(ge=0)]


class MandateGranted(Event):
    """A passed proposal authorises one command on one stream, by its digest, once."""

    kind: Literal["mandate_granted"] = "mandate_granted"
    proposal: str
    digest: Digest
    until: Instant | None = None
    """From when on it authorises nothing; one of a charter that named no time has no end."""


class MandateExercised(Event):
    """The authorised command took effect; the mandate is spent."""

    kind: Literal["mandate_exercised"] = "mandate_exercised"
    proposal: str
    digest: Digest


class MandateWithdrawn(Event):
    """The order was given up, and with it what authorised it."""

    kind: Literal["mandate_withdrawn"] = "mandate_withdrawn"
    proposal: str
    digest: Digest


class VoteDecided(Event):
    """How a vote on a stream's business ended, and how each member voted: who said yes is bound by it."""

    kind: Literal["vote_decided"] = "vote_decided"
    proposal: str
    concerns: str
    """The stream whose command was decided, or empty."""
    passed: bool
    yes: frozenset[MemberId] = frozenset()
    no: frozenset[MemberId] = frozenset()
    effective_at: Instant


class RunReported(Event):
    """Where a training run stands, under which contract, and whether every checkpoint that the contract retains is there."""

    kind: Literal["run_reported"] = "run_reported"
    run: Slug
    phase: Slug
    contract: Digest
    checkpoints_retained: bool
    training_lead: PersonId
    tokens: Count | None = None
    """Seen in training so far, by the readings; nothing where it was not told."""
    checkpoints: Count | None = None
    """How many the readings told of."""
    missing: Count | None = None
    """How many that the contract retains are not there."""
    accepted: tuple[MilestonePassed, ...] = ()


class PayeeLinked(Event):
    """Whose a payee is, in place of what was known of it: what was declared of it, and its accounts, approved or waiting for approval."""

    kind: Literal["payee_linked"] = "payee_linked"
    payee: str
    members: frozenset[MemberId] = frozenset()
    """The members to which it was declared to belong."""
    entities: frozenset[LegalEntity] = frozenset()
    accounts: frozenset[Digest] = frozenset()
    """The SHA-256 of each way to name its accounts."""


class LeadNamed(Event):
    """The contract of a run that waits for its vote names this person as responsible."""

    kind: Literal["lead_named"] = "lead_named"
    run: Slug
    lead: PersonId


class SuppliersNamed(Event):
    """Who is paid under the last contract proposed for a run, approved or not, in place of who was before."""

    kind: Literal["suppliers_named"] = "suppliers_named"
    run: Slug
    suppliers: frozenset[str]


class ContractSteered(Event):
    """A vote decided what the contract of a run names from here on; of what it did not decide, the former decision stands."""

    kind: Literal["contract_steered"] = "contract_steered"
    proposal: str
    run: Slug
    parameters_millions: tuple[Count, ...] = ()
    """One of these sizes, several where options tied; none where it was not decided."""
    budgets: tuple[Minor, ...] = ()
    """One of these budgets; 0 where the run was not funded."""


class PaymentExpected(Event):
    """A creditor reference (ISO 11649) was issued: money that names it is for this member on this stream."""

    kind: Literal["payment_expected"] = "payment_expected"
    reference: CreditorReference
    stream: str
    member: MemberId


class ReleaseStaged(Event):
    """A release changed its standing: `internal`, `members`, `gated`, `public`, `superseded`, `recalled` or `abandoned`."""

    kind: Literal["release_staged"] = "release_staged"
    release: Slug
    standing: Slug
    title: Name
    run: Slug
    manifest: Digest | None
    """Of the files; none while they were never signed."""
    openness_class: Annotated[int, Field(ge=0, le=3)]
    """Of the Model Openness Framework; 0 is none."""
    supersedes: Slug | None = None
    superseded_by: Slug | None = None
    at: Instant


class RecipientsUnreached(Event):
    """A notice did not come to these, each with the reason: no address is known of them, or every one refused it."""

    kind: Literal["recipients_unreached"] = "recipients_unreached"
    step: str
    recipients: Annotated[dict[str, Unreachable], Field(min_length=1, max_length=100)]
    at: Instant


class RecipientsReached(Event):
    """A notice came to these again, whom an earlier one had not reached."""

    kind: Literal["recipients_reached"] = "recipients_reached"
    step: str
    recipients: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]


PersonFact = (
    OfficeGranted
    | OfficeRevoked
    | KeyEnrolled
    | KeyRevoked
    | RepresentativeSeated
    | RepresentativeUnseated
    | SubstituteNamed
    | SubstituteWithdrawn
)
"""Offices, keys, and who speaks for whom."""

MemberFact = (
    MemberActivated
    | MemberSuspended
    | MemberReinstated
    | MemberDeparting
    | MemberStaying
    | MemberDeparted
    | OwnershipDeclared
    | LegalEntityNamed
    | LegalEntityReleased
    | TierReserved
    | TierChanged
)
"""Who belongs to the consortium, in which standing and tier, and who is related to whom."""

MoneyFact = (
    CommitmentBound
    | CommitmentKept
    | DebtStated
    | CreditStated
    | ContributionCleared
    | ContributionReturned
    | PaymentExpected
    | BankReferenceUsed
    | EvidenceUsed
    | PayeeLinked
)
"""What members bound themselves to, owe, are owed and contributed, by which references their money is recognised, and whose the payees are."""

DecisionFact = CharterAdopted | MandateGranted | MandateExercised | MandateWithdrawn | VoteDecided
"""The charter, and what votes decided and authorise."""

ModelFact = RunReported | LeadNamed | SuppliersNamed | ContractSteered | ReleaseStaged | LeasesHeld
"""Training runs, and the releases made of them."""

LogFact = (
    ClockSet
    | TimeAccepted
    | RecipientsUnreached
    | RecipientsReached
    | LogKeyEnrolled
    | LogKeyRevoked
    | ReleaseKeyEnrolled
    | ReleaseKeyRevoked
    | SigningBegun
)
"""The log's clock, its own keys and those of releases, since when it is signed, and whom notices reach."""

Fact = PersonFact | MemberFact | MoneyFact | DecisionFact | ModelFact | LogFact
"""Everything the register holds."""
