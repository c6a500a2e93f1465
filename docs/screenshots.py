"""The pictures of the gallery and the README: `.venv/bin/python docs/screenshots.py` draws them into docs/gallery.

The runs whose reports are shown are trained once, into build/gallery. Needs Debian's chromium.
"""

import base64
import math
import shutil
from pathlib import Path

import torch
from playwright.sync_api import Browser, sync_playwright

import bptt
from bptt.cli import main
from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.page.html import page_html

PICTURES = Path(__file__).parent / "gallery"
RUNS = Path(__file__).parents[1] / "build" / "gallery"
CHAPTERS = ("three", "vanish", "explode", "leak", "lstm", "truncation")
DARK = ("three-dark", "lstm", "text")
RUN_OPTIONS = {
    "forecast": [],
    "classify": ["waves.csv", "--series", "id", "--label", "kind", "--time", "t", "--epochs", "30"],
    "text": ["rhyme.txt", "--hidden", "32", "--epochs", "15", "--batch", "4", "--k1", "32"],
}


def write_data() -> None:
    """Write the tables of the tutorials on classification and on text."""
    rows = ["id,kind,t,value"]
    for i in range(40):
        kind, speed = ("fast", 1.0) if i % 2 else ("slow", 0.25)
        rows += [f"{i},{kind},{t},{math.sin(speed * t + i):.4f}" for t in range(10 + i % 5)]
    (RUNS / "waves.csv").write_text("\n".join(rows))
    (RUNS / "rhyme.txt").write_text("round and round the ragged rock the ragged rascal ran. " * 30)


def train_missing() -> None:
    """Train the runs that are not there yet."""
    for name, options in RUN_OPTIONS.items():
        if (RUNS / name / "report.html").exists():
            continue
        shutil.rmtree(RUNS / name, ignore_errors=True)
        files = [str(RUNS / option) if "." in option else option for option in options]
        try:
            main(["train", *files, "--out", str(RUNS / name)])
        except SystemExit as end:
            if end.code:
                raise


def notebook_html() -> str:
    """What a notebook shows of an explanation."""
    torch.manual_seed(0)
    net = bptt.Elman(input_size=2, state_size=3, output_size=1)
    e = bptt.explain(net, torch.randn(5, 2), torch.randn(5, 1), t=3)
    return f'<meta charset="utf-8"><body style="font:15px sans-serif;margin:16px">{e._repr_html_()}'


def shoot(browser: Browser, name: str, address: str, width: int = 1280, height: int = 860) -> None:
    """Write the first screen of a page as gallery/NAME.webp."""
    scheme = "dark" if name in DARK else "light"
    viewport = {"width": width, "height": height}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(500)
    capture = {"format": "webp", "quality": 75}
    shot = context.new_cdp_session(page).send("Page.captureScreenshot", capture)["data"]
    (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(shot))
    context.close()


def draw() -> None:
    """Draw every picture."""
    for folder in (PICTURES, RUNS):
        folder.mkdir(parents=True, exist_ok=True)
    write_data()
    train_missing()
    lesson, notebook = RUNS / "lesson.html", RUNS / "notebook.html"
    lesson.write_text(page_html(lesson_explorer(ExplainOptions()).page()), encoding="utf-8")
    notebook.write_text(notebook_html(), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for chapter in CHAPTERS:
            shoot(browser, chapter, f"{lesson.as_uri()}#{chapter}")
        shoot(browser, "three-dark", f"{lesson.as_uri()}#three")
        for name in RUN_OPTIONS:
            shoot(browser, name, (RUNS / name / "report.html").as_uri())
        shoot(browser, "narrow", f"{lesson.as_uri()}#vanish", 390)
        shoot(browser, "notebook", notebook.as_uri(), 720, 700)
        browser.close()


if __name__ == "__main__":
    draw()
