"""What a release does outside, step by step, on real files.

| step | outcome | fails for good when |
| --- | --- | --- |
| build_manifest | manifest_built | a file does not fit: it is named |
| sign_manifest | manifest_signed | the files are not the manifest's; others may read the key |
| verify_artifacts | artifacts_verified, or artifacts_refused with the file and the reason | never for a file |
| classify_openness | openness_classified, artifacts_refused with the file, or classification_failed with the reason | never |
| write_documents | documents_written | the manifest is not kept here |
| publish, withdraw, open_access, close_access | published, withdrawn, access_opened, access_closed | the publisher is unknown; it was withdrawn |

Every step given again brings back the same outcome.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from activities.files import Absent, unheard
from activities.outside import Outcome
from activities.release.artifacts import Store
from activities.release.directory import DirectoryPublisher
from activities.release.fetching import Fetching
from activities.release.licence_texts import contradicted
from activities.release.releasing import Places, Releasing
from activities.run.evaluation import Evaluations
from activities.web import Unreachable, Web
from domain.charter import Office
from domain.kernel import Message, Step, canonical
from domain.kernel import Outcome as Answer
from domain.release import commands
from domain.release.process import RELEASE
from domain.release.terms import Component, LicenceTerms, Stage, Threshold
from domain.stream import FailStep
from tests.dying import dies
from tests.hub_server import OWNER, serving
from tests.stories import Story, day
from tests.test_release import approved, evaluated, proposal, unproposed, where

pytestmark = pytest.mark.heavy

MIT = (
    "MIT License\n\nCopyright (c) 2026 Somebody\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software, "
    "to deal in the Software without restriction, provided that the above copyright notice and this permission notice shall be included in all "
    "copies or substantial portions of the Software.\n"
)
GPL = (
    "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007\nEveryone is permitted to copy and distribute verbatim copies of this license document, "
    "but changing it is not allowed.\n"
)
APACHE = "Apache License\nVersion 2.0, January 2004\n3. Grant of Patent License.\n"
OUTCOMES: TypeAdapter[Answer] = TypeAdapter(commands.ReleaseOutcome)
COMPONENTS: list[dict[str, Any]] = [
    {"name": "Model architecture", "place": "code/model.py"},
    {"name": "Model parameters (Final)", "place": "weights"},
    {"name": "Evaluation results", "place": "results.json"},
    {"name": "Model card", "place": "card.md"},
    {"name": "Data card", "place": "data.md"},
    {"name": "Technical report", "place": "report.md"},
]
LICENCES = {"distribution": "MIT", "place": "LICENSE"}


class World:
    """A worker's folders and its activities; made anew, it is the same worker after a crash."""

    def __init__(self, folder: Path, **publishers: Any) -> None:
        self.folder = folder
        self.places = Places(folder / "artifacts", folder / "kept", folder / "keys" / "release.pem")
        self.store = Store(self.places.kept)
        self.fetch = Fetching(
            web=Web(
                resolve=lambda _host, _port: ["93.184.216.34"],
                transport=httpx.MockTransport(lambda _request: httpx.Response(404)),
                https_only=True,
            )
        )
        self.publishers = {"directory": DirectoryPublisher(folder / "published"), **publishers}
        self.made = 0

    async def do(self, kind: str, data: Message | dict[str, Any]) -> Outcome:
        """The outcome of a step, which must be one that the release knows. Given again to a fresh worker, it is the same."""
        body = data if isinstance(data, dict) else json.loads(canonical(data))
        step = Step(kind=kind, key=f"{kind}/1", data=body)
        first, again = [await Releasing(self.places, self.publishers, fetch=self.fetch).activities()[kind](step) for _ in range(2)]
        assert first == again
        assert first["step"] == step.key
        if first["kind"] != "fail_step":
            OUTCOMES.validate_json(json.dumps(first))
        return first

    async def built(self) -> str:
        built = await self.do("build_manifest", {"release": "atlas-1", "edition": 1, "location": "atlas"})
        assert built["kind"] == "manifest_built", built
        return str(built["manifest"])

    async def signed(self) -> dict[str, Any]:
        manifest = await self.built()
        signed = await self.do("sign_manifest", {"release": "atlas-1", "edition": 1, "location": "atlas", "manifest": manifest})
        assert signed["kind"] == "manifest_signed", signed
        return {"manifest": manifest, "signature": signed["signature"], "key": signed["key"]}

    async def verified(self, signed: dict[str, Any]) -> Outcome:
        return await self.do("verify_artifacts", {"release": "atlas-1", "check": 1, "location": "atlas", **signed})

    async def classified(self, manifest: str, components: list[dict[str, Any]] | None = None, **changes: Any) -> Outcome:
        asked = {"release": "atlas-1", "check": 1, "title": "Atlas", "location": "atlas", "manifest": manifest, "licences": LICENCES}
        return await self.do("classify_openness", {**asked, "components": components or COMPONENTS, **changes})

    async def documented(self, signed: dict[str, Any]) -> dict[str, Any]:
        told = {
            "release": "atlas-1", "edition": 1, "stage": "public", "title": "Atlas", "producer": "Us", "text": "", "card": {}, "run": "atlas",
            "contract": "d" * 64, "location": "atlas", "files": 8, "bytes": 10, "licences": {}, "components": [], "openness_class": 3,
            "verdicts": [], "reasons": [], "report": "f" * 64, "evaluations": [], "approvals": [], "findings": [], "missing": [],
            "supersedes": None, "at": "2026-11-02T09:00:00Z", **signed,
        }  # fmt: skip
        return await self.do("write_documents", told)

    async def published(self, audience: str, signed: dict[str, Any], publisher: str = "directory") -> Outcome:
        documents = await self.documented(signed)
        assert documents["kind"] == "documents_written", documents
        asked = {"release": "atlas-1", "edition": 1, "stage": audience if audience == "public" else "members", "audience": audience}
        papers = {"card": documents["card"], "bill": documents["bill"]}
        return await self.do("publish", {**asked, "publisher": publisher, "location": "atlas", **signed, **papers})


