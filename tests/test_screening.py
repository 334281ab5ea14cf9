"""Screening against a list file.

| step | data | outcomes |
| --- | --- | --- |
| screen | names, lei, owner_leis, country | screening_completed (list, list_digest, list_date, list_age_days, entries, score, match); fail_step |

A list that is missing, unreadable, torn, empty or shrunken screens nobody; whether it is fresh is judged in the domain.
`tests/data/sdn.csv` and `alt.csv` are made up, in the format of OFAC's files: no header, `-0- ` for nothing, 0x1A at the end.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.outside import Outcome
from activities.screening import UNCOMPARABLE, ListFiles, Screening, comparable
from domain.kernel import Step
from domain.member.terms import HOLDERS

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
DATA = Path(__file__).parent / "data"


@pytest.fixture
def sdn(tmp_path: Path) -> Path:
    return put(tmp_path / "sdn.csv", DATA.joinpath("sdn.csv").read_bytes())


def put(path: Path, content: bytes | str, *, age_days: float = 1) -> Path:
    """A list file, as old as told at the tests' time."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return aged(path, age_days)


def aged(path: Path, days: float) -> Path:
    written = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (written, written))
    return path


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def listed(path: Path, name: str) -> Path:
    """The list with one entry more."""
    entry = f'999,"{name}",-0- ,"EXAMPLE"' + ",-0- " * 8 + "\r\n\x1a"
    return put(path, path.read_bytes().rstrip(b"\x1a") + entry.encode())


