"""Models of every form that a reach takes: ours, torch's, a stack, the lesson's, a function, a user's cell."""

import torch
from torch import Tensor, nn

import bptt
from bptt.cell import Cell


class Decay(Cell):
    """A user's own cell: a leaky trace with a learned initial state, and a count of its steps."""

    def __init__(self, I: int, H: int):
        super().__init__()
        self.inward = nn.Linear(I, H)
        self.onward = nn.Linear(H, H)
        self.h_0 = nn.Parameter(0.1 * torch.ones(H))

    def step(self, x_t: Tensor, state: dict):
        h = torch.tanh(self.inward(x_t) + self.onward(state["h"]))
        return h, {"h": h, "n": state["n"] + 1}

    def initial_state(self, batch: int):
        return {"h": self.h_0.expand(batch, -1), "n": self.h_0.new_zeros(batch, dtype=torch.int64)}


class Stack(nn.Module):
    """Two of torch's modules, a read-out, and a nested state."""

    def __init__(self, I: int, H: int):
        super().__init__()
        self.lower, self.upper = nn.LSTM(I, H), nn.GRU(H, H)
        self.readout = nn.Linear(H, H)

    def forward(self, x: Tensor, state=None):
        below, above = (None, None) if state is None else state
        h, below = self.lower(x, below)
        h, above = self.upper(h, above)
        return self.readout(h), (below, above)


def function_of(module: nn.Module):
    """A plain function around a module: what it trains is seen by nobody from outside."""

    def walk(x: Tensor, state):
        y, state = module(x, state)
        return 2 * y, [state]

    def unwrapped(x: Tensor, state):
        return walk(x, None if state is None else state[0])

    return unwrapped


MAKERS = {
    "RNN": lambda I, H: bptt.RNN(I, H, nonlinearity="relu", leak=0.5),
    "GRU": lambda I, H: bptt.GRU(I, H),
    "LSTM": lambda I, H: bptt.LSTM(I, H, num_layers=2, proj_size=2),
    "SequenceModel": lambda I, H: bptt.SequenceModel(bptt.GRU(I, H, batch_first=True), 3),
    "Elman": lambda I, H: bptt.Elman(I, H, 2),
    "nn.GRU": lambda I, H: nn.GRU(I, H, num_layers=2, batch_first=True),
    "nn.LSTM": lambda I, H: nn.LSTM(I, H),
    "stack": Stack,
    "cell": Decay,
    "function": lambda I, H: nn.RNN(I, H),
}


def model_of(name: str, I: int = 3, H: int = 4, dtype: torch.dtype = torch.float64):
    """A model, and the module whose parameters it trains."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = MAKERS[name](I, H).to(dtype)
    return (function_of(module) if name == "function" else module), module


def laid_out(model, x: Tensor) -> Tensor:
    """Time-major x (T, B, ·) as the model takes it."""
    return x.transpose(0, 1) if getattr(model, "batch_first", False) else x
