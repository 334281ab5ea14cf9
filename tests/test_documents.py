"""The documents that go out with a model: a card in Markdown, a bill of materials in CycloneDX 1.6.

The same facts give the same bytes, in every process; text of people brings no markup; the bill is valid by its schema.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from activities.artifacts import Artifact, Manifest, manifest_of
from activities.documents import Approval, Evaluation, Facts, Part, bill_of_materials, model_card


def manifest(files: int = 2) -> Manifest:
    return manifest_of(Artifact(path=f"weights/{number:05}.bin", size=1_000, sha256=f"{number:064x}") for number in range(files))


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "release": "atlas-1", "title": "Atlas 1", "producer": "The consortium", "summary": "A small model.", "licence": "Apache-2.0",
        "run": "atlas-1", "architecture": "Decoder with 7 layers.", "data": "Public text.", "tokens": 1_200_000_000,
        "intended_use": "Research.", "limitations": "English only.", "openness": "Class III - Open Model",
        "reasons": ("class II lacks Training code: it is not there",),
        "components": (Part(name="Model card", standing="open", licence="CC-BY-4.0"),),
        "evaluations": (Evaluation(task="arc_easy", metric="acc", value="0.7125", evidence="e" * 64),),
        "approvals": (Approval(person="eva", role="evaluation-reviewer"),),
        "manifest": manifest().digest, "signature": "5" * 64, "key": "c" * 64, "at": datetime(2026, 11, 2, 9, tzinfo=UTC),
    }  # fmt: skip
    return Facts(**known | changes)


def test_the_card_begins_with_metadata_that_a_hub_reads() -> None:
    card = model_card(facts(), manifest()).decode()
    _, metadata, text = card.split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "license": "apache-2.0", "model_name": "Atlas 1", "tags": ["model-openness-framework", "class-iii"],
    }  # fmt: skip
    assert "# Atlas 1" in text
    assert manifest().digest in text
    assert "| arc\\_easy | acc | 0.7125 |" in text
    assert "class II lacks Training code" in text


def test_a_licence_that_hubs_do_not_know_is_named_as_another() -> None:
    metadata = yaml.safe_load(model_card(facts(licence="BigScience-BLOOM-RAIL-1.0"), manifest()).decode().split("---\n")[1])
    assert (metadata["license"], metadata["license_name"]) == ("other", "bigscience-bloom-rail-1.0")


def test_text_of_people_brings_no_markup_into_the_card() -> None:
    evil = facts(
        title="<script>alert(1)</script>: x # [link](http://evil)", summary="| a |\n\n## Approved by everybody\n\n![x](http://evil)"
    )
    card = model_card(evil, manifest()).decode()
    _, metadata, text = card.split("---\n", 2)
    assert yaml.safe_load(metadata)["model_name"] == evil.title
    assert "<script>" not in text
    assert "](http" not in text
    assert "\n## Approved" not in text
    ruled = model_card(facts(summary="---\n\n=== x\n\n1. one\n\n- two"), manifest()).decode().splitlines()
    assert all(line in ruled for line in (r"\---", r"\=== x", r"1\. one", r"\- two"))


def test_many_files_are_listed_up_to_a_bound() -> None:
    assert "and 50 more, in the manifest" in model_card(facts(), manifest(150)).decode()


def test_the_bill_of_materials_is_valid_and_names_every_file_with_its_hash() -> None:
    body = bill_of_materials(facts(), manifest(3))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(body.decode()) is None
    bill = json.loads(body)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {each["name"]: each["hashes"][0]["content"] for each in bill["components"]} == {
        file.path: file.sha256 for file in manifest(3).files
    }
    model = bill["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [{"type": "acc", "value": "0.7125", "slice": "arc_easy"}]
    assert bill["metadata"]["timestamp"].startswith("2026-11-02T09:00:00")


@pytest.mark.parametrize("licence", ["unlicensed", "Llama 3 Community License"])
def test_a_licence_without_an_identifier_goes_into_the_bill_by_name(licence: str) -> None:
    bill = json.loads(bill_of_materials(facts(licence=licence), manifest()))
    assert bill["metadata"]["component"]["licenses"] == [{"license": {"name": licence}}]


def test_with_the_least_that_is_known_both_are_made() -> None:
    least = Facts(
        release="x", title="X", producer="Y", openness="unclassified", manifest="a" * 64, signature="b" * 64, key="c" * 64, at=facts().at
    )
    assert b"## Evaluation" not in model_card(least, manifest())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill_of_materials(least, manifest()).decode()) is None


def test_the_same_facts_give_the_same_bytes_in_every_process() -> None:
    program = (
        "import hashlib; from tests.test_documents import *;"
        "print(hashlib.sha256(model_card(facts(), manifest(30)) + bill_of_materials(facts(), manifest(30))).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
