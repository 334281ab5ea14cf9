"""Golden logs: what this release's rules decide, kept, so that a later release can be held to it.

They are played from the stories: whatever a story's people asked for is asked again on a real log, by real members under the story's own
charter, and what a story had taken for granted is voted on and paid for. A play is kept when it shows a command accepted, or a rule that
refuses, which no play before it shows. All plays are branches of a few beginnings, so the file is a tree: an entry whose `previous` is
not the hash of the entry before it in the file follows the entry that has that hash. Every path from the first entry to a leaf is a log.

`python -m tests.golden_log --write` makes the file anew for the rules in force, and says what no play shows.
"""

from __future__ import annotations

import json
import lzma
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from domain.catalog import CATALOG, RULES
from domain.kernel import SERVICE, derived_id, mapping, slug_of
from domain.register.state import Person, Register
from domain.stream import StepCommand, Stream, letter_id
from eventstore.entries import ACCEPTED, GENESIS, Entry, Submission
from eventstore.export import entry_of, line_of
from eventstore.replica import Decision, Replica
from eventstore.wire import Malformed, canonical_command
from tests import golden, stories
from tests.keys import PROOF, key_of
from tests.refusals import rules
from tests.sealing import salts
from tests.state_digest import register_digest, state_digest
from tests.stories import START, Told, founded, with_members

FOLDER: Final = golden.FOLDER / "log"
STORIES: Final = (
    "consortium",
    "key_rules",
    "key_recovery",
    "service_keys",
    "member",
    "proposal",
    "absence",
    "round",
    "silence",
    "set_off",
    "run",
    "release",
    "treasury",
    "process",
    "suppliers",
    "steering",
)
CANDIDATES: Final = 40
"""So many stories are tried for one thing that is to be shown."""
WEEK: Final = timedelta(days=7)
STEP_COMMANDS: Final = frozenset(golden.kind_of(kind) for kind in get_args(StepCommand))
"""What every process takes is to be shown once, of whichever process."""
_VOTED: Final = "the story takes a vote for granted that some members lost, and plays are voted on by everybody alike"
_CHARTER: Final = "the story amends the charter for tiers, offices or money that the members who vote on it here already use"
_CHANGED: Final = "the story changes on its way who is whom (offices, owners, standing) as no command here does"
_ELSEWHERE: Final = "it follows from what a vote or the treasury stated on a stream of its own, which the story takes for granted"
_BEFORE: Final = "it refuses strangers or a founding, and of what nobody known asked no log has an entry"
EXCEPTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("bound_by_yes", "decision_in_effect", "did_not_oppose", "in_default", "round exit_round"), _VOTED),
    **dict.fromkeys(("consortium amend_charter", "currency_is_fixed", "tier_in_use"), _CHARTER),
    **dict.fromkeys(
        ("entity_known", "holder_known_otherwise", "other_contract_waits", "own_delivery", "own_payment", "run_lead", "run_releases"),
        _CHANGED,
    ),
    **dict.fromkeys(("already_carried_out", "steered_otherwise", "supplier_reviews"), _ELSEWHERE),
    **dict.fromkeys(("office_vacant", "officer_named_twice"), _BEFORE),
    "release_key_unknown": "it follows from what the worker signs with, which the story takes for granted",
    "too_many_applications": "it needs more applicants than a play admits",
    "release supersede_release": "it needs two releases of one run's model, and a story has one",
    "too_many_calls": "it needs more members than a play admits",
    "too_many_findings": "it needs five hundred findings, which the story takes for granted",
}
"""What no golden log can show, and why."""
VOTERS: Final = ("voter-a", "voter-b", "voter-c")
"""Members where a story has none, and something is voted on."""

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DAY: Final = re.compile(r"(?<![\d-])\d{4}-\d\d-\d\d(?![\d-]|T\d)")


class Unplayable(Exception):
    """A story cannot be played on a real log: it takes something for granted that was not brought about."""


# ---------------------------------------------------------------- what is on a file


