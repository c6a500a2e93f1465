"""What a notebook shows of every result: tables and pictures, well formed, escaped and bounded in size."""

from xml.etree import ElementTree

import pytest
import torch

import bptt
from bptt.insight.html_tables import BARS, ROWS, Bar, bars, table_html
from support import normal


def results(T):
    model = bptt.SequenceModel(bptt.LSTM(2, 3, dtype=torch.float64), 1)
    x, d = normal(T, 2), normal(T, 1, seed=1)
    with bptt.record(model) as walks:
        loss = (model(x[:, None])[0][:, 0] - d).square().mean()
    return {
        "contributions": bptt.contributions(model, x, d, bptt.squared_error, pairs=True),
        "model contributions": bptt.contributions(walks, loss),
        "diagnosis": bptt.diagnose(model, x, d, bptt.squared_error),
        "model diagnosis": bptt.diagnose(walks, loss, d[:, None]),
        "explanation": bptt.explain(model, x, d),
        "gradient check": bptt.check_gradient(model, x[:4], d[:4], torch.nn.MSELoss()),
    }


@pytest.fixture(scope="module")
def shown():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {T: {name: result._repr_html_() for name, result in results(T).items()} for T in (12, 120)}


def parsed(html):
    return ElementTree.fromstring(f"<div>{html}</div>")


def test_every_result_is_a_table_or_a_picture_and_well_formed(shown):
    for T, by_name in shown.items():
        for name, html in by_name.items():
            tags = {node.tag.rpartition("}")[2] for node in parsed(html).iter()}
            assert tags & {"table", "svg"}, (name, T)
            assert "pre" not in tags, (name, T)


def test_a_long_sequence_takes_little_more_space(shown):
    for name in shown[12]:
        assert len(shown[120][name]) < 3 * len(shown[12][name]) + 40_000, name


def test_the_tables_say_what_the_text_says():
    found = results(12)
    for name in ("contributions", "diagnosis", "gradient check"):
        html = "".join(parsed(found[name]._repr_html_()).itertext())
        words = [word for word in str(found[name]).split() if word[0].isalnum() and word.isascii()]
        assert [word for word in words if word not in html] == []


def test_markup_in_names_is_escaped_and_rows_are_counted():
    html = table_html(["<b>"], [("<i>", "<u>", Bar("<s>", -2.0))] * (ROWS + 3), "<title>")
    assert {node.tag for node in parsed(html).iter()}.isdisjoint({"i", "u", "s", "title"})
    assert html.count("<tr>") == 1 + ROWS
    assert "and 3 more" in html


@pytest.mark.parametrize("values", [[0.0], [0.0] * 3, [1.0, float("inf"), float("nan")], list(range(1000))])
def test_a_picture_has_at_most_so_many_bars_within_its_height(values):
    drawn = [node for node in parsed(bars(values, "a <b> & c").svg).iter() if node.tag.endswith("rect")]
    assert len(drawn) == min(len(values), BARS)
    assert all(0 <= float(node.get("height")) <= 26 for node in drawn)
