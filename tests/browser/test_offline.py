"""The page as a file, in a browser: clicks, slider, keyboard, narrow and dark."""

import re

import pytest
from playwright.sync_api import expect

CHARTS = ["map", "lags", "lyapunov", "singular", "activations"]


def unfolded(page):
    page.click("#unfold")
    expect(page.locator("#unfold")).to_have_attribute("aria-pressed", "true")
    return page


def slide(page, t):
    page.locator("#t").evaluate("(slider, t) => {slider.value = t; slider.dispatchEvent(new Event('input'))}", t)


def select(page, kind, i=-1):
    page.locator(f"#diagram .part.{kind}").nth(i).dispatch_event("click")


def test_it_starts_folded_and_unfolds_at_a_click(files, visit):
    page = visit(files["lesson"])
    columns = page.locator("#diagram .column")
    assert columns.count() == 3
    assert [columns.nth(i).is_visible() for i in range(3)] == [False, False, True]
    page.locator("#diagram").click(position={"x": 40, "y": 40})
    for i in range(3):
        expect(columns.nth(i)).to_be_visible()
    page.click("#unfold")
    expect(columns.nth(0)).to_be_hidden()


def test_the_diagram_is_painted_before_plotly_is_unpacked(files, visit):
    page = visit(files["lesson"])
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length == 1")
    assert page.locator("#diagram svg").is_visible()
    assert page.evaluate("typeof window.Plotly") == "undefined"


def test_unfolding_moves_and_ends_where_it_should(files, visit):
    page = visit(files["lesson"], reduced_motion="no-preference")
    first = page.locator("#diagram .column").first
    folded = first.get_attribute("transform")
    page.click("#unfold")
    expect(first).not_to_have_attribute("transform", folded)
    still = visit(files["lesson"])
    unfolded(still)
    expect(first).to_have_attribute(
        "transform", still.locator("#diagram .column").first.get_attribute("transform")
    )


def test_the_slider_chooses_t_and_everything_follows(files, visit):
    page = unfolded(visit(files["twenty"]))
    before = page.inner_text("#error-value")
    slide(page, 7)
    expect(page.locator("#t-value")).to_contain_text("t = 7")
    assert page.inner_text("#error-value") != before
    expect(page.locator("#terms li")).to_have_count(8)  # seven terms and their sum
    expect(page.locator("#details h3")).to_have_text("State of step 7")
    expect(page.locator("#diagram .column.later")).to_have_count(13)


def test_the_bands_are_as_wide_as_the_gradient_is_large(files, visit):
    page = unfolded(visit(files["lesson"]))
    flow = page.evaluate("JSON.parse(document.getElementById('data').textContent).exploration.backward.flow.l0[2]")
    widths = page.eval_on_selector_all(
        "#diagram .link .band", "all => all.map(b => +b.getAttribute('stroke-width'))"
    )
    assert widths[0] == 0  # into step 1 comes nothing from before
    assert widths[2] / widths[1] == pytest.approx(flow[1] / flow[2], rel=0.05)


CLICKED = {
    "E": ("Error of step 3", "The backward pass starts here"),
    "y": ("Output of step 3", "y3 = s3 Wy"),
    "read": ("Read-out of step 3", "share of"),
    "s": ("State of step 3", "of step t"),
    "link": ("From step 2 to step 3", "contribution"),
    "in": ("Into the state of step 3", "its norm"),
    "x": ("Input of step 3", "x3"),
}


def test_what_is_clicked_tells_its_equation_numbers_and_share(files, visit):
    page = unfolded(visit(files["lesson"]))
    for kind, (title, shown) in CLICKED.items():
        page.locator(f"#diagram .part.{kind}").last.click(force=True)
        expect(page.locator("#details h3")).to_have_text(title)
        expect(page.locator("#details")).to_contain_text(shown)


def test_an_error_that_is_clicked_becomes_the_one_taken_back(files, visit):
    page = unfolded(visit(files["lesson"]))
    select(page, "E", 1)
    expect(page.locator("#t-value")).to_contain_text("t = 2")


