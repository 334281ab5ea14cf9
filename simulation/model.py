"""What becomes of the money: a training run that follows a real table of checkpoints, and a real small model that is released.

It goes on where `Story` ends. On the way a milestone's evidence is rejected, the run falls silent, the second tranche is called and
a supplier is paid, and a safety reviewer holds the release for a while. In the end the treasurer is away, and another office calls the
last tranche.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final

from domain.charter import Office
from domain.kernel import RELEASES
from domain.round.state import RoundState, books_of
from domain.run.terms import Contract
from domain.treasury.terms import payment_digest
from simulation import model_files
from simulation.scenario import ATLAS, GOAL, LEAVER, OFFICERS, ROUND, Look, Story

RUN: Final = "run/atlas-1"
RELEASE: Final = "release/atlas-1"
APPROVAL: Final = "proposal/train-atlas-1"
SUPPLIER: Final = "nordic-compute"
SUPPLIER_NAME: Final = "Nordic Compute GmbH"
SUPPLIER_IBAN: Final = "DE89370400440532013000"
TOKENS: Final = 5_979_089_403_904
"""What the real run saw in the end."""
LAST: Final = 3
"""The last tranche."""
HALF: Final = 340
"""So many rows of the table are half of its tokens."""
TABLE: Final = "atlas-1/checkpoints.csv"
RESULTS: Final = "atlas-1/lm-eval-results.json"
SCORE: Final[Mapping[str, Any]] = {"task": "consortium_toy_mc", "metric": "acc,none", "at_least": 600_000}
"""What run and release must reach."""
EARLY: Final = ("aalto-compute", "helio-labs")
"""Members whose people have the model early."""
REVIEWERS: Final = {"maple-science-rep": "evaluation-reviewer", "nairobi-net-rep": "safety-reviewer"}
"""Who judges the milestones: people of different members, by their offices."""


class ModelStory(Story):
    """The whole story: the consortium's founding and first round, the run, and the release."""

    async def play(self) -> None:
        """Tells all of it."""
        await super().play()
        for chapter in (self.contract, self.train, self.pay, self.finish, self.release, self.stand_in):
            await chapter()

    # ------------------------------------------------------------ the run

    async def contract(self) -> None:
        """People of different members become reviewers; the run's contract is put forward and voted on by its hash."""
        for person, office in REVIEWERS.items():
            await self._give(ATLAS, "grant_office", "sam", person, person=person, office=office)
        self._stage.told("the training lead puts the run's contract forward; the members vote on its hash")
        if (await self._stage.until(RUN, lambda look: True)).phase == "unplanned":
            await self._give(RUN, "plan_run", "lea", contract=await self._terms())
        digest = (await self._stage.until(RUN, lambda look: look.phase != "unplanned")).state.digest
        motion = {"stream": RUN, "command": {"kind": "approve_contract", "contract": digest}}
        await self._give(APPROVAL, "propose", "lea", title="Train Atlas-1 under its contract", motion=motion)
        await self._vote(APPROVAL)
        approved = await self._stage.until(RUN, lambda look: look.phase not in {"unplanned", "planned"})
        self._stage.told(f"  {approved.line}")

    async def train(self) -> None:
        """The run starts, writes half of its checkpoints, and falls silent; its milestone is rejected once and accepted then."""
        self._write(TABLE, _rows(0, HALF))
        self._write(RESULTS, _data("lm-eval-results.json"))
        await self._give(RUN, "start_run", "lea")
        half = await self._stage.until(RUN, lambda look: look.state.book.mark("half-tokens").stage != "waiting")
        self._stage.told(f"the run follows the table of a real one: {half.line}")
        first = await self._presented("half-tokens", "first")
        await self._give(
            RUN, "reject_milestone", "nairobi-net-rep", "first", milestone="half-tokens", evidence=first, reason="The curve of the last thousand steps is missing."
        )  # fmt: skip
        self._stage.told("  its first evidence is rejected, which is final for it")
        silent = await self._stage.until(RUN, lambda look: getattr(look.state, "alarm", "") == "silent")
        self._stage.told(f"  the trainer falls silent, and somebody is paged: {silent.line}")
        self._write(TABLE, _rows(0, HALF + 40))
        await self._stage.until(RUN, lambda look: look.state.book.watch.readings > HALF)
        await self._accepted("half-tokens", await self._presented("half-tokens", "second"))
        self._stage.told("  new evidence is accepted by two reviewers of different organisations: tranche 2 is released")

    async def pay(self) -> None:
        """Tranche 2 is called and paid; the supplier is paid over the bank, signed by different people."""
        await self._stage.until(ROUND, lambda look: 2 in look.state.books.released)
        await self._give(ROUND, "call_tranche", "tess", "second", tranche=2)
        await self._stage.until(
            ROUND, lambda look: 2 in {call.number for call in look.state.books.calls.values()} or len(look.state.books.tranches) > 1
        )
        await self._pay(lambda member: True, "second")
        cleared = await self._stage.until(ROUND, lambda look: look.state.books.totals.cleared > GOAL // 2)
        self._stage.told(f"tranche 2 has cleared: {cleared.line}")
        await self._give(self.treasury, "name_payee", "tess", payee=SUPPLIER, name=SUPPLIER_NAME, iban=SUPPLIER_IBAN)
        named = (await self._stage.until(self.treasury, lambda look: SUPPLIER in look.state.payees)).state.payees[SUPPLIER]
        details = named.proposed.details if named.proposed else named.account_digest
        await self._give(self.treasury, "approve_payee", "theo", payee=SUPPLIER, details=details)
        await self._give(ROUND, "propose_spending", "tess", spending="gpu-1", line="compute", amount=GOAL // 4, payee=SUPPLIER)
        await self._give(ROUND, "approve_spending", "theo", spending="gpu-1")
        await self._sign("gpu-1")
        paid = await self._stage.until(ROUND, lambda look: look.state.books.spent >= GOAL // 4)
        self._stage.told(f"  the supplier is paid, and a statement shows it: {paid.line}")

    async def finish(self) -> None:
        """The run writes the rest, its last milestone is accepted, and it is completed."""
        self._write(TABLE, _rows(0, None))
        await self._stage.until(RUN, lambda look: look.state.book.watch.tokens >= TOKENS)
        await self._accepted("final-checkpoint", await self._presented("final-checkpoint", "final"))
        await self._stage.until(RUN, lambda look: not look.state.book.looking and look.state.book.look > look.state.book.accepted_look)
        await self._give(RUN, "complete_run", "lea")
        done = await self._stage.until(RUN, lambda look: look.phase == "completed")
        self._stage.told(f"the run is completed: {done.line}")

    # ------------------------------------------------------------ the release

    async def release(self) -> None:
        """A real small model is signed, classified, given to members early, held for a while, and made public."""
        if (await self._stage.until(RELEASE, lambda look: True)).phase == "unproposed":
            model_files.write(self._stage.folder / "artifacts" / "atlas-1")
        if key := await self._stage.key_of(RELEASES):
            for person in ("rhea", "sia"):
                await self._give(ATLAS, "enrol_release_key", person, person, **key)
            self._stage.told("rhea and sia enrol the key that signs releases")
        await self._give(RELEASE, "propose_release", "rhea", **_terms_of_release())
        inside = await self._stage.until(RELEASE, lambda look: look.phase not in {"unproposed", "proposed", "verifying"})
        self._stage.told(f"the release is listed, signed, classified and verified: {inside.line}")
        manifest = str(inside.values["manifest"])
        await self._give(RELEASE, "record_evaluation", "eva", evaluation="speech", manifest=manifest, file=RESULTS)
        read = await self._stage.until(RELEASE, lambda look: _evaluated(look) or look.phase not in {"internal", "held"})
        self._stage.told(f"  its evaluation is read from the harness's own results: {read.line}")
        await self._give(RELEASE, "approve_stage", "sia", "members", stage="members", manifest=manifest, office="safety-reviewer")
        for member in EARLY:
            persons = [f"{member}-rep"]
            await self._give(RELEASE, "grant_lease", f"{member}-rep", member, lease=f"{member}-early", member=member, persons=persons)
        await self._advance("members")
        self._stage.told(f"  people of {' and '.join(EARLY)} have it early")
        await self._give(RELEASE, "hold_release", "sia", reason="A report of a wrong detection is looked into.")
        held = await self._stage.until(RELEASE, lambda look: look.phase == "held")
        self._stage.told(f"  {held.line}")
        await self._give(RELEASE, "lift_hold", "sia", reason="It was a microphone.")
        judged = await self._stage.until(RELEASE, lambda look: look.phase == "members" and "report" in look.values)
        await self._give(RELEASE, "review_licence", "luc", manifest=manifest, report=judged.values["report"], accepted=True)
        await self._give(RELEASE, "approve_stage", "luc", "gated", stage="gated", manifest=manifest, office="licence-reviewer")
        await self._advance("gated")
        for person, office in (("bea", "board"), ("ben", "board"), ("sia", "safety-reviewer")):
            await self._give(RELEASE, "approve_stage", person, f"public-{person}", stage="public", manifest=manifest, office=office)
        await self._advance("public")
        shown = await self._stage.until(RELEASE, lambda look: look.phase == "public" and "shown by 1 of 1" in look.line)
        self._stage.told(f"  {shown.line}")

    # ------------------------------------------------------------ an absence

    async def stand_in(self) -> None:
        """The treasurer is away, and nobody calls the last tranche until the duty passes to the deputy whom the charter names."""
        terms = self._charter.silence
        if not terms.duty_days:
            return  # by this charter duties wait for ever
        deputy = terms.line(Office.TREASURER)[0]
        self._stage.told(f"the treasurer is away: nobody calls the last tranche, and after {terms.duty_days} days the duty passes on")
        await self._stage.until(ROUND, lambda look: _passed(look.state) or len(look.state.books.tranches) == LAST)
        person = next(person for person, offices in OFFICERS.items() if deputy in offices)
        await self._give(ROUND, "call_tranche", person, "last", tranche=LAST)
        called = await self._stage.until(ROUND, lambda look: len(look.state.books.tranches) == LAST)
        self._stage.told(f"  {person} has it now ({deputy}), and calls it: {called.line}")

    # ------------------------------------------------------------ scenes

    async def _terms(self) -> dict[str, Any]:
        now = await self._stage.now()
        text = _data("olmo-3-32b-checkpoints.csv").decode().splitlines()[1:]
        steps: dict[str, list[int]] = {}
        for row in text:
            stage, step, *_ = row.split(",")
            steps.setdefault(stage, []).append(int(step))
        stages = [
            {"name": stage, "first_checkpoint": seen[0], "checkpoint_every": 1_000, "last_step": seen[-1]} for stage, seen in steps.items()
        ]
        contract = {
            "title": "Atlas-1, 32B", "lead": "lea", "objective": "A 32B model with open weights, data and code.", "architecture": "decoder-only transformer",
            "parameters_millions": 32_000, "token_budget": TOKENS, "currency": self._charter.currency, "p50": GOAL * 6 // 10, "p80": GOAL * 7 // 10,
            "data_mix": [{"name": "web", "fraction": 7_000}, {"name": "code", "fraction": 2_000}, {"name": "mathematics", "fraction": 1_000}],
            "round": ROUND, "start_funds": GOAL // 4, "stages": stages, "source": {"adapter": "checkpoint-table", "location": TABLE},
            "look_hours": 24, "silent_hours": 24 * 5, "stalled_hours": 24 * 30,
            "milestones": [
                {"id": "half-tokens", "text": "Half of the first stage is trained.", "tranche": 2, "due_at": (now + timedelta(days=300)).isoformat(),
                 "criteria": {"tokens": (HALF - 1) * 8_388_608_000, "scores": [SCORE], "spent_at_most": GOAL * 4 // 10}},
                {"id": "final-checkpoint", "text": "All stages are trained.", "tranche": 3, "due_at": (now + timedelta(days=600)).isoformat(),
                 "criteria": {"tokens": TOKENS, "scores": [SCORE]}},
            ],
        }  # fmt: skip
        return Contract.model_validate(contract, strict=False).model_dump(mode="json")

    async def _vote(self, proposal: str) -> None:
        roll = [each for each in self._organisations if each.member != LEAVER]
        for each in roll:
            look = await self._stage.until(proposal, lambda look: look.phase != "unproposed")
            if look.phase != "open":
                return
            await self._give(proposal, "cast_ballot", each.representative, each.member, member=each.member, choice="yes")

    async def _presented(self, milestone: str, name: str) -> str:
        """Claims a milestone; the digest of the evidence that waits for the reviewers."""
        before = (await self._stage.until(RUN, lambda look: True)).state.book.mark(milestone)
        if before.stage != "accepted":
            await self._give(RUN, "claim_milestone", "lea", name, milestone=milestone, results=RESULTS)
        look = await self._stage.until(RUN, lambda look: look.state.book.mark(milestone).stage in {"presented", "accepted"})
        return str(look.state.book.mark(milestone).evidence)

    async def _accepted(self, milestone: str, evidence: str) -> None:
        for reviewer in REVIEWERS:
            await self._give(RUN, "accept_milestone", reviewer, f"{milestone}-{reviewer}", milestone=milestone, evidence=evidence)

    async def _sign(self, spending: str) -> None:
        """Two different people sign the payment that a spending ordered."""
        look = await self._stage.until(self.treasury, lambda look: any(each.subject == spending for each in look.state.payments.values()))
        name, payment = next((name, each) for name, each in look.state.payments.items() if each.subject == spending)
        details = look.state.payees[payment.payee].account_digest
        digest = payment_digest(name, payment.attempt, payment.amount, payment.currency, payment.payee, details)
        for person in ("theo", "bea"):
            await self._give(self.treasury, "approve_payment", person, person, payment=name, digest=digest)

    async def _advance(self, stage: str) -> Look:
        """Enters a stage as soon as the charter's shortest time in the one before is over."""
        look = await self._stage.until(RELEASE, lambda look: True)
        terms = self._charter.release
        hours = {
            "internal": 0,
            "members": terms.internal.hours,
            "gated": max(terms.members.hours, terms.early_access_hours),
            "public": terms.gated.hours,
        }
        begun = await self._stage.now()
        place = getattr(look.state, "place", None)
        since = getattr(place, "since", begun)
        await self._stage.wait(since + timedelta(hours=hours[stage]))
        await self._give(RELEASE, "advance_release", "rhea", stage, to=stage)
        return await self._stage.until(RELEASE, lambda look: look.phase == stage)

    def _write(self, place: str, content: bytes) -> None:
        """A file of the trainer's, whole or not at all."""
        path = self._stage.folder / "runs" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        beside.write_bytes(content)
        beside.replace(path)


def _terms_of_release() -> Mapping[str, Any]:
    components: Sequence[Mapping[str, Any]] = [{"name": name, "place": place} for name, place in model_files.COMPONENTS]
    return {
        "title": "Atlas-1 voice activity detection", "text": "The rehearsal's model: the weights of Silero VAD.", "run": "atlas-1",
        "location": "atlas-1", "claim": 3, "licences": {"distribution": model_files.LICENCE, "place": "LICENSE"}, "components": components,
        "evaluations": ["speech"], "thresholds": [{"evaluation": "speech", **SCORE}], "card": {"architecture": "STFT, convolutions, LSTM", "intended_use": "Telling speech from silence."},
    }  # fmt: skip


def _passed(state: RoundState) -> bool:
    """Whether the duty that the round waits for passed on from whose it is."""
    books = books_of(state)
    return books is not None and books.watch is not None and bool(books.watch.passed)


def _evaluated(look: Look) -> bool:
    """Whether the results that were named have been judged."""
    place = getattr(look.state, "place", None)
    return "speech" in getattr(getattr(place, "edition", None), "evaluations", ())


def _data(name: str) -> bytes:
    return files("simulation").joinpath("data", name).read_bytes()


def _rows(first: int, last: int | None) -> bytes:
    header, *rows = _data("olmo-3-32b-checkpoints.csv").splitlines(keepends=True)
    return b"".join((header, *rows[first:last]))
