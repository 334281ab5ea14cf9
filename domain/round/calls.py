"""The rules of calling and paying: tranches, payments, and the ladder of who does not pay."""

from __future__ import annotations

from collections.abc import Mapping

from domain import letters
from domain.charter import Office
from domain.kernel import SERVICE, MemberId, Refused, notify, tell
from domain.money import share, share_under_caps
from domain.process import Context, StepOwed, owe
from domain.register.facts import BankReferenceUsed
from domain.round import commands, events
from domain.round.allocation import make_up, part, tranche
from domain.round.books import Account, Books, Call, Movement, Receipt
from domain.round.rules import (
    STAFF,
    Events,
    bills,
    concluded,
    contributions,
    folded,
    held_back,
    live,
    notices,
    owed_again,
    repeated,
    require_currency,
    require_due,
    require_few_running,
    running,
    schedule,
    settle,
    shown,
    split,
    terms_of,
    to_pay,
    turned_away,
    with_credits,
)
from domain.round.state import Calling, Committed, Endangered, Live, Refunding, RoundState, books_of
from domain.round.terms import Purpose, Stage, Tranche

# ---------------------------------------------------------------- tranches


def release_tranche(state: RoundState, command: letters.ReleaseTranche, context: Context) -> Events:
    """The milestone was accepted: the tranche may be called. The board says so only before the round's run exists. Told again it is old news."""
    by_run = context.actor == SERVICE
    if not by_run:
        context.require_office(Office.BOARD)
    current = running(state) if by_run else live(state)
    if current is None or command.tranche in current.books.released:
        return ()
    run, milestone = current.books.terms.run, _tranche(current.books, command.tranche).milestone
    named = (command.run, command.milestone)
    if named != (run, milestone) if by_run else command.run not in {None, run} or command.milestone not in {None, milestone}:
        raise Refused(
            "other_milestone",
            f"tranche {command.tranche} is released by {milestone} of the run {run}",
            remedy="name that milestone of that run",
        )
    if not by_run and run in context.register.runs:
        raise Refused(
            "run_releases",
            f"the milestones of the run {run} release the tranches of this round",
            clause="training.reviewers",
            remedy=f"have its reviewers accept {milestone} (`consortium run accept-milestone`)",
        )
    treasurer = notify(
        "tranche_released", STAFF, key=f"notice:tranche-released:{command.tranche}", round=context.stream, tranche=command.tranche
    )
    return (events.TrancheReleased(tranche=command.tranche, evidence=command.evidence), owe(treasurer))


def call_tranche(state: RoundState, command: commands.CallTranche, context: Context) -> Events:
    """Call the next tranche on every member that is not in default, in proportion to what it has still to be called for.

    No more is called than the goal needs: what late joiners and make-up calls brought lowers everybody's later calls.
    """
    current = live(state)
    context.require_office(Office.TREASURER)
    books = current.books
    planned = _tranche(books, command.tranche)
    if command.tranche <= len(books.tranches):
        return ()
    if command.tranche != len(books.tranches) + 1:
        raise Refused("tranche_out_of_order", f"tranche {len(books.tranches) + 1} is next", remedy="call the tranches in their order")
    if planned.milestone is not None and command.tranche not in books.released:
        raise Refused(
            "tranche_not_released",
            f"the milestone {planned.milestone} has not been accepted",
            remedy="wait for its acceptance; without a run the board releases it (`consortium round release-tranche`)",
        )
    if isinstance(current, Endangered):
        raise Refused("minimum_lost", "the round is below its minimum", remedy="wait for the vote on a smaller run, or for a replacement")
    require_few_running(books)
    plan = schedule(context, books, terms_of(context, books).call_notice_business_days, command.due)
    shares = shared_interest(books)
    amounts = _amounts(books, command.tranche)
    delivered = _delivered(books, planned, amounts)
    called = events.TrancheCalled(call=len(books.calls) + 1, tranche=command.tranche, amounts=amounts, schedule=plan, delivered=delivered)
    earning = {member for shared in shares for member in shared.credits}
    paying = called.amounts.keys() | {member for member in earning if books.accounts[member].dues}
    decided = with_credits(current, (*shares, called), paying, context)
    each = bills(context, books, to_pay(called.amounts, called.call, decided))
    asked = notices(
        "capital_called",
        called.amounts,
        f"call:{called.call}",
        each=each,
        round=context.stream,
        call=called.call,
        due_on=plan.due_on.isoformat(),
    )
    return (*concluded(current, decided, paying, context), *asked)


