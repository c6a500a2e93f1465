"""A second device where there is no GPU: torch's private backend over the CPU's memory, for tests.

Importing this module registers the device "emulated". Do so before the first backward pass of the process, since
autograd starts a thread for each device then. As on a GPU:

- a tensor of it and one of the CPU do not mix, and `.numpy()` needs `.cpu()` first;
- the backward pass runs in a thread of the device;
- it has a random generator of its own, in `torch.emulated.get_rng_state()`;
- `torch.emulated` counts its memory as torch.cuda does, and `torch.emulated.limit` in bytes makes it run out;
- a non_blocking copy from or to pinned memory happens late: when the device's tensor is next used, or when a
  stream or event is waited for. A host buffer overwritten or read before that gives wrong numbers, and a tensor
  used on another stream than that of its copy raises.

Every operation is computed by the CPU's kernel on `host_view`s of its tensors. There are no complex numbers, no
torch.Generator("emulated") and no empty(pin_memory=True).
"""

import warnings
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import DispatchKey, DispatchKeySet
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "emulated"
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # a GPU takes indices on the CPU too
HALVED = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm")  # by autocast

CPU = torch.device("cpu")
aten = torch.ops.aten
cpu_kernels = DispatchKeySet(DispatchKey.CPU)


class LateCopy(NamedTuple):
    """A copy that waits, between tensors of the CPU; one of them is a view of the device's memory `address`."""

    source: Tensor
    target: Tensor
    address: int
    stream: Any


class Stream(torch.Stream):
    def __new__(cls, device: Any = None) -> "Stream":
        return super().__new__(cls, NAME)

    def __init__(self, device: Any = None) -> None:
        self.seen = {id(self)}  # the streams whose copies work on this one may use

    def wait_stream(self, other: "Stream") -> None:
        self.seen |= other.seen

    def synchronize(self) -> None:
        torch.emulated.finish(lambda copy: copy.stream is self)


class Event:
    def __init__(self, **options: Any) -> None:
        self.copies: list[LateCopy] = []

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or torch.emulated.current_stream()
        self.stream, self.copies = stream, [copy for copy in torch.emulated.late if copy.stream is stream]

    def wait(self, stream: Stream | None = None) -> None:
        (stream or torch.emulated.current_stream()).wait_stream(self.stream)

    def synchronize(self) -> None:
        torch.emulated.finish(lambda copy: any(copy is mine for mine in self.copies))


class Memory:
    """A block of the device: the CPU storage that holds its bytes."""

    def __init__(self, host: torch.UntypedStorage, backend: "Backend") -> None:
        self.host, self.backend, self.size = host, backend, host.nbytes()

    def __del__(self) -> None:
        self.backend.freed(self.size)


class Backend:
    """`torch.emulated`, with the functions that torch.cuda has."""

    Stream, Event = Stream, Event

    def __init__(self) -> None:
        self.manual_seed_all(0)
        self.late: list[LateCopy] = []
        self.limit: int | None = None
        self._allocated = self._peak = 0
        self._stream: Stream | None = None  # there is none before the device is registered

    def is_available(self) -> bool:
        return True

    is_initialized = is_available

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def device(self, index: Any) -> Any:
        return nullcontext()

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def manual_seed_all(self, seed: int) -> None:
        self._rng = torch.Generator().manual_seed(seed).get_state()

    manual_seed = manual_seed_all

    def get_rng_state(self, device: Any = None) -> Tensor:
        return self._rng.clone()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        self._rng = state.clone()

    def memory_allocated(self, device: Any = None) -> int:
        return self._allocated

    def max_memory_allocated(self, device: Any = None) -> int:
        return self._peak

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        self._peak = self._allocated

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        total = 2**40 if self.limit is None else self.limit
        return total - self._allocated, total

    def allocate(self, host: torch.UntypedStorage) -> Memory:
        size = host.nbytes()
        if self.limit is not None and self._allocated + size > self.limit:
            free = self.limit - self._allocated
            raise torch.OutOfMemoryError(
                f"emulated out of memory. Tried to allocate {size} bytes. GPU 0 has a total capacity of "
                f"{self.limit} bytes of which {free} bytes is free."
            )
        self._allocated += size
        self._peak = max(self._peak, self._allocated)
        return Memory(host, self)

    def freed(self, size: int) -> None:
        self._allocated -= size

    def current_stream(self, device: Any = None) -> Stream:
        self._stream = self._stream or Stream()
        return self._stream

    @contextmanager
    def stream(self, stream: Stream):
        before, self._stream = self.current_stream(), stream
        try:
            yield
        finally:
            self._stream = before

    def synchronize(self, device: Any = None) -> None:
        self.finish(lambda copy: True)

    def finish(self, chosen: Any) -> None:
        """Carry out the late copies that are chosen, in their order."""
        due, self.late = [c for c in self.late if chosen(c)], [c for c in self.late if not chosen(c)]
        for copy in due:
            copy.target.copy_(copy.source)


