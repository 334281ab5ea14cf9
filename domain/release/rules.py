"""What every decision on a release begins with: where the release is, and what must be true of who asks for what."""

from __future__ import annotations

from typing import Final

from domain import process
from domain.kernel import Refused, shown_at
from domain.process import Context, fold
from domain.release import events
from domain.release.parts import Edition, Release
from domain.release.state import (
    Abandoned,
    Held,
    Listing,
    Pending,
    Proposed,
    Public,
    Recalled,
    ReleaseState,
    Signed,
    Signing,
    Staged,
    Superseded,
    Unproposed,
    Verifying,
    evolve,
)

Events = process.Events[events.ReleaseEvent]

MANAGER: Final = "office:release-manager"
SAFETY: Final = "office:safety-reviewer"
BOARD: Final = "office:board"


def after(state: ReleaseState, decided: Events) -> ReleaseState:
    """The release once these events are recorded."""
    return fold(evolve, state, decided)


# ---------------------------------------------------------------- guards by phase


def proposed(state: ReleaseState) -> Proposed:
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
    release = proposed(state)
    match release:
        case Pending() | Held():
            return release
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
    release = pending(state)
    match release:
        case Pending():
            return release
        case Held(hold=hold):
            raise Refused(
                "release_held",
                f"{hold.by} holds it until {shown_at(hold.until)}",
                clause="release.hold_days",
                remedy="wait, or let a safety reviewer lift the hold",
            )


def held(state: ReleaseState) -> Held:
    """A release that is held. Refuses the rest."""
    release = pending(state)
    match release:
        case Pending():
            raise Refused("not_held", "nobody holds it", remedy="a safety reviewer can hold it (`consortium release hold-release`)")
        case Held():
            return release


def recallable(state: ReleaseState) -> Public | Superseded | Recalled:
    """A release that is public, or was recalled already. Refuses the rest."""
    release = proposed(state)
    match release:
        case Public() | Superseded() | Recalled():
            return release
        case Abandoned():
            raise Refused("release_over", "it was never public, and will not be", remedy="nothing is left to recall")
        case Pending() | Held():
            raise Refused(
                "not_public",
                "it is not public",
                remedy="hold it (`consortium release hold-release`), or abandon it by a vote (`consortium proposal propose`)",
            )


def with_leases(state: ReleaseState) -> Proposed:
    """The phases in which the agenda names the instants of leases."""
    assert not isinstance(state, Unproposed), "a release that nobody proposed has no leases"
    return state


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
