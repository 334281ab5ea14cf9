"""Whether a licence file holds the licence that is claimed: by sentences that each well-known licence has and others have not.

A text that takes back what open licences give ("only for non-commercial use") is that of none of them, whatever else it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Marks:
    """Sentences that a licence's text has, and those that only other licences have; lower case, single spaces, no punctuation."""

    has: tuple[str, ...]
    has_not: tuple[str, ...] = ()


_MIT: Final = "permission is hereby granted free of charge to any person obtaining a copy"
_BSD: Final = "redistribution and use in source and binary forms with or without modification are permitted"
_GNU: Final = "everyone is permitted to copy and distribute verbatim copies of this license document"

_NO_PATENTS: Final = "no express or implied licenses to any party s patent rights are granted"

MARKS: Final[Mapping[str, Marks]] = {
    "MIT": Marks((_MIT, "this permission notice shall be included in all copies"), ("the names of its contributors",)),
    "MIT-0": Marks((_MIT,), ("this permission notice shall be included in all copies",)),
    "BSD-2-Clause": Marks((_BSD,), ("neither the name", "all advertising materials")),
    "BSD-3-Clause": Marks((_BSD, "neither the name"), ("all advertising materials", _NO_PATENTS)),
    "BSD-3-Clause-Clear": Marks((_BSD, "neither the name", _NO_PATENTS)),
    "Apache-2.0": Marks(("apache license version 2 0 january 2004", "grant of patent license")),
    "MPL-2.0": Marks(("mozilla public license version 2 0",)),
    "GPL-2.0-only": Marks(("gnu general public license version 2 june 1991", _GNU)),
    "GPL-3.0-only": Marks(("gnu general public license version 3 29 june 2007", _GNU), ("gnu lesser general public license version 3 29",)),
    "LGPL-2.1-only": Marks(("gnu lesser general public license version 2 1 february 1999", _GNU)),
    "LGPL-3.0-only": Marks(("gnu lesser general public license version 3 29 june 2007",)),
    "AGPL-3.0-only": Marks(("gnu affero general public license version 3 19 november 2007", _GNU)),
    "CC0-1.0": Marks(("cc0 1 0 universal",)),
    "CC-BY-4.0": Marks(("creative commons attribution 4 0 international",), ("attribution noncommercial", "attribution noderivatives")),
    "CC-BY-SA-4.0": Marks(("creative commons attribution sharealike 4 0 international",), ("noncommercial sharealike 4 0 international",)),
    "CC-BY-NC-4.0": Marks(("creative commons attribution noncommercial 4 0 international",)),
    "CC-BY-NC-SA-4.0": Marks(("creative commons attribution noncommercial sharealike 4 0 international",)),
    "CC-BY-ND-4.0": Marks(("creative commons attribution noderivatives 4 0 international",)),
    "CC-BY-NC-ND-4.0": Marks(("creative commons attribution noncommercial noderivatives 4 0 international",)),
    "CDLA-Permissive-2.0": Marks(("community data license agreement permissive version 2 0",)),
}
"""By SPDX identifier."""


_TAKEN_BACK: Final = re.compile(
    r"\b(non ?commercial|research|academic|evaluation|personal) (use|purposes?)( only)?\b|\bno commercial use\b"
    r"|\bcommercial use (is )?(not|prohibited|forbidden)\b|\bcommons clause\b|\bdo not use\b"
)
"""Words of terms that are no open licence's; the full texts that are known here hold none of them."""
_RESERVED: Final = "all rights reserved"
_NAMED: Final = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+ ()-]*[A-Za-z0-9.+)])")


def contradicted(licence: str, text: str) -> str:
    """Why this text is not that of the licence; empty when it is, or when neither is known here."""
    flat = re.sub(r"[^a-z0-9]+", " ", text.lower())
    claimed, wrong = MARKS.get(_present(licence)), f"the licence file does not hold the text of {licence}"
    whole = claimed is not None and _has(flat, claimed)
    if (taken := _TAKEN_BACK.search(flat)) is not None and "NC" not in licence.split("-"):
        return f"{wrong} alone: it says {taken[0]!r}"
    if whole:
        return ""
    if _RESERVED in flat:
        return f"{wrong}: it says {_RESERVED!r}"
    if _notice(licence, text, flat):
        return ""
    if claimed is not None:
        return wrong
    read_as = next((name for name, marks in MARKS.items() if _has(flat, marks)), "")
    return f"the licence file holds the text of {read_as}, not of {licence}" if read_as else ""


def _notice(licence: str, text: str, flat: str) -> bool:
    """Whether it is no text, but a notice that the licence is this one."""
    named = _NAMED.search(text)
    return (named is not None and _present(named[1]) == _present(licence)) or (
        licence == "Apache-2.0" and "licensed under the apache license version 2 0" in flat
    )


def _present(licence: str) -> str:
    """The identifier under which a licence's text is known: GNU licences had others once, and have the same text with `-or-later`."""
    return re.sub(r"^((A|L)?GPL-[0-9.]+?)(\+|-only|-or-later)?$", r"\1-only", licence.strip())


def _has(flat: str, marks: Marks) -> bool:
    return all(sentence in flat for sentence in marks.has) and not any(sentence in flat for sentence in marks.has_not)
