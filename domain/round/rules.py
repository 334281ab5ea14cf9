"""What the rules of a funding round share: who may speak, which phase it takes, and what follows from any change of the books.

`concluded` is the one place that draws the consequences: a decision states what happened, and the register's facts, the
cleared calls, the cured defaults and the test of the minimum follow from the difference that it makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, TypeVar, cast

from domain import letters, process
from domain.calendar import Calendar
from domain.charter import Charter, FundingTerms, days
from domain.kernel import (
    Command,
    Letter,
    MemberId,
    Refused,
    Step,
    StreamId,
    asked_in,
    mapping,
    notify,
    shown_at,
    slug_of,
    tell,
    whole,
)
from domain.money import display
from domain.process import Context, StepEvent, StepOwed, fold, owe, owe_notices
from domain.reference import creditor_reference, shown_reference
from domain.register.facts import CommitmentBound, ContributionCleared, ContributionReturned, DebtStated, PaymentExpected
from domain.round import commands, events
from domain.round.allocation import interest
from domain.round.books import Account, Books, Movement
from domain.round.state import (
    Calling,
    Cancelled,
    Committed,
    Draft,
    Endangered,
    Failed,
    Live,
    Pledging,
    Refunding,
    RoundState,
    Settled,
    Short,
    Unopened,
    Withdrawn,
    evolve,
)
from domain.round.terms import Due, Schedule, Settlement, Stage

Events = process.Events[events.RoundEvent]
Phase = TypeVar("Phase", Live, Refunding)

RUNNING: Final = 64
"""Calls whose ladder may run at the same time, so that the next deadline is found at once."""

LATEST_DUE: Final = timedelta(days=366)
"""How far ahead a call may fall due."""

STAFF: Final = ("office:treasurer", "office:secretariat")

# ---------------------------------------------------------------- the charter of the round


def charter_of(context: Context, version: int) -> Charter:
    """The charter that the round was opened under."""
    return context.register.charters[version]


def terms_of(context: Context, books: Books) -> FundingTerms:
    """The clause `funding` that the round was opened under."""
    return charter_of(context, books.charter_version).funding


def calendar_of(context: Context, books: Books) -> Calendar:
    """The business days that the round was opened under."""
    return charter_of(context, books.charter_version).calendar


# ---------------------------------------------------------------- phases


def stands(state: RoundState) -> tuple[str, str]:
    """Where the round is, in words, and what can be done there."""
    wait, anew = "`consortium show` tells what comes when", "a new round is opened by the secretariat or the treasurer"
    late = "join late once the round is committed (`consortium round join-late`)"
    match state:
        case Unopened():
            return (
                "there is no such round",
                "check its name (`consortium rounds`), or ask the secretariat to open it (`consortium round open-round`)",
            )
        case Draft(terms=terms):
            return f"pledging has not begun, and starts at {shown_at(terms.opens_at)}", "wait until then"
        case Pledging(closes_at=closes_at):
            return f"members pledge until {shown_at(closes_at)}", "wait until then"
        case Short(vote_ends_at=vote_ends_at):
            vote = "vote on it (`consortium proposals`): then members can pledge again"
            return f"the minimum was missed, and a vote may extend pledging until {shown_at(vote_ends_at)}", vote
        case Committed():
            return "pledging is over, and the round is committed; no tranche is called yet", late
        case Calling():
            return "pledging is over, and its tranches are being called", late
        case Endangered(decide_by=decide_by):
            return f"it fell below its minimum, and is cancelled at {shown_at(decide_by)} unless a vote makes it smaller", wait
        case Withdrawn():
            return "it was withdrawn before pledging began", anew
        case Failed():
            return "it missed its minimum, and the pledges were released", anew
        case Refunding():
            return "all that it holds goes back to its members", anew
        case Settled():
            return "it was settled, and what was left went back to its members", anew
        case Cancelled():
            return "it was cancelled, and what it held went back to its members", anew


def closed_round(state: RoundState) -> Refused:
    """What a round that is over says to everything, and how it ended."""
    words, remedy = stands(state)
    return Refused("round_closed", f"this round is over: {words}", remedy=remedy)


def live(state: RoundState) -> Live:
    """The phases in which commitments stand."""
    match state:
        case Committed() | Calling() | Endangered():
            return state
        case Unopened() | Draft() | Pledging() | Short():
            words, remedy = stands(state)
            raise Refused("not_committed", f"nothing is committed in this round yet: {words}", remedy=remedy)
        case Withdrawn() | Failed() | Refunding() | Settled() | Cancelled():
            raise closed_round(state)


def running(state: RoundState) -> Live | None:
    """The same for what the system says itself: told too late it is old news."""
    match state:
        case Committed() | Calling() | Endangered():
            return state
        case Unopened() | Draft() | Pledging() | Short() | Withdrawn() | Failed() | Refunding() | Settled() | Cancelled():
            return None


def refundable(state: RoundState) -> Books:
    """The books of a round that holds money, also beyond its end; refuses a round that is over to the last cent, or has not begun."""
    match state:
        case Committed() | Calling() | Endangered() | Refunding():
            return state.books
        case Settled() | Cancelled() | Failed() | Withdrawn():
            raise closed_round(state)
        case Unopened() | Draft() | Pledging() | Short():
            return live(state).books


def reopened(state: RoundState) -> tuple[events.RoundReopened, ...]:
    """A round that had closed is open again when money comes back."""
    return (events.RoundReopened(),) if isinstance(state, Settled | Cancelled) else ()


def require_due(context: Context, at: datetime) -> None:
    """Refuses a deadline that has not come."""
    if context.at < at:
        raise Refused("not_due", f"this is due at {shown_at(at)}", remedy="none is needed: the system gives it when it is due")


def require_currency(context: Context, currency: str | None) -> None:
    """Refuses amounts in any money but the charter's."""
    kept = context.charter.currency
    if currency not in {None, kept}:
        raise Refused(
            "wrong_currency", f"the books are kept in {kept}, not in {currency}", remedy=f"name the amount in {kept}", clause="currency"
        )


