import math
import xml.etree.ElementTree as ET

import pytest

from bptt.insight.lesson.svg import arrow, band, document, hovered, lowered, straight, symbol, words


def test_lines():
    line = straight(0j, 10 + 0j, 2, 3, aside=1)
    assert (line.start, line.end) == (2 + 1j, 7 + 1j)
    assert line.at(0.5) == pytest.approx(4.5 + 1j)
    assert line.back().start == line.end
    assert line.length == pytest.approx(5)
    bent = line._replace(one=3 + 9j, two=6 - 4j)
    assert bent.until(0.3).end == pytest.approx(bent.at(0.3))
    assert bent.until(0.6).at(0.5) == pytest.approx(bent.at(0.3))


def test_a_bands_head_ends_where_the_line_does_and_grows_with_it():
    def head(width):
        root = ET.fromstring(f"<g>{band(straight(0j, 100 + 0j), 'strong', width)}</g>")
        return [tuple(map(float, p.split(","))) for p in root.find("polygon").attrib["points"].split()]

    thin, wide = head(1), head(6)
    assert thin[0] == wide[0] == (100, 0)
    assert math.dist(wide[1], wide[2]) > math.dist(thin[1], thin[2])


@pytest.mark.parametrize(
    ("latex", "text"),
    [("s_3", "s3"), (r"W_s^{(2)\leftarrow}", "W(2)←s"), (r"\delta_{12}", "δ12"), ("s_{t-1}", "st−1")],
)
def test_letters(latex, text):
    assert "".join(ET.fromstring(symbol(latex, 0j)).itertext()) == text


def test_a_document_is_whole_and_its_marker_its_own():
    body = hovered(arrow(straight(0j, 9 + 0j)) + words("a < b", 0j), "5 % & more", edge="s_1→s_2")
    text = document(body, 10 + 10j, "what it shows")
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    (marker,) = root.iter(f"{space}marker")
    assert f"url(#{marker.attrib['id']})" in text
    assert marker.attrib["id"] not in document(body + body, 10 + 10j, "")
    assert [group.attrib for group in root.iter(f"{space}g")] == [{"data-edge": "s_1→s_2"}]
    assert [title.text for title in root.iter(f"{space}title")] == ["5 % & more"]


def test_indices_set_low():
    assert lowered("‖∂E_12/∂s_3‖") == "‖∂E₁₂/∂s₃‖"