@pytest.fixture
def world(tmp_path: Path) -> World:
    model = tmp_path / "artifacts" / "atlas"
    for folder in ("weights", "code"):
        (model / folder).mkdir(parents=True)
    (model / "LICENSE").write_text(MIT)
    (model / "code" / "model.py").write_text("layers = 7\n")
    (model / "weights" / "a.bin").write_bytes(bytes(range(256)) * 40)
    (model / "weights" / "b.bin").write_bytes(bytes(range(256)) * 30)
    for name in ("results.json", "card.md", "data.md", "report.md"):
        (model / name).write_text(name)
    return World(tmp_path)


def model_of(world: World) -> Path:
    return world.folder / "artifacts" / "atlas"


async def test_files_are_listed_signed_and_verified(world: World) -> None:
    signed = await world.signed()
    verified = await world.verified(signed)
    assert (verified["kind"], verified["manifest"]) == ("artifacts_verified", signed["manifest"])


def _byte(model: Path) -> None:
    with (model / "weights/a.bin").open("r+b") as file:
        file.seek(77)
        file.write(b"\xff")


def _extra(model: Path) -> None:
    (model / "weights" / "evil.py").write_text("import os")


def _missing(model: Path) -> None:
    (model / "card.md").unlink()


def _link_out(model: Path) -> None:
    (model / "weights" / "link").symlink_to("/etc/passwd")


def _licence(model: Path) -> None:
    (model / "LICENSE").write_text("All rights reserved.\n")


