"""Changes of the network and its data: computed at once, undone, and refused beside the field."""

import re

import pytest
import torch
from playwright.sync_api import expect

import bptt
from browser.actions import enter, error, lesson

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
