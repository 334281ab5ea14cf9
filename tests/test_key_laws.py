"""What holds of keys whatever people do with them, in any order.

Nobody ever has the key that was another's; an ended key speaks for nobody; the log always has a key; and two officers who could put a new key in
the place of a lost one always have keys themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.consortium import commands
from domain.kernel import LOG, Command
from domain.register.state import Register
from tests.keys import PROOF, key_of
from tests.stories import Story
from tests.test_key_rules import signed

PEOPLE = ("sam", "tess", "bo", "sue", "eve")
KEYS = (*(key_of(person) for person in PEOPLE), *(key_of(f"key {number}") for number in range(4)), key_of(LOG))

people, lines = st.sampled_from(PEOPLE), st.sampled_from(KEYS)
ASKED = st.one_of(
    st.builds(commands.EnrolKey, person=people, public_key=lines, proof=st.just(PROOF)),
    st.builds(commands.RotateKey, person=people, old_key=lines, public_key=lines, proof=st.just(PROOF)),
    st.builds(commands.RevokeKey, person=people, public_key=lines),
    st.builds(commands.RecoverKey, person=people, public_key=lines, proof=st.just(PROOF)),
    st.builds(commands.ConfirmKeyRecovery, person=people, public_key=lines),
    st.builds(commands.StopKeyRecovery, person=people, reason=st.just("No.")),
    st.builds(commands.EnrolLogKey, public_key=lines, proof=st.just(PROOF)),
    st.builds(commands.RevokeLogKey, public_key=lines),
    st.none(),
)
"""What is asked for next; nothing is that the next deadline comes."""


def played(asked: Sequence[tuple[Command | None, str]]) -> Sequence[Story]:
    """The story after each step. Only who has a key gives a command, as on a log that is signed."""
    stories = [signed()]
    for command, by in asked:
        story = stories[-1]
        if command is None:
            stories.append(story.due() if story.agenda.deadline else story)
        elif story.register.people.get(by) is not None and story.register.people[by].keys:
            stories.append(story.when(command, by=by))
    return stories


def broken(stories: Sequence[Story]) -> str:
    """Which law does not hold, and of whom; empty when all do."""
    holders = dict[str, str]()
    for story in stories:
        register = story.register
        for key, person in _held(register):
            if holders.setdefault(key, person) != person:
                return f"a key of {holders[key]} is {person}'s"
            if key in register.ended_keys:
                return f"an ended key speaks for {person}"
        if not register.valid_log_keys():
            return "the log has no key"
        offices = register.charter.roles.recovery_offices
        able = sorted(person for person, known in register.people.items() if known.keys and known.offices & offices)
        if len(register.independent(able)) < 2:
            return "nobody could put a new key in the place of a lost one"
    return ""


def _held(register: Register) -> Sequence[tuple[str, str]]:
    persons = [(key, person) for person, known in register.people.items() for key in known.keys]
    return [*persons, *((key, LOG) for key in register.valid_log_keys())]


HISTORIES = st.lists(st.tuples(ASKED, people), max_size=25)


@settings(max_examples=150, deadline=None)
@given(HISTORIES)
def test_a_key_is_one_persons_for_ever_and_nobody_shuts_everybody_out(asked: list[tuple[Command | None, str]]) -> None:
    assert broken(played(asked)) == ""


def _take_any_key(*_: object) -> None:
    """A mistake: any key is free."""


MISTAKEN: Sequence[tuple[Command, str]] = (
    (commands.EnrolKey(person="tess", public_key=key_of("key 0"), proof=PROOF), "tess"),
    (commands.EnrolKey(person="sam", public_key=key_of("key 0"), proof=PROOF), "sam"),
)
SHUT_OUT: Sequence[tuple[Command, str]] = tuple(
    (commands.RevokeKey(person=person, public_key=key_of(person)), "sam") for person in ("tess", "bo", "sue")
)


def test_the_laws_notice_a_key_of_two_persons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(played(MISTAKEN)) == ""
    monkeypatch.setattr(Register, "require_free", _take_any_key)
    assert broken(played(MISTAKEN)) == "a key of tess is sam's"


def test_the_laws_notice_who_shuts_all_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(played(SHUT_OUT)) == ""
    monkeypatch.setattr("domain.consortium.keys._require_two_left", _take_any_key)
    assert broken(played(SHUT_OUT)) == "nobody could put a new key in the place of a lost one"
