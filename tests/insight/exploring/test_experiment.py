import copy
import re

import pytest
import torch

import bptt
from bptt.insight.exploring.experiment import Experiment, ExperimentStart, change, descend
from support import assert_close, normal


def lesson(outputs=1, criterion=bptt.squared_error, steps=4, longest=8):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = bptt.Elman(2, 3, outputs, dtype=torch.float64)
    return ExperimentStart(
        Experiment(net, normal(longest, 2), normal(longest, outputs, seed=1), criterion), steps, "end"
    )


def gru():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = bptt.SequenceModel(bptt.GRU(2, 3, dtype=torch.float64), 1)
    return ExperimentStart(Experiment(model, normal(8, 2), normal(8, 1, seed=1), bptt.squared_error), 4, "start")


def test_without_changes_it_is_the_start():
    start = lesson()
    net, x, d, loss = change(start, {})
    assert torch.equal(x, start.longest.x[:4])
    assert torch.equal(d, start.longest.d[:4])
    assert loss is bptt.squared_error
    assert net is not start.longest.model


@pytest.mark.parametrize("start", [lesson(), gru()])
def test_what_is_shown_at_first_are_the_steps_without_changes(start):
    shown, wanted = start.shown(), change(start, {})
    assert len(shown.x) == start.steps
    assert torch.equal(shown.x, wanted.x)
    assert torch.equal(shown.d, wanted.d)


def test_every_change_is_made_and_the_start_left_alone():
    start = lesson()
    before = copy.deepcopy(start.longest.model.state_dict())
    weights = {"W_y": [[1.0], [2.0], [3]]}
    net, x, _, loss = change(
        start, {"weights": weights, "activation": "relu", "leak": 0.5, "x": [[1, 2]], "loss": "absolute_error"}
    )
    assert net.W_y.tolist() == weights["W_y"]
    assert (net.cell.activation.name, net.cell.leak) == ("relu", 0.5)
    assert x[0].tolist() == [1, 2]
    assert torch.equal(x[1:], start.longest.x[1:4])
    assert loss(torch.tensor([1.0]), torch.tensor([3.0])) == 2
    assert all(torch.equal(w, before[name]) for name, w in start.longest.model.state_dict().items())
    assert start.longest.model.cell.activation.name == "tanh"


def test_a_longer_sequence_grows_where_the_start_says():
    assert torch.equal(change(lesson(), {"steps": 6}).x, lesson().longest.x[:6])
    assert torch.equal(change(gru(), {"steps": 6}).x, gru().longest.x[2:])
    entered = [[float(i), 0.0] for i in range(4)]
    x = change(gru(), {"x": entered, "steps": 5}).x
    assert x[1:].tolist() == entered
    assert torch.equal(x[0], gru().longest.x[3])
    assert change(gru(), {"x": entered, "steps": 2}).x.tolist() == entered[2:]


def test_targets_take_the_form_of_the_loss():
    net, x, d, loss = change(lesson(outputs=3), {"loss": "cross_entropy"})
    assert loss is bptt.cross_entropy
    assert net.softmax
    assert torch.equal(d, lesson(outputs=3).longest.d[:4].argmax(-1))
    assert change(lesson(outputs=3), {"d": [2, 0, 1, 1]}).d.tolist() == [
        [0, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 0],
    ]
    assert bptt.explain(net, x, d, loss, t=2).error > 0


def test_what_can_be_chosen():
    assert lesson().losses() == ["squared_error", "absolute_error"]
    assert lesson(outputs=2).losses()[-1] == "cross_entropy"
    assert "gelu" in lesson().activations()
    assert gru().activations() == []
    assert lesson().most_steps() == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "an object"),
        ({"rate": 1}, "there is no change 'rate'"),
        ({"weights": {"W": 1}}, "there is no weight 'W'; the weights are W_x, W_s, W_y"),
        ({"weights": [1]}, "an object of nested lists"),
        ({"weights": {"W_y": [[1], [2]]}}, "W_y must be nested lists of shape (3, 1)"),
        ({"weights": {"W_y": [[1], [2], ["3"]]}}, "every number in W_y must be a number"),
        ({"weights": {"W_y": [[1], [2], [1e7]]}}, "from -1e+06 to 1e+06"),
        ({"weights": {"W_y": [[1], [2], [True]]}}, "got True"),
        ({"activation": "sine"}, "activation must be one of 'tanh'"),
        ({"activation": ["tanh"]}, "activation must be one of 'tanh'"),
        ({"leak": 0}, "leak must be a number above 0 and at most 1"),
        ({"leak": "1"}, "got '1'"),
        ({"loss": "hinge"}, "loss must be one of 'squared_error', 'absolute_error'"),
        ({"loss": "cross_entropy"}, "loss must be one of"),
        ({"loss": {}}, "loss must be one of"),
        ({"steps": 9}, "steps must be a whole number from 1 to 8, got 9"),
        ({"steps": 2.5}, "got 2.5"),
        ({"x": []}, "x must be a list of 1 to 8 rows"),
        ({"x": [[1]]}, "x must be nested lists of shape (1, 2)"),
        ({"x": "a" * 100}, "x must be a list"),
        ({"d": [1, 0]}, "class numbers in d must lie between 0 and 0"),
        ({"d": [0] * 9}, "d must be a list of 1 to 8 rows"),
        ({"leak": "a" * 100}, "..."),
    ],
)
def test_what_cannot_be_changed_is_said(changes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        change(lesson(), changes)


def test_a_gated_cell_has_no_activation_to_choose():
    with pytest.raises(ValueError, match="this is a GRU"):
        change(gru(), {"leak": 0.5})


@pytest.mark.parametrize("start", [lesson(), lesson(outputs=3, criterion=bptt.cross_entropy), gru()])
@pytest.mark.parametrize("t", [3, None])
def test_a_step_goes_down_the_gradient(start, t):
    experiment = change(start, {})
    net, x, d, loss = experiment
    after = descend(experiment, 0.1, t).model
    steps = [t] if t else range(1, 5)
    for name, weight in net.named_parameters():
        gradient = sum(bptt.explain(net, x, d, loss, t=k).gradient[name] for k in steps)
        assert_close(dict(after.named_parameters())[name], weight - 0.1 * gradient, name)


@pytest.mark.parametrize(
    ("rate", "t", "words"),
    [
        (0, None, "rate must be a number above 0"),
        (None, None, "got None"),
        (0.1, 5, "t must be a whole number from 1 to 4"),
        (0.1, "1", "got '1'"),
    ],
)
def test_a_step_that_cannot_be_taken_is_said(rate, t, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        descend(change(lesson(), {}), rate, t)


def test_no_step_where_the_gradient_is_not_finite():
    changes = {"activation": "relu", "weights": {"W_s": [[1e6] * 3] * 3}, "x": [[9, 9]] * 8, "steps": 8}
    start = lesson(steps=8, longest=8)
    net, x, d, loss = change(start, changes)
    with torch.no_grad():
        net.W_s.mul_(1e100)
    with pytest.raises(ValueError, match="is not finite"):
        descend(Experiment(net, x, d, loss), 0.1)
