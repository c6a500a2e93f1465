"""A snapshot that several workers write together, through torch.distributed.checkpoint, for any number of them.

What all workers hold is written once, shared out among them; of what is cut up among them each writes its part. A
snapshot is a folder with a file of each worker and an index, which says where everything is. They are files of
`tensors`, so that nothing is pickled and damage is noticed. The folder gets its name when it is on the disk.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    ReadItem,
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from ..errors import UserError
from ..files import ASIDE, make_folder, naming, sync_folder
from .tensors import Leaves, Part, held, put_together, read_tensors, taken_apart, write_tensors
from .workers import Workers

INDEX = "index.safetensors"
PLAIN = "plain"  # the name of all that is no tensor, as bytes of JSON


def save_shards(folder: Path, tree: Any, workers: Workers) -> None:
    """Write a tree into a new folder; all workers call this together.

    Args:
        folder: on a disk that all of them share.
        tree: as `write_tensors` takes it; what is no `Part` is the first worker's, or the same on all of them.
        workers: more than one.

    Raises:
        OSError: one of them could not write; there is no such folder then.
    """
    found, plain = taken_apart(tree)
    if workers.rank == 0:
        found[PLAIN] = torch.frombuffer(bytearray(plain.encode()), dtype=torch.uint8)
    try:
        save(found, storage_writer=_Writer(folder, workers.rank, found), planner=_SavePlanner(False, False))
    except CheckpointException as error:
        raise _cause(error) from error


def load_shards(folder: Path, workers: Workers) -> Any:
    """The tree that any number of workers wrote; a `Part` in it has what is now this worker's share.

    Raises:
        UserError: a file of those needed is missing or damaged; the message names it.
    """
    index = read_tensors(folder / INDEX)
    try:
        found = {name: _room(about, workers) for name, about in index.items()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # each worker reads by itself
            load(found, storage_reader=_Reader(folder, index), planner=_LoadPlanner(False, False), no_dist=True)
    except (CheckpointException, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        cause = _cause(error) if isinstance(error, CheckpointException) else error
        if isinstance(cause, UserError) or not isinstance(cause, Exception):
            raise cause from error
        raise UserError(f"{folder} is damaged: its index does not fit its files ({cause!r})") from error
    plain = found.pop(PLAIN)
    assert isinstance(plain, Tensor)
    return put_together(found, plain.numpy().tobytes().decode())


def _room(about: Any, workers: Workers) -> Tensor | Part:
    """For what a worker is to have of a tensor."""
    axis, size = about["axis"], list(about["size"])
    if axis is None:
        return torch.empty(size, dtype=_dtype(about))
    share = workers.share(size[axis])
    size[axis] = share.stop - share.start
    return Part(torch.empty(size, dtype=_dtype(about)), axis, share.start, about["size"][axis])


def _cause(error: CheckpointException) -> BaseException:
    """What one of the workers met, the lowest of those that met something."""
    met, _ = error.failures[min(error.failures)]
    return met


def _chunk(leaf: Tensor | Part) -> ChunkStorageMetadata:
    """Where what a worker has lies in the whole."""
    tensor = held(leaf)
    offsets = [0] * tensor.dim()
    if isinstance(leaf, Part):
        offsets[leaf.axis] = leaf.first
    return ChunkStorageMetadata(torch.Size(offsets), tensor.shape)


def _whole(leaf: Tensor | Part) -> torch.Size:
    if not isinstance(leaf, Part):
        return leaf.shape
    shape = list(leaf.tensor.shape)
    shape[leaf.axis] = leaf.size
    return torch.Size(shape)


class _SavePlanner(DefaultSavePlanner):
    """What a worker could write; of what several could, each writes some."""

    def create_local_plan(self) -> SavePlan:
        self.plan = SavePlan([self._item(name, leaf) for name, leaf in self.state_dict.items()])
        return self.plan

    def resolve_data(self, write_item: WriteItem) -> Tensor:
        return held(self.state_dict[write_item.index.fqn])

    @staticmethod
    def _item(name: str, leaf: Tensor | Part) -> WriteItem:
        chunk, kind = _chunk(leaf), WriteItemType.SHARD if isinstance(leaf, Part) else WriteItemType.TENSOR
        data = TensorWriteData(chunk, TensorProperties.create_from_tensor(held(leaf)), _whole(leaf))
        return WriteItem(MetadataIndex(name, chunk.offsets), kind, tensor_data=data)


class _LoadPlanner(DefaultLoadPlanner):
    """What a worker needs."""

    def set_up_planner(
        self, state_dict: Any, metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        self.state_dict, self.metadata, self.is_coordinator = state_dict, metadata, is_coordinator

    def create_local_plan(self) -> LoadPlan:
        known: Any = self.metadata
        items = [
            create_read_items_for_chunk_list(name, known.state_dict_metadata[name], [_chunk(leaf)])
            for name, leaf in self.state_dict.items()
        ]
        return LoadPlan([item for some in items for item in some])

    def lookup_tensor(self, index: MetadataIndex) -> Tensor:
        return held(self.state_dict[index.fqn])


class _Writer(StorageWriter):
    """A file for each worker, the first one's index of them, and then the folder's name."""

    def __init__(self, folder: Path, rank: int, found: Leaves) -> None:
        self.folder, self.aside, self.rank, self.found = folder, folder.with_name(folder.name + ASIDE), rank, found

    def reset(self, checkpoint_id: Any = None) -> None: ...

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if is_coordinator:
            shutil.rmtree(self.aside, ignore_errors=True)  # of workers that ended while they wrote it
            make_folder(self.aside)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    def write_data(self, plan: SavePlan, planner: Any) -> Future[list[WriteResult]]:
        file = f"{self.rank:05d}.safetensors"
        tensors = {item.index.fqn: planner.resolve_data(item) for item in plan.items}
        if tensors:
            write_tensors(self.aside / file, tensors)
        written: Future[list[WriteResult]] = Future()
        written.set_result([WriteResult(item.index, tensors[item.index.fqn].nbytes, file) for item in plan.items])
        return written

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        files = {result.index: result.storage_data for some in results for result in some}
        index = {}
        for name, about in metadata.state_dict_metadata.items():
            assert isinstance(about, TensorStorageMetadata)
            leaf = self.found[name]
            index[name] = {
                "dtype": str(about.properties.dtype).removeprefix("torch."),
                "size": list(about.size),
                "axis": leaf.axis if isinstance(leaf, Part) else None,
                "chunks": [
                    [list(chunk.offsets), list(chunk.sizes), files[MetadataIndex(name, chunk.offsets)]]
                    for chunk in about.chunks
                ],
            }
        write_tensors(self.aside / INDEX, index)
        with naming(self.folder):
            os.replace(self.aside, self.folder)
        sync_folder(self.folder.parent)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


class _Reader(StorageReader):
    """Reads what a plan needs, each file once."""

    def __init__(self, folder: Path, index: Any) -> None:
        self.folder = folder
        self._known = Metadata({name: _about(about) for name, about in index.items()})
        self._files = {
            MetadataIndex(name, offsets): file
            for name, about in index.items()
            for offsets, _, file in about["chunks"]
        }

    def reset(self, checkpoint_id: Any = None) -> None: ...

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return self._known

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None: ...

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: Any) -> Future[None]:
        by_file: dict[str, list[ReadItem]] = {}
        for item in plan.items:
            by_file.setdefault(self._files[item.storage_index], []).append(item)
        for file, items in by_file.items():
            tensors = read_tensors(self.folder / Path(file).name)
            for item in items:
                place = zip(item.storage_offsets, item.lengths, strict=True)
                there = tensors[item.storage_index.fqn][tuple(slice(first, first + size) for first, size in place)]
                planner.resolve_tensor(item).copy_(there)
        read: Future[None] = Future()
        read.set_result(None)
        return read

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


def _about(about: Any) -> TensorStorageMetadata:
    chunks = [
        ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)) for offsets, sizes, _ in about["chunks"]
    ]
    return TensorStorageMetadata(TensorProperties(dtype=_dtype(about)), torch.Size(about["size"]), chunks)


def _dtype(about: Any) -> torch.dtype:
    return getattr(torch, about["dtype"])
