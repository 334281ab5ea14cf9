"""Random histories that are led to every command and every rule: each begins where a story was, and strays from it.

`python -m tests.guided` plays them until every command was accepted 50 times and every rule refused 10 times, and says what is lacking. The
next history is always led to what came to pass most rarely so far: it takes up a story some commands before it shows that, goes on as the
story did, and between the story's commands people do at random what is done in any story of the process, also varied, repeated, by others
and later. With `--resume FOLDER` what was played is kept there, and the next run goes on from it.

Whatever is asked, by whomever and when: it is answered or refused and nothing else happens; the same is decided again; a refusal changes
nothing and tells the remedy; what follows is read back as it was stored; who asks again changes nothing; a deadline that came does not
stand any more; people can be told what is. Where a story brings about all that it takes for granted, the watch of its process follows too.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from domain.catalog import CATALOG
from domain.kernel import SERVICE, Command, Event, Outcome, canonical_json
from domain.process import agenda, describe
from domain.register.state import Register
from domain.stream import AT_ONCE, Stream
from eventstore.entries import encode_events
from eventstore.wire import Malformed, parse
from tests import stories, test_release_laws, test_round_laws, test_run_laws, test_treasury_laws, votes
from tests.chaos.checks import unbalanced
from tests.golden_log import STEP_COMMANDS, STORIES, chain_of, everything
from tests.refusals import rules
from tests.stories import Story, Told

ACCEPTED: Final = 50
"""So often is each command accepted, with consequences."""
REFUSED: Final = 10
"""So often does each rule refuse."""
TRIES: Final = 1_000
"""After so many histories that were led to something and missed it, it cannot be reached."""
DEADLINES: Final = 20
"""So many come at most while somebody waits."""
ROUND: Final = 200
"""So many histories are kept together in the journal."""
EXCEPTIONS: Final[Mapping[str, str]] = {}
"""What no history is led to, and why; ten at most."""
TAKEN_BACK: Final = "nothing is negative"
"""The law of a round's money that ends where the bank takes back what was spent."""
ANEW: Final = frozenset(
    {
        "claim_milestone",
        "extend_hold",
        "judge_screening",
        "look_for_statements",
        "order_refunds",
        "publish_again",
        "rescreen",
        "retry_step",
    }
)
"""What is done anew each time that it is asked for: what is read is read again, a signature is for the next extension, a judgement of the
next hit, an order of refunds of the next so many members."""


# ---------------------------------------------------------------- what stories show


def heard(names: Sequence[str] = STORIES) -> Sequence[Told]:
    """Every command of the stories in these tests, as they were told."""
    stories.listen()
    for name in names:
        module = import_module(f"tests.test_{name}")
        for test in [each for key, each in vars(module).items() if key.startswith("test_") and callable(each)]:
            for arguments in _ways(test):
                test(**arguments)
    return [told for told in stories.hush() if CATALOG.get(told.process) is not None]


