"""The page while `bptt explore` answers: everything is changed, and everything follows."""

import re

import pytest
from playwright.sync_api import expect

from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.report.server import Gone

from .conftest import LivePage


@pytest.fixture
def page(served, visit):
    page = visit(served.address)
    page.click("#unfold")
    return page


def error(page):
    return page.inner_text("#error-value")


CHANGES = {
    "weight": lambda page: page.locator("#weights input").nth(7).fill("0.9"),
    "activation": lambda page: page.select_option("#activation", "relu"),
    "leak": lambda page: page.locator("#leak").fill("0.3"),
    "loss": lambda page: page.select_option("#loss", "absolute_error"),
    "x": lambda page: page.locator("#sequence input").nth(1).fill("2.5"),
    "d": lambda page: page.locator("#sequence input").nth(8).fill("-1"),
}


def test_every_change_is_computed_at_once_and_reset(page):
    before, terms = error(page), page.inner_text("#terms")
    for change in CHANGES.values():
        change(page)
        expect(page.locator("#error-value")).not_to_have_text(before)
        expect(page.locator("#status")).to_contain_text("recomputed in")
        assert page.inner_text("#terms") != terms
        page.click("#reset")
        expect(page.locator("#error-value")).to_have_text(before)


def test_the_diagnosis_follows_a_change(page):
    before = page.inner_text("#verdict")
    page.select_option("#activation", "identity")
    for i in (6, 10, 14):  # the diagonal of W_s
        page.locator("#weights input").nth(i).fill("2")
    expect(page.locator("#verdict")).not_to_have_text(before)
    expect(page.locator("#verdict")).to_contain_text("explod")


def test_the_sequence_can_be_made_longer_and_shorter(page):
    page.fill("#steps", "14")
    page.locator("#steps").press("Enter")
    expect(page.locator("#t")).to_have_attribute("max", "14")
    expect(page.locator("#diagram .column")).to_have_count(14)
    page.fill("#steps", "2")
    page.locator("#steps").press("Enter")
    expect(page.locator("#t-value")).to_contain_text("t = 2")


def test_what_cannot_be_done_is_said_and_the_page_stays(served, visit):
    page = visit(served.address, silent=False)  # the browser itself notes the refusal in its console
    before = error(page)
    page.fill("#steps", "5000")
    page.locator("#steps").press("Enter")
    expect(page.locator("#status")).to_contain_text("steps must be a whole number from 1 to 200, got 5000")
    assert error(page) == before
    page.select_option("#activation", "sigmoid")
    expect(page.locator("#status")).to_contain_text("got 5000")


def test_steps_of_gradient_descent_let_the_error_fall(page):
    for step in range(1, 4):
        page.click("#descend")
        expect(page.locator("#fall")).to_contain_text(f"after {step} step")
    first, last = re.search(r"= ([\d.]+) → ([\d.]+) after", page.inner_text("#fall")).groups()
    assert float(last) < float(first)
    page.select_option("#over", "all")
    expect(page.locator("#fall")).to_contain_text("Σ E")


def test_a_link_opens_the_same_state_elsewhere(page, visit):
    page.locator("#weights input").first.fill("0.75")
    page.select_option("#activation", "gelu")
    page.locator("#t").evaluate("slider => {slider.value = 2; slider.dispatchEvent(new Event('input'))}")
    expect(page.locator("#equations")).to_contain_text("gelu")
    page.click("#share")
    expect(page.locator("#link")).to_have_value(re.compile("#"))
    other = visit(page.locator("#link").input_value())
    expect(other.locator("#equations")).to_contain_text("gelu")
    expect(other.locator("#weights input").first).to_have_value("0.75")
    expect(other.locator("#error-value")).to_have_text(error(page))


def test_the_field_that_is_edited_keeps_the_focus(page):
    field = page.locator("#weights input").nth(2)
    field.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("0.25")
    expect(page.locator("#status")).to_contain_text("recomputed in")
    expect(field).to_be_focused()
    expect(field).to_have_value("0.25")


def test_a_network_that_overflows_is_shown_as_such(page):
    page.select_option("#activation", "identity")
    page.locator("#weights input").nth(6).fill("1000000")
    expect(page.locator("#status")).to_contain_text("recomputed in")
    assert page.locator("#diagram .column").count() == 10


def test_a_deleted_run_and_a_stopped_server_are_said(visit, monkeypatch):
    explorer = lesson_explorer(ExplainOptions())

    def gone(self, question):
        raise Gone("The run runs/a was deleted while this page was open")

    monkeypatch.setattr(type(explorer), "explored", gone)
    live = LivePage(explorer)
    page = visit(live.address, silent=False)
    page.select_option("#activation", "relu")
    expect(page.locator("#status")).to_contain_text("was deleted while this page was open")
    live.close()
    page.select_option("#activation", "tanh")
    expect(page.locator("#status")).to_contain_text("does not answer any more")
