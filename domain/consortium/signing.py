"""The keys of the consortium itself: those that sign the log, and those that sign releases; and how an older log begins to be signed.

A key that signs the log makes receipts true, and one that signs releases makes files the consortium's. Who holds the hosts holds no
office, and who holds an office no host; so it takes two officers of different organisations to enrol one. They give the same command, and
what the first gave waits for the second. Two of the offices that answer for the whole decide on the log's keys, as they do on its time, and
of release managers, safety reviewers and the board on those of releases. A log's key is revoked by two as well, since without any nothing can be
recorded; a release key by one, since nothing is lost by a release that waits.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from domain.charter import Office
from domain.consortium import commands, events
from domain.consortium.rules import ANSWERING, Events, require_person
from domain.consortium.state import Founded
from domain.consortium.terms import KeyRequest
from domain.kernel import LOG, RELEASES, Digest, PublicKey, Refused
from domain.process import Context
from domain.register.facts import (
    KeyEnrolled,
    KeyRevoked,
    LogKeyEnrolled,
    LogKeyRevoked,
    ReleaseKeyEnrolled,
    ReleaseKeyRevoked,
    SigningBegun,
)
from domain.register.state import Person

RELEASING: Final = (Office.RELEASE_MANAGER, Office.SAFETY_REVIEWER, Office.BOARD)
"""Two of whose holders enrol a key that signs releases."""
SECONDING: Final[Mapping[str, tuple[Office, ...]]] = {
    "begin_signing": ANSWERING,
    "enrol_log_key": ANSWERING,
    "revoke_log_key": ANSWERING,
    "enrol_release_key": RELEASING,
}
"""Two of whose holders give a command together, by its kind."""

# ---------------------------------------------------------------- the log


def begin(state: Founded, command: commands.BeginSigning, context: Context) -> Events:
    """From the second officer's command on everything is signed, by the keys that are named here and no former ones."""
    context.require_office(*SECONDING[command.kind])
    if context.register.signing:
        raise Refused(
            "signing_begun_already",
            f"this log is signed from position {context.register.signing_since} on",
            clause="roles",
            remedy="none is needed; keys are enrolled and rotated one by one (`consortium consortium enrol-key`)",
        )
    _require_all_named(state, command.holders, context)
    keys = {each.person: context.require_key(each.person, each.public_key) for each in command.holders}
    log_key = context.require_key(LOG, command.log_key, "the log")
    _require_different((*keys.values(), log_key))
    enrolled = (KeyEnrolled(person=person, public_key=key) for person, key in keys.items() if key not in _keys_of(person, context))
    ended = (
        KeyRevoked(person=person, public_key=key, cause="unproven")
        for person, holder in sorted(context.register.people.items())
        for key in sorted(holder.keys - {keys.get(person)})
    )
    return _by_two(
        state,
        command.kind,
        (
            *ended,
            *enrolled,
            LogKeyEnrolled(public_key=log_key, position=context.position),
            SigningBegun(position=context.position),
        ),
        context,
    )


def _require_all_named(state: Founded, named: Sequence[KeyRequest], context: Context) -> None:
    persons = [each.person for each in named]
    for person in persons:
        require_person(person)
        holder = context.register.people.get(person, Person())
        if not holder.offices and not holder.speaks_for:
            raise Refused("no_role", f"{person} holds no office, and speaks for nobody", clause="roles", remedy="leave them out")
        if persons.count(person) > 1:
            raise Refused("holder_named_twice", f"{person} is named twice", clause="roles", remedy="name each person once, with one key")
    if missing := sorted(person for person, held in state.officers.items() if held and person not in persons):
        raise Refused(
            "key_missing",
            f"no key is named for {', '.join(missing)}",
            clause="roles",
            remedy="name every officer with the proof of their key request; who is gone loses the office before, by the release before this one",
        )


def _require_different(keys: Sequence[PublicKey]) -> None:
    if len(keys) != len(set(keys)):
        raise Refused("key_taken", "two holders are named with one key", clause="roles", remedy="give each a key of their own")


def _keys_of(person: str, context: Context) -> frozenset[str]:
    return context.register.people.get(person, Person()).keys


