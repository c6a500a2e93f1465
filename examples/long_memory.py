"""The adding problem: the sum of two marked numbers far apart. An Elman network beside an LSTM, probed."""

import argparse
import math

import torch

import bptt

LAYER = "bptt/recurrent/l0"


def adding(steps: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers with two marks, x (T, B, 2), and the sum of the marked ones, d (B, 1)."""
    x = torch.rand(steps, batch, 2)
    x[..., 1] = 0
    rows, half = torch.arange(batch), steps // 2
    first, second = torch.randint(half, (batch,)), torch.randint(half, steps, (batch,))
    x[first, rows, 1] = x[second, rows, 1] = 1
    return x, (x[first, rows, 0] + x[second, rows, 0])[:, None]


def last_error(y: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """The mean square error of the last step alone."""
    return (y[-1] - d).square().mean()


def main(steps: int = 50, updates: int = 1500, every: int = 250) -> None:
    """Train both, print their errors (always answering 1 has 0.167) and how far the gradient reaches."""
    for recurrent in (bptt.RNN(2, 32), bptt.LSTM(2, 32)):
        torch.manual_seed(0)
        model = bptt.SequenceModel(recurrent, output_size=1)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        probe = bptt.Probe(model, every=every)
        print(f"{type(recurrent).__name__}\nupdate   error   gradient left   vanished at lag")
        for update in range(updates):
            optimizer.zero_grad()
            x, d = adding(steps, 64)
            error = last_error(model(x)[0], d)
            error.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if values := probe.step():
                left, lag = values[f"{LAYER}/gradient_left"], values.get(f"{LAYER}/vanished_at", math.inf)
                print(f"{update:6}{error.item():8.4f}{left:16.1e}{lag:18.0f}")
        probe.close()
        x, d = adding(steps, 256)
        with torch.no_grad():
            error = last_error(model(x)[0], d)
        by_lag = bptt.contributions(model, x, d, last_error, t=steps, pairs=True).by_lag.states["l0"]
        left = by_lag[steps // 2] / by_lag[0]
        print(
            f"{type(recurrent).__name__:<4} error {error:.4f}, gradient left {steps // 2} steps back: {left:.2%}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)  # networks this small gain nothing from a second
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--updates", type=int, default=1500)
    main(**vars(parser.parse_args()))
