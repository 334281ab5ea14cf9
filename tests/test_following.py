"""What trainers and harnesses really write, read into what a run's contract asks for."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from temporalio.testing import ActivityEnvironment

from activities.private import Private
from activities.run.evaluation import LIMIT, Evaluations, Refused, scores
from activities.run.telemetry import Following
from activities.web import Web
from domain.evaluation import ReadEvaluation, Score
from domain.kernel import Message, Step
from domain.run import steps
from domain.run.readings import unfinished
from domain.run.telemetry import SpikeRule, StagePlan, Watch
from domain.run.terms import Source

SHARED = Path(os.environ.get("CONSORTIUM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
PLAN = StagePlan(name="pretraining", first_checkpoint=0, checkpoint_every=1_000, last_step=4_000)
ACC = Score(task="speech_mc", metric="acc,none", at_least=0)


async def followed(
    folder: Path, adapter: Any, location: str, *, before: steps.TelemetryReported | None = None, stages: tuple[StagePlan, ...] = (PLAN,)
) -> steps.TelemetryReported:
    """One look, after an earlier one."""
    outcome = await looked(folder, adapter, location, before=before, stages=stages)
    assert outcome["kind"] == "telemetry_reported", outcome
    return steps.TelemetryReported.model_validate_json(json.dumps(outcome))


async def looked(
    folder: Path, adapter: Any, location: str, *, before: steps.TelemetryReported | None = None, stages: tuple[StagePlan, ...] = (PLAN,)
) -> dict[str, Any]:
    """What comes of one look, whatever it is."""
    asked = steps.FollowTelemetry(
        run="atlas-1", number=1, source=Source(adapter=adapter, location=location), cursor=before.cursor if before else "", stages=stages,
        spikes=SpikeRule(), watch=before.watch if before else Watch(),
    )  # fmt: skip
    here = Web(Private.parse("127.0.0.1"))
    return await Following(folder, here).follow(Step(kind="follow_telemetry", key="follow:1", data=asked.model_dump(mode="json")))


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
    assert (told.watch.step, told.watch.readings, told.unreadable) == (4, 3, 5)


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


@pytest.mark.parametrize("adapter", ["jsonl", "checkpoint-table", "tensorboard"])
@pytest.mark.parametrize("location", ["../log.jsonl", "link.jsonl", "/etc/passwd"])
async def test_a_source_that_cannot_be_read_waits_for_a_person(tmp_path: Path, adapter: str, location: str) -> None:
    (tmp_path / "link.jsonl").symlink_to("/etc/passwd")
    assert (await looked(tmp_path, adapter, location))["kind"] == "fail_step"


@pytest.mark.parametrize("adapter", ["jsonl", "checkpoint-table", "tensorboard"])
async def test_a_source_that_is_not_there_has_nothing_new(tmp_path: Path, adapter: str) -> None:
    before = steps.TelemetryReported(step="f", number=1, cursor="12:0123456789abcdef", watch=Watch(readings=7))
    told = await followed(tmp_path, adapter, "atlas-1/log", before=before)
    assert (told.watch, told.cursor) == (before.watch, before.cursor)


async def test_a_table_whose_header_is_not_written_yet_has_nothing_new(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("Stage,St", encoding="utf-8")
    assert (await followed(tmp_path, "checkpoint-table", "table.csv")).watch == Watch()


async def test_the_last_line_is_read_without_its_end_when_the_file_grows_no_more(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(olmo(1) + olmo(2).rstrip(), encoding="utf-8")
    first = await followed(tmp_path, "jsonl", "log.jsonl")
    second = await followed(tmp_path, "jsonl", "log.jsonl", before=first)
    assert [each.watch.readings for each in (first, second)] == [1, 2]
    with log.open("a", encoding="utf-8") as more:
        more.write("\n" + olmo(3)[:20])
    third = await followed(tmp_path, "jsonl", "log.jsonl", before=second)
    torn = await followed(tmp_path, "jsonl", "log.jsonl", before=third)
    with log.open("a", encoding="utf-8") as more:
        more.write(olmo(3)[20:])
    whole = await followed(tmp_path, "jsonl", "log.jsonl", before=torn)
    assert [each.watch.readings for each in (third, torn, whole)] == [2, 2, 3]
    assert whole.unreadable == 0


@pytest.mark.parametrize(
    "row",
    [
        {"step": 1, "loss": 1, "stage": "pre/train", "checkpoint": "c"},
        {"step": 10**13, "loss": 1},
        {"step": 1, "loss": "much"},
    ],
)
async def test_a_value_beyond_every_bound_makes_its_row_unreadable_and_no_other(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n" + olmo(4), encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert (told.unreadable, told.watch.step, told.watch.readings) == (1, 4, 1)


@pytest.mark.parametrize("cost", [10**18, 10**15 + 1, 12.5, -1, "much"])
async def test_a_cost_that_can_be_none_is_not_told_and_the_rest_of_its_row_is(tmp_path: Path, cost: Any) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1, "cost_minor": cost}) + "\n", encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert (told.cost, told.loss_micro) == (None, 1_000_000)


@pytest.mark.parametrize("loss", ["NaN", "Infinity", "-Infinity", "1e300", '"nan"'])
async def test_a_run_that_has_diverged_is_not_silent(tmp_path: Path, loss: str) -> None:
    rows = f'{{"step":0,"loss":1,"checkpoint":"c0"}}\n{{"step":1000,"loss":{loss},"checkpoint":"c1","tokens":8}}\n'
    (tmp_path / "log.jsonl").write_text(rows, encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert told.diverged is not None
    assert (told.diverged.step, told.diverged.lasting, told.loss_micro) == (1_000, True, None)
    assert (told.watch.tokens, told.watch.checkpoints, told.unreadable) == (8, 2, 0)


async def test_a_row_without_a_stage_is_of_the_stage_of_the_row_before(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"step": 0, "stage": "a"}, {"step": 10, "stage": "b"}, {"step": 20}, {"step": 30, "stage": "b"}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row | {"loss": 1}) + "\n" for row in rows), encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert [(each.stage, each.highest) for each in told.watch.stages] == [("a", 0), ("b", 30)]
    assert told.restarts == ()


async def test_lines_of_levanters_json_logger_nest_their_metrics(tmp_path: Path) -> None:
    line = {"tracker": "json_logger", "event": "log", "step": 7, "metrics": {"train/loss": 3.0, "throughput/total_tokens": 1_400}}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert (told.watch.step, told.watch.tokens, told.loss_micro) == (7, 1_400, 3_000_000)


async def test_how_long_nobody_wrote_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(olmo(1), encoding="utf-8")
    assert (await followed(tmp_path, "jsonl", "log.jsonl")).quiet_seconds < 60
    hour_ago = time.time() - 3_600
    os.utime(tmp_path / "log.jsonl", (hour_ago, hour_ago))
    assert 3_600 <= (await followed(tmp_path, "jsonl", "log.jsonl")).quiet_seconds < 3_660


def weights(shape: list[int], size: int) -> bytes:
    """A safetensors file of one tensor that should be of this shape."""
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize(
    ("content", "loadable"),
    [(weights([2, 3], 12), True), (weights([2, 3], 12)[:-1], False), (weights([2, 3], 10), False), (b"", False), (b"\xff" * 64, False)],
)
async def test_a_checkpoint_that_cannot_be_loaded_is_none(tmp_path: Path, content: bytes, *, loadable: bool) -> None:
    (tmp_path / "step0.safetensors").write_bytes(content)
    (tmp_path / "log.jsonl").write_text('{"step": 0, "loss": 1, "checkpoint": "step0.safetensors"}\n', encoding="utf-8")
    told = await followed(tmp_path, "jsonl", "log.jsonl")
    assert (told.watch.checkpoints, told.watch.unhashed, told.unreadable) == (int(loadable), 0, int(not loadable))
    assert told.watch.readings == 1


# ---------------------------------------------------------------- tables


async def test_a_table_of_checkpoints_names_the_one_that_is_missing(tmp_path: Path) -> None:
    rows = "".join(f"pretraining,{step},{step * 8},https://x.example/step{step}/\n" for step in (0, 1_000, 3_000, 4_000))
    (tmp_path / "table.csv").write_text("Stage,Step,Tokens Seen,Checkpoint Directory\n" + rows, encoding="utf-8")
    told = await followed(tmp_path, "checkpoint-table", "table.csv")
    assert [(each.stage, each.step) for each in told.missing] == [("pretraining", 2_000)]
    assert sum(each.count for each in told.checkpoints) == 4


HEADER = "Stage,Step,Tokens Seen,Checkpoint Directory\n"
ROWS = [f"pretraining,{step},{step * 8},https://x.example/step{step}/\n" for step in range(0, 5_000, 1_000)]


async def test_a_row_that_is_taken_from_a_table_later_is_a_gap_until_it_is_back(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    told = None
    for rows, missing, found in ((ROWS, [], []), ([*ROWS[:2], *ROWS[3:]], [2_000], []), (ROWS, [], [2_000])):
        table.write_text(HEADER + "".join(rows), encoding="utf-8")
        told = await followed(tmp_path, "checkpoint-table", "table.csv", before=told)
        assert [each.step for each in told.missing] == missing
        assert [each.step for each in told.found] == found
        assert told.restarts == ()


async def test_a_table_that_ends_without_a_newline_and_begins_with_a_mark_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + "".join(ROWS)).rstrip().encode())
    stages = (PLAN, StagePlan(name="soup", first_checkpoint=0, checkpoint_every=1, last_step=0))
    first = await followed(tmp_path, "checkpoint-table", "table.csv", stages=stages)
    second = await followed(tmp_path, "checkpoint-table", "table.csv", stages=stages, before=first)
    assert [each.watch.checkpoints for each in (first, second)] == [4, 5]
    assert (second.missing, second.unreadable, second.restarts) == ((), 0, ())


async def test_a_table_by_ingredients_tells_its_stages(tmp_path: Path) -> None:
    plans = {"1": 11_921, "2": 11_921, "3": 35_763}
    stages = [StagePlan(name=name, first_checkpoint=1_000, checkpoint_every=1_000, last_step=last) for name, last in plans.items()]
    rows = [
        f"{name},{step},{step},https://x.example/{name}/{step}/\n"
        for name, last in plans.items()
        for step in (*range(1_000, last, 1_000), last)
    ]
    (tmp_path / "table.csv").write_text("Ingredient,Step,Tokens Seen,Checkpoint Directory\n" + "".join(rows), encoding="utf-8")
    told = await followed(tmp_path, "checkpoint-table", "table.csv", stages=tuple(stages))
    assert (told.missing, told.watch.checkpoints) == ((), len(rows))
    assert [each.stage for each in told.checkpoints] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Step,Tokens Seen,Checkpoint Directory", "stage"),
        ("Stage,Step,Checkpoint Directory", "tokens"),
        ("Stage,Step,Tokens Seen", "no table of checkpoints"),
    ],
)
async def test_a_table_that_does_not_tell_what_a_run_is_followed_by_is_refused(tmp_path: Path, header: str, said: str) -> None:
    (tmp_path / "table.csv").write_text(f"{header}\n", encoding="utf-8")
    stages = (PLAN, StagePlan(name="soup", first_checkpoint=0, checkpoint_every=1, last_step=0))
    outcome = await looked(tmp_path, "checkpoint-table", "table.csv", stages=stages)
    assert outcome["kind"] == "fail_step"
    assert said in outcome["reason"]


OLMO = (
    StagePlan(name="stage1_pretraining", first_checkpoint=0, checkpoint_every=1_000, last_step=679_000),
    *(
        StagePlan(name=f"stage2_midtraining_ingredient{n}", first_checkpoint=1_000, checkpoint_every=1_000, last_step=23_842)
        for n in (1, 2)
    ),
    StagePlan(name="stage2_midtraining_souped", first_checkpoint=23_842, checkpoint_every=1, last_step=23_842),
    StagePlan(name="stage3_longcontext", first_checkpoint=1_000, checkpoint_every=1_000, last_step=11_921),
    StagePlan(name="stage3_longcontext_souped", first_checkpoint=11_921, checkpoint_every=1, last_step=11_921),
)
TABLE = Path(__file__).parents[1] / "simulation" / "data" / "olmo-3-32b-checkpoints.csv"


async def test_the_real_table_of_a_32b_run_has_742_checkpoints_in_six_stages() -> None:
    told = await followed(TABLE.parent, "checkpoint-table", TABLE.name, stages=OLMO)
    assert sum(each.count for each in told.checkpoints) == 742
    assert [each.stage for each in told.checkpoints] == [stage.name for stage in OLMO]
    assert (told.watch.tokens, told.missing, told.unreadable) == (5_979_089_403_904, (), 0)
    assert unfinished(OLMO, told.watch) == []


# ---------------------------------------------------------------- servers


Series = list[tuple[int, int, Any]]
"""Points of a metric: when, at which step, and what."""


@contextmanager
def mlflow(metrics: Mapping[str, Series]) -> Iterator[str]:
    """A server that speaks the part of MLflow's REST API that is used, in pages of two."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place, asked = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
            if asked.get("run_id") != ["r1"]:
                return self._say(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
            if place.path.endswith("/runs/get"):
                known = [{"key": key, "value": 1.0, "timestamp": 0, "step": 0} for key in metrics]
                return self._say(200, {"run": {"info": {"run_id": "r1"}, "data": {"metrics": known}}})
            (key,), start = asked["metric_key"], int(asked.get("page_token", ["0"])[0])
            points = metrics[key]
            page = [{"key": key, "value": value, "timestamp": at, "step": step} for at, step, value in points[start : start + 2]]
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
    losses: Series = [(step, step, 3.0 - step / 100) for step in range(5)]
    with mlflow({"train/loss": losses}) as address:
        first = await followed(tmp_path, "mlflow", f"{address}#r1")
        assert (first.watch.step, first.watch.readings, first.loss_micro) == (4, 5, 2_960_000)
        assert first.quiet_seconds > 1_000_000
        losses.append((5, 5, 2.5))
        second = await followed(tmp_path, "mlflow", f"{address}#r1", before=first)
        assert (second.watch.readings, second.loss_micro) == (6, 2_500_000)
        assert (await looked(tmp_path, "mlflow", f"{address}#r2"))["kind"] == "fail_step"


async def test_tokens_that_mlflow_has_at_other_steps_than_the_loss_count(tmp_path: Path) -> None:
    tokens: Series = [(15, 15, 1_500), (30, 30, 3_000)]
    with mlflow({"train/loss": [(10, 10, 3.0), (20, 20, 2.5), (40, 10, 2.75)], "total_tokens": tokens}) as address:
        first = await followed(tmp_path, "mlflow", f"{address}#r1")
        assert (first.watch.tokens, first.watch.readings, first.loss_micro) == (3_000, 5, 2_750_000)
        assert [(each.from_step, each.to_step) for each in first.restarts] == [(30, 10)]
        tokens.append((50, 50, 5_000))
        second = await followed(tmp_path, "mlflow", f"{address}#r1", before=first)
        assert (second.watch.tokens, second.watch.readings, second.restarts) == (5_000, 6, ())


def events(folder: Path, *rows: tuple[int, float, float]) -> Path:
    """An event file of TensorBoard with these steps, losses and tokens, as the first version of its writers made them."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step, loss, tokens in rows:
        values = [Summary.Value(tag="train/loss", simple_value=loss), Summary.Value(tag="total_tokens", simple_value=tokens)]
        writer.add_event(Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=values)))
    writer.close()
    return max(folder.iterdir())


async def test_event_files_of_tensorboard_are_followed(tmp_path: Path) -> None:
    file = events(tmp_path / "logs", *((step, 2.5, step * 1_024.0) for step in range(5)))
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    first = await followed(tmp_path, "tensorboard", "logs")
    assert (first.watch.step, first.watch.tokens, first.loss_micro, first.watch.readings) == (3, 3_072, 2_500_000, 4)
    file.write_bytes(whole)
    second = await followed(tmp_path, "tensorboard", "logs", before=first)
    assert (second.watch.step, second.watch.tokens, second.watch.readings) == (4, 4_096, 5)
    assert second.quiet_seconds > 1_000_000


async def test_a_step_back_within_one_look_at_event_files_is_a_restart(tmp_path: Path) -> None:
    events(tmp_path / "logs", *((step, 2.5, step) for step in (0, 10, 20, 10)))
    told = await followed(tmp_path, "tensorboard", "logs")
    assert [(each.from_step, each.to_step) for each in told.restarts] == [(20, 10)]


async def test_scalars_that_the_second_version_of_tensorboard_keeps_as_tensors_are_known(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    event = Event(wall_time=1.7e9, step=5)
    value = event.summary.value.add(tag="train/loss")
    value.tensor.dtype = 1
    value.tensor.tensor_shape.SetInParent()
    value.tensor.tensor_content = struct.pack("<f", 3.25)
    value.metadata.plugin_data.plugin_name = "scalars"
    writer = EventFileWriter(str(tmp_path / "logs"))
    writer.add_event(event)
    writer.close()
    assert (await followed(tmp_path, "tensorboard", "logs")).loss_micro == 3_250_000


async def test_a_cursor_of_another_source_begins_anew(tmp_path: Path) -> None:
    events(tmp_path / "logs", (1, 2.5, 8))
    before = steps.TelemetryReported(step="f", number=1, cursor="123:abcdef0123456789", watch=Watch())
    assert (await followed(tmp_path, "tensorboard", "logs", before=before)).watch.step == 1


# ---------------------------------------------------------------- killed, and alive


async def test_a_look_shows_that_it_lives_and_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("".join(olmo(step) for step in range(150_000)), encoding="utf-8")
    asked = steps.FollowTelemetry(
        run="a",
        number=1,
        source=Source(adapter="jsonl", location="log.jsonl"),
        cursor="",
        stages=(PLAN,),
        spikes=SpikeRule(),
        watch=Watch(),
    )
    environment, beats, began = ActivityEnvironment(), list[Any](), asyncio.Event()

    def beat(*details: Any) -> None:
        beats.append(details)
        began.set()

    environment.on_heartbeat = beat
    step = Step(kind="follow_telemetry", key="follow:1", data=asked.model_dump(mode="json"))
    look = asyncio.create_task(environment.run(Following(tmp_path).follow, step))
    await began.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert beats


@pytest.mark.parametrize("activity", ["follow_telemetry", "read_evaluation"])
async def test_a_step_that_is_killed_at_any_instant_tells_the_same_when_it_is_tried_again(tmp_path: Path, activity: str) -> None:
    (tmp_path / "log.jsonl").write_text("".join(olmo(step) for step in range(2_000)), encoding="utf-8")
    (tmp_path / "results.json").write_bytes(lm_eval())
    asked: dict[str, Message] = {
        "follow_telemetry": steps.FollowTelemetry(
            run="a", number=1, source=Source(adapter="jsonl", location="log.jsonl"), cursor="", stages=(PLAN,), spikes=SpikeRule(), watch=Watch()
        ),
        "read_evaluation": ReadEvaluation(run="a", subject="end", number=1, file="results.json", scores=(ACC,)),
    }  # fmt: skip
    carry_out = {**Following(tmp_path).activities(), **Evaluations(tmp_path).activities()}[activity]
    step = Step(kind=activity, key="x", data=asked[activity].model_dump(mode="json"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    whole = await carry_out(step)
    for wait in (0, 0.001, 0.005, 0.02):
        killed = asyncio.ensure_future(ActivityEnvironment().run(carry_out, step))
        await asyncio.sleep(wait)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        again = await carry_out(step)
        assert {**again, "quiet_seconds": 0} == {**whole, "quiet_seconds": 0}
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


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
    asked = ReadEvaluation(run="a", subject="end", number=1, file="results.json", scores=(ACC,))
    step = Step(kind="read_evaluation", key="evaluate:end:1", data=asked.model_dump(mode="json"))
    outcome = await Evaluations(tmp_path).read(step)
    assert outcome["kind"] == "evaluation_read"
    assert outcome == await Evaluations(tmp_path).read(step)
    (tmp_path / "results.json").write_bytes(lm_eval(config={"limit": 1}))
    assert (await Evaluations(tmp_path).read(step))["kind"] == "evaluation_refused"
    (tmp_path / "results.json").unlink()
    assert (await Evaluations(tmp_path).read(step))["kind"] == "evaluation_refused"


@pytest.mark.parametrize("file", ["absent.json", "../results.json", "link.json", "folder", "huge.json"])
async def test_a_results_file_that_cannot_be_read_proves_nothing(tmp_path: Path, file: str) -> None:
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "huge.json").open("wb") as huge:
        huge.truncate(LIMIT + 1)
    asked = ReadEvaluation(run="a", subject="end", number=1, file=file, scores=(ACC,))
    outcome = await Evaluations(tmp_path).read(Step(kind="read_evaluation", key="e", data=asked.model_dump(mode="json")))
    assert (outcome["kind"], file in outcome["reason"]) == ("evaluation_refused", True)


def inspect_scores(*scorers: dict[str, Any], total: int = 20, **described: Any) -> bytes:
    """A log with these scorers, of an evaluation that is described so."""
    results = {"total_samples": total, "completed_samples": total, "scores": list(scorers)}
    return inspect_log(eval={"task": "speech_mc", "model": "atlas/1", "config": {}, **described}, results=results)


def scorer(name: str, value: float, **more: Any) -> dict[str, Any]:
    """What one scorer of Inspect says of the accuracy."""
    return {"name": name, "metrics": {"accuracy": {"value": value}}, **more}


ACCURACY = Score(task="speech_mc", metric="accuracy", at_least=0)
MMLU: dict[str, Any] = {
    "results": {"mmlu": {"acc,none": 0.7}, "mmlu_a": {"acc,none": 0.7}, "mmlu_b": {"acc,none": 0.7}},
    "group_subtasks": {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_a", "mmlu_b"], "mmlu_a": []},
}  # fmt: skip


def test_a_group_is_whole_when_each_of_its_tasks_is() -> None:
    group = Score(task="mmlu", metric="acc,none", at_least=0)
    counts = {"mmlu_a": {"original": 5, "effective": 5}, "mmlu_b": {"original": 7, "effective": 7}}
    _, _, (found,) = scores(lm_eval(**MMLU, **{"n-samples": counts}), (group,))
    assert (found.value, found.samples) == (700_000, 12)
    for lacking, said in (({"mmlu_b": {"original": 7, "effective": 6}}, "mmlu_b: 6 of 7"), ({"mmlu_b": None}, "mmlu_b: the file does not")):
        with pytest.raises(Refused, match=said):
            scores(lm_eval(**MMLU, **{"n-samples": counts | lacking}), (group,))


def test_no_rounding_reaches_a_bound() -> None:
    perplexity = Score(task="speech_mc", metric="ppl,none", at_most=600_000)
    _, _, (low, high) = scores(lm_eval(results={"speech_mc": {"acc,none": 0.5999999, "ppl,none": 0.6000001}}), (ACC, perplexity))
    assert (low.value, high.value) == (599_999, 600_001)


@pytest.mark.parametrize(
    ("body", "score", "told"),
    [
        (lm_eval(results={"speech_mc": {"acc,none": 1.0, "sample_len": 2}}), ACC, "2 of 20"),
        (lm_eval(config={"limit": None, "samples": {"speech_mc": [1]}}), ACC, "chosen items"),
        (lm_eval(**{"n-samples": {"speech_mc": {"original": True, "effective": True}}}), ACC, "how many"),
        (lm_eval(results=None), ACC, "no table"),
        (lm_eval(results={"speech_mc": [1]}), ACC, "no table"),
        (json.dumps({"results": {"speech_mc": {"acc,none": 0.7}}, "versions": {}}).encode(), ACC, "n-samples"),
        (lm_eval(higher_is_better={"speech_mc": {"acc": False}}), ACC, "at_most"),
        (lm_eval(higher_is_better={"speech_mc": {"acc": True}}), Score(task="speech_mc", metric="acc,none", at_most=0), "at_least"),
        (inspect_scores(scorer("choice", 1.0), config={"sample_id": ["1"]}), ACCURACY, "limited"),
        (inspect_scores(scorer("choice", 1.0), dataset={"samples": 200}), ACCURACY, "20 of 200"),
        (inspect_scores(scorer("choice", 1.0), dataset={"samples": 20}, config={"epochs": 4}), ACCURACY, "20 of 80"),
        (inspect_scores(scorer("choice", 1.0, scored_samples=3, unscored_samples=17)), ACCURACY, "3 of 20"),
        (inspect_scores(scorer("lenient", 1.0), scorer("strict", 0.1)), ACCURACY, "several accuracy.*lenient/accuracy, strict/accuracy"),
        (
            inspect_scores(scorer("choice", 0.2, reducer="mean"), scorer("choice", 0.9, reducer="max")),
            Score(task="speech_mc", metric="choice/accuracy", at_least=0), "choice/max/accuracy, choice/mean/accuracy",
        ),
        (inspect_log(results={"total_samples": 20, "completed_samples": 20, "scores": None}), ACCURACY, "no scores"),
        (inspect_log(results={"total_samples": True, "completed_samples": True, "scores": []}), ACCURACY, "does not tell"),
        (inspect_log(results=None), ACCURACY, "no table"),
        (inspect_log(invalidated=True), ACCURACY, "invalidated"),
    ],
)  # fmt: skip
def test_what_looks_like_a_whole_run_and_is_none_proves_nothing(body: bytes, score: Score, told: str) -> None:
    with pytest.raises(Refused, match=told):
        scores(body, (score,))


def test_one_of_several_scorers_is_meant_by_its_name() -> None:
    body = inspect_scores(scorer("lenient", 1.0), scorer("strict", 0.1, reducer="mean"), scorer("strict", 0.2, reducer="max"))
    for metric, value in (("lenient/accuracy", 1_000_000), ("strict/mean/accuracy", 100_000), ("strict/max/accuracy", 200_000)):
        assert scores(body, (Score(task="speech_mc", metric=metric, at_least=0),))[2][0].value == value
    repeated = inspect_scores(scorer("choice", 0.5, scored_samples=5), total=20, dataset={"samples": 5}, config={"epochs": 4})
    assert scores(repeated, (ACCURACY,))[2][0].samples == 20


def test_a_results_file_without_a_version_or_a_name_of_its_model_is_read() -> None:
    harness, model, _ = scores(lm_eval(lm_eval_version="", model_name=None, config={"model_args": "pretrained=atlas"}), (ACC,))
    assert (harness, model) == ("lm-evaluation-harness of unknown version", "pretrained=atlas")


@pytest.mark.skipif(not (SHARED / "evaluation").is_dir(), reason="the shared inputs are not here")
def test_the_real_results_file_is_a_whole_run_of_twenty_items() -> None:
    body = (SHARED / "evaluation" / "lm_eval_results_toy.json").read_bytes()
    _, _, (found,) = scores(body, (Score(task="consortium_toy_mc", metric="acc,none", at_least=0),))
    assert (found.value, found.samples) == (700_000, 20)
