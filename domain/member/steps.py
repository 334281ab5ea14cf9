"""What a membership asks of the outside world, and the outcomes that come back.

| step | data | outcomes |
| --- | --- | --- |
| screen | plain values: names, country, owners | `ScreeningCompleted` |
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from domain.kernel import Digest, Name, Outcome


class ScreeningCompleted(Outcome):
    """What the sanctions list says of the applicant and its owners."""

    kind: Literal["screening_completed"] = "screening_completed"
    list: Name
    list_digest: Digest
    list_date: date
    list_age_days: int | None = None
    """The list's age when it was asked, by the clock that dated it: a rehearsal's log runs faster. None: what the date says."""
    entries: Annotated[int, Field(ge=1)]
    score: Annotated[int, Field(ge=0, le=100)]
    match: Annotated[str, Field(max_length=200)] = ""
