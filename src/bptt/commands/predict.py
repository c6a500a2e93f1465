"""`bptt predict`: forecast or classify new data with a trained run."""

from __future__ import annotations

import sys
from functools import partial

from ..errors import UserError
from ..runs.interruption import ended_at_once
from .follow import follow
from .opening import opened
from .options import PredictOptions
from .streams import Exact, complain, warnings_printed
from .writing import check_new, write_texts


def predict(config: PredictOptions) -> int:
    """Predict all that can be predicted and write the CSV; returns the exit code.

    Raises:
        UserError: the run, the data or the file to write cannot be used.
    """
    check_new(config.out, "--out")
    if config.follow:
        _check_follow(config)
        run = opened(config.run, config.device, "bptt predict")
        with ended_at_once():
            return follow(run, config.time, sys.stdin.buffer, config.missing)
    if config.data is None:
        raise UserError("DATA is needed: a CSV or Parquet file, or --follow to read rows from standard input")
    run = opened(config.run, config.device, "bptt predict")
    with warnings_printed(partial(complain, "bptt predict")):
        frames = run.predict_frames(config.data, config.time, config.missing)
        texts = (frame.write_csv(include_header=number == 0) for number, frame in enumerate(frames))
        if config.out is not None:
            write_texts(config.out, texts)
            return 0
        for text in texts:
            Exact().write(text)
    return 0


def _check_follow(config: PredictOptions) -> None:
    if config.data is not None:
        raise UserError(f"--follow reads standard input, and DATA is {config.data} as well; leave one of them out")
    if config.out is not None:
        raise UserError(f"--follow answers on standard output; write > {config.out} instead of --out")
