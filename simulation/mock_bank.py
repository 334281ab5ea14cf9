"""A bank in a process of its own, for rehearsals: `mock-bank` holds the consortium's account and writes its statements.

Its days follow the log's: whoever rehearses tells it the date (`today`), and every business day that passes ends with a
camt.053 statement. Money arrives once for each end-to-end id, however often it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx

from activities.missing import ExtraMissing

ACCOUNT: Final = "CONSORTIUM"
START_SECONDS: Final = 20
FOLLOW_SECONDS: Final = 0.05
"""How often the bank is told the date, while somebody rehearses."""


class BankRefused(Exception):
    """The bank did not do what the rehearsal asked; the text is its own."""


class MockBank:
    """The bank as a rehearsal uses it: payers pay into the account, and days pass."""

    def __init__(self, url: str, iban: str, currency: str, today: date) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=30)
        self._iban = iban
        self._currency = currency
        self._today = today
        self._turn = asyncio.Lock()

    async def open(self, owner: str) -> None:
        """Opens the consortium's account, once, and closes those that the bank came with: they would fill the mailbox."""
        for each in (await self._http.get("/_mock/accounts")).json():
            if each["id"] != ACCOUNT:
                await self._http.patch(f"/_mock/accounts/{each['id']}", json={"closed": True})
        if (await self._http.get(f"/_mock/accounts/{ACCOUNT}")).status_code == httpx.codes.NOT_FOUND:
            await self._post(
                "/_mock/accounts", {"id": ACCOUNT, "iban": self._iban, "currency": self._currency, "name": owner, "balance": 0}
            )

    async def credit(self, amount: int, currency: str, reference: str, end_to_end_id: str, payer: str) -> None:
        """A payer's money arrives on the bank's present day."""
        async with self._turn:
            known = (await self._http.get("/_mock/credits")).json()
            if any(each["end_to_end_id"] == end_to_end_id for each in known):
                return
            arriving = {
                "account": ACCOUNT, "amount": amount, "currency": currency, "reference": reference, "end_to_end_id": end_to_end_id,
                "debtor": {"name": payer},
            }  # fmt: skip
            await self._post("/_mock/credits", arriving)

    async def today(self, day: date) -> None:
        """Lets the bank's days pass up to this one; earlier ones change nothing."""
        async with self._turn:
            if day > self._today:
                await self._post(f"/_mock/advance?to={day.isoformat()}", None)
                self._today = day

    async def follow(self, now: Callable[[], Awaitable[datetime]]) -> None:
        """Keeps the bank at the date of a clock, until cancelled."""
        while True:
            await self.today((await now()).date())
            await asyncio.sleep(FOLLOW_SECONDS)

    async def close(self) -> None:
        """Hangs up."""
        await self._http.aclose()

    async def _post(self, path: str, body: object) -> None:
        answer = await self._http.post(path, json=body)
        if answer.is_error:
            raise BankRefused(answer.text)


def require() -> None:
    """Raises `ExtraMissing` unless the bank is installed."""
    if find_spec("mockbank") is None:
        raise ExtraMissing("mock-bank", "demo")


@asynccontextmanager
async def mock_bank(folder: Path, *, iban: str, currency: str, owner: str, today: date) -> AsyncIterator[MockBank]:
    """Runs a bank that begins on this day, with the account open; its books lie in the folder meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (folder / "bank.db").unlink(missing_ok=True)
    with (folder / "bank.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mockbank", "--port", str(port), "--db", str(folder / "bank.db"), "--cutoff", "23:59",
            "--clock", f"{today.isoformat()}T00:01", "-q", stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    bank = MockBank(f"http://127.0.0.1:{port}", iban, currency, today)
    try:
        await _answers(bank.url)
        await bank.open(owner)
        yield bank
    finally:
        await bank.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _answers(url: str) -> None:
    end = asyncio.get_running_loop().time() + START_SECONDS
    async with httpx.AsyncClient() as http:
        while True:
            try:
                if (await http.get(f"{url}/_mock/health")).is_success:
                    return
            except httpx.TransportError:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(0.05)