def _tranche(books: Books, number: int) -> Tranche:
    if number > len(books.terms.tranches):
        raise Refused("no_such_tranche", f"the round has {len(books.terms.tranches)} tranches", remedy="name one of them")
    return books.terms.tranches[number - 1]


def _amounts(books: Books, number: int) -> dict[MemberId, int]:
    uncalled = {member: account.figures.uncalled for member, account in sorted(books.accounts.items()) if not account.in_default}
    fractions = [planned.fraction for planned in books.terms.tranches[number - 1 :]]
    return tranche(uncalled, books.goal - books.soundly_called, fractions[0], sum(fractions))


def _delivered(books: Books, planned: Tranche, amounts: Mapping[MemberId, int]) -> dict[MemberId, int]:
    """What members had delivered of a tranche before it is called: of what they delivered ahead, the tranche's part of their commitment."""
    ahead = {
        member: min(account.ahead, part(account.figures.committed, planned.fraction) - amounts.get(member, 0))
        for member, account in sorted(books.accounts.items())
        if account.ahead
    }
    return {member: amount for member, amount in ahead.items() if amount > 0}


def shared_interest(books: Books) -> tuple[events.InterestShared, ...]:
    """What came in as interest since the last time, to those who paid the same tranche in time; if nobody did, to all."""
    shares: list[events.InterestShared] = []
    for number in books.tranches:
        call = books.calls[number]
        if call.interest > 0:
            punctual = {member: amount for member, amount in call.in_time.items() if amount} or {
                member: account.figures.pledged for member, account in books.accounts.items()
            }
            earned = {member: amount for member, amount in sorted(share(call.interest, punctual).items()) if amount}
            shares.append(events.InterestShared(call=number, credits=earned))
    return tuple(shares)


# ---------------------------------------------------------------- payments


def record_payment(state: RoundState, command: letters.RecordPayment, context: Context) -> Events:
    """Cleared money settles the oldest call first, of each the principal and then its interest; the rest is credit.

    Money for a round that takes none, of nobody in it, or that the bank has taken back, goes back to the treasury's inbox.
    """
    context.require_service()
    member, reference = command.member, command.reference
    kept = books_of(state)
    if kept is not None and repeated(context, kept, reference, Movement("payment", member, command.amount)):
        return ()
    current = running(state)
    if current is None:
        return (turned_away(context, reference, "the round takes no payments now"),)
    require_currency(context, command.currency)
    books = current.books
    account = books.accounts.get(member)
    if account is None:
        return (turned_away(context, reference, f"{member} has no commitment in this round"),)
    if reference in books.gone:
        return (turned_away(context, reference, "the bank took it back before it came"),)
    if command.value_date > context.at.date():
        raise Refused("value_date_in_the_future", f"{command.value_date} has not come", remedy="record it once the money is there")
    settled, dues = settle(books, account.dues, command.amount, command.value_date, terms_of(context, books).default_interest)
    paid = events.PaymentRecorded(
        member=member,
        amount=command.amount,
        reference=reference,
        value_date=command.value_date,
        settled=settled,
        dues=dues,
        credited=command.amount - sum(part.total for part in settled),
    )
    booked = BankReferenceUsed(reference=reference, source=context.stream)
    return concluded(current, (paid, booked), (member,), context)


def reverse_payment(state: RoundState, command: letters.ReversePayment, context: Context) -> Events:
    """The bank took a payment back: exactly what it had settled is owed again, as if it had never come; its credit is gone.

    What went back to the member meanwhile cannot be undone here: then the movement goes to the treasury's inbox.
    """
    context.require_service()
    books, member, amount = books_of(state), command.member, command.amount
    if books is None or not isinstance(state, Committed | Calling | Endangered | Refunding):
        return (turned_away(context, command.reference, "the payment that it undoes is not booked here"),)
    if repeated(context, books, command.reference, Movement("reversal", member, amount)):
        return ()
    receipt = books.receipts.get(command.original)
    if receipt is None or (receipt.member, receipt.amount) != (member, amount):
        return _unknown_reversal(books, command, context)
    undone = _undone(state, command, receipt, context)
    if undone is None:
        return (turned_away(context, command.reference, "what it takes back went back to the member meanwhile"),)
    used = BankReferenceUsed(reference=command.reference, source=context.stream)
    if isinstance(state, Refunding):
        return _lost_after_the_end(state, (undone, used), undone, context)
    reopened = _reopened(books, undone, context)
    told = notices(
        "payment_reversed",
        (member,),
        f"reversed:{command.reference}",
        round=context.stream,
        amount=shown(books, amount),
        owed=shown(books, sum(part.total for part in undone.undone)),
    )
    decided = with_credits(state, (undone, used, *reopened), (member,), context)
    return (*concluded(state, decided, (member,), context), *told)


