"""What is wrong with a field is told by its place and the form that it must have, in our own words and never in a library's."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from pydantic import ValidationError

from cli.amounts import in_minor_units, messages
from cli.example import sample
from cli.fields import inside_of
from cli.files import example, problems_of, read_charter
from cli.processes import commands_of, messages_of
from domain.catalog import CATALOG
from domain.forms import Typed, entries_of, in_words, items_of, kinds_of, model_of, typed, typed_field, words_for
from domain.kernel import Command, canonical_json
from eventstore.wire import Malformed, canonical_command, parse

THEIRS: Final = re.compile(
    r"input should|field required|extra inputs|should have|should match|valid (string|integer|boolean|tuple|list|dictionary|date|datetime|frozenset)"
    r"|value error|assertion|unable to|permitted|discriminator|expected tag|pydantic|validation|instance of|timezone|items? after|match pattern",
    re.IGNORECASE,
)
"""Pydantic's words."""
EVERY: Final = [(name, command) for name, process in CATALOG.items() for command in messages_of(process)]
FIRST: Final[Mapping[Any, type[Command]]] = {
    model: command
    for _, command in reversed(EVERY)
    for field in command.model_fields.values()
    if (model := model_of(typed_field(field))) is not None
}
"""The first command that holds a message: what can be wrong inside of a charter or a contract is provoked in that one."""
WRONG: Final[tuple[Any, ...]] = (
    None, True, -(10**12) - 7, 2**53 - 1, "", "!" * 5_000, "\u202e", "2026-13-45", "2026-11-02T09:00:00", "none of them", [], [[]], ["!", 7] * 600, {}, {"?": 1},
    {"kind": "sundial"},
)  # fmt: skip
"""Values that no field, or next to none, can have."""


VARIED: Final = {
    "Apply",
    "OpenRound",
    "CallTranche",
    "Propose",
    "CastBallot",
    "PlanRun",
    "ProposeRelease",
    "ReviewLicence",
    "GrantOffice",
    "OpenAccount",
}
"""Commands that have a field of every type."""


def given(command: type[Command]) -> dict[str, Any]:
    """A command as it is written on the wire, with everything that may be left out and none of what it means."""
    fields = {name: whole(typed_field(field), name) for name, field in command.model_fields.items()}
    return {"kind": command.model_fields["kind"].default, **{name: value for name, value in fields.items() if name != "kind"}}


def whole(found: Typed, name: str) -> Any:
    """A value of a type, with every field of the messages inside."""
    if (model := model_of(found)) and "rate_card" in model.model_fields:
        return read_charter(example("charter.toml"))
    if kinds := kinds_of(found):
        kind, model = max(kinds.items(), key=lambda item: len(item[1].model_fields))
        return {"kind": kind, **{each: whole(typed_field(field), each) for each, field in model.model_fields.items() if each != "kind"}}
    if model:
        return {each: whole(typed_field(field), each) for each, field in model.model_fields.items()}
    if item := items_of(found):
        return [whole(item, name)]
    if entries := entries_of(found):
        return {} if entries[1].annotation is Any else {str(sample(entries[0], name)): whole(entries[1], name)}
    value = sample(found, name)
    return 100 if isinstance(value, str) and value.endswith(" USD") else value if isinstance(value, str | int) else value.isoformat()


def spoilt(value: Any) -> Iterator[Any]:
    """The value with one thing wrong in it, in every place."""
    yield from map(copy.deepcopy, WRONG)
    if isinstance(value, dict):
        for name, each in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            one = dict([*each.items()][:1]) if name == "decisions" else each  # all of them are of one form
            yield from ({**value, name: bad} for bad in spoilt(one))
        yield {**value, "colour": "blue"}
    if isinstance(value, list) and value:
        yield value * 600
        yield from ([bad] for bad in spoilt(value[0]))


@pytest.mark.parametrize(("process", "command"), EVERY, ids=lambda value: getattr(value, "__name__", value))
def test_no_error_of_any_field_of_any_command_is_told_in_pydantic_s_words(process: str, command: type[Command]) -> None:
    right = given(command)
    assert "there is no such field" in wrong_with(process, {**right, "colour": "blue"})
    for name, field in command.model_fields.items():
        if name == "kind":
            continue
        bad_ones = spoilt(right[name]) if FIRST.get(model_of(typed_field(field)), command) is command else WRONG
        told = [text for bad in bad_ones if (text := wrong_with(process, {**right, name: bad}))]
        assert any(text.startswith(name) for text in told)
        assert [text for text in told if THEIRS.search(text)] == []
        if field.is_required():
            missing = wrong_with(process, {other: kept for other, kept in right.items() if other != name})
            assert f"{name}: is missing; it must be " in missing
            assert not THEIRS.search(missing)


def wrong_with(process: str, body: dict[str, Any]) -> str:
    """What is told of a command; nothing when it is taken."""
    try:
        parse(CATALOG[process], canonical_command(body))
    except Malformed as error:
        return str(error)
    return ""