def account_of(books: Books, member: MemberId) -> Account:
    """The member's account; refuses who has none."""
    account = books.accounts.get(member)
    if account is None:
        raise Refused(
            "not_in_round",
            f"{member} has no commitment in this round",
            remedy="check the member's handle, or join late (`consortium round join-late`)",
        )
    return account


def require_cap(context: Context, books: Books, member: MemberId, amount: int) -> None:
    """Refuses a commitment by which related companies together would stand for more than the charter's share of the goal."""
    cap = books.goal * terms_of(context, books).share_cap // 10_000
    others = (books.accounts.get(company) for company in context.register.related(member))
    standing = sum(account.figures.committed for account in others if account is not None)
    if standing + amount > cap:
        raise Refused(
            "commitment_above_cap",
            f"{member} and related companies would carry {shown(books, standing + amount)} of at most {shown(books, cap)}",
            remedy=f"name at most {shown(books, max(cap - standing, 0))}",
            clause="funding.share_cap",
        )


def require_few_running(books: Books) -> None:
    """Refuses a further call while very many run."""
    if len(books.running) >= RUNNING:
        raise Refused("too_many_calls", f"{RUNNING} calls are running", remedy="wait until earlier calls have cleared")


def repeated(context: Context, books: Books, reference: str, movement: Movement) -> bool:
    """Whether this movement is booked already; refuses a bank reference that stands for another one anywhere on the log."""
    if books.movements.get(reference) == movement:
        return True
    if reference in books.movements or reference in context.register.references:
        raise Refused(
            "reference_used",
            f"the bank reference {reference} is booked already",
            remedy="look it up (`consortium log`); each movement on the account has its own reference",
        )
    return False


# ---------------------------------------------------------------- notices and schedules


def notices(
    template: str,
    members: Iterable[MemberId],
    key: str,
    *,
    each: Mapping[MemberId, Mapping[str, str]] = mapping(),
    **facts: str | int,
) -> Iterator[StepOwed]:
    """The steps that notify members, in their order, each of what concerns nobody else."""
    to = [f"member:{member}" for member in sorted(members)]
    own = {f"member:{member}": alone for member, alone in each.items()}
    return owe_notices(template, to, f"notice:{key}", facts, each=own)


def bills(context: Context, books: Books, owed: Mapping[MemberId, int]) -> dict[MemberId, dict[str, str]]:
    """How much each member is to pay, and the reference by which its money is known."""
    return {
        member: {"amount": shown(books, amount), "reference": shown_reference(creditor_reference(context.stream, member))}
        for member, amount in owed.items()
    }


