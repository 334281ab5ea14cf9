"""How open a model is: the classes III, II and I of the Model Openness Framework, by its published data.

A class asks for its components and those of the classes below it, each under an open licence. The licence of a component is
its own, else that of its kind (code, data, document), else that of the whole distribution. An open licence made for another
kind passes on condition. A research paper that is open stands in for the technical report. Optional components decide nothing.

The data is `data/mof.settings.yml`, the framework's own file, `data/licences.toml` and `data/spdx.toml`; model descriptions are the
framework's YAML.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from activities.bounded import json_value, toml_table
from activities.files import Unfit
from activities.missing import explained
from activities.outside import passes
from domain.forms import in_words, typed

LIMIT: Final = 256 * 1024
"""The largest description, in bytes; the framework's own have 3 KB."""
DEPTH: Final = 12
NODES: Final = 20_000
LICENCES_LIMIT: Final = 8 * 1024 * 1024

DATA: Final = Path(__file__).with_name("data")
UNLICENSED: Final = "unlicensed"
PAPER: Final = "Research paper"
REPORT: Final = "Technical report"
PARAMETERS: Final = "Model parameters (Final)"

Class = Literal[0, 1, 2, 3]
"""3 is an open model, 2 open tooling, 1 open science; 0 is none of them."""

LABELS: Final[Mapping[int, str]] = {
    0: "unclassified", 3: "Class III - Open Model", 2: "Class II - Open Tooling Model", 1: "Class I - Open Science Model",
}  # fmt: skip


class Kind(StrEnum):
    """What a component is made of; each kind has licences made for it."""

    CODE = "code"
    DATA = "data"
    DOCUMENT = "document"


class Standing(StrEnum):
    """How a component stands."""

    OPEN = "open"
    CONDITIONAL = "conditional"
    """Open, under a licence made for another kind."""
    CLOSED = "closed"
    UNLICENSED = "unlicensed"
    MISSING = "missing"


_ATTRIBUTION: Final = re.compile(r"CC-BY(-SA)?-[1-4]\.[0-9](-[A-Z]{2,3})?")
"""Attribution and Attribution-ShareAlike meet the Open Definition in every version and port; the others of the family do not."""

PASSING: Final = frozenset((Standing.OPEN, Standing.CONDITIONAL))


@dataclass(frozen=True, slots=True)
class Component:
    """One of the framework's components."""

    name: str
    kind: Kind
    openness_class: Class
    """The lowest class that asks for it."""
    required: bool


@dataclass(frozen=True, slots=True)
class Licences:
    """Which licences are open, and which are made for a kind; by SPDX identifier."""

    open: frozenset[str]
    suits: Mapping[Kind, frozenset[str]]

    def standing(self, licence: str, kind: Kind) -> Standing:
        """How a component of this kind stands under this licence."""
        if licence == UNLICENSED:
            return Standing.UNLICENSED
        if licence not in self.open and not _ATTRIBUTION.fullmatch(licence):
            return Standing.CLOSED
        return Standing.OPEN if licence in self.suits[kind] else Standing.CONDITIONAL


@dataclass(frozen=True, slots=True)
class Framework:
    """The framework's published data."""

    components: tuple[Component, ...]
    licences: Licences
    digest: str = ""
    """SHA-256 over the digests of its files."""

    def component(self, name: str) -> Component | None:
        """The component of this name."""
        return next((each for each in self.components if each.name == name), None)

    def asked(self, openness_class: int) -> Sequence[Component]:
        """What a class asks for, with the classes below it, in the framework's order."""
        return [each for each in self.components if each.required and each.openness_class >= openness_class]


# ---------------------------------------------------------------- the description of a model


def _text(value: object) -> object:
    """YAML reads some texts as numbers and dates."""
    return str(value) if isinstance(value, int | float | date) and not isinstance(value, bool) else value


Text = Annotated[str, Field(max_length=2_000), BeforeValidator(_text)]


