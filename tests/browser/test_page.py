"""The page in a browser: it computes itself, offline; every change, chapter, exercise and export."""

import base64
import json
import re
import zlib
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

import bptt


@pytest.fixture
def page(files, visit):
    return visit(files["lesson"])


def slide(page, t):
    page.locator("#t").evaluate("(slider, t) => {slider.value = t; slider.dispatchEvent(new Event('input'))}", t)


def select(page, kind, i=-1):
    page.locator(f"#diagram .part.{kind}").nth(i).dispatch_event("click")


def error(page):
    return page.inner_text("#error-value").split(" was")[0].strip()


def enter(page, name, value):
    field = page.get_by_label(name, exact=True)
    field.fill(value)
    field.press("Enter")


def widths(page, kind):
    return page.eval_on_selector_all(
        f"#diagram .{kind} .band", "all => all.map(b => +b.getAttribute('stroke-width'))"
    )


def link(state):
    """The end of an address that leads to a state."""
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(json.dumps(state).encode()) + deflate.flush()
    return "#" + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def open_link(page, hash_):
    page.evaluate(
        "hash => { document.getElementById('copied-says').textContent = ''; location.hash = hash; }", hash_
    )


def lesson():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = bptt.Elman(2, 3, 1)
        x, d = torch.randn(5, 2), torch.randn(5, 1)
    return net, x[:3], d[:3]


def test_the_lessons_example_is_the_readmes(page):
    net, x, d = lesson()
    assert float(error(page).split("=")[1]) == pytest.approx(bptt.explain(net, x, d).error.item(), rel=1e-3)
    assert page.locator("#diagram .column").count() == 3
    expect(page.locator("#t-value")).to_contain_text("t = 3")


def test_one_quantity_stands_on_the_edges_on_one_scale(page):
    net, x, d = lesson()
    e = bptt.explain(net, x, d)
    flow = e.state_gradient.norm(dim=1).tolist()
    into_1, into_2, into_3 = widths(page, "s:not(.node)")
    assert (into_1, into_3 / into_2) == (0, pytest.approx(flow[1] / flow[0], rel=0.01))
    assert widths(page, "y:not(.node)")[2] / into_3 == pytest.approx(flow[2] / flow[1], rel=0.01)
    assert page.locator("#diagram .s:not(.node) .size").all_text_contents() == ["", "12.9 %", "47.9 %"]
    page.select_option("#quantity", "W_s")
    into_1, into_2, into_3 = widths(page, "s:not(.node)")
    of_W_s = e.contributions["W_s"].flatten(1).norm(dim=1).tolist()
    assert (into_1, into_2 / into_3) == (0, pytest.approx(of_W_s[1] / of_W_s[2], rel=0.01))
    assert widths(page, "in") == [0, 0, 0]
    select(page, "s:not(.node)")
    expect(page.locator("#details")).to_contain_text(
        f"norm of the contribution {of_W_s[2]:.4g}", use_inner_text=True
    )


CHANGES = {
    "weight": lambda page: enter(page, "W_s, row 1, column 2", "0.9"),
    "activation": lambda page: page.select_option("#activation", "relu"),
    "leak": lambda page: enter(page, "leak α", "0.3"),
    "radius": lambda page: enter(page, "spectral radius of W_s", "1.5"),
    "loss": lambda page: page.select_option("#loss", "absolute_error"),
    "x": lambda page: enter(page, "x1 at step 2", "2.5"),
    "d": lambda page: enter(page, "d1 at step 3", "-1"),
}


def test_every_change_is_computed_at_once_leaves_a_ghost_and_is_undone(page):
    before, terms = error(page), page.inner_text("#terms")
    for change in CHANGES.values():
        change(page)
        assert error(page) != before
        assert page.inner_text("#terms") != terms
        expect(page.locator("#error-value .was")).to_contain_text(before.split("= ")[1])
        page.click("#undo")
        assert error(page) == before
    expect(page.locator("#undo")).to_be_disabled()


def test_a_change_is_what_python_computes(page):
    enter(page, "W_x, row 2, column 3", "0.9")
    page.select_option("#activation", "softplus")
    net, x, d = lesson()
    changed = bptt.Elman(2, 3, 1, "softplus", dtype=torch.float64)
    changed.load_state_dict(net.state_dict())
    with torch.no_grad():
        changed.W_x[1, 2] = 0.9
    e = bptt.explain(changed, x.double(), d.double())
    assert float(error(page).split("=")[1]) == pytest.approx(e.error.item(), rel=1e-3)
    part = e.part("W_s", range(2, 3))
    expect(page.locator("#terms button").nth(1)).to_contain_text(f"{part.norm:.4g}")


