"""The charter: the consortium's rulebook as data. Adopted and amended by vote; every refusal names a clause of it.

Periods carry their unit in the name. Fractions are basis points. Amounts are minor units of the charter's currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from domain.calendar import Calendar
from domain.kernel import WHOLE, BasisPoints, CountryCode, Digest, Message, Name, Slug
from domain.money import MINOR_UNITS, Amount, Currency, Minor

Days = Annotated[int, Field(ge=0, le=3_650)]
Hours = Annotated[int, Field(ge=0, le=24 * 3_650)]


def _is(default: object) -> Callable[[object], bool]:
    """Leaves a term out of what is written where it says what a charter without it says.

    Each term that a later release adds has it: so a charter keeps the bytes, and the digest, that it was voted on with.
    """
    return lambda value: value == default


class Office(StrEnum):
    """What a person may be entrusted with. A member's representative holds no office by that."""

    SECRETARIAT = "secretariat"
    TREASURER = "treasurer"
    SECOND_SIGNATORY = "second-signatory"
    BOARD = "board"
    TRAINING_LEAD = "training-lead"
    EVALUATION_REVIEWER = "evaluation-reviewer"
    SAFETY_REVIEWER = "safety-reviewer"
    LICENCE_REVIEWER = "licence-reviewer"
    COMPLIANCE_REVIEWER = "compliance-reviewer"
    RELEASE_MANAGER = "release-manager"
    AUDITOR = "auditor"


OFFICERS: Final = frozenset({Office.SECRETARIAT, Office.TREASURER, Office.SECOND_SIGNATORY, Office.BOARD})
"""Who answers for the consortium as a whole: two of them do what nobody may do alone and no charter words otherwise."""


class RoleTerms(Message):
    """Clause `roles`: what nobody is entrusted with at a time, and how a lost key is replaced."""

    apart: Annotated[Mapping[Office, frozenset[Office]], Field(max_length=len(Office))] = Field(default_factory=dict)
    """Who holds the one office is granted none of the others, nor the other way round; who held both before keeps them."""

    recovery_offices: Annotated[frozenset[Office], Field(min_length=1)] = Field(default=OFFICERS, exclude_if=_is(OFFICERS))
    """Two of whose holders, of different organisations, put a new key in the place of somebody's lost one."""
    recovery_hours: Annotated[int, Field(ge=1, le=24 * 366)] = Field(default=72, exclude_if=_is(72))
    """For how long that can be stopped, by the person or a holder of these offices, before it is done."""

    def barring(self, office: Office, held: Iterable[Office]) -> tuple[Office, ...]:
        """Which of the offices that a person holds keep them from this one, in order."""
        return tuple(sorted(other for other in held if other in self.apart.get(office, ()) or office in self.apart.get(other, ())))


class Tier(Message):
    """A class of membership."""

    annual_fee: Minor = Field(ge=0)
    votes: Annotated[int, Field(ge=0, le=1_000)]
    """Weight under the scheme `per_tier`."""
    seats: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    """How many members the tier takes."""


