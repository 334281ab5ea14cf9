"""Memberships, `member/<slug>`: from the application to the last duty of one who left.

screening → (review) → voting → signing → paying → active ⇄ suspended → leaving → left | terminated | expelled
and before that: rejected | lapsed | withdrawn

What is stored for ever is in `membership_messages`, and how it is kept in `membership_state`; what follows from a command is
in `membership_joining` and `membership_dues`, and here. A hit of the screening never rejects by itself: it opens a review. A
member's rights rest for as long as any cause stands, and come back exactly as they were when the last one is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain.charter import Office, days
from domain.kernel import Agenda, Command, Deadline, Headline, PersonId, Refused, asked_in, escaped, shown_at, slug_of
from domain.membership_dues import climbed, closed, next_invoice, next_rung, paid, planned, reversed_, turned_away, waited_for
from domain.membership_joining import (
    admitted,
    applied,
    countersigned,
    judged,
    over,
    require_holdings,
    screened,
    screened_again,
    shown_holdings,
    signed,
)
from domain.membership_messages import (
    Admit,
    AgreePaymentPlan,
    Apply,
    ChangeTier,
    ClimbLadder,
    ConfirmOwnership,
    CountersignAgreement,
    DeclareOwnership,
    Decline,
    EndMembership,
    Expel,
    GiveNotice,
    IssueInvoice,
    JudgeScreening,
    LapseApplication,
    LiftDefault,
    MembershipCommand,
    MembershipEvent,
    OwnershipChangeAsked,
    RecordDuesPayment,
    Rescreen,
    ReverseDuesPayment,
    RunOffContinued,
    ScreeningCompleted,
    SeatRepresentative,
    SignAgreement,
    SuspendForDefault,
    SuspendVacancy,
    TierChangeAsked,
    UnseatRepresentative,
    WithdrawApplication,
)
from domain.membership_rules import (
    Events,
    departing,
    farewell,
    leases_looked_at,
    lifted,
    not_now,
    note,
    own_case,
    released,
    require_due,
    require_new,
    require_seat_in,
    seated,
    suspended,
    unseated,
    vacated,
)
from domain.membership_state import (
    Active,
    Ended,
    Identity,
    Leaving,
    MembershipState,
    Paying,
    Reviewing,
    Screening,
    Signing,
    Unapplied,
    Voting,
    evolve,
    lapses_at,
)
from domain.membership_tables import tables
from domain.process import Common, Context, Process, StepOwed
from domain.register import Holding, KeyEnrolled, MemberDeparted, OwnershipDeclared, TierReserved
from domain.register import note as note_fact

SPEAKERS: Final = 30
"""How many persons may speak for a member at a time."""

# ---------------------------------------------------------------- decide


def decide(state: MembershipState, command: MembershipCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case Apply():
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
        case WithdrawApplication():
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying():
                    context.require_representative(state.identity.member)
                    return over(state, "withdrawn", context)
                case Unapplied() | Active() | Leaving() | Ended():
                    raise not_now("while the application is under way", "give notice instead, if you are a member", state)
        case LapseApplication():
            context.require_service()
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying():
                    require_due(lapses_at(state), context)
                    return over(state, "lapsed", context)
                case Unapplied() | Active() | Leaving() | Ended():
                    return ()
        case ScreeningCompleted():
            match state:
                case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
                    return screened(state, command, context)
                case Unapplied() | Ended():
                    return ()
        case JudgeScreening():
            match state:
                case Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() if hits := state.identity.vetting.hits:
                    return judged(state, hits[0], command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("while a hit waits for a review", "`consortium show` tells whether one does", state)
        case Rescreen():
            context.require_office(Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER, clause="membership")
            match state:
                case Voting() | Signing() | Paying() | Active() | Leaving() if not state.identity.vetting.hits:
                    return screened_again(state.identity, state.identity.holdings)
                case Voting() | Signing() | Paying() | Active() | Leaving():
                    raise not_now("when no hit waits for a review", "judge that one first", state)
                case Unapplied() | Screening() | Reviewing() | Ended():
                    raise not_now("from the vote on", "an application is screened by itself", state)
        case Admit():
            context.require_mandate()
            match state:
                case Voting():
                    return admitted(state, context)
                case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case Decline():
            context.require_mandate()
            match state:
                case Voting():
                    return over(state, "rejected", context)
                case Unapplied() | Screening() | Reviewing() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case SignAgreement():
            match state:
                case Signing(signer=None):
                    return signed(state, command, context)
                case Signing(signer=signer) if signer == context.actor:
                    return ()
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("once, after the admission", "`consortium show` tells where the application stands", state)
        case CountersignAgreement():
            match state:
                case Signing(signer=str()):
                    return countersigned(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("when a representative has signed", "ask a representative to sign first", state)
        case RecordDuesPayment():
            match state:
                case Paying() | Active():
                    return paid(state, command, context)
                case Leaving(dues=dues) if dues.open:
                    return paid(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Leaving() | Ended():
                    context.require_service()
                    return (turned_away(command.reference, "no dues are invoiced", context),)
        case ReverseDuesPayment():
            match state:
                case Paying() | Active() | Leaving():
                    return reversed_(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Ended():
                    context.require_service()
                    return (turned_away(command.reference, "its dues are settled no more", context),)
        case AgreePaymentPlan():
            match state:
                case Active(dues=dues) | Leaving(dues=dues) if dues.open:
                    return planned(state, command, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    raise not_now("while a member owes dues", "nothing is needed", state)
        case IssueInvoice():
            context.require_service()
            match state:
                case Active(next_at=next_at):
                    require_due(next_at, context)
                    return next_invoice(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    return ()
        case ClimbLadder():
            context.require_service()
            match state:
                case Active() | Leaving() if (at := next_rung(state)) is not None:
                    require_due(at, context)
                    return climbed(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case SuspendForDefault(source=source):
            context.require_service()
            match state:
                case Active() | Leaving():
                    return suspended(state, _default(source), context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case LiftDefault(source=source):
            context.require_service()
            match state:
                case Active() | Leaving():
                    return lifted(state, _default(source))
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case SeatRepresentative():
            return _seat(state, _identified(state), command, context)
        case UnseatRepresentative():
            return _unseat(state, _identified(state), command, context)
        case SuspendVacancy():
            context.require_service()
            match state:
                case Active(name_by=name_by) if name_by is not None:
                    require_due(name_by, context)
                    told = note("seat-vacant", state.identity, "office:secretariat", key=f"seat-vacant:{name_by.isoformat()}")
                    return (*suspended(state, "vacancy", context), told)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving() | Ended():
                    return ()
        case DeclareOwnership():
            return _declare(state, _identified(state), command, context)
        case ConfirmOwnership():
            return _confirm(_identified(state), command, context)
        case ChangeTier(tier=tier):
            match state:
                case Active():
                    return _change_tier(state, tier, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Leaving() | Ended():
                    raise not_now("while it is a member", "withdraw the application and apply for another tier", state)
        case GiveNotice():
            match state:
                case Active(identity=identity):
                    context.require_representative(identity.member)
                    return departing(state, "left", context.at + days(identity.terms.leaving_notice_days), context)
                case Leaving():
                    context.require_representative(state.identity.member)
                    return ()
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    raise not_now("while it is a member", "withdraw the application instead", state)
        case Expel():
            context.require_mandate()
            match state:
                case Active() | Leaving():
                    return departing(state, "expelled", context.at, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Ended():
                    return ()
        case EndMembership():
            context.require_service()
            match state:
                case Leaving(ends_at=ends_at):
                    require_due(ends_at, context)
                    return _end(state, context)
                case Unapplied() | Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Ended():
                    return ()


def _identified(state: MembershipState) -> Identity:
    """Who it is, for what may be done at any time of a membership."""
    match state:
        case Unapplied() | Ended():
            raise not_now("between the application and the end", "`consortium show` tells where it stands", state)
        case Screening() | Reviewing() | Voting() | Signing() | Paying() | Active() | Leaving():
            return state.identity


def _default(source: str) -> str:
    """The cause of a suspension that belongs to this round alone; a long name is told apart by its digest."""
    cause = f"default-{slug_of(source)}"
    return cause if len(cause) <= 64 else f"{cause[:47].rstrip('-')}-{sha256(source.encode()).hexdigest()[:16]}"


# ---------------------------------------------------------------- representatives


def _seat(state: MembershipState, identity: Identity, command: SeatRepresentative, context: Context) -> Events:
    """A person is seated, or changes their capacity, or enrols a further key of their own."""
    _require_concerned(identity, context, Office.SECRETARIAT, Office.BOARD)
    present = identity.delegates.get(command.person)
    if present is None:
        require_new(command.person, identity.member, context)
        _require_room(identity)
    elif (key := _further_key(command, context)) is not None:
        _require_own_key(command.person, context)
        if present == command.capacity:
            return (KeyEnrolled(person=command.person, public_key=key),)
    if present == command.capacity:
        return ()
    _require_seater(identity, context)
    seats = replace(identity, delegates=identity.delegates.set(command.person, command.capacity))
    return (*seated(identity.member, command, context), *_after(state, identity, seats, context))


def _unseat(state: MembershipState, identity: Identity, command: UnseatRepresentative, context: Context) -> Events:
    if context.actor != command.person:
        _require_concerned(identity, context, Office.SECRETARIAT)
        if not context.register.holds(context.actor, Office.SECRETARIAT):
            context.require_representative(identity.member)
    if command.person not in identity.delegates:
        _require_concerned(identity, context, Office.SECRETARIAT)
        return ()
    seats = replace(identity, delegates=identity.delegates.delete(command.person))
    vacates = identity.represented and not seats.represented
    return (
        *unseated(identity.member, command.person, context, vacated_by=context.actor if vacates else None),
        *_after(state, identity, seats, context),
        *leases_looked_at(identity.member, command.person, context),
        *(() if context.actor == command.person else (_unseated_told(identity, command.person, context),)),
    )


def _unseated_told(identity: Identity, person: PersonId, context: Context) -> StepOwed:
    """They hear of it themselves: who was unseated without a reason can say so."""
    return note("unseated", identity, person, f"member:{identity.member}", key=f"unseated:{person}:{context.at.isoformat()}", person=person)


def _after(state: MembershipState, before: Identity, after: Identity, context: Context) -> Events:
    """What follows from who speaks for it now: a vacancy ends, or begins; alternates fill no seat."""
    if after.represented:
        return lifted(state, "vacancy") if isinstance(state, Active | Leaving) else ()
    return vacated(after, context) if before.represented and isinstance(state, Active) else ()


def _further_key(command: SeatRepresentative, context: Context) -> str | None:
    return None if command.public_key in context.register.people[command.person].keys else command.public_key


def _require_concerned(identity: Identity, context: Context, *offices: Office) -> None:
    if not context.register.holds(context.actor, *offices):
        context.require_speaker(identity.member)


def _require_own_key(person: PersonId, context: Context) -> None:
    if context.actor != person:
        raise Refused(
            "key_of_another", f"{person} is seated already: who else enrolled a key of theirs could sign in their name", clause="membership",
            remedy=f"let {person} enrol it; if they have lost their key, unseat them and seat them again",
        )  # fmt: skip


def _require_room(identity: Identity) -> None:
    if len(identity.delegates) >= SPEAKERS:
        raise Refused(
            "too_many_speakers", f"{SPEAKERS} persons speak for {identity.member}", remedy="unseat one of them first", clause="membership"
        )


def _require_seater(identity: Identity, context: Context) -> None:
    """A representative seats others. Officers do while there is none, and never the one who made it so."""
    if context.register.speaks_for(context.actor, identity.member) and (
        identity.represented or not context.register.holds(context.actor, Office.SECRETARIAT, Office.BOARD)
    ):
        context.require_representative(identity.member)
    elif identity.represented:
        raise Refused(
            "seat_not_vacant", f"{identity.member} has a representative", clause="membership",
            remedy=f"ask a representative of {identity.member} to seat whom it wants (`consortium who-represents {identity.member}`)",
        )  # fmt: skip
    elif identity.vacated_by == context.actor:
        raise Refused(
            "second_person_required", f"{context.actor} vacated this seat", clause="membership",
            remedy="ask another holder of the office secretariat or board to fill it",
        )  # fmt: skip


# ---------------------------------------------------------------- owners and tier


def _declare(state: MembershipState, identity: Identity, command: DeclareOwnership, context: Context) -> Events:
    """Owners are declared. What a second person must see first waits: an officer's word, and what makes more votes, or fewer."""
    _require_concerned(identity, context, Office.SECRETARIAT)
    by_officer = not context.register.speaks_for(context.actor, identity.member)
    if not by_officer:
        context.require_representative(identity.member)
    require_holdings(command.holdings, context)
    if command.holdings == (identity.holdings if identity.asked is None else identity.asked.holdings):
        return ()
    if not by_officer and not _suspect(state) and not _regroups(identity, command.holdings, context):
        return _declared(identity, command.holdings, context)
    told = note(
        "ownership-to-confirm", identity, f"member:{identity.member}", "office:secretariat", "office:compliance-reviewer",
        key=f"ownership-to-confirm:{context.actor}:{context.at.isoformat()}", declared_by=context.actor,
    )  # fmt: skip
    return (OwnershipChangeAsked(holdings=command.holdings, person=context.actor), told)


