"""Train on a file larger than memory, read a few windows at a time."""

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np
import torch

import bptt

PIECE = 1_000_000  # rows written at a time


def write(path: Path, rows: int) -> None:
    """A noisy wave as .npy, piece by piece."""
    draw = np.random.default_rng(0)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows,)})
        for start in range(0, rows, PIECE):
            t = np.arange(start, min(start + PIECE, rows))
            wave = np.sin(t / 9) + 0.1 * draw.standard_normal(len(t), dtype=np.float32)
            file.write(wave.astype("<f4").tobytes())


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main(rows: int = 40_000_000) -> None:
    """Print the error along the file (0.01 is the noise's own), and the memory it took beside the file's size."""
    torch.manual_seed(0)
    model = bptt.SequenceModel(bptt.GRU(1, 16), output_size=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.npy"
        write(path, rows)
        before, size = peak(), path.stat().st_size / 1e6
        chunks = bptt.stream(path, batch=256, window=100)
        tenth = max(1, chunks.steps // 1000) * 100
        for window in bptt.truncated(model, chunks, None, torch.nn.MSELoss(), k1=100):
            optimizer.step()
            optimizer.zero_grad()
            if window.start % tenth == 0:
                print(f"steps {window.start}-{window.stop} of 256 stretches: error {window.loss:.4f}", flush=True)
        print(f"{size:.1f} MB read, {peak() - before:.0f} MB of memory more than before")


if __name__ == "__main__":
    torch.set_num_threads(1)  # a network this small gains nothing from a second
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000_000)
    main(**vars(parser.parse_args()))
