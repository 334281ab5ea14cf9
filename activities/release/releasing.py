"""What a release does outside: list and sign its files, classify its openness, verify, write documents, publish, let people in.

Each activity takes the step as `domain/release/steps.py` defines it and brings back the outcome of the same name. Called again
with the same step it does the same again: what is large lies in files named by their digests, and publishers repeat harmlessly.
What no further try mends fails the step, and the reason names the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from activities.files import SHORT_WORK, Absent, Told, Unfit, beneath, shown, working
from activities.missing import ExtraMissing
from activities.outside import CarryOut, Outcome, failed, plain
from activities.release.artifacts import Manifest, Store, as_json, content, hashed, require_file, require_names
from activities.release.documents import bill_of_materials, model_card
from activities.release.fetching import Fetched, Fetching
from activities.release.licence_texts import contradicted
from activities.release.openness import DATA, UNLICENSED, Framework, Kind, Model, Openness, Part, Standing, classify, framework
from activities.release.openness import Terms as ModelTerms
from activities.release.publishing import Lease, Publication, Publisher, View
from activities.release.signing import Signed, Signing
from domain.forms import in_words, typed
from domain.kernel import Message, Step, canonical, canonical_json
from domain.kernel import Outcome as Answer
from domain.release import steps
from domain.release.terms import STAGES, Component, LicenceTerms

M = TypeVar("M", bound=Message)
T = TypeVar("T")

HERE: Final = "files"
"""What comes before the path in the digest of a component that is a folder."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a worker finds a release's files, and where it keeps what is named by its digest."""

    artifacts: Path
    """The folder that each release's `location` lies under."""
    kept: Path
    """Manifests, signatures, public keys, reports and documents; workers share it."""
    key: Path
    """The private key that signs, in PEM; made on first use."""
    licences: Path | None = None
    """A complete list of licences in SPDX's format."""


