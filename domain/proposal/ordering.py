"""The order that a passed or failed motion gives, and what becomes of it.

What passed is sent to the stream that it is about, under a mandate. Refused there, the proposal is *refused* and not executed. The
secretariat may mend the cause and try it again (`consortium retry`) until the mandate ends; then it stays refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from domain.kernel import digest_of
from domain.process import Context, tell_motion
from domain.proposal import events
from domain.proposal.notices import notify_voters
from domain.proposal.rules import Events
from domain.proposal.state import Announced, Over, ProposalState, Timelocked, Unexecuted
from domain.register.facts import MandateGranted
from domain.stream import FailStep, StepDone, StepWaived, WaiveStep, owe

MOTION: Final = "tell:motion"
"""The key of the step that sends what passed."""
ANSWERED_WITHIN: Final = timedelta(days=1)
"""How long the answer to a try is waited for that was under way when the mandate ended."""


def execute(state: Timelocked, context: Context) -> Events:
    """The timelock is over: the motion is ordered."""
    return order_motion(state.proposal, context)


def order_motion(proposal: Announced, context: Context) -> Events:
    """Orders the motion. Its mandate is granted only now, so that nobody can use it before the timelock is over."""
    motion = proposal.terms.motion
    assert motion is not None
    granted = _mandate(proposal, motion.stream, motion.command, context)
    return (events.ProposalExecuted(), granted, owe(tell_motion(motion.stream, motion.command, granted, key=MOTION)))


def order_otherwise(proposal: Announced, context: Context, *, unanswered: bool = False) -> Events:
    """Orders what the motion names for the case that it does not pass, or that too few voted, if anything."""
    motion = proposal.terms.motion
    if motion is None:
        return ()
    command = motion.unanswered if unanswered and motion.unanswered is not None else motion.otherwise
    if command is None:
        return ()
    granted = _mandate(proposal, motion.stream, command, context)
    return (granted, owe(tell_motion(motion.stream, command, granted, key="tell:otherwise")))


def _mandate(proposal: Announced, stream: str, command: Mapping[str, Any], context: Context) -> MandateGranted:
    until = context.at + timedelta(days=proposal.rule.mandate_days)
    return MandateGranted(proposal=context.stream, digest=digest_of(stream, command), until=until)


# ---------------------------------------------------------------- what becomes of it


def after_step(state: ProposalState, command: StepDone | FailStep | WaiveStep, context: Context) -> Events:
    """What follows when the order of what passed was taken, refused or given up. Nothing follows for any other step."""
    if command.step != MOTION:
        return ()
    match state, command:
        case Over(proposal=proposal), FailStep(reason=reason):
            refused = events.MotionRefused(reason=reason, until=_mandate_ends_at(proposal, context))
            return (refused, *notify_voters("motion-refused", proposal, context, reason=reason, **_until(refused)))
        case Unexecuted(), FailStep(reason=reason):
            return (events.MotionRefused(reason=reason, until=state.until),)
        case Unexecuted(proposal=proposal), StepDone():
            return (events.MotionCarriedOut(), *notify_voters("motion-carried-out", proposal, context))
        case Over(proposal=proposal) | Unexecuted(proposal=proposal), WaiveStep(reason=reason):
            return (events.MotionGivenUp(reason=f"waived: {reason}"), *notify_voters("motion-given-up", proposal, context, reason=reason))
        case _:
            return ()


def end_mandate(state: Unexecuted, context: Context) -> Events:
    """What was refused stays refused. A try that is under way is answered first: it was perhaps accepted just before."""
    if MOTION not in context.failed:
        return (events.AnswerAwaited(until=context.at + ANSWERED_WITHIN),)
    return (StepWaived(step=MOTION, reason="its mandate is over"), events.MotionGivenUp(reason=state.reason))


def _mandate_ends_at(proposal: Announced, context: Context) -> datetime | None:
    motion = proposal.terms.motion
    assert motion is not None
    granted = context.register.mandates.get(digest_of(motion.stream, motion.command), ())
    return next((mandate.until for mandate in granted if mandate.proposal == context.stream), None)


def _until(refused: events.MotionRefused) -> Mapping[str, str]:
    return {} if refused.until is None else {"until": refused.until.isoformat()}
