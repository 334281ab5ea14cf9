"""What every decision on a release begins with: where the release is, and what must be true of who asks for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.kernel import Refused, shown_at
from domain.process import Context, StepOwed
from domain.release import events
from domain.release.state import (
    Abandoned,
    Edition,
    Held,
    Known,
    Listing,
    Pending,
    Public,
    Recalled,
    Release,
    ReleaseState,
    Signed,
    Signing,
    Staged,
    Superseded,
    Unproposed,
    Verifying,
    evolve,
)

Events = Sequence[events.ReleaseEvent | StepOwed]

MANAGER: Final = "office:release-manager"
SAFETY: Final = "office:safety-reviewer"
BOARD: Final = "office:board"


def folded(state: ReleaseState, decided: Events) -> ReleaseState:
    """The release after these events."""
    for event in decided:
        if not isinstance(event, StepOwed):
            state = evolve(state, event)
    return state


# ---------------------------------------------------------------- where it is


def known_of(state: ReleaseState) -> Known:
    """A release that was proposed. Refuses the rest."""
    match state:
        case Unproposed():
            raise Refused(
                "not_proposed",
                "no release of this name was proposed",
                remedy="check its name (`consortium releases`); a release manager proposes one (`consortium release propose-release`)",
            )
        case Pending() | Held() | Public() | Superseded() | Recalled() | Abandoned():
            return state


def pending(state: ReleaseState) -> Pending | Held:
    """Before the public. Refuses the rest."""
    known = known_of(state)
    match known:
        case Pending() | Held():
            return known
        case Public():
            raise Refused("already_public", "it is public already", remedy="a vote can recall it, or a newer release take its place")
        case Superseded(by=by):
            raise Refused("already_public", f"it is public, and release/{by} took its place", remedy=f"go on with release/{by}")
        case Recalled():
            raise Refused("release_over", "it was public, and was recalled for good", remedy="propose another release")
        case Abandoned():
            raise Refused("release_over", "it was abandoned before it was public", remedy="propose another release")


def unheld(state: ReleaseState) -> Pending:
    """Before the public and free to move on. Refuses the rest."""
    known = pending(state)
    match known:
        case Pending():
            return known
        case Held(hold=hold):
            raise Refused(
                "release_held",
                f"{hold.by} holds it until {shown_at(hold.until)}",
                clause="release.hold_days",
                remedy="wait, or let a safety reviewer lift the hold",
            )


def held(state: ReleaseState) -> Held:
    """A release that is held. Refuses the rest."""
    known = pending(state)
    match known:
        case Pending():
            raise Refused("not_held", "nobody holds it", remedy="a safety reviewer can hold it (`consortium release hold-release`)")
        case Held():
            return known


def signed(state: Pending | Held) -> Signed:
    """The place of a release whose files are signed. Refuses the rest."""
    match state.place:
        case Verifying() | Staged():
            return state.place
        case Listing() | Signing():
            raise Refused("not_signed", "its files are not listed and signed yet", remedy="wait; `consortium show` tells when they are")


def require_manifest(edition: Edition, manifest: str) -> None:
    """What is said about other files says nothing about these."""
    if edition.manifest != manifest:
        raise Refused(
            "other_manifest",
            f"the files' manifest is {edition.manifest}, not {manifest}",
            remedy="look at the present files, and name their manifest",
        )


def embargo_over(release: Release, context: Context) -> bool:
    """Whether the embargo is over."""
    return context.at >= release.embargo_ends_at