def scribbled(path: Path) -> None:
    """Other bytes in what looks like the same file: only a reader would notice."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"#")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def screening(path: Path, **files: Any) -> Screening:
    return Screening(ListFiles("Example List", path, **files), path.parent, now=lambda: NOW)


def screen(*names: str, **data: Any) -> Step:
    return Step(kind="screen", key="screen:helio", data={"names": list(names), "country": "CH", **data})


async def refusal(activity: Screening, *, says: str, step: Step | None = None) -> Outcome:
    outcome = await activity(step or screen("Helio Systems"))
    assert outcome["kind"] == "fail_step"
    assert outcome["step"] == "screen:helio"
    assert says in outcome["reason"]
    return outcome


# ---------------------------------------------------------------- what is found


async def test_an_outcome_says_which_list_was_asked_and_what_came_nearest(sdn: Path) -> None:
    outcome = await screening(sdn)(screen("Vostok-Moray Shipping Lines Ltd."))
    assert outcome == {
        "kind": "screening_completed",
        "step": "screen:helio",
        "list": "Example List",
        "list_digest": digest(sdn),
        "list_date": "2026-11-01",
        "list_age_days": 1,
        "entries": 5,
        "score": 100,
        "match": "VOSTOK MORAY SHIPPING LINES, O.O.O.",
    }


@pytest.mark.parametrize(
    "name",
    [
        "Восток Морай Шиппинг Лайнс ООО",
        "vostok moray shiping line",
        "Lines Shipping Moray Vostok GmbH",
        "ＶＯＳＴＯＫ　ＭＯＲＡＹ",
        "Zhivagin Arkady",
    ],
)
async def test_spelling_order_script_and_legal_form_hide_nobody(sdn: Path, name: str) -> None:
    assert (await screening(sdn)(screen(name)))["score"] >= 75


@pytest.mark.parametrize(
    "name", ["Helio Systems GmbH", "Nova Robotics Inc.", "日本電信電話株式会社", "University of Zurich", "Kestrel Data"]
)
async def test_a_name_of_its_own_stays_far_below_the_charters_review_score(sdn: Path, name: str) -> None:
    assert (await screening(sdn)(screen(name)))["score"] < 70


async def test_the_worst_of_several_names_counts(sdn: Path) -> None:
    outcome = await screening(sdn)(screen("Helio Systems", "Northern Lantern Research Institute", "Nova"))
    assert (outcome["score"], outcome["match"]) == (100, "NORTHERN LANTERN RESEARCH INSTITUTE")


async def test_a_listed_lei_is_found_under_any_name(sdn: Path) -> None:
    outcome = await screening(sdn)(screen("Quite Another Company", lei="529900T8BM49AURSDO55"))
    assert (outcome["score"], outcome["match"]) == (100, "VOSTOK MORAY SHIPPING LINES, O.O.O.")
    outcome = await screening(sdn)(screen("Quite Another Company", owner_leis=["529900T8BM49AURSDO55"]))
    assert (outcome["score"], outcome["match"]) == (100, "VOSTOK MORAY SHIPPING LINES, O.O.O.")


async def test_an_applicant_is_screened_with_as_many_owners_as_it_may_declare(sdn: Path) -> None:
    assert (await screening(sdn)(screen("Helio", *(f"Owner {number}" for number in range(HOLDERS)))))["kind"] == "screening_completed"


async def test_other_names_of_the_listed_are_asked_too(sdn: Path, tmp_path: Path) -> None:
    aliases = put(tmp_path / "alt.csv", DATA.joinpath("alt.csv").read_bytes(), age_days=3)
    outcome = await screening(sdn, aliases=aliases)(screen("Polar Lamp Bureau"))
    assert (outcome["score"], outcome["match"], outcome["entries"]) == (100, "POLAR LAMP BUREAU", 7)
    assert outcome["list_date"] == "2026-10-30"
    assert outcome["list_digest"] == digest(sdn, aliases)


async def test_a_plain_file_of_names_is_a_list_too(tmp_path: Path) -> None:
    names = put(tmp_path / "names.txt", DATA.joinpath("names.txt").read_bytes())
    outcome = await screening(names)(screen("Shirokov i Partnery"))
    assert (outcome["score"], outcome["match"], outcome["entries"]) == (100, "Широков и Партнёры", 3)


async def test_a_name_that_cannot_be_compared_goes_to_a_person(sdn: Path) -> None:
    outcome = await screening(sdn)(screen("☆ ☆ ☆"))
    assert (outcome["score"], outcome["match"]) == (100, UNCOMPARABLE)


async def test_the_match_is_one_short_line_whatever_the_list_holds(tmp_path: Path) -> None:
    names = put(tmp_path / "names.txt", "Evil\u202e\u0007 Lamp\t" + "x" * 400)
    match = (await screening(names)(screen("Evil Lamp")))["match"]
    assert len(match) == 200
    assert match.startswith("Evil Lamp xxx")


def test_legal_forms_alone_are_still_a_name() -> None:
    assert comparable("The Company Ltd.") == "the company ltd"
    assert comparable("O'Brien & Söhne G.m.b.H.") == "obrien sohne"


# ---------------------------------------------------------------- what screens nobody


async def test_a_missing_list_screens_nobody(tmp_path: Path) -> None:
    await refusal(screening(tmp_path / "sdn.csv"), says="cannot be read")


async def test_an_empty_list_screens_nobody(sdn: Path) -> None:
    await refusal(screening(put(sdn, b"\x1a")), says="empty")
    await refusal(screening(put(sdn, b"")), says="empty")


async def test_an_outcome_tells_the_lists_age_and_leaves_the_judgement_to_the_membership(sdn: Path) -> None:
    assert (await screening(aged(sdn, 900))(screen("Helio")))["list_age_days"] == 900
    assert (await screening(aged(sdn, -3))(screen("Helio")))["list_age_days"] == -3


async def test_a_list_grows_old_in_memory(sdn: Path) -> None:
    now = NOW
    activity = Screening(ListFiles("Example List", sdn), sdn.parent, now=lambda: now)
    assert (await activity(screen("Helio")))["list_age_days"] == 1
    now = NOW + timedelta(days=7)
    assert (await activity(screen("Helio")))["list_age_days"] == 8


async def test_a_given_date_outweighs_the_files(sdn: Path) -> None:
    assert (await screening(sdn, dated=date(2026, 10, 1))(screen("Helio")))["list_date"] == "2026-10-01"


async def test_a_list_that_lost_more_than_a_fifth_screens_nobody_until_a_person_says_so(tmp_path: Path) -> None:
    names = put(tmp_path / "names.txt", "\n".join(f"Listed Company {number}" for number in range(100)))
    activity = screening(names)
    assert (await activity(screen("Helio")))["entries"] == 100
    put(names, "\n".join(f"Listed Company {number}" for number in range(80)))
    assert (await activity(screen("Helio")))["entries"] == 80
    put(names, "\n".join(f"Listed Company {number}" for number in range(79)))
    await refusal(activity, says="shrank from 100 to 79")
    await refusal(screening(names), says="shrank from 100 to 79")
    names.with_name("names.txt.highwater").unlink()
    assert (await activity(screen("Helio")))["entries"] == 79


async def test_nothing_is_written_beside_the_list_which_may_lie_where_nobody_may_write(tmp_path: Path) -> None:
    configuration, state = tmp_path / "configuration", tmp_path / "state"
    configuration.mkdir()
    state.mkdir()
    names = put(configuration / "names.txt", "Listed Company")
    configuration.chmod(0o500)
    activity = Screening(ListFiles("Example List", names), state, now=lambda: NOW)
    assert (await activity(screen("Helio")))["kind"] == "screening_completed"
    assert [path.name for path in configuration.iterdir()] == ["names.txt"]
    assert (state / "names.txt.highwater").read_text(encoding="ascii") == "1"


async def test_a_mark_that_cannot_be_written_is_told_with_the_remedy(tmp_path: Path) -> None:
    names = put(tmp_path / "names.txt", "Listed Company")
    activity = Screening(ListFiles("Example List", names), tmp_path / "names.txt", now=lambda: NOW)
    await refusal(activity, says="let the worker write there")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<html><body>502 Bad Gateway</body></html>", "row 1"),
        (b'1,"HALF A ROW",-0- ,"EXA', "row 1"),
        (b'1,"TWO",-0- \r\n', "row 1"),
        (b'1,"\xff\xfe",-0- ,"E",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ', "UTF-8"),
        (b"ent_num,SDN_Name,SDN_Type,Program,Title,Call,Vess,Ton,GRT,Flag,Owner,Remarks\r\n", "row 1"),
    ],
)
async def test_a_torn_or_foreign_csv_screens_nobody(sdn: Path, content: bytes, says: str) -> None:
    await refusal(screening(put(sdn, content)), says=says)


async def test_a_web_page_is_no_list_of_names(tmp_path: Path) -> None:
    await refusal(screening(put(tmp_path / "names.txt", "<html>\n<body>Not found</body>\n")), says="line 1: not a name")


async def test_a_missing_file_of_aliases_screens_nobody(sdn: Path, tmp_path: Path) -> None:
    await refusal(screening(sdn, aliases=tmp_path / "alt.csv"), says="alt.csv cannot be read")


async def test_a_spoilt_high_water_mark_screens_nobody(sdn: Path) -> None:
    put(sdn.with_name("sdn.csv.highwater"), "many")
    await refusal(screening(sdn), says="does not hold a number")


async def test_a_step_without_names_fails_for_good(sdn: Path) -> None:
    await refusal(screening(sdn), step=screen(), says="fault of the process")


# ---------------------------------------------------------------- fresh lists


async def test_a_fresh_list_is_read_without_a_restart(sdn: Path) -> None:
    activity = screening(sdn)
    assert (await activity(screen("Helio Systems")))["score"] < 70
    listed(sdn, "HELIO SYSTEMS")
    assert (await activity(screen("Helio Systems")))["score"] == 100


async def test_an_unchanged_list_is_parsed_once(sdn: Path) -> None:
    activity = screening(sdn)
    first = await activity(screen("Helio Systems"))
    scribbled(sdn)
    assert await activity(screen("Helio Systems")) == first


async def test_the_same_step_brings_back_the_same_outcome(sdn: Path) -> None:
    assert await screening(sdn)(screen("Vostok")) == await screening(sdn)(screen("Vostok"))