class Lenient(BaseModel):
    """Foreign data: what is not known is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Licence(Lenient):
    """A licence for many components, and where its text is."""

    name: Text | None = None
    path: Text | None = None


Group = Annotated[Licence, BeforeValidator(lambda value: value or {})]
"""What is named and left empty says nothing."""


class Part(Lenient):
    """A component that is there. Without a licence it has that of its kind or of the distribution."""

    name: Text
    license: Text | None = None
    license_path: Text | None = None
    component_path: Text | None = None


class Terms(Lenient):
    """The licences of whole groups."""

    distribution: Group = Licence()
    code: Group = Licence()
    data: Group = Licence()
    document: Group = Licence()

    def fallback(self, kind: Kind) -> str:
        """The licence of a component that has none of its own."""
        own = {Kind.CODE: self.code, Kind.DATA: self.data, Kind.DOCUMENT: self.document}[kind]
        return own.name or self.distribution.name or UNLICENSED


class Model(Lenient):
    """A model as far as its openness goes."""

    name: Annotated[Text, Field(min_length=1)]
    producer: Text = ""
    license: Annotated[Terms, BeforeValidator(lambda value: value or {})] = Terms()
    components: Annotated[tuple[Part, ...], Field(max_length=100), BeforeValidator(lambda value: value or ())] = ()


class _Named(Lenient):
    name: Literal["Model Openness Framework"]


class _Description(Lenient):
    framework: _Named
    release: Model


# ---------------------------------------------------------------- judging


@dataclass(frozen=True, slots=True)
class Judged:
    """A component, its licence and how it stands."""

    component: Component
    standing: Standing
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Openness:
    """What came out: the class, and every component of the framework with its standing, in the framework's order."""

    openness_class: Class
    judged: tuple[Judged, ...]
    lacking: Mapping[int, tuple[Judged, ...]]
    """What each class lacks; nothing for a class that is reached."""
    paper_stands_in: bool = False
    """Whether the research paper counts in place of the technical report."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Why a component counts as missing or unlicensed though it was named, by its name."""

    @property
    def label(self) -> str:
        """The class as the framework calls it."""
        return LABELS[self.openness_class]

    @property
    def conditional(self) -> tuple[Judged, ...]:
        """What is open under a licence made for another kind."""
        return tuple(each for each in self.judged if each.standing is Standing.CONDITIONAL)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is this class: what the next one lacks, then the conditions; one sentence each, at most 200 characters."""
        wanted = self.openness_class - 1 if self.openness_class else 3
        told = [f"class {'I' * wanted} lacks {self._told(each)}" for each in self.lacking.get(wanted, ())]
        if self.paper_stands_in:
            told.append("the research paper stands in for the technical report")
        told += [
            f"{each.component.name} should have a licence made for {each.component.kind}, not {each.licence}" for each in self.conditional
        ]
        return tuple(reason[:200] for reason in told)

    def _told(self, lacking: Judged) -> str:
        name = lacking.component.name
        if name in self.notes:
            return f"{name}: {self.notes[name]}"
        match lacking.standing:
            case Standing.MISSING:
                return f"{name}: it is not there"
            case Standing.UNLICENSED:
                return f"{name}: it has no licence"
            case Standing.CLOSED | Standing.OPEN | Standing.CONDITIONAL:
                return f"{name}: {lacking.licence} is not an open licence"


def classify(model: Model, framework: Framework, notes: Mapping[str, str] | None = None) -> Openness:
    """The class that a model reaches, with the reasons. Raises `Unfit` for components that are unknown or named twice."""
    parts: dict[str, Part] = {}
    for part in model.components:
        if framework.component(part.name) is None:
            raise Unfit(
                part.name, "not a component of the Model Openness Framework; its names are in activities/release/data/mof.settings.yml"
            )
        if part.name in parts:
            raise Unfit(part.name, "this component is named twice; name it once")
        parts[part.name] = part
    judged = {each.name: _judged(each, parts.get(each.name), model.license, framework.licences) for each in framework.components}
    paper, report = judged.get(PAPER), judged.get(REPORT)
    stands_in = paper is not None and report is not None and paper.standing in PASSING and report.standing not in PASSING
    lacking = {
        wanted: tuple(
            judged[each.name]
            for each in framework.asked(wanted)
            if judged[each.name].standing not in PASSING and not (stands_in and each.name == REPORT)
        )
        for wanted in (3, 2, 1)
    }
    reached: Class = 0 if lacking[3] else 3 if lacking[2] else 2 if lacking[1] else 1
    return Openness(reached, tuple(judged.values()), lacking, stands_in, notes or {})


def _judged(component: Component, part: Part | None, terms: Terms, licences: Licences) -> Judged:
    if part is None:
        return Judged(component, Standing.MISSING)
    licence = (part.license or UNLICENSED) if part.license is not None else terms.fallback(component.kind)
    return Judged(component, licences.standing(licence, component.kind), licence)


# ---------------------------------------------------------------- reading


def described(body: bytes) -> Model:
    """The model that a description in the framework's YAML describes. Raises `Unfit`."""
    try:
        return _Description.model_validate(safe_yaml(body)).release
    except ValidationError as error:
        wrong, *_ = in_words(typed(_Description), error.errors(include_url=False, include_input=False))
        raise Unfit("description", f"{wrong}; this is no description of the Model Openness Framework") from error


