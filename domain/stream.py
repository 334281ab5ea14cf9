"""A stream: a process's state, and what it owes to the outside world.

A process owes a step by stating `StepOwed` among its events, so an obligation is a stored fact: it survives every crash, and a later
release owes nothing new for the past. Which steps failed or are delayed, and how often a person asked for another try, are facts too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar, get_args

from pydantic import Field

from domain.kernel import (
    TELL,
    Command,
    CommandId,
    Event,
    Map,
    Outcome,
    Prose,
    Step,
    canonical_json,
    derived_id,
    mapping,
    notify,
    with_own_facts,
    without,
)
from domain.register.facts import MandateExercised, MandateWithdrawn, RecipientsReached, RecipientsUnreached, Unreachable

S = TypeVar("S")
AT_ONCE: Final = 32
"""How many owed steps are shown, and so carried out, at a time: a bound on every workflow's width."""
RECIPIENTS: Final = 100
"""The most recipients of one notice."""

# ---------------------------------------------------------------- commands and events of every stream


class StepDone(Outcome):
    """The step was carried out, and there is nothing else to say about it."""

    kind: Literal["step_done"] = "step_done"


class FailStep(Outcome):
    """The step failed for good."""

    kind: Literal["fail_step"] = "fail_step"
    reason: Annotated[str, Field(max_length=1_000)]


class DelayStep(Outcome):
    """The step did not succeed in so many tries that a person should look. It is still owed, and tried on."""

    kind: Literal["delay_step"] = "delay_step"
    reason: Annotated[str, Field(max_length=1_000)]


class NoticeSent(Outcome):
    """The notice went out, and did not come to these, each with the reason. Nobody is told again by itself: who has no address needs one first."""

    kind: Literal["notice_sent"] = "notice_sent"
    unreached: Annotated[dict[Annotated[str, Field(max_length=80)], Unreachable], Field(min_length=1, max_length=100)]


class RetryStep(Command):
    """Try a failed step again, or a delayed one now. By the secretariat."""

    kind: Literal["retry_step"] = "retry_step"
    step: str


class WaiveStep(Command):
    """Live without a step that failed or is delayed: it is owed no longer, nor authorised. By the secretariat, with the reason."""

    kind: Literal["waive_step"] = "waive_step"
    step: str
    reason: Prose


class StepOwed(Event):
    """The outside world is to be acted on."""

    kind: Literal["step_owed"] = "step_owed"
    step: Step


class StepCarriedOut(Event):
    """It was acted on."""

    kind: Literal["step_carried_out"] = "step_carried_out"
    step: str


class StepFailed(Event):
    """It could not be acted on: a person must look."""

    kind: Literal["step_failed"] = "step_failed"
    step: str
    reason: str


class StepDelayed(Event):
    """It could not be acted on for long, and is tried on: a person should look."""

    kind: Literal["step_delayed"] = "step_delayed"
    step: str
    reason: str


class StepRetried(Event):
    """A person asked for another try."""

    kind: Literal["step_retried"] = "step_retried"
    step: str


class StepWaived(Event):
    """A person decided to live without it."""

    kind: Literal["step_waived"] = "step_waived"
    step: str
    reason: Prose


StepCommand = StepDone | NoticeSent | FailStep | DelayStep | RetryStep | WaiveStep
StepEvent = StepOwed | StepCarriedOut | StepFailed | StepDelayed | StepRetried | StepWaived
Common = StepEvent | MandateExercised | MandateWithdrawn | RecipientsUnreached | RecipientsReached
"""Events that any stream may hold besides its process's own."""
COMMON: Final = frozenset(get_args(Common))
"""The same, as a set of types."""

# ---------------------------------------------------------------- what is owed

STREAM_VERSION: Final = 4
"""The version of `Stream`, raised as `Process.state_version` is: it belongs to the states of every process."""

Ready = tuple[tuple[str, str], ...]
"""For each step the stream that it tells something, or nothing, and its key."""


class Stream(NamedTuple, Generic[S]):
    """A process's state, and what it owes."""

    state: S
    version: int = 0
    """How many events made it."""
    owed: Map[str, Step] = mapping()
    ready: Ready = ()
    """Of the owed steps those that wait for no person, in the order in which they were owed or asked for again."""
    failed: Map[str, str] = mapping()
    """Of the owed steps those that wait for a person, with the reason."""
    tries: Map[str, int] = mapping()
    """The try of each owed step: the version at which it was owed, or a person asked for it again. No two tries of a stream are alike."""
    retried: Map[str, int] = mapping()
    """How often a person asked again for an owed step that had failed; those nobody asked for are not in it."""
    delayed: Map[str, str] = mapping()
    """Of the owed steps those that did not succeed for long, and are still tried; with the reason."""

    @property
    def attention(self) -> bool:
        """Whether a person should look: a step failed, or is delayed."""
        return bool(self.failed or self.delayed)


def owe(step: Step) -> StepOwed:
    """The event by which a decision owes a step."""
    return StepOwed(step=step)