def _regroups(identity: Identity, holdings: tuple[Holding, ...], context: Context) -> bool:
    """Whether the declaration would part companies that share a seat, or bind another member to this one."""
    before = frozenset(context.register.related(identity.member))
    declared = note_fact(context.register, OwnershipDeclared(member=identity.member, holdings=holdings))
    after = frozenset(declared.related(identity.member))
    return not before <= after or any(context.register.belongs(company) for company in after - before)


def _suspect(state: MembershipState) -> bool:
    """Whether a hit on it, or on an owner, waits or was confirmed: then no owner comes or goes unseen."""
    return isinstance(state, Active | Leaving) and (bool(state.identity.vetting.hits) or "sanctions" in state.causes)


def _confirm(identity: Identity, command: ConfirmOwnership, context: Context) -> Events:
    """Another person than who declared it, and of another side: two votes are not made of one by a member's own word."""
    _require_concerned(identity, context, Office.SECRETARIAT, Office.COMPLIANCE_REVIEWER)
    asked, member = identity.asked, identity.member
    if asked is None and command.holdings == identity.holdings:
        return ()
    if asked is None or asked.holdings != command.holdings:
        raise Refused(
            "no_such_declaration",
            "no such declaration waits",
            clause="membership",
            remedy="`consortium show` lists the one that waits, if any",
        )
    if context.actor == asked.person:
        raise Refused(
            "second_person_required", f"{asked.person} declared it", remedy="ask somebody else to confirm it", clause="membership"
        )
    if context.register.speaks_for(context.actor, member):
        if context.register.speaks_for(asked.person, member):
            raise own_case(context, member)
        context.require_representative(member)
    return _declared(identity, asked.holdings, context)


