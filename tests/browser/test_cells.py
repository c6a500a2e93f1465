"""The JavaScript twins of the equations against Python, every number to 1e-9, over random networks."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import bptt
from bptt.equations import ACTIVATIONS
from bptt.insight.contributions import contributions
from bptt.insight.diagnosis.jacobians import RecordedSteps, jacobians
from bptt.insight.diagnosis.lyapunov import lyapunov_exponents
from bptt.insight.plain_models import record_layers
from bptt.page.modules import bundled
from bptt.page.network import LOSSES, network_data

F64 = torch.float64
NETWORKS = {
    **{f"elman {name}": lambda name=name: bptt.Elman(2, 3, 2, name, dtype=F64) for name in ACTIVATIONS},
    "elman leak": lambda: bptt.Elman(2, 4, 2, bias=True, leak=0.3, dtype=F64),
    "rnn": lambda: bptt.SequenceModel(bptt.RNN(3, 5, 2, dtype=F64), 2),
    "gru": lambda: bptt.SequenceModel(bptt.GRU(2, 4, dtype=F64), 3),
    "gru deep": lambda: bptt.SequenceModel(bptt.GRU(2, 4, 3, bias=False, dtype=F64), 2),
    "lstm": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, dtype=F64), 2),
    "lstm projected": lambda: bptt.SequenceModel(bptt.LSTM(2, 5, 2, proj_size=3, dtype=F64), 2),
}
T, t = 9, 7  # the length of the sequence, and the step whose error goes back
LAGS = [1, 2, 4]
RATE, CLIP = 0.1, 0.5


def case(name, loss):
    """A random network, its sequence and its loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(list(NETWORKS).index(name) * 10 + list(LOSSES).index(loss))
        net = NETWORKS[name]()
        for weight in net.parameters():
            torch.nn.init.normal_(weight, std=0.7)
        I, O = (net if isinstance(net, bptt.Elman) else net.recurrent).input_size, len(net.readout_matrix())
        x = torch.randn(T, I, dtype=F64)
        d = torch.randint(O, (T,)) if loss == "cross_entropy" else torch.randn(T, O, dtype=F64)
    if isinstance(net, bptt.Elman):
        net.softmax = loss == "cross_entropy"
    return net, x, d, LOSSES[loss]


def by_python(net, x, d, criterion):
    h, by_layer = record_layers(net, x)
    z = net.readout(h).detach()
    e = bptt.explain(net, x, d, criterion, t=t)
    length = math.sqrt(sum(g.square().sum().item() for g in e.gradient.values()))
    step = RATE * min(1, CLIP / length)
    steps = [RecordedSteps.of(of_layer[0]) for of_layer in by_layer]
    J = [jacobians(of_layer, torch.arange(T))[:, 0] for of_layer in steps]
    products = [
        [torch.linalg.multi_dot([torch.eye(j.shape[-1], dtype=F64), *j[t - n : t].flip(0)]) for n in LAGS]
        for j in J
    ]

    def oriented(value):  # as the formulas have it, in row vectors
        return value if net.row_vectors or value.dim() == 1 else value.mT

    return {
        "states": [torch.stack(list(r.states[1:, 0])) for (r,) in by_layer],
        "y": torch.softmax(z, -1) if criterion is bptt.cross_entropy else z,
        "E": e.error,
        "dh": list(e.state_gradients.values()),
        "deltas": list(e.deltas.values()),
        "dx": list(e.input_gradients.values()),
        "over_c": list(e.cell_gradients.values()),
        "parts": {n: [oriented(part) for part in c if part.any()] for n, c in e.contributions.items()},
        "shares": {n: [e.part(n, range(k, k + 1)).share for k in range(1, t + 1)] for n in e.contributions},
        "gradient": {n: oriented(g) for n, g in e.gradient.items()},
        "whole": {n: oriented(g) for n, g in contributions(net, x, d, criterion).gradient.items()},
        "after": {n: oriented(w - step * e.gradient[n]) for n, w in net.named_parameters()},
        "exponents": [lyapunov_exponents(of_layer) for of_layer in steps],
        "singular": [[torch.linalg.svdvals(product) for product in of_layer] for of_layer in products],
        "radius": max(abs(torch.linalg.eigvals(by_layer[0][0].weights.W_hh[: h.shape[1], : h.shape[1]]))),
    }


BY_JAVASCRIPT = (Path(__file__).parent / "by_javascript.js").read_text(encoding="utf-8")

CASES = [(name, loss) for name in NETWORKS for loss in LOSSES]


@pytest.fixture(scope="module")
def answers(browser):
    """What JavaScript finds, all cases in one call."""
    page = browser.new_page()
    data = []
    for net, x, d, criterion in (case(*names) for names in CASES):
        data.append({"description": asdict(network_data(net, criterion)), "x": x.tolist(), "d": d.tolist()})
    modules = bundled("compute/dynamics.js", "compute/network.js")
    found = page.evaluate(
        f"(asked) => {{ {modules} {BY_JAVASCRIPT} return answer(asked); }}", [data, t, LAGS, RATE, CLIP]
    )
    page.close()
    return dict(zip(CASES, found, strict=True))


def leaves(value, path=""):
    """Every number by the path to it."""
    if isinstance(value, torch.Tensor):
        value = value.detach().tolist()
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {at: leaf for key, part in pairs for at, leaf in leaves(part, f"{path}/{key}").items()}
    return {path: value}


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_every_number_is_pythons(answers, name, loss):
    ours, theirs = leaves(answers[name, loss]), leaves(by_python(*case(name, loss)))
    if name == "elman relu":  # units that are off lose directions, in an order that rounding decides
        ours, theirs = ({at: v for at, v in side.items() if "exponents" not in at} for side in (ours, theirs))
    assert ours.keys() == theirs.keys()
    pairs = {at: (ours[at], value) for at, value in theirs.items()}
    assert {at: pair for at, pair in pairs.items() if not math.isclose(*pair, rel_tol=1e-9, abs_tol=1e-9)} == {}
