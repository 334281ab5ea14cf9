"""Benchmarks can be run: each begins, and whoever runs them learns which one failed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Final

import pytest

from bench.__main__ import ALL, main
from bench.growth import measure

COMPARED: Final = {"appends": ("eventsourcing", "umadb")}
"""What a benchmark needs that only `make bench` installs."""


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", ALL)
def test_every_benchmark_begins_and_says_its_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in COMPARED.get(name, ()):
        pytest.importorskip(library)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"bench.{name}", run_name="__main__")
    assert not ended.value.code
    assert "options:" in capsys.readouterr().out


def test_a_benchmark_that_fails_fails_them_all_and_is_named() -> None:
    assert main(["verifying", "--no-such-option"]) == "failed, or missed a target: verifying"


def test_benchmarks_that_end_well_end_well_together() -> None:
    assert main(["verifying", "--help"]) == 0


def test_a_name_of_no_benchmark_is_told_with_those_that_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    told = str(main(["verifying", "veryfying"]))
    assert told.startswith("no benchmark is called veryfying; there are cli_start, ")
    assert capfd.readouterr() == ("", ""), "nothing was run"


async def test_growth_is_not_measured_on_a_log_on_which_nobody_may_vote(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nobody may vote yet on a log of 20, 40 entries"):
        await measure([20, 40], tmp_path, postgres=False)
