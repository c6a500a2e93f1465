"""How fast the page is, and how large: `.venv/bin/python benchmarks/page.py`, in headless Chromium.

Frames per second while the step t is dragged to and fro, the first paint after the file is opened, and the sizes
of the files: the lesson, and the reports where `docs/screenshots.py` has trained their runs.
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

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
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def measure(browser: Browser, address: str) -> tuple[float, float]:
    """Milliseconds to the first paint, and frames per second."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_timeout(1000)
    paint = page.evaluate(PAINT)
    rate = page.evaluate(DRAG, FRAMES)
    page.close()
    return paint, rate


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
        print(f"{'page':10}{'file, kB':>10}{'first paint, ms':>17}{'frames per second':>19}")
        for name, path in files.items():
            paint, rate = measure(browser, path.as_uri())
            print(f"{name:10}{path.stat().st_size / 1000:10.0f}{paint:17.0f}{rate:19.0f}")
        browser.close()


if __name__ == "__main__":
    main()
