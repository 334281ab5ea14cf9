"""The documents that go out with a model: a card in Markdown, a bill of materials in CycloneDX 1.6.

The same facts give the same bytes, in every process; text of people brings no markup; the bill is valid by its schema.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from activities.files import Unfit
from activities.release.artifacts import Artifact, Manifest, manifest_of
from activities.release.documents import bill_of_materials, model_card, require_card
from domain.release import steps


def manifest(files: int = 2) -> Manifest:
    return manifest_of(Artifact(path=f"weights/{number:05}.bin", size=1_000, sha256=f"{number:064x}") for number in range(files))


def facts(**changes: Any) -> steps.WriteDocuments:
    licence = changes.pop("licence", "Apache-2.0")
    known: dict[str, Any] = {
        "release": "atlas-1", "edition": 1, "stage": "public", "title": "Atlas 1", "text": "A small model.", "run": "atlas-1",
        "contract": "d" * 64, "location": "atlas-1", "manifest": manifest().digest, "files": 2, "bytes": 2_000, "signature": "5" * 64,
        "key": "c" * 64, "licences": {}, "components": [], "openness_class": 3,
        "verdicts": [
            {"component": "Model parameters (Final)", "standing": "conditional", "licence": licence},
            {"component": "Training code", "standing": "missing", "note": "it is not there"},
        ],
        "reasons": ["class II lacks Training code: it is not there"], "report": "f" * 64, "producer": "The consortium",
        "card": {
            "architecture": "Decoder with 7 layers.", "data": "Public text.", "intended_use": "Research.", "limitations": "English only.",
            "tokens": 1_200_000_000,
        },
        "evaluations": [{"evaluation": "arc-easy", "evidence": "e" * 64, "results": [{"metric": "acc", "value": "0.7125"}]}],
        "approvals": [{"person": "eva", "office": "evaluation-reviewer"}],
        "findings": [], "missing": [], "supersedes": None, "at": "2026-11-02T09:00:00Z",
    }  # fmt: skip
    return steps.WriteDocuments.model_validate_json(json.dumps(known | changes))


def card_of(told: steps.WriteDocuments, files: int = 2) -> str:
    return model_card(told, manifest(files)).decode()


def bill_of(told: steps.WriteDocuments, files: int = 2) -> bytes:
    return bill_of_materials(told, manifest(files))


def test_the_card_begins_with_metadata_that_a_hub_reads() -> None:
    card = card_of(facts())
    _, metadata, text = card.split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "license": "apache-2.0", "model_name": "Atlas 1", "tags": ["model-openness-framework", "class-iii"],
    }  # fmt: skip
    assert "# Atlas 1" in text
    assert manifest().digest in text
    assert f"| arc-easy | acc | 0.7125 | {'e' * 64} |" in text
    assert "class II lacks Training code" in text


def test_a_licence_that_hubs_do_not_know_is_named_as_another() -> None:
    metadata = yaml.safe_load(card_of(facts(licence="BigScience-BLOOM-RAIL-1.0")).split("---\n")[1])
    assert (metadata["license"], metadata["license_name"]) == ("other", "bigscience-bloom-rail-1.0")


@pytest.mark.parametrize(
    ("told", "instead", "why"),
    [
        ("license: apache-2.0", "license: [", "no hub reads its metadata"),
        ("license: apache-2.0", "model-index: [{name: x}]", "no hub reads its metadata"),
        ("license: apache-2.0\n", "", "its metadata lacks license"),
        ("license: apache-2.0", "license: other", "names a licence that no hub knows"),
        ("license: apache-2.0", "license: nobodys-1.0", "names a licence that no hub knows"),
        ("---\n", "", "its metadata lacks license, model_name"),
        ("## Verification", "## Trust", "its sections are Model, Openness, Files, not"),
        ("## Files", "## Verification", "its sections are Model, Openness, Verification, Verification, not"),
    ],
)
def test_a_card_that_a_hub_would_not_take_or_that_lacks_a_section_is_not_kept(told: str, instead: str, why: str) -> None:
    card = card_of(facts())
    require_card(card)
    with pytest.raises(Unfit, match=why):
        require_card(card.replace(told, instead))


def test_text_of_people_brings_no_markup_into_the_card() -> None:
    evil = facts(title="<script>alert(1)</script>: x # [link](http://evil)", text="| a |\n\n## Approved by everybody\n\n![x](http://evil)")
    card = card_of(evil)
    _, metadata, text = card.split("---\n", 2)
    assert yaml.safe_load(metadata)["model_name"] == evil.title
    assert "<script>" not in text
    assert "](http" not in text
    assert "\n## Approved" not in text
    ruled = card_of(facts(text="---\n\n=== x\n\n1. one\n\n- two")).splitlines()
    assert all(line in ruled for line in (r"\---", r"\=== x", r"1\. one", r"\- two"))


def test_the_bill_names_components_that_lie_elsewhere_and_the_licence_of_each_file() -> None:
    told = facts(
        components=[
            {"name": "Datasets", "place": "https://data.example/corpus", "licence": "CC-BY-4.0"},
            {"name": "Model parameters (Final)", "place": "weights"},
        ],
        verdicts=[
            {"component": "Datasets", "standing": "open", "licence": "CC-BY-4.0", "sha256": "a" * 64},
            {"component": "Model parameters (Final)", "standing": "conditional", "licence": "Apache-2.0", "sha256": "b" * 64},
        ],
    )  # fmt: skip
    parts = {each["name"]: each for each in json.loads(bill_of(told))["components"]}
    data = parts["Datasets"]
    assert (data["type"], data["hashes"], data["externalReferences"][0]["url"]) == (
        "data", [{"alg": "SHA-256", "content": "a" * 64}], "https://data.example/corpus",
    )  # fmt: skip
    assert data["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert parts["weights/00000.bin"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]


def test_card_and_bill_tell_what_of_the_run_is_on_the_log() -> None:
    training = {
        "checkpoints_retained": False, "tokens": 2_000_000, "checkpoints": 40, "missing": 3,
        "accepted": [
            {"milestone": "half", "evidence": "a" * 64, "measured": [{"task": "arc_easy", "metric": "acc,none", "value": 712_500}]},
            {"milestone": "end", "evidence": "b" * 64},
        ],
    }  # fmt: skip
    told = facts(training=training)
    card = card_of(told)
    assert "| Tokens seen in training | 2,000,000 |" in card
    assert "3 of the checkpoints that the contract retains are missing, of 40 told of." in card
    assert f"0.712500 | {'a' * 64} |" in card
    assert f"| end |  |  |  | {'b' * 64} |" in card
    properties = {each["name"]: each["value"] for each in json.loads(bill_of(told))["metadata"]["component"]["properties"]}
    assert properties["consortium:tokens"] == "2000000"
    assert properties["consortium:milestone:half"] == f"{'a' * 64} arc_easy acc,none 0.712500"
    whole = card_of(facts(training={"checkpoints_retained": True}))
    assert "Every checkpoint that the contract retains is there." in whole
    assert "| Tokens seen in training | 1,200,000,000 |" in whole


def test_what_was_published_unclassified_has_documents_too() -> None:
    told = facts(report=None, verdicts=[], reasons=[], openness_class=0, missing=["a classification of its components just now"])
    assert "a classification of its components just now" in card_of(told)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill_of(told).decode()) is None


def test_many_files_are_listed_up_to_a_bound() -> None:
    assert "and 50 more, in the manifest" in card_of(facts(), 150)


def test_the_bill_of_materials_is_valid_and_names_every_file_with_its_hash() -> None:
    body = bill_of(facts(), 3)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(body.decode()) is None
    bill = json.loads(body)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {each["name"]: each["hashes"][0]["content"] for each in bill["components"]} == {
        file.path: file.sha256 for file in manifest(3).files
    }
    model = bill["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [{"type": "acc", "value": "0.7125", "slice": "arc-easy"}]
    assert bill["metadata"]["timestamp"].startswith("2026-11-02T09:00:00")


@pytest.mark.parametrize("licence", ["unlicensed", "Llama 3 Community License"])
def test_a_licence_without_an_identifier_goes_into_the_bill_by_name(licence: str) -> None:
    bill = json.loads(bill_of(facts(licence=licence)))
    assert bill["metadata"]["component"]["licenses"] == [{"license": {"name": licence}}]


def test_with_the_least_that_is_known_both_are_made() -> None:
    least = facts(text="", verdicts=[], reasons=[], evaluations=[], approvals=[], card={}, openness_class=0)
    assert "## Evaluation" not in card_of(least)
    assert "A model of The consortium" in card_of(least)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill_of(least).decode()) is None


def test_what_was_not_reviewed_and_what_is_open_is_said_in_both() -> None:
    told = facts(findings=["leak-1"], missing=["no licence review"])
    assert "## Open safety findings\n\n- leak-1" in card_of(told)
    assert "## Not reviewed\n\n- no licence review" in card_of(told)
    limits = json.loads(bill_of(told))["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"]
    assert limits == ["English only.", "open safety finding: leak-1", "not reviewed: no licence review"]


def test_the_same_facts_give_the_same_bytes_in_every_process() -> None:
    program = (
        "import hashlib; from tests.test_documents import *;"
        "print(hashlib.sha256(card_of(facts(), 30).encode() + bill_of(facts(), 30)).hexdigest())"
    )
    here = hashlib.sha256(card_of(facts(), 30).encode() + bill_of(facts(), 30)).hexdigest()
    told = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{here}\n"}
