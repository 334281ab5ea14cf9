"""The openness class of a model, by the Model Openness Framework's published data.

| class | asks for, each under an open licence |
| --- | --- |
| III | architecture, final parameters, evaluation results, model card, data card, technical report (or an open research paper) |
| II | class III, and training, inference and evaluation code, evaluation data |
| I | class II, and datasets, preprocessing code, intermediate parameters, research paper |

A licence falls back from the component to its kind to the distribution; an open one made for another kind passes on condition.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from activities.files import Unfit
from activities.release.openness import DATA, Model, Standing, classify, described, framework, safe_yaml

FIXTURES = Path(__file__).parent / "data" / "openness"
SHARED = Path(os.environ.get("CONSORTIUM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / "openness"

THIRD = ("Model architecture", "Model parameters (Final)", "Evaluation results", "Model card", "Data card", "Technical report")
SECOND = ("Training code", "Inference code", "Evaluation code", "Evaluation data")
FIRST = ("Datasets", "Data preprocessing code", "Model parameters (Intermediate)", "Research paper")


def model(*names: str, distribution: str = "OpenMDW-1.0", **licences: str) -> Model:
    """A model with these components, all under the distribution's licence."""
    terms = {"distribution": {"name": distribution}} | {kind: {"name": name} for kind, name in licences.items()}
    return Model.model_validate({"name": "Made up", "license": terms, "components": [{"name": name} for name in names]})


def with_licence(made: Model, component: str, licence: str) -> Model:
    parts = tuple(part.model_copy(update={"license": licence}) if part.name == component else part for part in made.components)
    return made.model_copy(update={"components": parts})


def reached(made: Model) -> int:
    return classify(made, framework()).openness_class


def test_the_framework_has_seventeen_components_of_which_fourteen_are_required() -> None:
    assert len(framework().components) == 17
    assert [len(framework().asked(each)) for each in (3, 2, 1)] == [6, 10, 14]


def test_each_class_asks_for_its_components_and_those_below() -> None:
    assert reached(model()) == 0
    assert reached(model(*THIRD)) == 3
    assert reached(model(*THIRD, *SECOND)) == 2
    assert reached(model(*THIRD, *SECOND, *FIRST)) == 1
    assert reached(model(*SECOND, *FIRST)) == 0


@pytest.mark.parametrize("component", [*THIRD, *SECOND, *FIRST])
def test_without_one_component_its_class_is_not_reached_and_the_reason_names_it(component: str) -> None:
    rest = [name for name in (*THIRD, *SECOND, *FIRST) if name != component]
    openness = classify(model(*rest), framework())
    if component == "Technical report":
        assert openness.openness_class == 1
        assert openness.paper_stands_in
    else:
        assert (
            openness.openness_class == {THIRD: 0, SECOND: 3, FIRST: 2}[next(each for each in (THIRD, SECOND, FIRST) if component in each)]
        )
        assert any(component in reason and "not there" in reason for reason in openness.reasons)


def test_an_open_paper_stands_in_for_the_report_and_a_closed_one_does_not() -> None:
    rest = [name for name in THIRD if name != "Technical report"]
    assert reached(model(*rest, "Research paper")) == 3
    assert reached(with_licence(model(*rest, "Research paper"), "Research paper", "unlicensed")) == 0
    assert reached(with_licence(model(*THIRD, "Research paper"), "Technical report", "All rights reserved")) == 3


def test_a_licence_falls_back_from_the_component_to_its_kind_to_the_distribution() -> None:
    assert reached(model(*THIRD, distribution="Llama 3 Community License")) == 0
    by_kind = {"code": "MIT", "data": "CDLA-Permissive-2.0", "document": "CC-BY-4.0"}
    assert reached(model(*THIRD, distribution="Llama 3 Community License", **by_kind)) == 3
    assert reached(with_licence(model(*THIRD, **by_kind), "Model parameters (Final)", "Llama 3 Community License")) == 0


def test_saying_unlicensed_takes_the_licence_away_and_does_not_fall_back() -> None:
    for said in ("unlicensed", ""):
        openness = classify(with_licence(model(*THIRD), "Model card", said), framework())
        assert openness.openness_class == 0
        assert openness.reasons[0] == "class III lacks Model card: it has no licence"


def test_an_open_licence_made_for_another_kind_passes_on_condition() -> None:
    openness = classify(model(*THIRD, distribution="MIT"), framework())
    assert openness.openness_class == 3
    assert {each.component.name for each in openness.conditional} == set(THIRD) - {"Model architecture"}
    assert "Model card should have a licence made for document, not MIT" in openness.reasons


@pytest.mark.parametrize(
    ("licence", "standing"),
    [
        ("CC-BY-4.0", Standing.CONDITIONAL), ("CC-BY-SA-3.0-AT", Standing.CONDITIONAL), ("CC0-1.0", Standing.OPEN),
        ("CC-BY-NC-4.0", Standing.CLOSED), ("CC-BY-ND-4.0", Standing.CLOSED), ("CC-BY-NC-SA-4.0", Standing.CLOSED),
        ("BigScience-BLOOM-RAIL-1.0", Standing.CLOSED), ("apache-2.0 ", Standing.CLOSED),
    ],
)  # fmt: skip
def test_whether_a_licence_is_open_for_data(licence: str, standing: Standing) -> None:
    openness = classify(with_licence(model("Datasets"), "Datasets", licence), framework())
    assert next(each.standing for each in openness.judged if each.component.name == "Datasets") is standing


