import pytest
import torch
from torch import nn

from bptt.training.batches import Groups, Minibatches, balanced, class_scores, logits_of
from bptt.training.network import build
from bptt.training.nonfinite import first_non_finite
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions
from bptt.training.updates import Whole, Windows

MODEL = build(ForecastOptions(hidden=2), 1)

LENGTHS = (5, 1, 3, 7, 2, 4, 6)


def sequences():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 2, generator=generator) for length in LENGTHS]


CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0])


def made(**choices):
    config = ClassifyOptions(**{"hidden": 4, "batch": 3, "noise": 0.0, **choices})
    model = build(config, 2, 3)
    return Minibatches(model, sequences(), CLASSES, config, lambda: None), model, config


def logits_one_by_one(model, config):
    """Of each sequence alone, by the read-out's own words."""
    found = []
    for x in sequences():
        h = model.hidden(x[:, None])
        state = {"last": h[-1], "mean": h.mean(0), "both": (h[-1] + h.mean(0)) / 2}[config.readout or "last"]
        found.append(model.readout(state))
    return torch.cat(found)


@pytest.mark.parametrize("readout", ["last", "mean", "both"])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_the_gradient_is_that_of_each_sequence_alone(readout, cell):
    source, model, config = made(readout=readout, cell=cell, batch=7)
    update = next(source.epoch(1))
    found = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    loss = nn.functional.cross_entropy(logits_one_by_one(model, config), CLASSES)
    loss.backward()
    assert update.loss == pytest.approx(loss.item(), rel=1e-5)
    assert update.numbers == 7
    for (name, weight), gradient in zip(model.named_parameters(), found, strict=True):
        assert torch.allclose(weight.grad, gradient, atol=1e-6), name


@pytest.mark.parametrize("readout", ["last", "mean", "both"])
def test_class_scores_sequences_of_one_length_are_those_of_the_packed(readout):
    _, model, config = made(readout=readout)
    x = torch.stack([x[:3] for x in sequences() if len(x) >= 3])
    found = class_scores(model(x.transpose(0, 1))[0], config)
    assert torch.allclose(found, logits_of(model, list(x), config), atol=1e-6)


def test_logits_are_in_the_sequences_own_order():
    _, model, config = made()
    assert torch.allclose(logits_of(model, sequences(), config), logits_one_by_one(model, config), atol=1e-6)


def test_every_sequence_is_learned_from_once_an_epoch_in_an_order_of_its_own():
    source, _, _ = made()
    orders = [source.epoch(number)._order.tolist() for number in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(7))
    assert [update.numbers for update in source.epoch(1)] == [3, 3, 1]
    assert made(seed=1)[0].epoch(1)._order.tolist() != orders[0]


@pytest.mark.parametrize("choices", [{}, {"noise": 0.5}, {"layers": 2, "dropout": 0.5}])
def test_a_pass_goes_on_from_any_place(choices):
    source, model, _ = made(**choices)
    one_pass, updates, places = source.epoch(2), [], []
    while True:
        places.append(one_pass.state_dict())
        update = next(one_pass, None)
        if update is None:
            break
        updates.append(update)
    assert len(updates) == 3
    for number, place in enumerate(places):
        assert list(source.epoch(2, place)) == updates[number:]
    assert not model.training


def test_class_weights_weigh_the_loss():
    source, model, config = made(batch=7)
    weight = torch.tensor([1.0, 2.0, 3.0])
    weighed = Minibatches(model, sequences(), CLASSES, config, lambda: None, weight)
    wanted = nn.functional.cross_entropy(logits_one_by_one(model, config), CLASSES, weight)
    assert next(weighed.epoch(1)).loss == pytest.approx(wanted.item(), rel=1e-5)
    assert next(source.epoch(1)).loss != pytest.approx(wanted.item(), rel=1e-5)


def test_bfloat16_is_near():
    updates = [next(made(batch=7, precision=precision)[0].epoch(1)) for precision in ("float32", "bfloat16")]
    losses = [float(update.loss) for update in updates]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_what_an_update_was_computed_from_is_there_as_the_model_takes_it():
    source, model, _ = made(batch=7, cell="elman", activation="relu")
    updates = source.epoch(1)
    assert updates.walked is None
    next(updates)
    for name, value in {"weight_ih_l0": 0.0, "bias_ih_l0": 1.0, "weight_hh_l0": 1e20}.items():
        getattr(model.recurrent, name).data.fill_(value)  # 1, 4e20, past 3.4e38 in its third step
    assert first_non_finite(model, updates.walked.x) == "step 3, layer l0, activation Φ"


def test_balanced_classes_weigh_the_same_and_one_on_average():
    totals = torch.tensor([6.0, 0.5, 1.5, 0.0])
    weights = balanced(totals)
    assert (weights * totals)[:3].tolist() == pytest.approx([2, 2, 2])
    assert weights[3].isfinite()


class Counting:
    """Updates that note which series they are of, and by which number their noise is drawn."""

    def __init__(self, numbers, seen):
        self.numbers, self.seen = numbers, seen

    def epoch(self, number, place=None):
        self.seen.append((self.numbers, number))
        x, config = torch.ones(5, len(self.numbers), 1), ForecastOptions(reach="truncated", k1=2)
        return Windows(MODEL, lambda _: (x, x), config, lambda: None).epoch(number, place)


def test_every_series_is_in_one_group_of_an_epoch_and_each_group_has_noise_of_its_own():
    seen, orders = [], []
    groups = Groups(7, 3, 0, lambda numbers: Counting(numbers, seen), lambda: 0.5)
    assert groups.validation() == 0.5
    for epoch in (1, 2):
        seen.clear()
        updates = list(groups.epoch(epoch))
        assert [update.numbers for update in updates] == [6, 6, 3, 6, 6, 3, 2, 2, 1]
        assert [len(numbers) for numbers, _ in seen] == [3, 3, 1]
        assert sorted(number for numbers, _ in seen for number in numbers) == list(range(7))
        orders.append([tuple(numbers) for numbers, _ in seen])
        assert len({drawn for _, drawn in seen}) == 3
    assert orders[0] != orders[1]


def test_a_pass_over_groups_goes_on_from_any_place():
    def group(numbers):
        return Whole(MODEL, x[:, numbers], x[:, numbers], ForecastOptions(noise=0.1), lambda: None)

    x = torch.arange(20.0).view(4, 5, 1)
    groups = Groups(5, 2, 3, group, lambda: None)
    whole = list(groups.epoch(2))
    assert len(whole) == 3
    for stop in range(4):
        one_pass = groups.epoch(2)
        done = [next(one_pass) for _ in range(stop)]
        place = one_pass.state_dict()
        assert done + list(groups.epoch(2, place)) == whole, stop
