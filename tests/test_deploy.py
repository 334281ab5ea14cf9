"""What stands in deploy/ is true of the code: its settings exist, its images are pinned, its search attributes are those that are set."""

from __future__ import annotations

import re
from pathlib import Path

import worker

DEPLOY = Path(__file__).parent.parent / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())


def text() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in FILES)


def test_every_setting_named_there_exists() -> None:
    named = set(re.findall(r"\bCONSORTIUM_[A-Z_]*[A-Z]\b", text()))
    assert named
    assert named <= {f"CONSORTIUM_{name.upper()}" for name in worker.Settings.model_fields}


def test_every_image_is_pinned_and_none_is_deprecated() -> None:
    images = re.findall(r"^\s*image: (\S+)$", text(), re.MULTILINE) + re.findall(r"^FROM (\S+)", text(), re.MULTILINE)
    assert images
    for image in images:
        assert re.search(r":\d+\.\d+|:\d", image), image
        assert "auto-setup" not in image


def test_the_search_attributes_made_there_are_those_that_workflows_set() -> None:
    made = set(re.findall(r"--name (\w+) --type (\w+)", (DEPLOY / "temporal-namespace.sh").read_text(encoding="utf-8")))
    assert made == {tuple(each.split("=")) for each in worker.SEARCH_ATTRIBUTES}


def test_the_dynamic_configuration_names_what_the_embedded_server_sets() -> None:
    configured = (DEPLOY / "dynamicconfig.yaml").read_text(encoding="utf-8")
    for setting in worker.DEV_SERVER:
        assert setting.partition("=")[0] in configured


def test_scripts_can_be_run() -> None:
    for path in FILES:
        if path.suffix == ".sh" or path.name == "check":
            assert path.stat().st_mode & 0o111, path.name
