"""What trainers and harnesses really write, read into what a run's contract asks for."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from activities.evaluation import Evaluations, Refused, scores
from activities.telemetry import Following
from domain.kernel import Step
from domain.telemetry import SpikeRule, StagePlan, Watch
from domain.training_messages import FollowTelemetry, ReadEvaluation, Score, Source, TelemetryReported

SHARED = Path(os.environ.get("CONSORTIUM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
PLAN = StagePlan(name="pretraining", first_checkpoint=0, checkpoint_every=1_000, last_step=4_000)
ACC = Score(task="speech_mc", metric="acc,none", at_least=0)


async def followed(
    folder: Path, adapter: Any, location: str, *, before: TelemetryReported | None = None, stages: tuple[StagePlan, ...] = (PLAN,)
) -> TelemetryReported:
    """One look, after an earlier one."""
    asked = FollowTelemetry(
        run="atlas-1", number=1, source=Source(adapter=adapter, location=location), cursor=before.cursor if before else "", stages=stages,
        spikes=SpikeRule(), watch=before.watch if before else Watch(),
    )  # fmt: skip
    outcome = await Following(folder).follow(Step(kind="follow_telemetry", key="follow:1", data=asked.model_dump(mode="json")))
    assert outcome["kind"] == "telemetry_reported", outcome
    return TelemetryReported.model_validate_json(json.dumps(outcome))


def olmo(step: int, loss: float = 2.5) -> str:
    """A line as OLMo-core's metrics are written."""
    return json.dumps({"step": step, "train/CE loss": loss, "throughput/total tokens": step * 8_388_608, "optim/LR": 3e-4}) + "\n"


# ---------------------------------------------------------------- JSON lines


async def test_lines_of_olmo_core_are_read_from_where_the_last_look_ended(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(olmo(step) for step in range(10)) + '{"step": 10, "train/CE', encoding="utf-8")
    first = await followed(tmp_path, "jsonl", "log.jsonl")
    assert (first.watch.step, first.watch.tokens, first.loss_micro, first.watch.readings) == (9, 9 * 8_388_608, 2_500_000, 10)
    assert first.unreadable == 0
    with log.open("a", encoding="utf-8") as more:
        more.write(' loss": 2.25}\n' + olmo(11, 2.125))
    second = await followed(tmp_path, "jsonl", "log.jsonl", before=first)
    assert (second.watch.step, second.loss_micro, second.watch.readings) == (11, 2_125_000, 12)
    assert (await followed(tmp_path, "jsonl", "log.jsonl", before=second)).watch == second.watch