@pytest.mark.parametrize(
    ("tamper", "path", "reason"),
    [
        (_byte, "weights/a.bin", "changed"), (_extra, "weights/evil.py", "extra"), (_missing, "card.md", "missing"),
        (_link_out, "weights/link", "symlink"), (_licence, "LICENSE", "changed"),
    ],
)  # fmt: skip
async def test_what_was_tampered_with_is_refused_and_named_and_is_not_published(
    world: World, tamper: Callable[[Path], None], path: str, reason: str
) -> None:
    signed = await world.signed()
    tamper(model_of(world))
    refused = await world.verified(signed)
    assert (refused["kind"], refused["path"], refused["reason"]) == ("artifacts_refused", path, reason)
    published = await world.published("public", signed)
    assert published["kind"] == "fail_step"
    assert path in published["reason"]
    assert not (world.folder / "published" / "public" / "atlas-1").exists()


async def test_a_path_out_of_the_folder_in_a_manifest_is_refused_and_named(world: World) -> None:
    signed = await world.signed()
    forged = world.store.get(signed["manifest"]).replace(b'"LICENSE"', b'"../LICENSE"')
    refused = await world.verified({**signed, "manifest": world.store.put(forged)})
    assert (refused["kind"], refused["path"], refused["reason"]) == ("artifacts_refused", "../LICENSE", "path")


async def test_a_signature_of_another_key_is_refused(world: World, tmp_path: Path) -> None:
    signed = await world.signed()
    other = World(tmp_path)
    other.places = Places(world.places.artifacts, world.places.kept, tmp_path / "keys" / "other.pem")
    theirs = await other.signed()
    assert theirs["key"] != signed["key"]
    refused = await world.verified({**signed, "signature": theirs["signature"]})
    assert (refused["kind"], refused["reason"]) == ("artifacts_refused", "signature")


@pytest.mark.parametrize("location", ["../outside", "/etc", "nowhere", "link", "atlas/../atlas"])
async def test_a_location_out_of_the_folder_of_artifacts_fails_the_step(world: World, location: str) -> None:
    (world.folder / "outside").mkdir()
    (world.folder / "artifacts" / "link").symlink_to(world.folder / "outside")
    failed = await world.do("build_manifest", {"release": "atlas-1", "edition": 1, "location": location})
    assert failed["kind"] == "fail_step"


async def test_a_link_among_the_files_fails_the_list_and_is_named(world: World) -> None:
    _link_out(model_of(world))
    failed = await world.do("build_manifest", {"release": "atlas-1", "edition": 1, "location": "atlas"})
    assert failed["kind"] == "fail_step"
    assert failed["reason"].startswith("weights/link: a symbolic link")


@pytest.mark.parametrize("kind", ["build_manifest", "sign_manifest", "verify_artifacts", "classify_openness", "write_documents", "publish"])
async def test_killed_at_any_boundary_and_tried_again_a_step_is_done_once(world: World, kind: str, *, long: bool) -> None:
    whole = shutil.copytree(world.folder, world.folder.with_name(world.folder.name + "-whole"))
    steps = {
        "build_manifest": World.built, "sign_manifest": World.signed, "verify_artifacts": _verified, "classify_openness": _classified,
        "write_documents": _documented, "publish": _published,
    }  # fmt: skip
    names = count(1)

    def fresh() -> World:
        here = World(shutil.copytree(whole, world.folder / f"fresh-{next(names)}"))
        if kind != "build_manifest":
            asyncio.run(here.built())
        return here

    def carry_out(here: World) -> object:
        return asyncio.run(steps[kind](here))

    for at in count(1, 1 if long else 6):
        here, died = await asyncio.to_thread(dies, fresh, carry_out, at)
        first, again = await steps[kind](here), await steps[kind](here)
        assert first == again
        assert len(list((here.folder / "kept" / "signatures").glob("[0-9a-f]*"))) == (kind not in {"build_manifest", "classify_openness"})
        if not died:
            break
    assert at > 1


async def _verified(world: World) -> object:
    verified = await world.verified(await world.signed())
    assert verified["kind"] == "artifacts_verified", verified
    return verified


async def _classified(world: World) -> object:
    classified = await world.classified(await world.built())
    assert classified["kind"] == "openness_classified", classified
    return classified


