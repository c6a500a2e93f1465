"""Train from a file that is larger than the memory it may use: a few windows of it are read at a time."""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

import bptt


def write(path: Path, rows: int) -> None:
    """A noisy wave as .npy, written piece by piece."""
    series = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows,))
    draw = np.random.default_rng(0)
    for start in range(0, rows, 100_000):
        t = np.arange(start, min(start + 100_000, rows))
        series[t] = np.sin(t / 9) + 0.1 * draw.standard_normal(len(t))
    series.flush()


def main(rows: int = 1_000_000) -> None:
    """Print the error of each tenth of the file."""
    torch.manual_seed(0)
    model = bptt.SequenceModel(bptt.GRU(1, 16), output_size=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.npy"
        write(path, rows)
        print(f"{path.stat().st_size / 1e6:.1f} MB on disk")
        chunks = bptt.stream(path, batch=32, window=100)
        tenth = max(1, rows // 32 // 100 // 10)
        for i, window in enumerate(bptt.truncated(model, chunks, None, torch.nn.MSELoss(), k1=100)):
            optimizer.step()
            optimizer.zero_grad()
            if i % tenth == 0:
                print(f"steps {window.start}-{window.stop}: error {window.loss.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    main(**vars(parser.parse_args()))
