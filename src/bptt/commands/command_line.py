"""Reads the command line and runs its command. Torch is imported once a command runs: --help answers at once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import tyro

from .. import __version__
from ..errors import TrainingDiverged, UserError
from ..training.options.base import TrainOptions
from ..training.options.choosing import (
    GROUPS,
    OPTIONS,
    check_own,
    errors_for_command_line,
    named_in,
    options_of,
    task_of,
)
from .help import Entry, help_page, page, unwrapped
from .options import (
    BenchOptions,
    CheckOptions,
    DiagnoseOptions,
    ExplainOptions,
    ExploreOptions,
    ExportOptions,
    PredictOptions,
    SampleOptions,
)
from .streams import checked, complain

COMMANDS: dict[str, type] = {  # each is a function in the module of its name
    "train": TrainOptions,
    "predict": PredictOptions,
    "sample": SampleOptions,
    "export": ExportOptions,
    "diagnose": DiagnoseOptions,
    "explain": ExplainOptions,
    "explore": ExploreOptions,
    "check": CheckOptions,
    "bench": BenchOptions,
}
HELP = {"-h", "--help"}
TRAIN_HINT = "pass a smaller --batch, --k2 or --hidden, or --device cpu; --resume continues from the last snapshot"


def answered(arguments: Sequence[str]) -> int:
    """Run what a command line asks for; returns the exit code."""
    name, *others = arguments or ["--help"]
    try:
        checked(list(arguments))
        if name in HELP:
            print(_all_commands())
            return 0 if arguments else 2
        if name == "--version":
            print(f"bptt {__version__}")
            return 0
        _check_command(name)
    except UserError as error:
        complain("bptt", error)
        return 2
    try:
        with errors_for_command_line():
            return _run(name, others)
    except UserError as error:
        complain(f"bptt {name}", error)
        return 2
    except TrainingDiverged as error:
        complain(f"bptt {name}", error)
        return 1
    except (RuntimeError, MemoryError) as error:
        from ..reach.out_of_memory import out_of_memory

        if (said := out_of_memory(error)) is None:
            raise
        hint = TRAIN_HINT if name == "train" else "on a GPU, pass --device cpu"
        complain(f"bptt {name}", f"{said}; {hint}")
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or error  # what native code raises has no strerror
        complain(f"bptt {name}", f"{error.filename or 'a file'} could not be read or written: {why}")
        return 1
    except KeyboardInterrupt:
        return 130


def _all_commands() -> str:
    """The help of `bptt` itself."""
    about = "Recurrent networks trained by backpropagation through time: exact, fast and visible."
    commands = [Entry(name, (options.__doc__ or "").split("\n\n")[0]) for name, options in COMMANDS.items()]
    foot = "`bptt COMMAND --help` shows the options of a command, `bptt --version` the version."
    return page("bptt COMMAND", [about], {"commands": commands}, foot)


def _check_command(name: str) -> None:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        raise UserError(f"{name!r} is no command; {hint}")


def _run(name: str, arguments: list[str]) -> int:
    if name == "train":
        arguments, defaults, file = _task_defaults(arguments)
        parse = partial(tyro.cli, type(defaults), prog="bptt train", default=defaults)
    else:
        defaults, file, parse = None, None, partial(tyro.cli, COMMANDS[name], prog=f"bptt {name}")
    if HELP.isdisjoint(arguments):
        options = parse(args=arguments)
        if defaults is not None and file is not None and options.resume is None:
            wrong = _refusal(options)
            if wrong is not None and wrong == _refusal(defaults):  # without the options given beside it as well
                raise UserError(f"{file}: {wrong}")
        return getattr(import_module(f".{name}", __package__), name)(options)
    raw = unwrapped(lambda: parse(args=["--help"]))
    if defaults is None:
        print(help_page(raw, {}))
        return 0
    others = [f"bptt train --task {task} --help" for task in OPTIONS if task != defaults.task]
    print(help_page(raw, GROUPS, f"These are the options of --task {defaults.task}; see also {', '.join(others)}"))
    return 0


def _refusal(options: TrainOptions) -> str | None:
    """What is wrong with the options; None where nothing is."""
    try:
        options.check()
    except UserError as error:
        return str(error)
    return None


def _task_defaults(arguments: list[str]) -> tuple[list[str], TrainOptions, Path | None]:
    """The arguments of `bptt train` for its parser, the defaults of the task that they are about, and their file.

    A config.toml as DATA is read for the defaults, and left out of the arguments.
    """
    given = named_in(arguments)
    file = Path(given["data"]) if given.get("data", "").lower().endswith(".toml") else None
    if file is not None:
        from ..training.config_file import read_options

        defaults = read_options(file, {name: value for name, value in given.items() if name != "data"})
        arguments = [word for word in arguments if word != given["data"]]
        if "input" in given:  # options given several times replace the file's
            defaults = replace(defaults, input=())
    else:
        task = task_of(given)
        defaults = (options_of(task, given) if HELP.isdisjoint(arguments) else OPTIONS[task])()
    if HELP.isdisjoint(arguments):
        check_own(given, defaults.task)
    return arguments, defaults, file