def _declared(identity: Identity, holdings: tuple[Holding, ...], context: Context) -> Events:
    """The owners count from now on; the list is asked about those who are new."""
    new = {(holding.holder, holding.lei) for holding in holdings} - {(holding.holder, holding.lei) for holding in identity.holdings}
    declared = OwnershipDeclared(member=identity.member, holdings=holdings)
    return (declared, *(screened_again(identity, holdings) if new else ()))


def _change_tier(state: Active, tier: str, context: Context) -> Events:
    """A change with the next invoice; a seat is kept for it until then."""
    identity = state.identity
    context.require_representative(identity.member)
    if tier == (state.next_tier or identity.tier):
        return ()
    if tier != identity.tier:
        require_seat_in(tier, identity.member, context)
    return (TierChangeAsked(tier=tier), TierReserved(member=identity.member, tier=tier))


# ---------------------------------------------------------------- leaving


def _end(state: Leaving, context: Context) -> Events:
    """It is over when what was called is paid, and the dues are paid or have climbed the whole ladder."""
    identity = state.identity
    if identity.member in context.register.debts or waited_for(state.dues):
        return (RunOffContinued(again_at=context.at + days(identity.terms.run_off_days)),)
    return (
        *released(identity, context),
        MemberDeparted(member=identity.member, cause=state.cause, at=context.at),
        *closed(identity, state.dues, joined=True, context=context),
        *leases_looked_at(identity.member, "end", context),
        note("membership-ended", identity, *farewell(identity), "office:secretariat", cause=state.cause),
    )