def _ways(test: Callable[..., object]) -> Iterator[dict[str, Any]]:
    """The arguments that a test is called with, one set after the other; none for one that needs more than that."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    named = [[name.strip() for name in names.split(",")] if isinstance(names := mark.args[0], str) else list(names) for mark in marks]
    wanted = {name for names in named for name in names}
    of_chance = hasattr(test, "hypothesis")
    if of_chance or inspect.iscoroutinefunction(test) or wanted != set(inspect.signature(test).parameters):
        return
    for chosen in product(*(mark.args[1] for mark in marks)):
        arguments: dict[str, Any] = {}
        for names, values in zip(named, chosen, strict=True):
            arguments |= dict(zip(names, values if len(names) > 1 else (values,), strict=True))
        yield arguments


def shows(told: Told) -> str:
    """What a command of a story shows: the rule that refused it, or its kind with its process; nothing, where nothing followed."""
    if told.rule:
        return told.rule
    kind = told.command["kind"]
    return "" if not told.events else kind if kind in STEP_COMMANDS else f"{told.process} {kind}"


@dataclass
class Pool:
    """What is known from stories, by process."""

    shown: Mapping[str, Sequence[Told]]
    commands: Mapping[str, Sequence[Told]]
    values: Mapping[tuple[str, str], Sequence[Any]]
    """For each process and field the values that commands have in it."""

    @classmethod
    def of(cls, told: Sequence[Told]) -> Pool:
        """What these commands show."""
        shown, commands = defaultdict[str, list[Told]](list), defaultdict[str, list[Told]](list)
        values = defaultdict[tuple[str, str], dict[str, Any]](dict)
        for each in told:
            shown[shows(each)].append(each)
            commands[each.process].append(each)
            for name, value in each.command.items():
                values[each.process, name][json.dumps(value, sort_keys=True)] = value
        shown.pop("", None)
        return cls(shown, commands, {key: list(found.values()) for key, found in values.items()})


# ---------------------------------------------------------------- the watches


Note = Callable[[Command, Sequence[Event], Story], None]
"""Follows one decision and the story after it; raises `AssertionError` when a law is broken."""


def watch_of(process: str, register: Register) -> Note:
    """The watch over a process, that knows nothing yet."""
    match process:
        case "round":
            money = test_round_laws.Ledger()

            def rounds(command: Command, events: Sequence[Event], story: Story) -> None:
                for event in events:
                    money.note(event)
                money.conserves()

            return rounds
        case "treasury":
            books, where = test_treasury_laws.Ledger(), dict[str, str]()

            def treasury(command: Command, events: Sequence[Event], story: Story) -> None:
                for event in events:
                    books.note(event, where)

            return treasury
        case "proposal":
            vote = votes.Vote()

            def proposals(command: Command, events: Sequence[Event], story: Story) -> None:
                broken = vote.note(events, story.at, story.register)
                assert not broken, broken

            return proposals
        case "run":
            law = test_run_laws.Law()
            return lambda command, events, story: law.note(command, events, story.at, story.register)
        case "release":
            watch = test_release_laws.Watch(register.charter.release)
            return lambda command, events, story: watch.note(command, events, story.at, story.register)
        case _:
            return lambda command, events, story: None


def whole(told: Told) -> bool:
    """Whether a story up to a command brought about all that happened on its stream, and nothing was changed elsewhere on its way."""
    before = told.before
    if before is None:
        return told.story.state == Stream(told.story.process.initial)
    return answered(before).state == told.story.state and not changed_elsewhere(told) and whole(before)


def changed_elsewhere(told: Told) -> bool:
    """Whether a story says before a command what is known elsewhere meanwhile: its own commands did not bring it about."""
    return told.before is not None and answered(told.before).register != told.register


_AFTER: Final[dict[int, tuple[Told, Story]]] = {}


def answered(told: Told) -> Story:
    """The story right after a command; the same one whenever it is asked for."""
    if id(told) not in _AFTER:
        _AFTER[id(told)] = told, told.story.when(told.asked, by=told.by, at=told.at)
    return _AFTER[id(told)][1]


# ---------------------------------------------------------------- a history


class Given(NamedTuple):
    """A command of a history, and what is known elsewhere meanwhile, where a story says so."""

    command: Command
    by: str
    at: datetime
    known: Register | None = None


class Broken(AssertionError):
    """A history that broke a law: how it went."""

    def __init__(self, begin: Told, given: Sequence[Given], law: BaseException) -> None:
        lines = [f"  {each.at:%Y-%m-%d %H:%M} {each.by}: {each.command.model_dump_json(exclude_defaults=True)[:300]}" for each in given]
        super().__init__("\n".join((f"on {begin.stream}, from {begin.command} on:", *lines, f"{type(law).__name__}: {law}")))


@dataclass
class History:
    """A story taken up where it was, and what came of it."""

    begin: Told
    story: Story
    note: Note | None = None
    """The watch, where it can follow."""
    given: list[Given] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    @classmethod
    def at(cls, begin: Told) -> History:
        """A history that begins before a command of a story."""
        return cls(begin, begin.story, _watching(begin) if whole(begin) else None)

    def give(self, given: Given) -> None:
        """Somebody gives a command: the laws hold, whatever it is. Raises `Broken`."""
        self.given.append(given)
        if given.known is not None:
            self.story, self.note = replace(self.story, register=given.known), None
        try:
            self._give(given)
        except Exception as law:
            raise Broken(self.begin, self.given, law) from law

    def _give(self, given: Given) -> None:
        before, at = self.story, max(given.at, self.story.at)
        if self._late(at):
            self.note = None
        after = before.when(given.command, by=given.by, at=at)
        again = before.when(given.command, by=given.by, at=at)
        assert (after.answer, _rule(after)) == (again.answer, _rule(again)), "decided otherwise a second time"
        if after.refusal is not None:
            after.refused(after.refusal.rule)
            assert after.state is before.state, "a refusal changed something"
            self.seen[after.refusal.rule] += 1
        else:
            self._followed(given.command, given.by, after)
        self.story = after

    def _followed(self, command: Command, by: str, after: Story) -> None:
        process, events = after.process, after.answer
        assert process.events.validate_json(encode_events(events)) == events, "read back otherwise than it was stored"
        headline, owed = describe(process, after.state), agenda(process, after.state)
        assert headline.phase
        assert headline.line
        assert len(owed.steps) <= AT_ONCE
        process.tables(after.state.state, after.register, after.at)
        if process.name == "round":
            assert set(unbalanced(after.state)) <= {TAKEN_BACK}
        due_again = owed.deadline is not None and owed.deadline.command == command and owed.deadline.at <= after.at
        if command.kind not in ANEW and not due_again:
            repeated = after.when(command, by=by)
            assert repeated.refusal is not None or repeated.state.state == after.state.state, f"{command.kind}: asked again, more followed"
        if self.note is not None:
            self.note(command, events, after)
        if events:
            kind = command.kind
            self.seen[kind if kind in STEP_COMMANDS else f"{process.name} {kind}"] += 1

    def _late(self, at: datetime) -> bool:
        """Whether a deadline was missed: the watches count on those that come in time."""
        deadline = agenda(self.story.process, self.story.state).deadline
        return deadline is not None and deadline.at < at

    @property
    def later(self) -> datetime:
        """A moment after what was given last: no two commands are of one instant."""
        return self.story.at + timedelta(seconds=bool(self.given))

    def until(self, at: datetime) -> None:
        """Time passes; each deadline on the way comes when it is due, if there are not too many of them."""
        for _ in range(DEADLINES):
            if not self._late(at):
                break
            self.due()

    def due(self) -> bool:
        """The next deadline comes, if there is one."""
        deadline = agenda(self.story.process, self.story.state).deadline
        if deadline is None:
            return False
        self.give(Given(deadline.command, SERVICE, deadline.at))
        try:
            assert self.story.refusal is None, f"refused when it was due: {self.story.refusal}"
            assert agenda(self.story.process, self.story.state).deadline != deadline, "it came, and still stands"
        except AssertionError as law:
            raise Broken(self.begin, self.given, law) from law
        return True


def _rule(story: Story) -> str:
    return "" if story.refusal is None else story.refusal.rule


def _watching(begin: Told) -> Note | None:
    """The watch of the process, which has followed a story up to before a command; none when it is no story that it can follow."""
    note = watch_of(begin.process, begin.register)
    try:
        for told in chain_of(begin)[:-1]:
            if not told.rule:
                note(told.asked, told.events, answered(told))
    except (AssertionError, LookupError):
        return None
    return note


class Wanderer:
    """Leads a history to a command of a story, and astray."""

    def __init__(self, pool: Pool, luck: Random) -> None:
        self._pool = pool
        self._luck = luck

    def history(self, aim: Told) -> History:
        """A history that was led to this command; whether it came to it is another thing."""
        chain = chain_of(aim)
        start = max(0, len(chain) - 1 - self._luck.randint(0, 5))
        history = History.at(chain[start])
        astray = self._luck.randrange(start, len(chain))
        for number, told in enumerate(chain[start:], start):
            for _ in range((number == astray) + self._luck.choice((0, 0, 1))):
                self._stray(history)
            known = told.register if self._as_told(history, told) and changed_elsewhere(told) else None
            history.give(Given(told.asked, told.by, max(told.at, history.later), known))
        for _ in range(self._luck.randint(0, 4)):
            self._stray(history)
        return history

    @staticmethod
    def _as_told(history: History, told: Told) -> bool:
        """Whether elsewhere all is as in the story before a command, so that its next news of elsewhere fit."""
        return told.before is not None and history.story.register == answered(told.before).register

    def _stray(self, history: History) -> None:
        """Somebody does something else, or time passes."""
        match self._luck.randrange(10):
            case 0 | 1:
                history.due()
            case 2 if history.given:
                history.give(self._luck.choice(history.given)._replace(known=None))
            case 3 | 4 | 5:
                self._anything(history, varied=True)
            case _:
                self._anything(history, varied=False)

    def _anything(self, history: History, *, varied: bool) -> None:
        """What somebody does in some story of the process; a second later, or when deadlines came meanwhile."""
        told = self._luck.choice(self._pool.commands[history.begin.process])
        command = self._varied(told) if varied else told.asked
        people = sorted(history.story.register.people)
        by = self._luck.choice((*people, SERVICE)) if people and self._luck.random() < 0.3 else told.by
        at = history.story.at + timedelta(seconds=self._luck.choice((1, 1, 1, 60, 3_600, 86_400)))
        history.until(at)
        history.give(Given(command, by, at))

    def _varied(self, told: Told) -> Command:
        """The command with another value in one of its fields, where that is a command; what a step brought back is believed as it is."""
        fields = [name for name in told.command if name != "kind"]
        if not fields or isinstance(told.asked, Outcome):
            return told.asked
        name = self._luck.choice(fields)
        value = told.command[name]
        if isinstance(value, int) and not isinstance(value, bool) and self._luck.random() < 0.5:
            other = value + self._luck.choice((-1, 1, value, -value))
        else:
            other = self._luck.choice(self._pool.values[told.process, name])
        try:
            return parse(told.story.process, canonical_json({**told.command, name: other}))
        except Malformed:
            return told.asked


# ---------------------------------------------------------------- all of them


@dataclass
class Coverage:
    """What came to pass so far."""

    histories: int = 0
    decisions: int = 0
    watched: int = 0
    """Of the histories those that the watch of their process followed to the end."""
    seen: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """How many histories were led to something and did not come to it."""

    def add(self, aim: str, history: History) -> None:
        """One more."""
        self.histories += 1
        self.decisions += len(history.given)
        self.watched += history.note is not None
        self.seen += history.seen
        self.missed[aim] += not history.seen[aim]

    def lacking(self, floors: Mapping[str, int]) -> Mapping[str, int]:
        """What came to pass too rarely, and how often."""
        return {what: self.seen[what] for what, least in sorted(floors.items()) if self.seen[what] < least}

    def __str__(self) -> str:
        of = everything()
        commands, refusals = of - rules(), rules()
        often = sum(self.seen[what] >= ACCEPTED for what in commands), sum(self.seen[what] >= REFUSED for what in refusals)
        return (
            f"{self.histories:,} histories ({self.watched:,} watched to their end), {self.decisions:,} decisions; {often[0]} of {len(commands)} "
            f"commands accepted {ACCEPTED} times or more, {often[1]} of {len(refusals)} rules refused {REFUSED} times or more"
        )


def floors(accepted: int = ACCEPTED, refused: int = REFUSED) -> Mapping[str, int]:
    """How often each thing is to come to pass."""
    return {what: refused if what in rules() else accepted for what in everything()}


def play(
    pool: Pool, wanted: Mapping[str, int], coverage: Coverage, *, most: int = sys.maxsize, kept: Callable[[], None] = lambda: None
) -> None:
    """Plays until all that is wanted came to pass, but for what cannot be reached; at most so many histories. The same luck in every run."""
    while coverage.histories < most:
        open_ = [what for what in coverage.lacking(wanted) if what in pool.shown and coverage.missed[what] < TRIES]
        if not open_:
            return
        aim = min(open_, key=lambda what: (coverage.seen[what] / wanted[what], coverage.missed[what], what))
        luck = Random(coverage.histories)
        coverage.add(aim, Wanderer(pool, luck).history(luck.choice(pool.shown[aim])))
        if coverage.histories % ROUND == 0:
            kept()


class Journal:
    """What was played, in a file that is replaced whole."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder and folder / "guided.json"
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> Coverage:
        """What was played before."""
        if self._file is None or not self._file.exists():
            return Coverage()
        told = json.loads(self._file.read_text(encoding="utf-8"))
        return Coverage(told["histories"], told["decisions"], told["watched"], Counter(told["seen"]), Counter(told["missed"]))

    def write(self, coverage: Coverage) -> None:
        """Keeps what was played so far."""
        if self._file is not None:
            whole = self._file.with_suffix(".new")
            whole.write_text(json.dumps(vars(coverage)), encoding="utf-8")
            whole.replace(self._file)


def main() -> int:
    """What the command line says; 1 if something came to pass too rarely."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.guided", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="keep what was played here, and go on from it")
    parser.add_argument("--most", type=int, default=sys.maxsize, metavar="N", help="end after so many histories")
    chosen = parser.parse_args()
    journal = Journal(chosen.resume)
    coverage = journal.read()

    def kept() -> None:
        journal.write(coverage)
        print(coverage, flush=True)

    play(Pool.of(heard()), floors(), coverage, most=chosen.most, kept=kept)
    kept()
    lacking = coverage.lacking(floors())
    for what, times in lacking.items():
        print(f"  {what}: {times} times; {EXCEPTIONS.get(what, 'no reason is known')}")
    return bool(lacking.keys() - EXCEPTIONS.keys())


if __name__ == "__main__":
    sys.exit(main())
