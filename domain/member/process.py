"""Memberships, `member/<slug>`: from the application to the last duty of a member who left.

screening → (review) → voting → signing → paying → active ⇄ suspended → leaving → left | terminated | expelled
and before that: rejected | lapsed | withdrawn

`decide` is the table of commands: each has the guard of its phases, in `rules`, and its rule in a topic: `joining` up to the
countersigned agreement, `screening`, `dues` for invoices and the good-standing ladder, `set_off` of dues against what rounds owe the member, `seats` for who speaks for a member,
`ownership` for owners and tier, `defaults` for what rounds report, `leaving` for the end. A hit of the screening never rejects by itself: it opens a
review. A member is suspended as long as any cause stands, and has exactly its former rights when the last one is gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import letters
from domain.kernel import Agenda, Command, Deadline, Headline, escaped, shown_at
from domain.member import commands, defaults, dues, events, joining, leaving, ownership, rules, screening, seats, set_off, steps
from domain.member.rules import Events
from domain.member.state import (
    Active,
    Belonging,
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
from domain.process import Context, Process, phase_of_deadline
from domain.stream import Common


def decide(state: MemberState, command: commands.MemberCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`."""
    match command:
        case commands.Apply():
            return joining.apply(rules.unapplied(state), command, context)
        case commands.WithdrawApplication():
            return joining.withdraw_application(rules.applying(state), context)
        case commands.LapseApplication():
            return joining.lapse_application(rules.lapsing(state), context)
        case steps.ScreeningCompleted():
            return screening.record_screening(rules.screened(state), command, context)
        case commands.JudgeScreening():
            return screening.judge_screening(rules.under_review(state), command, context)
        case commands.Rescreen():
            return screening.rescreen(state, context)
        case commands.Admit():
            return joining.admit(rules.voting(state), context)
        case commands.Decline():
            return joining.decline(rules.voting(state), context)
        case commands.AskAgain():
            return joining.ask_again(rules.voting(state), context)
        case commands.SignAgreement():
            return joining.sign_agreement(rules.unsigned(state, context.actor), command, context)
        case commands.CountersignAgreement():
            return joining.countersign_agreement(rules.signed(state), context)
        case letters.RecordDuesPayment():
            return dues.record_payment(rules.payable(state), command, context)
        case letters.ReverseDuesPayment():
            return dues.reverse_payment(rules.reversible(state), command, context)
        case commands.AgreePaymentPlan():
            return dues.agree_payment_plan(rules.owing(state), command, context)
        case commands.IssueInvoice():
            return dues.issue_invoice(phase_of_deadline(state, Active), context)
        case commands.ClimbLadder():
            return dues.climb_ladder(rules.on_ladder(state), context)
        case commands.CarryOutSetOff():
            return set_off.carry_out_set_off(rules.on_ladder(state), context)
        case letters.RecordSetOff():
            return set_off.record_set_off(rules.belonging(state), command, context)
        case letters.SuspendForDefault():
            return defaults.suspend_for_default(rules.belonging(state), command, context)
        case letters.LiftDefault():
            return defaults.lift_default(rules.belonging(state), command)
        case commands.SeatRepresentative():
            return seats.seat_representative(rules.present(state), command, context)
        case commands.UnseatRepresentative():
            return seats.unseat_representative(rules.present(state), command, context)
        case commands.SuspendVacancy():
            return seats.suspend_vacancy(phase_of_deadline(state, Active), context)
        case commands.DeclareOwnership():
            return ownership.declare_ownership(rules.present(state), command, context)
        case commands.ConfirmOwnership():
            return ownership.confirm_ownership(rules.present(state), command, context)
        case commands.ChangeTier():
            return ownership.change_tier(rules.active(state), command, context)
        case commands.GiveNotice():
            return leaving.give_notice(rules.able_to_leave(state), context)
        case commands.WithdrawNotice():
            return leaving.withdraw_notice(rules.able_to_leave(state), context)
        case commands.Expel():
            return leaving.expel(rules.belonging(state), context)
        case commands.EndMembership():
            return leaving.end_membership(phase_of_deadline(state, Leaving), context)


def agenda(state: MemberState) -> Agenda:
    """The end of an application; of a member the next invoice, rung and set-off, the end of a vacancy, and of the notice."""
    match state:
        case Screening() | Reviewing() | Voting() | Signing() | Paying():
            return Agenda((Deadline(lapses_at(state), commands.LapseApplication()),))
        case Active() | Leaving():
            return Agenda(_deadlines(state))
        case Unapplied() | Ended():
            return Agenda(closed=True)


