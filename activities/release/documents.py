"""The documents that go out with a model: its card and its bill of materials, both from facts that are on the log.

The card is Markdown with metadata in YAML before it, checked as model hubs read it; the bill of materials is CycloneDX 1.6 JSON with a
model card of its own, checked against the standard's schema. The same facts give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

from activities.bounded import json_value
from activities.files import Unfit
from activities.missing import explained
from activities.release.artifacts import Manifest, as_json
from activities.release.hub_library import hub_library
from activities.release.openness import LABELS, PARAMETERS, UNLICENSED
from domain.evaluation import decimal_of
from domain.kernel import digest_of, escaped
from domain.release import steps

_SERIALS: Final = UUID("0b6e9c1c-2f0e-5d59-9d57-0d4b7a1f3c11")

DATASETS: Final = frozenset(("Datasets", "Evaluation data"))
"""The framework's components that are data sets."""
HUB_LICENCES: Final = frozenset(
    {
        "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "gpl-3.0", "agpl-3.0", "mpl-2.0",
        "cdla-permissive-2.0", "odbl", "openmdw-1.0", "unlicense", "isc", "wtfpl", "zlib",
    }
)  # fmt: skip
"""Licences that a hub's metadata knows by name; any other is `other`, with its name beside it."""

CARD: Final = "MODEL_CARD.md"
SECTIONS: Final = ("Model", "Openness", "Verification", "Files")
"""The sections that every card has, in this order; between them stand those that there is something to say in."""

# ---------------------------------------------------------------- the card


def model_card(facts: steps.WriteDocuments, manifest: Manifest) -> bytes:
    """The model card in Markdown, as `require_card` wants it. Text of people is escaped: it brings no markup of its own."""
    sections = [
        _front_matter(facts),
        f"# {escaped(facts.title, 200)}",
        _prose(facts.text) or f"A model of {escaped(facts.producer, 200)}.",
        "## Model\n\n" + _table(("", ""), _model_rows(facts)),
        _titled("Architecture", _prose(facts.card.architecture)),
        _titled("Training data", _prose(facts.card.data)),
        _titled("Intended use", _prose(facts.card.intended_use)),
        _titled("Limitations", _prose(facts.card.limitations)),
        _titled("Training run", _training(facts)),
        _titled("Evaluation", _evaluations(facts)),
        _titled("Open safety findings", "\n".join(f"- {escaped(each)}" for each in facts.findings)),
        _titled("Not reviewed", "\n".join(f"- {escaped(each, 300)}" for each in facts.missing)),
        "## Openness\n\n" + _openness(facts),
        _titled("Approvals", "\n".join(f"- {escaped(each.person)} ({escaped(each.office)})" for each in facts.approvals)),
        "## Verification\n\n" + _verification(facts),
        "## Files\n\n" + _files(manifest),
    ]
    card = "\n\n".join(section for section in sections if section) + "\n"
    require_card(card)
    return card.encode()


def require_card(card: str) -> None:
    """The card's metadata is what a hub reads without a fault, with licence and name, and no section is missing. Raises `Unfit`."""
    library = hub_library()
    with explained():
        from yaml import YAMLError
    try:
        read: Any = library.ModelCard(card)
    except (ValueError, TypeError, YAMLError) as error:
        raise Unfit(CARD, f"no hub reads its metadata: {str(error)[:300]}") from error
    metadata = read.data.to_dict()
    if lacking := [name for name in ("license", "model_name") if not metadata.get(name)]:
        raise Unfit(CARD, f"its metadata lacks {', '.join(lacking)}")
    if metadata["license"] not in HUB_LICENCES and (metadata["license"] != "other" or not metadata.get("license_name")):
        raise Unfit(CARD, "its metadata names a licence that no hub knows, and not as another")
    titles = re.findall(r"^## (.+)$", read.text, re.MULTILINE)
    if (found := [title for title in titles if title in SECTIONS]) != list(SECTIONS):
        raise Unfit(CARD, f"its sections are {', '.join(found) or 'none'}, not {', '.join(SECTIONS)}")


def _front_matter(facts: steps.WriteDocuments) -> str:
    with explained():
        import yaml
    name = parameters_licence(facts)
    known = name.lower()
    licence: dict[str, Any] = {"license": known} if known in HUB_LICENCES else {"license": "other", "license_name": known}
    label = LABELS[facts.openness_class].partition(" - ")[0].lower().replace(" ", "-")
    metadata = {**licence, "model_name": facts.title, "tags": ["model-openness-framework", label]}
    text: str = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, default_flow_style=False, width=10_000)
    return f"---\n{text}---"


def parameters_licence(facts: steps.WriteDocuments) -> str:
    """The licence of the final parameters, as it was judged."""
    return next((each.licence for each in facts.verdicts if each.component == PARAMETERS and each.licence), UNLICENSED)