async def _documented(world: World) -> object:
    return await world.documented(await world.signed())


async def _published(world: World) -> object:
    published = await world.published("public", await world.signed())
    assert published["kind"] == "published", published
    return {path.name for path in Path(published["where"]).iterdir()}


# ---------------------------------------------------------------- openness


async def test_the_class_is_computed_from_the_components_that_are_there(world: World) -> None:
    classified = await world.classified(await world.built())
    assert (classified["openness_class"], classified["conditional"]) == (3, True)
    verdicts = {each["component"]: each for each in classified["verdicts"]}
    assert len(verdicts) == 17
    assert verdicts["Model architecture"]["standing"] == "open"
    assert verdicts["Model card"]["standing"] == "conditional"
    assert all(verdicts[each["name"]]["sha256"] and verdicts[each["name"]]["licence_sha256"] for each in COMPONENTS)
    assert any("class II lacks" in reason for reason in classified["reasons"])
    report = json.loads(world.store.get(classified["report"]))
    assert (report["class"], report["framework"]) == (3, classified["framework"])


async def test_a_component_that_is_not_there_is_missing_whatever_is_claimed(world: World) -> None:
    manifest = await world.built()
    named = [{**each, "place": "no/such.md"} if each["name"] == "Model card" else each for each in COMPONENTS]
    classified = await world.classified(manifest, named)
    verdict = next(each for each in classified["verdicts"] if each["component"] == "Model card")
    assert (classified["openness_class"], verdict["standing"]) == (0, "missing")
    assert "not among the release's files" in verdict["note"]


async def test_a_component_that_changed_since_the_list_is_no_missing_one_but_refused_by_name(world: World) -> None:
    manifest = await world.built()
    _byte(model_of(world))
    refused = await world.classified(manifest)
    assert (refused["kind"], refused["path"], refused["reason"]) == ("artifacts_refused", "weights/a.bin", "changed")


async def test_an_empty_file_is_no_component_and_one_file_for_two_is_told(world: World) -> None:
    (model_of(world) / "card.md").write_bytes(b"")
    named = [{**each, "place": "data.md"} if each["name"] == "Technical report" else each for each in COMPONENTS]
    classified = await world.classified(await world.built(), named)
    verdicts = {each["component"]: each for each in classified["verdicts"]}
    assert (verdicts["Model card"]["standing"], verdicts["Model card"]["note"]) == ("missing", "card.md: it is empty")
    assert verdicts["Technical report"]["note"] == "the same content as Data card"


async def test_a_licence_file_that_holds_another_text_opens_nothing(world: World) -> None:
    (model_of(world) / "LICENSE").write_text("You may not use this for anything.\n")
    classified = await world.classified(await world.built())
    verdict = next(each for each in classified["verdicts"] if each["component"] == "Model card")
    assert (classified["openness_class"], verdict["standing"]) == (0, "unlicensed")
    assert verdict["note"] == "the licence file does not hold the text of MIT"


@pytest.mark.parametrize(
    ("licences", "component", "standing", "note"),
    [
        ({"distribution": "Apache-2.0", "place": "APACHE", "code": "MIT", "code_place": "LICENSE"}, {}, "open", ""),
        ({"distribution": "Apache-2.0", "place": "APACHE", "code": "MIT"}, {"licence_place": "LICENSE"}, "open", ""),
        ({"distribution": "Apache-2.0", "place": "APACHE", "code": "MIT"}, {}, "open", ""),
        ({"distribution": "Apache-2.0", "place": "APACHE", "code": "MIT", "code_place": "APACHE"}, {}, "unlicensed", "text of MIT"),
        ({"code": "GPL-3.0-only", "place": "APACHE"}, {}, "unlicensed", "text of GPL-3.0-only"),
        ({"code": "MIT", "place": "LICENSE"}, {}, "open", ""),
        ({"distribution": "MIT", "place": "LICENSE"}, {"licence": "Apache-2.0", "licence_place": "APACHE"}, "open", ""),
    ],
)
async def test_a_text_is_compared_with_the_licence_that_the_component_has(
    world: World, licences: dict[str, Any], component: dict[str, Any], standing: str, note: str
) -> None:
    (model_of(world) / "APACHE").write_text(APACHE)
    named = {"name": "Model architecture", "place": "code/model.py", **component}
    classified = await world.classified(await world.built(), [named], licences=licences)
    verdict = next(each for each in classified["verdicts"] if each["component"] == "Model architecture")
    assert verdict["standing"] == standing
    assert note in verdict["note"]


