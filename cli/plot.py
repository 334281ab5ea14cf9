"""A run as a picture: a self-contained SVG, and a sketch for the terminal. Made from the run's events and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any, Final

from cli import times
from domain.kernel import one_line
from domain.money import display

WIDTH: Final = 960
PANEL: Final = 170
LEFT: Final = 125
RIGHT: Final = 20
GAP: Final = 46
BARS: Final = " ▁▂▃▄▅▆▇█"
COLUMNS: Final = 60

Told = Sequence[tuple[datetime, Mapping[str, Any]]]
Point = tuple[datetime, float]


@dataclass
class Course:
    """What the events tell of a run."""

    title: str = ""
    currency: str = "USD"
    budget: int = 1
    p50: int = 0
    p80: int = 0
    tokens: list[Point] = field(default_factory=list)
    loss: list[Point] = field(default_factory=list)
    spent: list[Point] = field(default_factory=list)
    forecast: list[Point] = field(default_factory=list)
    marks: list[tuple[datetime, str, str]] = field(default_factory=list)
    """When, what kind, and in words."""


def course(told: Told) -> Course:
    """The course of a run from its events, in their order."""
    run = Course()
    for at, event in told:
        match event["kind"]:
            case "contract_approved":
                terms = event["contract"]
                run.title, run.currency, run.budget = terms["title"], terms["currency"], int(terms["token_budget"])
                run.p50, run.p80 = int(terms["p50"]), int(terms["p80"])
                run.marks.append((at, "contract", f"contract {event['version']}"))
            case "telemetry_followed":
                run.tokens.append((at, int(event["watch"]["tokens"])))
                run.spent.append((at, int(event["spent"])))
                run.forecast.append((at, int(event["forecast"])))
                if event["loss_micro"] is not None:
                    run.loss.append((at, int(event["loss_micro"]) / 1_000_000))
            case "loss_spiked":
                run.marks.append((at, "spike", f"spike at step {event['spike']['step']:,}"))
            case "run_restarted":
                run.marks.append((at, "restart", f"restart at step {event['restart']['to_step']:,}"))
            case "loss_diverged":
                run.marks.append((at, "spike", f"no finite loss from step {event['step']:,}"))
            case "checkpoint_missing":
                run.marks.append((at, "missing", f"missing: {_checkpoints(event)}"))
            case "checkpoints_found":
                run.marks.append((at, "milestone", f"found: {_checkpoints(event)}"))
            case "run_fell_silent" | "run_stalled":
                run.marks.append((at, "alarm", event["kind"].removeprefix("run_").replace("_", " ")))
            case "milestone_reached" | "milestone_accepted" | "milestone_rejected" | "milestone_missed":
                run.marks.append((at, "milestone", f"{event['milestone']} {event['kind'].removeprefix('milestone_')}"))
            case "run_completed" | "run_stopped":
                run.marks.append((at, "end", event["kind"].removeprefix("run_")))
            case _:
                continue
    return run


def _checkpoints(event: Mapping[str, Any]) -> str:
    """The first checkpoint by its step, and how many more there are."""
    more = int(event.get("count", 1)) - 1
    return f"{event['stage']} {event['step']:,}" + (f" and {more:,} more" if more else "")


# ---------------------------------------------------------------- SVG

_COLOURS: Final = {
    "contract": "#555", "spike": "#c2410c", "restart": "#7c3aed", "missing": "#b91c1c", "alarm": "#b45309", "milestone": "#15803d", "end": "#111",
}  # fmt: skip


def drawing(stream: str, told: Told) -> str:
    """The picture as SVG: no script, nothing that is fetched, every word of people escaped."""
    run = course(told)
    times = [at for at, _ in told]
    first, last = times[0], times[-1]
    span = max((last - first).total_seconds(), 1.0)

    def across(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - first).total_seconds() / span

    panels: list[tuple[str, list[tuple[str, str, list[Point]]], list[tuple[str, float]], Callable[[float], str]]] = [
        ("tokens", [("tokens", "#1d4ed8", run.tokens)], [("budget", run.budget)], lambda value: f"{value / 1e9:,.0f} B"),
        ("spend", [("spent", "#0f766e", run.spent), ("forecast", "#94a3b8", run.forecast)], [("P50", run.p50), ("P80", run.p80)],
         lambda value: display(int(value), run.currency)),
    ]  # fmt: skip
    if run.loss:
        panels.insert(0, ("loss (nats)", [("loss", "#be185d", run.loss)], [], lambda value: f"{value:.3f}"))
    height = 60 + len(panels) * (PANEL + GAP) + 20 * len(run.marks)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(stream)}</title>", '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="26" font-size="17">{escape(one_line(run.title or stream, 200))}</text>',
    ]  # fmt: skip
    for number, (name, lines, bands, shown) in enumerate(panels):
        parts += _panel(name, lines, bands, shown, 50 + number * (PANEL + GAP), across)
        parts += [
            f'<line x1="{across(at):.1f}" x2="{across(at):.1f}" y1="{50 + number * (PANEL + GAP)}" y2="{50 + number * (PANEL + GAP) + PANEL}"'
            f' stroke="{_COLOURS[kind]}" stroke-dasharray="3 3"/>'
            for at, kind, _ in run.marks
        ]
    base = 50 + len(panels) * (PANEL + GAP)
    parts += [
        f'<text x="{LEFT}" y="{base + 20 * row}" fill="{_COLOURS[kind]}">{at:%Y-%m-%d} {escape(one_line(words, 200))}</text>'
        for row, (at, kind, words) in enumerate(run.marks)
    ]
    return "\n".join((*parts, "</svg>\n"))


def _panel(
    name: str, lines: Sequence[tuple[str, str, list[Point]]], bands: Sequence[tuple[str, float]], shown: Callable[[float], str], top: int,
    across: Callable[[datetime], float],
) -> list[str]:  # fmt: skip
    values = [value for _, _, points in lines for _, value in points] + [value for _, value in bands if value]
    highest, lowest = max(values, default=1.0) or 1.0, min([*values, 0.0]) if name != "loss (nats)" else min(values, default=0.0)

    def down(value: float) -> float:
        return top + PANEL - PANEL * (value - lowest) / ((highest - lowest) or 1.0)

    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}" fill="none" stroke="#ddd"/>',
        f'<text x="{LEFT}" y="{top - 6}">{escape(name)}: {", ".join(f"{label}" for label, _, _ in lines)}</text>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end" font-size="10">{escape(shown(highest))}</text>',
        f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end" font-size="10">{escape(shown(lowest))}</text>',
    ]
    for label, value in bands:
        if value:
            parts += [
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(value):.1f}" y2="{down(value):.1f}" stroke="#aaa" stroke-dasharray="6 4"/>',
                f'<text x="{WIDTH - RIGHT}" y="{down(value) - 3:.1f}" text-anchor="end" font-size="10" fill="#666">{escape(label)}</text>',
            ]
    for _, colour, points in lines:
        path = " ".join(f"{across(at):.1f},{down(value):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return parts


# ---------------------------------------------------------------- terminal


def sketch(stream: str, told: Told, now: datetime) -> str:
    """The run in a few lines of text."""
    run = course(told)
    rows = [one_line(run.title or stream, 200)]
    series: Sequence[tuple[str, list[Point], Callable[[float], str]]] = [("loss", run.loss, lambda value: f"{value:.3f} nats"), ("tokens", run.tokens, lambda value: f"{value / 1e9:,.1f} B"),
              ("spent", run.spent, lambda value: display(int(value), run.currency))]  # fmt: skip
    for name, points, shown in series:
        if points:
            rows.append(f"{name:>8} {_bars([value for _, value in points])} {shown(points[-1][1])}")
    if run.forecast:
        low, high = display(run.p50, run.currency), display(run.p80, run.currency)
        rows.append(f"forecast {display(int(run.forecast[-1][1]), run.currency)}; P50 {low}, P80 {high}")
    rows += [f"  {times.shown(at, now)}  {one_line(words, 200)}" for at, _, words in run.marks]
    return "\n".join(rows)


def _bars(values: Sequence[float]) -> str:
    """One bar a point; of many points, the last in each of `COLUMNS` equal parts."""
    if len(values) > COLUMNS:
        values = [values[(number + 1) * len(values) // COLUMNS - 1] for number in range(COLUMNS)]
    lowest, highest = min(values), max(values)
    scale = (highest - lowest) or 1.0
    return "".join(BARS[1 + int((value - lowest) / scale * (len(BARS) - 2))] for value in values)
