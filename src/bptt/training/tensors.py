"""Trees of tensors and plain values as one safetensors file, in which any damage is noticed.

Safetensors holds no code, so reading runs none. The format itself does not notice a flipped bit: a checksum of
each tensor and of the plain values stands in the file's metadata, and a file counts only if writing its content
again gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import UserError
from ..files import read_regular, write_whole

FORMAT = 2  # of the files written now
NOTE = "bptt"  # the one entry of the metadata


@dataclass(frozen=True)
class Shard:
    """One worker's part of a tensor that is split among several.

    Attributes:
        tensor: what it has.
        axis: along which the whole is cut up.
        first: where the part begins there, from 0.
        size: of the whole along the axis.
    """

    tensor: Tensor
    axis: int
    first: int
    size: int


Leaves = dict[str, Tensor | Shard]  # of a tree, by their names


def held(leaf: Tensor | Shard) -> Tensor:
    """The tensor, or the part of it that a worker has."""
    return leaf.tensor if isinstance(leaf, Shard) else leaf


def taken_apart(tree: Any) -> tuple[Leaves, str]:
    """A tree's tensors, and all else as JSON.

    Raises:
        TypeError: the tree holds what `write_tensors` does not take.
    """
    found: Leaves = {}
    return found, json.dumps(_plain(tree, found, ""))


def put_together(found: Leaves, plain: str) -> Any:
    """The tree that was `taken_apart`."""
    return _tree(json.loads(plain), found)


def write_tensors(path: Path, tree: Any) -> None:
    """Write a tree; an older file goes when it is whole.

    Args:
        path: of the file.
        tree: of dicts, lists, tuples, numbers, texts, None, tensors and their parts.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
        TypeError: the tree holds something else.
    """
    write_leaves(path, *taken_apart(tree))


def write_leaves(path: Path, leaves: Leaves, plain: str) -> None:
    """Write a tree that was `taken_apart`."""
    write_whole(path, _bytes(leaves, plain))


def read_tensors(path: Path) -> Any:
    """The tree that `write_tensors` wrote.

    Raises:
        UserError: there is no such file, it is damaged, the message names what, or it is of a newer version.
    """
    content = read_regular(path)
    try:
        return _read(content)
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error or type(error).__name__}") from error


def _read(content: bytes) -> Any:
    """The tree that a file holds; where it is damaged, a UserError says how, or another error comes as it may."""
    tensors, note = load(content), json.loads(_metadata(content)[NOTE])
    version, sums, plain = note["format"], note["sha256"], note["tree"]
    if version != FORMAT:
        raise UserError(f"has format {version}; this bptt reads {FORMAT}: update bptt, or train again")
    parts = {name: Shard(tensors[name], *cut) for name, cut in note.get("parts", {}).items()}
    for name, tensor in tensors.items():
        if sums.get(name) != _checksum(tensor):
            raise UserError(f"is damaged: tensor {name} does not have its checksum")
    if _bytes(tensors | parts, plain) != content:
        raise UserError("is damaged: its header does not have its checksum")
    return put_together(tensors | parts, plain)


def _bytes(found: Leaves, plain: str) -> bytes:
    parts = {name: leaf for name, leaf in sorted(found.items()) if isinstance(leaf, Shard)}
    tensors = {name: held(leaf) for name, leaf in found.items()}
    note = {
        "format": FORMAT,
        "sha256": {name: _checksum(tensor) for name, tensor in sorted(tensors.items())},
        "sha256 of tree": hashlib.sha256(plain.encode()).hexdigest(),
        "tree": plain,
        **({"parts": {name: [part.axis, part.first, part.size] for name, part in parts.items()}} if parts else {}),
    }
    return save(tensors, metadata={NOTE: json.dumps(note)})


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def _checksum(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(flat.numpy().tobytes()).hexdigest()


def _plain(tree: Any, found: Leaves, name: str) -> Any:
    """The tree as JSON can hold it, its tensors put aside; what JSON has not stands as {kind: content}."""
    if isinstance(tree, Tensor | Shard):
        found[name] = replace(tree, tensor=_kept(tree.tensor)) if isinstance(tree, Shard) else _kept(tree)
        return {"tensor": name}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, dict):
        return {
            "dict": [[key, _plain(branch, found, f"{name}/{key}".lstrip("/"))] for key, branch in tree.items()]
        }
    if isinstance(tree, list | tuple):
        branches = [_plain(branch, found, f"{name}/{i}".lstrip("/")) for i, branch in enumerate(tree)]
        return {"tuple": branches} if isinstance(tree, tuple) else branches
    raise TypeError(f"{name or 'the tree'} holds a {type(tree).__name__}, which cannot be written")


def _kept(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _tree(plain: Any, found: Leaves) -> Any:
    if isinstance(plain, list):
        return [_tree(branch, found) for branch in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return found[content]
    if kind == "tuple":
        return tuple(_tree(branch, found) for branch in content)
    return {key: _tree(branch, found) for key, branch in content}
