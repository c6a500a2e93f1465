"""The built documents, opened as files: every link leads somewhere, and the search finds the answers."""

import html
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

DOCS = Path(__file__).parents[2] / "docs"
QUESTIONS = {
    "backward through the graph a second time": "howto/backward-second-time.html",
    "truncated BPTT by hand": "howto/truncated-by-hand.html",
    "detach hidden state": "howto/detach-state.html",
    "hidden state between batches": "howto/state-between-batches.html",
    "cudnn RNN backward can only be called in training mode": "howto/cudnn-eval.html",
    "loss is nan": "howto/nan.html",
    "sequences of variable length": "howto/variable-length.html",
    "training runs out of memory": "howto/long-memory.html",
    "loss not decreasing": "howto/not-decreasing.html",
    "same output for every input": "howto/not-decreasing.html",
    "forecast repeats the last value": "howto/repeats-last-value.html",
    "difference between hidden and output": "howto/output-and-state.html",
    "layer normalization": "howto/layer-norm.html",
    "overfitting": "howto/dropout.html",
    "GRU slow on MPS": "howto/gpu.html",
    "constant output": "howto/not-decreasing.html",
    "predicts the last value": "howto/repeats-last-value.html",
    "out of memory long sequence": "howto/long-memory.html",
    "truncated bptt": "howto/truncated-by-hand.html",
    "variable length": "howto/variable-length.html",
    "export onnx": "howto/export.html",
    "gradient vanishing": "howto/vanishing.html",
    "resume training": "howto/resume.html",
    "time column": "input-files.html",
    "many series": "howto/many-series.html",
    "initialize weights": "howto/initialise-weights.html",
    "static features": "howto/static-features.html",
    "keras weights": "howto/from-keras.html",
    "forecast many steps ahead": "howto/many-steps-ahead.html",
    "gradient clipping": "howto/clip.html",
    "forget gate bias": "howto/forget-bias.html",
    "missing values": "forecasts.html",
    "prediction intervals": "forecasts.html",
    "install without compiler": "install.html",
    "pack padded sequence": "howto/variable-length.html",
    "batch_first": "howto/batch-first.html",
    "deploy without python": "deploy.html",
    "several gpus": "scaling.html",
    "learn initial state": "howto/initial-state.html",
    "seq2seq teacher forcing": "howto/encoder-decoder.html",
    "recursive forecast converges": "howto/many-steps-ahead.html",
    "checkpoint resume": "howto/resume.html",
    "expected hidden size got multi-gpu": "howto/gpu.html",
    "memory leak": "howto/long-memory.html",
    "stateful LSTM": "howto/state-between-batches.html",
    "tbptt": "howto/truncated-by-hand.html",
    "k1 k2": "howto/truncated-by-hand.html",
    "lightning truncated_bptt_steps": "tutorials/from-lightning.html",
    "network predicts wrong constant": "howto/not-decreasing.html",
    "sunspotz missing values": "forecasts.html",  # the first word stands on no page
    "how much memory does a long sequence need": "howto/long-memory.html",
    "daylight saving time": "input-files.html",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("sphinx", "furo")), reason="Sphinx is not installed"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", DOCS, folder], check=True)
    return folder


def test_every_link_leads_to_a_file_and_a_place_in_it(site):
    pages = {
        path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if path.name != "explore.html"
    }
    places = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages.items()}
    for path, text in pages.items():
        for link in map(html.unescape, re.findall(r'(?:href|src)="([^"]+)"', text)):
            if link.startswith(("http:", "https:", "data:", "mailto:")):
                continue
            name, _, place = link.partition("#")
            target = (path.parent / unquote(name.split("?")[0])).resolve() if name else path
            assert target.exists(), f"{path.relative_to(site)}: {link}"
            if place and target in places:
                assert unquote(place) in places[target], f"{path.relative_to(site)}: {link}"


def test_the_search_puts_the_answer_first_and_needs_no_server(site, browser):
    page = browser.new_page()
    page.set_default_timeout(60_000)  # milliseconds: the machine may be busy
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    for question, answer in QUESTIONS.items():
        page.goto(f"{(site / 'search.html').as_uri()}?q={question.replace(' ', '+')}")
        first = page.locator("#search-results li > a").first.get_attribute("href")
        assert first.split("?")[0].split("#")[0].endswith(answer), question
    page.close()
    assert complaints == []
