"""The bank of a rehearsal by hand: a statement on which everybody pays today what they owe, to be imported like a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from cli.failures import BadInput
from cli.options import Where
from cli.site import log_of, now_of, register, settings, tables_of
from domain.money import Money, decimal
from domain.process import Table
from domain.register.state import Register
from domain.treasury.state import Open
from domain.treasury.terms import Creditor
from eventstore.log import Log
from eventstore.recorder import Recorder
from settings import is_rehearsal

MOST: Final = 1_000
"""Payers on one statement."""


class Payer(NamedTuple):
    """Who pays what, by which reference."""

    member: str
    amount: Money
    reference: str


class Page(NamedTuple):
    """What the bank tells of the account."""

    number: str
    """The statement's id: another one when the log has moved on."""
    account: Creditor
    opening: Money
    at: datetime
    payers: Sequence[Payer]


async def owed(where: Where) -> str:
    """The statement, as camt.053. Raises `BadInput` for a log in earnest, before the account is open, and when nobody owes anything."""
    chosen = settings(where)
    async with log_of(chosen) as log:
        agreed = await register(log)
        if not is_rehearsal(agreed, chosen):
            raise BadInput(
                "--owed: this log is in earnest: its statements come from its bank", "import them: `consortium import-statement`"
            )
        account = await _account(log, agreed)
        now = await now_of(log, chosen)
        payers = [payer async for payer in _payers(log, agreed, now)]
        if not payers:
            raise BadInput(
                "--owed: nobody owes anything now", "`consortium show` tells who owes what, once dues are invoiced or a tranche is called"
            )
        opening = Money(account.balances.get(account.currency, 0), account.currency)
        return written(Page(f"OWED-{(await log.head()).position}", account.account, opening, now, payers[:MOST]))


async def _account(log: Log, agreed: Register) -> Open:
    recorder = Recorder(log)
    try:
        state = (await recorder.standing(f"treasury/{agreed.charter.treasury.account}")).stream.state if agreed.version else None
    finally:
        await recorder.close()
    if not isinstance(state, Open):
        raise BadInput("--owed: there is no account to pay to", "name it first: `consortium treasury open-account main`")
    return state


async def _payers(log: Log, agreed: Register, now: datetime) -> AsyncIterator[Payer]:
    for reference, expected in agreed.expected.items():
        for owed_here in _owed_by(reference, await tables_of(log, expected.stream, now)):
            yield Payer(expected.member, owed_here, reference)


def _owed_by(reference: str, tables: Sequence[Table]) -> Iterator[Money]:
    """What the rows with this reference say is owed, in all; nothing where that is nothing."""
    found: list[Money] = []
    for each in tables:
        if {"owed", "reference"} <= set(each.columns):
            rows = [dict(zip(each.columns, row, strict=True)) for row in each.rows]
            found += [row["owed"] for row in rows if str(row["reference"]).replace(" ", "") == reference and isinstance(row["owed"], Money)]
    if total := sum(each.minor for each in found):
        yield Money(total, found[0].currency)


# ---------------------------------------------------------------- camt.053


def written(page: Page) -> str:
    """A statement of one page in camt.053.001.08 (ISO 20022), with its opening and closing balance."""
    closing = Money(page.opening.minor + sum(payer.amount.minor for payer in page.payers), page.opening.currency)
    day, made = page.at.date().isoformat(), page.at.isoformat(timespec="seconds")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">',
        "  <BkToCstmrStmt>",
        f"    <GrpHdr><MsgId>{escape(page.number)}</MsgId><CreDtTm>{made}</CreDtTm></GrpHdr>",
        "    <Stmt>",
        f"      <Id>{escape(page.number)}</Id>",
        f"      <CreDtTm>{made}</CreDtTm>",
        f"      <Acct><Id>{_account_id(page.account)}</Id><Ccy>{page.opening.currency}</Ccy></Acct>",
        _balance("OPBD", page.opening, day),
        _balance("CLBD", closing, day),
    ]
    for number, payer in enumerate(page.payers, 1):
        lines += _entry(f"{page.number}-{number}", payer, day)
    return "".join(f"{line}\n" for line in (*lines, "    </Stmt>", "  </BkToCstmrStmt>", "</Document>"))


def _account_id(account: Creditor) -> str:
    return f"<IBAN>{account.iban}</IBAN>" if account.iban else f"<Othr><Id>{escape(account.account_id)}</Id></Othr>"


def _balance(code: str, money: Money, day: str) -> str:
    side = "DBIT" if money.minor < 0 else "CRDT"
    return (
        f"      <Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(Money(abs(money.minor), money.currency))}"
        f"<CdtDbtInd>{side}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _entry(number: str, payer: Payer, day: str) -> Iterator[str]:
    yield "      <Ntry>"
    yield f"        {_amount(payer.amount)}<CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
    yield f"        <BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt><AcctSvcrRef>{escape(number)}</AcctSvcrRef>"
    yield "        <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>"
    yield "        <NtryDtls><TxDtls>"
    yield f"          <Refs><EndToEndId>{escape(number)}</EndToEndId></Refs>{_amount(payer.amount)}<CdtDbtInd>CRDT</CdtDbtInd>"
    yield f"          <RltdPties><Dbtr><Pty><Nm>{escape(payer.member)}</Nm></Pty></Dbtr></RltdPties>"
    yield f"          <RmtInf><Strd><CdtrRefInf><Ref>{payer.reference}</Ref></CdtrRefInf></Strd></RmtInf>"
    yield "        </TxDtls></NtryDtls>"
    yield "      </Ntry>"


def _amount(money: Money) -> str:
    return f'<Amt Ccy="{money.currency}">{decimal(money.minor, money.currency)}</Amt>'