async def test_lines_of_levanter_and_marin_are_known(tmp_path: Path) -> None:
    line = {"_step": 7, "global_step": 7, "train/loss": 3.0625, "throughput/total_tokens": 1.4e6, "_timestamp": 1.7e9}
    (tmp_path / "wandb.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "wandb.jsonl")
    assert (told.watch.step, told.watch.tokens, told.loss_micro) == (7, 1_400_000, 3_062_500)


async def test_what_cannot_be_understood_is_counted_and_passed_over(tmp_path: Path) -> None:
    lines = [
        olmo(1),
        "not json\n",
        '{"step": "x", "loss": 1}\n',
        '{"step": 2, "loss": NaN}\n',
        "[1]\n",
        '{"step": 3}\n',
        "x" * 3_000_000 + "\n",
        olmo(4),
    ]
    (tmp_path / "log.jsonl").write_text("".join(lines), encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert (told.watch.step, told.watch.readings, told.unreadable) == (4, 2, 6)


async def test_a_file_that_was_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(olmo(step) for step in range(50)), encoding="utf-8")
    first = await followed(tmp_path, "jsonl", "log.jsonl")
    log.write_text("".join(olmo(step, 2.4) for step in range(20, 25)), encoding="utf-8")
    again = await followed(tmp_path, "jsonl", "log.jsonl", before=first)
    assert again.restarts[0].from_step == 49
    assert again.watch.step == 24


async def test_a_loss_far_above_the_others_is_a_spike_and_a_step_back_a_restart(tmp_path: Path) -> None:
    rows = [olmo(step, 2.5 - step / 1_000) for step in range(40)] + [olmo(40, 9.0), olmo(20, 2.4)]
    (tmp_path / "log.jsonl").write_text("".join(rows), encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert [spike.step for spike in told.spikes] == [40]
    assert [(restart.from_step, restart.to_step) for restart in told.restarts] == [(40, 20)]


async def test_a_checkpoint_file_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "step0").write_bytes(b"weights")
    rows = [{"step": 0, "loss": 1, "checkpoint": "step0"}, {"step": 1000, "loss": 1, "checkpoint": "../step1000"}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert [(each.first_step, each.last_step, each.count) for each in told.checkpoints] == [(0, 1_000, 2)]


@pytest.mark.parametrize("location", ["absent.jsonl", "../log.jsonl", "link.jsonl"])
async def test_a_source_that_cannot_be_read_waits_for_a_person(tmp_path: Path, location: str) -> None:
    (tmp_path / "link.jsonl").symlink_to("/etc/passwd")
    asked = FollowTelemetry(
        run="a", number=1, source=Source(adapter="jsonl", location=location), cursor="", stages=(PLAN,), spikes=SpikeRule(), watch=Watch()
    )
    outcome = await Following(tmp_path).follow(Step(kind="follow_telemetry", key="follow:1", data=asked.model_dump(mode="json")))
    assert outcome["kind"] == "fail_step"


# ---------------------------------------------------------------- tables


async def test_a_table_of_checkpoints_names_the_one_that_is_missing(tmp_path: Path) -> None:
    rows = "".join(f"pretraining,{step},{step * 8},https://x.example/step{step}/\n" for step in (0, 1_000, 3_000, 4_000))
    (tmp_path / "table.csv").write_text("Stage,Step,Tokens Seen,Checkpoint Directory\n" + rows, encoding="utf-8")
    told = await followed(tmp_path, "checkpoint-table", "table.csv")
    assert [(each.stage, each.step) for each in told.missing] == [("pretraining", 2_000)]
    assert sum(each.count for each in told.checkpoints) == 4


@pytest.mark.skipif(not (SHARED / "training").is_dir(), reason="the shared inputs are not here")
async def test_the_real_table_of_a_32b_run_has_742_checkpoints_in_six_stages(tmp_path: Path) -> None:
    stages = (
        StagePlan(name="stage1_pretraining", first_checkpoint=0, checkpoint_every=1_000, last_step=679_000),
        *(
            StagePlan(name=f"stage2_midtraining_ingredient{n}", first_checkpoint=1_000, checkpoint_every=1_000, last_step=23_842)
            for n in (1, 2)
        ),
        StagePlan(name="stage2_midtraining_souped", first_checkpoint=23_842, checkpoint_every=1, last_step=23_842),
        StagePlan(name="stage3_longcontext", first_checkpoint=1_000, checkpoint_every=1_000, last_step=11_921),
        StagePlan(name="stage3_longcontext_souped", first_checkpoint=11_921, checkpoint_every=1, last_step=11_921),
    )
    told = await followed(SHARED / "training", "checkpoint-table", "OLMo-3-1025-32B.csv", stages=stages)
    assert sum(each.count for each in told.checkpoints) == 742
    assert [each.stage for each in told.checkpoints] == [stage.name for stage in stages]
    assert (told.watch.tokens, told.missing, told.unreadable) == (5_979_089_403_904, (), 0)
    lines = (SHARED / "training" / "OLMo-3-1025-32B.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "copy.csv").write_text(
        "".join(line for line in lines if not line.startswith("stage1_pretraining,345000,")), encoding="utf-8"
    )
    gap = await followed(tmp_path, "checkpoint-table", "copy.csv", stages=stages)
    assert [(each.stage, each.step) for each in gap.missing] == [("stage1_pretraining", 345_000)]


# ---------------------------------------------------------------- servers


@contextmanager
def mlflow(points: list[tuple[int, float]]) -> Iterator[str]:
    """A server that speaks the part of MLflow's REST API that is used, in pages of two."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place, asked = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
            if asked.get("run_id") != ["r1"]:
                return self._say(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
            if place.path.endswith("/runs/get"):
                metrics = [{"key": "train/loss", "value": 1.0, "timestamp": 0, "step": 0}]
                return self._say(200, {"run": {"info": {"run_id": "r1"}, "data": {"metrics": metrics}}})
            start = int(asked.get("page_token", ["0"])[0])
            page = [{"key": "train/loss", "value": value, "timestamp": step, "step": step} for step, value in points[start : start + 2]]
            more = {"next_page_token": str(start + 2)} if start + 2 < len(points) else {}
            return self._say(200, {"metrics": page} | more)

        def _say(self, code: int, body: Any) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


async def test_mlflow_is_followed_page_by_page_and_from_where_it_ended(tmp_path: Path) -> None:
    points = [(step, 3.0 - step / 100) for step in range(5)]
    with mlflow(points) as address:
        first = await followed(tmp_path, "mlflow", f"{address}#r1")
        assert (first.watch.step, first.watch.readings, first.loss_micro) == (4, 5, 2_960_000)
        points.append((5, 2.5))
        second = await followed(tmp_path, "mlflow", f"{address}#r1", before=first)
        assert (second.watch.readings, second.loss_micro) == (6, 2_500_000)
        asked: dict[str, Any] = {"adapter": "mlflow", "location": f"{address}#r2"}
        data = FollowTelemetry(run="a", number=1, source=Source(**asked), cursor="", stages=(PLAN,), spikes=SpikeRule(), watch=Watch())
        outcome = await Following(tmp_path).follow(Step(kind="follow_telemetry", key="f", data=data.model_dump(mode="json")))
        assert outcome["kind"] == "fail_step"


async def test_event_files_of_tensorboard_are_followed(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def write(steps: range) -> None:
        writer = EventFileWriter(str(tmp_path / "logs"))
        for step in steps:
            values = [Summary.Value(tag="train/loss", simple_value=2.5), Summary.Value(tag="total_tokens", simple_value=step * 1_024.0)]
            writer.add_event(Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=values)))
        writer.close()

    write(range(5))
    first = await followed(tmp_path, "tensorboard", "logs")
    assert (first.watch.step, first.watch.tokens, first.loss_micro, first.watch.readings) == (4, 4_096, 2_500_000, 5)


# ---------------------------------------------------------------- evaluations


def lm_eval(**changes: Any) -> bytes:
    """A results file in the form of lm-evaluation-harness 0.4."""
    value: dict[str, Any] = {
        "results": {"speech_mc": {"alias": "speech_mc", "acc,none": 0.7, "acc_stderr,none": 0.105131}},
        "n-samples": {"speech_mc": {"original": 20, "effective": 20}}, "config": {"limit": None}, "versions": {"speech_mc": 1.0},
        "lm_eval_version": "0.4.13", "model_name": "atlas-1",
    }  # fmt: skip
    return json.dumps(value | changes).encode()


def inspect_log(**changes: Any) -> bytes:
    """A log in the form of Inspect AI."""
    value: dict[str, Any] = {
        "version": 2, "status": "success", "eval": {"task": "speech_mc", "model": "atlas/1", "config": {}},
        "results": {"total_samples": 20, "completed_samples": 20,
                    "scores": [{"name": "choice", "metrics": {"accuracy": {"value": 0.85}, "stderr": {"value": 0.08}}}]},
    }  # fmt: skip
    return json.dumps(value | changes).encode()


def test_a_whole_run_of_lm_evaluation_harness_proves_its_score() -> None:
    harness, model, (found,) = scores(lm_eval(), (ACC,))
    assert (harness, model, found.value, found.stderr, found.samples) == ("lm-evaluation-harness 0.4.13", "atlas-1", 700_000, 105_131, 20)


def test_a_whole_run_of_inspect_proves_its_score() -> None:
    _, model, (found,) = scores(inspect_log(), (Score(task="speech_mc", metric="accuracy", at_least=0),))
    assert (model, found.value, found.stderr, found.samples) == ("atlas/1", 850_000, 80_000, 20)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (lm_eval(config={"limit": 5}), "limited"),
        (lm_eval(**{"n-samples": {"speech_mc": {"original": 20, "effective": 5}}}), "5 of 20"),
        (lm_eval(**{"n-samples": {}}), "how many"),
        (lm_eval(results={"other": {}}), "was not run"),
        (lm_eval(results={"speech_mc": {"acc,none": "N/A"}}), "has no acc,none"),
        (inspect_log(status="started"), "started"),
        (inspect_log(results={"total_samples": 20, "completed_samples": 19, "scores": []}), "19 of 20"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"results": NaN}', "no number"),
        (b"[" * 200_000, "levels"),
        (b'{"results": ' + b"[" * 100 + b"]" * 100 + b"}", "levels"),
        (b"{}", "neither"),
        (b"\xff", "readable"),
    ],
)  # fmt: skip
def test_a_partial_run_or_another_file_proves_nothing(body: bytes, told: str) -> None:
    with pytest.raises(Refused, match=told):
        scores(body, (ACC,))


async def test_a_results_file_is_read_where_it_lies_and_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(lm_eval())
    asked = ReadEvaluation(run="a", milestone="end", claim=1, file="results.json", scores=(ACC,))
    step = Step(kind="read_evaluation", key="evaluate:end:1", data=asked.model_dump(mode="json"))
    outcome = await Evaluations(tmp_path).read(step)
    assert outcome["kind"] == "evaluation_read"
    assert outcome == await Evaluations(tmp_path).read(step)
    (tmp_path / "results.json").write_bytes(lm_eval(config={"limit": 1}))
    assert (await Evaluations(tmp_path).read(step))["kind"] == "evaluation_refused"
    (tmp_path / "results.json").unlink()
    assert (await Evaluations(tmp_path).read(step))["kind"] == "fail_step"


@pytest.mark.skipif(not (SHARED / "evaluation").is_dir(), reason="the shared inputs are not here")
def test_the_real_results_file_is_a_whole_run_of_twenty_items() -> None:
    body = (SHARED / "evaluation" / "lm_eval_results_toy.json").read_bytes()
    _, _, (found,) = scores(body, (Score(task="consortium_toy_mc", metric="acc,none", at_least=0),))
    assert (found.value, found.samples) == (700_000, 20)
