import re

import torch

import bptt
from bptt.insight.tables import explanation_html, text_html


def test_every_step_has_a_row_and_shares_sum_to_one():
    e = bptt.explain(bptt.Elman(2, 3, 1), torch.randn(4, 2), torch.randn(4, 1))
    table = explanation_html(e.t, e.error, e.gradient, e.contributions, e.state_gradients)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")]
    rows = [row for row in rows if row]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    for column in (1, 2, 3):
        assert abs(sum(float(re.search(r"\((.*)%\)", row[column])[1]) for row in rows) - 100) < 0.3
    assert float(rows[1][-1]) == float(f"{e.state_gradient[1].norm():.3g}")


def test_a_parameters_name_is_text():
    one = {"<b>": torch.ones(1, 2)}
    assert "&lt;b&gt;" in explanation_html(
        1, torch.ones(()), {"<b>": torch.ones(2)}, one, {"l0": torch.ones(1, 2)}
    )


def test_what_else_was_found_stands_in_a_notebook_as_in_a_terminal():
    model = bptt.SequenceModel(bptt.GRU(2, 3, dtype=torch.float64), 1)
    x, d = (torch.randn(9, size, dtype=torch.float64) for size in (2, 1))
    found = [
        bptt.contributions(model, x, d, "squared_error"),
        bptt.diagnose(model, x, d),
        bptt.check_gradient(model, x, d, torch.nn.MSELoss()),
    ]
    for one in found:
        assert one._repr_html_() == text_html(str(one))
    assert text_html("a  <b\n") == '<pre style="line-height:1.3">a  &lt;b\n</pre>'