def _model_rows(facts: steps.WriteDocuments) -> Iterable[Sequence[str]]:
    yield "Release", facts.release
    yield "Stage", f"{facts.stage}, since {facts.at:%Y-%m-%d}"
    yield "Producer", facts.producer
    yield "Licence of the parameters", parameters_licence(facts)
    yield "Training run", facts.run
    yield "Contract of the run (SHA-256)", facts.contract
    if (tokens := _tokens(facts)) is not None:
        yield "Tokens seen in training", f"{tokens:,}"
    if facts.supersedes is not None:
        yield "Takes the place of", facts.supersedes
    yield "Files", f"{facts.files:,} ({facts.bytes:,} bytes)"


def _tokens(facts: steps.WriteDocuments) -> int | None:
    """The tokens by the run's readings; where none were told, as the release's terms have them."""
    told = None if facts.training is None else facts.training.tokens
    return facts.card.tokens if told is None else told


def _training(facts: steps.WriteDocuments) -> str:
    if facts.training is None:
        return ""
    rows = [
        (passed.milestone, score.task, score.metric, decimal_of(score.value), passed.evidence)
        for passed in facts.training.accepted
        for score in passed.measured
    ] + [(passed.milestone, "", "", "", passed.evidence) for passed in facts.training.accepted if not passed.measured]
    table = _table(("Accepted milestone", "Task", "Metric", "Value", "Evidence (SHA-256)"), rows) if rows else ""
    return "\n\n".join(part for part in (f"{_checkpoints(facts.training)}.", table) if part)


def _checkpoints(training: steps.RunFacts) -> str:
    told = "" if training.checkpoints is None else f", of {training.checkpoints:,} told of"
    if training.checkpoints_retained:
        return f"Every checkpoint that the contract retains is there{told}"
    lost = "Checkpoints" if training.missing is None else f"{training.missing:,} of the checkpoints"
    return f"{lost} that the contract retains are missing{told}"


def _evaluations(facts: steps.WriteDocuments) -> str:
    evidence = {each.evaluation: each.evidence for each in facts.evaluations}
    rows = [(each["slice"], each["type"], each.get("value", ""), evidence[each["slice"]]) for each in _metrics(facts.evaluations)]
    return _table(("Evaluation", "Metric", "Value", "Evidence (SHA-256)"), rows) if rows else ""


def _openness(facts: steps.WriteDocuments) -> str:
    reasons = "".join(f"\n- {escaped(reason, 300)}" for reason in facts.reasons)
    rows = [(each.component, each.standing, each.licence, each.note) for each in facts.verdicts]
    table = "\n\n" + _table(("Component", "Standing", "Licence", "Note"), rows) if rows else ""
    return f"**{LABELS[facts.openness_class]}** by the Model Openness Framework.\n{reasons}{table}"


def _verification(facts: steps.WriteDocuments) -> str:
    return "\n".join(
        (
            f"- Manifest (SHA-256): `{facts.manifest}`",
            f"- Signature (OpenSSF model signing, SHA-256): `{facts.signature}`",
            f"- Public key (SHA-256 of its PEM file): `{facts.key}`",
        )
    )


def _files(manifest: Manifest) -> str:
    shown = [(file.path, f"{file.size:,}", file.sha256) for file in manifest.files[:100]]
    rest = len(manifest.files) - len(shown)
    return _table(("File", "Bytes", "SHA-256"), shown) + (f"\n\nand {rest:,} more, in the manifest." if rest else "")


def _titled(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _prose(text: str) -> str:
    """Paragraphs of a person, each escaped as a whole, so that none begins a rule, a heading or a list."""
    return "\n\n".join(escaped(paragraph, 4_000) for paragraph in text.split("\n\n") if paragraph.strip())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(escaped(cell, 300) for cell in row)} |" for row in rows]
    return "\n".join(lines)


# ---------------------------------------------------------------- the bill of materials


def bill_of_materials(facts: steps.WriteDocuments, manifest: Manifest) -> bytes:
    """The bill of materials as CycloneDX 1.6 JSON, valid by its schema. Raises `Unfit` for one that is not."""
    with explained():
        from cyclonedx.output.json import JsonV1Dot6
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    made: dict[str, Any] = json_value(JsonV1Dot6(_bom(facts, manifest)).output_as_string(), number=float)
    made["metadata"]["component"]["modelCard"] = _card(facts)
    body = as_json(made)
    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(body.decode())) is not None:
        raise Unfit("bom.cdx.json", f"not valid as CycloneDX 1.6: {str(fault)[:300]}")
    return body


