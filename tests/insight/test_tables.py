import re

import torch

import bptt
from bptt.insight.tables import explanation_html


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