def is_ours(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == NAME


def host_view(tensor: Tensor, used: bool = True) -> Tensor:
    """A CPU tensor over the memory of a device tensor, whose late copies are carried out."""
    storage = tensor.untyped_storage()
    if used and any(copy.address == storage.data_ptr() for copy in torch.emulated.late):
        address = storage.data_ptr()
        seen = torch.emulated.current_stream().seen
        unseen = [c for c in torch.emulated.late if c.address == address and id(c.stream) not in seen]
        assert not unseen, f"a tensor {tuple(tensor.shape)} is used on a stream that has not waited for its copy"
        torch.emulated.finish(lambda copy: copy.address == address)
    place = tensor.storage_offset(), tensor.shape, tensor.stride()
    return torch.empty(0, dtype=tensor.dtype).set_(storage.memory.host, *place)


def storage_over(host: torch.UntypedStorage) -> torch.UntypedStorage:
    """A storage of the device over a CPU storage."""
    device = torch.device(NAME, 0)
    storage = torch._C._construct_storage_from_data_pointer(host.data_ptr(), device, host.nbytes())
    storage.memory = torch.emulated.allocate(host)
    return storage


def device_tensor(host: Tensor, bases: Any = (), into: Tensor | None = None) -> Tensor:
    """A device tensor over the memory of a CPU tensor: a view of one of `bases` where it is that one's memory."""
    place = host.size(), host.stride(), host.storage_offset()
    address = host.untyped_storage().data_ptr()
    for base in bases:
        if address and base.dtype == host.dtype and base.untyped_storage().data_ptr() == address:
            return aten.as_strided.default.redispatch(cpu_kernels, base, *place)
    tensor = torch._C._acc.create_empty_tensor([0], host.dtype) if into is None else into
    size, stride, offset = place
    storage = storage_over(host.untyped_storage())
    return aten.set_.source_Storage_storage_offset.redispatch(cpu_kernels, tensor, storage, offset, size, stride)


@contextmanager
def device_rng():
    """Draw from the device's generator."""
    before = torch.get_rng_state()
    torch.default_generator.set_state(torch.emulated.get_rng_state())
    yield
    torch.emulated.set_rng_state(torch.get_rng_state())
    torch.default_generator.set_state(before)


class Facts(NamedTuple):
    """What an operation does that most do not."""

    draws: bool  # random numbers
    indexes: bool


@cache
def facts_of(op: Any) -> Facts:
    draws = torch.Tag.nondeterministic_seeded in op.tags
    return Facts(draws, op._schema.name.removeprefix("aten::") in INDEXING)


def check_device(op: Any, tensor: Tensor) -> None:
    """A tensor that is not on the device is a number, or one of indices."""
    if tensor.dim() and not (facts_of(op).indexes and not tensor.is_floating_point()):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and "
            f"{tensor.device}! (in {op})"
        )


Pairs = dict[int, tuple[Tensor, Tensor]]  # by its id a tensor of the device, and its view