class Releasing:
    """The activities of releases, over publishers by their names."""

    def __init__(self, places: Places, publishers: Mapping[str, Publisher], *, fetch: Callable[[str, Told], Fetched] | None = None) -> None:
        self._places = places
        self._publishers = publishers
        self._fetch = fetch or Fetching()
        self._store = Store(places.kept)
        self._signing = Signing(places.key, self._store, places.kept / "signatures")

    def activities(self) -> Mapping[str, CarryOut]:
        """Who carries out each kind of step."""
        return {
            "build_manifest": partial(_carried_out, steps.BuildManifest, self._build_manifest),
            "sign_manifest": partial(_carried_out, steps.SignManifest, self._sign_manifest),
            "verify_artifacts": partial(_carried_out, steps.VerifyArtifacts, self._verify_artifacts),
            "classify_openness": partial(_carried_out, steps.ClassifyOpenness, self._classify_openness),
            "write_documents": partial(_carried_out, steps.WriteDocuments, self._write_documents),
            "publish": partial(_carried_out, steps.Publish, self._publish),
            "withdraw": partial(_carried_out, steps.Withdraw, self._withdraw, pool=SHORT_WORK),
            "open_access": partial(_carried_out, steps.OpenAccess, self._open_access, pool=SHORT_WORK),
            "close_access": partial(_carried_out, steps.CloseAccess, self._close_access, pool=SHORT_WORK),
        }

    # ------------------------------------------------------------ files

    def _build_manifest(self, step: str, asked: steps.BuildManifest, told: Told) -> Answer:
        manifest = hashed(self._folder(asked.location), told)
        digest = self._store.put(canonical(manifest))
        return steps.ManifestBuilt(step=step, edition=asked.edition, manifest=digest, files=len(manifest.files), bytes=manifest.size)

    def _sign_manifest(self, step: str, asked: steps.SignManifest, told: Told) -> Answer:
        signed = self._signing.sign(self._folder(asked.location), self._store.manifest(asked.manifest), told)
        return steps.ManifestSigned(
            step=step, edition=asked.edition, manifest=asked.manifest, signature=signed.signature, key=signed.key
        )  # fmt: skip

    def _verify_artifacts(self, step: str, asked: steps.VerifyArtifacts, told: Told) -> Answer:
        try:
            manifest = self._store.manifest(asked.manifest)
            self._signing.verify(self._folder(asked.location), manifest, Signed(asked.signature, asked.key), told)
        except Unfit as unfit:
            return _refused(step, asked, unfit)
        return steps.ArtifactsVerified(step=step, check=asked.check, manifest=asked.manifest)

    # ------------------------------------------------------------ openness

    def _classify_openness(self, step: str, asked: steps.ClassifyOpenness, told: Told) -> Answer:
        try:
            folder, manifest = self._folder(asked.location), self._store.manifest(asked.manifest)
            require_names(folder, manifest)
        except Unfit as unfit:
            return _refused(step, asked, unfit)
        try:
            rules = framework(DATA / "mof.settings.yml", self._places.licences)
            return self._judged(step, asked, rules, _Looking(folder, manifest, rules, self._fetch, told))
        except NotAsSigned as found:
            return _refused(step, asked, found.unfit)
        except (Unfit, ExtraMissing) as error:
            return steps.ClassificationFailed(step=step, check=asked.check, reason=_short(str(error)))

    def _judged(self, step: str, asked: steps.ClassifyOpenness, rules: Framework, looking: _Looking) -> Answer:
        if strange := next((component.name for component in asked.components if rules.component(component.name) is None), None):
            raise Unfit(strange, "not a component of the Model Openness Framework; amend the release's terms")
        found = {component.name: looking.at(component, asked.licences) for component in asked.components}
        parts = tuple(
            Part(name=name, license=UNLICENSED if each.unlicensed else each.licence) for name, each in found.items() if each.sha256
        )
        terms = ModelTerms.model_validate(
            {kind: {"name": getattr(asked.licences, kind)} for kind in ("distribution", "code", "data", "document")}
        )
        notes = {name: each.note or twin for name, each in found.items() if (twin := _twin(name, found)) or each.note}
        openness = classify(Model(name=asked.title, license=terms, components=parts), rules, notes)
        return _classified(step, asked, openness, found, rules, self._store)

    # ------------------------------------------------------------ documents and publishing

    def _write_documents(self, step: str, asked: steps.WriteDocuments, _told: Told) -> Answer:
        manifest = self._store.manifest(asked.manifest)
        return steps.DocumentsWritten(
            step=step, edition=asked.edition, stage=asked.stage,
            card=self._store.put(model_card(asked, manifest)), bill=self._store.put(bill_of_materials(asked, manifest)),
        )  # fmt: skip

    def _publish(self, step: str, asked: steps.Publish, told: Told) -> Answer:
        digests = {
            "manifest.json": asked.manifest, "model.sig": asked.signature, "release.pub": asked.key, "MODEL_CARD.md": asked.card,
            "bom.cdx.json": asked.bill,
        }  # fmt: skip
        documents = {name: self._store.get(digest) for name, digest in digests.items()}
        folder, manifest = self._folder(asked.location), self._store.manifest(asked.manifest)
        publication = Publication(asked.release, folder, manifest, documents, (asked.edition, STAGES.index(asked.stage)))
        where = self._publisher(asked.publisher).publish(publication, View(asked.audience), told)
        return steps.Published(
            step=step, edition=asked.edition, stage=asked.stage, publisher=asked.publisher, manifest=asked.manifest, where=where[:1_000]
        )  # fmt: skip

    def _withdraw(self, step: str, asked: steps.Withdraw, _told: Told) -> Answer:
        self._publisher(asked.publisher).withdraw(asked.release, asked.reason)
        return steps.Withdrawn(step=step, publisher=asked.publisher)

    def _open_access(self, step: str, asked: steps.OpenAccess, _told: Told) -> Answer:
        self._publisher(asked.publisher).open_access(asked.release, Lease(asked.opening, asked.persons, asked.until))
        return steps.AccessOpened(step=step, publisher=asked.publisher, opening=asked.opening)

    def _close_access(self, step: str, asked: steps.CloseAccess, _told: Told) -> Answer:
        self._publisher(asked.publisher).close_access(asked.release, asked.opening)
        return steps.AccessClosed(step=step, publisher=asked.publisher, opening=asked.opening)

    def _publisher(self, name: str) -> Publisher:
        if name not in self._publishers:
            raise Unfit(name, f"no publisher of this name is configured; there are {', '.join(sorted(self._publishers)) or 'none'}")
        return self._publishers[name]

    def _folder(self, location: str) -> Path:
        return beneath(self._places.artifacts, location)


async def _carried_out(asked: type[M], act: Callable[[str, M, Told], Answer], step: Step, *, pool: Executor | None = None) -> Outcome:
    """Does the work in a thread, and says what became of it as JSON."""
    try:
        data = asked.model_validate_json(canonical_json(step.data))
    except ValidationError as error:
        wrong, *_ = in_words(typed(asked), error.errors(include_url=False, include_input=False))
        return failed(step, f"the step's data does not fit its form ({wrong}): this is a fault of the process, report it")
    try:
        answer = await working(lambda told: act(step.key, data, told), pool=pool)
    except (Unfit, ExtraMissing) as error:
        return failed(step, str(error))
    return answer.model_dump(mode="json")


def _refused(step: str, asked: steps.ClassifyOpenness | steps.VerifyArtifacts, unfit: Unfit) -> Answer:
    return steps.ArtifactsRefused(
        step=step, check=asked.check, manifest=asked.manifest, path=_short(shown(unfit.path)), reason=unfit.reason, detail=_short(unfit.why)
    )  # fmt: skip


# ---------------------------------------------------------------- looking at components