@cache
def framework(components: Path = DATA / "mof.settings.yml", licences: Path | None = None) -> Framework:
    """The framework's data: its components, and the open licences, with those of a list in SPDX's own format. Raises `Unfit`."""
    bodies = [_bounded(components, LIMIT), (DATA / "licences.toml").read_bytes(), (DATA / "spdx.toml").read_bytes()]
    known = _own_licences(*bodies[1:])
    if licences is not None:
        bodies.append(_bounded(licences, LICENCES_LIMIT))
        known = _with_spdx(known, licences.name, bodies[-1])
    digest = hashlib.sha256("".join(hashlib.sha256(body).hexdigest() for body in bodies).encode()).hexdigest()
    return Framework(_components(bodies[0]), known, digest)


def _components(body: bytes) -> tuple[Component, ...]:
    try:
        return tuple(
            Component(str(each["name"]), Kind(each["content_type"]), _class(each["class"]), bool(each["required"]))
            for each in safe_yaml(body)["components"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unfit("mof.settings.yml", "not the framework's list of components") from error


def _class(value: object) -> Class:
    match value:
        case 1 | 2 | 3:
            return value
        case _:
            raise ValueError(value)


def _own_licences(kinds: bytes, spdx: bytes) -> Licences:
    table, listed = toml_table(kinds), toml_table(spdx)
    suits = {kind: frozenset(table[kind]["suits"]) for kind in Kind}
    return Licences(frozenset[str]().union(*suits.values(), *(table[kind]["open"] for kind in Kind), *listed.values()), suits)


def _with_spdx(known: Licences, name: str, body: bytes) -> Licences:
    """Our licences and those that SPDX's list calls approved (OSI) or free (FSF)."""
    try:
        listed = json_value(body)["licenses"]
        free = {str(each["licenseId"]) for each in listed if each.get("isOsiApproved") is True or each.get("isFsfLibre") is True}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unfit(name, "not a list of licences in SPDX's format (licenses.json)") from error
    return Licences(known.open | free, known.suits)


def _bounded(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except OSError as error:
        if passes(error):
            raise
        raise Unfit(path.name, f"cannot be read ({error.strerror})") from error
    if len(body) > limit:
        raise Unfit(path.name, f"larger than {limit} bytes")
    return body


def safe_yaml(body: bytes) -> Any:
    """The value of a small YAML document: no aliases, no foreign types, no key twice, bounded in size, depth and nodes. Raises `Unfit`."""
    if len(body) > LIMIT:
        raise Unfit("description", f"larger than {LIMIT} bytes")
    with explained():
        import yaml

    class Strict(yaml.SafeLoader):  # type: ignore[misc]
        depth = 0
        nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise Unfit("description", "YAML aliases are not read here; write the value out")
            self.depth, self.nodes = self.depth + 1, self.nodes + 1
            if self.depth > DEPTH or self.nodes > NODES:
                raise Unfit("description", f"deeper than {DEPTH} levels or more than {NODES} values")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
            keys = [key.value for key, _ in node.value]
            if twice := _twice(keys):
                raise Unfit("description", f"the key {twice!r} is there twice")
            made: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
            return made

    try:
        return yaml.load(body, Strict)  # noqa: S506
    except (yaml.YAMLError, ValueError, UnicodeError, RecursionError) as error:
        raise Unfit("description", "not readable as YAML") from error


def _twice(keys: Iterable[object]) -> str:
    seen: set[str] = set()
    for key in map(str, keys):
        if key in seen:
            return key[:100]
        seen.add(key)
    return ""