class MembershipTerms(Message):
    """Clause `membership`: from the application to the last duty of one who left."""

    agreement: Digest
    """SHA-256 of the membership agreement that is signed."""
    review_score: Annotated[int, Field(ge=50, le=100)] = 88
    """Screening similarity (0 to 100) from which on a person must look at the hit."""
    list_age_days: Days = 7
    """A sanctions list older than this screens nobody."""
    list_entries: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    """A sanctions list with fewer names than this screens nobody: it was cut off on its way here."""
    application_days: Days = 90
    """An application that has not become a membership by then lapses."""
    signing_days: Days = 30
    dues_days: Days = 30
    """How long a dues invoice has before the ladder counts it as overdue."""
    notice_overdue_days: Days = 60
    suspended_overdue_days: Days = 75
    termination_notice_overdue_days: Days = 90
    terminated_overdue_days: Days = 105
    payment_plan_days: Days = 180
    """The longest time a payment plan may stop the ladder's clock."""
    leaving_notice_days: Days = 90
    notice_can_be_withdrawn: bool = Field(default=False, exclude_if=_is(default=False))
    """Whether a member may take its notice back until the notice ends."""
    run_off_days: Annotated[int, Field(ge=1, le=366)] = 7
    """How often one whose notice is over and who still owes something is looked at again."""
    vacancy_days: Days = 30
    """How long a member may be without a representative before its votes are suspended."""
    control: BasisPoints = 5_000
    """Holdings above this fraction make two companies related."""
    admission_asks: Annotated[int, Field(ge=1, le=12)] = Field(default=1, exclude_if=_is(1))
    """How often members are asked about an applicant as long as too few of them vote. Each time the application's time begins anew, and after
    the last it lapses. 1: an applicant on whom too few voted is turned down."""
    open_applications: Annotated[int, Field(ge=1, le=10_000)] = Field(default=50, exclude_if=_is(50))
    """How many applications are under way at a time, before the members' vote on them: strangers make them."""
    founding_seats: Annotated[int, Field(ge=0, le=1_000)] = Field(default=0, exclude_if=_is(0))
    """With fewer active seats than this, members and board decide together, one vote each. 0: from the first active member on they decide
    alone."""

    @model_validator(mode="after")
    def _ladder_climbs(self) -> MembershipTerms:
        ladder = (self.notice_overdue_days, self.suspended_overdue_days, self.termination_notice_overdue_days, self.terminated_overdue_days)
        if not all(lower < higher for lower, higher in pairwise(ladder)):
            raise ValueError("the good-standing ladder must climb: notice < suspended < termination notice < terminated")
        return self


Scheme = Literal["per_member", "per_tier", "contribution", "square_root"]
"""How votes weigh: one each, by tier, by cleared contribution, or by its integer square root."""

Method = Literal["weighted", "lazy", "ranked", "budget"]
"""Yes and no with weights; passes unless enough object; Schulze; sharing a budget across projects."""


TieBreak = Literal["heads", "listed"]
"""How what is tied in a ranked vote is put in order: counted again with one vote a seat, and then as the proposal lists it."""


class DecisionRule(Message):
    """Clause `decisions.<class>`: how one class of decision is made."""

    covers: frozenset[str] = frozenset()
    """The commands this class decides, as `process/command_kind`: the class follows from these, never from the sponsor."""
    method: Method = "weighted"
    scheme: Scheme = "per_member"
    group_cap: BasisPoints = 10_000
    """The largest fraction of the whole weight that one seat may carry."""
    notice_hours: Hours = 0
    """From the announcement to the opening; the roll is frozen at the opening (the record date)."""
    duration_hours: Annotated[int, Field(ge=1, le=24 * 366)] = 24 * 14
    quorum_heads: BasisPoints = 5_000
    quorum_weight: BasisPoints = 5_000
    threshold: BasisPoints = 5_000
    """Yes must be more than this fraction of yes plus no; of the whole, nobody may say no (weighted)."""
    threshold_of: Literal["votes", "roll"] = Field(default="votes", exclude_if=_is("votes"))
    """Of what the threshold is a fraction: of yes plus no, or of the whole roll, where who abstains or is silent counts as if against.
    Of the whole roll all must say yes. Recused seats are in neither."""
    tie_breaks: frozenset[TieBreak] = Field(default=frozenset(), exclude_if=_is(frozenset()))
    """How a ranked vote orders what is tied, by heads first; without any, ties are told as ties and none of them is chosen."""
    objection: BasisPoints = 2_500
    """Lazy consensus fails when objections weigh at least this fraction of the roll."""
    late_quorum_hours: Hours = 0
    """A quorum first reached in the last so many hours extends the close by as many, once. 0: never."""
    early_close: bool = True
    """Whether a decision that can no longer change closes at once."""
    timelock_hours: Hours = 0
    """From passing to execution; who opposed may leave in between."""
    mandate_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    """How long what was voted can be carried out, from when it is ordered: what is refused may be tried again until then, and after that
    needs another vote."""
    subject_barred: bool = True
    """Whether the member that the decision is about is recused by rule."""
    sponsors: frozenset[Office] = frozenset()
    """Offices that may sponsor it; representatives of active members always may."""

    @property
    def longest_hours(self) -> int:
        """How long it takes at most from the announcement to the execution."""
        return self.notice_hours + self.duration_hours + self.late_quorum_hours + self.timelock_hours


