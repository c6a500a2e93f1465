"""What is printed of a model's contributions: a line for each module, then the parameters of the largest."""

import pytest
import torch
from torch import nn

import bptt


def contributions(modules, steps=5, scale=1.0):
    """Of a loss of the last step of RNNs in series, and of one that is called for nothing and one that is not."""
    torch.manual_seed(0)
    rnns = nn.ModuleList(nn.RNN(3, 3) for _ in range(modules))
    unused, uncalled = nn.GRU(3, 3), nn.GRU(3, 3)
    with bptt.record(nn.ModuleDict({"rnns": rnns, "unused": unused, "uncalled": uncalled})) as walks:
        y = torch.randn(steps, 2, 3)
        unused(y)
        for rnn in rnns:
            y, _ = rnn(y)
        loss = scale * y[-1].square().sum()
    return bptt.contributions(walks, loss)


def test_a_line_for_each_module_comes_first():
    c = contributions(2)
    lines = str(c).splitlines()
    assert lines[0].startswith(f"loss {c.loss.item():.6g}; its gradient before it is summed over time")
    assert lines[4].split() == ["module", "calls", "steps", "norm", "steps", "1", "to", "T", "90%", "since"]
    for line, name in zip(lines[5:7], ("rnns.0", "rnns.1"), strict=True):
        norms = torch.stack([c[name].by_step.norms(weight) for weight in c[name].by_step]).norm(dim=0)
        total = torch.cat([part.flatten() for part in c[name].gradient.values()]).norm()
        since = max(k for k in range(1, 6) if norms[k - 1 :].sum() >= 0.9 * norms.sum())
        shown, calls, steps, norm, profile, found = line.split()
        assert (shown, calls, steps, norm, found) == (name, "1", "5", f"{total.item():.4g}", str(since))
        assert profile.index("█") == norms.argmax()
        assert len(profile) == 5
    assert lines[7] == "unused: no contributions, the loss does not depend on its calls"
    assert lines[8] == "uncalled: no contributions, torch.nn's forward was not called"
    assert lines[10] == "rnns.0: share of the gradient by steps; below 0 they work against it"
    assert lines[11].split() == ["steps", "norm", "1", "2", "3", "4", "5"]


def test_of_many_modules_the_largest_are_listed():
    c = contributions(5, steps=60)
    details = [line for line in str(c).splitlines() if "share of the gradient" in line]
    assert len(details) == 3
    assert "The others have smaller gradients; print(c['rnns." in str(c)
    assert max(map(len, str(c).splitlines())) <= 115
    assert (c._repr_html_().count("<details>"), c._repr_html_().count("<table")) == (5, 6)


@pytest.mark.parametrize(("scale", "profile"), [(0.0, "·····"), (float("nan"), "!!!!!")])
def test_gradients_that_are_zero_or_nan(scale, profile):
    line = next(line for line in str(contributions(1, scale=scale)).splitlines() if line.startswith("rnns.0"))
    assert line.split()[4:] == [profile, "-"]


def test_loops_of_calls_are_named():
    rnn = nn.GRU(2, 3)
    with bptt.record(rnn) as walks:
        loss = rnn(torch.ones(4, 1, 2))[0].sum() + rnn(torch.zeros(4, 1, 2))[0].sum()
    c = bptt.contributions(walks, loss)
    assert "the model: share of the gradient by steps; below 0 they work against it, 2 loops of calls" in str(c)
    assert c[""].calls == 2
