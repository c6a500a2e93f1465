"""The command line. It imports torch only once a command runs, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
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
from .commands.sample import SampleConfig, sample
from .training.config import TrainConfig, configured, task_of
from .training.errors import TrainingDiverged, UserError


def _train(config: TrainConfig) -> int:
    from .commands.train import train

    return train(config)


COMMANDS: dict[type, tuple[str, Callable[[Any], int]]] = {
    TrainConfig: ("train", _train),
    PredictConfig: ("predict", predict),
    SampleConfig: ("sample", sample),
    ExportConfig: ("export", export),
    DiagnoseConfig: ("diagnose", diagnose),
    ExplainConfig: ("explain", explain),
    ExploreConfig: ("explore", explore),
    CheckConfig: ("check", check),
    BenchConfig: ("bench", bench),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 bad use, 130 and 143 stopped and saved."""
    try:
        try:
            code = _run(_parsed(arguments, TrainConfig()), arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: end quietly
        code = 0
    sys.exit(code)


def _parsed(arguments: Sequence[str] | None, train: TrainConfig) -> Any:
    """The command line read, `bptt train` with these defaults."""
    first, *others = (
        Annotated[config, subcommand(name, default=train) if config is TrainConfig else subcommand(name)]
        for config, (name, _) in COMMANDS.items()
    )
    commands: Any = reduce(or_, others, first)
    return tyro.cli(
        commands,
        prog="bptt",
        description="Recurrent networks trained by backpropagation through time: exact, fast and visible.",
        args=arguments,
    )


def _completed(config: TrainConfig, arguments: Sequence[str] | None) -> TrainConfig:
    """The options given, beside the defaults of their task or beside what a run's config.toml says.

    The first reading told which task or file that is; a second one has its choices for defaults.
    """
    from_file = config.data is not None and config.data.suffix.lower() == ".toml"
    if config.data is not None and from_file:
        from .training.config_file import read_choices

        chosen = read_choices(config.data)
    else:
        chosen = configured(task_of(config))
    repeated = {name: () for name, value in vars(config).items() if isinstance(value, tuple) and value}
    whole = _parsed(arguments, replace(chosen, **repeated))  # options that add up begin anew where they are given
    return replace(whole, data=chosen.data) if from_file else whole


def _run(command: Any, arguments: Sequence[str] | None) -> int:
    name, run = COMMANDS[type(command)]
    try:
        return run(_completed(command, arguments) if isinstance(command, TrainConfig) else command)
    except UserError as error:
        print(f"bptt {name}: {error}", file=sys.stderr)
        return 2
    except TrainingDiverged as error:
        print(f"bptt {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or error  # what native code raises has no strerror
        print(f"bptt {name}: {error.filename or 'a file'} could not be written: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
