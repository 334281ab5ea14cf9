"""Funding rounds, `round/<id>`: from the announcement of a goal to the last refund.

draft → pledging (→ short → pledging, once) → committed → calling, tranche by tranche (⇄ endangered) → refunding → settled
| withdrawn | failed (pledges released) | cancelled (refunds) | closed with debts (nobody gave back what it holds)

`decide` is the table of commands: each has the guard of its phase (`rules`) and its rule in a topic. The topics are `pledging` up to the
close, `calls` for tranches, `payments` and their `reversals`, the `ladder` of who does not pay, `making_up` for them and what late money gives back, `catching_up` of who
comes late or back, deliveries `in_kind`, `commitments` for who carries the round, `leaving`, `spending`, `refunds`, the `ending` and the
`winding_up` of what members owe each other then, `set_off` of what they owe elsewhere, `silence` when nobody acts, and the `standing` refund
order for that time. What they share is in `dues` (what is owed), `notices` and `consequences` (what follows from any change of the books). `state`, `books` and `booking` say what is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from domain import letters
from domain.kernel import AWAITED, Agenda, Command, Deadline, Headline, MemberId, escaped, holders, shown_at
from domain.money import display
from domain.process import Context, Process, phase_of_deadline
from domain.reference import shown_reference
from domain.round import (
    calls,
    commands,
    commitments,
    ending,
    events,
    in_kind,
    ladder,
    leaving,
    payments,
    pledging,
    refunds,
    reversals,
    rules,
    set_off,
    silence,
    spending,
    standing,
)
from domain.round.allocation import index
from domain.round.books import Books, Call
from domain.round.consequences import held_back
from domain.round.dues import Bill, next_bill
from domain.round.rules import Events, amount_text
from domain.round.state import (
    Calling,
    Cancelled,
    ClosedWithDebts,
    Committed,
    Draft,
    Endangered,
    Failed,
    Pledging,
    Refunding,
    RoundState,
    Settled,
    Short,
    Unopened,
    Withdrawn,
    books_of,
    duty_of,
    evolve,
    money_by_state,
)
from domain.round.tables import tables
from domain.round.terms import Debt, Stage, Terms, Tranche, Watch
from domain.stream import Common

NAMED: Final = 20
"""How many members who owe are listed with their bills."""
ON_THE_VOTE: Final = "Everybody who has not voted is named by that vote (`consortium proposals`)."
"""Who is waited for while a vote decides about a round: the proposal says it, on whose roll they are."""
MEASURE: Final = "n equal shares make 10,000 / n, a single member 10,000"
"""What the Herfindahl-Hirschman index means, in words."""

# ---------------------------------------------------------------- decide


@set_off.stating_credits
def decide(state: RoundState, command: commands.RoundCommand, context: Context) -> Events:
    """The facts that follow, or `Refused`. A rule that is given the whole state looks at its phase after something else, or in every phase."""
    match command:
        case commands.OpenRound():
            return pledging.open_round(state, command, context)
        case commands.AmendRound():
            return pledging.amend_round(rules.draft(state, context), command, context)
        case commands.WithdrawRound():
            return pledging.withdraw_round(state, command, context)
        case commands.StartPledging():
            return pledging.start_pledging(phase_of_deadline(state, Draft), command, context)
        case commands.Pledge():
            return pledging.pledge(rules.open_for_pledges(state, context), command, context)
        case commands.WithdrawPledge():
            return pledging.withdraw_pledge(rules.pledging(state, context), command, context)
        case commands.ClosePledging():
            return pledging.close_pledging(phase_of_deadline(state, Pledging), command, context)
        case commands.ExtendRound():
            return pledging.extend_round(state, command, context)
        case commands.FailRound():
            return pledging.fail_round(state, command, context)
        case letters.ReleaseTranche():
            return calls.release_tranche(state, command, context)
        case commands.CallTranche():
            return calls.call_tranche(rules.live(state), command, context)
        case letters.RecordPayment():
            return payments.record_payment(state, command, context)
        case letters.ReversePayment():
            return reversals.reverse_payment(state, command, context)
        case commands.RemindBeforeDue():
            return ladder.remind_before_due(rules.on_ladder(state), command, context)
        case commands.MarkOverdue():
            return ladder.mark_overdue(rules.on_ladder(state), command, context)
        case commands.RemindOverdue():
            return ladder.remind_overdue(rules.on_ladder(state), command, context)
        case commands.DeclareDefault():
            return ladder.declare_default(rules.on_ladder(state), command, context)
        case commands.DeliverInKind():
            return in_kind.deliver_in_kind(rules.live(state), command, context)
        case commands.AcceptInKind():
            return in_kind.accept_in_kind(rules.live(state), command, context)
        case commands.RejectInKind():
            return in_kind.reject_in_kind(rules.live(state), command, context)
        case commands.JoinLate():
            return commitments.join_late(rules.live(state), command, context)
        case commands.TakeOver():
            return commitments.take_over(rules.live(state), command, context)
        case commands.ExitRound():
            return leaving.exit_round(rules.live(state), command, context)
        case letters.ReleaseLeaver():
            return leaving.release_leaver(state, command, context)
        case letters.KeepMember():
            return leaving.keep_member(state, command, context)
        case commands.ReduceGoal():
            return commitments.reduce_goal(state, command, context)
        case commands.ProposeSpending():
            return spending.propose_spending(rules.live(state), command, context)
        case commands.ApproveSpending():
            return spending.approve_spending(rules.live(state), command, context)
        case commands.WithdrawSpending():
            return spending.withdraw_spending(rules.live(state), command, context)
        case letters.RecordSpending():
            return spending.record_spending(rules.holding(state), command, context)
        case letters.ReturnSpending():
            return spending.return_spending(state, command, context)
        case letters.ReleaseSpending():
            return spending.release_spending(state, command, context)
        case commands.SettleRound():
            return ending.settle_round(state, command, context)
        case commands.CancelRound():
            return ending.cancel_round(state, command, context)
        case commands.OrderRefund():
            return refunds.order_refund(state, command, context)
        case commands.OrderRefunds():
            return refunds.order_refunds(state, command, context)
        case letters.RecordRefund():
            return refunds.record_refund(state, command, context)
        case letters.ReturnRefund():
            return refunds.return_refund(state, command, context)
        case letters.ReleaseRefund():
            return refunds.release_refund(state, command, context)
        case commands.ApproveStandingRefunds():
            return standing.approve(rules.before_end(state), command, context)
        case commands.RevokeStandingRefunds():
            return standing.revoke(rules.before_refunds(state), command, context)
        case commands.OrderStandingRefunds():
            return standing.order(phase_of_deadline(state, Refunding), command, context)
        case commands.TakeDuty():
            return silence.take_duty(state, command, context)
        case commands.PassDuty():
            return silence.pass_duty(rules.awaiting(state), command, context)
        case commands.EndInSilence():
            return silence.end_in_silence(rules.awaiting(state), command, context)
        case commands.AskForDebts():
            return silence.ask_for_debts(phase_of_deadline(state, ClosedWithDebts), command, context)
        case letters.SetOffCredit():
            return set_off.set_off_credit(state, command, context)
        case letters.RestoreCredit():
            return set_off.restore_credit(state, command, context)


def watched(state: RoundState, command: commands.RoundCommand, context: Context) -> Events:
    """What is decided, and with it until when the duty that is waited for then waits for whom."""
    return silence.watch(state, decide(state, command, context), context)


# ---------------------------------------------------------------- agenda


def agenda(state: RoundState) -> Agenda:
    """The next deadline: of pledging, of a vote that is waited for, or of the calls that run."""
    match state:
        case Draft(terms=terms):
            return Agenda((Deadline(terms.opens_at, commands.StartPledging()),))
        case Pledging(closes_at=closes_at):
            return Agenda((Deadline(closes_at, commands.ClosePledging()),))
        case Short(vote_ends_at=vote_ends_at):
            return Agenda((Deadline(vote_ends_at, commands.FailRound()),))
        case Committed() | Calling():
            return Agenda((*_rungs(state.books), *_passing(state, state.books)))
        case Endangered(decide_by=decide_by):
            return Agenda((Deadline(decide_by, commands.CancelRound(cause="shortfall")), *_rungs(state.books)))
        case Refunding():
            return Agenda(_passing(state, state.books))
        case ClosedWithDebts(ask_at=ask_at):
            return Agenda((Deadline(ask_at, commands.AskForDebts()),))
        case Unopened() | Withdrawn() | Failed() | Settled() | Cancelled():
            return Agenda(closed=True)


def _passing(state: RoundState, books: Books) -> tuple[Deadline, ...]:
    """When the duty that is waited for passes on, or the round ends since nobody is left; none where it waits for ever."""
    watch = books.watch
    if watch is None or watch.duty is not duty_of(state):
        return ()
    then = commands.PassDuty(duty=watch.duty, to=watch.line[0]) if watch.line else commands.EndInSilence()
    if watch.standing_at is None or not standing.payable(books):
        return (Deadline(watch.until, then),)
    return (Deadline(watch.standing_at, commands.OrderStandingRefunds()), Deadline(watch.until, then))


def _rungs(books: Books) -> tuple[Deadline, ...]:
    """The next rung of each call that runs."""
    return tuple(Deadline(call.ends(call.stage), _rung(call)) for call in (books.calls[number] for number in sorted(books.running)))


def _rung(call: Call) -> Command:
    match call.stage:
        case Stage.NOTIFIED:
            return commands.RemindBeforeDue(call=call.number)
        case Stage.REMINDED:
            return commands.MarkOverdue(call=call.number)
        case Stage.OVERDUE:
            return commands.RemindOverdue(call=call.number)
        case Stage.WARNED | Stage.DEFAULTED | Stage.CLEARED:
            return commands.DeclareDefault(call=call.number)


# ---------------------------------------------------------------- describe


def describe(state: RoundState) -> Headline:
    """The round in one line, its money by state, and who is waited for."""
    said = _headline(state)
    values = {f"{name}_minor": amount for name, amount in money_by_state(state).items()}
    books = books_of(state)
    if books is None or not _passing(state, books):
        return replace(said, values=values)
    watch = silence.watched(books)
    waits_for = tuple(dict.fromkeys((*said.waits_for, *holders(watch.passed))))
    return replace(said, values=values, waits_for=waits_for, text=f"{said.text}\n\n{_awaited(watch)}")


def _awaited(watch: Watch) -> str:
    then = f"it passes to {watch.line[0]} too" if watch.line else silence.END[watch.duty]
    passed = f" It passed to {', '.join(watch.passed)}." if watch.passed else ""
    by_itself = f" At {shown_at(watch.standing_at)} the standing order gives the refunds." if watch.standing_at else ""
    return f"{silence.WAITS[watch.duty]}.{passed}{by_itself} If nobody acts until {shown_at(watch.until)}: {then}."


def _listed(books: Books, debts: Sequence[Debt]) -> str:
    """The debts as they were listed last, when they are few."""
    rows = [f"| {debt.kind} | {escaped(debt.party)} | {amount_text(books, debt.amount)} |" for debt in debts[:NAMED]]
    more = ("", f"{len(debts) - NAMED} more are in `consortium show`.") if len(debts) > NAMED else ()
    return "\n".join(("| debt | party | amount |", "| --- | --- | --- |", *rows, *more))


def _headline(state: RoundState) -> Headline:
    match state:
        case Unopened():
            return Headline("unopened", "not opened yet")
        case Draft(terms=terms):
            line = f"{escaped(terms.title)}: pledging starts at {shown_at(terms.opens_at)}"
            return Headline("draft", line, _promises(terms, 0), ("office:secretariat",))
        case Withdrawn(terms=terms):
            return Headline("withdrawn", f"{escaped(terms.title)}: withdrawn")
        case Pledging(terms=terms, total=total, squares=squares, pledges=pledges, closes_at=closes_at):
            goal, promised = display(terms.goal, terms.currency), display(total, terms.currency)
            line = f"{escaped(terms.title)}: {promised} of {goal} pledged by {len(pledges)} until {shown_at(closes_at)}"
            gauge = f"Concentration (HHI) of the pledges, by member: {index(squares, total):,} of 10,000 basis points ({MEASURE})"
            return Headline("pledging", line, f"{_promises(terms, total)}\n\n{gauge}")
        case Short(pledging=Pledging(terms=terms), counted=counted, vote_ends_at=vote_ends_at):
            line = f"{escaped(terms.title)}: {display(counted, terms.currency)} missed the minimum; a vote may extend it until {shown_at(vote_ends_at)}"
            return Headline("short", line, ON_THE_VOTE)
        case Failed(terms=terms):
            return Headline("failed", f"{escaped(terms.title)}: the minimum was missed, the pledges are released")
        case Committed(books=books):
            return _of_books("committed", books, "to be called" + _locked(books), _owing(books))
        case Calling(books=books):
            called = f"{len(books.tranches)} of {len(books.terms.tranches)} tranches called"
            return _of_books("calling", books, called + _locked(books), _owing(books))
        case Endangered(books=books, decide_by=decide_by):
            return _of_books(
                "endangered",
                books,
                f"below the minimum; cancelled at {shown_at(decide_by)} unless a vote makes it smaller",
                (),
                ON_THE_VOTE,
            )
        case Refunding(books=books):
            note = f"{amount_text(books, books.totals.credit)} to give back" + _still_owed(books)
            return _of_books("refunding", books, note, ("office:treasurer", *_debtors(books)))
        case ClosedWithDebts(books=books, debts=debts, ask_at=ask_at):
            note = f"closed with debts of {amount_text(books, held_back(books))}, asked for again at {shown_at(ask_at)}" + _still_owed(
                books
            )
            return _of_books(
                "closed_with_debts", books, note, ("office:treasurer", "office:board", *_debtors(books)), _listed(books, debts)
            )
        case Settled(books=books):
            return _of_books("settled", books, "settled" + _still_owed(books), _debtors(books))
        case Cancelled(books=books):
            return _of_books("cancelled", books, "cancelled" + _still_owed(books), _debtors(books))


def _promises(terms: Terms, pledged: int) -> str:
    amounts = " | ".join(display(amount, terms.currency) for amount in (terms.goal, terms.minimum, pledged))
    return f"| goal | minimum | pledged |\n| --- | --- | --- |\n| {amounts} |"


def _owing(books: Books) -> tuple[str, ...]:
    """Everybody who owes, and the treasurer when they are too many to name; while no call runs, also who has the next word."""
    owing = _debtors(books)
    if any(books.calls[number].unpaid for number in books.running):
        return owing or ("office:treasurer",)
    following = (f"run/{books.terms.run}", "office:board") if _unreleased(books) else ("office:treasurer",)
    return (*following, *owing)


def _unreleased(books: Books) -> Tranche | None:
    """The tranche to be called next, while the milestone that releases it is not accepted."""
    following = books.terms.tranches[len(books.tranches) : len(books.tranches) + 1]
    return next((tranche for tranche in following if tranche.milestone and len(books.tranches) + 1 not in books.released), None)


def _locked(books: Books) -> str:
    """What the next tranche waits for, in words. Whether its run has begun is not the round's to know: the register has it."""
    tranche = _unreleased(books)
    if tranche is None:
        return ""
    return (
        f"; the next waits for the milestone {tranche.milestone} of run/{books.terms.run}, or for the board as long as there is no such run"
    )