def test_the_keyboard_does_it_all(files, visit):
    page = visit(files["lesson"])
    page.locator("#unfold").focus()
    page.keyboard.press("Enter")
    page.locator("#t").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#t-value")).to_contain_text("t = 2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "state s at step 3"
    steps = [
        ("ArrowLeft", "state s at step 2"),
        ("ArrowDown", "edge W s at step 2"),
        ("ArrowDown", "edge W x at step 2"),
        ("ArrowDown", "input x at step 2"),
        ("ArrowDown", "input x at step 2"),
        ("ArrowRight", "input x at step 3"),
        ("ArrowUp", "edge W x at step 3"),
    ]
    for key, label in steps:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == label
    expect(page.locator("#details h3")).to_have_text("Into the state of step 3")
    page.locator("#tabs [aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tabs [aria-selected=true]")).to_have_text("Wy")
    expect(page.locator("#terms li")).to_have_count(2)


def test_a_term_shows_its_path(files, visit):
    page = unfolded(visit(files["lesson"]))
    term = page.locator("#terms button").nth(1)
    expect(term).to_contain_text("k = 2")
    term.focus()
    expect(page.locator("#diagram svg")).to_have_class(re.compile("tracing"))
    on = page.eval_on_selector_all("#diagram .part.on", "all => all.map(part => part.getAttribute('aria-label'))")
    wanted = ["error E", "edge from y to E", "output y", "edge W y", "state s", "edge W s"]
    assert sorted(on) == sorted(
        [f"{part} at step 3" for part in wanted] + ["state s at step 2", "edge W s at step 2"]
    )
    term.click()
    expect(page.locator("#details h3")).to_have_text("From step 1 to step 2")
    expect(page.locator("#terms li[aria-current]")).to_contain_text("k = 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn_when_it_comes_into_view(files, visit, scheme):
    page = visit(files["twenty"], color_scheme=scheme)
    for name in CHARTS:
        page.locator(f"#{name}").scroll_into_view_if_needed()
        expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
        assert page.locator(f"#{name}").get_attribute("aria-label")
    page.select_option("#map-choice", label="contributions to W_x")
    expect(page.locator("#map")).to_have_attribute("aria-label", re.compile("contributions to W_x"))
    assert page.locator("#verdict").inner_text()


def test_colours_follow_the_scheme(files, visit):
    page = visit(files["lesson"], color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.mark.parametrize("name", ["lesson", "twenty", "long", "run"])
def test_the_page_never_scrolls_sideways(files, visit, name):
    page = unfolded(visit(files[name]))
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_scores_fit_a_narrow_page(files, visit):
    page = visit(files["run"])
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.locator(".scores").evaluate("table => table.getBoundingClientRect().right") <= 390


def test_five_hundred_steps_stay_usable(files, visit):
    page = unfolded(visit(files["long"]))
    assert page.locator("#diagram .column").count() == 24
    slide(page, 250)
    expect(page.locator("#diagram .now .E .name")).to_have_text("E250")
    expect(page.locator("#terms .earlier")).to_contain_text("1 to 226")
    slide(page, 5)
    expect(page.locator("#terms li")).to_have_count(6)


def test_a_run_shows_what_it_came_to_and_runs_no_name_as_code(files, visit):
    page = visit(files["run"])
    assert page.locator("h1").inner_text() == "runs/<script>alert(1)</script>"
    for name in ("forecast", "losses", "training-lags"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
        expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
    expect(page.locator("#forecast .ytitle")).to_have_text("<img src=x onerror=alert(1)>")
    expect(page.locator(".scores")).to_contain_text("0.123")
    unfolded(page)
    expect(page.locator("#t-value")).to_contain_text("<b>1959")
    assert page.locator("#diagram b").count() == 0
    select(page, "link")
    expect(page.locator("#details h3")).to_contain_text("<b>1959")


def test_a_file_says_what_makes_it_live(files, visit):
    page = visit(files["lesson"])
    expect(page.locator("#offline")).to_contain_text("bptt explore")
    expect(page.locator("#live")).to_be_hidden()


def test_a_link_opens_a_file_at_its_step_and_a_broken_one_is_said(files, visit):
    page = visit(files["lesson"])
    packed = """async (text) => {
        const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('deflate-raw'));
        return btoa(String.fromCharCode(...new Uint8Array(await new Response(stream).arrayBuffer())));
    }"""
    state = page.evaluate(packed, '{"t":2,"unfolded":true}').translate(str.maketrans("+/", "-_", "="))
    opened = visit(f"{files['lesson']}#{state}")
    expect(opened.locator("#t-value")).to_contain_text("t = 2")
    expect(opened.locator("#unfold")).to_have_attribute("aria-pressed", "true")
    broken = visit(f"{files['lesson']}#nonsense")
    expect(broken.locator("#status")).to_contain_text("could not be read")