async def test_a_licence_whose_text_is_not_there_opens_nothing(world: World) -> None:
    classified = await world.classified(await world.built(), licences={"distribution": "MIT", "place": "LICENCE.txt"})
    assert classified["openness_class"] == 0
    assert "LICENCE.txt" in classified["verdicts"][0]["note"] + "".join(classified["reasons"])


async def test_a_licence_changed_after_the_list_is_found_at_the_next_look(world: World) -> None:
    manifest = await world.built()
    _licence(model_of(world))
    refused = await world.classified(manifest)
    assert (refused["kind"], refused["path"], refused["reason"]) == ("artifacts_refused", "LICENSE", "changed")


async def test_a_component_that_is_none_of_the_framework_s_cannot_be_classified(world: World) -> None:
    failed = await world.classified(await world.built(), [*COMPONENTS, {"name": "Secret sauce", "place": "card.md"}])
    assert failed["kind"] == "classification_failed"
    assert "Secret sauce" in failed["reason"]


async def test_a_server_that_cannot_be_asked_says_nothing_about_what_it_has(world: World) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    world.fetch = Fetching(web=Web(resolve=lambda _host, _port: ["93.184.216.34"], transport=httpx.MockTransport(answer), https_only=True))
    manifest = await world.built()
    elsewhere = {"name": "Research paper", "place": "https://papers.example/paper", "licence": "CC-BY-4.0"}
    with pytest.raises(Unreachable):
        await world.classified(manifest, [*COMPONENTS, elsewhere])
    world.fetch = Fetching(
        web=Web(
            resolve=lambda _host, _port: ["93.184.216.34"],
            transport=httpx.MockTransport(lambda _request: httpx.Response(503)),
            https_only=True,
        )
    )
    with pytest.raises(Unreachable):
        await world.classified(manifest, [*COMPONENTS, elsewhere])


def test_the_machine_that_was_looked_at_is_the_one_that_is_asked() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"x"))

    Fetching(web=Web(resolve=lambda _host, _port: ["93.184.216.34"], transport=httpx.MockTransport(answer), https_only=True))(
        "https://papers.example/paper", unheard
    )
    (request,) = asked
    assert (request.url.host, request.headers["host"]) == ("93.184.216.34", "papers.example")
    assert request.extensions["sni_hostname"] == "papers.example"


# ---------------------------------------------------------------- the process and its activities together


async def went_on(story: Story, world: World) -> Story:
    """Every step that the release owes is carried out for real."""
    carry_out = {
        **Releasing(world.places, world.publishers, fetch=world.fetch).activities(),
        **Evaluations(world.folder / "runs").activities(),
    }
    while steps := [step for step in story.steps if step.kind not in {"notify", "tell"} and step.key not in story.state.failed]:
        outcome = await carry_out[steps[0].kind](steps[0])
        story = story.when(RELEASE.commands.validate_json(json.dumps(outcome)) if outcome["kind"] != "fail_step" else FailStep(**outcome))
    return story


