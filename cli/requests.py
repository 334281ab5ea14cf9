"""What nobody types of a command: the keys of the persons that it names with their proofs, from their requests in the folder, and the log's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from activities.files import Unfit
from activities.log import keyring
from activities.log.keyring import KeyRequest, Keyring
from activities.release.signing import release_key
from cli.failures import BadInput, of_file
from cli.give import checked
from cli.options import Where, folder_option
from cli.site import log_of, register, settings, up_of
from domain.consortium import commands
from domain.kernel import LOG, RELEASES, Command
from domain.member.commands import Apply, SeatRepresentative
from domain.register.state import Register
from eventstore.entries import Entry
from settings import VARIABLES, Settings
from signatures.signers import CannotSign, Signer

ONE_KEY: Final = (commands.EnrolKey, commands.RotateKey, commands.RecoverKey)
"""The commands that bring one key of the person they name."""


async def filled(command: type[Command], stream: str, fields: dict[str, Any], where: Where) -> dict[str, Any]:
    """The command with the keys that it leaves out, as far as it is one that brings keys. Raises `BadInput` naming the request that is missing."""
    chosen = settings(where)
    if command in {commands.Found, Apply}:
        checked(stream, fields)  # what is wrong with the rest is told before somebody has to send a request
    if command is commands.Found:
        requests = Requests(chosen, stream)
        officers = {"officers": requests.of_persons(fields["officers"])} if "officers" in fields else {}
        return _clock_here(chosen) | fields | officers | (requests.of_own_log() if "log_key" not in fields else {})
    if command is Apply and "representatives" in fields:
        requests = await _on_log(chosen)
        return fields | {"representatives": requests.of_persons(fields["representatives"])}
    if command in ONE_KEY and isinstance(fields.get("person"), str):
        requests = await _on_log(chosen)
        return fields | requests.of_person(fields)
    if command is SeatRepresentative and isinstance(fields.get("person"), str) and "public_key" not in fields:
        return fields | await _of_newly_seated(fields["person"], chosen)
    if command is commands.EnrolLogKey and "public_key" not in fields:
        return fields | (await _on_log(chosen)).of_further_log()
    if command is commands.EnrolReleaseKey and "public_key" not in fields:
        return fields | (await _on_log(chosen)).of_releases()
    if command is commands.BeginSigning:
        requests, agreed = await _on_log(chosen), await _register(chosen)
        return requests.of_own_log() | {"holders": requests.of_holders(agreed)} | fields
    return fields


def _clock_here(chosen: Settings) -> dict[str, Any]:
    """The clock of the rehearsal that runs in the folder, which its founding states."""
    up = up_of(chosen)
    return {"clock": up["clock"]} if up and up["clock"]["kind"] == "paced" else {}


async def _on_log(chosen: Settings) -> Requests:
    return Requests(chosen, (await founding(chosen)).hash.hex())


async def founding(chosen: Settings) -> Entry:
    """The log's first entry: its stream is the consortium's, and by its hash proofs name the consortium. Raises `BadInput` before it."""
    async with log_of(chosen) as log:
        first = await log.read(0, 1)
    if not first:
        raise BadInput("the consortium has not been founded yet", "found it first: `consortium consortium found`")
    return first[0]


async def _register(chosen: Settings) -> Register:
    async with log_of(chosen) as log:
        return await register(log)


async def _of_newly_seated(person: str, chosen: Settings) -> dict[str, Any]:
    """The key of whoever has none on the log, if they sent a request: who has one enrols others by themselves."""
    if person in (people := (await _register(chosen)).people) and people[person].keys:
        return {}
    requests = await _on_log(chosen)
    return requests.of_person({"person": person}) if requests.find(person) else {}


def signer_of_releases(chosen: Settings) -> Signer:
    """The key with which this folder's workers sign releases; made on first use. Raises `BadInput`."""
    path = chosen.release_key_path
    try:
        return release_key(path)
    except Unfit as error:
        raise BadInput(f"the key that signs releases: {error}") from error
    except OSError as error:
        raise of_file(error, path, "used", f"{VARIABLES['signing_key']} names another") from error


