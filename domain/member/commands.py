"""The commands of a membership."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from domain import letters
from domain.kernel import (
    Command,
    CountryCode,
    Digest,
    Due,
    Instant,
    Name,
    PersonId,
    Possession,
    Proof,
    Prose,
    PublicKey,
    Slug,
    possessions_of,
)
from domain.member import steps
from domain.member.terms import HOLDERS, Delegate
from domain.reference import Lei
from domain.register.facts import Capacity, Holding


class Apply(Command):
    """Ask for membership. By one of the representatives named, or the secretariat."""

    kind: Literal["apply"] = "apply"
    name: Name
    """The organisation's legal name."""
    lei: Lei
    country: CountryCode
    """Where it is registered."""
    tier: Slug
    """A tier of the charter."""
    holdings: Annotated[tuple[Holding, ...], Field(max_length=HOLDERS)] = ()
    """Who owns the applicant, all holders above a tenth."""
    representatives: Annotated[tuple[Delegate, ...], Field(min_length=1, max_length=10)]
    """Who is to speak for it, each with a key and the proof of it."""

    def possessions(self) -> tuple[Possession, ...]:
        """The keys of those who are to speak for it."""
        return possessions_of((named.person, named.public_key, named.proof) for named in self.representatives)


class WithdrawApplication(Command):
    """Take the application back. By a representative."""

    kind: Literal["withdraw_application"] = "withdraw_application"


class JudgeScreening(Command):
    """Say whether the oldest hit that waits is the applicant, or an owner. By a compliance reviewer who does not speak for it."""

    kind: Literal["judge_screening"] = "judge_screening"
    verdict: Literal["clear", "confirm"]
    reason: Prose


class Rescreen(Command):
    """Screen a member again, or an applicant whom the members vote on or took in. By the secretariat or a compliance reviewer."""

    kind: Literal["rescreen"] = "rescreen"


class Admit(Command):
    """Take the applicant in. By a passed proposal."""

    kind: Literal["admit"] = "admit"


class Decline(Command):
    """Turn the applicant down. By a proposal that did not pass."""

    kind: Literal["decline"] = "decline"


class AskAgain(Command):
    """Put the admission to the vote again. By a proposal on which too few voted."""

    kind: Literal["ask_again"] = "ask_again"


class SignAgreement(Command):
    """Sign the membership agreement, named by its digest. By a representative."""

    kind: Literal["sign_agreement"] = "sign_agreement"
    agreement: Digest


class CountersignAgreement(Command):
    """Countersign for the consortium. By the secretariat or the board, nobody who signed or speaks for the member."""

    kind: Literal["countersign_agreement"] = "countersign_agreement"


class AgreePaymentPlan(Command):
    """Stop the clock of overdue dues until an instant. By the treasurer."""

    kind: Literal["agree_payment_plan"] = "agree_payment_plan"
    until: Instant


class IssueInvoice(Due):
    """The next year's dues are to be paid."""

    kind: Literal["issue_invoice"] = "issue_invoice"


class ClimbLadder(Due):
    """Overdue dues reach the next rung."""

    kind: Literal["climb_ladder"] = "climb_ladder"


class CarryOutSetOff(Due):
    """The time that a set-off was announced for has come."""

    kind: Literal["carry_out_set_off"] = "carry_out_set_off"


class LapseApplication(Due):
    """The application took too long."""

    kind: Literal["lapse_application"] = "lapse_application"


class SeatRepresentative(Command):
    """Let a person speak for the member, or enrol one's own further key. By a representative; while none is seated by the
    secretariat or the board, though not by who vacated the seat.
    """

    kind: Literal["seat_representative"] = "seat_representative"
    person: PersonId
    capacity: Capacity = Capacity.REPRESENTATIVE
    public_key: PublicKey | None = None
    proof: Proof | None = None
    """That the person holds the key."""

    def possessions(self) -> tuple[Possession, ...]:
        """The key that comes with the seat."""
        return possessions_of(((self.person, self.public_key, self.proof),))


class UnseatRepresentative(Command):
    """Let a person speak for the member no longer. By that person, a representative or the secretariat."""

    kind: Literal["unseat_representative"] = "unseat_representative"
    person: PersonId


class SuspendVacancy(Due):
    """Nobody speaks for the member, and the time to name somebody is over."""

    kind: Literal["suspend_vacancy"] = "suspend_vacancy"


class DeclareOwnership(Command):
    """Say who owns the member now, in full. By a representative or the secretariat. What an officer declares waits until a
    second person confirms it, and so does what would part companies that share a seat, or bind another member to this one.
    """

    kind: Literal["declare_ownership"] = "declare_ownership"
    holdings: Annotated[tuple[Holding, ...], Field(max_length=HOLDERS)]


class ConfirmOwnership(Command):
    """Confirm the declaration that waits, named in full. By the secretariat or a compliance reviewer who does not speak for the
    member; an officer's also by a representative. Never by who declared it.
    """

    kind: Literal["confirm_ownership"] = "confirm_ownership"
    holdings: Annotated[tuple[Holding, ...], Field(max_length=HOLDERS)]


class ChangeTier(Command):
    """Belong to another tier from the next invoice on. By a representative."""

    kind: Literal["change_tier"] = "change_tier"
    tier: Slug


class GiveNotice(Command):
    """Leave the consortium when the notice is over and dues and everything called are paid. By a representative."""

    kind: Literal["give_notice"] = "give_notice"


class WithdrawNotice(Command):
    """Take the notice back while it runs, where the charter lets a member do so. By a representative."""

    kind: Literal["withdraw_notice"] = "withdraw_notice"


class Expel(Command):
    """Expel the member. By a passed proposal."""

    kind: Literal["expel"] = "expel"


class EndMembership(Due):
    """The notice, or another stretch of the run-off, is over."""

    kind: Literal["end_membership"] = "end_membership"


MemberCommand = (
    Apply
    | WithdrawApplication
    | steps.ScreeningCompleted
    | JudgeScreening
    | Rescreen
    | Admit
    | Decline
    | AskAgain
    | SignAgreement
    | CountersignAgreement
    | letters.RecordDuesPayment
    | letters.ReverseDuesPayment
    | AgreePaymentPlan
    | IssueInvoice
    | ClimbLadder
    | CarryOutSetOff
    | letters.RecordSetOff
    | LapseApplication
    | letters.SuspendForDefault
    | letters.LiftDefault
    | SeatRepresentative
    | UnseatRepresentative
    | SuspendVacancy
    | DeclareOwnership
    | ConfirmOwnership
    | ChangeTier
    | GiveNotice
    | WithdrawNotice
    | Expel
    | EndMembership
)