async def test_an_evaluation_is_read_from_the_harness_s_own_results_and_judged_by_the_thresholds(world: World) -> None:
    results = world.folder / "runs" / "atlas"
    results.mkdir(parents=True)
    whole = json.loads(files("simulation").joinpath("data", "lm-eval-results.json").read_bytes())
    whole["config"]["limit"] = 10
    (results / "part.json").write_text(json.dumps(whole))
    (results / "whole.json").write_bytes(files("simulation").joinpath("data", "lm-eval-results.json").read_bytes())
    components = tuple(Component(**each) for each in COMPONENTS)
    wanted = Threshold(evaluation="mmlu", task="consortium_toy_mc", metric="acc,none", at_least=600_000)
    terms = {"location": "atlas", "components": components, "licences": LicenceTerms(**LICENCES)}
    for bound, passed in ((600_000, True), (999_999, False)):
        threshold = wanted.model_copy(update={"at_least": bound})
        story = await went_on(unproposed().when(proposal(**terms, thresholds=(threshold,)), by="max"), world)
        manifest = where(story).edition.manifest
        named = commands.RecordEvaluation(evaluation="mmlu", manifest=manifest, file="atlas/part.json")
        story = await went_on(story.when(named, by="eva"), world)
        assert "limited to 10" in where(story).edition.named["mmlu"].unread
        story = await went_on(story.when(named.model_copy(update={"file": "atlas/whole.json"}), by="eva"), world)
        made = where(story).edition.evaluations["mmlu"]
        assert made.passed is passed
        assert made.evidence == hashlib.sha256((results / "whole.json").read_bytes()).hexdigest()


def _inwards(model: Path) -> None:
    (model / "weights" / "a.bin").rename(model / "weights" / "c.bin")
    (model / "weights" / "a.bin").symlink_to("c.bin")


@pytest.mark.parametrize(
    ("tamper", "path"),
    [(_byte, "weights/a.bin"), (_extra, "weights/evil.py"), (_missing, "card.md"), (_link_out, "weights/link"), (_licence, "LICENSE"),
     (_inwards, "weights/a.bin")],
)  # fmt: skip
async def test_tampering_refuses_the_next_stage_by_name_and_what_is_restored_needs_no_new_approvals(
    world: World, tamper: Callable[[Path], None], path: str
) -> None:
    components = tuple(Component(**each) for each in COMPONENTS)
    terms = {"location": "atlas", "components": components, "licences": LicenceTerms(**LICENCES)}
    story = await went_on(unproposed().when(proposal(**terms), by="max"), world)
    assert story.phase == "internal"
    manifest = where(story).edition.manifest
    story = approved(evaluated(story, manifest), Stage.MEMBERS, ("sia", Office.SAFETY_REVIEWER), manifest=manifest)
    whole = shutil.copytree(model_of(world), world.folder / "whole")
    tamper(model_of(world))
    refused = await went_on(story.when(commands.AdvanceRelease(to=Stage.MEMBERS), by="max", at=day(2)), world)
    assert refused.phase == "internal"
    assert refused.state.state.release.refused.startswith(f"{path}: ")
    shutil.rmtree(model_of(world))
    whole.rename(model_of(world))
    again = await went_on(refused.when(commands.AdvanceRelease(to=Stage.MEMBERS), by="max"), world)
    assert again.phase == "members"


async def test_a_component_that_lies_elsewhere_is_fetched_and_hashed(world: World) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/paper":
            return httpx.Response(302, headers={"location": "https://papers.example/v1"})
        return httpx.Response(200, stream=httpx.ByteStream(b"the paper")) if request.url.path == "/v1" else httpx.Response(404)

    world.fetch = Fetching(web=Web(resolve=lambda _host, _port: ["93.184.216.34"], transport=httpx.MockTransport(answer), https_only=True))
    elsewhere = [
        {"name": "Research paper", "place": "https://papers.example/paper", "licence": "CC-BY-4.0"},
        {"name": "Datasets", "place": "https://papers.example/data", "licence": "CC0-1.0"},
    ]
    classified = await world.classified(await world.built(), [*COMPONENTS, *elsewhere])
    verdicts = {each["component"]: each for each in classified["verdicts"]}
    assert verdicts["Research paper"]["standing"] == "open"
    assert verdicts["Datasets"]["standing"] == "missing"
    assert "404" in verdicts["Datasets"]["note"]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1"])