def test_a_number_is_dragged_in_one_edit(page):
    field = page.get_by_label("W_s, row 1, column 1", exact=True)
    field.scroll_into_view_if_needed()
    box, before = field.bounding_box(), float(field.input_value())
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    for by in (5, 20, 40):
        page.mouse.move(box["x"] + 10 + by, box["y"] + 10)
    page.mouse.up()
    assert float(field.input_value()) == pytest.approx(before + 0.4, abs=1e-3)
    page.click("#undo")
    assert float(field.input_value()) == before


REFUSED = {
    "leak α": ("3", "above 0 and at most 1, not 3"),
    "steps T": ("5000", "a whole number from 1 to 200, not 5000"),
    "W_s, row 1, column 2": ("1e9", "a number from"),
    "x1 at step 2": ("many", "a number from"),
    "learning rate": ("0", "above 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_value_rolls_back_and_says_why_beside_the_field(page, name):
    value, words = REFUSED[name]
    field = page.get_by_label(name, exact=True)
    before, shown = field.input_value(), error(page)
    enter(page, name, value)
    expect(page.locator(".refused:visible")).to_contain_text(words)
    assert (field.input_value(), error(page)) == (before, shown)
    enter(page, name, "0.5" if name != "steps T" else "2")
    expect(page.locator(".refused:visible")).to_have_count(0)


def test_a_longer_sequence_takes_t_along_and_shows_both_ends(page):
    enter(page, "steps T", "200")
    expect(page.locator("#t-value")).to_contain_text("t = 200")
    names = page.locator("#diagram .node.E .name").all_text_contents()
    assert (names[0], names[-1]) == ("E1", "E200")


def test_a_shorter_sequence_takes_the_selection_along(page):
    slide(page, 1)
    select(page, "node.s")
    expect(page.locator("#details h3")).to_have_text("State of step 3")
    enter(page, "steps T", "2")
    expect(page.locator("#details h3")).to_have_text("State of step 2")


def test_clicks_in_quick_succession_start_one_run(page):
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # from here on it goes by run_for alone
    page.evaluate("for (const i of [1, 2, 3]) document.getElementById('run').click()")
    page.clock.run_for(601)
    expect(page.locator("#fall")).to_contain_text("after 12 steps")


def test_steps_of_gradient_descent_are_each_counted_once_and_lower_the_error(page):
    page.locator("#descend").dblclick()
    expect(page.locator("#fall")).to_contain_text("after 2 steps")
    page.click("#descend")
    first, last = re.search(r"= ([\d.]+) → ([\d.]+) after 3", page.inner_text("#fall")).groups()
    assert float(last) < float(first)
    page.select_option("#over", "all")
    expect(page.locator("#fall")).to_contain_text("ΣE")


def test_a_run_that_diverges_says_so_and_can_be_undone(files, visit):
    page = visit(files["lesson"] + "#explode")
    before = error(page)
    page.click("#run")
    expect(page.locator("#diverged")).to_be_visible()
    expect(page.locator("#run")).to_have_text("Run")
    page.click("#undo-run")
    assert error(page) == before
    enter(page, "clip the gradient's norm at, empty for never", "0.3")
    page.click("#run")
    expect(page.locator("#fall")).to_contain_text(re.compile(r"after \d\d steps"))
    page.click("#run")
    expect(page.locator("#diverged")).to_be_hidden()


def test_the_chain_rule_is_stepped_through_up_to_the_sum(page):
    net, x, d = lesson()
    e = bptt.explain(net, x, d)
    page.click("#beat-next")
    expect(page.locator("#beat-shown")).to_contain_text("1 of 11")
    expect(page.locator("#diagram .lit [role=button]")).to_have_attribute(
        "aria-label", re.compile("edge from y to E at step 3")
    )
    faint = page.locator("#diagram .s:not(.node)").nth(1)
    expect(faint).to_have_css("opacity", "0.14")
    for _ in range(3):
        page.click("#beat-next")
    numbers = [
        float(n.replace("−", "-")) for n in page.locator("#beat-shown .brackets >> nth=2").inner_text().split()[:3]
    ]
    assert numbers == pytest.approx(e.contributions["W_s"][2][0].tolist(), rel=0.01)
    page.locator("#beat").evaluate("s => {s.value = 11; s.dispatchEvent(new Event('input'))}")
    expect(page.locator("#beat-shown")).to_contain_text("the gradient, of norm 0.0922")
    page.click("#beat-end")
    assert page.locator("#diagram .tracing").count() == 0


@pytest.mark.parametrize("cell", ["lstm", "leak", "truncation"])
def test_every_beat_of_other_cells_can_be_shown(files, visit, cell):
    page = visit(f"{files['lesson']}#{cell}")
    last = int(page.get_attribute("#beat", "max"))
    for n in (1, 3, 4, 5, last):
        page.locator("#beat").evaluate("(s, n) => {s.value = n; s.dispatchEvent(new Event('input'))}", n)
        expect(page.locator("#beat-shown")).to_contain_text(f"{n} of {last}")
    assert page.locator("#diagram .lit").count() >= 1


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_beat_multiplies_out_every_gate(files, visit, cell):
    page = visit(f"{files['lesson']}#lstm" if cell == "lstm" else files["text"])
    page.locator("#beat").evaluate("s => {s.value = 3; s.dispatchEvent(new Event('input'))}")
    expect(page.locator("#beat-shown")).to_contain_text("Through the gates of step")
    rows = page.locator("#beat-shown .product")
    assert rows.count() == {"lstm": 1 + 4, "gru": 3}[cell]
    for row in rows.all()[cell == "lstm" :]:
        text = [vector.inner_text().replace("−", "-").split() for vector in row.locator(".brackets").all()]
        first, second, slope, delta = ([powers(word) for word in vector] for vector in text)
        assert delta == pytest.approx([a * b * c for a, b, c in zip(first, second, slope, strict=True)], rel=0.03)


def powers(text):
    """A number as the page writes it: 1.2·10⁻⁵."""
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    number, _, power = text.partition("·10")
    return float(number) * 10.0 ** int(power.translate(digits) or 0)


def test_predictions_are_asked_of_any_network(files, visit):
    page = visit(files["text"])
    page.click("#predict summary")
    expect(page.locator("#predict .exercise")).to_have_count(2)
    exercise = page.locator("#predict .exercise").first
    exercise.locator("select").select_option("1")
    exercise.get_by_role("button").click()
    expect(exercise.locator(".reply")).to_contain_text("The norms are")
    slide(page, 1)
    expect(page.locator("#predict")).to_be_hidden()
    page = visit(files["large"])
    expect(page.locator("#predict")).to_be_hidden()


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


CHAPTERS = {
    "vanish": lambda page: expect(page.locator("#diagram")).to_contain_text("died"),
    "explode": lambda page: expect(page.locator("#reach-says")).to_contain_text("explodes"),
    "leak": lambda page: expect(page.locator("#legend")).to_contain_text("1 − α"),
    "lstm": lambda page: (
        expect(page.locator("#lags .keys")).to_have_text("ElmanGRULSTM"),
        expect(page.locator("#lyapunov .tick").get_by_text("0", exact=True)).to_be_attached(),
    ),
    "truncation": lambda page: expect(page.locator("#k2-says")).to_contain_text("off by"),
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_is_a_link_and_a_preset(page, chapter):
    page.click(f"#chapters [data-chapter={chapter}]")
    expect(page.locator("#chapters [aria-current]")).to_have_attribute("href", f"#{chapter}")
    CHAPTERS[chapter](page)
    page.click("#chapters [data-chapter=three]")
    expect(page.locator("#error-value")).to_contain_text("0.08166")


def test_every_matrix_of_the_lstms_chapter_has_its_derivation_and_goes_into_a_link(files, visit):
    page = visit(files["lesson"] + "#lstm")
    for name in ("Wx", "Ws", "bx", "Wy", "by"):
        page.locator("#tabs button", has_text=re.compile(f"^∂?.*{name}")).click()
        expect(page.locator("#rule")).to_contain_text(name)
    page.click("#share")
    expect(page.locator("#copied")).to_have_value(re.compile("#"))
    other = visit(page.locator("#copied").input_value())
    expect(other.locator("#chapter h2")).to_have_text("An LSTM saves it")
    expect(other.locator("#reach")).to_contain_text("GRU")


def test_predictions_are_checked(files, visit):
    page = visit(files["lesson"])
    exercise = page.locator(".exercise").first
    exercise.locator("select").select_option("1")
    exercise.get_by_role("button").click()
    expect(exercise.locator(".reply")).to_contain_text("Not yet")
    exercise.locator("select").select_option("3")
    exercise.get_by_role("button").click()
    expect(exercise.locator(".reply")).to_contain_text("Yes")
    delta = bptt.explain(*lesson()).delta[1].tolist()
    select(page, "node.s", 1)
    expect(page.locator("#details")).to_contain_text("predict it first")
    exercise = page.locator(".exercise").nth(1)
    for field, value in zip(exercise.locator("input").all(), delta, strict=True):
        field.fill(f"{value:.4f}")
    exercise.get_by_role("button").click()
    expect(exercise.locator(".reply")).to_contain_text("Yes")
    page = visit(files["lesson"] + "#vanish")
    page.locator("#chapter .exercise button").click()
    expect(page.locator("#chapter .reply")).to_contain_text("Not yet")
    page = visit(files["lesson"] + "#truncation")
    for k2 in range(4, 15):
        page.locator("#chapter .exercise input").fill(str(k2))
        page.locator("#chapter .exercise button").click()
        if "Yes" in page.inner_text("#chapter .reply"):
            break
    expect(page.locator("#chapter .reply")).to_contain_text("Yes")


def test_a_sentence_of_ones_own_glows_and_learns(page):
    page.fill("#own-text", "to be or not to be")
    page.select_option("#own-cell", "gru")
    page.locator("#own button").click()
    expect(page.locator("#glow button")).to_have_count(17)
    expect(page.locator("#glow")).to_be_in_viewport()
    page.select_option("#over", "all")
    for _ in range(5):
        page.click("#descend")
    first, last = re.search(r"= ([\d.]+) → ([\d.]+) after 5", page.inner_text("#fall")).groups()
    assert float(last) < float(first)
    page.fill("#own-text", "1,2,\n\n3,4,\n5,6,\n")  # pasted, with separators at the ends
    page.click("#own button")
    expect(page.locator("#t-value")).to_contain_text("of 3")
    expect(page.get_by_label("d1 at step 2", exact=True)).to_have_value("4")
    page.fill("#own-text", "1 2\n3")
    page.locator("#own button").click()
    expect(page.locator("#own-says")).to_contain_text("Line 2 has 1 numbers")


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


CLICKED = {
    "node.E": ("Error of step 3", "The way back starts here"),
    "node.y": ("Output of step 3", "y3"),
    "y:not(.node)": ("Read-out of step 3", "share of the sum"),
    "node.s": ("State of step 3", "as a part of step 3"),
    "s:not(.node)": ("From step 2 to step 3", "contribution"),
    "in": ("Into the state of step 3", "norm of the contribution"),
    "node.x": ("Input of step 3", "x3"),
}


def test_what_is_clicked_shows_its_numbers_and_chooses_its_matrix(page):
    for kind, (title, shown) in CLICKED.items():
        page.locator(f"#diagram .part.{kind}").last.dispatch_event("click")
        expect(page.locator("#details h3")).to_contain_text(title)
        expect(page.locator("#details")).to_contain_text(shown)
    select(page, "in")
    expect(page.locator("#tabs [aria-selected=true]")).to_have_text("Wx")
    select(page, "node.E", 1)
    expect(page.locator("#t-value")).to_contain_text("t = 2")


def test_the_keyboard_does_it_all(page):
    page.locator("#diagram [tabindex='0']").focus()
    label = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(label) == "state s at step 3"
    steps = [
        ("ArrowLeft", "state s at step 2"),
        ("ArrowDown", "edge W s from the step before at step 2, 12.9 %"),
        ("ArrowDown", "edge W x at step 2, 16.8 %"),
        ("ArrowDown", "input x at step 2"),
        ("ArrowRight", "input x at step 3"),
    ]
    for key, said in steps:
        page.keyboard.press(key)
        assert page.evaluate(label) == said
    page.locator("#tabs [aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tabs [aria-selected=true]")).to_have_text("Wy")
    expect(page.locator("#terms li")).to_have_count(2)


def test_it_folds_and_unfolds(page):
    columns = page.locator("#diagram .column")
    page.click("#unfold")
    assert [columns.nth(i).is_visible() for i in range(3)] == [False, False, True]
    page.locator("#diagram").click(position={"x": 20, "y": 20})
    expect(columns.first).to_be_visible()


def test_what_moves_shows_no_result_before_it_gets_there(files, visit):
    page = visit(files["lesson"], reduced_motion="no-preference")
    page.click("#play")
    last = page.locator("#diagram .s:not(.node)").nth(1)
    expect(last.locator(".size")).to_have_css("opacity", "0")
    expect(last.locator(".forward")).to_have_css("marker-end", "none")
    expect(last.locator(".size")).to_have_css("opacity", "1")
    expect(last.locator(".forward")).not_to_have_css("marker-end", "none")


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


def test_a_window_of_steps_moves_with_t_and_keeps_the_focus(files, visit):
    page = visit(files["twenty"])
    select(page, "node.s")
    page.locator('#diagram [tabindex="0"]').focus()
    slide(page, 17)
    chosen = page.locator("#diagram .part.selected text.name").text_content()
    names = page.locator("#diagram .part.node.x text.name").all_text_contents()
    fresh = visit(files["twenty"])
    slide(fresh, 17)
    assert names == fresh.locator("#diagram .part.node.x text.name").all_text_contents()
    assert names[-1] == "x18"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").endswith(f"at step {chosen[1:]}")
    assert widths(page, "s") == widths(fresh, "s")


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