def to_pay(charged: Mapping[MemberId, int], number: int, decided: Events) -> dict[MemberId, int]:
    """What each member has to pay of a call, when these events let credit pay a part of what it was charged."""
    left = dict(charged)
    for event in decided:
        if isinstance(event, events.CreditApplied) and event.member in left:
            left[event.member] -= sum(part.total for part in event.settled if part.call == number)
    return left


def schedule(context: Context, books: Books, business_days: int, due: date | None = None) -> Schedule:
    """When a call made now falls due, and its ladder after that; refuses a day without business, too far ahead or with too little notice."""
    calendar, terms = calendar_of(context, books), terms_of(context, books)
    earliest = calendar.add(context.at, business_days) - timedelta(days=1)
    due_on = due or earliest.date()
    if due_on > context.at.date() + LATEST_DUE:
        raise Refused("due_too_late", f"{due_on} is more than {LATEST_DUE.days} days ahead", remedy="name an earlier day, or call later")
    if not calendar.is_business_day(due_on):
        raise Refused("not_a_business_day", f"no money moves on {due_on}", remedy="name a business day", clause="calendar")
    if due_on < earliest.date():
        raise Refused(
            "notice_too_short",
            f"a call needs {business_days} business days of notice",
            remedy=f"name {earliest.date()} or later",
            clause="funding.call_notice_business_days",
        )
    due_at = datetime.combine(due_on + timedelta(days=1), time(), UTC)
    cure_ends_at = calendar.add(due_at - timedelta(days=1), terms.cure_business_days)
    return Schedule(
        due_on=due_on,
        remind_at=max(context.at, due_at - days(terms.reminder_days)),
        due_at=due_at,
        warn_at=min(due_at + days(terms.reminder_days), cure_ends_at),
        cure_ends_at=cure_ends_at,
    )


# ---------------------------------------------------------------- paying what is owed


def settle(
    books: Books, dues: Sequence[Due], amount: int, on: date, rate: int, *, by: Literal["money", "goods", "replacement"] = "money"
) -> tuple[tuple[Settlement, ...], tuple[Due, ...]]:
    """What an amount of this value date pays: the oldest due first, of each the principal and then the interest it has run up.

    Answers with the settlements and what is owed afterwards. Goods pay no interest; a replacement neither pays it nor was in time.
    """
    settled: list[Settlement] = []
    left: list[Due] = []
    for due in dues:
        run_up = due.interest + interest(due.principal, rate, (on - due.accrued_to).days)
        principal = min(amount, due.principal)
        paid = min(amount - principal, run_up) if by == "money" else 0
        amount -= principal + paid
        accrued_to = max(on, due.accrued_to)
        if principal or paid:
            in_time = by != "replacement" and on <= books.calls[due.call].schedule.due_on
            settled.append(
                Settlement(call=due.call, pool=due.pool, principal=principal, interest=paid, in_time=in_time, accrued_to=accrued_to)
            )
        if due.principal > principal or run_up > paid:
            rest = {"principal": due.principal - principal, "interest": run_up - paid, "accrued_to": accrued_to}
            left.append(due.model_copy(update=rest))
    return tuple(settled), tuple(left)


def owed_again(books: Books, dues: Sequence[Due], undone: Iterable[Settlement], rate: int) -> tuple[Due, ...]:
    """What is owed when these settlements do not hold: as if they had never been, each with the interest that has run up meanwhile."""
    owed = dict[tuple[int, int], Due]()
    for due in (*dues, *(_again(books, part) for part in undone)):
        known = owed.get((due.call, due.pool))
        owed[due.call, due.pool] = due if known is None else _together(known, due, rate)
    return tuple(due for _, due in sorted(owed.items()))


def _again(books: Books, part: Settlement) -> Due:
    since = part.accrued_to or books.calls[part.call].schedule.due_on
    return Due(call=part.call, pool=part.pool, principal=part.principal, interest=part.interest, accrued_to=since)


def _together(one: Due, other: Due, rate: int) -> Due:
    day = max(one.accrued_to, other.accrued_to)
    run_up = sum(due.interest + interest(due.principal, rate, (day - due.accrued_to).days) for due in (one, other))
    return one.model_copy(update={"principal": one.principal + other.principal, "interest": run_up, "accrued_to": day})


