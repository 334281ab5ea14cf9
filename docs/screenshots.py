"""Plays the demo's round, leaves an applicant stuck, and looks at both in Temporal's UI with Chromium; takes the README's pictures.

`python docs/screenshots.py [--chromium /usr/bin/chromium]` (Debian: `apt install chromium`; `pip install playwright`): every step says what
it saw, and fails when it sees something else. It goes where `consortium status` sends people: to the links that it prints.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from playwright.async_api import Error, Page, async_playwright, expect
from temporalio.client import Client

from activities.log.sending import TurnedDown
from cli.demo import PACES, adopted, came_late, prepare
from cli.embedded import embedded
from domain.kernel import derived_id
from settings import rehearsed
from simulation.live import Late, LiveStage, bank_of, live
from simulation.scenario import FOURTEEN, ROUND, Story, lei

HERE: Final = Path(__file__).parent
QUIET: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
SECONDS: Final = 30_000
STUCK: Final = "member/orbit-labs"
"""Who applies when the sanctions list is gone: their screening fails, and waits for a person."""


async def leave_stuck(stage: LiveStage, folder: Path) -> None:
    """Has somebody apply whose screening fails for good."""
    (folder / "sanctions.txt").unlink()
    command = {
        "kind": "apply", "name": "Orbit Labs", "lei": lei(len(FOURTEEN) + 1), "country": "US", "tier": "associate",
        "representatives": [{"person": "orbit-rep"}],
    }  # fmt: skip
    await stage.give(STUCK, command, "orbit-rep", derived_id("screenshots", STUCK))
    await stage.until(STUCK, lambda look: "failed" in look.line)


async def printed(folder: Path) -> dict[str, str]:
    """The links that `consortium status` prints, each by the first words before it."""
    status = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", "status", "--folder", str(folder), stdout=asyncio.subprocess.PIPE, cwd=HERE.parent
    )
    out = (await status.communicate())[0].decode()
    print(out[out.index("In Temporal's UI") :])
    return {
        re.split(r" \(|: | waits", what.strip(), maxsplit=1)[0]: url
        for what, url in re.findall(r"^ +(\S.*)\n +(http\S+)$", out, re.MULTILINE)
    }


async def listed(page: Page, url: str, *wanted: str) -> None:
    """The list behind a link shows what is wanted."""
    await page.goto(url)
    for each in wanted:
        await expect(page.get_by_text(each).first).to_be_visible(timeout=SECONDS)
        print(f"{url} shows {each}")


async def shows(page: Page, *texts: str) -> None:
    """The page shows these texts, in itself or in one of the frames that keep members' text apart."""
    await page.mouse.move(700, 700)
    for text in texts:
        end = asyncio.get_running_loop().time() + SECONDS / 1_000
        while not await _somewhere(page, text):
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"{page.url} does not show {text}")
            await page.mouse.wheel(0, 400)
            await asyncio.sleep(0.2)
        print(f"{page.url.rpartition('/')[2]} shows {text}")


async def _somewhere(page: Page, text: str) -> bool:
    with suppress(Error):  # a frame that is being replaced
        return any([text in await frame.content() for frame in page.frames])
    return False


async def picture(page: Page, name: str) -> None:
    """Takes a picture of what is in view, once it stands still."""
    await page.wait_for_timeout(2_000)
    await page.screenshot(path=HERE / name)
    print(f"docs/{name} is taken")


async def look(page: Page, links: dict[str, str], round_: str) -> None:
    """Looks at what is stuck, on whom and until when, one click from the links; and at the history of the round."""
    await listed(page, links["stuck"], STUCK)
    await listed(page, links["due this week"], "treasury/main")
    await page.goto(links[STUCK])
    await shows(page, "a membership", "Waits for", "office:secretariat, until", "Needs attention", "apply by orbit-rep", "accepted")
    await picture(page, "temporal-stuck.png")
    await page.goto(links[STUCK].replace("user-metadata", "timeline"))
    await shows(page, "screen • screen:1", "lapse_application")
    await page.goto(f"{round_}/user-metadata")
    await shows(page, "a funding round", "1 of 3 tranches called", "Concentration", "Waits for")
    await page.goto(f"{round_}/history")
    await page.get_by_text("Compact").first.click()
    await shows(
        page, "release_leaver by service for lumen-press", "remind_before_due: due", "record_payment by service for jeju-semi: USD "
    )
    await page.mouse.wheel(0, -4_000)
    await picture(page, "temporal-ui.png")


async def main(chromium: str) -> None:
    """Plays the demo's round and looks at it; begins again, slower, on a machine that comes too late for deadlines."""
    for pace in PACES:
        try:
            await watched(chromium, pace)
            break
        except (TurnedDown, Late, ExceptionGroup) as error:
            if not came_late(error) or pace == PACES[-1]:
                raise
            print("this machine is too busy for the pace; the story begins again, slower")


async def watched(chromium: str, pace: int) -> None:
    """Plays the story at this pace, and looks at it. Raises what turned it away."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        prepare(folder)
        rules = adopted(HERE.parent / "examples/charter.toml")
        async with bank_of(folder, rules) as bank, embedded(rehearsed(folder, bank=bank.url), pace=pace) as running:
            async with live(running.sender, running.recorder, bank, folder, print) as stage:
                await Story(stage, rules).play()
                await leave_stuck(stage, folder)
            await running.stand_still()
            round_ = await page_of(running.client, running.ui, ROUND)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
                page = await browser.new_page(viewport={"width": 1700, "height": 1100})
                await look(page, await printed(folder), round_)
                await browser.close()


async def page_of(client: Client, ui: str, stream: str) -> str:
    """Where the UI shows the present run of a stream."""
    run = (await client.get_workflow_handle(stream).describe()).run_id
    return f"{ui}/namespaces/default/workflows/{quote(stream, safe='')}/{run}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asyncio.run(main(parser.parse_args().chromium))
    sys.exit(0)
