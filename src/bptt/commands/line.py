"""The command line read, and its command run. Torch is imported once a command runs: --help answers at once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from ..errors import TrainingDiverged, UserError
from ..training.config import TrainConfig, configured, task_of
from .bench import BenchConfig, bench
from .check import CheckConfig, check
from .diagnose import DiagnoseConfig, diagnose
from .explain import ExplainConfig, explain
from .explore import ExploreConfig, explore
from .export import ExportConfig, export
from .predict import PredictConfig, predict
from .sample import SampleConfig, sample
from .streams import checked, complain


def _train(config: TrainConfig) -> int:
    from .train import train

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


def answered(arguments: Sequence[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    try:
        _check_command(checked(list(arguments)))
    except UserError as error:
        complain("bptt", error)
        return 2
    return _run(_parsed(arguments, TrainConfig()), arguments)


def _check_command(arguments: list[str]) -> None:
    known = [name for name, _ in COMMANDS.values()]
    if arguments and not arguments[0].startswith("-") and arguments[0] not in known:
        near = difflib.get_close_matches(arguments[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(known)}"
        raise UserError(f"{arguments[0]!r} is no command; {hint}")


def _parsed(arguments: Sequence[str], train: TrainConfig) -> Any:
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


def _completed(config: TrainConfig, arguments: Sequence[str]) -> TrainConfig:
    """The options given, beside the defaults of their task or beside what a run's config.toml says.

    The first reading told which task or file that is; a second one has its choices for defaults.
    """
    from_file = config.data is not None and config.data.suffix.lower() == ".toml"
    if config.data is not None and from_file:
        from ..training.config_file import read_choices

        chosen = read_choices(config.data)
    else:
        chosen = configured(task_of(config))
    repeated = {name: () for name, value in vars(config).items() if isinstance(value, tuple) and value}
    whole = _parsed(arguments, replace(chosen, **repeated))  # options given several times replace the file's
    return replace(whole, data=chosen.data) if from_file else whole


def _run(command: Any, arguments: Sequence[str]) -> int:
    name, run = COMMANDS[type(command)]
    try:
        return run(_completed(command, arguments) if isinstance(command, TrainConfig) else command)
    except UserError as error:
        complain(f"bptt {name}", error)
        return 2
    except TrainingDiverged as error:
        complain(f"bptt {name}", error)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or error  # what native code raises has no strerror
        complain(f"bptt {name}", f"{error.filename or 'a file'} could not be read or written: {why}")
        return 1
    except KeyboardInterrupt:
        return 130
