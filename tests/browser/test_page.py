"""The page in a browser: it computes itself, offline; small, large and trained networks."""

import json

import pytest
from playwright.sync_api import expect

import bptt
from browser.actions import error, lesson, slide


def test_the_lessons_example_is_the_readmes(page):
    net, x, d = lesson()
    assert float(error(page).split("=")[1]) == pytest.approx(bptt.explain(net, x, d).error.item(), rel=1e-3)
    assert page.locator("#diagram .column").count() == 3
    expect(page.locator("#t-value")).to_contain_text("t = 3")


def test_a_language_models_text_glows(files, visit):
    page = visit(files["text"])
    letters = page.locator("#glow button")
    assert letters.all_text_contents() == ["↵", "a", "\u00a0", "↵", "↵"]
    assert page.inner_text("#glow .say").strip().endswith("→")
    shares = [float(name.split()[-2]) for name in letters.evaluate_all("all => all.map(b => b.ariaLabel)")]
    assert sum(shares) == pytest.approx(100, abs=1)
    letters.nth(1).click()
    expect(page.locator("#t-value")).to_contain_text("t = 2")
    assert letters.nth(2).evaluate("b => b.style.getPropertyValue('--glow')") == "0.000"


def test_a_network_too_large_shows_what_was_recorded(files, visit):
    page = visit(files["large"])
    expect(page.locator("#limits")).to_contain_text("64 units, 500 steps")
    expect(page.locator("#change")).to_be_hidden()
    expect(page.locator("#dynamics")).to_be_hidden()  # they need its Jacobians
    data = json.loads(page.inner_text("#data"))
    assert data["network"]["weights"][0]["values"] is None
    slide(page, 20)
    flow = data["recorded"]["flow"]["l0"][19]
    label = page.locator("#diagram .s:not(.node) [aria-label*='step 20']").get_attribute("aria-label")
    assert f"{100 * flow[1] / flow[0]:.1f}" in label


def test_five_hundred_steps_stay_usable(files, visit):
    page = visit(files["long"])
    slide(page, 250)
    expect(page.locator("#diagram .now .E .name")).to_have_text("E250")
    expect(page.locator("#reach-says")).to_contain_text("of this one error")  # the diagnosis judges all of them
    assert page.locator("#diagram .node.E .name").first.text_content() == "E1"
    slide(page, 5)
    expect(page.locator("#terms li")).to_have_count(6)


def test_a_run_shows_its_results_and_runs_no_name_as_code(files, visit):
    page = visit(files["run"])
    assert page.locator("h1").inner_text() == "runs/<script>alert(1)</script>"
    for name in ("forecast", "losses", "training-lags"):
        expect(page.locator(f"#{name} svg.plot text").first).to_be_visible()
    expect(page.locator("#forecast .keys b")).to_have_text("<img src=x onerror=alert(1)>")
    page.locator("#forecast svg.plot").press("Home")
    expect(page.locator("#forecast .readout")).to_have_text("1: truth 1.000")
    expect(page.locator(".scores").first).to_contain_text("0.123")
    expect(page.locator("#t-value")).to_contain_text("<b>1959")
    assert page.locator("#diagram b").count() == 0
    expect(page.locator("#chapters")).to_be_hidden()
    assert "forget" in page.inner_text("#legend")


def test_a_classifiers_wrong_examples_are_drawn_within_their_frames(files, visit):
    page = visit(files["classified"])
    cards = page.locator("#examples li")
    assert cards.all_inner_texts() == [
        "<b>up taken for down (90.0 %)\n\nsequence s7",
        "flat taken for down (60.0 %)\n\nsequence s9",
    ]
    lines = [path.get_attribute("d") for path in cards.first.locator("path").all()]
    dots = "M0.0 65.5h0M200.0 45.0h0"  # each value alone between gaps
    assert lines == ["M0.0 86.0L100.0 65.5L200.0 4.0", "M0.0 65.5M200.0 45.0", dots]
    assert cards.first.locator("b b").count() == 0


@pytest.mark.parametrize("name", ["lesson", "twenty", "long", "run", "classified", "large"])
def test_the_page_never_scrolls_sideways(files, visit, name):
    page = visit(files[name])
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colours_follow_the_scheme(files, visit):
    page = visit(files["lesson"], color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_a_wide_table_in_a_notebook_scrolls_below_a_faded_edge(browser):
    html = bptt.explain(*lesson())._repr_html_()
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.set_content(f"<body style='margin:8px'>{html}")
    table, end = page.locator("div:has(> div > table)"), page.locator("th").nth(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert "gradient" in table.evaluate("place => getComputedStyle(place).maskImage")
    table.evaluate("place => place.scrollLeft = place.scrollWidth")
    box, place = end.bounding_box(), table.bounding_box()
    assert box["x"] + box["width"] <= place["x"] + place["width"] - 30
    page.close()