def split(settled: Sequence[Settlement], amount: int) -> tuple[tuple[Settlement, ...], tuple[Settlement, ...]]:
    """The settlements that hold, and the latest ones that make up this amount, interest first; less where there is less."""
    held, undone = list(settled), list[Settlement]()
    while held and amount:
        last = held.pop()
        late = min(last.interest, amount)
        principal = min(last.principal, amount - late)
        amount -= late + principal
        undone.append(last.model_copy(update={"principal": principal, "interest": late}))
        if (rest := last.model_copy(update={"principal": last.principal - principal, "interest": last.interest - late})).total:
            held.append(rest)
    return tuple(held), tuple(undone)


def with_credits(state: Live, decided: Events, members: Iterable[MemberId], context: Context) -> Events:
    """The events, and the credits of these members that pay what they are called for by them."""
    books = folded(state, decided).books
    rate, today = terms_of(context, books).default_interest, context.at.date()
    applied: list[events.RoundEvent] = []
    for member in sorted(members):
        account = books.accounts[member]
        if account.figures.credit and account.dues:
            settled, dues = settle(books, account.dues, account.figures.credit, today, rate)
            applied.append(events.CreditApplied(member=member, settled=settled, dues=dues))
    return (*decided, *applied)


# ---------------------------------------------------------------- consequences


def folded(state: Phase, decided: Events) -> Phase:
    """The phase after these events, none of which ends the round."""
    after = fold(evolve, cast(RoundState, state), decided)
    assert isinstance(after, Committed | Calling | Endangered | Refunding)
    return cast(Phase, after)


def concluded(state: Live, decided: Events, members: Iterable[MemberId], context: Context) -> Events:
    """The events and their consequences, for these members and for the round."""
    touched = sorted(set(members))
    after = folded(state, decided)
    consequences: list[events.RoundEvent | StepEvent] = [*_cleared(state.books, after.books, touched)]
    for member in touched:
        account = after.books.accounts[member]
        if account.in_default and not account.dues:
            consequences += (events.DefaultCured(member=member), lifted(context, member, after.books))
    after = folded(after, consequences)
    consequences += _tested(after, context, renewed=any(isinstance(event, events.GoalReduced) for event in decided))
    return (*decided, *consequences, *facts(state.books, after.books, touched, context))


def lifted(context: Context, member: MemberId, books: Books) -> StepOwed:
    """The step that gives a member its votes back; told once for each default, which a call of its own made."""
    key = f"tell:lift-default:{member}:{books.accounts[member].defaults}"
    return owe(tell(f"member/{member}", letters.LiftDefault(source=context.stream), key=key))


def _cleared(before: Books, after: Books, members: Iterable[MemberId]) -> Iterator[events.RoundEvent]:
    paid = {due.call for member in members if member in before.accounts for due in before.accounts[member].dues}
    for number in sorted(paid | set(after.running)):
        call = after.calls[number]
        if not call.owing and call.stage is not Stage.CLEARED:
            yield events.CallCleared(call=number)


def _tested(after: Live, context: Context, *, renewed: bool) -> Events:
    """The minimum is tested after every loss of money: a round never stays funded on promises."""
    books = after.books
    sound = books.totals.sound
    match after:
        case Endangered() if sound >= books.minimum:
            return (events.MinimumRestored(sound=sound),)
        case Endangered() if not renewed:
            return ()
        case Committed() | Calling() if sound >= books.minimum:
            return ()
        case Committed() | Calling() | Endangered():
            decide_by = context.at + days(terms_of(context, books).extension_vote_days)
            return (
                events.MinimumLost(sound=sound, minimum=books.minimum, decide_by=decide_by),
                owe(_vote_on_shortfall(context, books, sound)),
                owe(
                    notify(
                        "minimum_lost",
                        (*STAFF, "office:board"),
                        key=f"notice:minimum-lost:{books.shortfalls + 1}",
                        round=context.stream,
                        sound=shown(books, sound),
                        minimum=shown(books, books.minimum),
                        decide_by=decide_by.isoformat(),
                    )
                ),
            )


