"""Sends payments and takes statements in processes that are killed: at random instants, and before every single file operation.

Run as a program it imports everything once and then forks a child for each line it reads, so that a kill costs milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.bank.banking import Bank, Banking
from activities.bank.folder import FolderBank
from activities.bank.http import HttpBank
from activities.bank.pain import order
from activities.bank.statements import Statements
from activities.files import unheard
from domain.kernel import Step
from domain.treasury import steps
from domain.treasury.terms import Creditor, sending_ids

OURS = Creditor(name="Open Model Consortium", iban="NL98MOCK0000000042")
THEIRS = Creditor(name="GPU Cloud GmbH", iban="DE89370400440532013000")
TOUCHES = frozenset({"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "fcntl.flock", "os.scandir"})
"""What is announced before it happens (PEP 578) and reaches the disk."""


def payment(name: str, amount: int = 12_345, **changes: Any) -> steps.SendPayment:
    message_id, end_to_end_id = sending_ids("treasury/main", name, 1)
    fields: dict[str, Any] = {
        "payment": name, "attempt": 1, "message_id": message_id, "end_to_end_id": end_to_end_id, "debtor": OURS, "creditor": THEIRS,
        "amount": amount, "currency": "EUR", "text": f"Invoice {name}", "execute_on": date(2026, 11, 2),
        "created_at": datetime(2026, 11, 1, tzinfo=UTC),
    }  # fmt: skip
    return steps.SendPayment(**fields | changes)


def step(asked: steps.SendPayment) -> Step:
    return Step(kind="send_payment", key=f"send:{asked.payment}:1", data=asked.model_dump(mode="json"))


def folder_bank(folder: Path) -> FolderBank:
    return FolderBank(folder / "inbox", folder / "outbox", settled=timedelta(0))


async def send_all(bank: Bank, folder: Path, names: list[str]) -> None:
    """Sends every payment whose outcome is not recorded yet, and records each outcome."""
    banking = Banking(bank, Statements(folder / "statements"))
    recorded = folder / "recorded"
    recorded.mkdir(exist_ok=True)
    for name in names:
        if not (recorded / name).exists():
            outcome = await banking.send_payment(step(payment(name)))
            (recorded / f"{name}.part").write_text(json.dumps(outcome))
            (recorded / f"{name}.part").replace(recorded / name)


def killed_before(number: int) -> None:
    """Kills this process before its file operation of that number."""
    left = number

    def announced(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in TOUCHES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(announced)


def sends(folder: str) -> None:
    asked = payment("gpu-1")
    folder_bank(Path(folder)).send(asked, order(asked))


def takes(folder: str) -> None:
    folder_bank(Path(folder)).bring(Statements(Path(folder) / "statements"), unheard)


def work(arguments: list[str]) -> None:
    match arguments:
        case ["http", address, folder, *names]:
            asyncio.run(send_all(HttpBank(address), Path(folder), names))
        case ["folder", _, folder, *names]:
            asyncio.run(send_all(folder_bank(Path(folder)), Path(folder), names))
        case ["send", number, folder]:
            killed_before(int(number))
            sends(folder)
        case ["take", number, folder]:
            killed_before(int(number))
            takes(folder)
        case _:
            raise ValueError(arguments)


def main() -> None:
    """Reads work, a JSON list a line; prints the child's id, then how it ended (negative: by that signal)."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(json.loads(line))
                code = 0
            finally:
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
