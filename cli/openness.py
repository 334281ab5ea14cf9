"""How open a model is: descriptions in the Model Openness Framework's own YAML, judged as releases are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from activities.files import Unfit
from activities.release.openness import LIMIT, Openness, classify, described, framework
from cli.failures import BadInput, of_file
from cli.output import say, say_json, table

Licences = Annotated[Path | None, Parameter(help="A complete list of licences in SPDX's format.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print JSON.")]


def openness(*files: Path, licences: Licences = None, json: Json = False) -> None:
    """Tell the class of the models that these YAML files of the Model Openness Framework describe, with the reasons."""
    if not files:
        raise BadInput("no description is named", "name one or more YAML files of the framework")
    try:
        rules = framework(licences=licences)
        judged = [(path, described(_body(path))) for path in files]
    except OSError as error:
        raise of_file(error, files[0], "read", "name the file of a description") from error
    except Unfit as unfit:
        raise BadInput(str(unfit), "see https://isitopen.ai for the format") from unfit
    found = [(path, model.name, classify(model, rules)) for path, model in judged]
    if json:
        say_json([_row(path, name, outcome) for path, name, outcome in found])
        return
    table(("model", "class", "reasons"), [(name, outcome.label, "; ".join(outcome.reasons)) for _, name, outcome in found])
    say(f"Judged by the framework's data {rules.digest[:16]}…")


def _body(path: Path) -> bytes:
    """A description's bytes, no more than are looked at."""
    with path.open("rb") as file:
        return file.read(LIMIT + 1)


def _row(path: Path, name: str, outcome: Openness) -> dict[str, Any]:
    return {
        "file": str(path), "model": name, "class": outcome.openness_class, "label": outcome.label,
        "conditional": [each.component.name for each in outcome.conditional], "reasons": list(outcome.reasons),
    }  # fmt: skip
