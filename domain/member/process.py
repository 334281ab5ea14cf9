"""Memberships, `member/<slug>`: from the application to the last duty of one who left.

screening → (review) → voting → signing → paying → active ⇄ suspended → leaving → left | terminated | expelled
and before that: rejected | lapsed | withdrawn

`decide` is the table of commands; each row's rule stands in its topic: `joining` up to the countersigned agreement, `dues` for
invoices and the good-standing ladder, `seats` for who speaks for a member, `ownership` for owners and tier, `leaving` for the end. A hit of the screening
never rejects by itself: it opens a review. A member's rights rest for as long as any cause stands, and come back exactly as they were when the last one is gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import letters
from domain.charter import Office, days
from domain.kernel import Agenda, Command, Deadline, Headline, Refused, asked_in, escaped, shown_at
from domain.member import commands, events, steps
from domain.member.dues import climbed, next_invoice, next_rung, paid, planned, reversed_, turned_away
from domain.member.joining import admitted, applied, countersigned, judged, over, screened, screened_again, shown_holdings, signed
from domain.member.leaving import end
from domain.member.ownership import change_tier, confirm, declare
from domain.member.rules import Events, default_of, departing, identified, lifted, not_now, note, require_due, suspended
from domain.member.seats import seat, unseat
from domain.member.state import (
    Active,
    Ended,
    Identity,
    Leaving,
    MemberState,
    Paying,
    Reviewing,
    Screening,
    Signing,
    Unapplied,
    Voting,
    evolve,
    lapses_at,
)
from domain.member.tables import tables
from domain.process import Common, Context, Process


def decide(state: MemberState, command: commands.MemberCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.Apply():
            match state:
                case Unapplied():
                    return applied(command, context)
                case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise Refused(
                        "handle_taken",
                        "there is an application under this handle",
                        remedy="apply under another handle",
                        clause="membership",
                    )
        case commands.WithdrawApplication():
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying():
                    context.require_representative(state.identity.member)
                    return over(state, "withdrawn", context)
                case Unapplied() | Active() | Leaving() | Ended():
                    raise not_now("while the application is under way", "give notice instead, if you are a member", state)
        case commands.LapseApplication():
            context.require_service()
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying():
                    require_due(lapses_at(state), context)
                    return over(state, "lapsed", context)
                case Unapplied() | Active() | Leaving() | Ended():
                    return ()
        case steps.ScreeningCompleted():
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
                    return screened(state, command, context)
                case Unapplied() | Ended():
                    return ()
        case commands.JudgeScreening():
            match state:
                case Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() if hits := state.identity.vetting.hits:
                    return judged(state, hits[0], command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("while a hit waits for a review", "`consortium show` tells whether one does", state)
        case commands.Rescreen():
            context.require_office(Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER, clause="membership")
            match state:
                case Voting() | Signing() | Paying() | Active() | Leaving() if not state.identity.vetting.hits:
                    return screened_again(state.identity, state.identity.holdings)
                case Voting() | Signing() | Paying() | Active() | Leaving():
                    raise not_now("when no hit waits for a review", "judge that one first", state)
                case Unapplied() | Screening() | Reviewing() | Ended():
                    raise not_now("from the vote on", "an application is screened by itself", state)
        case commands.Admit():
            context.require_mandate()
            match state:
                case Voting():
                    return admitted(state, context)
                case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case commands.Decline():
            context.require_mandate()
            match state:
                case Voting():
                    return over(state, "rejected", context)
                case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case commands.SignAgreement():
            match state:
                case Signing(signer=None):
                    return signed(state, command, context)
                case Signing(signer=signer) if signer == context.actor:
                    return ()
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("once, after the admission", "`consortium show` tells where the application stands", state)
        case commands.CountersignAgreement():
            match state:
                case Signing(signer=str()):
                    return countersigned(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("when a representative has signed", "ask a representative to sign first", state)
        case letters.RecordDuesPayment():
            match state:
                case Paying() | Active():
                    return paid(state, command, context)
                case Leaving(dues=dues) if dues.open:
                    return paid(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Leaving() | Ended():
                    context.require_service()
                    return (turned_away(command.reference, "no dues are invoiced", context),)
        case letters.ReverseDuesPayment():
            match state:
                case Paying() | Active() | Leaving():
                    return reversed_(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Ended():
                    context.require_service()
                    return (turned_away(command.reference, "its dues are settled no more", context),)
        case commands.AgreePaymentPlan():
            match state:
                case Active(dues=dues) | Leaving(dues=dues) if dues.open:
                    return planned(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("while a member owes dues", "nothing is needed", state)
        case commands.IssueInvoice():
            context.require_service()
            match state:
                case Active(next_at=next_at):
                    require_due(next_at, context)
                    return next_invoice(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return ()
        case commands.ClimbLadder():
            context.require_service()
            match state:
                case Active() | Leaving() if (at := next_rung(state)) is not None:
                    require_due(at, context)
                    return climbed(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case letters.SuspendForDefault(source=source):
            context.require_service()
            match state:
                case Active() | Leaving():
                    return suspended(state, default_of(source), context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case letters.LiftDefault(source=source):
            context.require_service()
            match state:
                case Active() | Leaving():
                    return lifted(state, default_of(source))
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case commands.SeatRepresentative():
            return seat(state, identified(state), command, context)
        case commands.UnseatRepresentative():
            return unseat(state, identified(state), command, context)
        case commands.SuspendVacancy():
            context.require_service()
            match state:
                case Active(name_by=name_by) if name_by is not None:
                    require_due(name_by, context)
                    told = note("seat-vacant", state.identity, "office:secretariat", key=f"seat-vacant:{name_by.isoformat()}")
                    return (*suspended(state, "vacancy", context), told)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case commands.DeclareOwnership():
            return declare(state, identified(state), command, context)
        case commands.ConfirmOwnership():
            return confirm(identified(state), command, context)
        case commands.ChangeTier(tier=tier):
            match state:
                case Active():
                    return change_tier(state, tier, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    raise not_now("while it is a member", "withdraw the application and apply for another tier", state)
        case commands.GiveNotice():
            match state:
                case Active(identity=identity):
                    context.require_representative(identity.member)
                    return departing(state, "left", context.at + days(identity.terms.leaving_notice_days), context)
                case Leaving():
                    context.require_representative(state.identity.member)
                    return ()
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    raise not_now("while it is a member", "withdraw the application instead", state)
        case commands.Expel():
            context.require_mandate()
            match state:
                case Active() | Leaving():
                    return departing(state, "expelled", context.at, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case commands.EndMembership():
            context.require_service()
            match state:
                case Leaving(ends_at=ends_at):
                    require_due(ends_at, context)
                    return end(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Ended():
                    return ()


def agenda(state: MemberState) -> Agenda:
    """The end of an application, the next invoice or rung, the end of a vacancy, or of a notice: whichever comes first."""
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return Agenda((Deadline(lapses_at(state), commands.LapseApplication()),))
        case Active() | Leaving():
            return Agenda(_deadlines(state))
        case Unapplied() | Ended():
            return Agenda(closed=True)


def _deadlines(state: Active | Leaving) -> tuple[Deadline, ...]:
    due: list[tuple[datetime | None, Command]] = [(next_rung(state), commands.ClimbLadder())]
    match state:
        case Active(next_at=next_at, name_by=name_by):
            due += [(next_at, commands.IssueInvoice()), (name_by, commands.SuspendVacancy())]
        case Leaving(ends_at=ends_at):
            due += [(ends_at, commands.EndMembership())]
    return tuple(Deadline(at, command) for at, command in due if at is not None)


def describe(state: MemberState) -> Headline:
    """Who it is, where it stands, and who is waited for."""
    match state:
        case Unapplied():
            return Headline("unapplied", "no application yet")
        case Screening(identity=identity):
            return _headline("screening", identity, "the sanctions list is asked")
        case Reviewing(identity=identity):
            return _headline("review", identity, _hits(identity) or "the sanctions list is asked about its new owners")
        case Voting(identity=identity):
            return _headline("voting", identity, f"the members decide in {asked_in('admit', identity.member)}")
        case Signing(identity=identity, signer=None, sign_by=sign_by):
            return _headline("signing", identity, f"the agreement is to be signed by {shown_at(sign_by)}", f"member:{identity.member}")
        case Signing(identity=identity):
            return _headline("signing", identity, "the agreement is to be countersigned", "office:secretariat")
        case Paying(identity=identity, dues=dues) if dues.open:
            return _headline("paying", identity, "the first dues are waited for", f"member:{identity.member}", dues_owed_minor=dues.owed)
        case Paying(identity=identity):
            return _headline("paying", identity, _hits(identity) or "the sanctions list is asked about its new owners")
        case Active():
            return _of_member(state)
        case Leaving(identity=identity, cause=cause, ends_at=ends_at, dues=dues):
            waits = [f"member:{identity.member}"] if dues.open else []
            when = f"goes ({cause}), not before {shown_at(ends_at)}"
            return _headline("leaving", identity, when, *waits, cause=cause, dues_owed_minor=dues.owed)
        case Ended(identity=identity, outcome=outcome, unpaid=unpaid, refund=refund):
            left = {"dues_unpaid_minor": unpaid, "refund_minor": refund}
            return _headline(outcome, identity, outcome, **{name: amount for name, amount in left.items() if amount})


def _of_member(state: Active) -> Headline:
    identity = state.identity
    owed = state.dues.owed
    waits = [f"member:{identity.member}"] if owed else []
    waits += ["office:secretariat"] if state.name_by else []
    if state.causes:
        note = f"suspended: {', '.join(sorted(state.causes))}"
        return _headline("suspended", identity, note, *waits, dues_owed_minor=owed, causes=", ".join(sorted(state.causes)))
    return _headline("active", identity, "in good standing" if not owed else "dues are owed", *waits, dues_owed_minor=owed)


def _hits(identity: Identity) -> str:
    hits = identity.vetting.hits
    return f"a hit of {hits[0].score} in {escaped(hits[0].list)} is looked at" if hits else ""


def _headline(phase: str, identity: Identity, note: str, *waits_for: str, **values: str | int) -> Headline:
    speakers = ", ".join(f"{person} ({capacity})" for person, capacity in sorted(identity.delegates.items())) or "nobody"
    rows = {
        "tier": identity.tier,
        "country": identity.country,
        "LEI": identity.lei,
        "spoken for by": speakers,
        "owners": shown_holdings(identity.holdings),
    }
    rows |= {} if identity.asked is None else {"owners to confirm": shown_holdings(identity.asked.holdings)}
    reviewed = ("office:compliance-reviewer",) if identity.vetting.hits or identity.asked else ()
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    shown: dict[str, str | int] = {"name": identity.name, "tier": identity.tier, "country": identity.country, "lei": identity.lei, **values}
    return Headline(phase, f"{escaped(identity.name)}: {note}", f"| member | |\n| --- | --- |\n{table}", (*waits_for, *reviewed), shown)


MEMBER: Final[Process[commands.MemberCommand, events.MemberEvent, MemberState]] = Process(
    name="member",
    title="a membership",
    about="From the application over the screening, the vote on admission, the agreement and the first dues to an active member; then dues every year, the ladder of good standing, ownership, and leaving.",
    initial=Unapplied(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.MemberCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.MemberEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=2,
    list_version=2,
)
