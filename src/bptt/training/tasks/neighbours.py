"""The baseline of a classification: the class of the nearest training sequence, by its raw values."""

from __future__ import annotations

import numpy as np

LONGEST = 512  # steps that are compared; longer sequences are sampled at so many
BAND = 0.1  # of the length: how far dynamic time warping shifts a step at most
MOST = 1_000_000_000  # square differences of all pairs, above which nothing is warped
TOGETHER = 1_000_000  # numbers of a diagonal computed together


def euclidean_neighbours(known: list[np.ndarray], asked: list[np.ndarray]) -> np.ndarray:
    """The place of the sequence in `known` that is nearest to each in `asked` step by step, (N).

    Args:
        known, asked: (T, C) each; those of other lengths are stretched to the longest of `known` by interpolation.
    """
    steps = min(LONGEST, max(map(len, known)))
    a, b = (np.stack([_stretched(x, steps).ravel() for x in part]) for part in (known, asked))
    squares = np.square(a).sum(1)
    return np.array([(squares - 2 * (a @ x)).argmin() for x in b])


def warped_neighbours(known: list[np.ndarray], asked: list[np.ndarray]) -> np.ndarray | None:
    """The same by dynamic time warping within a band; None where that would take long.

    Source: Sakoe & Chiba (1978), "Dynamic programming algorithm optimization for spoken word recognition".
    """
    steps = min(LONGEST, max(map(len, known)))
    band = max(1, round(BAND * steps))
    if len(known) * len(asked) * steps * (2 * band + 1) * known[0].shape[1] > MOST:
        return None
    a, b = (np.stack([_stretched(x, steps) for x in part]) for part in (known, asked))
    some = max(1, TOGETHER // (len(a) * steps))
    parts = [b[start : start + some] for start in range(0, len(b), some)]
    return np.concatenate([_warped(a, part, band).argmin(0) for part in parts])


def _warped(a: np.ndarray, b: np.ndarray, band: int) -> np.ndarray:
    """The warped distance between each of a (N, T, C) and each of b (M, T, C), (N, M).

    D[i, j] = |a_i - b_j|² + min(D[i-1, j], D[i, j-1], D[i-1, j-1]), a diagonal i + j = s after the other.
    """
    T = a.shape[1]
    last = np.full((2, T + 1, len(a), len(b)), np.inf)  # the two diagonals before, by i + 1
    last[1, 0] = 0.0  # D[-1, -1]
    for s in range(2 * T - 1):
        i = np.arange(max(0, s - T + 1, -(-(s - band) // 2)), min(T - 1, s, (s + band) // 2) + 1)
        cost = np.square(a[:, None, i] - b[None, :, s - i]).sum(-1).transpose(2, 0, 1)
        now = np.full_like(last[0], np.inf)
        before, newest = (last[1], last[0]) if s == 0 else (last[0], last[1])
        now[i + 1] = cost + np.minimum(np.minimum(newest[i], newest[i + 1]), before[i])
        last = np.stack([newest, now])
    return last[1, T]


def _stretched(x: np.ndarray, steps: int) -> np.ndarray:
    """A sequence (T, C) at so many points in time, evenly spaced over it, linear between its steps."""
    if len(x) == steps:
        return x
    at = np.linspace(0, len(x) - 1, steps)
    return np.stack([np.interp(at, np.arange(len(x)), column) for column in x.T], 1)
