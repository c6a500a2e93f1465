"""What leaves the page and comes back: pictures, LaTeX, Python, links and the browser's history."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.actions import enter, error, link, open_link


def test_it_is_taken_along_as_svg_latex_python_and_link(page, visit):
    enter(page, "W_s, row 1, column 1", "0.75")
    with page.expect_download() as download:
        page.click("#as-svg")
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert text.startswith("<svg")
    assert "12." in text
    with page.expect_download() as download:
        page.click("#as-png")
    assert Path(download.value.path()).read_bytes()[:4] == b"\x89PNG"
    page.click("#as-latex")
    expect(page.locator("#copied")).to_have_value(re.compile(r"\\begin\{aligned\}\s+\\frac\{\\partial E_\{3\}\}"))
    page.click("#as-python")
    expect(page.locator("#copied")).to_have_value(re.compile("bptt.explain"))
    names = {}
    exec(page.locator("#copied").input_value().replace("bptt.explain(", "e = bptt.explain("), names)
    assert float(error(page).split("=")[1]) == pytest.approx(names["e"].error.item(), rel=1e-3)
    page.click("#share")
    expect(page.locator("#copied")).to_have_value(re.compile("#"))
    other = visit(page.locator("#copied").input_value())
    expect(other.get_by_label("W_s, row 1, column 1", exact=True)).to_have_value("0.75")
    assert error(other) == error(page)


DAMAGED = {
    "chapter": "constructor",
    "selected": {"kind": "node s", "layer": "l7", "k": 2},
    "k2": -3,
    "text": "abc",
    "x": [[1, 2], [1], [1, 2]],
    "d": [0, 0, 0],
    "T": 10**9,
    "activation": "none",
    "leak": "x",
    "cell": "gru",
    "layers": ["l0", "l1"],
    "weights": [],
    "W_s": [[1, 2], [3, 4]],
    "W_y": [[None], [1], [1]],
}


def test_a_broken_link_is_said_and_changes_nothing(page):
    network, shown = json.loads(page.locator("#data").text_content())["network"], page.inner_text("#terms")
    links = ["#nonsense"]
    for name, value in DAMAGED.items():
        weights = [w | {"values": value} if w["name"] == name else w for w in network["weights"]]
        changed = {name: value} if name in network else {}
        whole = {"network": network | {"weights": weights} | changed}
        links.append(link(whole if changed or name.startswith("W") else {name: value}))
    for each in links:
        open_link(page, each)
        expect(page.locator("#copied-says")).to_contain_text("could not be read")
        assert page.inner_text("#terms") == shown
    open_link(page, link({"k2": 1}))
    expect(page.get_by_label("k2, empty for all", exact=True)).to_have_value("1")


def test_back_and_forward_go_through_chapters_and_links(page):
    first = error(page)
    page.click('#chapters a[href="#vanish"]')
    expect(page.locator("#chapter h2")).to_have_text("Vanish")
    open_link(page, link({"T": 5, "t": 5}))
    expect(page.locator("#t-value")).to_contain_text("t = 5")
    page.go_back()
    expect(page.locator("#chapter h2")).to_have_text("Vanish")
    page.go_back()
    expect(page.locator("#chapter h2")).to_have_text("Three steps")
    assert error(page) == first
    page.go_forward()
    expect(page.locator("#chapter h2")).to_have_text("Vanish")
