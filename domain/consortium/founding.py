"""The founding, and what every charter must keep."""

from __future__ import annotations

from collections.abc import Sequence

from domain.charter import Charter
from domain.consortium import commands
from domain.consortium.rules import Events, require_compatible, require_person
from domain.consortium.state import SOLE, Founded, Unfounded
from domain.consortium.terms import Officer
from domain.kernel import LOG, Refused
from domain.process import Context
from domain.register.facts import CharterAdopted, ClockSet, KeyEnrolled, LogKeyEnrolled, OfficeGranted, SigningBegun


def found(_: Unfounded, command: commands.Found, context: Context) -> Events:
    """The first charter, the first officers with their keys, and the clock that the log goes by."""
    _require_first(context)
    _require_complete(command, context)
    _require_apart(command.charter, command.officers)
    return (
        CharterAdopted(version=1, charter=command.charter),
        *(OfficeGranted(person=named.person, office=office) for named in command.officers for office in sorted(named.offices)),
        *(KeyEnrolled(person=named.person, public_key=named.public_key) for named in command.officers if named.public_key),
        ClockSet(clock=command.clock),
        *_signing(command, context),
    )


def _signing(command: commands.Found, context: Context) -> Events:
    """The log's first key: everything is signed from the first entry on."""
    for named in command.officers:
        if named.public_key is not None or command.log_key is not None:
            context.require_key(named.person, named.public_key)
    if command.log_key is None:
        return ()
    key = context.require_key(LOG, command.log_key, "the log")
    return (LogKeyEnrolled(public_key=key, position=context.position), SigningBegun(position=context.position))


def amend_charter(state: Founded, command: commands.AmendCharter, context: Context) -> Events:
    """A passed proposal puts a whole new charter in force."""
    context.require_mandate()
    _require_same_currency(state.charter, command.charter)
    _require_tiers_kept(command.charter, context)
    return (CharterAdopted(version=state.version + 1, charter=command.charter),)


def _require_first(context: Context) -> None:
    if context.register.version:
        raise Refused("already_founded", "this log has a consortium already", remedy="one log is one consortium: use another log")


def _require_complete(command: commands.Found, context: Context) -> None:
    officers = command.officers
    if context.actor not in {named.person for named in officers}:
        raise Refused("founder_not_named", f"{context.actor} is not among the officers", remedy="found it as one of the officers you name")
    persons = [named.person for named in officers]
    if len(persons) != len(set(persons)):
        raise Refused("officer_named_twice", "each officer is named once", remedy="name each person once", clause="roles")
    for person in persons:
        require_person(person)
    keys = [key for key in (*(named.public_key for named in officers), command.log_key) if key]
    if len(keys) != len(set(keys)):
        raise Refused(
            "key_taken", "one key is named twice", remedy="give each officer a key of their own, and the log another", clause="roles"
        )
    for office in SOLE:
        if not any(office in named.offices for named in officers):
            raise Refused("office_vacant", f"nobody is named as {office}", remedy=f"name a {office}", clause="roles")


def _require_apart(charter: Charter, officers: Sequence[Officer]) -> None:
    for named in officers:
        for office in sorted(named.offices):
            require_compatible(charter, named.person, office, named.offices - {office})


def _require_tiers_kept(charter: Charter, context: Context) -> None:
    used = context.register.tiers().keys()
    if used - charter.tiers.keys():
        missing = ", ".join(sorted(used - charter.tiers.keys()))
        raise Refused(
            "tier_in_use",
            f"members are in the tiers that this charter leaves out, or have a seat kept there: {missing}",
            clause="tiers",
            remedy="keep the tier, with no seats for new ones if need be, until its members have changed to another",
        )


def _require_same_currency(current: Charter, charter: Charter) -> None:
    if charter.currency != current.currency:
        raise Refused(
            "currency_is_fixed",
            f"the books are kept in {current.currency}",
            clause="currency",
            remedy=f"keep currency = {current.currency!r}; another currency is another consortium",
        )
