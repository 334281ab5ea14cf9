"""The steps of a membership, and the outcomes that come back.

| step | data | outcomes |
| --- | --- | --- |
| screen | plain values: names, country, owners | `ScreeningCompleted` |
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from domain.kernel import Digest, Name, Outcome, Step
from domain.member.state import Identity, Vetting


class ScreeningCompleted(Outcome):
    """The answer of the sanctions list about the applicant and its owners."""

    kind: Literal["screening_completed"] = "screening_completed"
    list: Name
    list_digest: Digest
    list_date: date
    list_age_days: int | None = None
    """The list's age when it answered, by the clock that dated it: a rehearsal's log runs faster. None: reckon it from the date."""
    entries: Annotated[int, Field(ge=1)]
    score: Annotated[int, Field(ge=0, le=100)]
    match: Annotated[str, Field(max_length=200)] = ""


def screen(identity: Identity) -> Step:
    """The step that asks the sanctions list about the name and the owners."""
    data = {
        "names": [identity.name, *(holding.holder for holding in identity.holdings)],
        "country": identity.country,
        "lei": identity.lei,
        "owner_leis": [holding.lei for holding in identity.holdings if holding.lei],
    }
    return Step(kind="screen", key=screening_key(identity.vetting), data=data)


def screening_key(vetting: Vetting) -> str:
    """The key of the latest screening's step."""
    return f"screen:{vetting.requested}"
