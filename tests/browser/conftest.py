"""A browser for the pages: Debian's chromium, or the tests are skipped."""

import shutil

import pytest
import torch
from playwright.sync_api import expect, sync_playwright

import bptt
from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.page.html import page_html
from bptt.page.network import Experiment, Subject
from bptt.runs.explorer import Explorer
from report.test_run import CLASSIFIED, REPORT
from support import normal

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000  # milliseconds to wait for a page: the machine may be busy
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(browser, files):
    """One window, with a tab that keeps its process: opening a further tab takes less than half the time."""
    context = browser.new_context()
    context.new_page().goto(files["lesson"])
    yield context
    context.close()


@pytest.fixture
def visit(browser, window):
    """Open an address in a tab; at the end the console must have been silent, and nothing fetched from elsewhere.

    alone: in a window of its own, for what changes a whole window.
    """
    opened, complaints = [], []

    def open_page(address, width=1280, silent=True, alone=False, **media):
        page = (browser if alone else window).new_page()
        opened.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(**{"reduced_motion": "reduce", **media})
        page.set_default_timeout(PATIENCE)
        home = address.split("/")[2]
        if silent:
            page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda r: complaints.append(r.url) if not ours(r.url, home) else None)
        page.goto(address)
        return page

    yield open_page
    for page in opened:
        page.close()
    assert complaints == []


def ours(url, home):
    return url.startswith(("data:", "blob:")) or url.split("/")[2] == home


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Pages by name: the lesson's, longer ones, a trained run's, and one too large to compute with."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {
        "lesson": lesson_explorer(ExplainOptions()),
        "twenty": lesson_explorer(ExplainOptions(t=20)),
        "long": lesson_explorer(ExplainOptions(t=500, state_size=8)),
        "run": a_run(),
        "classified": a_run(CLASSIFIED),
        "large": a_large_network(),
        "text": a_language_model(),
    }
    for name, explorer in pages.items():
        (folder / f"{name}.html").write_text(page_html(explorer.page()), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in pages}


@pytest.fixture
def page(files, visit):
    return visit(files["lesson"])


def a_run(report=REPORT):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        net = bptt.SequenceModel(bptt.LSTM(2, 5, 2, dtype=torch.float64), 1)
    longest = Experiment(net, normal(60, 2), normal(60, 1, seed=1), bptt.squared_error)
    times = [f"<b>{1900 + i}" for i in range(60)]
    about = {"times": times, "run": report}
    return Explorer("runs/<script>alert(1)</script>", ["a run"], Subject(longest, 60, "start"), 60, **about)


def a_language_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        net = bptt.SequenceModel(bptt.GRU(3, 4, dtype=torch.float64), 3)
    tokens = torch.tensor([0, 1, 2, 0, 1, 2, 2, 1])
    x = torch.eye(3, dtype=torch.float64)[tokens[:-1]]
    subject = Subject(Experiment(net, x, tokens[1:], bptt.cross_entropy), 5, "start")
    return Explorer("text", ["a language model"], subject, 5, labels=["a", " ", "\n"])


def a_large_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        net = bptt.SequenceModel(bptt.GRU(2, 80, dtype=torch.float64), 1)
    longest = Experiment(net, normal(30, 2), normal(30, 1, seed=1), bptt.squared_error)
    return Explorer("large", ["a large network"], Subject(longest, 30, "start"), 30)
