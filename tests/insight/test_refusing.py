import textwrap

import pytest
import torch
from torch import nn

import bptt

EXPLAINERS = [bptt.explain, bptt.derivation, bptt.diagram]
RECORD = r"record the model as it runs:\n +with bptt\.record\(model\) as walks:\n +loss = .*\n +bptt\.\w+\("


class Tagger(nn.Module):
    """A recurrent module and a read-out, as people write them."""

    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(2, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.out(self.gru(x)[0])


class Average(bptt.Cell):
    def step(self, x_t, state):
        state = 0.5 * state + 0.5 * x_t
        return state, state

    def initial_state(self, batch):
        return torch.zeros(batch, 2)


@pytest.mark.parametrize(
    ("model", "functions", "words"),
    [
        (nn.GRU(2, 3), [*EXPLAINERS, bptt.contributions], rf"got GRU; {RECORD}"),
        (bptt.GRU(2, 3), EXPLAINERS, rf"got GRU; {RECORD}"),
        (Average(), [*EXPLAINERS, bptt.diagnose], "a bptt.Cell; contributions, check_gradient, truncated and"),
        (
            Tagger(),
            [*EXPLAINERS, bptt.diagnose, bptt.contributions],
            rf"got Tagger; {RECORD}",
        ),
        (nn.GRU, [*EXPLAINERS, bptt.diagnose, bptt.contributions], r"got the class GRU; pass .*GRU\(\.\.\.\)"),
        ("GRU", [*EXPLAINERS, bptt.diagnose, bptt.contributions], "got str$"),
    ],
)
def test_a_refused_model_is_named_with_the_way_out(model, functions, words):
    for function in functions:
        with pytest.raises(TypeError, match=words):
            function(model, torch.zeros(9, 4, 2), torch.zeros(9, 4, 1), bptt.squared_error)


def test_the_way_out_of_a_module_of_torch_works():
    with pytest.raises(TypeError, match=r"torch.nn's GRU; convert it: bptt\.from_torch\(module\)"):
        bptt.SequenceModel(nn.GRU(2, 3), 1)
    model = bptt.SequenceModel(bptt.from_torch(nn.GRU(2, 3)), 1)
    assert bptt.explain(model, torch.zeros(9, 2), torch.ones(9, 1)).t == 9


def test_the_lines_of_the_message_work():
    model, x, d, criterion = Tagger(), torch.ones(4, 2, 2), torch.zeros(4, 2, 1), bptt.squared_error
    for function in (bptt.explain, bptt.contributions):
        with pytest.raises(TypeError) as refusal:
            function(model, x, d, criterion)
        lines = str(refusal.value).split("as it runs:\n")[1]
        exec(textwrap.dedent(lines), {"bptt": bptt, "model": model, "x": x, "d": d, "criterion": criterion})
