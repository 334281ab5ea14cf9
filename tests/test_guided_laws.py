"""Every command and every rule is tried by random histories, and the laws hold in all of them (tests/guided.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from domain.kernel import Refused
from tests import guided
from tests.golden_log import everything
from tests.guided import EXCEPTIONS, Broken, Coverage, Given, History, Pool, floors, heard, play, shows
from tests.refusals import rules


def test_at_most_ten_things_are_not_tried_and_each_has_a_reason() -> None:
    assert len(EXCEPTIONS) <= 10
    assert set(EXCEPTIONS) <= everything()
    assert all(EXCEPTIONS.values())


def test_histories_are_led_to_whatever_the_stories_of_a_process_show() -> None:
    pool, coverage = Pool.of(heard(("consortium",))), Coverage()
    play(pool, dict.fromkeys(pool.shown, 1), coverage, most=200)
    assert {what for what in pool.shown if not coverage.seen[what]} == set()
    assert coverage.decisions > 3 * coverage.histories
    assert coverage.seen.keys() & rules()


def test_a_history_that_breaks_a_law_is_told_from_its_beginning() -> None:
    told = next(each for each in heard(("consortium",)) if shows(each) == "consortium found")

    def no_way_out(*_: object) -> NoReturn:
        raise Refused("rule", "no", remedy="")

    history = History(told, replace(told.story, process=replace(told.story.process, decide=no_way_out)))
    with pytest.raises(Broken, match=f'{told.by}: {{"charter"'):
        history.give(Given(told.asked, told.by, told.at))


@pytest.mark.long
@pytest.mark.timeout(3_500)
def test_every_command_is_accepted_fifty_times_and_every_rule_refuses_ten_times(capsys: pytest.CaptureFixture[str]) -> None:
    coverage = Coverage()
    play(Pool.of(heard()), floors(), coverage)
    with capsys.disabled():
        print(f"\n{coverage}")
    lacking = coverage.lacking(floors())
    assert lacking.keys() - EXCEPTIONS.keys() == set(), lacking
    assert EXCEPTIONS.keys() - lacking.keys() == set(), "no exception any more"
    assert guided.ACCEPTED == 50
    assert guided.REFUSED == 10
