"""The lesson: its chapters, the chain rule step by step, and the exercises."""

import re

import pytest
from playwright.sync_api import expect

import bptt
from browser.actions import lesson, select, slide


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
