"""What a release is released under: its stages, its components, their licences, and what evaluations must reach.

A release is the files of a model, listed in a manifest that is named by its SHA-256. What is large (manifest, signature, reports,
documents) lies in files named by their digests; only digests and short summaries are here. Openness classes are those of the Model
Openness Framework: 3 is an open model, 2 open tooling, 1 open science, 0 none of them. A lower number other than 0 asks for more.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from domain.evaluation import Millionths, TaskName
from domain.forms import Form
from domain.kernel import Count, Message, Name, Prose, Slug

MOST_COMPONENTS: Final = 40
MOST_PERSONS: Final = 100
MOST_PUBLISHERS: Final = 5

FRAMEWORK: Final = frozenset(
    (
        "Model architecture",
        "Data preprocessing code",
        "Training code",
        "Inference code",
        "Evaluation code",
        "Supporting libraries and tools",
        "Model parameters (Final)",
        "Model parameters (Intermediate)",
        "Datasets",
        "Evaluation data",
        "Model metadata",
        "Sample model outputs",
        "Model card",
        "Data card",
        "Technical report",
        "Research paper",
        "Evaluation results",
    )
)
"""The components of the Model Openness Framework, by its names for them."""

PUBLISHERS: Final = frozenset(("directory", "s3", "hub"))
"""The publishers that a worker can have, by the names that it knows them under."""

_PLAIN_PATH: Final = re.compile(r"[^\x00-\x1f\\]+")


def _inside(path: str) -> str:
    parts = path.split("/")
    if _PLAIN_PATH.fullmatch(path) is None or any(part in {"", ".", ".."} or part != part.strip() for part in parts):
        raise ValueError("a relative path of plain names, without `..`, is wanted")
    return path


def _place(text: str) -> str:
    if text.startswith("https://"):
        if re.fullmatch(r"https://[!-~]{3,1000}", text) is None:
            raise ValueError("an https address in printable ASCII without spaces is wanted")
        return text
    return _inside(text)


InnerPath = Annotated[
    str, Field(min_length=1, max_length=500), AfterValidator(_inside), Form("a relative path of plain names, without `..`", "atlas-1/model")
]
"""A relative path with `/` between names, which stays inside its folder."""

Place = Annotated[
    str,
    Field(min_length=1, max_length=1_000),
    AfterValidator(_place),
    Form("a path among the release's files, or an https address", "LICENSE"),
]
"""Where a component is: a path among the release's files, or an https address."""

Licence = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+ -]{0,99}$"), Form("a licence by its SPDX identifier, or by its name", "Apache-2.0")
]
"""An SPDX licence identifier, or the name of one that has none."""

OpennessClass = Literal[0, 1, 2, 3]

Shown = Annotated[str, Field(max_length=300), Form("text", "weights/00000.bin")]
"""Short text of an activity: a path or a reason, safe to show."""

Key = Slug
"""An id within the release."""

Number = Annotated[int, Field(ge=1)]


class Stage(StrEnum):
    """The stages that a release is walked through, in this order."""

    INTERNAL = "internal"
    MEMBERS = "members"
    """Early access: the persons of members' leases."""
    GATED = "gated"
    """Announced; the files are still for the persons of leases."""
    PUBLIC = "public"


STAGES: Final = tuple(Stage)

Audience = Literal["private", "gated", "public"]
"""Who can read what is published: the consortium's own machines, the persons of open leases, everybody."""

AUDIENCE: Final[dict[Stage, Audience]] = {
    Stage.INTERNAL: "private",
    Stage.MEMBERS: "gated",
    Stage.GATED: "gated",
    Stage.PUBLIC: "public",
}


class Component(Message):
    """One component of the Model Openness Framework, as the release names it."""

    name: Name
    """As the framework calls it, for example `Model parameters (Final)`."""
    place: Place
    licence: Licence | None = None
    """Its own licence; without one it has that of its kind, or of the whole."""
    licence_place: Place | None = None
    """Where the text of that licence is."""


class LicenceTerms(Message):
    """The licences of whole groups."""

    distribution: Licence | None = None
    code: Licence | None = None
    data: Licence | None = None
    document: Licence | None = None
    place: Place | None = None
    """Where the text of the distribution's licence is."""
    code_place: Place | None = None
    data_place: Place | None = None
    document_place: Place | None = None
    """Where the texts of the kinds' licences are."""

    def of(self, kind: Literal["code", "data", "document"]) -> str | None:
        """The licence of components of this kind, where they have one as a group."""
        return {"code": self.code, "data": self.data, "document": self.document}[kind]

    def place_of(self, kind: Literal["code", "data", "document"]) -> str | None:
        """Where the text of that licence is."""
        return {"code": self.code_place, "data": self.data_place, "document": self.document_place}[kind]


class Threshold(Message):
    """What a score of an evaluation must reach, named before it is read."""

    evaluation: Slug
    task: TaskName
    metric: TaskName
    """As the harness writes it, for example `acc,none`."""
    at_least: Millionths


class CardText(Message):
    """What people say about the model on its card."""

    architecture: Prose = ""
    data: Prose = ""
    intended_use: Prose = ""
    limitations: Prose = ""
    tokens: Count | None = None
    """How many it saw in training."""


class Terms(Message):
    """What is released, under what, and what is claimed of it."""

    title: Name
    text: Prose = ""
    run: Slug
    """The run that made it."""
    location: InnerPath
    """The folder of the files, under the workers' folder of artifacts."""
    claim: OpennessClass
    """The openness class that is claimed; the class computed from the components must reach it."""
    licences: LicenceTerms = LicenceTerms()
    components: Annotated[tuple[Component, ...], Field(min_length=1, max_length=MOST_COMPONENTS)]
    evaluations: Annotated[tuple[Slug, ...], Field(max_length=30)] = ()
    """The evaluations that must have been passed, besides those of the charter."""
    thresholds: Annotated[tuple[Threshold, ...], Field(max_length=60)] = ()
    """What each of them, and of the charter's, is judged by."""
    publishers: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=MOST_PUBLISHERS)] = ("directory",)
    """By the names that the workers know them under."""
    supersedes: Slug | None = None
    """The public release that this one takes the place of."""
    card: CardText = CardText()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Terms:
        names = [component.name for component in self.components]
        if len(set(names)) != len(names):
            raise ValueError("a component is named twice; name it once")
        if len(set(self.publishers)) != len(self.publishers) or len(set(self.evaluations)) != len(self.evaluations):
            raise ValueError("a publisher or an evaluation is named twice; name it once")
        return self
