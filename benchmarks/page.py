"""How fast the page is, and how large: `.venv/bin/python benchmarks/page.py`, in headless Chromium.

Frames per second while the step t is dragged to and fro, and the main thread's processor time for a frame, which
depends less on other programs; the first paint after the file is opened; the sizes of the files: the lesson, and
the reports where `docs/screenshots.py` has trained their runs.
"""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, CDPSession, sync_playwright

from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.page.html import page_html

REPORTS = Path(__file__).parents[1] / "build" / "gallery"
FRAMES = 120
DRAG = """async frames => {
  const slider = document.getElementById("t");
  const next = () => new Promise(requestAnimationFrame);
  await next();
  const start = performance.now();
  for (let i = 0; i < frames; i++) {
    slider.value = Number(slider.max) - (i % 10);
    slider.dispatchEvent(new Event("input"));
    await next();
  }
  return (1000 * frames) / (performance.now() - start);
}"""
PARTS = ("TaskDuration", "ScriptDuration")
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


class Speed(NamedTuple):
    """Of one page."""

    paint: float  # milliseconds to the first paint
    rate: float  # frames per second
    frame: float  # milliseconds of the main thread's processor time for a frame
    script: float  # of them, those of the script


def measure(browser: Browser, address: str) -> Speed:
    """Open a page and drag its step."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_timeout(1000)
    paint = page.evaluate(PAINT)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate(DRAG, 20)
    before = processor_time(session)
    rate = page.evaluate(DRAG, FRAMES)
    after = processor_time(session)
    page.close()
    return Speed(paint, rate, *(1000 * (after[name] - before[name]) / FRAMES for name in PARTS))


def processor_time(session: CDPSession) -> dict[str, float]:
    """Seconds that the main thread has spent, by part."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in metrics}


def main() -> None:
    """Measure and print."""
    options = {"T = 3": ExplainOptions(), "T = 20": ExplainOptions(t=20), "T = 500": ExplainOptions(t=500)}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = {}
        for name, chosen in options.items():
            files[name] = Path(folder, f"{chosen.t}.html")
            files[name].write_text(page_html(lesson_explorer(chosen).page()), encoding="utf-8")
        files |= {path.parent.name: path for path in sorted(REPORTS.glob("*/report.html"))}
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        print(
            f"{'page':10}{'file, kB':>10}{'first paint, ms':>17}{'frames per second':>19}"
            f"{'ms for a frame':>16}{'of it script':>14}"
        )
        for name, path in files.items():
            speed = measure(browser, path.as_uri())
            print(
                f"{name:10}{path.stat().st_size / 1000:10.0f}{speed.paint:17.0f}{speed.rate:19.0f}"
                f"{speed.frame:16.1f}{speed.script:14.1f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
