"""`belenios-tool` (Debian, version 2.0), an outside judge of ranked votes; `python -m tests.belenios` stores what it says of 200 of them.

It is another program, by other people, in another language (OCaml), and shares no code with this one. `.ci/tools` fetches it where Debian
can be had. The stored answers are in tests/data/schulze.json, one vote a line.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

STORED: Final = Path(__file__).parent / "data/schulze.json"
SIZE: Final = 200

Order = tuple[tuple[str, ...], ...]
Ballots = tuple[tuple[tuple[str, ...], int], ...]


class Judged(NamedTuple):
    """A ranked vote, the order that was found, and the weakest link of the strongest paths: the votes for it and against it."""

    options: tuple[str, ...]
    ballots: Ballots
    order: Order
    paths: Mapping[tuple[str, str], tuple[int, int]]


def missing() -> str:
    """Why it cannot be asked; empty when it can."""
    return "" if shutil.which("belenios-tool") else "belenios-tool is not installed (Debian: belenios-tool)"


def profiles(chance: Random, count: int) -> Iterator[tuple[tuple[str, ...], Ballots]]:
    """Random votes: two to six options, two to six ballots of some weight, most of them truncated: few, so that many links are alike."""
    for _ in range(count):
        options = tuple("abcdef"[: chance.randint(2, 6)])
        ballots = (
            (tuple(chance.sample(options, chance.randint(1, len(options)))), chance.choice((1, 1, 2))) for _ in range(chance.randint(2, 6))
        )
        yield options, tuple(ballots)


def judged(options: Sequence[str], ballots: Ballots) -> Judged:
    """What it says. A ballot counts as often as it weighs; 0 is the place of an option that is left out."""
    places = [
        [ranking.index(option) + 1 if option in ranking else 0 for option in options] for ranking, weight in ballots for _ in range(weight)
    ]
    asked = ("belenios-tool", "method", "schulze", "--nchoices", str(len(options)), "--blank-allowed", "true")
    said = json.loads(subprocess.run(asked, input=json.dumps(places), check=True, capture_output=True, text=True).stdout)
    order = tuple(tuple(options[place] for place in group) for group in said["winners"])
    paths = {
        (one, other): (said["beatpaths"][i][j][0], said["beatpaths"][i][j][1])
        for i, one in enumerate(options)
        for j, other in enumerate(options)
        if i != j
    }
    return Judged(tuple(options), ballots, order, paths)


def stored() -> Sequence[Judged]:
    """The votes of which its answers are stored."""
    return [_read(line) for line in json.loads(STORED.read_text(encoding="utf-8"))]


def _read(line: Mapping[str, object]) -> Judged:
    options, ballots, order, paths = (str(line[name]) for name in ("options", "ballots", "order", "paths"))
    held = [ballot.partition("*") for ballot in ballots.split()]
    return Judged(
        tuple(options),
        tuple((tuple(ranking), int(weight)) for ranking, _, weight in held),
        tuple(tuple(group) for group in order.split(">")),
        {(link[0], link[1]): (int(link[3:].split("-")[0]), int(link[3:].split("-")[1])) for link in paths.split()},
    )


def _written(vote: Judged) -> dict[str, str]:
    return {
        "options": "".join(vote.options),
        "ballots": " ".join(f"{''.join(ranking)}*{weight}" for ranking, weight in vote.ballots),
        "order": ">".join("".join(group) for group in vote.order),
        "paths": " ".join(f"{one}{other}:{for_}-{against}" for (one, other), (for_, against) in vote.paths.items()),
    }


def main() -> None:
    """Asks about votes drawn at random, and stores the answers."""
    lines = [json.dumps(_written(judged(options, ballots))) for options, ballots in profiles(Random(2_011), SIZE)]
    STORED.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