def enrol_log_key(state: Founded, command: commands.EnrolLogKey, context: Context) -> Events:
    """A further key signs the log, from the second officer's command on; a key that does already changes nothing."""
    context.require_office(*SECONDING[command.kind])
    if command.public_key in context.register.valid_log_keys():
        return ()
    key = context.require_key(LOG, command.public_key, "the log")
    return _by_two(state, command.kind, (LogKeyEnrolled(public_key=key, position=context.position),), context)


def revoke_log_key(state: Founded, command: commands.RevokeLogKey, context: Context) -> Events:
    """A key signs the log no longer after the second officer's command; one that does not changes nothing."""
    context.require_office(*SECONDING[command.kind])
    valid = context.register.valid_log_keys()
    if command.public_key not in valid:
        return ()
    if len(valid) == 1:
        raise Refused(
            "last_log_key",
            "no other key signs the log, and nothing could be recorded any more",
            clause="roles",
            remedy="enrol the next one first (`consortium consortium enrol-log-key`)",
        )
    return _by_two(state, command.kind, (LogKeyRevoked(public_key=command.public_key, position=context.position),), context)


# ---------------------------------------------------------------- releases


def enrol_release_key(state: Founded, command: commands.EnrolReleaseKey, context: Context) -> Events:
    """A key signs releases, from the second officer's command on; the one that it replaces does no longer."""
    context.require_office(*SECONDING[command.kind], clause="release")
    valid = context.register.valid_release_keys()
    if command.public_key in valid:
        return ()
    if command.replaces is not None and command.replaces not in valid:
        raise Refused(
            "no_such_key", "the key to be replaced signs no release", clause="release", remedy="leave it out, or name one that does"
        )
    key = context.require_key(RELEASES, command.public_key, "releases")
    enrolled = ReleaseKeyEnrolled(public_key=key, fingerprint=fingerprint(key), position=context.position)
    replaced = () if command.replaces is None else (ReleaseKeyRevoked(public_key=command.replaces, position=context.position),)
    return _by_two(state, command.kind, (enrolled, *replaced), context, clause="release")


def revoke_release_key(_: Founded, command: commands.RevokeReleaseKey, context: Context) -> Events:
    """A key signs no release any more; what is public stays. Again changes nothing."""
    context.require_office(*RELEASING, Office.SECRETARIAT, clause="release")
    if command.public_key not in context.register.valid_release_keys():
        return ()
    return (ReleaseKeyRevoked(public_key=command.public_key, position=context.position),)


_SPKI: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""What stands before the point of a key on P-256 in its SubjectPublicKeyInfo (RFC 5480)."""
_STEM: Final = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ecdsa-sha2-nistp256", b"nistp256"))
_POINT: Final = 65
_LINE: Final = 64


def fingerprint(public_key: PublicKey) -> Digest:
    """How releases name a key: the SHA-256 of its PEM file (RFC 7468). Refuses a line that holds no point on P-256."""
    blob = base64.b64decode(public_key.partition(" ")[2])
    point = blob[len(_STEM) + 4 :]
    if blob[: len(_STEM) + 4] != _STEM + _POINT.to_bytes(4, "big") or len(point) != _POINT or point[0] != 4:
        raise Refused("key_malformed", "the line holds no key on P-256", clause="release", remedy="take the line as OpenSSH writes it")
    body = base64.b64encode(_SPKI + point).decode()
    lines = "\n".join(body[start : start + _LINE] for start in range(0, len(body), _LINE))
    return hashlib.sha256(f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()).hexdigest()


# ---------------------------------------------------------------- two officers


def _by_two(state: Founded, act: str, facts: Events, context: Context, *, clause: str = "roles") -> Events:
    """The facts, when another officer gave the same command before; else that it waits for a second one, in the place of another that waited.

    The first officer counts as long as they hold one of the offices that the command takes.
    """
    digest = context.digest_without("kind")
    waiting = state.acts.get(act)
    if waiting is None or waiting.digest != digest or not context.register.holds(waiting.by, *SECONDING[act]):
        return (events.ActProposed(act=act, digest=digest, by=context.actor),)
    context.require_independent((waiting.by,), clause=clause)
    return (events.ActSeconded(act=act, digest=digest, by=(waiting.by, context.actor)), *facts)
