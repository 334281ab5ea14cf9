"""Who gives a command follows from its type, and what processes tell each other is known to both of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import pytest

from domain import letters
from domain.catalog import CATALOG
from domain.kernel import SERVICE, Command, Due, Letter, Outcome, Refused, StreamId, reply, tell
from domain.process import EITHER, Context, Process, Speaker, decide, speaker_of
from domain.register.state import Register
from domain.stream import RetryStep, Stream, WaiveStep
from eventstore.wire import parse
from tests.golden import command_kinds, kind_of, path_of
from tests.stories import START

LETTERS = tuple(each for each in vars(letters).values() if isinstance(each, type) and issubclass(each, Letter) and each is not Letter)
MESSAGES = [(name, kind) for name, process in CATALOG.items() for kind in command_kinds(process)]


def commands_of(process: Process[Any, Any, Any]) -> frozenset[type[Command]]:
    return frozenset(command_kinds(process))


@pytest.mark.parametrize("letter", LETTERS, ids=lambda letter: letter.__name__)
def test_a_letter_is_a_command_of_the_process_that_it_names(letter: type[Letter]) -> None:
    assert letter in commands_of(CATALOG[letter.to])


def test_what_one_process_tells_another_stands_among_the_letters_and_nowhere_else() -> None:
    told = {kind for _, kind in MESSAGES if issubclass(kind, Letter)}
    assert {kind.__name__ for kind in told - set(LETTERS)} == {"RestartClock"}, "whoever runs a rehearsal gives that one"


def test_a_letter_is_sent_to_no_other_process() -> None:
    with pytest.raises(AssertionError, match="end_leases is for a release, and not for round/atlas-1"):
        tell("round/atlas-1", letters.EndLeases(member="ada"), key="tell:1")


def test_no_decision_fails_on_the_name_of_a_stream_that_somebody_wrote() -> None:
    """A contract may name a round, and an order a source, that no stream can be called: the step is owed, and fails there."""
    assert tell("round/-x", letters.ReleaseTranche(tranche=1), key="tell:1").data["stream"] == "round/-x"
    assert reply("member/ada", letters.RecordSpending(spending="gpu", reference="IN-1"), key="tell:1").data["stream"] == "member/ada"


def test_a_letter_goes_with_the_fields_that_were_given() -> None:
    step = tell("member/ada", letters.SuspendForDefault(source="round/atlas-1"), key="tell:1")
    assert step.data == {"stream": "member/ada", "command": {"kind": "suspend_for_default", "source": "round/atlas-1"}}


def test_two_kinds_of_speakers_give_these_commands_and_no_others() -> None:
    assert set(EITHER) == {"cancel_round", "fail_round", "look_for_statements", "order_payment", "propose", "release_tranche"}
    kinds = {kind_of(kind): kind for _, kind in MESSAGES}
    assert all(issubclass(kinds[each], Due | Letter) for each in EITHER), "the system is one of the two"


def test_the_clock_gives_what_agendas_name_and_nothing_else() -> None:
    by_the_clock = {f"{name} {kind_of(kind)}" for name, kind in MESSAGES if speaker_of(kind) is Speaker.CLOCK}
    assert by_the_clock == {
        "consortium complete_key_recovery", "member carry_out_set_off", "member climb_ladder", "member end_membership", "member issue_invoice", "member lapse_application", "member suspend_vacancy",
        "proposal close_vote", "proposal end_mandate", "proposal execute", "proposal open_vote", "release end_hold", "release mind_leases", "release publish_by_itself",
        "round ask_for_debts", "round close_pledging", "round declare_default", "round end_in_silence", "round mark_overdue", "round order_standing_refunds", "round pass_duty",
        "round remind_before_due", "round remind_overdue", "round start_pledging", "run look_at_telemetry", "run mark_missed", "run sound_alarm",
    }  # fmt: skip


BY_THE_SYSTEM = [(name, kind) for name, kind in MESSAGES if issubclass(kind, Due | Letter | Outcome) and kind_of(kind) not in EITHER]


def unasked(*_: object) -> NoReturn:
    raise AssertionError("the process was asked")


@pytest.mark.parametrize(("name", "kind"), BY_THE_SYSTEM, ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_what_the_system_says_is_refused_of_a_person_before_its_process_is_asked(name: str, kind: type[Command]) -> None:
    process = replace(CATALOG[name], decide=unasked, agenda=unasked)
    command = parse(process, path_of(name, kind).read_bytes().strip())
    with pytest.raises(Refused, match="service_only"):
        decide(process, Stream(process.initial), command, Context(START, "sam", StreamId(f"{name}/any"), Register()))


def test_what_a_person_says_is_for_its_process_to_judge() -> None:
    for name, kind in MESSAGES:
        if speaker_of(kind) in {Speaker.PERSON, Speaker.EITHER} and kind not in {RetryStep, WaiveStep}:
            process = replace(CATALOG[name], decide=unasked)
            command = parse(process, path_of(name, kind).read_bytes().strip())
            for actor in ("sam", SERVICE):
                with pytest.raises(AssertionError, match="the process was asked"):
                    decide(process, Stream(process.initial), command, Context(START, actor, StreamId(f"{name}/any"), Register()))