def test_machines_that_are_not_on_the_public_internet_are_not_asked(address: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    with pytest.raises(Absent, match="public internet"):
        Fetching(web=Web(resolve=lambda _host, _port: [address], transport=httpx.MockTransport(answer), https_only=True))(
            "https://inside.example/secret", unheard
        )
    assert not asked


def test_a_redirect_inwards_or_off_https_is_not_followed_and_what_is_too_large_is_given_up() -> None:
    away = httpx.MockTransport(lambda _request: httpx.Response(302, headers={"location": "http://inside.example/"}))
    with pytest.raises(Absent, match="from https to http"):
        Fetching(web=Web(resolve=lambda _host, _port: ["93.184.216.34"], transport=away, https_only=True))("https://a.example/", unheard)
    large = httpx.MockTransport(lambda _request: httpx.Response(200, stream=httpx.ByteStream(b"x" * 101)))
    with pytest.raises(Absent, match="larger than 100 bytes"):
        Fetching(web=Web(resolve=lambda _host, _port: ["93.184.216.34"], transport=large, https_only=True), limit=100)(
            "https://a.example/", unheard
        )


# ---------------------------------------------------------------- publishing


async def test_a_release_is_published_with_everything_that_verifies_it(world: World) -> None:
    published = await world.published("public", await world.signed())
    assert published["kind"] == "published"
    shown = Path(published["where"])
    assert {path.name for path in shown.iterdir()} == {
        "model",
        "manifest.json",
        "model.sig",
        "release.pub",
        "MODEL_CARD.md",
        "bom.cdx.json",
    }
    assert (shown / "model" / "weights" / "a.bin").read_bytes() == (model_of(world) / "weights" / "a.bin").read_bytes()


async def test_people_are_let_in_and_out_and_a_withdrawal_is_final(world: World) -> None:
    signed = await world.signed()
    assert (await world.published("gated", signed))["kind"] == "published"
    access = {"release": "atlas-1", "publisher": "directory", "opening": "helio-1"}
    times = {"opens_at": "2026-11-02T09:00:00Z", "until": "2026-12-02T09:00:00Z"}
    opened = await world.do("open_access", {**access, "member": "helio", "persons": ["ada", "abe"], **times})
    assert opened["kind"] == "access_opened"
    listed = world.folder / "published" / "access" / "atlas-1.json"
    assert json.loads(listed.read_bytes())["persons"] == ["abe", "ada"]
    assert (await world.do("close_access", access))["kind"] == "access_closed"
    assert json.loads(listed.read_bytes())["persons"] == []
    withdrawn = await world.do("withdraw", {"release": "atlas-1", "publisher": "directory", "reason": "A licence was wrong."})
    assert withdrawn["kind"] == "withdrawn"
    late = await world.published("public", signed)
    assert late["kind"] == "fail_step"
    assert "withdrawn" in late["reason"]


async def test_a_publisher_that_is_not_configured_is_named_with_those_that_are(world: World) -> None:
    failed = await world.published("public", await world.signed(), "moon")
    assert failed["kind"] == "fail_step"
    assert failed["reason"] == "moon: no publisher of this name is configured; there are directory"


async def test_the_card_is_the_readme_on_a_hub(tmp_path: Path, world: World) -> None:
    from activities.release.hub import HubPublisher
    from activities.release.publishing import Accounts

    with serving() as hub:
        accounts = Accounts(tmp_path / "accounts.toml", "hub")
        world.publishers["hub"] = HubPublisher("consortium", accounts, tmp_path / "leases", endpoint=hub.url, token=OWNER)
        published = await world.published("public", await world.signed(), "hub")
        assert published["kind"] == "published", published
        tree = hub.repos["consortium/atlas-1"].commits[hub.repos["consortium/atlas-1"].head]
        assert tree["README.md"][1].startswith(b"---\nlicense:")
        assert {"weights/a.bin", "model.sig", "bom.cdx.json"} <= tree.keys()


async def test_a_step_that_does_not_fit_its_form_fails_and_says_where(world: World) -> None:
    failed = await world.do("build_manifest", {"release": "atlas-1", "edition": 0, "location": "atlas"})
    assert failed["kind"] == "fail_step"
    assert "edition" in failed["reason"]


# ---------------------------------------------------------------- a real model


@pytest.mark.skipif(importlib.util.find_spec("silero_vad") is None, reason="the demonstration's model is not installed")
async def test_a_real_small_model_is_signed_classified_and_published(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    model = tmp_path / "artifacts" / "atlas"
    model.mkdir(parents=True)
    shutil.copy(package / "data" / "silero_vad_16k.safetensors", model)
    shutil.copy(package / "utils_vad.py", model)
    licence = next(package.parent.glob("silero_vad-*.dist-info/licenses/LICENSE"))
    shutil.copy(licence, model)
    world = World(tmp_path)
    signed = await world.signed()
    assert (await world.verified(signed))["kind"] == "artifacts_verified"
    named = [
        {"name": "Model parameters (Final)", "place": "silero_vad_16k.safetensors"},
        {"name": "Inference code", "place": "utils_vad.py"},
    ]
    classified = await world.classified(signed["manifest"], named)
    assert classified["openness_class"] == 0
    verdicts = {each["component"]: each["standing"] for each in classified["verdicts"]}
    assert (verdicts["Inference code"], verdicts["Model parameters (Final)"]) == ("open", "conditional")
    published = await world.published("public", signed)
    assert Path(published["where"], "model", "silero_vad_16k.safetensors").stat().st_size > 1_000_000


# ---------------------------------------------------------------- licence texts


@pytest.mark.parametrize(
    ("licence", "text", "why"),
    [
        ("MIT", MIT, ""), ("MIT", "All rights reserved.", "does not hold the text of MIT"),
        ("Apache-2.0", "Licensed under the Apache License, Version 2.0 (the \"License\")", ""), ("Apache-2.0", MIT, "does not hold"),
        ("CC-BY-4.0", "Creative Commons Attribution 4.0 International Public License", ""),
        ("CC-BY-4.0", "Creative Commons Attribution-NonCommercial 4.0 International", "does not hold"),
        ("BSD-3-Clause", "SPDX-License-Identifier: BSD-3-Clause", ""), ("BSD-3-Clause", "SPDX-License-Identifier: BSD-2-Clause", "does not"),
        ("OpenMDW-1.0", "A text that nobody here knows", ""), ("OpenMDW-1.0", MIT, "holds the text of MIT, not of OpenMDW-1.0"),
        ("OpenMDW-1.0", "Copyright us. All rights reserved.", "says 'all rights reserved'"), ("MIT", f"Copyright us. All rights reserved.\n{MIT}", ""),
        ("MIT", f"{MIT}Provided that no commercial use is made.", "says 'no commercial use'"),
        ("MIT", "All rights reserved. SPDX-License-Identifier: MIT", "all rights reserved"),
        ("Apache-2.0", "Licensed under the Apache License, Version 2.0, but only for non-commercial use", "non commercial use"),
        ("GPL-3.0", GPL, ""), ("GPL-3.0+", GPL, ""), ("GPL-2.0", GPL, "does not hold"), ("GPL-3.0-or-later", "SPDX-License-Identifier: GPL-3.0", ""),
        ("BSD-3-Clause", "SPDX-License-Identifier: BSD-3-Clause-Clear", "does not hold"), ("MIT", "SPDX-License-Identifier: MIT OR Mine", "does not hold"),
        ("CC-BY-NC-4.0", "Creative Commons Attribution-NonCommercial 4.0 International", ""),
    ],
)  # fmt: skip
def test_whether_a_text_is_that_of_the_licence(licence: str, text: str, why: str) -> None:
    said = contradicted(licence, text)
    assert (why in said) if why else not said
