"""The Hugging Face Hub's own library, loaded in one place: it reads its switches from the environment once, when it is first imported."""

from __future__ import annotations

import os
from typing import Any, Final

from activities.missing import explained

SWITCHES: Final = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS")
"""Files go over the hub's HTTP API, nobody is told of it, and standard error stays ours."""


def hub_library() -> Any:
    """The module `huggingface_hub`. Raises `ExtraMissing`."""
    for switch in SWITCHES:
        os.environ.setdefault(switch, "1")
    with explained():
        import huggingface_hub
        import huggingface_hub.errors
    return huggingface_hub
