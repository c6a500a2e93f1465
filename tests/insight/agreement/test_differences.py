import math

import pytest
import torch

from bptt.insight.agreement.differences import derivative, entry_name, probes


@pytest.mark.parametrize(
    ("f", "wanted"),
    [
        (lambda h: math.exp(h), 1.0),
        (lambda h: math.sin(1000 * h), 1000.0),  # curved within the largest steps
        (lambda h: 1e4 + math.tan(h), 1.0),  # rounded
        (lambda h: abs(h - 1e-4) + 3 * h, 2.0),  # a kink within the larger steps
        (lambda h: 7.0, 0.0),
    ],
)
def test_a_derivative_is_within_a_few_of_its_uncertainties(f, wanted):
    found = derivative(f)
    assert abs(found.value - wanted) <= 3 * found.uncertainty + 1e-12
    assert found.uncertainty < 1e-6 * max(1, abs(wanted))


def test_a_jump_is_not_trusted():
    assert derivative(lambda h: math.copysign(1.0, h)).uncertainty > 1


def test_small_tensors_are_looked_at_entry_by_entry():
    t = torch.zeros(2, 3, dtype=torch.float64)
    found = probes(t, 6, torch.Generator())
    assert [p.place for p in found] == ["(0, 0)", "(0, 1)", "(0, 2)", "(1, 0)", "(1, 1)", "(1, 2)"]
    assert torch.equal(sum(p.direction for p in found), torch.ones_like(t))


def test_large_ones_by_some_entries_and_directions_that_touch_all():
    t = torch.zeros(20, 30, dtype=torch.float64)
    first, again = (probes(t, 8, torch.Generator().manual_seed(3)) for _ in range(2))
    assert [p.place for p in first] == [p.place for p in again]
    assert len({p.place for p in first}) == 8
    for probe in first:
        assert probe.direction.norm().item() == pytest.approx(1)
    assert [int(p.direction.count_nonzero()) for p in first] == [600, 600, 1, 1, 1, 1, 1, 1]


def test_entries_are_named_by_index():
    assert entry_name(torch.zeros(4, 5), 7) == "(1, 2)"
    assert entry_name(torch.zeros(()), 0) == ""