def owe_notices(
    template: str,
    to: Sequence[str],
    key: str,
    facts: Mapping[str, str | int],
    *,
    each: Mapping[str, Mapping[str, str | int]] = mapping(),
    first: int = 1,
    by: int = 1,
) -> Iterator[StepOwed]:
    """The steps that notify many, at most `RECIPIENTS` with one notice: its key ends in a number, which begins at `first` and grows by `by`.

    `each` holds further facts for some of the recipients, which nobody else is sent.
    """
    for start, number in zip(range(0, len(to), RECIPIENTS), count(first, by), strict=False):
        batch = tuple(to[start : start + RECIPIENTS])
        notice = notify(template, batch, key=f"{key}:{number}", **facts)
        own = {recipient: each[recipient] for recipient in batch if recipient in each}
        yield owe(with_own_facts(notice, own) if own else notice)


def after_step_event(stream: Stream[S], event: Common) -> Stream[S]:
    """What the stream owes after an event that is none of its process's own."""
    stream = stream._replace(version=stream.version + 1)
    match event:
        case StepOwed(step=step):
            ready = stream.ready if step.key in stream.failed else _queued(_ready_without(stream, step.key), step)
            return stream._replace(
                owed=stream.owed.set(step.key, step),
                ready=ready,
                tries=stream.tries.set(step.key, stream.version),
                delayed=without(stream.delayed, step.key),
            )
        case StepCarriedOut(step=key) | StepWaived(step=key):
            return stream._replace(
                owed=without(stream.owed, key),
                ready=_ready_without(stream, key),
                failed=without(stream.failed, key),
                tries=without(stream.tries, key),
                retried=without(stream.retried, key),
                delayed=without(stream.delayed, key),
            )
        case StepFailed(step=key, reason=reason):
            return stream._replace(
                ready=_ready_without(stream, key), failed=stream.failed.set(key, reason), delayed=without(stream.delayed, key)
            )
        case StepDelayed(step=key, reason=reason):
            return stream._replace(delayed=stream.delayed.set(key, reason))
        case StepRetried(step=key):
            return stream._replace(
                ready=_queued(_ready_without(stream, key), stream.owed[key]),
                failed=without(stream.failed, key),
                delayed=without(stream.delayed, key),
                tries=stream.tries.set(key, stream.version),
                retried=stream.retried.set(key, stream.retried.get(key, 0) + 1) if key in stream.failed else stream.retried,
            )
        case MandateExercised() | MandateWithdrawn() | RecipientsUnreached() | RecipientsReached():
            return stream


def _place(step: Step) -> tuple[str, str]:
    return (step.data["stream"] if step.kind == TELL else "", step.key)


def _queued(ready: Ready, step: Step) -> Ready:
    last: Ready = (_place(step),)
    return ready + last


def _ready_without(stream: Stream[Any], key: str) -> Ready:
    """What is ready without the step of this key."""
    if key not in stream.owed or key in stream.failed:
        return stream.ready
    index = stream.ready.index(_place(stream.owed[key]))
    return stream.ready[:index] + stream.ready[index + 1 :]


def steps_of(stream: Stream[Any]) -> tuple[Step, ...]:
    """The first owed steps, at most `AT_ONCE`. Letters to one stream go one at a time, in their order."""
    shown, waiting = list[Step](), set[str]()
    for target, key in stream.ready:
        if target in waiting:
            continue
        shown.append(stream.owed[key])
        if len(shown) == AT_ONCE:
            break
        if target:
            waiting.add(target)
    return tuple(shown)


# ---------------------------------------------------------------- ids of what the system itself gives


def deadline_id(name: str, version: int, at: datetime, command: Mapping[str, Any]) -> CommandId:
    """The id of a deadline's command on the stream of this name: asked again it is the same, until something happens there.

    So an answer that was right while the stream stood otherwise, or one to another deadline at the same instant, is never taken for its own.
    """
    return derived_id(name, "deadline", canonical_json(command).decode(), at.isoformat(), str(version))


def outcome_id(name: str, key: str, attempt: int) -> CommandId:
    """The id of the outcome that one try of a step brought back."""
    return derived_id(name, "outcome", key, str(attempt))


def failure_id(name: str, key: str, attempt: int) -> CommandId:
    """The id of the command that says that the outcome itself was not taken."""
    return derived_id(name, "failure", key, str(attempt))


def delay_id(name: str, key: str, attempt: int) -> CommandId:
    """The id of the command that says that one try of a step takes long."""
    return derived_id(name, "delay", key, str(attempt))


def letter_id(name: str, key: str, retries: int) -> CommandId:
    """The id under which a `tell` of the stream of this name gives its command after so many retries by a person.

    An answer under an id is for ever, a refusal too: whoever tells asks under the earlier ids first, so that what one of them
    brought about is not told twice, and what all of them were refused is told anew.
    """
    return derived_id(name, "tell", key, *([str(retries)] if retries else ()))
