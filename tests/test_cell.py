import pytest
import torch
from torch import nn

from bptt import Cell
from support import assert_close, normal


class OwnLSTM(Cell):
    """torch's LSTM cell, with a learned initial state and a dict for a state."""

    def __init__(self, I, H, batch_first=False):
        super().__init__()
        self.cell = nn.LSTMCell(I, H, dtype=torch.float64)
        self.h_0 = nn.Parameter(torch.zeros(1, H, dtype=torch.float64))
        self.batch_first = batch_first

    def step(self, x_t, state):
        h, c = self.cell(x_t, (state["h"], state["c"]))
        return h, {"h": h, "c": c}

    def initial_state(self, batch):
        return {"h": self.h_0.expand(batch, -1), "c": torch.zeros(batch, self.h_0.shape[1], dtype=torch.float64)}


def twin(own):
    module = nn.LSTM(own.cell.input_size, own.cell.hidden_size, dtype=torch.float64)
    module.load_state_dict({f"{name}_l0": value for name, value in own.cell.state_dict().items()})
    return module


@pytest.mark.parametrize("batch_first", [False, True])
def test_unfolded_it_is_the_module(batch_first):
    own = OwnLSTM(3, 4, batch_first)
    module, x = twin(own), normal(6, 2, 3)
    wanted, (_, c_n) = module(x)
    y, state = own(x.transpose(0, 1) if batch_first else x)
    assert_close(y.transpose(0, 1) if batch_first else y, wanted, "y")
    assert_close(state["c"], c_n[0], "c_n")
    y.square().sum().backward()
    wanted.square().sum().backward()
    assert_close(own.cell.weight_hh.grad, module.weight_hh_l0.grad, "dW_hh")
    assert own.h_0.grad.norm() > 0


def test_from_a_state():
    own, x = OwnLSTM(3, 4), normal(6, 2, 3)
    whole, last = own(x)
    _, state = own(x[:4])
    later, state = own(x[4:], state)
    assert_close(later, whole[4:], "y")
    assert_close(state["h"], last["h"], "h")


class Wrong(Cell):
    def __init__(self, result):
        super().__init__()
        self.result = result

    def step(self, x_t, state):
        return self.result

    def initial_state(self, batch):
        return torch.zeros(batch, 3)


@pytest.mark.parametrize(
    ("result", "error", "words"),
    [
        (torch.zeros(2, 3), TypeError, r"Wrong.step must return \(y_t, state\)"),
        ((1.0, torch.zeros(2, 3)), TypeError, "y of Wrong.step must be a tensor, got float"),
        ((torch.zeros(2), torch.zeros(2, 4)), ValueError, r"from float32 \(2, 3\) to float32 \(2, 4\)"),
        ((torch.zeros(2), 0.5), TypeError, "state holds a float"),
    ],
)
def test_a_wrong_step(result, error, words):
    with pytest.raises(error, match=words):
        Wrong(result)(torch.zeros(5, 2, 3))


def test_bad_arguments():
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, got list"):
        OwnLSTM(2, 3)([[0.0]])
    for shape in ((0, 2, 3), (3,)):
        with pytest.raises(ValueError, match=r"\(T, B, ·\) with at least one step"):
            OwnLSTM(3, 3)(torch.zeros(shape))
    with pytest.raises(NotImplementedError, match="Cell must define initial_state"):
        Cell()(torch.zeros(5, 2, 3))


def test_a_step_that_takes_no_state():
    class Short(Cell):
        def step(self, x_t):
            return x_t, x_t

        def initial_state(self, batch):
            return torch.zeros(batch, 1)

    with pytest.raises(TypeError, match=r"Short.step takes \(x_t\), .*write it as step\(x_t, state\)"):
        Short()(torch.zeros(2, 1, 1))