def _debtors(books: Books) -> tuple[str, ...]:
    """Whoever owes anything, for lists and inboxes."""
    return tuple(f"member:{member}" for member in _owing_anything(books, AWAITED))


def _still_owed(books: Books) -> str:
    """What members owe beyond the round's end, in words."""
    owed = sum(account.debt for account in books.accounts.values())
    return f"; members still owe {amount_text(books, owed)}" if owed else ""


def _owing_anything(books: Books, limit: int) -> Sequence[MemberId]:
    """Who owes on any call, also in default and interest alone, when they are at most so many; else nobody is named."""
    owing = tuple(islice((member for member, account in books.accounts.items() if account.dues), limit + 1))
    return sorted(owing) if len(owing) <= limit else ()


def _of_books(phase: str, books: Books, note: str, waits_for: tuple[str, ...], more: str = "") -> Headline:
    money = books.totals
    rows = {
        "goal": books.goal,
        "minimum": books.minimum,
        "committed": money.committed,
        "called": money.called,
        "cleared": money.cleared,
        "overdue": books.overdue,
        "in default": money.defaulted_owed + money.defaulted_uncalled,
        "reserved": books.reserved,
        "spent": books.spent,
        "refunded": money.refunded,
        "set off": money.set_off,
        "held": books.held,
    }
    table = "\n".join(f"| {name} | {amount_text(books, amount)} |" for name, amount in rows.items())
    line = f"{escaped(books.terms.title)}: {amount_text(books, money.cleared)} of {amount_text(books, money.committed)} cleared; {note}"
    text = f"| money | {books.terms.currency} |\n| --- | --- |\n{table}\n\n{_concentration(books)}{_bills(books)}" + (
        more and f"\n\n{more}"
    )
    return Headline(phase, line, text, waits_for)