class FundingTerms(Message):
    """Clause `funding`: rounds, calls and what happens when money does not come."""

    share_floor: BasisPoints = 200
    """The smallest fraction of the goal a member may pledge (1/50)."""
    share_cap: BasisPoints = 1_000
    """The largest fraction of the goal a seat may be allocated (1/10), related companies together."""
    concentration_gauge: BasisPoints = 1_500
    """The Herfindahl-Hirschman index of the allocation above which the round shows a warning."""
    extension_days: Days = 30
    """By how much one vote may extend a round that missed its minimum."""
    extension_vote_days: Days = 21
    """How long the round waits for that vote."""
    call_notice_business_days: Annotated[int, Field(ge=1, le=120)] = 10
    reminder_days: Days = 3
    """How long before and after the due date reminders go out."""
    cure_business_days: Annotated[int, Field(ge=1, le=120)] = 10
    default_interest: BasisPoints = 800
    """Per year, simple, actual/360, on the overdue amount; paid to those who funded the tranche in time."""
    interest_carried_up_to: Minor | None = Field(default=None, exclude_if=_is(None))
    """Interest up to this, of a principal that is paid, makes no default: it is asked for with the next call. Left out, no interest alone does."""
    makeup_cap: BasisPoints = 2_500
    """The most that make-up calls for one tranche may add, as a fraction of the member's own call; also beyond the share cap."""
    makeup_notice_business_days: Annotated[int, Field(ge=1, le=120)] = 5
    equalisation_interest: BasisPoints = 400
    """Per year, simple, actual/360, that a late joiner pays on what it would have paid, to those who paid it."""
    leaver_funds_called: bool = True
    """Whether one who leaves still owes what it is called for when its commitment ends."""
    leaver_bound_until: Literal["notice_given", "notice_ended", "next_tranche"] = Field(
        default="notice_given", exclude_if=_is("notice_given")
    )
    """Until when a member that leaves is bound to what it is not called for yet: until it gives notice; until its notice is over; or until the
    next tranche is called after that, of which it is called too. Who is expelled, or terminated over its dues, has no notice of its own.
    Under the last two, who voted yes to anything that passed about the round or its run stays bound until the round ends.
    """
    leaving_charge: BasisPoints = Field(default=0, exclude_if=_is(0))
    """Of the part of a commitment that ends because its member leaves, the fraction that is called at once. It is money of the round like any
    other that is called: of what nobody spends, it comes back at the end like everybody's.
    """
    pledge_lock_hours: Hours = Field(default=0, exclude_if=_is(0))
    """In the last so many hours before the close pledges can only be raised, and who begins to leave then is bound by its pledge as by a
    commitment. 0: never. It takes that leavers stay bound.
    """

    @model_validator(mode="after")
    def _locks_bind_leavers(self) -> FundingTerms:
        if self.pledge_lock_hours and self.leaver_bound_until == "notice_given":
            raise ValueError(
                "pledge_lock_hours: a notice would open the lock; let leaver_bound_until be notice_ended or next_tranche with it"
            )
        return self


class SilenceTerms(Message):
    """Clause `silence`: what becomes of a round's duties when nobody acts. As it stands by default, they wait for ever."""

    duty_days: Days = 0
    """How long a duty waits for each of those who hold it in turn, before it passes to the next, and the round ends after the last. 0: for ever."""
    milestone_days: Days = 0
    """How long a round waits first for the milestone that releases its next tranche. 0: for ever."""
    deputies: Annotated[Mapping[Office, Office], Field(max_length=len(Office))] = Field(default_factory=dict)
    """The office that a duty of the first one passes to, before it passes to the whole board."""
    standing_days: Days = 0
    """How long after a round's end the standing refund order, if one was approved while it ran, orders the refunds by itself. 0: never."""
    substitute_days: Days = 0
    """The longest time for which a person may name a substitute for their duties. 0: nobody may."""
    debts_days: Annotated[int, Field(ge=1, le=366)] = 91
    """How often the debts of a round that nobody wound up are asked for again."""

    def line(self, office: Office) -> tuple[Office, ...]:
        """The offices that a duty of this one passes to, in order; at the last the whole board."""
        deputy = self.deputies.get(office)
        return tuple(dict.fromkeys(each for each in (deputy, Office.BOARD) if each not in {None, office}))


