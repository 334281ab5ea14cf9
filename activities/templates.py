"""What notices say: one place for all subjects and texts.

`{fact}` is replaced by that fact, and facts that a text does not mention are listed below it, so that a text which lags
behind its process leaves nothing out. A template without a text here is sent with its name and its facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from activities.outside import plain
from domain.kernel import Slug

Facts = Annotated[dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], str | int], Field(max_length=40)]


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice in words: a subject of one line, and a text."""

    subject: str
    text: str


TEMPLATES: Final[Mapping[Slug, Letter]] = {}


def written(template: str, facts: Mapping[str, str | int], stream: str) -> Letter:
    """The notice in words. Facts may be anybody's text: each is one line, shows nothing invisible, and links nowhere."""
    letter = TEMPLATES.get(template, Letter(template.replace("-", " ").capitalize(), ""))
    values = {name: _shown(value) for name, value in facts.items()}
    unsaid = "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in values.items() if f"{{{name}}}" not in letter.text)
    paragraphs = (_filled(letter.text, values), unsaid, f"This is about {stream}." if stream else "")
    return Letter(plain(_filled(letter.subject, values), 150), "\n\n".join(filter(None, paragraphs)) + "\n")


def _shown(value: str | int) -> str:
    return plain(str(value), 1_000).replace("://", "[:]//")


def _filled(text: str, values: Mapping[str, str]) -> str:
    """One pass, so that braces in a fact stay what they are; a fact that is missing shows as a dash."""
    return re.sub(r"\{([a-z0-9_]+)\}", lambda match: values.get(match[1], "—"), text)
