"""Milestones: claimed by the training lead, measured by a harness, judged by reviewers, or missed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from domain import letters
from domain.charter import TrainingTerms
from domain.evaluation import EvaluationRead, EvaluationRefused, ReadEvaluation, Score, decimal_of
from domain.kernel import PersonId, Refused, Step, holders, notify, slug_of, tell
from domain.money import display
from domain.process import Context
from domain.run import commands, events, looks, readings
from domain.run.rules import Events, not_now, put_to_vote, require_lead, terms_of
from domain.run.state import Book, Mark, Paused, Running, missed_why
from domain.run.terms import Criteria, Milestone, Results, evidence_digest
from domain.stream import owe

READING: Final = timedelta(days=1)
"""So long after its milestone's day a claim that was made in time may still be read."""


def _milestone(book: Book, name: str) -> Milestone:
    found = next((milestone for milestone in book.contract.milestones if milestone.id == name), None)
    if found is None:
        names = ", ".join(milestone.id for milestone in book.contract.milestones)
        raise not_now("no_such_milestone", f"the contract has no milestone {name}", f"name one of: {names}")
    return found


# ---------------------------------------------------------------- claims


def claim(state: Running | Paused, command: commands.ClaimMilestone, context: Context) -> Events:
    """The lead says that a milestone is reached. A claim that is still being read is given up for this one."""
    book = state.book
    require_lead(book, context)
    milestone, mark = _milestone(book, command.milestone), book.mark(command.milestone)
    if mark.stage == "accepted":
        return ()
    if mark.stage == "presented":
        raise not_now("evidence_waits", f"evidence {mark.evidence} of {milestone.id} waits for its reviewers", "let them judge it")
    lacking = _unmet(book, milestone.criteria)
    if lacking:
        raise not_now("criteria_not_met", f"{milestone.id}: {lacking}", "train on, or propose a change order")
    if milestone.criteria.scores and command.results is None:
        raise not_now("results_missing", f"{milestone.id} asks for evaluations", "name the results file that the harness wrote")
    claimed = events.MilestoneClaimed(milestone=milestone.id, claim=mark.claim + 1, results=command.results, note=command.note)
    if not milestone.criteria.scores or command.results is None:
        return (claimed, *_present(book, milestone, claimed.claim, Results(), context))
    data = ReadEvaluation(
        run=slug_of(context.stream), subject=milestone.id, number=claimed.claim, file=command.results, scores=milestone.criteria.scores
    )
    return (claimed, owe(Step(kind="read_evaluation", key=f"evaluate:{milestone.id}:{claimed.claim}", data=data.model_dump(mode="json"))))


def _unmet(book: Book, criteria: Criteria) -> str:
    """What of the criteria besides the scores is not met, in words; empty when all is."""
    lacking, loss = list[str](), book.loss_micro
    if book.watch.tokens < criteria.tokens:
        lacking.append(f"{book.watch.tokens:,} of {criteria.tokens:,} tokens")
    lowest, highest = criteria.loss_at_least_micro, criteria.loss_at_most_micro
    if lowest is not None or highest is not None:
        if loss is None:
            lacking.append("no loss was read")
        elif (lowest is not None and loss < lowest) or (highest is not None and loss > highest):
            lacking.append(f"a loss of {decimal_of(loss)} nats, outside of the registered band")
    if criteria.checkpoints_retained and (missing := _missing(book)):
        lacking.append(f"{missing} checkpoints are missing")
    if criteria.checkpoints_hashed and book.watch.unhashed:
        lacking.append(f"{book.watch.unhashed} checkpoints were told without their SHA-256")
    if criteria.spent_at_most is not None and book.spent > criteria.spent_at_most:
        lacking.append(f"{display(book.spent, book.contract.currency)} is spent")
    return "; ".join(lacking)[:1_000]


def _missing(book: Book) -> int:
    """How many checkpoints are missing up to here: once the token budget is used up, of the whole plan."""
    over = book.watch.tokens >= book.contract.token_budget
    more = (readings.unfinished if over else readings.lacking)(book.contract.stages, book.watch)
    return book.missing + sum(each.count for each in more)