def _deadlines(state: Belonging) -> tuple[Deadline, ...]:
    due: list[tuple[datetime | None, Command]] = [
        (dues.next_rung(state), commands.ClimbLadder()),
        (set_off.carried_out_at(state), commands.CarryOutSetOff()),
    ]
    match state:
        case Active(next_at=next_at, name_by=name_by):
            due += [(next_at, commands.IssueInvoice()), (name_by, commands.SuspendVacancy())]
        case Leaving(ends_at=ends_at):
            due += [(ends_at, commands.EndMembership())]
    return tuple(Deadline(at, command) for at, command in due if at is not None)


def describe(state: MemberState) -> Headline:
    """The member, the phase, and who has to act next."""
    match state:
        case Unapplied():
            return Headline("unapplied", "no application yet")
        case Screening(identity=identity):
            return _headline("screening", identity, "the sanctions list is asked")
        case Reviewing(identity=identity):
            return _headline("review", identity, _hits(identity) or "the sanctions list is asked about its new owners")
        case Voting(identity=identity, asked=asked, proposal=proposal):
            again = f"; too few voted before, and they are asked {asked} times by now" if asked > 1 else ""
            return _headline("voting", identity, f"the members decide in {proposal}{again}")
        case Signing(identity=identity, signer=None, sign_by=sign_by):
            return _headline("signing", identity, f"the agreement is to be signed by {shown_at(sign_by)}", f"member:{identity.member}")
        case Signing(identity=identity):
            return _headline("signing", identity, "the agreement is to be countersigned", "office:secretariat")
        case Paying(identity=identity, dues=first) if first.open:
            return _headline("paying", identity, "the first dues are waited for", f"member:{identity.member}", dues_owed_minor=first.owed)
        case Paying(identity=identity):
            return _headline("paying", identity, _hits(identity) or "the sanctions list is asked about its new owners")
        case Active():
            return _of_member(state)
        case Leaving(identity=identity, cause=cause, ends_at=ends_at, dues=last):
            waits = [f"member:{identity.member}"] if last.open else []
            when = f"goes ({cause}), not before {shown_at(ends_at)}{_setting_off(state)}"
            return _headline("leaving", identity, when, *waits, cause=cause, dues_owed_minor=last.owed)
        case Ended(identity=identity, outcome=outcome, unpaid=unpaid, refund=refund):
            left = {"dues_unpaid_minor": unpaid, "refund_minor": refund}
            return _headline(outcome, identity, outcome, **{name: amount for name, amount in left.items() if amount})


def _of_member(state: Active) -> Headline:
    identity = state.identity
    owed = state.dues.owed
    owing = f"dues are owed{_setting_off(state)}"
    waits = [f"member:{identity.member}"] if owed else []
    waits += ["office:secretariat"] if state.name_by else []
    if state.causes:
        note = f"suspended: {', '.join(sorted(state.causes))}{_setting_off(state)}"
        return _headline("suspended", identity, note, *waits, dues_owed_minor=owed, causes=", ".join(sorted(state.causes)))
    return _headline("active", identity, "in good standing" if not owed else owing, *waits, dues_owed_minor=owed)


def _setting_off(state: Belonging) -> str:
    """What is about to pay the dues by itself, in words."""
    set_off = state.dues.set_off
    if set_off is None:
        return ""
    return (
        f"; {set_off.asked} is asked for credit that pays them"
        if set_off.asked
        else f"; set off against credit at {shown_at(set_off.carry_out_at)}"
    )


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
        "owners": joining.holdings_in_words(identity.holdings),
    }
    rows |= {} if identity.unconfirmed is None else {"owners to confirm": joining.holdings_in_words(identity.unconfirmed.holdings)}
    reviewed = ("office:compliance-reviewer",) if identity.vetting.hits or identity.unconfirmed else ()
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    values = {"name": identity.name, "tier": identity.tier, "country": identity.country, "lei": identity.lei, **values}
    return Headline(phase, f"{escaped(identity.name)}: {note}", f"| member | |\n| --- | --- |\n{table}", (*waits_for, *reviewed), values)


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
    state_version=11,
    list_version=4,
)