def _bom(facts: steps.WriteDocuments, manifest: Manifest) -> Any:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalEntity
    from cyclonedx.model.dependency import Dependency

    licences = _licences_by_place(facts)
    files = [
        Component(
            name=file.path,
            type=ComponentType.FILE,
            bom_ref=f"file:{file.path}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
            licenses=[_licence(each) for each in _licence_at(file.path, licences)],
        )
        for file in manifest.files
    ]
    elsewhere = [
        Component(
            name=verdict.component,
            type=ComponentType.DATA if verdict.component in DATASETS else ComponentType.FILE,
            bom_ref=f"component:{verdict.component}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
            licenses=[_licence(verdict.licence)] if verdict.licence else [],
            external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(place))],
        )
        for verdict, sha256, place in _fetched(facts)
    ]
    model = Component(
        name=facts.title,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"release:{facts.release}",
        version=manifest.digest[:16],
        description=facts.text or None,
        supplier=OrganizationalEntity(name=facts.producer),
        licenses=[_licence(parameters_licence(facts))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=facts.manifest)],
        properties=[
            Property(name="consortium:openness", value=LABELS[facts.openness_class]),
            Property(name="consortium:manifest", value=facts.manifest),
            Property(name="consortium:signature", value=facts.signature),
            Property(name="consortium:key", value=facts.key),
            Property(name="consortium:run-contract", value=facts.contract),
            *(Property(name=f"consortium:{name}", value=value) for name, value in _run_properties(facts)),
        ],
    )
    parts = [*files, *elsewhere]
    depends = Dependency(model.bom_ref, [Dependency(part.bom_ref) for part in parts])
    return Bom(
        serial_number=uuid5(_SERIALS, digest_of(facts.release, facts.model_dump(mode="json"))),
        metadata=BomMetaData(component=model, timestamp=facts.at),
        components=parts,
        dependencies=[depends, *(Dependency(part.bom_ref) for part in parts)],
    )


def _run_properties(facts: steps.WriteDocuments) -> Iterable[tuple[str, str]]:
    """What the log holds of the run, as properties."""
    if (tokens := _tokens(facts)) is not None:
        yield "tokens", str(tokens)
    if facts.training is not None:
        yield "checkpoints", _checkpoints(facts.training)
        for passed in facts.training.accepted:
            scores = "; ".join(f"{each.task} {each.metric} {decimal_of(each.value)}" for each in passed.measured)
            yield f"milestone:{passed.milestone}", f"{passed.evidence} {scores}".rstrip()


def _licences_by_place(facts: steps.WriteDocuments) -> Mapping[str, str]:
    """The licences as they were judged, by where the components are."""
    judged = {each.component: each.licence for each in facts.verdicts}
    return {each.place: judged[each.name] for each in facts.components if judged.get(each.name)}


def _licence_at(path: str, licences: Mapping[str, str]) -> Sequence[str]:
    """The licence of the component that a file belongs to; where folders lie in each other, of the innermost."""
    around = [place for place in licences if path == place or path.startswith(f"{place}/")]
    return [licences[max(around, key=len)]] if around else []


def _fetched(facts: steps.WriteDocuments) -> Iterable[tuple[steps.Verdict, str, str]]:
    """The components that lie elsewhere and were there: with their hash, and where."""
    places = {each.name: each.place for each in facts.components if each.place.startswith("https://")}
    found = ((each, each.sha256, places.get(each.component)) for each in facts.verdicts)
    return [(each, sha256, place) for each, sha256, place in found if sha256 is not None and place is not None]


def _licence(licence: str) -> Any:
    """The licence by its SPDX identifier where it has one, else by name."""
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import is_supported_id

    return DisjunctiveLicense(id=licence) if is_supported_id(licence) else DisjunctiveLicense(name=licence)


def _card(facts: steps.WriteDocuments) -> dict[str, Any]:
    """The model card inside the bill of materials; what is not known is left out."""
    card: dict[str, Any] = {
        "bom-ref": f"card:{facts.release}",
        "properties": [{"name": "consortium:openness-reason", "value": reason} for reason in facts.reasons],
    }
    parameters: dict[str, Any] = {}
    if facts.card.architecture:
        parameters["modelArchitecture"] = facts.card.architecture
    if facts.card.data:
        parameters["datasets"] = [{"type": "dataset", "description": facts.card.data}]
    if parameters:
        card["modelParameters"] = parameters
    if facts.evaluations:
        card["quantitativeAnalysis"] = {"performanceMetrics": list(_metrics(facts.evaluations))}
    considerations: dict[str, Any] = {}
    if facts.card.intended_use:
        considerations["useCases"] = [facts.card.intended_use]
    limits = [facts.card.limitations] if facts.card.limitations else []
    limits += [f"open safety finding: {each}" for each in facts.findings] + [f"not reviewed: {each}" for each in facts.missing]
    if limits:
        considerations["technicalLimitations"] = limits
    if considerations:
        card["considerations"] = considerations
    return card


def _metrics(evaluations: Iterable[steps.Evaluated]) -> Iterable[dict[str, str]]:
    for each in evaluations:
        for result in each.results:
            yield {"type": result.metric, "value": result.value, "slice": each.evaluation}
        if not each.results:
            yield {"type": "passed", "slice": each.evaluation}