def _vote_on_shortfall(context: Context, books: Books, sound: int) -> Step:
    """A smaller run that fits what is left, or else the end; when nothing is left, the end."""
    number = books.shortfalls + 1
    end = commands.CancelRound(cause="shortfall")
    smaller = commands.ReduceGoal(goal=sound, minimum=sound, cause="shortfall") if sound else end
    return proposed(
        context,
        asked_in("shortfall", slug_of(context.stream), number),
        f"Go on with {shown(books, sound)}",
        f"The round lost money and its minimum of {shown(books, books.minimum)}. Yes: a smaller run. No: everything held is refunded.",
        smaller,
        end if sound else None,
    )


def proposed(context: Context, proposal: StreamId, title: str, text: str, command: Command, otherwise: Command | None) -> Step:
    """The step that puts a motion on this round to the vote."""
    motion = letters.Motion(stream=context.stream, command=whole(command), otherwise=whole(otherwise) if otherwise else None)
    propose = letters.Propose(title=title, text=text, motion=motion)
    return tell(proposal, propose, key=f"tell:proposal:{slug_of(proposal)}")


def facts(before: Books, after: Books, members: Iterable[MemberId], context: Context, *, over: bool = False) -> Iterator[events.RoundEvent]:
    """What the register must know of the difference between two books; when the round is over, nothing is bound or owed."""
    for member in members:
        old, new = before.accounts.get(member, Account()), after.accounts[member]
        bound = 0 if over else new.figures.committed
        if bound != old.figures.committed:
            yield CommitmentBound(member=member, source=context.stream, amount=bound)
        if bound:
            yield from expected(context, (member,))
        if new.debt != old.debt:
            yield DebtStated(member=member, source=context.stream, amount=new.debt)
        yield from _contributed(member, old, new, context)


def contributions(before: Books, after: Books, members: Iterable[MemberId], context: Context) -> Iterator[events.RoundEvent]:
    """What the register must know of two books of a round that is over: nothing is bound or owed in it any more."""
    for member in members:
        yield from _contributed(member, before.accounts[member], after.accounts[member], context)


def _contributed(member: MemberId, old: Account, new: Account, context: Context) -> Iterator[events.RoundEvent]:
    brought = new.figures.cleared - new.figures.returned - old.figures.cleared + old.figures.returned
    if brought > 0:
        yield ContributionCleared(member=member, source=context.stream, amount=brought)
    elif brought < 0:
        yield ContributionReturned(member=member, source=context.stream, amount=-brought)


def held_back(books: Books) -> int:
    """What keeps a round that is over from closing: credit, refunds on their way, and payments ordered before its end."""
    return books.totals.credit + books.totals.refunding + books.reserved


def closing(state: RoundState, books: Books, *, gone: int) -> tuple[events.RoundClosed, ...]:
    """The end of a round that is over, once the last that it held is gone."""
    return (events.RoundClosed(),) if isinstance(state, Refunding) and held_back(books) == gone else ()


def expected(context: Context, members: Iterable[MemberId]) -> Iterator[PaymentExpected]:
    """The creditor reference by which each member's money for this round is known on every statement; stated once."""
    for member in members:
        reference = creditor_reference(context.stream, member)
        if reference not in context.register.expected:
            yield PaymentExpected(reference=reference, stream=context.stream, member=member)


def to_treasury(context: Context, letter: Letter, key: str) -> StepOwed:
    """The step that tells the consortium's treasury something."""
    return owe(tell(f"treasury/{context.charter.treasury.account}", letter, key=f"tell:{key}"))


def turned_away(context: Context, line: str, reason: str) -> StepOwed:
    """The step by which the treasury keeps money that this round cannot take, or cannot give back: a person decides."""
    back = letters.TurnAwayPayment(line=line, stream=context.stream, reason=reason)
    return to_treasury(context, back, f"turned-away:{line}:{context.at.isoformat()}")


def order_name(context: Context, purpose: str, subject: str, *more: str) -> str:
    """The name of a payment, or of a list of them, that this round orders: nobody else's, and the same when ordered again."""
    digest = hashlib.sha256("\x1f".join((context.stream, purpose, subject, *more)).encode()).hexdigest()
    return f"{purpose}-{subject[:36].strip('-')}-{digest[:16]}"


def shown(books: Books, amount: int) -> str:
    """An amount for people."""
    return display(amount, books.terms.currency)
