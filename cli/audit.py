"""Looking whether a log is true without trusting anybody: an audit of an export, and what people signed, for others to judge."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from audit.auditing import Audit
from audit.reexecute import Reexecution
from cli.failures import BadInput, Broken, OtherRules, of_file
from cli.options import HERE, Where
from cli.output import Progress, say, say_json
from cli.site import log_of, settings
from domain.catalog import RULES
from domain.kernel import LOG, SLUG
from eventstore import entries as chain
from eventstore.authority import ByHost, ByLog, ByPerson, ByStream, ByWorker, Unauthorised, behind, check_recorded, line_of
from eventstore.entries import Entry, flaw_of
from eventstore.export import LONGEST, BadLine, entry_of
from signatures import sshsig
from transparency import note
from transparency.strict import Invalid

SHOWN: Final = 20
"""So many positions are told in words; JSON has more."""

_AUDIT: Final = "`consortium audit` checks such entries, and the whole log"

Export = Annotated[Path, Parameter(help="What `consortium export` wrote.")]
Sealed = Annotated[
    Path | None,
    Parameter(name="--checkpoint", help="What the log signed of itself; by default the file of the export's name with .checkpoint."),
]


async def audit(file: Export, /, *, checkpoint: Sealed = None, where: Where = HERE) -> None:
    """Check an export, and believe nothing in it: chain, every signature by the keys of its time, every decision, the checkpoint.

    Needs no database, no Temporal and no network. Ends with 1 and names the first entry that is not as it must be, and how; with 5 where
    a release with other rules must decide entries again.
    """
    sealed = _sealed(file, checkpoint)
    try:
        found = Audit(file, sealed)
        async with Progress("checked") as progress:
            for position in found.steps():
                progress.at(position)
                await asyncio.sleep(0)  # a long file lets the progress be seen
    except Invalid as error:
        raise BadInput(f"what is beside the export is no checkpoint: {error}", "name another one with --checkpoint") from error
    except OSError as error:
        raise of_file(error, file, "read", "name a file that `consortium export` wrote") from error
    if found.broken is not None:
        raise broken(found.broken)
    say_decided(found.again, where, found.sealed)


def _sealed(file: Path, named: Path | None) -> bytes | None:
    """The checkpoint of an export; nothing where none came with it."""
    beside = named or file.with_name(f"{file.name}.checkpoint")
    try:
        with beside.open("rb") as opened:
            return opened.read(note.LARGEST + 1)
    except FileNotFoundError as error:
        if named is None:
            return None
        raise of_file(error, beside, "read", "name the checkpoint of the export") from error
    except OSError as error:
        raise of_file(error, beside, "read", "name the checkpoint of the export") from error


def broken(found: chain.Broken) -> Broken:
    """That a log is not what it must be."""
    return Broken(
        f"position {found.position}: {found.reason}", "compare with a backup, or with the copy of a member", position=found.position
    )


# ---------------------------------------------------------------- what was found


def say_decided(again: Reexecution, where: Where, sealed: int | None = None) -> None:
    """That every entry was decided again, and what is to be known of it; `sealed` entries are under a checkpoint. Raises `OtherRules`."""
    facts = _facts(again, sealed)
    if again.undecided:
        raise _of_other_rules(again, facts)
    if where.json:
        say_json(facts)
        return
    say(f"{again.head.position:,} entries are whole and decided as the rules demand.", *_in_words(again, sealed))


def _facts(again: Reexecution, sealed: int | None) -> dict[str, Any]:
    return {
        "entries": again.head.position, "first": again.first, "head": again.head.hash.hex(), "decided_again": True,
        "signatures": again.signatures, "unsigned_up_to": again.unsigned, "sealed_up_to": sealed,
        "reworded": again.reworded, "reworded_at": again.reworded_at,
    }  # fmt: skip


def _in_words(again: Reexecution, sealed: int | None) -> list[str]:
    told = [f"first {again.first}", f"head {again.head.hash.hex()}"]
    if again.unsigned:
        told.append(f"Unsigned up to entry {again.unsigned:,}: who gave those commands is only what the log says.")
    if again.register.signing:
        told.append(
            f"{again.signatures:,} signatures are by the keys that were valid by then; what is unsigned after that was owed by the log itself."
        )
    if sealed is None:
        told.append("No checkpoint came with it: entries may have been cut off at its end.")
    elif sealed < again.head.position:
        told.append(f"The log signed the first {sealed:,} entries; those after them are under no checkpoint.")
    else:
        told.append("The log signed all of them.")
    if again.reworded:
        places = ", ".join(f"{position:,}" for position in again.reworded_at[:SHOWN]) + (", …" if again.reworded > SHOWN else "")
        stands = "refusal stands" if again.reworded == 1 else "refusals stand"
        told.append(f"{again.reworded:,} {stands}, worded otherwise by this release: at {places}.")
    return told


def _of_other_rules(again: Reexecution, facts: dict[str, Any]) -> OtherRules:
    told = ", ".join(f"{each.first:,} to {each.last:,} need a release with rules {each.rules}" for each in again.undecided)
    return OtherRules(
        f"the log was not changed, but this release has rules {RULES} and did not decide all of it: entries {told}",
        "check those with the release that has their rules (`consortium export`, then its `consortium audit`); all others stand",
        not_decided=[each._asdict() for each in again.undecided],
        **facts,
    )


# ---------------------------------------------------------------- what was signed


async def export_signature(
    position: Annotated[int, Parameter(help="Of the entry.")],
    folder: Annotated[Path, Parameter(help="A new folder.")],
    /,
    *,
    file: Annotated[Path | None, Parameter(help="Take the entry from this export instead of the log.")] = None,
    where: Where = HERE,
) -> None:
    """Write what was signed at an entry, the signature, and the key that it names: then `ssh-keygen -Y verify` alone is the judge.

    That the key was that person's by then is on the log: `consortium audit` checks it.
    """
    entry = await _entry(position, file, where)
    authority = _signed_by_somebody(entry)
    who = _signer_in(entry, authority)
    line = write_signed(folder, who, entry.signed, entry.signature)
    if where.json:
        say_json({"folder": str(folder), "signer": who, "public_key": authority.key, "command": line})
    else:
        say(f"What {who} signed is in {folder}. This judges it:", f"cd {shlex.quote(str(folder))} && {line}")


def _signed_by_somebody(entry: Entry) -> ByPerson | ByWorker | ByHost:
    """What somebody signed of an entry, by the key that it names and as what it is on a log. Raises `BadInput`."""
    try:
        authority = behind(entry)
    except Unauthorised as error:
        raise BadInput(f"entry {entry.position:,} is not signed: {error}", "name an entry after the log began to sign") from error
    if isinstance(authority, ByLog | ByStream):
        raise BadInput(f"entry {entry.position:,} is signed by nobody: the log itself owed it", _AUDIT)
    try:
        check_recorded(authority)
    except Unauthorised as error:
        raise BadInput(f"entry {entry.position:,} is not signed as a log's entries are: {error}", _AUDIT) from error
    return authority


def _signer_in(entry: Entry, authority: ByPerson | ByWorker | ByHost) -> str:
    """Who signed: a person's handle, or `log`. Nothing else of an export that nobody checked may reach a shell or a list of signers. Raises `BadInput`."""
    if not isinstance(authority, ByPerson):
        return LOG
    if authority.said.actor != entry.actor or re.fullmatch(SLUG, entry.actor) is None:
        raise BadInput(f"entry {entry.position:,} is not signed by the person that it names: {entry.actor[:80]!r}", _AUDIT)
    return entry.actor