def record_evaluation(state: Running | Paused | None, outcome: EvaluationRead, context: Context) -> Events:
    """The results were read: evidence, when all criteria are met now. Nothing follows for a claim that was given up."""
    if state is None or not _claimed(state.book, outcome.subject, outcome.number):
        return ()
    book, milestone = state.book, _milestone(state.book, outcome.subject)
    results = Results(outcome.file, outcome.harness, outcome.model, outcome.measured)
    lacking = [text for score in milestone.criteria.scores if (text := _short(score, results))]
    if unmet := _unmet(book, milestone.criteria):
        lacking.append(unmet)
    if lacking:
        return _fail(milestone, outcome.number, "; ".join(lacking)[:1_000], book, context)
    return _present(book, milestone, outcome.number, results, context)


def refuse_evaluation(state: Running | Paused | None, outcome: EvaluationRefused, context: Context) -> Events:
    """The results file proves nothing: the claim failed. Nothing follows for a claim that was given up."""
    if state is None or not _claimed(state.book, outcome.subject, outcome.number):
        return ()
    return _fail(_milestone(state.book, outcome.subject), outcome.number, outcome.reason, state.book, context)


def _claimed(book: Book, milestone: str, number: int) -> bool:
    """Whether this claim is the one that is being read."""
    mark = book.mark(milestone)
    return mark.stage == "claimed" and mark.claim == number


def _short(score: Score, results: Results) -> str:
    found = next((each for each in results.measured if (each.task, each.metric) == (score.task, score.metric)), None)
    if found is None:
        return f"{score.task} has no {score.metric}"
    bound = f"at least {score.at_least}" if score.at_least is not None else f"at most {score.at_most}"
    return "" if score.reached(found.value) else f"{score.task} {score.metric} is {found.value}, not {bound} millionths"


def _fail(milestone: Milestone, number: int, reason: str, book: Book, context: Context) -> Events:
    notice = notify(
        "claim-failed",
        (book.contract.lead,),
        key=f"notice:claim:{milestone.id}:{number}",
        run=context.stream,
        milestone=milestone.id,
        reason=reason[:500],
    )
    return (events.ClaimFailed(milestone=milestone.id, claim=number, reason=reason), owe(notice))


def _present(book: Book, milestone: Milestone, number: int, results: Results, context: Context) -> Events:
    evidence = evidence_digest(book.digest, milestone.id, book.watch, book.loss_micro, book.spent, results)
    if evidence in book.mark(milestone.id).rejected:
        return _fail(milestone, number, "exactly this evidence was rejected, which is final: bring other evidence", book, context)
    presented = events.EvidencePresented(
        milestone=milestone.id,
        claim=number,
        evidence=evidence,
        results=results.file,
        measured=results.measured,
        tokens=book.watch.tokens,
        loss_micro=book.loss_micro,
        spent=book.spent,
        harness=results.harness,
        model=results.model,
    )
    return (presented, owe(_review(presented, terms_of(book, context), context)))


def _review(presented: events.EvidencePresented, terms: TrainingTerms, context: Context) -> Step:
    """The step that asks the reviewers to judge, and tells them what was measured on which model."""
    reviewers = holders(terms.review_offices)
    key = f"notice:review:{presented.milestone}:{presented.claim}"
    if presented.results is None:
        return notify(
            "milestone-to-review", reviewers, key=key, run=context.stream, milestone=presented.milestone, evidence=presented.evidence
        )
    return notify(
        "evaluation-to-review",
        reviewers,
        key=key,
        run=context.stream,
        milestone=presented.milestone,
        evidence=presented.evidence,
        model=presented.model or "a model without a name",
        results=presented.results,
    )


# ---------------------------------------------------------------- judgement


def accept(state: Running | Paused, command: commands.AcceptMilestone, context: Context) -> Events:
    """A reviewer accepts; enough of them release the tranche. After the last milestone the readings are looked at once more."""
    book, terms = state.book, terms_of(state.book, context)
    milestone = _milestone(book, command.milestone)
    mark = _require_reviewer(book, milestone.id, command.evidence, context)
    standing = tuple(person for person in mark.signed if _stands(book, person, context))
    if mark.stage == "accepted":
        return ()
    others = context.register.independent(person for person in standing if person != context.actor)
    if context.actor in standing and len(others) + 1 < terms.reviewers:
        context.require_not_own(context.actor, "signed it already", clause="training.reviewers", remedy="ask another person to sign it")
    context.require_independent((book.contract.lead, *others), clause="training.reviewers")
    signed = (*others, context.actor)
    if len(signed) < terms.reviewers:
        return (events.MilestoneSigned(milestone=milestone.id, evidence=command.evidence, by=context.actor),)
    accepted = events.MilestoneAccepted(milestone=milestone.id, evidence=command.evidence, by=signed)
    notice = notify(
        "milestone-accepted",
        (book.contract.lead, "office:treasurer"),
        key=f"notice:accepted:{milestone.id}",
        run=context.stream,
        milestone=milestone.id,
    )
    last = all(book.mark(other.id).stage == "accepted" for other in book.contract.milestones if other.id != milestone.id)
    once_more = looks.begin_look(book, context) if last and isinstance(state, Running) and not book.looking else ()
    return (accepted, *_release_tranche(book, milestone, command.evidence, context), owe(notice), *once_more)