def by_cpu(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operation on the device, by the CPU's kernel."""
    pairs: Pairs = {}
    host_args = [lowered(op, one, pairs) for one in args]
    host_kwargs = {name: lowered(op, one, pairs) for name, one in kwargs.items()}
    with torch.no_grad(), device_rng() if facts_of(op).draws else nullcontext():
        result = op(*host_args, **host_kwargs)
    for tensor, host in pairs.values():  # one that was given as out= may have been resized
        moved = host.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()
        if moved or host.shape != tensor.shape or host.stride() != tensor.stride():
            device_tensor(host, into=tensor)
    return raised(result, pairs)


def lowered(op: Any, value: Any, pairs: Pairs) -> Any:
    """An argument of an operation as that of the CPU's kernel; its tensors are added to the pairs."""
    if isinstance(value, Tensor):
        if value.device.type != NAME:
            check_device(op, value)
            return value
        if id(value) not in pairs:
            pairs[id(value)] = value, host_view(value)
        return pairs[id(value)][1]
    if isinstance(value, tuple | list):
        return type(value)([lowered(op, one, pairs) for one in value])
    return CPU if isinstance(value, torch.device) else value


def raised(value: Any, pairs: Pairs) -> Any:
    """A result of the CPU's kernel as that of the device."""
    if isinstance(value, Tensor):
        given = [tensor for tensor, host in pairs.values() if host is value]
        return given[0] if given else device_tensor(value, [tensor for tensor, _ in pairs.values()])
    return type(value)([raised(one, pairs) for one in value]) if isinstance(value, tuple | list) else value


def is_pinned(tensor: Tensor, device: Any = None) -> bool:
    return getattr(tensor.untyped_storage(), "pinned", False)


def pin(tensor: Tensor, device: Any = None) -> Tensor:
    copy = tensor.clone()
    copy.untyped_storage().pinned = True
    return copy


def copied(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy between two devices or within this one."""
    late = non_blocking and any(tensor.device.type == "cpu" and is_pinned(tensor) for tensor in (source, target))
    of_device = source if is_ours(source) else target
    address = of_device.untyped_storage().data_ptr()
    host_source = host_view(source) if is_ours(source) else source
    host_target = host_view(target, used=not late) if is_ours(target) else target
    if late:
        if is_ours(source):
            host_source = host_source.clone()  # what later operations write comes after the copy
        copy = LateCopy(host_source, host_target, address, torch.emulated.current_stream())
        torch.emulated.late.append(copy)
    else:
        host_target.copy_(host_source)
    return target


def through_cpu(op: Any) -> Any:
    """An operation that torch has one kernel a device for, by way of tensors on the CPU."""

    def call(*args: Any) -> Any:
        for leaf in tree_leaves(args):
            if isinstance(leaf, Tensor) and not is_ours(leaf):
                check_device(op, leaf)
        result = op(*tree_map(lambda value: value.cpu() if isinstance(value, Tensor) else value, args))
        return tree_map(lambda tensor: tensor.to(NAME), result)

    return call


def halved(op: Any) -> Any:
    """An operation under autocast."""

    def half(value: Any) -> Any:
        cast = isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64
        return value.to(torch.get_autocast_dtype(NAME)) if cast else value

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(DispatchKeySet(DispatchKey.AutocastPrivateUse1)):
            return op(*tree_map(half, args), **kwargs)

    return call


def storage_to(self: torch.UntypedStorage, *, device: Any, non_blocking: bool = False) -> Any:
    """`UntypedStorage.to`, by which torch.load puts weights on a device."""
    return storage_over(self) if torch.device(device).type == NAME else torch_storage_to(self, device=device)


_setup_privateuseone_for_python_backend(NAME, Backend())
every_op = torch.library.Library("_", "IMPL")
every_op.fallback(by_cpu, "PrivateUse1")
every_op.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
some_ops = torch.library.Library("aten", "IMPL")
some_ops.impl("_copy_from", copied, "PrivateUse1")
some_ops.impl("_local_scalar_dense", lambda tensor: host_view(tensor).item(), "PrivateUse1")
some_ops.impl("record_stream", lambda tensor, stream: None, "PrivateUse1")
some_ops.impl("is_pinned", is_pinned, "CPU")
some_ops.impl("_pin_memory", pin, "CPU")
for op in (aten.set_.source_Storage, aten.set_.source_Storage_storage_offset):
    some_ops.impl(op.name(), lambda *args, op=op: op.redispatch(cpu_kernels, *args), "PrivateUse1")
for op in (aten.gru.input, aten.gru.data, aten.lstm.input, aten.lstm.data, aten.convolution.default):
    some_ops.impl(op.name(), through_cpu(op), "AutogradPrivateUse1")
for name in HALVED:
    some_ops.impl(name, halved(getattr(aten, name).default), "AutocastPrivateUse1")
torch_storage_to = torch.UntypedStorage.to
torch.UntypedStorage.to = storage_to
with warnings.catch_warnings(action="ignore", category=UserWarning):  # torch has kernels of its own
    for op in (aten.mse_loss.default, aten.smooth_l1_loss.default):
        some_ops.impl(op.name(), partial(by_cpu, op), "PrivateUse1")
