"""The tables of a process, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from cli import times
from cli.output import table
from domain.money import Money
from domain.process import Cell, Table


def tables_shown(tables: Sequence[Table], now: datetime) -> None:
    """Each table that has rows, without the columns that say nothing."""
    for each in tables:
        rows = [[_words(cell, now) for cell in row] for row in each.rows]
        filled = [number for number in range(len(each.columns)) if any(row[number] for row in rows)]
        if filled:
            columns = [_spaced(each.columns[number]) for number in filled]
            right = {_spaced(each.columns[number]) for number in filled if any(isinstance(row[number], Money) for row in each.rows)}
            table(columns, [[row[number] for number in filled] for row in rows], title=_spaced(each.name).capitalize(), right=right)


def tables_told(tables: Sequence[Table]) -> dict[str, Any]:
    """The tables as JSON, by name: rows with numbers, codes, and instants in ISO form."""
    return {"tables": {each.name: [dict(zip(each.columns, map(_code, row), strict=True)) for row in each.rows] for each in tables}}


def amount_told(amount: Money) -> dict[str, Any]:
    """An amount as JSON, for programs and for people."""
    return {"minor": amount.minor, "currency": amount.currency, "units": str(amount)}


def _spaced(code: str) -> str:
    return code.replace("_", " ")


def _words(cell: Cell, now: datetime) -> str:
    match cell:
        case None | False:
            return ""
        case True:
            return "yes"
        case datetime():
            return times.shown(cell, now)
        case _:
            return str(cell)


def _code(cell: Cell) -> Any:
    match cell:
        case Money():
            return amount_told(cell)
        case date():
            return cell.isoformat()
        case _:
            return cell
