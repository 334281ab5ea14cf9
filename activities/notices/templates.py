"""What notices say: one place for all subjects and texts.

`{fact}` is replaced by that fact, and facts that a text does not mention are listed below it, so that a text which lags
behind its process leaves nothing out. A template without a text here is sent with its name and its facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from activities.outside import plain

TemplateName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""How processes name a template: lower-case words, joined by underscores or hyphens."""

Facts = Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], str | int], Field(max_length=40)]


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice in words: a subject of one line, and a text."""

    subject: str
    text: str


TEMPLATES: Final[Mapping[str, Letter]] = {
    # Members, about a funding round.
    "pledging_started": Letter(
        "{round} takes pledges",
        "{round} is open. Your organisation can pledge until {closes_at}, and change or withdraw its pledge until then.",
    ),
    "pledging_started_lock": Letter(
        "{round} takes pledges",
        "{round} is open. Your organisation can pledge until {closes_at}, and change or withdraw its pledge until {locked_from}: from then on it "
        "can only be raised.",
    ),
    "round_extended": Letter("{round} stays open longer", "By vote, {round} takes pledges until {closes_at}. Pledges already made stand."),
    "round_extended_lock": Letter(
        "{round} stays open longer",
        "By vote, {round} takes pledges until {closes_at}. Pledges already made stand. They can be changed or withdrawn until {locked_from}: from "
        "then on they can only be raised.",
    ),
    "pledges_allocated": Letter(
        "{round} is funded: see your share",
        "The minimum of {round} was met and the pledges are binding now. `consortium show {round}` lists what each member was allocated.",
    ),
    "round_failed": Letter("{round} missed its minimum", "{round} has failed. Every pledge is released; you owe nothing for it."),
    "round_cancelled": Letter("{round} is cancelled", "{round} is cancelled. What you paid and was not spent will be refunded."),
    "round_settled": Letter(
        "{round} is settled", "{round} has ended as planned. What was not spent is shared out again by what each member paid."
    ),
    "goal_reduced": Letter(
        "{round} has a smaller goal",
        "By vote, the goal of {round} is {goal} now. What was not called of your commitment shrinks in proportion; what was called stays owed.",
    ),
    "capital_called": Letter(
        "Capital call {call} of {round}: due on {due_on}",
        "Your organisation is called for a payment to {round} (call {call}), due on {due_on}.\n"
        "With what it owed before, {amount} is to be paid by {pay_by}; each further day adds {per_day} of interest.\n"
        "Pay with the reference {reference}. Only money that has cleared by then counts.",
    ),
    "catch_up_called": Letter(
        "You joined {round}: first call due on {due_on}",
        "Having joined {round} after its first call, your organisation pays in as if it had been there from the start: call {call}, "
        "due on {due_on}, with the interest to those who paid earlier. {amount} is to be paid by {pay_by}; each further day adds {per_day}.\n"
        "Pay with the reference {reference}.",
    ),
    "call_covered": Letter(
        "{round}: call {call} is paid from your credit",
        "Your organisation is called for a payment to {round} (call {call}), due on {due_on}. Its credit has paid that, and all that it owed before: "
        "nothing is to be done.",
    ),
    "capital_call_due": Letter(
        "Capital call {call} of {round} is due on {due_on}",
        "Call {call} of {round} is not paid yet, and is due on {due_on}. {amount} is to be paid by {pay_by}; each further day adds {per_day} "
        "of interest. The time to cure a late payment ends at {cure_ends_at}.\n"
        "Pay with the reference {reference}.",
    ),
    "capital_call_overdue": Letter(
        "Capital call {call} of {round} is overdue",
        "Call {call} of {round} was due on {due_on}, and is not paid. Interest runs from then on, and goes to the members who paid in time.\n"
        "With it, {amount} is to be paid by {pay_by}; each further day adds {per_day}. Pay with the reference {reference}.\n"
        "If it is not paid by {cure_ends_at}, your organisation is in default: its votes rest and its commitment can be taken over.",
    ),
    "capital_call_cure_ends": Letter(
        "Last reminder: call {call} of {round}, until {cure_ends_at}",
        "Call {call} of {round} was due on {due_on}, and is still unpaid. The time to cure ends at {cure_ends_at}.\n"
        "With the interest, {amount} is to be paid by {pay_by}; each further day adds {per_day}.\n"
        "Pay with the reference {reference}.\n"
        "After that your organisation is in default: its votes rest and its commitment can be taken over.",
    ),
    "make_up_called": Letter(
        "Make-up call {call} of {round}: due on {due_on}",
        "A member did not pay. The others are called for the gap in {round} (call {call}), each up to the charter's cap, due on {due_on}.\n"
        "With what it owed before, {amount} is your organisation's to pay by {pay_by}, with the reference {reference}; each further day adds "
        "{per_day}.\n"
        "What the late member pays of it comes back to those who made up.",
    ),
    "in_default": Letter(
        "Your organisation is in default in {round}",
        "The time to cure call {call} of {round} is over, and it is not paid. Until it is, your organisation's votes and pledges rest, and "
        "another member can take its commitment over.\n"
        "The way back: pay all that is owed, {amount} by {pay_by}; each further day adds {per_day}. Pay with the reference {reference}. "
        "Once it has cleared, the default is over.",
    ),
    "share_owed": Letter(
        "{round} has ended, and your organisation owes {amount} of it",
        "What {round} spent is borne by all its members, each by its share. With the interest, {amount} of your organisation's share is not paid: it "
        "is to be paid by {pay_by}, with the reference {reference}; each further day adds {per_day}. If your organisation is in default, it stays "
        "so until that is paid. What it pays comes to the members who bore it.",
    ),
    "default_cured": Letter(
        "{round}: the default is over",
        "Your organisation owes nothing of {round} any more that makes a default: it is no longer suspended for this. As long as the round goes on, "
        "what was not taken over of its commitment stands.",
    ),
    "missed_called": Letter(
        "{round}: the default is over, and call {call} is due on {due_on}",
        "Your organisation's money for {round} has cleared: it is no longer suspended for this, and what was not taken over of its commitment "
        "stands. Call {call} asks for what the others were called for meanwhile, with the interest to those who paid it.\n"
        "{amount} is to be paid by {pay_by}; each further day adds {per_day}. Pay with the reference {reference}.",
    ),
    "missed_call_covered": Letter(
        "{round}: the default is over, and call {call} is paid from your credit",
        "Your organisation's money for {round} has cleared: it is no longer suspended for this, and what was not taken over of its commitment "
        "stands. Call {call}, due on {due_on}, is for what the others were called for meanwhile. Your organisation's credit has paid that: nothing "
        "is to be done.",
    ),
    "make_up_reduced": Letter(
        "{round}: {returned} of what your organisation made up comes back",
        "Late money came for call {call} of {round}. Of what your organisation made up for it, {returned} is its credit again, which pays its next "
        "call or is refunded; {lapsed} is not to be paid any more.",
    ),
    "make_up_returned": Letter(
        "{round}: {returned} of what your organisation made up comes back",
        "Late money came for call {call} of {round}. Of what your organisation made up for it, {returned} is its credit again, which pays its next "
        "call or is refunded.",
    ),
    "make_up_lapsed": Letter(
        "{round}: {lapsed} of a make-up call is not to be paid any more",
        "Late money came for call {call} of {round}. Of what your organisation was called for to make up for it, {lapsed} is not to be paid any more.",
    ),
    "interest_left": Letter(
        "{round}: {interest} of interest is still to be paid",
        "Your organisation's payment to {round} came late, and {interest} of the interest is not paid yet. No further interest runs on it. It is "
        "asked for with the next call; it can be paid before, with the reference {reference}.",
    ),
    "delivery_rejected": Letter(
        "A delivery to {round} was not accepted", "What your organisation delivered to {round} does not count yet."
    ),
    # Officers, about a funding round.
    "minimum_missed": Letter(
        "{round} missed its minimum: a vote decides",
        "The pledges to {round} stay below its minimum. Until {vote_ends_at} a vote can extend it, once; if none does, it fails.",
    ),
    "minimum_lost": Letter(
        "{round} fell below its minimum",
        "{round} can count on {sound}, and its minimum is {minimum}. A vote decides until {decide_by}: a smaller run, or refunds.",
    ),
    "call_defaulted": Letter("A default in {round}", "The time to cure is over and {unpaid} is still unpaid in {round}."),
    "calendar_ended": Letter(
        "The charter's calendar ends with {until}: name further days",
        "Call {call} of {round} is due on {due_on}, and the time to cure ends at {cure_ends_at}. The charter names the days on which no money "
        "moves until {until} only: beyond that, nothing but weekends was left out.\n"
        "Amend the charter's calendar (`consortium charter calendar` writes one); until then nobody can make a call that falls due later.",
    ),
    "tranche_released": Letter(
        "Tranche {tranche} of {round} is released", "The milestone of tranche {tranche} of {round} was accepted: call it."
    ),
    "delivery_to_judge": Letter(
        "A delivery to {round} waits for you", "{member} delivered to {round} in kind, worth {value}. Accept or reject it."
    ),
    "commitment_released": Letter(
        "A commitment to {round} is released", "{member} is released from {amount} of its commitment to {round}."
    ),
    "leaver_bound": Letter(
        "{member} leaves, and stays bound to {round}",
        "{member} gave notice. {amount} of its commitment to {round} that is not called yet binds it still, {until}.",
    ),
    "leaving_charged": Letter(
        "Charge for leaving {round}: call {call}, due on {due_on}",
        "Your organisation leaves, so the part of its commitment to {round} that was not called has ended. The charter charges a part of it: "
        "{amount} is to be paid by {pay_by}; each further day adds {per_day}.\nPay with the reference {reference}.",
    ),
    "leaving_charge_covered": Letter(
        "Charge for leaving {round}: paid from your credit",
        "Your organisation leaves, so the part of its commitment to {round} that was not called has ended. The charter charges a part of it (call "
        "{call}, due on {due_on}). Your organisation's credit has paid that: nothing is to be done.",
    ),
    "spending_to_approve": Letter("Spending in {round} waits for you", "A payment from {round} needs the second signature."),
    "refunds_due": Letter(
        "Refunds of {round} are due",
        "{round} has ended, and {credit} goes back to members. Order all of it at once (`consortium round order-refunds`).",
    ),
    "duty_passed": Letter(
        "{round} waits for you: {waits}",
        "{waits} in {round}, and {since}. It passed to {office}: whoever holds that office may act now as well.\n"
        "On the account for it: {held}; owed to its members: {credit}. `consortium show {round}` tells of each, with the dates.\n"
        "Act until {until}, or say that you see to it (`consortium round take-duty`); else {then}.",
    ),
    "substitute_named": Letter(
        "{substitute} stands in for {person} from {since}",
        "From {since} until {until}, {substitute} sees to these duties of {person}: {duties}. The acts are theirs too; what several people sign "
        "is signed by holders of an office only.\nWhat waits now: {waits}. `consortium inbox` lists it with amounts and days.",
    ),
    "substitute_withdrawn": Letter(
        "{substitute} stands in for {person} no longer",
        "{by} withdrew it. The duties that {substitute} saw to are those of {person} alone again: `consortium inbox` lists what waits.",
    ),
    "key_recovery_requested": Letter(
        "A new key is asked for in the place of the lost one of {person}",
        "{by} asked for it, with proof that {person} holds the new key. Another officer confirms it (`consortium consortium confirm-key-recovery`). "
        "If {person} lost no key, stop it (`consortium consortium stop-key-recovery`).",
    ),
    "key_recovery_confirmed": Letter(
        "{person} gets a new key at {until}",
        "{by} stand for it: from {until} on a new key speaks for {person}, and no former one. If {person} lost no key, or the new one is not "
        "theirs, stop it before (`consortium consortium stop-key-recovery`).",
    ),
    "key_recovery_stopped": Letter("{person} gets no new key", "{by} stopped it: {reason}\nThe former keys speak for {person} as before."),
    "key_recovered": Letter(
        "{person} has a new key",
        "A new key speaks for {person} from now on, and no former one; {by} stood for it. If this is wrong, have it revoked at once "
        "(`consortium consortium revoke-key`).",
    ),
    "standing_refunds_to_approve": Letter(
        "{round} is announced: approve its standing refund order",
        "If nobody orders the refunds of {round} after its end, its standing order does: to payees whose bank details are approved, of their own "
        "money. It takes as many approvals as a payment: `consortium round approve-standing-refunds {round}`.",
    ),
    "refunds_by_standing_order": Letter(
        "The standing order refunds {amount} of {round}",
        "Nobody ordered the refunds of {round} in time, so {amount} was ordered by its standing order. Whoever cannot be paid is left out and told.",
    ),
    "debts_listed": Letter(
        "{round} has debts of {amount}",
        "Nobody wound {round} up. It owes {amount} (creditors: {creditors}), and {held} is on the account for it. "
        "`consortium show {round}` lists whom it owes what. The treasurer and the board can still pay it back (`consortium round order-refunds`).",
    ),
    "debt_to_you": Letter(
        "{round} owes you {amount}",
        "{round} ended, and nobody gave back what it holds. {amount} of it is yours, and stays yours until it is paid. Ask the treasurer or the "
        "board for it; the bank details that you named must be approved (`consortium treasury name-payee`).",
    ),
    "debt_of_yours": Letter("You owe {amount} to {round}", "{round} ended, and {amount} of what you owe to it is not paid."),
    # Officers, about the treasury.
    "money_unmatched": Letter(
        "Money waits to be matched", "Movements on {treasury} that wait: {lines}. `consortium show {treasury}` lists them."
    ),
    "statement_refused": Letter("A statement could not be imported", "A file of the bank was refused: {reason}"),
    "payee_to_approve": Letter(
        "Bank details wait for approval", "Compare the new bank details of {payee} with its letter, and approve them."
    ),
    "payment_to_approve": Letter("A payment waits for your signature", "{payment} over {amount} waits for its approvals."),
    "payment_list_to_approve": Letter(
        "A list of payments over {amount} waits for your signature",
        "The list {payment_list} (payments: {payments}) is approved as a whole: look at it (`consortium show {treasury}`), and sign its digest "
        "(`consortium treasury approve-payment-list`).",
    ),
    "payments_left_out": Letter(
        "Left out of a list of payments: {payments}",
        "Not all of {payment_list} is paid (payments left out: {payments}): {reason}. Their money is credit in {source} again. Have the bank "
        "details approved, and order again (`consortium round order-refunds`).",
    ),
    "payment_failed": Letter("A payment failed", "The bank did not carry out {payment}: {reason}\nRetry it, or cancel it."),
    # Members, about money that goes back to them, or that the bank took back.
    "refund_without_account": Letter(
        "{source}: your refund of {amount} waits for your bank details",
        "{amount} of {source} is your organisation's again, and its bank details are not approved. Give them "
        "(`consortium treasury name-payee`); once they are approved, the treasurer orders the refund again.",
    ),
    "payment_reversed": Letter(
        "{round}: a payment of {amount} was taken back",
        "Your bank took {amount} back that your organisation had paid to {round}. Of it {owed} are owed again, as if they had never been paid:\n"
        "interest runs from the day they were due, and what is not paid by the end of the time to cure is a default.\n"
        "With all else that it owes, {to_pay} is to be paid by {pay_by}; each further day adds {per_day}. Pay with the reference {reference}.",
    ),
    "payment_reversed_nothing_owed": Letter(
        "{round}: a payment of {taken_back} was taken back",
        "Your bank took {taken_back} back that your organisation had paid to {round}. Without it your organisation has still paid all that it was "
        "asked for: it owes nothing of {round}, and nothing is to be done.",
    ),
    "payment_reversed_after_end": Letter(
        "{round}: a payment of {taken_back} was taken back",
        "Your bank took {taken_back} back that your organisation had paid to {round}, which has ended. Your organisation owes its share of what the "
        "round spent again, and what went back to it of that payment: with all else that it owes, {amount} is to be paid by {pay_by}; each further "
        "day adds {per_day}. Pay with the reference {reference}.",
    ),
    "in_default_after_end": Letter(
        "Your organisation is in default in {round}",
        "A payment of your organisation to {round} was taken back, and the time to pay what it had paid for is over. Until that is paid, your "
        "organisation's votes and pledges rest.\n"
        "The way back: pay all that is owed, {amount} by {pay_by}; each further day adds {per_day}. Pay with the reference {reference}. "
        "Once it has cleared, the default is over.",
    ),
    "surplus_taken_back": Letter(
        "{round}: {less} of your organisation's credit is not there",
        "The bank took a payment back that had been made to {round}, which has ended, and {less} of your organisation's credit had come of it. It "
        "is not refunded now, and comes back when that payment is made again.",
    ),
    # Applicants and members, about the membership; and the officers who deal with it.
    "screening-hit": Letter(
        "{name} resembles a listed name",
        "The screening of {name} found a match (score {score}). Judge it: `consortium member judge-screening`.",
    ),
    "application-rejected": Letter("The application of {name} was rejected", "{name} may apply again, under another handle."),
    "admission-asked-again": Letter(
        "The members are asked again about {name}",
        "Too few of them voted on {name}. They are asked again in {vote}; nothing is to be done.",
    ),
    "application-lapsed": Letter("The application of {name} lapsed", "Its time is over. {name} may apply again, under another handle."),
    "agreement-to-sign": Letter(
        "{name} is admitted: sign the agreement",
        "The vote admitted {name}. Sign the agreement by {sign_by}: `consortium member sign-agreement`.",
    ),
    "agreement-to-countersign": Letter("{name} signed the agreement", "Countersign it: `consortium member countersign-agreement`."),
    "member-active": Letter("{name} is a member", "{name} has its vote and can pledge from now on."),
    "dues-invoiced": Letter(
        "Membership dues of {name}: {amount}, due at {due_at}",
        "Invoice {number}: {amount}, due at {due_at}. Pay with the reference {reference}, so that the bank's statement finds the invoice.",
    ),
    "dues-notice": Letter("Dues of {name} are overdue", "{amount} are overdue. If they stay unpaid, the membership is suspended."),
    "dues-suspended": Letter(
        "{name} is suspended", "{amount} are overdue: {name} does not vote, pledge or read early until they are paid."
    ),
    "dues-termination-notice": Letter("The membership of {name} is about to end", "{amount} are overdue. Unpaid, the membership ends."),
    "dues-terminated": Letter("The membership of {name} ends", "{amount} stayed unpaid. What was called before stays owed."),
    "set-off-announced": Letter(
        "{amount} of overdue dues of {name} will be set off",
        "{owed} of dues are overdue, and the consortium owes {name} money. Unless the dues are paid before, {amount} is set off at "
        "{carry_out_at}: {offsets}. No bank moves anything for it. What is ordered back to {name} until then is not touched.",
    ),
    "set-off-of-all-dues": Letter(
        "{amount} of dues of {name} were set off",
        "{amount} that {round} owed {name} paid its dues. No dues are open any more. No bank moved anything for it.",
    ),
    "set-off-carried-out": Letter(
        "{amount} of dues of {name} were set off",
        "{amount} that {round} owed {name} paid its dues. {owed} of dues are still open. No bank moved anything for it.",
    ),
    "dues-reversed-nothing-owed": Letter(
        "A payment of your dues was taken back", "Your bank took {amount} back. No invoice had used it: nothing is owed again."
    ),
    "dues-reversed": Letter("A payment of your dues was taken back", "Your bank took {amount} back; {owed} are owed again."),
    "seat-vacated": Letter("Nobody speaks for {name}", "Name a representative by {name_by}: `consortium member seat-representative`."),
    "seat-vacant": Letter("{name} is suspended: nobody speaks for it", "Name a representative: `consortium member seat-representative`."),
    "ownership-to-confirm": Letter(
        "The owners of {name} wait for a second person",
        "{declared_by} declared who owns {name}. Compare it with the evidence, and confirm it: `consortium member confirm-ownership`.",
    ),
    "dues-to-refund": Letter(
        "{name} is to be paid {amount} back",
        "{name} has paid {amount} of dues that it does not owe. The treasurer orders the payment to {payee}: `consortium treasury order-payment`.",
    ),
    "membership-ended": Letter("The membership of {name} has ended", "{name} is no member any more ({cause}). Its public record stays."),
    "unseated": Letter(
        "{person} speaks for {name} no more", "{person} was unseated. If that is wrong, ask a representative of {name}, or the board."
    ),
    "departure": Letter(
        "{name} leaves", "The membership of {name} ends at {leaves_at}. What was called before stays owed until it is paid."
    ),
    "notice-withdrawn": Letter(
        "{name} stays", "{name} has taken its notice back, and has the rights that it had. What was released meanwhile stays released."
    ),
    # Voters, and who proposed.
    "vote-announced": Letter(
        "A vote begins at {opens_at}: {title}",
        "It is decided as {decision}, by whoever is on the roll when the vote opens at {opens_at}. Until then its sponsor may change it.",
    ),
    "vote-opened": Letter(
        "Vote until {closes_at}: {title}",
        "The vote is open until {closes_at}. A ballot can be changed until then: `consortium proposal cast-ballot`.",
    ),
    "vote-extended": Letter(
        "Vote until {closes_at}: {title}",
        "The quorum came late, so the vote stays open until {closes_at}. A ballot can be changed until then.",
    ),
    "vote-withdrawn": Letter("There is no vote: {title}", "Its sponsor took the proposal back."),
    "vote-closed": Letter("The vote is over: {title}", "The outcome is: {outcome}."),
    "vote-closed-timelock": Letter("The vote is over: {title}", "The outcome is: {outcome}. It takes effect at {takes_effect_at}."),
    "vote-closed-exit": Letter(
        "The vote is over: {title}",
        "The outcome is: {outcome}. It takes effect at {takes_effect_at}. Until then a member that voted against it may leave the round "
        "(`consortium round exit-round`); a member that voted for it is bound by it.",
    ),
    "motion-refused": Letter(
        "Passed, and not carried out: {title}",
        "What was voted on was refused when it was carried out: {reason}\nUntil {until} the secretariat may mend the cause and try it again "
        "(`consortium retry`); after that it needs another vote.",
    ),
    "motion-carried-out": Letter("Carried out after all: {title}", "What had been refused was carried out since."),
    "motion-given-up": Letter("Not carried out: {title}", "It is not tried again, and needs another vote to be done. The reason: {reason}"),
    # The training lead, reviewers and officers, about a training run.
    "run-planned": Letter("{run} is planned: put its contract to the vote", "The contract has the digest {contract}."),
    "run-approved": Letter("{run} is approved", "Start it when the trainer is ready: `consortium run start-run`."),
    "run-findings": Letter(
        "Something happened in {run}",
        "Since the last look: missing checkpoints: {missing}, restarts: {restarts}, loss spikes: {spikes}. `consortium show {run}` has them.",
    ),
    "run-diverged": Letter(
        "The loss of {run} is no number",
        "Losses since the last look that are not finite: {count}, the first at step {step} of {stage}. Look after it: the run has diverged.",
    ),
    "run-fell-silent": Letter("{run} is silent", "Nothing was heard of the trainer since {since}. Look after it."),
    "run-stalled": Letter("{run} makes no progress", "The trainer writes, and no step was done since {since}. Look after it."),
    "run-stopped": Letter("{run} was stopped", "The reason: {reason}\nWhat was not spent is shared out again when the round ends."),
    "claim-failed": Letter("The claim of {milestone} in {run} fails", "{reason}\nClaim it again when that is mended."),
    "milestone-to-review": Letter(
        "{milestone} of {run} waits for your review", "Look at the evidence {evidence} and accept or reject exactly that one."
    ),
    "evaluation-to-review": Letter(
        "{milestone} of {run} waits for your review",
        "Look at the evidence {evidence} and accept or reject exactly that one. It was measured on {model}; its results file has the "
        "SHA-256 {results}.",
    ),
    "milestone-accepted": Letter("{milestone} of {run} is accepted", "The tranche that waited for it is released."),
    "milestone-rejected": Letter(
        "{milestone} of {run} is rejected", "{reason}\nThis evidence stays rejected: claim the milestone again with other evidence."
    ),
    # Everybody who sees the stage of a release, and its officers.
    "stage_entered": Letter("{title} reached the stage {stage}", "`consortium show {release}` says where it is and who can read it."),
    "stage_refused": Letter("{release} was not let into the stage {stage}", "{subject}: {reason}\nMend it, and ask for the stage again."),
    "embargo_ended": Letter("The embargo of {release} is over", "It publishes by itself as soon as nothing is missing. Missing: {missing}"),
    "release_held": Letter(
        "{release} is held until {until}", "{reason}\nIt goes on at that time by itself, unless the hold is extended or lifted."
    ),
    "release_recalled": Letter("{release} is recalled", "{reason}\nStop using it."),
}


def written(template: str, facts: Mapping[str, str | int], stream: str) -> Letter:
    """The notice in words. Facts may be anybody's text: each is one line, shows nothing invisible, and links nowhere."""
    letter = TEMPLATES.get(template, Letter(re.sub("[_-]", " ", template).capitalize(), ""))
    values = {name: _shown(value) for name, value in facts.items()}
    others = "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in values.items() if f"{{{name}}}" not in letter.text)
    paragraphs = (_filled(letter.text, values), others, f"This is about {stream}." if stream else "")
    return Letter(plain(_filled(letter.subject, values), 150), "\n\n".join(filter(None, paragraphs)) + "\n")


def _shown(value: str | int) -> str:
    return plain(str(value), 1_000).replace("://", "[:]//")


def _filled(text: str, values: Mapping[str, str]) -> str:
    """One pass, so that braces in a fact stay what they are; a fact that is missing shows as a dash."""
    return re.sub(r"\{([a-z0-9_]+)\}", lambda match: values.get(match[1], "—"), text)
