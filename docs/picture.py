"""Draws docs/architecture.svg from the code: each package a box, each import between packages an arrow.

`python docs/picture.py` writes it; `--check` says whether the picture is the one that the code gives.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import grimp

HERE: Final = Path(__file__).parent
LAYERS: Final[Sequence[Sequence[str]]] = (
    ("cli",),
    ("workflows", "simulation", "audit"),
    ("activities",),
    ("eventstore",),
    ("domain", "signatures", "transparency"),
)
SAYS: Final[Mapping[str, str]] = {
    "cli": "words to commands, rows to tables",
    "workflows": "the durable loop",
    "simulation": "a virtual clock",
    "audit": "decides again, and compares",
    "activities": "the log's door, and the outside world",
    "eventstore": "serial decisions, one hash-chained log",
    "domain": "decide · evolve · agenda · describe",
    "signatures": "who signed which bytes, for what",
    "transparency": "tree, checkpoints, proofs",
}
WIDTH, BOX, HEIGHT, GAP = 760, 220, 64, 52


def boxes() -> Mapping[str, tuple[int, int]]:
    """Where each package's box begins."""
    places: dict[str, tuple[int, int]] = {}
    for row, packages in enumerate(LAYERS):
        left = (WIDTH - len(packages) * BOX - (len(packages) - 1) * 24) // 2
        for column, package in enumerate(packages):
            places[package] = (left + column * (BOX + 24), 16 + row * (HEIGHT + GAP))
    return places


def arrows(graph: grimp.ImportGraph) -> Iterator[tuple[str, str]]:
    """The pairs of packages of which the first imports the second."""
    packages = [package for layer in LAYERS for package in layer]
    for importer in packages:
        for imported in packages:
            if importer != imported and graph.direct_import_exists(importer=importer, imported=imported, as_packages=True):
                yield importer, imported


def neighbours(importer: str, imported: str) -> bool:
    """Whether the arrow goes to the next layer with something in it; longer ones are implied by the order of the layers."""
    rows = {package: row for row, layer in enumerate(LAYERS) for package in layer}
    return rows[imported] - rows[importer] == 1


def svg() -> str:
    """The picture."""
    graph = grimp.build_graph(*SAYS)
    places = boxes()
    height = 16 + len(LAYERS) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" role="img">',
        "<title>The packages and what they import, drawn from the code</title>",
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">',
        '<path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for importer, imported in arrows(graph):
        (x1, y1), (x2, y2) = places[importer], places[imported]
        if neighbours(importer, imported):
            parts.append(
                f'<line x1="{x1 + BOX // 2}" y1="{y1 + HEIGHT}" x2="{x2 + BOX // 2}" y2="{y2 - 3}" stroke="#64748b" marker-end="url(#tip)"/>'
            )
    for package, (x, y) in places.items():
        fill = "#dcfce7" if package in {"domain", "transparency"} else "#eff6ff"
        parts += [
            f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="8" fill="{fill}" stroke="#94a3b8"/>',
            f'<text x="{x + 14}" y="{y + 27}" font-size="16" font-weight="600" fill="#0f172a">{package}/</text>',
            f'<text x="{x + 14}" y="{y + 48}" font-size="12" fill="#334155">{SAYS[package]}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    target, drawn = HERE / "architecture.svg", svg()
    if "--check" in sys.argv:
        sys.exit(target.read_text(encoding="utf-8") != drawn and f"{target.name} is not what the code gives: run python docs/picture.py")
    target.write_text(drawn, encoding="utf-8")