def rules_file(rules: str) -> Path:
    """The golden logs of a version of the rules."""
    return FOLDER / f"rules-{rules}.jsonl.xz"


@cache
def entries_of(path: Path) -> list[Entry]:
    """The entries of golden logs, in the file's order: a branch after what it branches from."""
    return [entry_of(line) for line in lzma.decompress(path.read_bytes()).splitlines(keepends=True)]


def logs(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Every whole log of a tree of entries, from its first entry to a leaf."""
    by_hash = {entry.hash: entry for entry in entries}
    followed = {entry.previous for entry in entries}
    for leaf in (entry for entry in entries if entry.hash not in followed):
        path = [leaf]
        while path[-1].previous != GENESIS:
            path.append(by_hash[path[-1].previous])
        yield path[::-1]


def shown(entries: Sequence[Entry]) -> tuple[set[tuple[str, str]], set[str]]:
    """The commands that were accepted, each with its process, and the rules that refused."""
    accepted = {(entry.stream.partition("/")[0], entry.kind) for entry in entries if entry.outcome == ACCEPTED}
    return accepted, {json.loads(entry.body)["rule"] for entry in entries if entry.outcome != ACCEPTED}


# ---------------------------------------------------------------- playing


class Player:
    """A log in memory that a story is played on: decided by the rules in force, at the story's times."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.now = START
        self._replica = Replica(salts=salts)

    def fork(self) -> Player:
        """Another log that begins like this one."""
        other = Player()
        other.entries, other.now, other._replica = list(self.entries), self.now, self._replica.copy()
        return other

    @property
    def register(self) -> Register:
        """The register at the head."""
        return self._replica.register

    def state(self, stream: str) -> Any:
        """A stream's state at the head, with what it owes."""
        if self._replica.missing((stream,)):
            self._replica.put(stream, kernel_stream(stream))
        return self._replica.get(stream)

    def agenda(self, stream: str) -> Any:
        """What the stream's process has on its agenda."""
        return CATALOG[stream.partition("/")[0]].agenda(self.state(stream).state)

    def phase(self, stream: str) -> str:
        """The stream's phase."""
        return CATALOG[stream.partition("/")[0]].describe(self.state(stream).state).phase

    def give(self, stream: str, command: Mapping[str, Any], by: str, at: datetime | None = None, *, command_id: str = "") -> Decision:
        """Records a command. Raises `Unplayable` for what no recorder would record."""
        self.now = max(self.now, at or self.now)
        self.state(stream)
        named = command_id or derived_id(stream, "golden", str(self._replica.head.position + 1))
        submission = Submission(stream, named, by, canonical_command(dict(command)))
        try:
            due = self._replica.due(submission)
            if due is not None and due > self.now:
                raise Unplayable(f"{command['kind']} is not due")
            decision = self._replica.decide(submission, self.now)
        except (Malformed, ValueError, AssertionError, KeyError) as error:
            raise Unplayable(str(error)) from error
        if decision.entry.position == self._replica.head.position:
            self.entries.append(decision.entry)
        elif decision.refusal is not None:
            raise Unplayable(f"nobody knows {by}: {decision.refusal.rule}")
        return decision

    def must(self, stream: str, command: Mapping[str, Any], by: str, at: datetime | None = None, *, command_id: str = "") -> Decision:
        """The same of what must be accepted."""
        decision = self.give(stream, command, by, at, command_id=command_id)
        if decision.refusal is not None:
            raise Unplayable(f"{by} on {stream}: {decision.refusal}")
        return decision

    def taken(self, stream: str, command: Mapping[str, Any], by: str) -> bool:
        """Gives a command, and leaves no trace of it when it is refused."""
        before = self.fork()
        try:
            self.must(stream, command, by)
        except Unplayable:
            self.become(before)
            return False
        return True

    def by_anybody(self, stream: str, command: Mapping[str, Any]) -> None:
        """Gives a command by the first person who may."""
        if not any(self.taken(stream, command, person) for person in sorted(self.register.people)):
            raise Unplayable(f"nobody may: {json.dumps(command)[:80]}")

    def by_office(self, command: Mapping[str, Any]) -> None:
        """Gives a command on the consortium's stream, by an officer where one may, else by a vote."""
        if not any(self.taken("consortium/golden", command, person) for person in sorted(self.register.people)):
            self.order("consortium/golden", command)

    def become(self, other: Player) -> None:
        """From now on the log is like another one."""
        self.entries, self.now, self._replica = other.entries, other.now, other._replica

    # ------------------------------------------------------------ what the shell does

    def deadline(self, stream: str) -> None:
        """The stream's next deadline comes."""
        deadline = self.agenda(stream).deadline
        if deadline is None:
            raise Unplayable(f"nothing is due on {stream}")
        self.must(stream, deadline.command.model_dump(mode="json"), SERVICE, deadline.at)

    def tell(self, stream: str) -> Decision | None:
        """Carries out what the stream owes to other streams; the last answer."""
        answer: Decision | None = None
        for key, step in list(self.state(stream).owed.items()):
            if step.kind == "tell" and key not in self.state(stream).failed:
                answer = self.give(step.data["stream"], step.data["command"], SERVICE, command_id=letter_id(stream, key, 0))
                outcome = {"kind": "step_done"} if answer.refusal is None else {"kind": "fail_step", "reason": answer.refusal.rule}
                self.must(stream, {**outcome, "step": key}, SERVICE)
        return answer

    def vote(self, proposal: str, choice: str = "yes") -> Decision:
        """Everybody votes alike, or nobody where there is no choice, until the proposal is at its end; what came of it."""
        for _ in range(12):
            if choice and self.phase(proposal) == "open":
                for person, known in self.register.people.items():
                    for member in (*known.speaks_for, None):
                        self.taken(proposal, {"kind": "cast_ballot", "choice": choice, "member": member}, person)
            if self.phase(proposal) in {"executed", "refused", "rejected", "lapsed", "withdrawn"}:
                break
            self.deadline(proposal)
        answer = self.tell(proposal)
        if answer is None:
            raise Unplayable(f"the vote is {self.phase(proposal)}")
        return answer

    def order(self, stream: str, command: Mapping[str, Any]) -> Decision:
        """Has a command voted on, and given."""
        proposal = f"proposal/golden-{self._replica.head.position}"
        motion = {"kind": "propose", "title": "As the story has it", "motion": {"stream": stream, "command": dict(command)}}
        sponsors = (*(person for person in self.register.people if person != SERVICE),)
        if not any(self.taken(proposal, motion, person) for person in sponsors):
            raise Unplayable(f"nobody may propose {command['kind']}")
        return self.vote(proposal)


def kernel_stream(stream: str) -> Any:
    """An empty stream."""
    return Stream(CATALOG[stream.partition("/")[0]].initial)


# ---------------------------------------------------------------- the beginning of a story


def lei(name: str) -> str:
    """A Legal Entity Identifier with right check digits."""
    body = f"{int(sha256(name.encode()).hexdigest(), 16) % 10**18:018}"
    return f"{body}{98 - int(body + '00') % 97:02}"


def begun(register: Register, *, voters: bool = False, runs: Sequence[Told] = ()) -> Player:
    """A log on which everything was brought about that a story takes for granted: charter, people, members, money, a run that is over."""
    player = Player()
    if not register.charters:
        return player
    told = _run_as(register, runs)
    if told is not None:
        register = both(register, chain_of(told)[0].register)
    expected = {each.stream for each in register.expected.values() if each.stream.startswith("round/")}
    charter = register.charters[max(register.charters)].model_dump(mode="json")
    first = [person for person, known in register.people.items() if known.offices and not known.speaks_for]
    officers = [
        {"person": person, "offices": sorted(register.people[person].offices)} | key_of_person(register, person) for person in sorted(first)
    ]
    signing = {"log_key": min(register.valid_log_keys()), "log_key_proof": PROOF} if register.signing else {}
    player.must("consortium/golden", {"kind": "found", "charter": charter, "officers": officers} | signing, first[0])
    for member in sorted(register.members):
        admitted(player, register, member)
    if voters or expected:
        with_voters(player)
    reconciled(player, register)
    for stream in sorted({*register.raised, *expected}):
        funded(player, register, stream)
    if told is not None:
        player.become(play(player, told, rename=(told.stream, f"run/{min(register.runs)}")))
    return player


def key_of_person(register: Register, person: str) -> dict[str, str]:
    """The fields of a key that the person has, or on a signed log needs, with its proof."""
    key = min(register.people[person].keys, default=key_of(person) if register.signing else None)
    return {} if key is None else {"public_key": key, "proof": PROOF}


def with_voters(player: Player) -> None:
    """There are members enough to vote, and to carry a round."""
    if len(player.register.members) < len(VOTERS):
        for member in VOTERS:
            admitted(player, with_members(player.register, member, tier=min(player.register.charter.tiers)), member)


def _run_as(register: Register, runs: Sequence[Told]) -> Told | None:
    """The shortest story of a run that comes as far as the run that a story takes for granted; none where it takes none."""
    if not register.runs:
        return None
    phase = register.runs[min(register.runs)].phase
    told = next((each for each in runs if any(getattr(event, "phase", "") == phase for event in each.events)), None)
    if told is None:
        raise Unplayable(f"no story of a run that is {phase}")
    return told


def both(one: Register, other: Register) -> Register:
    """What two stories take for granted: the members, people and money of both."""
    people = dict(one.people)
    for person, known in other.people.items():
        here = people.get(person, Person())
        people[person] = here._replace(offices=here.offices | known.offices, speaks_for=mapping({**here.speaks_for, **known.speaks_for}))
    return one._replace(
        people=mapping(people), members=mapping({**other.members, **one.members}), raised=mapping({**other.raised, **one.raised}),
        cleared=mapping({**other.cleared, **one.cleared}),
    )  # fmt: skip


def reconciled(player: Player, register: Register) -> None:
    """Everybody holds the offices, and speaks for whom, as the story has it."""
    for person, known in register.people.items():
        now = player.register.people.get(person)
        held, seats = (now.offices, now.speaks_for) if now else (frozenset(), {})
        for member in sorted(set(known.speaks_for) - set(seats)):
            seat = {"kind": "seat_representative", "person": person, "capacity": known.speaks_for[member]}
            seat |= key_of_person(register, person)
            player.by_anybody(f"member/{member}", seat)
        for office in sorted(known.offices - held):
            player.by_office({"kind": "grant_office", "person": person, "office": office})
        for office in sorted(held - known.offices):
            player.by_office({"kind": "revoke_office", "person": person, "office": office})


def admitted(player: Player, register: Register, member: str) -> None:
    """The member applies, is admitted and pays."""
    known, stream = register.members[member], f"member/{member}"
    delegates = [
        {"person": person, "capacity": each.speaks_for[member]} | key_of_person(register, person)
        for person, each in sorted(
            register.people.items(), key=lambda known: (known[1].speaks_for.get(member) != "representative", known[0])
        )
        if member in each.speaks_for and not player.register.knows(person)
    ]
    if not delegates:
        raise Unplayable(f"nobody speaks for {member}")
    apply = {"kind": "apply", "name": known.name, "lei": lei(member), "country": known.country, "tier": known.tier}
    holdings = [each.model_dump(mode="json") for each in register.holdings.get(member, ())]
    player.must(stream, apply | {"representatives": delegates[:10], "holdings": holdings}, delegates[0]["person"])
    screening = next(step for step in player.state(stream).owed.values() if step.kind == "screen")
    answer = {"kind": "screening_completed", "step": screening.key, "list": "golden", "list_digest": "0" * 64}
    listed = player.now.date().isoformat()
    player.must(stream, answer | {"list_date": listed, "list_age_days": 0, "entries": 10_000, "score": 0, "match": ""}, SERVICE)
    player.tell(stream)
    player.vote(f"proposal/admit-{member}")
    agreement = player.register.charter.membership.agreement
    player.must(stream, {"kind": "sign_agreement", "agreement": agreement}, delegates[0]["person"])
    if not any(player.taken(stream, {"kind": "countersign_agreement"}, person) for person in player.register.people):
        raise Unplayable("nobody countersigns")
    fee = player.register.charter.tiers[known.tier].annual_fee
    if fee and not player.register.active(member):
        paid = {
            "kind": "record_dues_payment",
            "amount": fee,
            "currency": player.register.charter.currency,
            "reference": f"DUES-{member}".upper(),
        }
        player.must(stream, paid | {"value_date": player.now.date().isoformat()}, SERVICE)


def funded(player: Player, register: Register, stream: str) -> None:
    """A round is opened, pledged by everybody and called, and what the story has as cleared is paid."""
    currency, day, amount = player.register.charter.currency, timedelta(days=1), register.raised.get(stream, 0)
    members, terms = len(player.register.members), player.register.charter.funding
    goal = max(2 * amount, members * 1_000_000_00)
    pledged = goal // members
    opened = {
        "kind": "open_round", "title": "As the story has it", "text": "", "currency": currency, "goal": goal, "minimum": pledged // 2,
        "opens_at": (player.now + day).isoformat(), "closes_at": (player.now + 15 * day).isoformat(),
        "budget": [{"name": "all", "amount": goal}], "tranches": [{"name": "all", "fraction": 10_000}],
    }  # fmt: skip
    player.must(stream, opened, "sam")
    while player.phase(stream) == "draft":
        player.deadline(stream)
    for person, known in sorted(player.register.people.items()):
        for member in known.speaks_for:
            for share in (pledged, goal * terms.share_cap // 10_000):
                if player.taken(stream, {"kind": "pledge", "member": member, "amount": share}, person):
                    break
    while player.phase(stream) == "pledging":
        player.deadline(stream)
    player.must(stream, {"kind": "call_tranche", "tranche": 1}, "tess")
    for number, (member, account) in enumerate(sorted(player.state(stream).state.books.accounts.items())):
        paid = min(register.cleared.get(member, 0), account.figures.called)
        if paid:
            command = {
                "kind": "record_payment",
                "member": member,
                "amount": paid,
                "currency": currency,
                "reference": f"PAID-{slug_of(stream)}-{number}".upper(),
            }
            player.must(stream, command | {"value_date": player.now.date().isoformat()}, SERVICE)


# ---------------------------------------------------------------- a story


def chain_of(told: Told) -> list[Told]:
    """The commands of a story up to this one."""
    chain = [told]
    while chain[-1].before is not None:
        chain.append(chain[-1].before)
    return chain[::-1]


class Names:
    """What the story calls otherwise than the log: instants, and ids and digests that come of them."""

    def __init__(self, later: timedelta) -> None:
        self.later = later
        self._words: dict[str, str] = {}

    def call(self, word: str, now: str) -> None:
        """From now on the log has another word for one of the story's."""
        self._words[word] = now

    def told(self, value: Any) -> Any:
        """A value of the story as it is on the log."""
        text = json.dumps(value)
        for word, now in self._words.items():
            text = text.replace(word, now)
        text = _INSTANT.sub(lambda found: self._moved(found.group()), text)
        days = timedelta(days=self.later.days)
        return json.loads(_DAY.sub(lambda found: (date.fromisoformat(found.group()) + days).isoformat(), text))

    def _moved(self, text: str) -> str:
        moved = datetime.fromisoformat(text) + self.later
        return moved.isoformat() if text.endswith("+00:00") else moved.isoformat().replace("+00:00", "Z")

    def learn(self, story: Any, log: Any) -> None:
        """Compares what followed in the story with what followed on the log."""
        if isinstance(story, dict) and isinstance(log, dict):
            for key in story.keys() & log.keys():
                self.learn(story[key], log[key])
        elif isinstance(story, list) and isinstance(log, list):
            for ours, theirs in zip(story, log, strict=False):
                self.learn(ours, theirs)
        elif isinstance(story, str) and isinstance(log, str) and story != log and len(story) >= 16 and not _DATED.search(story):
            self._words[story] = log


def reconciled_later(player: Player, register: Register) -> None:
    """What a story changed of people's offices on its way is brought about, as far as it can be."""
    if register.version and {person: known.offices for person, known in register.people.items()} != {
        person: known.offices for person, known in player.register.people.items()
    }:
        known = {person: each for person, each in register.people.items() if person in player.register.people}
        reconciled(player, register._replace(people=mapping(known)))


def given(player: Player, stream: str, command: Mapping[str, Any], told: Told, at: datetime) -> Decision:
    """The story's command, by who gives it there; of a stranger's refusal no log has an entry, so somebody known asks in their place."""
    askers = [told.by, *(sorted(player.register.people) if told.rule else ()), SERVICE]
    for asker in askers:
        attempt = player.fork()
        try:
            decision = attempt.give(stream, command, asker, at)
        except Unplayable as error:
            if "nobody knows" not in str(error) or asker == SERVICE:
                raise
            continue
        if asker == told.by or (decision.refusal is not None and decision.refusal.rule == told.rule):
            player.become(attempt)
            return decision
    raise Unplayable(f"nobody known is refused by {told.rule}")


def voted(player: Player, stream: str, command: Mapping[str, Any]) -> Decision:
    """A command is voted on and given; an application is declined, or asked about again, as the vote on its admission ends."""
    choice = {"decline": "no", "ask_again": ""}.get(command["kind"])
    if choice is None:
        return player.order(stream, command)
    player.tell(stream)
    return player.vote(f"proposal/admit-{stream.partition('/')[2]}", choice=choice)


def play(begin: Player, told: Told, rename: tuple[str, str] = ("", "")) -> Player:
    """A story up to a command, on a log that begins as it takes for granted."""
    player, names = begin.fork(), Names(timedelta(0))
    if rename[0]:
        names.call(*rename)
    weeks = -(-(player.now - START) // WEEK)
    names.later = weeks * WEEK
    for each in chain_of(told):
        command, at = names.told(each.command), each.at + names.later
        stream = names.told(each.stream)
        if each is not told:
            reconciled_later(player, each.register)
        if each.mandated:
            before = player.now
            with_voters(player)
            decided = voted(player, stream, command).entry
            names.later += -(-(player.now - max(before, at)) // WEEK) * WEEK if player.now > at else timedelta(0)
        else:
            names.later += _wait(player, stream, command, at) if not each.rule else timedelta(0)
            decided = given(player, stream, names.told(each.command), each, each.at + names.later).entry
        refusal = json.loads(decided.body)["rule"] if decided.outcome != ACCEPTED else ""
        if refusal != each.rule:
            raise Unplayable(f"{each.command['kind']}: the story says {each.rule or 'yes'}, the log {refusal or 'yes'}")
        if not refusal:
            names.learn([event.model_dump(mode="json") for event in each.events], json.loads(decided.body))
    return player


def _wait(player: Player, stream: str, command: Mapping[str, Any], at: datetime) -> timedelta:
    """So much later than the story's a deadline comes on the log, in whole weeks: the story took for granted what began at another time."""
    own = (due.at for due in player.agenda(stream).deadlines if due.command.model_dump(mode="json") == command)
    return max((-(-(due - at) // WEEK) * WEEK for due in own if due > at), default=timedelta(0))


# ---------------------------------------------------------------- choosing


def heard() -> Mapping[str, list[Told]]:
    """What the stories show, each with the shortest stories that do."""
    stories.listen()
    files = [str(Path(__file__).parent / f"test_{name}.py") for name in STORIES]
    pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--no-header", *files])
    found: dict[str, list[Told]] = defaultdict(list)
    for told in stories.HEARD:
        if told.process in CATALOG:
            found[told.rule or f"{told.process} {told.command['kind']}"].append(told)
    return {what: sorted(each, key=lambda told: len(chain_of(told)))[: 10 * CANDIDATES] for what, each in found.items()}


def begin_key(register: Register, *, voters: bool) -> str:
    """What tells the beginnings of stories apart."""
    people = sorted((person, sorted(known.offices), sorted(known.speaks_for.items())) for person, known in register.people.items())
    money = sorted(register.raised.items()), sorted(each.stream for each in register.expected.values())
    runs, holdings = sorted(register.runs.items(), key=repr), sorted(register.holdings.items(), key=repr)
    return repr((sorted(register.charters.items()), people, sorted(register.members), money, runs, holdings, voters))


def chosen(candidates: Mapping[str, list[Told]]) -> tuple[list[Player], dict[str, str]]:
    """Plays that show everything that can be shown, and why the rest could not."""
    begins: dict[str, Player | Unplayable] = {}
    plays: list[Player] = []
    done: set[str] = set()
    missed: dict[str, str] = {}
    runs = sorted(
        (each for found in candidates.values() for each in found if any(event.kind == "run_reported" for event in each.events)),
        key=lambda each: len(chain_of(each)),
    )
    for what, stories_ in sorted(candidates.items()):
        why: dict[str, int] = defaultdict(int)
        for told in stories_[:CANDIDATES]:
            if what in done:
                break
            first = chain_of(told)[0]
            voters = any(each.mandated for each in chain_of(told))
            key = begin_key(first.register, voters=voters)
            try:
                if key not in begins:
                    try:
                        begins[key] = begun(first.register, voters=voters, runs=runs)
                    except (Unplayable, StopIteration, KeyError, AttributeError) as error:
                        begins[key] = Unplayable(f"no beginning: {error}")
                begin = begins[key]
                if isinstance(begin, Unplayable):
                    raise begin
                own = first.process == "consortium" and bool(first.register.charters)
                player = play(begin, told, rename=(first.stream, "consortium/golden") if own else ("", ""))
            except Unplayable as error:
                why[str(error)[:160]] += 1
                continue
            accepted, rules = shown(player.entries)
            done |= {f"{process} {kind}" for process, kind in accepted} | rules
            plays.append(player)
        if what not in done:
            missed[what] = max(why, key=why.__getitem__, default="no story")
    return plays, {what: reason for what, reason in missed.items() if what not in done}


def everything() -> set[str]:
    """What golden logs are to show: every command of every process accepted, and every rule."""
    own = {f"{process} {golden.kind_of(kind)}" for process in CATALOG for kind in golden.command_kinds(CATALOG[process])}
    return {each for each in own if each.split()[1] not in STEP_COMMANDS} | STEP_COMMANDS | rules()


def seen(entries: Sequence[Entry]) -> set[str]:
    """What entries show of `everything`."""
    accepted, refusing = shown(entries)
    return {kind if kind in STEP_COMMANDS else f"{process} {kind}" for process, kind in accepted} | refusing


def leaves(entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """The digests of the register and of the states of each process at the end of every log, by the first digits of the log's last hash."""
    standing, streams = {GENESIS: Replica()}, {GENESIS: frozenset[str]()}
    followed, found = {entry.previous for entry in entries}, dict[str, dict[str, str]]()
    for entry in entries:
        replica = standing[entry.previous].copy()
        if replica.missing((entry.stream,)):
            replica.put(entry.stream, kernel_stream(entry.stream))
        replica.follow((entry,))
        standing[entry.hash], streams[entry.hash] = replica, streams[entry.previous] | {entry.stream}
        if entry.hash not in followed:
            found[entry.hash.hex()[:16]] = digests(replica, streams[entry.hash], int(entry.rules))
    return found


def digests(replica: Replica, streams: Set[str], version: int) -> dict[str, str]:
    """The digests of the register and of each process's states after a log of these rules on which these streams are."""
    found: dict[str, list[str]] = defaultdict(list)
    for stream in sorted(streams):
        process = CATALOG[stream.partition("/")[0]]
        state = replica.get(stream)
        found[process.name].append(state_digest(process.name, process.describe(state.state).phase, state, rules=version))
    return {"register": register_digest(replica.register, rules=version)[:16]} | {
        process: sha256(" ".join(each).encode()).hexdigest()[:16] for process, each in sorted(found.items())
    }


def commit() -> str:
    """The newest commit of the main branch whose rules are those of this folder."""
    folders = ("domain", "eventstore", "audit", "signatures")
    for candidate in _git("log", "-20", "--format=%H", "main").split():
        if not _git("diff", "--stat", candidate, "--", *folders):
            return candidate
    raise SystemExit("commit what decides to the main branch first: golden logs name the commit that wrote them")


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), cwd=golden.FOLDER, check=True, capture_output=True, text=True).stdout.strip()


def write(entries: Sequence[Entry], version: str, by: str, exceptions: Mapping[str, str]) -> None:
    """Writes golden logs, and beside them what they fold to, which commit wrote them, and what they do not show."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rules_file(version).write_bytes(lzma.compress(b"".join(map(line_of, entries)), preset=9 | lzma.PRESET_EXTREME))
    told = {
        "rules": version, "commit": by, "entries": len(entries), "logs": len(list(logs(entries))),
        "exceptions": dict(sorted(exceptions.items())), "digests": leaves(entries),
    }  # fmt: skip
    rules_file(version).with_suffix("").with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def by_hand() -> list[Player]:
    """Plays of what no story tells as a log can hold it."""
    begin = begun(with_members(founded(), "ada", "bel", "cyd"))
    again = begin.fork()
    again.give("consortium/golden", json.loads(again.entries[0].command), "sam")
    retried = begin.fork()
    stream, key = next((entry.stream, key) for entry in retried.entries for key in retried.state(entry.stream).owed)
    retried.must(stream, {"kind": "fail_step", "step": key, "reason": "nobody answers"}, SERVICE)
    retried.must(stream, {"kind": "retry_step", "step": key}, "sam")
    suspended = begin.fork()
    opened = suspended.now + timedelta(days=1)
    suspended.must("round/atlas-1", {
        "kind": "open_round", "title": "Atlas-1", "text": "", "currency": suspended.register.charter.currency, "goal": 9_000_000_00,
        "minimum": 3_000_000_00, "opens_at": opened.isoformat(), "closes_at": (opened + timedelta(days=14)).isoformat(),
        "budget": [{"name": "all", "amount": 9_000_000_00}], "tranches": [{"name": "all", "fraction": 10_000}],
    }, "sam")  # fmt: skip
    suspended.deadline("round/atlas-1")
    suspended.must("member/ada", {"kind": "suspend_for_default", "source": "round/other"}, SERVICE)
    suspended.give("round/atlas-1", {"kind": "pledge", "member": "ada", "amount": 1_000_000_00}, "rep-ada")
    return [again, retried, suspended]


def main() -> None:
    """Writes the golden logs of the rules in force, with `--write`; else tells what they would not show."""
    plays, missed = chosen(heard())
    plays += by_hand()
    tree = list({entry.hash: entry for play in plays for entry in play.entries}.values())
    lacking = everything() - seen(tree)
    for what in sorted(lacking):
        print(f"  {what}: {EXCEPTIONS.get(what) or missed.get(what, 'no story shows it')}")
    print(f"{len(plays)} logs, {len(tree):,} entries; {len(lacking)} of {len(everything())} things are not shown")
    if "--write" in sys.argv:
        write(tree, RULES, commit(), {what: EXCEPTIONS.get(what) or missed.get(what, "no story shows it") for what in lacking})


if __name__ == "__main__":
    main()