def reject(state: Running | Paused, command: commands.RejectMilestone, context: Context) -> Events:
    """A reviewer turns evidence down, for good."""
    book = state.book
    milestone = _milestone(book, command.milestone)
    if command.evidence in book.mark(milestone.id).rejected:
        return ()
    mark = _require_reviewer(book, milestone.id, command.evidence, context)
    if mark.stage == "accepted":
        raise not_now("milestone_accepted", f"{milestone.id} is accepted", "none: an acceptance is final")
    notice = notify(
        "milestone-rejected",
        (book.contract.lead,),
        key=f"notice:rejected:{milestone.id}:{mark.claim}",
        run=context.stream,
        milestone=milestone.id,
        reason=command.reason[:500],
    )
    rejected = events.MilestoneRejected(milestone=milestone.id, evidence=command.evidence, by=context.actor, reason=command.reason)
    return (rejected, owe(notice))


def _require_reviewer(book: Book, milestone: str, evidence: str, context: Context) -> Mark:
    terms, mark = terms_of(book, context), book.mark(milestone)
    context.require_office(*sorted(terms.review_offices), clause="training.review_offices")
    if context.actor == book.contract.lead:
        raise not_now("lead_reviews", f"{context.actor} is responsible for the run", "let others judge it")
    supplied = _supplied_by(book, context.actor, context)
    if supplied:
        raise Refused(
            "supplier_reviews",
            f"{context.actor} speaks for {supplied}, which is paid under the contract or related to who is",
            clause="training.reviewers",
            remedy="let a reviewer of another organisation judge it",
        )
    if not context.register.organisations(context.actor):
        raise Refused(
            "no_organisation",
            f"{context.actor} speaks for no member, so nobody can tell whose judgement it is",
            clause="training.reviewers",
            remedy="let somebody judge who speaks for a member and holds the office (`consortium consortium grant-office`)",
        )
    if mark.stage not in {"presented", "accepted"} or mark.evidence != evidence:
        evidence_now = f"the evidence that waits is {mark.evidence}" if mark.stage == "presented" else "no evidence waits"
        raise not_now("other_evidence", f"{milestone}: {evidence_now}", "look at the evidence that waits (`consortium show`)")
    return mark


def _stands(book: Book, person: PersonId, context: Context) -> bool:
    """Whether a signature counts: its reviewer still holds the office, still speaks for somebody, and for nobody who is paid."""
    in_office = context.register.holds(person, *terms_of(book, context).review_offices)
    return in_office and bool(context.register.organisations(person)) and not _supplied_by(book, person, context)


def _supplied_by(book: Book, person: PersonId, context: Context) -> str:
    """The company that this person speaks for and that stands behind a supplier; empty where there is none."""
    return next((own for supplier in book.contract.suppliers for own in context.own_companies(person, supplier)), "")


def _release_tranche(book: Book, milestone: Milestone, evidence: str, context: Context) -> Events:
    if milestone.tranche is None or book.contract.round is None:
        return ()
    letter = letters.ReleaseTranche(tranche=milestone.tranche, run=slug_of(context.stream), milestone=milestone.id, evidence=evidence)
    return (owe(tell(book.contract.round, letter, key=f"tell:release:{milestone.id}")),)


# ---------------------------------------------------------------- missed


def missed_at(book: Book, milestone: Milestone) -> datetime | None:
    """When it is missed, unless evidence comes; none when that cannot be any more. A claim in time may be read a while longer."""
    mark = book.mark(milestone.id)
    if mark.missed or mark.stage in {"presented", "accepted"}:
        return None
    return milestone.due_at + READING if mark.stage == "claimed" else milestone.due_at


def miss(state: Running | Paused, command: commands.MarkMissed, context: Context) -> Events:
    """A milestone's day is over without its evidence: a vote decides how the run goes on."""
    name = command.milestone
    return (events.MilestoneMissed(milestone=name), *put_to_vote(state.book, missed_why(name), context))
