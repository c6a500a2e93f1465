import pytest
import torch

import bptt
from bptt.insight.text_tables import stretches, text_html


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
