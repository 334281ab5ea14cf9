"""The order that a passed or failed motion gives, and what becomes of it.

What passed is sent to the stream that it is about, under a mandate. Refused there, the proposal is *refused* and not executed. The
secretariat may mend the cause and try it again (`consortium retry`) until the mandate ends; then it stays refused.

Once the mandate is spent the motion was carried out, whatever came of this proposal's own order: the answer may still be under way, or
another proposal ordered the same command and came first. Such an order is never given up, and its proposal ends as executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from domain.kernel import Instant, Refused, digest_of
from domain.process import Context, tell_motion
from domain.proposal import events
from domain.proposal.notices import notify_voters
from domain.proposal.rules import Events
from domain.proposal.state import Announced, Over, ProposalState, Timelocked, Unexecuted
from domain.register.facts import MandateGranted, MandateWithdrawn
from domain.stream import FailStep, StepDone, StepWaived, WaiveStep, owe

MOTION: Final = "tell:motion"
"""The key of the step that sends what passed."""
OTHERWISE: Final = "tell:otherwise"
"""The key of the step that sends what is ordered when it did not pass."""


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
    return (granted, owe(tell_motion(motion.stream, command, granted, key=OTHERWISE)))


def _mandate(proposal: Announced, stream: str, command: Mapping[str, Any], context: Context) -> MandateGranted:
    return MandateGranted(proposal=context.stream, digest=digest_of(stream, command), until=_mandate_ends_at(proposal, context))


def _mandate_ends_at(proposal: Announced, context: Context) -> Instant:
    """When a mandate ends that begins now."""
    return context.at + timedelta(days=proposal.rule.mandate_days)


# ---------------------------------------------------------------- what becomes of it


def after_step(state: ProposalState, command: StepDone | FailStep | WaiveStep, context: Context) -> Events:
    """What follows when an order was taken, refused or given up. Nothing follows for any other step."""
    if command.step not in {MOTION, OTHERWISE}:
        return ()
    mandate, passed = _mandate_of(command.step, context), command.step == MOTION
    match command:
        case StepDone():
            return _carried_out(state, context)
        case FailStep(reason=reason):
            if mandate is None:
                return _end_as_carried_out(state, command.step, context)
            return _refused(state, reason, mandate, context) if passed else ()
        case WaiveStep(reason=reason):
            _require_not_carried_out(mandate)
            return _given_up(state, reason, context) if passed else ()


def end_mandate(state: Unexecuted, context: Context) -> Events:
    """What was refused stays refused, unless its mandate is spent. A try that is under way cannot be accepted any more.

    A mandate that has no end, as former releases granted them, is withdrawn for that.
    """
    mandate = _mandate_of(MOTION, context)
    if mandate is None:
        return _end_as_carried_out(state, MOTION, context)
    endless = (MandateWithdrawn(proposal=mandate.proposal, digest=mandate.digest),) if mandate.until is None else ()
    return (StepWaived(step=MOTION, reason="its mandate is over"), *endless, events.MotionGivenUp(reason=state.reason))


def _mandate_of(step: str, context: Context) -> MandateGranted | None:
    """What authorises an order of this proposal, also when it has ended; nothing once it is spent."""
    order = context.owed[step].data
    granted = context.register.mandates.get(digest_of(order["stream"], order["command"]), ())
    return next((mandate for mandate in granted if mandate.proposal == context.stream), None)


def _require_not_carried_out(mandate: MandateGranted | None) -> None:
    if mandate is None:
        raise Refused(
            "already_carried_out",
            "what this step orders was carried out",
            clause="decisions",
            remedy="ask for another try (`consortium retry`): its answer ends the step",
        )


def _refused(state: ProposalState, reason: str, mandate: MandateGranted, context: Context) -> Events:
    """Of the first refusal the voters are notified; a further one changes only the reason."""
    ordered = _ordered(state)
    if isinstance(ordered, Unexecuted):
        return (events.MotionRefused(reason=reason, until=ordered.until),)
    until = mandate.until or _mandate_ends_at(ordered.proposal, context)
    notices = notify_voters("motion-refused", ordered.proposal, context, reason=reason, until=until.isoformat())
    return (events.MotionRefused(reason=reason, until=until), *notices)


def _given_up(state: ProposalState, reason: str, context: Context) -> Events:
    notices = notify_voters("motion-given-up", _ordered(state).proposal, context, reason=reason)
    return (events.MotionGivenUp(reason=f"waived: {reason}"), *notices)


def _carried_out(state: ProposalState, context: Context) -> Events:
    """What had been refused was carried out after all. Nothing follows where the proposal says *executed* already."""
    if not isinstance(state, Unexecuted):
        return ()
    return (events.MotionCarriedOut(), *notify_voters("motion-carried-out", state.proposal, context))


def _end_as_carried_out(state: ProposalState, step: str, context: Context) -> Events:
    return (StepWaived(step=step, reason="what it orders was carried out already"), *_carried_out(state, context))


def _ordered(state: ProposalState) -> Over | Unexecuted:
    assert isinstance(state, Over | Unexecuted), f"nothing was ordered in {type(state).__name__}"
    return state