def test_every_kind_of_error_that_pydantic_has_for_commands_was_provoked() -> None:
    seen: set[str] = set()
    for process, command in EVERY:
        right = given(command)
        for name in command.model_fields if command.__name__ in VARIED else ():
            for bad in spoilt(right[name]) if name != "kind" else ():
                try:
                    CATALOG[process].commands.validate_json(canonical_json({**right, name: bad}))
                except ValidationError as error:
                    seen |= {problem["type"] for problem in error.errors(include_url=False, include_input=False)}
    assert seen >= {
        "bool_type", "date_parsing", "date_type", "datetime_parsing", "datetime_type", "dict_type", "enum", "extra_forbidden", "frozen_set_type", "greater_than",
        "greater_than_equal", "int_type", "less_than_equal", "literal_error", "missing", "model_type", "string_pattern_mismatch", "string_too_long",
        "string_too_short", "string_type", "timezone_aware", "too_long", "too_short", "tuple_type", "value_error",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("process", "body", "said"),
    [
        ("consortium", {"kind": "grant_office", "person": "Ann Smith", "office": "auditor"}, "person: must be lower-case ASCII letters, digits and inner hyphens"),
        ("consortium", {"kind": "grant_office", "person": "ann"}, "office: is missing; it must be one of secretariat, treasurer"),
        ("consortium", {"kind": "grant_office", "person": "ann", "ofice": "auditor", "office": "auditor"}, "ofice: there is no such field; did you mean office?"),
        ("consortium", {"kind": "grant_throne"}, "there is no command 'grant_throne' here; did you mean grant_office?"),
        ("round", {"kind": "pledge", "member": "helio", "amount": 0}, "amount: must be an amount (like \"1,250,000.50 USD\") above 0"),
        ("round", {"kind": "open_round", "tranches": [{"name": "a", "fraction": 10_001}]}, "tranches.0.fraction: must be basis points (hundredths of a percent) above 0"),
        ("round", {"kind": "call_tranche", "tranche": 51}, "tranche: must be a whole number from 1 to 50"),
        ("round", {"kind": "call_tranche", "tranche": 1, "due": "soon"}, "due: must be a day, like 2026-11-02"),
        ("proposal", {"kind": "propose", "title": "x", "opens_at": "2026-11-02T09:00:00"}, "opens_at: must be an instant with an offset"),
        ("member", {"kind": "apply", "name": "x", "lei": "52990000000000000197", "country": "CH", "tier": "a", "representatives": [{"person": "a"}]}, "lei: the check digits"),
        ("run", {"kind": "plan_run", "contract": {"source": {"adapter": "fax", "location": "x"}}}, "contract.source.adapter: must be one of jsonl, checkpoint-table"),
        ("consortium", {"kind": "found", "clock": {"kind": "paced", "pace": 0}}, "clock.pace: must be a whole number from 1 to 10,000,000"),
        ("consortium", {"kind": "found", "clock": {"kind": "sundial"}}, "clock: must be a table with a kind: one of system, paced, moved"),
        ("consortium", {"kind": "found", "charter": {"tiers": {"Gold!": {}}}}, "charter.tiers.Gold!: its name must be lower-case ASCII letters"),
    ],
)  # fmt: skip
def test_a_field_is_told_with_its_place_and_its_form(process: str, body: dict[str, Any], said: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(CATALOG[process], canonical_command(body))
    every = told_of(process, body)
    assert any(each.startswith(said) for each in every), (str(refused.value), every)


def told_of(process: str, body: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with a command, also beyond the first few."""
    commands = {str(command.model_fields["kind"].default): command for command in messages(CATALOG[process].commands.core_schema)}
    if body["kind"] not in commands:
        with pytest.raises(Malformed) as refused:
            parse(CATALOG[process], canonical_command(dict(body)))
        return [str(refused.value)]
    with pytest.raises(ValidationError) as raised:
        commands[body["kind"]].model_validate_json(canonical_json(dict(body)))
    return in_words(typed(commands[body["kind"]]), raised.value.errors(include_url=False, include_input=False))


def test_a_charter_s_problems_are_told_so_too() -> None:
    charter = read_charter(example("charter.toml"))
    charter["seat"], charter["funding"]["share_cap"], charter["colour"] = "Switzerland", 11_000, "blue"
    del charter["membership"]["agreement"]
    told = problems_of(charter)
    assert [problem.partition(":")[0] for problem in told] == ["seat", "membership.agreement", "funding.share_cap", "colour"]
    assert not any(THEIRS.search(problem) for problem in told)


def test_every_text_with_a_pattern_says_its_form_in_words() -> None:
    without = [
        f"{command.__name__}.{name}"
        for process in CATALOG.values()
        for command in commands_of(process)
        for name, field in command.model_fields.items()
        if "that fits" in words_for(typed_field(field)) or any("that fits" in meaning for _, meaning in inside_of(command))
    ]
    assert without == []


def test_amounts_in_units_are_of_the_form_that_errors_name() -> None:
    for process, command in EVERY:
        amounts = {name: sample(typed_field(field), name) for name, field in command.model_fields.items() if name != "kind"}
        read = in_minor_units(
            command, {name: value for name, value in amounts.items() if isinstance(value, str) and value.endswith(" USD")}, "USD"
        )
        assert all(value == 125_000_050 for value in read.values()), (process, command)
