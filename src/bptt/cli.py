"""The command line. It imports torch only once a command runs, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import subcommand

from .commands.bench import BenchConfig, bench
from .commands.explain import ExplainConfig, explain
from .commands.explore import ExploreConfig, explore
from .commands.predict import PredictConfig, predict
from .training.config import TrainConfig
from .training.errors import TrainingDiverged, UserError

Command = (
    Annotated[TrainConfig, subcommand("train")]
    | Annotated[PredictConfig, subcommand("predict")]
    | Annotated[ExplainConfig, subcommand("explain")]
    | Annotated[ExploreConfig, subcommand("explore")]
    | Annotated[BenchConfig, subcommand("bench")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 training failed, 2 bad use, 130 and 143 stopped and saved."""
    command = tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]
        prog="bptt",
        description="Recurrent networks trained by backpropagation through time: exact, fast and visible.",
        args=arguments,
    )
    sys.exit(_run(command))


def _run(command: TrainConfig | PredictConfig | ExplainConfig | ExploreConfig | BenchConfig) -> int:
    name = "train"
    try:
        if isinstance(command, TrainConfig):
            from .commands.train import train

            return train(command)
        if isinstance(command, PredictConfig):
            name = "predict"
            return predict(command)
        if isinstance(command, ExplainConfig):
            name = "explain"
            return explain(command)
        if isinstance(command, ExploreConfig):
            name = "explore"
            return explore(command)
        name = "bench"
        return bench(command)
    except UserError as error:
        print(f"bptt {name}: {error}", file=sys.stderr)
        return 2
    except TrainingDiverged as error:
        print(f"bptt {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: end quietly
        return 0
    except OSError as error:
        print(f"bptt {name}: {error.filename or 'a file'} could not be written: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
