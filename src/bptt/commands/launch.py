"""Workers on this machine: `bptt train --workers N`, started as torchrun starts them, and again when one dies."""

from __future__ import annotations

import os
import sys
import uuid

RESTARTS = 10  # of all workers, each time after one has died


def launch(workers: int, arguments: list[str]) -> int:
    """Run `bptt` with these arguments in so many processes that train together; returns the exit code.

    Ctrl-C and SIGTERM reach the workers as SIGTERM; they save and end.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # With the store shared between rendezvous and workers, a restart after a death can hang.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=workers,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        rdzv_configs={"timeout": 60},
        max_restarts=RESTARTS,
    )
    try:
        elastic_launch(config, entrypoint=sys.executable)("-m", "bptt", *arguments)
    except SignalException as error:
        return 128 + error.sigval.value
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


def launch_id() -> str:
    """An id shared by these workers and those that replace them after a restart; empty for a single process."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ""
    return f"{os.environ['TORCHELASTIC_RUN_ID']} of process {os.getppid()}"


def restarted() -> bool:
    """Whether torchrun has started these workers in the place of others."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
