"""A trained model on disk: a run folder's config.toml and model.safetensors.

Safetensors holds no code, so loading runs none; each tensor's checksum stands in the file's metadata, since the
format itself does not notice a flipped bit.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..networks import SequenceModel
from .config import TrainConfig, check
from .errors import UserError
from .network import network_of
from .scaling import Scaling
from .tasks.task import Task

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """What a run folder holds, enough to forecast again.

    Attributes:
        config: the choices it was trained with.
        columns: the columns it reads, the target first.
        scaling: of those columns.
        labels: classes or characters, by output; empty where numbers are put out.
        model: the network with its trained weights.
    """

    config: TrainConfig
    columns: list[str]
    scaling: Scaling
    labels: list[str]
    model: SequenceModel


def save_config(folder: Path, config: TrainConfig, task: Task) -> None:
    """Write config.toml: every choice, the columns and their scaling, the labels."""
    choices = {name: _plain(value) for name, value in asdict(config).items() if value is not None}
    document = {
        "format": FORMAT,
        "train": choices,
        "columns": task.columns,
        "scaling": asdict(task.scaling),
        "labels": task.labels,
    }
    (folder / "config.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


def save_model(folder: Path, model: SequenceModel) -> None:
    """Write model.safetensors with a checksum for each tensor; an older file goes when this one is whole."""
    weights = {name: weight.detach().contiguous() for name, weight in model.state_dict().items()}
    sums = {name: _checksum(weight) for name, weight in weights.items()}
    aside = folder / "model.safetensors.part"
    save_file(weights, aside, metadata={"format": str(FORMAT), "sha256": json.dumps(sums)})
    aside.replace(folder / "model.safetensors")


def load_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        UserError: it is no run folder, or a file in it is missing, damaged or of a newer version.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")
    config, columns, scaling, labels = _read_config(folder / "config.toml")
    try:
        check(config)
        model = network_of(config, columns, labels)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.toml'} describes no network: {error}") from error
    weights = _read_weights(folder / "model.safetensors")
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise UserError(
            f"{folder / 'model.safetensors'} does not fit config.toml: {name} is {found.get(name, 'missing')} "
            f"in the file and {wanted.get(name, 'unknown')} by the config"
        )
    model.load_state_dict(weights)
    return Run(config, columns, scaling, labels, model)


def _read_config(path: Path) -> tuple[TrainConfig, list[str], Scaling, list[str]]:
    try:
        document = tomllib.loads(_bytes(path).decode("utf-8"))
        if document["format"] > FORMAT:
            raise UserError(f"{path} has format {document['format']}; this bptt reads up to {FORMAT}: update bptt")
        known = {field.name for field in fields(TrainConfig)}
        choices = {name: _read(name, value) for name, value in document["train"].items() if name in known}
        config = TrainConfig(**choices)
        return config, document["columns"], Scaling(**document["scaling"]), document.get("labels", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file() or path.is_symlink():
        raise UserError(f"{path} is missing or not a regular file; the run was not finished: train again")
    try:
        with safe_open(path, framework="pt") as file:
            sums = json.loads((file.metadata() or {})["sha256"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}; train again") from error
    for name, weight in weights.items():
        if sums.get(name) != _checksum(weight):
            raise UserError(f"{path} is damaged: tensor {name} does not have its checksum; train again")
    return weights


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}; is this a run folder?") from error


def _checksum(weight: Tensor) -> str:
    return hashlib.sha256(weight.cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _read(name: str, value: Any) -> Any:
    """A choice as `TrainConfig` has it, from TOML's types."""
    if name in ("data", "out"):
        return Path(value)
    return tuple(tuple(group) for group in value) if name == "input" else value
