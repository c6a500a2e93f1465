import re

import pytest
import torch

import bptt
from bptt.insight.text_tables import explanation_html, stretches, text_html


def explained(T, t=None):
    torch.manual_seed(0)
    net = bptt.Elman(2, 3, 1)
    return bptt.explain(net, torch.randn(T, 2), torch.randn(T, 1), t=t)


def test_every_matrix_and_step_has_its_row_and_shares_sum_to_one():
    text = str(explained(5, t=3))
    assert text.startswith("E_3 = ")
    blocks = text.split("\n\n")
    assert [block.split()[0] for block in blocks[1:]] == [
        "∂E_3/∂W_x",
        "∂E_3/∂W_s",
        "∂E_3/∂W_y",
        "‖∂E_3/∂s_k‖:",
    ]
    for block in blocks[1:4]:
        rows = block.splitlines()[2:]
        assert [row.split()[0] for row in rows] == ["1", "2", "3"]
        assert abs(sum(float(row.split()[2].rstrip("%")) for row in rows) - 100) < 0.3


def test_a_long_way_back_is_folded():
    text = str(explained(200))
    assert "1 to 188" in text
    assert len(text.splitlines()) < 80


def test_a_single_step():
    text = str(explained(1))
    assert "1 step" in text
    assert "nan" not in text


def test_a_zero_gradient_has_no_shares_to_divide():
    net = bptt.Elman(2, 3, 1)
    net.W_y = torch.zeros(3, 1)
    assert "nan" not in str(bptt.explain(net, torch.ones(3, 2), torch.zeros(3, 1)))


def contributed(T, **options):
    torch.manual_seed(0)
    net = bptt.SequenceModel(bptt.GRU(2, 3, 2), 1)
    return bptt.contributions(net, torch.randn(T, 2), torch.randn(T, 1), torch.nn.MSELoss(), **options)


def test_every_parameter_has_its_row_and_shares_sum_to_one():
    c = contributed(40)
    lines = str(c).splitlines()
    rows = [line for line in lines if line.startswith(("recurrent.", "readout."))]
    assert [row.split()[0] for row in rows] == list(c.by_step)
    for row in rows:
        assert abs(sum(float(part.rstrip("%")) for part in row.split()[2:]) - 100) < 0.5
    assert "lag" not in str(c)


def test_lags_are_told_with_pairs_alone_and_by_powers_of_two():
    lines = str(contributed(40, pairs=True)).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("lag"))
    assert lines[place].split() == ["lag", "0", "1", "2", "4", "8", "16", "32"]
    assert [line.split()[0] for line in lines[place + 1 :]] == ["l0", "l1"]
    assert max(map(len, lines)) < 110


def test_contributions_of_a_single_step():
    assert "step 1" in str(contributed(1, t=1, pairs=True))


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
        bptt.contributions(model, x, d, bptt.squared_error),
        bptt.diagnose(model, x, d, bptt.squared_error),
        bptt.check_gradient(model, x, d, torch.nn.MSELoss()),
    ]
    for one in found:
        assert one._repr_html_() == text_html(str(one))
    assert text_html("a  <b\n") == '<pre style="line-height:1.3">a  &lt;b\n</pre>'


@pytest.mark.parametrize("steps", [1, 2, 5, 13, 200])
@pytest.mark.parametrize("shown", [3, 6, 12])
def test_every_step_once_in_order_and_no_more_shown_than_asked_for(steps, shown):
    for around in {1, steps, (steps + 1) // 2}:
        found = stretches(steps, around, shown)
        assert [k for span in found for k in span] == list(range(1, steps + 1))
        alone = [span[0] for span in found if len(span) == 1]
        assert {1, around, steps} <= set(alone)
        assert len(found) == steps if steps <= shown else len(found) <= shown + 2


def test_steps_around_one_in_the_middle():
    assert [tuple(span) for span in stretches(9, 5, 5) if len(span) > 1] == [(2, 3), (7, 8)]