def _concentration(books: Books) -> str:
    """How much hangs on few members. The charter's gauge is there to be compared with: no rule follows from being above it."""
    now = index(books.squares, books.totals.committed)
    compared = (
        f"within the charter's gauge of {books.gauge:,}"
        if books.concentration <= books.gauge
        else f"above the charter's gauge of {books.gauge:,}: much hangs on few, and no rule follows from it"
    )
    return (
        f"Concentration (HHI) at the close, related companies as one: {books.concentration:,} of 10,000 basis points ({MEASURE}), {compared}. "
        f"Now, by member: {now:,}."
    )


def _bills(books: Books) -> str:
    """All that is to be paid, interest included, by whom, until when and with which reference, when they are few."""
    accounts = [(member, books.accounts[member]) for member in _owing_anything(books, NAMED)]
    asked = [(member, account.reference, next_bill(books, account, books.default_interest or 0)) for member, account in accounts]
    rows = [
        f"| {member} | {amount_text(books, owed.amount)} | {owed.pay_by} | {_per_day(books, owed)} | {shown_reference(reference)} |"
        for member, reference, owed in asked
    ]
    return (
        "\n".join(("\n\n| to pay | amount | by | for each further day | reference |", "| --- | --- | --- | --- | --- |", *rows))
        if rows
        else ""
    )


def _per_day(books: Books, asked: Bill) -> str:
    """What a further day costs; the table of members reckons it for a round that does not know its charter's interest."""
    return "the charter's interest" if books.default_interest is None else amount_text(books, asked.per_day)


ROUND: Final[Process[commands.RoundCommand, events.RoundEvent, RoundState]] = Process(
    name="round",
    title="a funding round",
    about="Pledges until the close; then commitments, called tranche by tranche as the run reaches its milestones, with reminders, cure and default; spending; refunds of what is left.",
    initial=Unopened(),
    decide=watched,
    evolve=evolve,
    agenda=agenda,
    describe=describe,
    commands=TypeAdapter(Annotated[commands.RoundCommand, Field(discriminator="kind")]),
    events=TypeAdapter(tuple[Annotated[events.RoundEvent | Common, Field(discriminator="kind")], ...]),
    tables=tables,
    state_version=14,
    list_version=10,
)
