"""The command line. It imports torch only once a command runs, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from .commands.bench import BenchConfig, bench
from .commands.check import CheckConfig, check
from .commands.diagnose import DiagnoseConfig, diagnose
from .commands.explain import ExplainConfig, explain
from .commands.explore import ExploreConfig, explore
from .commands.export import ExportConfig, export
from .commands.predict import PredictConfig, predict
from .training.config import TrainConfig
from .training.errors import TrainingDiverged, UserError

Command = (
    Annotated[TrainConfig, subcommand("train")]
    | Annotated[PredictConfig, subcommand("predict")]
    | Annotated[ExportConfig, subcommand("export")]
    | Annotated[DiagnoseConfig, subcommand("diagnose")]
    | Annotated[ExplainConfig, subcommand("explain")]
    | Annotated[ExploreConfig, subcommand("explore")]
    | Annotated[CheckConfig, subcommand("check")]
    | Annotated[BenchConfig, subcommand("bench")]
)


def _train(config: TrainConfig) -> int:
    from .commands.train import train

    return train(config)


COMMANDS: dict[type, tuple[str, Callable[[Any], int]]] = {
    TrainConfig: ("train", _train),
    PredictConfig: ("predict", predict),
    ExportConfig: ("export", export),
    DiagnoseConfig: ("diagnose", diagnose),
    ExplainConfig: ("explain", explain),
    ExploreConfig: ("explore", explore),
    CheckConfig: ("check", check),
    BenchConfig: ("bench", bench),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 training failed, 2 bad use, 130 and 143 stopped and saved."""
    command = tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]
        prog="bptt",
        description="Recurrent networks trained by backpropagation through time: exact, fast and visible.",
        args=arguments,
    )
    sys.exit(_run(command))


def _run(command: Any) -> int:
    name, run = COMMANDS[type(command)]
    try:
        return run(command)
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
