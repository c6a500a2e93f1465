import pytest
import torch

from bptt import speed


@pytest.mark.parametrize("inference", [False, True])
def test_a_speed_is_of_both_modules_and_leaves_the_threads_alone(inference):
    threads = torch.get_num_threads()
    found = speed.speed("GRU", (1, 2, 3, 4), inference=inference, blocks=2, threads=1)
    assert found.torch_ms >= found.torch_least > 0
    assert found.ours_ms >= found.ours_least > 0
    assert found.ratio == found.torch_ms / found.ours_ms
    products = 4 + 3 if inference else 3 * 4 + 2 * 3
    assert found.gflops == pytest.approx(2 * 1 * 2 * 3 * 4 * products / found.ours_ms / 1e6)
    assert 0 < found.share < 1
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("inference", "columns"), [(True, 2 * (4 + 3 + 4 + 8)), (False, 2 * (12 + 6 + 12 + 24))])
def test_a_rate_counts_all_layers_and_directions(inference, columns):
    found = speed.speed(
        "GRU", (1, 2, 3, 4), inference=inference, blocks=1, threads=1, layers=2, bidirectional=True
    )
    assert found.gflops == pytest.approx(2 * 1 * 2 * 3 * 4 * columns / found.ours_ms / 1e6)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_errors_are_float32s_and_no_more_than_twice_torchs(kind):
    ours, theirs = speed.errors(kind, (20, 4, 8, 32))
    assert 1e-9 < ours < 1e-6
    assert ours < 2 * theirs
