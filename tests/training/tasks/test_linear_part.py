import numpy as np
import pytest
import torch

from bptt.training.tasks.linear_part import linear_paths, share_of
from bptt.training.tasks.ridge import Inputs, Products

LAYOUT = Inputs(2, [0, 1, 2, 7], False, 4, 3)


def test_paths_read_standardised_inputs_and_leave_a_rest_of_unit_size():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, LAYOUT.size))
    d = x[:, :1] + 0.1 * rng.normal(size=(400, 1))
    products = Products(LAYOUT.size, 1)
    products.add(x, d, 0, len(x))
    path, final = linear_paths(products, products, LAYOUT, [(0, 1)], seasons=[7])
    given, targets = torch.tensor(x).float(), torch.tensor(d).float()
    read = path.read(given)
    assert read.shape[1] == 3 * 2 + 1 + 1 + 4  # recent rows, since a season ago, the linear part, the calendar
    assert torch.allclose(read.mean(0), torch.zeros(read.shape[1]), atol=1e-4)
    assert torch.allclose(read.std(0), torch.ones(read.shape[1]), atol=2e-2)
    assert path.rest(given, targets).std().item() == pytest.approx(1, abs=1e-2)
    assert torch.allclose(path(given), final(given))


def test_a_network_that_helps_surely_is_taken_and_no_other():
    rng = np.random.default_rng(0)
    left, noise = rng.normal(size=(2, 400))
    assert share_of(left, left, 1) == pytest.approx(1)
    assert share_of(left, left, 1, most=40) > 0 == share_of(left, left, 3, most=40)
    assert share_of(2 * left, left, 1) == pytest.approx(0.5)
    assert share_of(left + noise, left, 1) == pytest.approx(0.5, abs=0.1)
    assert share_of(noise, left, 1) == share_of(-left, left, 1) == share_of(0 * left, left, 1) == 0
    assert share_of(left[:19], left[:19], 1) == 0  # too few to be sure
    assert share_of(left, left, 21) == 0  # as few that are independent
    gappy = left.copy()
    gappy[::3] = np.nan
    assert share_of(left, gappy, 1) == pytest.approx(1)


def test_series_that_move_together_count_as_one():
    rng = np.random.default_rng(1)
    left = rng.normal(size=90)
    y = left + 3 * rng.normal(size=90)
    once = share_of(y, left, 3)
    assert once == share_of(y, left, 3, at=np.arange(90)) == 0  # one series is what it was, to the last digit
    together = np.tile(y, 30), np.tile(left, 30)
    assert share_of(*together, 3) > 0
    assert share_of(*together, 3, at=np.tile(np.arange(90), 30)) == 0
    assert share_of(*together, 3, at=np.arange(2700)) == share_of(*together, 3)
    short = np.tile(left[:57], 30)
    assert share_of(short, short, 3) > 0
    assert share_of(short, short, 3, at=np.tile(np.arange(57), 30)) == 0  # 19 blocks are too few to be sure