def test_optional_components_decide_nothing() -> None:
    made = with_licence(model(*THIRD, "Sample model outputs"), "Sample model outputs", "All rights reserved")
    assert reached(made) == 3


def test_a_complete_list_of_licences_can_be_configured(tmp_path: Path) -> None:
    listed = tmp_path / "licenses.json"
    listed.write_text(
        json.dumps({"licenses": [{"licenseId": "Rare-1.0", "isOsiApproved": True}, {"licenseId": "Shut-1.0", "isOsiApproved": False}]})
    )
    judged = framework(DATA / "mof.settings.yml", listed)
    assert classify(model(*THIRD, distribution="Rare-1.0"), judged).openness_class == 3
    assert classify(model(*THIRD, distribution="Shut-1.0"), judged).openness_class == 0
    assert classify(model(*THIRD, distribution="MIT"), judged).openness_class == 3
    listed.write_text("[]")
    with pytest.raises(Unfit, match="SPDX"):
        framework.__wrapped__(DATA / "mof.settings.yml", listed)


@pytest.mark.parametrize("licence", ["EUPL-1.2", "GPL-2.0+", "OFL-1.1", "AFL-2.0", "Sleepycat", "CECILL-C", "OSL-2.1"])
def test_every_licence_that_osi_approves_or_fsf_calls_free_is_open(licence: str) -> None:
    assert classify(model(*THIRD, distribution=licence), framework()).openness_class == 3


@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "JSON", "BUSL-1.1", "SSPL-1.0", "RAIL-M", ""])
def test_other_licences_are_not(licence: str) -> None:
    assert classify(model(*THIRD, distribution=licence), framework()).openness_class == 0


def test_a_group_that_is_named_and_left_empty_says_nothing() -> None:
    made = described(b"framework: {name: Model Openness Framework}\nrelease: {name: x, license: {distribution: , code: {name: MIT}}}\n")
    assert (made.license.distribution.name, made.license.code.name) == (None, "MIT")


def test_a_real_description_is_classified() -> None:
    assert classify(described((FIXTURES / "olmo.yml").read_bytes()), framework()).openness_class == 1
    closed = classify(described((FIXTURES / "closed-parameters.yml").read_bytes()), framework())
    assert closed.openness_class == 0
    assert "class III lacks Model parameters (Final): DeepSeek License Agreement is not an open licence" in closed.reasons


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Amber", 1), ("OLMo-7B", 1), ("Pythia-12B", 1), ("BLOOM", 0), ("DeepSeek-V3", 0), ("Llama-3-70B", 0),
        ("Mistral-7B-v0.1", 0), ("Nemotron-4-340B-Base", 0), ("Qwen2.5-1.5B-Instruct", 0),
    ],
)  # fmt: skip
def test_nine_real_models_come_out_as_the_framework_has_them(name: str, expected: int) -> None:
    openness = classify(described((SHARED / "models" / f"{name}.yml").read_bytes()), framework())
    assert openness.openness_class == expected
    assert openness.reasons


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not here")
def test_the_framework_s_data_is_shipped_unchanged() -> None:
    assert (DATA / "mof.settings.yml").read_bytes().endswith((SHARED / "mof.settings.yml").read_bytes())


HEAD = "framework: {name: Model Openness Framework}\nrelease: {name: x, components: "


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &a [1]\nb: *a\n", "aliases"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "aliases"),
        ("[" * 5_000, "deeper"),
        ("a: 1\na: 2\n", "twice"),
        ("!!python/object/apply:os.system [id]", "not readable"),
        ("a: [", "not readable"),
        ("\x00", "not readable"),
        ("9" * 5_000, "not readable"),
        ("- x\n" * 30_000, "values"),
        ("x" * 300_000, "larger"),
        ("[]", "Model Openness Framework"),
        ("framework: {name: Other}\nrelease: {name: x}\n", "Model Openness Framework"),
        (HEAD + "[{name: [deep]}]}", "Model Openness Framework"),
    ],
)
def test_descriptions_that_are_none_are_refused(text: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        described(text.encode())


def test_components_that_are_unknown_or_named_twice_are_refused_by_name() -> None:
    for listed, why in (
        ("[{name: Secret sauce}]", "Secret sauce: not a component"),
        ("[{name: Datasets}, {name: Datasets}]", "Datasets: .*twice"),
    ):
        with pytest.raises(Unfit, match=why):
            classify(described(f"{HEAD}{listed}}}".encode()), framework())


def test_numbers_and_dates_that_yaml_makes_of_names_are_names_again() -> None:
    made = described(b"framework: {name: Model Openness Framework}\nrelease: {name: 7, producer: 2024-10-03, license: , components: }\n")
    assert (made.name, made.producer) == ("7", "2024-10-03")
    assert safe_yaml(b"a: 1") == {"a": 1}