class TreasuryTerms(Message):
    """Clause `treasury`: the bank account, who may send money from it, and how often the bank is asked."""

    account: Slug = "main"
    """The treasury of this consortium is `treasury/<account>`."""
    approvals: Annotated[int, Field(ge=1, le=10)] = 2
    """How many different people sign a payment; who ordered it is none of them."""
    approval_offices: Annotated[frozenset[Office], Field(min_length=1)] = frozenset(
        {Office.TREASURER, Office.SECOND_SIGNATORY, Office.BOARD}
    )
    payee_approvals: Annotated[int, Field(ge=1, le=10)] = 1
    """How many different people approve a payee's bank details; who named them is none of them."""
    payee_offices: Annotated[frozenset[Office], Field(min_length=1)] = frozenset({Office.TREASURER, Office.SECOND_SIGNATORY, Office.BOARD})
    statement_hours: Annotated[int, Field(ge=1, le=24 * 31)] = 24
    """How often the bank is asked for new statements."""
    execution_business_days: Annotated[int, Field(ge=0, le=30)] = 1
    """How many business days after its last approval a payment is to be carried out."""
    set_off_notice_business_days: Annotated[int, Field(ge=0, le=120)] = Field(default=0, exclude_if=_is(0))
    """How long it is announced before that what a member owes is set off against what is payable to it. 0: nothing is set off."""


Gate = Literal["evaluations", "findings", "licence"]
"""Every evaluation that is asked for passed; every safety finding closed; the licences accepted. All of it on exactly these files."""


class StageTerms(Message):
    """What a stage of a release asks for, and how long it lasts at least."""

    hours: Hours = 0
    """How long a release stays in this stage at least, before the next."""
    gates: frozenset[Gate] = frozenset()
    """What must be passed before this stage is entered; what an earlier stage asked for must still hold."""
    approvals: Annotated[Mapping[Office, Annotated[int, Field(ge=1, le=20)]], Field(max_length=len(Office))] = Field(default_factory=dict)
    """How many different holders of each office approve this stage; nobody counts for two."""


