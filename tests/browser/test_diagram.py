"""The diagram: its edges, what is clicked, the keyboard, folding, playing and a window of steps."""

import pytest
from playwright.sync_api import expect

import bptt
from browser.actions import enter, lesson, select, slide, widths


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
