"""What `consortium doctor` looks at in keys: whether the log is signed, by a worker's key that officers enrolled, and who has none."""

from __future__ import annotations

from typing import Final

from activities.log.keyring import public_half
from cli.findings import Finding, Patient, Verdict
from domain.kernel import LOG
from domain.register.state import Register
from signatures import keys as public_keys

NAMED: Final = 10
"""How many persons without a key are named."""


async def keys(patient: Patient) -> Finding:
    """Whether the key of a worker on this folder signs the log, and everybody with a role has one."""
    register = await patient.opened().register()
    if not isinstance(register, Register):
        return Finding("keys", Verdict.UNKNOWN, "not known, as this release cannot go by this log")
    if not register.version:
        return Finding("keys", Verdict.WELL, "nothing is founded yet")
    if not register.signing:
        begin = "two officers begin to sign it: `consortium consortium begin-signing --help`"
        return Finding(
            "keys", Verdict.NOTE, "the log is not signed, and nothing more is recorded on it until it is", (begin,), {"signed": False}
        )
    return _of_worker(patient, register) or _of_persons(register)


def _of_worker(patient: Patient, register: Register) -> Finding | None:
    """What is wrong with the key of a worker on this folder; nothing where there is none to be seen from here."""
    line = public_half(patient.chosen.log_key_path)
    if not line:
        return None
    key = public_keys.parse(line)
    if key.line in register.valid_log_keys():
        return None
    request, enrol = f"consortium key request {LOG}{patient.folder}", f"consortium key enrol --log{patient.folder} --key"
    return Finding(
        "keys", Verdict.ACT, f"the key of this folder's worker ({key.fingerprint}) is not enrolled: it records nothing",
        ("put the key back that signed before; or have this one enrolled:", request, f"two officers of different organisations: `{enrol} …`"),
        {"signed": True, "log_key": key.line},
    )  # fmt: skip


def _of_persons(register: Register) -> Finding:
    without = register.without_key()
    facts = {"signed": True, "since": register.signing_since, "log_keys": list(register.valid_log_keys()), "without": list(without)}
    signers = len(register.valid_log_keys())
    signed = f"the log is signed, by {signers} {'key' if signers == 1 else 'keys'} of workers"
    if not without:
        return Finding("keys", Verdict.WELL, signed, facts=facts)
    named = ", ".join(without[:NAMED]) + (", …" if len(without) > NAMED else "")
    return Finding(
        "keys", Verdict.NOTE, f"{signed}; these have none, and can give no command: {named}", ("see `consortium key --help`",), facts
    )