class ReleaseTerms(Message):
    """Clause `release`: how a model is walked from the inside to the public, who may stop it, and for how long."""

    lowest_class: Literal[0, 1, 2, 3] = 3
    """The openness class that every release reaches at least, computed and not only claimed; 0 asks for none."""
    evaluations: frozenset[Slug] = frozenset()
    """The evaluations that every release must pass."""
    internal: StageTerms = Field(default_factory=lambda: StageTerms(hours=24))
    members: StageTerms = Field(
        default_factory=lambda: StageTerms(
            hours=24 * 14, gates=frozenset({"evaluations", "findings"}), approvals={Office.SAFETY_REVIEWER: 1}
        )
    )
    gated: StageTerms = Field(
        default_factory=lambda: StageTerms(hours=24 * 3, gates=frozenset({"licence"}), approvals={Office.LICENCE_REVIEWER: 1})
    )
    public: StageTerms = Field(default_factory=lambda: StageTerms(approvals={Office.BOARD: 2, Office.SAFETY_REVIEWER: 1}))
    early_access_hours: Hours = 24 * 14
    """How long members have the files before everybody, unless the embargo's end comes first."""
    embargo_days: Annotated[int, Field(ge=1, le=366)] = 90
    """The longest time from the proposal to the end of the embargo, when a release is published by itself."""
    freeze_hours: Hours = 72
    """How long before the embargo's end other files need a vote."""
    recheck_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 6
    """How long after a check that refused the files at the embargo's end the next one comes by itself."""
    check_hours: Annotated[int, Field(ge=1, le=24 * 31)] = 48
    """How long a check of the files may take before it can be begun anew."""
    hold_days: Annotated[int, Field(ge=1, le=90)] = 14
    """How long one safety reviewer's key can hold a release, in all."""
    hold_extension_days: Annotated[int, Field(ge=1, le=90)] = 14
    hold_extensions: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a hold can be extended, in all."""
    hold_keys: Annotated[int, Field(ge=2, le=10)] = 2
    """How many different people sign an extension."""
    hold_offices: Annotated[frozenset[Office], Field(min_length=1)] = Field(
        default_factory=lambda: frozenset({Office.SAFETY_REVIEWER, Office.BOARD})
    )
    recall_keys: Annotated[int, Field(ge=2, le=20)] = 3
    """How many different people recall a public release, when no vote does."""
    recall_offices: Annotated[frozenset[Office], Field(min_length=1)] = frozenset(
        {Office.SAFETY_REVIEWER, Office.BOARD, Office.SECRETARIAT}
    )
    lease_days: Annotated[int, Field(ge=1, le=366)] = 90
    """The longest lease of early access."""
    lease_persons: Annotated[int, Field(ge=1, le=1_000)] = 25
    """How many persons of one member may have early access at a time."""
    lease_check_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 6
    """How often the members of open leases are looked at again."""

    @model_validator(mode="after")
    def _stages_fit(self) -> ReleaseTerms:
        if self.internal.hours + max(self.members.hours + self.gated.hours, self.early_access_hours) > self.embargo_days * 24:
            raise ValueError("the stages of a release last longer than the longest embargo: lengthen it or shorten them")
        return self

    @property
    def hold(self) -> timedelta:
        """How long a release can be held in all, with every extension."""
        return days(self.hold_days + self.hold_extensions * self.hold_extension_days)


class TrainingTerms(Message):
    """Clause `training`: who judges the milestones of training runs."""

    reviewers: Annotated[int, Field(ge=2, le=10)] = 2
    """How many different people, of different organisations, accept a milestone; the training lead is none of them."""
    review_offices: Annotated[frozenset[Office], Field(min_length=1)] = Field(
        default_factory=lambda: frozenset({Office.EVALUATION_REVIEWER, Office.SAFETY_REVIEWER})
    )


class RateCard(Message):
    """Clause `rate_card`: what delivered goods count for. A round keeps the version it was opened under."""

    version: Annotated[int, Field(ge=1)] = 1
    rates: Annotated[Mapping[Slug, Amount], Field(min_length=1)]
    """Minor units for one unit of each kind (`h100-hour`, `engineer-day`, `billion-tokens`)."""


def _known(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError(f"{code} is not a currency in use (ISO 4217)")
    return code


class Charter(Message):
    """The rulebook in force. One charter governs one consortium, in one currency."""

    name: Name
    currency: Annotated[Currency, AfterValidator(_known)]
    seat: CountryCode
    calendar: Calendar = Calendar()
    roles: RoleTerms = Field(default_factory=RoleTerms)
    tiers: Annotated[Mapping[Slug, Tier], Field(min_length=1)]
    membership: MembershipTerms
    decisions: Annotated[Mapping[Slug, DecisionRule], Field(min_length=1)]
    funding: FundingTerms = FundingTerms()
    rate_card: RateCard
    silence: SilenceTerms = Field(default_factory=SilenceTerms, exclude_if=_is(SilenceTerms()))
    treasury: TreasuryTerms = TreasuryTerms()
    release: ReleaseTerms = Field(default_factory=ReleaseTerms)
    training: TrainingTerms = Field(default_factory=TrainingTerms)

    @model_validator(mode="after")
    def _classes_are_disjoint(self) -> Charter:
        seen: dict[str, str] = {}
        for name, rule in self.decisions.items():
            for command in rule.covers:
                if command in seen:
                    raise ValueError(f"{command} is decided by two classes, {seen[command]} and {name}; name it in one")
                seen[command] = name
        return self

    def class_of(self, command: str) -> str | None:
        """The class that decides `process/command_kind`, or `None` when no vote can give that command."""
        return next((name for name, rule in self.decisions.items() if command in rule.covers), None)


REQUIRED_DECISIONS: Final = (
    "consortium/amend_charter",
    "consortium/grant_office",
    "consortium/revoke_office",
    "member/admit",
    "member/expel",
    "round/cancel_round",
    "round/extend_round",
    "round/reduce_goal",
)
"""Commands that only a vote can give, for some offices or always: a charter without a class for each is incomplete."""


def flaws(charter: Charter) -> Iterator[str]:
    """What keeps a charter that can be read from being adopted, each with its place: by it something could never be decided, or never in time."""
    membership, funding = charter.membership, charter.funding
    for name, rule in charter.decisions.items():
        if rule.covers and rule.method in {"ranked", "budget"}:
            yield f"decisions.{name}.covers: a {rule.method} vote chooses among options and orders no command: leave it out, or take another method"
    for command in REQUIRED_DECISIONS:
        if charter.class_of(command) is None:
            yield f"decisions: no class of decision covers {command}"
    for office, others in charter.roles.apart.items():
        if office in others:
            yield f"roles.apart.{office}: nobody could hold an office that is kept apart from itself"
    if charter.silence.standing_days and not charter.silence.duty_days:
        yield "silence.standing_days: nobody's silence is noticed without a day for their duty: set silence.duty_days too"
    for office, deputy in charter.silence.deputies.items():
        if office == deputy or charter.roles.barring(office, (deputy,)):
            yield f"silence.deputies.{office}: {deputy} is kept apart from {office} (roles.apart): name another office"
    if membership.signing_days == 0:
        yield "membership.signing_days: nobody can sign in no time; allow a day at least"
    if funding.pledge_lock_hours > 24 * membership.leaving_notice_days:
        notice = f"{membership.leaving_notice_days} days"
        yield f"funding.pledge_lock_hours: a notice of {notice} (membership.leaving_notice_days) would end, and open the lock, before the close"
    if funding.extension_days == 0:
        yield "funding.extension_days: nobody can pledge in no time; extend a round by a day at least"
    yield from _late(charter, "membership.application_days", membership.application_days, "member/admit")
    for command in ("round/extend_round", "round/reduce_goal"):
        yield from _late(charter, "funding.extension_vote_days", funding.extension_vote_days, command)


def cautions(charter: Charter) -> Iterator[str]:
    """What a charter says that means less than one may think, each with its place. None of it keeps the charter from being adopted."""
    for name, rule in sorted(charter.decisions.items()):
        if rule.group_cap < WHOLE:
            held = f"holds from {seats_for_cap(rule.group_cap)} seats on; with fewer" if rule.group_cap else "never holds:"
            yield f"decisions.{name}.group_cap: {held} every seat that weighs anything weighs one"
        if rule.method != "weighted" and rule.threshold_of == "roll":
            yield f"decisions.{name}.threshold_of: a {rule.method} vote has no threshold"
        if rule.method != "ranked" and rule.tie_breaks:
            yield f"decisions.{name}.tie_breaks: only a ranked vote puts options in order"


def seats_for_cap(cap: int) -> int:
    """With how many seats of any weight none need carry more than `cap` basis points of the whole; of nothing, none ever."""
    return -(-WHOLE // cap) if cap else WHOLE + 1


def _late(charter: Charter, place: str, within_days: int, command: str) -> Iterator[str]:
    """A process waits so many days for a vote that may take longer, and then decides without it."""
    name = charter.class_of(command)
    if name is not None and charter.decisions[name].longest_hours >= within_days * 24:
        hours = charter.decisions[name].longest_hours
        yield f"{place}: a vote on {command} takes up to {hours} hours (decisions.{name}): wait longer, or decide sooner"


def _sound(charter: Charter) -> Charter:
    found = "; ".join(flaws(charter))
    if found:
        raise ValueError(found)
    return charter


SoundCharter = Annotated[Charter, AfterValidator(_sound)]
"""A charter that can be adopted. One that was adopted before is read as it is, whatever a later release asks of new ones."""


def days(count: int) -> timedelta:
    """`count` days of 24 hours."""
    return timedelta(days=count)