class NotAsSigned(Exception):
    """A file of the release is not as it was signed."""

    def __init__(self, unfit: Unfit) -> None:
        super().__init__(str(unfit))
        self.unfit = unfit


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a component that the release names."""

    sha256: str = ""
    """Empty when it is not there."""
    licence: str | None = None
    """Its own licence; nothing when it has that of its kind or of the whole."""
    licence_sha256: str | None = None
    unlicensed: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks at components where they are: among the release's files, or elsewhere."""

    folder: Path
    manifest: Manifest
    rules: Framework
    fetch: Callable[[str, Told], Fetched]
    told: Told

    def at(self, component: Component, terms: LicenceTerms) -> Found:
        """What is there, and whether the text of the licence is that of the licence. What is not there is no error.

        Raises `NotAsSigned`, naming the file of the release that was tampered with.
        """
        try:
            sha256 = self._digest(component.place)
        except Absent as absent:
            return Found(note=_short(str(absent)))
        known = self.rules.component(component.name)
        assert known is not None
        claimed, place = _licence_of(component, known.kind, terms)
        if place is None:
            return Found(sha256, component.licence)
        try:
            text_sha256, text = self._text(place)
        except Absent as absent:
            return Found(sha256, component.licence, unlicensed=True, note=_short(f"the text of its licence is not there: {absent}"))
        wrong = "" if claimed is None else contradicted(claimed, text.decode("utf-8", "replace"))
        return Found(sha256, component.licence, text_sha256, bool(wrong), _short(wrong))

    def _digest(self, place: str) -> str:
        """Of a file its hash; of a folder the hash of the list of its files, with theirs. Every byte is read."""
        if place.startswith("https://"):
            return self.fetch(place, self.told).sha256
        files = [each for each in self.manifest.files if each.path == place or each.path.startswith(f"{place}/")]
        if not files:
            raise Absent(place, "not among the release's files")
        if not any(file.size for file in files):
            raise Absent(place, "it is empty")
        for file in files:
            self._as_signed(lambda file=file: require_file(self.folder, file, self.told))  # type: ignore[misc]
        if files[0].path == place:
            return files[0].sha256
        return hashlib.sha256(canonical_json({HERE: {each.path: each.sha256 for each in files}})).hexdigest()

    def _text(self, place: str) -> tuple[str, bytes]:
        if place.startswith("https://"):
            fetched = self.fetch(place, self.told)
            return fetched.sha256, fetched.beginning
        file = self.manifest.by_path.get(place)
        if file is None:
            raise Absent(place, "not among the release's files")
        return file.sha256, self._as_signed(lambda: content(self.folder, file))

    @staticmethod
    def _as_signed(read: Callable[[], T]) -> T:
        try:
            return read()
        except Unfit as unfit:
            raise NotAsSigned(unfit) from unfit


def _twin(name: str, found: Mapping[str, Found]) -> str:
    """That a component has the content of one named before it; the framework lets one document serve twice, so it is told, not refused."""
    twin = next((other for other, each in found.items() if each.sha256 and each.sha256 == found[name].sha256), name)
    return "" if twin == name else f"the same content as {twin}"


def _licence_of(component: Component, kind: Kind, terms: LicenceTerms) -> tuple[str | None, str | None]:
    """The component's licence (its own, else that of its kind, else that of the whole), and where the text of that licence is."""
    if component.licence is not None:
        return component.licence, component.licence_place
    of_kind = terms.of(kind.value)
    licence = of_kind or terms.distribution
    if component.licence_place is not None:
        return licence, component.licence_place
    if of_kind is None or of_kind == terms.distribution:
        return licence, terms.place
    own = terms.place_of(kind.value)
    return licence, terms.place if own is None and terms.distribution is None else own


def _classified(
    step: str, asked: steps.ClassifyOpenness, openness: Openness, found: Mapping[str, Found], rules: Framework, store: Store
) -> Answer:
    verdicts = tuple(
        steps.Verdict(
            component=each.component.name, standing=each.standing.value, licence=each.licence[:100],
            sha256=found[each.component.name].sha256 or None if each.component.name in found else None,
            licence_sha256=found[each.component.name].licence_sha256 if each.component.name in found else None,
            note=openness.notes.get(each.component.name, ""),
        )
        for each in openness.judged
    )  # fmt: skip
    needed = {each.name for each in rules.asked(openness.openness_class)} if openness.openness_class else set()
    conditional = any(each.standing is Standing.CONDITIONAL and each.component.name in needed for each in openness.judged)
    reasons = tuple(_short(reason) for reason in openness.reasons[:30])
    report = {
        "release": asked.release, "title": asked.title, "manifest": asked.manifest, "framework": rules.digest, "class": openness.openness_class,
        "label": openness.label, "conditional": conditional, "reasons": list(openness.reasons),
        "components": [verdict.model_dump(mode="json") for verdict in verdicts],
        "places": {component.name: component.place for component in asked.components},
    }  # fmt: skip
    return steps.OpennessClassified(
        step=step, check=asked.check, openness_class=openness.openness_class, conditional=conditional, verdicts=verdicts, reasons=reasons,
        report=store.put(as_json(report)), framework=rules.digest,
    )  # fmt: skip


def _short(text: str) -> str:
    return plain(text, 300)
