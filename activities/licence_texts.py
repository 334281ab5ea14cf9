"""Whether a licence file holds the licence that is claimed: by sentences that each well-known licence has and others have not."""

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

MARKS: Final[Mapping[str, Marks]] = {
    "MIT": Marks((_MIT, "this permission notice shall be included in all copies"), ("the names of its contributors",)),
    "MIT-0": Marks((_MIT,), ("this permission notice shall be included in all copies",)),
    "BSD-2-Clause": Marks((_BSD,), ("neither the name", "all advertising materials")),
    "BSD-3-Clause": Marks((_BSD, "neither the name"), ("all advertising materials",)),
    "Apache-2.0": Marks(("apache license version 2 0 january 2004", "grant of patent license")),
    "MPL-2.0": Marks(("mozilla public license version 2 0",)),
    "GPL-2.0-only": Marks(("gnu general public license version 2 june 1991", _GNU)),
    "GPL-3.0-only": Marks(("gnu general public license version 3 29 june 2007", _GNU), ("gnu lesser general public license version 3 29",)),
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


def contradicted(licence: str, text: str) -> str:
    """Why this text is not that of the licence; empty when it is, or when neither is known here."""
    flat = re.sub(r"[^a-z0-9]+", " ", text.lower())
    claimed = MARKS.get(re.sub(r"-or-later$", "-only", licence))
    identifier = re.sub(r"[^a-z0-9]+", " ", licence.lower()).strip()
    if f"spdx license identifier {identifier} " in f"{flat} ":
        return ""
    if licence == "Apache-2.0" and "licensed under the apache license version 2 0" in flat:
        return ""
    if claimed is not None:
        return "" if _has(flat, claimed) else f"the licence file does not hold the text of {licence}"
    read_as = next((name for name, marks in MARKS.items() if _has(flat, marks)), "")
    return f"the licence file holds the text of {read_as}, not of {licence}" if read_as else ""


def _has(flat: str, marks: Marks) -> bool:
    return all(sentence in flat for sentence in marks.has) and not any(sentence in flat for sentence in marks.has_not)