class Requests:
    """The requests in a folder, for one consortium."""

    def __init__(self, chosen: Settings, consortium: str) -> None:
        self._chosen = chosen
        self._consortium = consortium
        self._keys = Keyring(chosen.keys)

    def find(self, person: str) -> KeyRequest | None:
        """The request of a person. Raises `BadInput` for a file that is none, or for another consortium."""
        try:
            found = self._keys.requested(person)
        except ValueError as error:
            raise BadInput(str(error), self._remedy(person)) from error
        except OSError as error:
            raise of_file(error, self._chosen.keys / f"{person}.request", "read") from error
        if found is not None and found.consortium != self._consortium:
            raise BadInput(
                f"{self._chosen.keys / person}.request proves the key of {person} for another consortium: {found.consortium[:80]!r}",
                self._remedy(person),
            )
        return found

    def of_person(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """The person's key and proof, where they are left out. Raises `BadInput` where there is no request of it."""
        if named.get("proof") is not None:
            return {}
        person, line = str(named["person"]), named.get("public_key")
        found = self.find(person)
        if found is None or line not in {None, found.public_key}:
            of = "the key that is named" if found is not None else "any key"
            raise BadInput(
                f"nothing proves that {person} holds {of}: there is no request of it in {self._chosen.keys}", self._remedy(person)
            )
        return {"public_key": found.public_key, "proof": found.proof}

    def of_persons(self, named: Any) -> Any:
        """Persons with their keys; what is no list of persons stays as it is, and is refused later."""
        if not isinstance(named, Sequence):
            return named
        return [each | self.of_person(each) if isinstance(each, dict) and isinstance(each.get("person"), str) else each for each in named]

    def of_holders(self, agreed: Register) -> list[dict[str, str]]:
        """Everybody who has a role, with their keys: officers, who must have one, and those who speak for a member and sent one."""
        officers = [person for person, known in sorted(agreed.people.items()) if known.offices]
        speakers = [person for person, known in sorted(agreed.people.items()) if not known.offices and known.speaks_for]
        wanted = [*officers, *(person for person in speakers if self.find(person) is not None)]
        return [{"person": person, **self.of_person({"person": person})} for person in wanted]

    def of_own_log(self) -> dict[str, str]:
        """The key of whoever records here, by which a log begins to be signed, with its proof; of a host elsewhere its request. Raises `BadInput`."""
        asked = self._own() or self.find(LOG) or self._no_log_key()
        return {"log_key": asked.public_key, "log_key_proof": asked.proof}

    def of_further_log(self) -> dict[str, str]:
        """The key of a further worker by its request, else the one of whoever records here. Raises `BadInput`."""
        asked = self.find(LOG) or self._own() or self._no_log_key()
        return {"public_key": asked.public_key, "proof": asked.proof}

    def _own(self) -> KeyRequest | None:
        path = self._chosen.log_key_path
        try:
            return keyring.request(keyring.own(path), LOG, self._consortium) if path.exists() else None
        except (CannotSign, OSError) as error:
            raise BadInput(f"the key that signs the log: {error}", "run this as who runs the worker, on its host") from error

    def _no_log_key(self) -> NoReturn:
        where = folder_option(self._chosen.folder)
        raise BadInput(
            f"no key signs the log: there is none in {self._chosen.keys}",
            f"start `consortium up{where}` or a worker there, which makes one; or put the worker's request there, {LOG}.request"
            f" (`consortium key request {LOG}{self._for()}` where it runs)",
        )

    def of_releases(self) -> dict[str, str]:
        """The key that signs releases with its proof: from a request, or from the key itself. Raises `BadInput`."""
        asked = self.find(RELEASES) or self._keys.keep(keyring.request(signer_of_releases(self._chosen), RELEASES, self._consortium))
        return {"public_key": asked.public_key, "proof": asked.proof}

    def _for(self) -> str:
        return f" --for {self._consortium}" if "/" in self._consortium else ""

    def _remedy(self, person: str) -> str:
        where = folder_option(self._chosen.folder)
        return f"{person} makes one (`consortium key request {person}{self._for()}{where}`), and {person}.request is put into {self._chosen.keys}"
