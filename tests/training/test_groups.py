import torch

from bptt.training.groups import Groups
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions
from bptt.training.updates import Whole, Windows

MODEL = build(ForecastOptions(hidden=2), 1)


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


def test_a_pass_goes_on_from_any_place():
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
