"""Plays the demo, looks at it in Temporal's UI with Chromium, and takes the README's picture.

`python docs/screenshots.py [--chromium /usr/bin/chromium]`: every step says what it saw, and fails when it sees something else.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from playwright.async_api import Error, Page, async_playwright, expect

from cli.demo import PACE, adopted, prepare
from cli.embedded import embedded
from settings import rehearsed
from simulation.live import bank_of, live
from simulation.scenario import ROUND, Story

HERE: Final = Path(__file__).parent
QUIET: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
SECONDS: Final = 30_000


async def listed(page: Page, ui: str, query: str, wanted: str) -> None:
    """The list of workflows under a query shows what is wanted."""
    await page.goto(f"{ui}/namespaces/default/workflows?query={quote(query)}")
    await expect(page.get_by_text(wanted).first).to_be_visible(timeout=SECONDS)
    print(f"the list filtered by {query} shows {wanted}")


async def shows(page: Page, address: str, *texts: str) -> None:
    """The page at an address shows these texts, in itself or in one of the frames that keep members' text apart."""
    await page.goto(address)
    await page.mouse.move(700, 700)
    for text in texts:
        end = asyncio.get_running_loop().time() + SECONDS / 1_000
        while not await _somewhere(page, text):
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"{address} does not show {text}")
            await page.mouse.wheel(0, 400)
            await asyncio.sleep(0.2)
        print(f"{address.rpartition('/')[2]} shows {text}")


async def _somewhere(page: Page, text: str) -> bool:
    with suppress(Error):  # a frame that is being replaced
        return any([text in await frame.content() for frame in page.frames])
    return False


async def look(page: Page, ui: str, run: str) -> None:
    """Looks at the list, at a round's headline and details, and at its timeline."""
    await listed(page, ui, "WorkflowType = 'round' AND Phase = 'calling'", ROUND)
    await listed(page, ui, "WorkflowType = 'round' AND WaitsFor = 'office:treasurer'", ROUND)
    place = f"{ui}/namespaces/default/workflows/{quote(ROUND, safe='')}/{run}"
    await shows(page, f"{place}/user-metadata", "1 of 3 tranches called", "Concentration")
    await shows(page, f"{place}/timeline", "close_pledging", "pledge")
    await page.wait_for_timeout(2_000)
    await page.screenshot(path=HERE / "temporal-ui.png")
    print("docs/temporal-ui.png is taken")


async def main(chromium: str) -> None:
    """Plays the demo and looks at it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        prepare(folder)
        rules = adopted(HERE.parent / "examples/charter.toml")
        async with bank_of(folder, rules) as bank, embedded(rehearsed(folder, bank=bank.url), pace=PACE) as running:
            async with live(running.sender, running.recorder, bank, print) as stage:
                await Story(stage, rules).play()
            run = (await running.client.get_workflow_handle(ROUND).describe()).run_id
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
                page = await browser.new_page(viewport={"width": 1400, "height": 1000})
                await look(page, running.ui, run)
                await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asyncio.run(main(parser.parse_args().chromium))
    sys.exit(0)
