from dataclasses import replace

import pytest

from bptt.report.run import RunReport, run_page

REPORT = RunReport(
    title="<script>alert(1)</script>",
    summary=["a & b"],
    choices={"hidden": 8},
    target="<img src=x onerror=alert(1)>",
    times=["1", "2", "3"],
    truth=[1.0, 2.0, None],
    forecast=[None, 2.5, 3.0],
    spans=[("2-3", "2", "3")],
    scores={"this run": {"2-3": 0.1234}, "other": {}},
    losses=[1.0, 0.5],
    validation=[],
    lag_start=[1.0, 0.1, 0.0],
    lag_end=[1.0, 0.5, 0.2],
)


@pytest.fixture(scope="module")
def page():
    return run_page(REPORT)


def test_what_a_user_named_is_escaped(page):
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_scores_and_choices_are_there(page):
    assert "0.123" in page
    assert "hidden" in page
    assert "a &amp; b" in page


def test_nothing_is_fetched(page):
    assert "default-src 'none'" in page
    markup = page[page.index("<main>") :]
    assert "<script src" not in page
    assert "https://" not in markup.replace("https://plot.ly", "")


def test_what_is_there_is_shown_and_what_is_not_is_left_out():
    empty = {"times": [], "truth": [], "forecast": [], "spans": []}
    classes = {"judged_on": ["test"], "scores": {"this run": {"test": 0.75}}, "labels": ["no <b>", "yes"]}
    shown = run_page(
        replace(REPORT, **empty, **classes, confusion=[[7, 1], [0, 4]], measure="accuracy", better="more")
    )
    assert 'id="figure-forecast"' not in shown
    assert "Accuracy, where more is better" in shown
    assert "0.750" in shown
    assert "no &lt;b&gt;" in shown
    assert '<td class="number right">7</td>' in shown
    assert "What it writes" not in shown
    written = run_page(replace(REPORT, **empty, judged_on=["test"], sample="Call me <Ishmael>"))
    assert "Call me &lt;Ishmael&gt;" in written
    assert "Confusion" not in written