def _unknown_reversal(books: Books, command: letters.ReversePayment, context: Context) -> Events:
    """The payment was never booked here, or was taken back before: a person decides, and it is not taken should it still come."""
    if books.gone.get(command.original) == command.reference:
        return ()
    away = turned_away(context, command.reference, "the payment that it undoes is not booked here")
    if command.original in books.movements or command.original in books.gone:
        return (away,)
    return (events.ReversalTurnedAway(reference=command.reference, original=command.original), away)


def _undone(state: Live | Refunding, command: letters.ReversePayment, receipt: Receipt, context: Context) -> events.PaymentReversed | None:
    """What the payment had settled, and of its credit what is left or has settled something since; none when some of it went back."""
    books, member = state.books, receipt.member
    account = books.accounts[member]
    whole = events.PaymentReversed(
        member=member, amount=receipt.amount, reference=command.reference, original=command.original, credit=receipt.amount, uncleared=0
    )
    if isinstance(state, Refunding):
        credit = min(account.figures.credit, receipt.amount)
        lost = receipt.amount - credit
        if lost > account.figures.cash - account.figures.returned:
            return None
        return whole.model_copy(update={"credit": credit, "uncleared": lost})
    credit = min(account.figures.credit, receipt.credited)
    applied, since = split(account.applied, receipt.credited - credit)
    undone = (*receipt.settled, *since)
    principal, interest = sum(part.principal for part in undone), sum(part.interest for part in undone)
    if credit + principal + interest < receipt.amount:
        return None
    dues = owed_again(books, account.dues, undone, terms_of(context, books).default_interest)
    parts = {"credit": credit, "uncleared": principal, "interest": interest, "undone": undone, "applied": applied, "dues": dues}
    return whole.model_copy(update=parts)


def _reopened(books: Books, undone: events.PaymentReversed, context: Context) -> tuple[events.CallReopened, ...]:
    """The calls that the member owes on again and whose ladder has ended without it: it goes on from where their days are now."""
    in_default = books.accounts[undone.member].in_default
    calls = (books.calls[number] for number in sorted({part.call for part in undone.undone}))
    ended = (call for call in calls if call.stage is Stage.CLEARED or (call.stage is Stage.DEFAULTED and not in_default))
    return tuple(events.CallReopened(call=call.number, stage=call.stage_at(context.at)) for call in ended)


def _lost_after_the_end(state: Refunding, decided: Events, undone: events.PaymentReversed, context: Context) -> Events:
    """Nothing can be called again: what the member's credit does not cover, less of the surplus is there for the others."""
    books = state.books
    others = {member: min(account.figures.credit, account.figures.returned) for member, account in books.accounts.items()}
    others = {member: amount for member, amount in sorted(others.items()) if amount > 0 and member != undone.member}
    if undone.uncleared > sum(others.values()):
        return (turned_away(context, undone.reference, "what it takes back went back to the members meanwhile"),)
    taken = share_under_caps(undone.uncleared, others, others)
    less = events.SurplusReturned(returns={member: -amount for member, amount in taken.items() if amount})
    decided = (*decided, less) if less.returns else decided
    after = folded(state, decided)
    touched = sorted({undone.member, *less.returns})
    closed = () if held_back(after.books) else (events.RoundClosed(),)
    return (*decided, *closed, *contributions(books, after.books, touched, context))


# ---------------------------------------------------------------- the ladder


def remind_before_due(state: RoundState, command: commands.RemindBeforeDue, context: Context) -> Events:
    """Remind everybody who has not paid."""
    call = _rung(state, command.call, Stage.NOTIFIED, context)
    return (events.CallReminded(call=call.number), *_notices(call, "capital_call_due", live(state).books, context)) if call else ()


def mark_overdue(state: RoundState, command: commands.MarkOverdue, context: Context) -> Events:
    """The due day is over: from here on interest runs."""
    call = _rung(state, command.call, Stage.REMINDED, context)
    return (
        (events.CallOverdue(call=call.number, unpaid=call.unpaid), *_notices(call, "capital_call_overdue", live(state).books, context))
        if call
        else ()
    )


