"""Gradient descent on the page."""

import re

from playwright.sync_api import expect

from browser.actions import enter, error


def test_clicks_in_quick_succession_start_one_run(files, visit):
    page = visit(files["lesson"], alone=True)  # the clock is the window's
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