def write_signed(folder: Path, who: str, signed: bytes, signature: bytes) -> str:
    """Writes what somebody signed, the signature and the key that it names to a new folder; the command line that judges them there.

    `who` is a handle, and the signature holds for what it says that it is: both are written to a list of signers as they are.
    """
    parsed = sshsig.parse_blob(signature)
    try:
        folder.mkdir(parents=True)
        (folder / "statement.json").write_bytes(signed)
        (folder / "statement.json.sig").write_text(sshsig.armour(signature), encoding="ascii")
        (folder / "allowed_signers").write_text(f'{who} namespaces="{parsed.namespace}" {line_of(parsed.key_blob)}\n', encoding="ascii")
    except OSError as error:
        raise of_file(error, folder, "written", "name a new folder") from error
    named, namespace = shlex.quote(who), shlex.quote(parsed.namespace)
    return f"ssh-keygen -Y verify -f allowed_signers -I {named} -n {namespace} -s statement.json.sig < statement.json"


async def _entry(position: int, file: Path | None, where: Where) -> Entry:
    """An entry of the log or of an export, unchanged since it was recorded."""
    found = None
    if 0 < position < 2**63:
        found = await _of_log(position, where) if file is None else _of_file(position, file)
    if found is None:
        raise BadInput(f"there is no entry {position:,}", "`consortium log` shows their positions")
    if wrong := flaw_of(found) or ("" if found.position == position else f"expected position {position}, found {found.position}"):
        raise broken(chain.Broken(position, wrong))
    return found


async def _of_log(position: int, where: Where) -> Entry | None:
    async with log_of(settings(where)) as log:
        entries = await log.read(position - 1, 1)
    return entries[0] if entries and entries[0].position == position else None


def _of_file(position: int, file: Path) -> Entry | None:
    try:
        with file.open("rb") as lines:
            for _ in range(1, position):
                if not lines.readline(LONGEST):
                    return None
            line = lines.readline(LONGEST)
    except OSError as error:
        raise of_file(error, file, "read", "name a file that `consortium export` wrote") from error
    try:
        return entry_of(line) if line else None
    except BadLine as error:
        raise broken(chain.Broken(position, str(error))) from error