def remind_overdue(state: RoundState, command: commands.RemindOverdue, context: Context) -> Events:
    """Warn everybody who is overdue that the cure period is running out."""
    call = _rung(state, command.call, Stage.OVERDUE, context)
    return (events.CallWarned(call=call.number), *_notices(call, "capital_call_cure_ends", live(state).books, context)) if call else ()


def declare_default(state: RoundState, command: commands.DeclareDefault, context: Context) -> Events:
    """Who still owes after the cure period loses its votes; the others are called for the gap, each up to the charter's cap.

    What a defaulter owes stays owed, and its whole commitment can be taken over. Paying it, with the interest, cures the default.
    """
    call = _rung(state, command.call, Stage.WARNED, context)
    if call is None:
        return ()
    current = live(state)
    books = current.books
    late = sorted(call.owing)
    fallen = [member for member in late if not books.accounts[member].in_default]
    decided: Events = (
        events.CallDefaulted(call=call.number, unpaid=call.unpaid),
        *(events.MemberDefaulted(member=member, call=call.number) for member in fallen),
    )
    extra = _made_up(books, call, context)
    if extra is not None:
        decided = with_credits(current, (*decided, extra), extra.amounts, context)
    return (
        *concluded(current, decided, {*late, *(extra.amounts if extra else ())}, context),
        *(_suspended(books, member, context) for member in fallen),
        *_told_of_default(books, call, extra, decided, context),
    )


def _rung(state: RoundState, number: int, stage: Stage, context: Context) -> Call | None:
    """The call whose ladder goes on from this stage now; none when it is past it."""
    context.require_service()
    current = running(state)
    call = current.books.calls.get(number) if current else None
    if call is None or call.past(stage):
        return None
    require_due(context, call.ends(stage))
    return call


def _made_up(books: Books, call: Call, context: Context) -> events.MakeUpCalled | None:
    """A make-up call on the active members that paid: for a tranche only, so that no gap is called for twice.

    Not on who left the round, nor on companies of a defaulter's seat. Its cap is the charter's `makeup_cap`, and the only one:
    it may lift a seat above the share that it could pledge.
    """
    terms = terms_of(context, books)
    failing = {context.register.seat_of(member) for member in call.owing}
    paid = {
        member: amount
        for member, amount in sorted(call.amounts.items())
        if _makes_up(books.accounts[member], member, context) and context.register.seat_of(member) not in failing
    }
    amounts = make_up(call.gap, paid, terms.makeup_cap, call.made_up) if call.purpose is Purpose.TRANCHE else {}
    if not amounts:
        return None
    plan = schedule(context, books, terms.makeup_notice_business_days)
    return events.MakeUpCalled(call=len(books.calls) + 1, pool=call.number, amounts=amounts, schedule=plan)


def _makes_up(account: Account, member: MemberId, context: Context) -> bool:
    return not account.in_default and not account.releases and context.register.active(member)


def _suspended(books: Books, member: MemberId, context: Context) -> StepOwed:
    key = f"tell:default:{member}:{books.accounts[member].defaults + 1}"
    return owe(tell(f"member/{member}", letters.SuspendForDefault(source=context.stream), key=key))


def _told_of_default(books: Books, call: Call, extra: events.MakeUpCalled | None, decided: Events, context: Context) -> Events:
    missing = shown(books, call.unpaid)
    staff = notify("call_defaulted", (*STAFF, "office:board"), key=f"notice:default:{call.label}", round=context.stream, unpaid=missing)
    if extra is None:
        return (owe(staff),)
    due_on = extra.schedule.due_on.isoformat()
    each = bills(context, books, to_pay(extra.amounts, extra.call, decided))
    asked = notices("make_up_called", extra.amounts, f"call:{extra.call}", each=each, round=context.stream, call=extra.call, due_on=due_on)
    return (owe(staff), *asked)


def _notices(call: Call, template: str, books: Books, context: Context) -> Events:
    plan = call.schedule
    dates = {"due_on": plan.due_on.isoformat(), "cure_ends_at": plan.cure_ends_at.isoformat()}
    return tuple(
        notices(
            template,
            call.owing,
            f"{template.replace('_', '-')}:{call.label}",
            each=bills(context, books, call.owing),
            round=context.stream,
            call=call.number,
            **dates,
        )
    )