# ---------------------------------------------------------------- agenda and describe


def agenda(state: MembershipState) -> Agenda:
    """The end of an application, the next invoice or rung, the end of a vacancy, or of a notice: whichever comes first."""
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return Agenda(Deadline(lapses_at(state), LapseApplication()))
        case Active() | Leaving():
            return Agenda(min(_deadlines(state), key=lambda deadline: deadline.at))
        case Unapplied() | Ended():
            return Agenda(closed=True)


def _deadlines(state: Active | Leaving) -> Sequence[Deadline]:
    due: list[tuple[datetime | None, Command]] = [(next_rung(state), ClimbLadder())]
    match state:
        case Active(next_at=next_at, name_by=name_by):
            due += [(next_at, IssueInvoice()), (name_by, SuspendVacancy())]
        case Leaving(ends_at=ends_at):
            due += [(ends_at, EndMembership())]
    return [Deadline(at, command) for at, command in due if at is not None]


def describe(state: MembershipState) -> Headline:
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


MEMBERSHIP: Final[Process[MembershipCommand, MembershipEvent, MembershipState]] = Process(
    name="member",
    title="a membership",
    about="From the application over the screening, the vote on admission, the agreement and the first dues to an active member; then dues every year, the ladder of good standing, ownership, and leaving.",
    initial=Unapplied(),
    decide=decide,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[MembershipCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[MembershipEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=1,
    list_version=2,
)
