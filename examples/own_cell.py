"""A custom cell: a minimal gated unit that learns to repeat its input of three steps ago."""

import argparse

import torch
from torch import Tensor, nn

import bptt


class Minimal(bptt.Cell):
    """One gate, z, between the old state and the new (Zhou et al. 2016)."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.units = units
        self.gate = nn.Linear(inputs + units, units)
        self.new = nn.Linear(inputs + units, units)
        self.out = nn.Linear(units, inputs)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.sigmoid(self.gate(torch.cat([x_t, state], -1)))
        new = torch.tanh(self.new(torch.cat([x_t, z * state], -1)))
        state = (1 - z) * state + z * new
        return self.out(state), state

    def initial_state(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.units)


def main(updates: int = 150) -> None:
    """Train it, and print the error before and after."""
    torch.manual_seed(0)
    cell = Minimal(1, 24)
    optimizer = torch.optim.Adam(cell.parameters(), lr=1e-2)
    for update in range(updates):
        x = torch.randn(30, 16, 1)
        d = torch.cat([torch.zeros(3, 16, 1), x[:-3]])
        loss = nn.functional.mse_loss(cell(x)[0], d)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update in (0, updates - 1):
            print(f"update {update + 1:>4}: error {loss:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)  # a network this small gains nothing from a second
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=150)
    main(**vars(parser.parse_args()))
