"""Photograph the interactive page for the README: docs/page-light.webp and docs/page-dark.webp, by Chromium."""

import base64
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.page.html import page_html

DOCS = Path(__file__).parent
WIDTH, HEIGHT, PIXELS = 1280, 690, 1.5  # of the window, and the picture's pixels for each of its own


def photograph(browser: Browser, page: Path, theme: str, picture: Path) -> None:
    """The top of a page as a WebP file, in the light or the dark theme."""
    window = browser.new_page(
        viewport={"width": WIDTH, "height": HEIGHT},
        device_scale_factor=PIXELS,
        color_scheme=theme,
        reduced_motion="reduce",
    )
    window.goto(page.as_uri())
    shot = window.context.new_cdp_session(window).send("Page.captureScreenshot", {"format": "webp", "quality": 80})
    picture.write_bytes(base64.b64decode(shot["data"]))


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder, "lesson.html")
        page.write_text(page_html(lesson_explorer(ExplainOptions()).page()), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for theme in ("light", "dark"):
            photograph(browser, page, theme, DOCS / f"page-{theme}.webp")
        browser.close()


if __name__ == "__main__":
    main()
