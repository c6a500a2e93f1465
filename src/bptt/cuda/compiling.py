"""Compiles a variant of the kernels by NVRTC, and keeps the machine code in a folder for later processes."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from .plan import KernelPlan

SOURCE = Path(__file__).parent
MAIN = b'#include "walk.h"\n'
OPTIONS = ("-std=c++17", "--ptxas-options=-v")
NOWHERE = Path(os.devnull)  # in place of a folder, where there is no home: nothing can be kept in it
ANOTHER_FOLDER = "set XDG_CACHE_HOME to a folder that can be written"


class Compiled(NamedTuple):
    """The machine code of a variant."""

    cubin: bytes
    forward: str  # the kernels' names in it
    backward: str
    log: str  # of the compiler; empty where the code was kept by an earlier process


class KernelError(RuntimeError):
    """The kernels cannot be compiled, loaded or launched."""


class PlaceError(KernelError):
    """A GPU has no place for a variant; it may have one for another."""


def compiled(plan: KernelPlan, capability: tuple[int, int], folder: Path | None = None) -> Compiled:
    """A variant for GPUs of a compute capability, from the folder or by NVRTC.

    Files are named after everything the machine code depends on: the source, the variant, the capability, the
    options and NVRTC's version. A damaged file is compiled again. Where the folder can keep nothing, as it is full
    or read-only, each process compiles what it needs, and warns once.

    Args:
        folder: where code is kept. Default `cache_folder()`.

    Raises:
        KernelError: NVRTC is missing, or fails.
    """
    code, lost = _read_or_compiled(plan, capability, folder or cache_folder() or NOWHERE)
    if lost is not None:
        warn_once(
            f"compiled CUDA kernels cannot be kept, so every process compiles them again ({lost}); "
            f"{ANOTHER_FOLDER}"
        )
    return code


def compile_ahead(plans: Iterable[KernelPlan], capability: tuple[int, int], folder: Path) -> Iterator[KernelPlan]:
    """Compile variants into a folder, in as many processes as there are CPUs; gives each when it is there.

    Raises:
        KernelError: NVRTC is missing or fails, or the folder can keep nothing.
    """
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        begun = {pool.submit(_put, plan, capability, folder): plan for plan in plans}
        try:
            for done in as_completed(begun):
                done.result()
                yield begun[done]
        finally:
            pool.shutdown(cancel_futures=True)


def architecture(capability: tuple[int, int]) -> str:
    """The compiler's name for a compute capability."""
    major, minor = capability
    return f"sm_{major}{minor}" + ("a" if major >= 9 else "")


def cache_folder() -> Path | None:
    """The folder that keeps code, $XDG_CACHE_HOME/bptt/cuda, else ~/.cache/bptt/cuda; None without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bptt" / "cuda"
    except RuntimeError:
        return None


@cache
def warn_once(text: str) -> None:
    """Warn, in this process for the first time only."""
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def _read_or_compiled(
    plan: KernelPlan, capability: tuple[int, int], folder: Path
) -> tuple[Compiled, OSError | None]:
    """A variant, and why the folder could not keep it; None where it is there."""
    nvrtc, headers = _nvrtc(), _headers()
    kernels = plan.kernel(False), plan.kernel(True)
    options = f"--gpu-architecture={architecture(capability)}", *OPTIONS
    path = folder / f"{_key(headers, kernels, options, nvrtc.nvrtcVersion())}.cubin"
    kept = _read(path)
    if kept is not None:
        return kept, None
    code = _compile(nvrtc, headers, kernels, options)
    try:
        _keep(path, code)
    except OSError as error:
        return code, error
    return code, None


def _put(plan: KernelPlan, capability: tuple[int, int], folder: Path) -> None:
    """See that a variant lies in a folder."""
    _, lost = _read_or_compiled(plan, capability, folder)
    if lost is not None:
        raise KernelError(f"compiled CUDA kernels cannot be kept in {folder} ({lost}); {ANOTHER_FOLDER}")


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc  # pyright: ignore  # an optional package
    except ImportError as error:  # or one of another Python, or a cuda.py of the user's in its place
        raise KernelError(
            f"cuda.bindings, which torch's CUDA wheels bring, cannot be imported ({error}): "
            "pip install cuda-bindings"
        ) from error
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError as error:
        raise KernelError(f"NVRTC is not installed: pip install nvidia-cuda-nvrtc ({error})") from error
    return nvrtc


def _headers() -> dict[bytes, bytes]:
    return {path.name.encode(): path.read_bytes() for path in sorted(SOURCE.glob("*.h"))}


def _key(*parts: Any) -> str:
    return hashlib.sha256(repr((MAIN, *parts)).encode()).hexdigest()[:32]


def _compile(
    nvrtc: Any, headers: dict[bytes, bytes], kernels: tuple[str, str], options: tuple[str, ...]
) -> Compiled:
    contents, names = list(headers.values()), list(headers)
    program = _done(nvrtc.nvrtcCreateProgram, MAIN, b"bptt.cu", len(names), contents, names)
    try:
        for kernel in kernels:
            _done(nvrtc.nvrtcAddNameExpression, program, kernel.encode())
        encoded = [option.encode() for option in options]
        (status,) = _called(nvrtc.nvrtcCompileProgram, program, len(encoded), encoded)
        log = _filled(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        text = log.decode(errors="replace").rstrip("\0")
        if int(status) != 0:
            raise KernelError(f"NVRTC does not compile {kernels[0]} with {options[0]}: {status.name}\n{text}")
        forward, backward = (_done(nvrtc.nvrtcGetLoweredName, program, kernel.encode()) for kernel in kernels)
        cubin = _filled(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return Compiled(cubin, forward.decode(), backward.decode(), text)


def _done(function: Callable[..., tuple], *arguments: Any) -> Any:
    """The result of a function of NVRTC, which must succeed."""
    status, *result = _called(function, *arguments)
    if int(status) != 0:
        raise KernelError(f"{_name_of(function)} failed: {status.name}")
    return result[0] if result else None


def _called(function: Callable[..., tuple], *arguments: Any) -> tuple:
    """The status that a function of NVRTC gives, and its result."""
    try:
        return function(*arguments)
    except (KeyError, ValueError) as error:  # NVRTC is newer than cuda.bindings
        raise KernelError(
            f"{_name_of(function)} gave a status that cuda.bindings does not know: {error}"
        ) from error


def _name_of(function: Callable[..., tuple]) -> str:
    return getattr(function, "__name__", "NVRTC")


def _filled(size: Callable[..., tuple], fill: Callable[..., tuple], program: Any) -> bytes:
    content = bytearray(_done(size, program))
    _done(fill, program, content)
    return bytes(content)


def _keep(path: Path, code: Compiled) -> None:
    """Write a file that other processes read whole or not at all; where it cannot be written, there is none."""
    content = f"{code.forward}\n{code.backward}\n".encode() + code.cubin
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{token_hex(8)}")  # a name that no other process takes
    try:
        aside.write_bytes(hashlib.sha256(content).digest() + content)
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):  # of a folder that is not writable, there is none
            aside.unlink()
        raise


def _read(path: Path) -> Compiled | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    forward, backward, cubin = content.split(b"\n", 2)
    return Compiled(cubin, forward.decode(), backward.decode(), "")
