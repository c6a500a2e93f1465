import math
import xml.etree.ElementTree as ET

import pytest

from bptt.insight.svg import arrow, band, cross, document, hovered, letters, lowered, straight, words


def test_a_line_is_cut_at_both_ends_and_moved_aside():
    line = straight((0, 0), (100, 0), 10, 20, 5)
    assert line.start == pytest.approx((10, 5))
    assert line.end == pytest.approx((80, 5))
    assert line.length == pytest.approx(70)
    assert line.at(0.5) == pytest.approx((45, 5))
    assert line.back().start == pytest.approx(line.end)
    assert math.dist(line.until(0.5).end, line.at(0.5)) < 1e-6


def test_letters_set_indices_low_and_high():
    text = ET.fromstring(f'<g xmlns="x">{letters("W_s^{(2)}", (0, 0))}</g>')
    assert "".join(text.itertext()).replace("\u200b", "") == "W(2)s"
    assert lowered("∂E_12/∂s_3") == "∂E₁₂/∂s₃"


def test_a_document_is_whole_readable_in_both_schemes_and_safe_beside_others():
    one, two = (
        document(arrow(straight((0, 0), (9, y))) + words("a < b & c", (1, 1)), (10, 10), "x") for y in (1, 2)
    )
    for svg in (one, two):
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert "prefers-color-scheme:dark" in svg
    assert one.split('id="')[1].split('"')[0] != two.split('id="')[1].split('"')[0]


def test_what_is_shown_under_the_pointer_is_escaped():
    group = ET.fromstring(hovered("<path/>", "<b> & c", edge='s"1'))
    assert group.get("data-edge") == 's"1'
    assert group.findtext("title") == "<b> & c"
    for body in (band(straight((0, 0), (50, 0)), "strong", 4.0), cross((1, 1), "dead")):
        ET.fromstring(f"<g>{body}</g>")
