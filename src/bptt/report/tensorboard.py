"""A run in TensorBoard, written from the same records that go to metrics.jsonl; needs the extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError

LAGS = (0, 1, 3, 10, 30, 100, 300, 1000)  # of which a gradient by lag has a curve each


class TensorBoard:
    """Event files in a folder; close it at the end.

    Every number of a record becomes the scalar of its name, at the record's epoch; the gradient by lag becomes
    one for each of `LAGS`, "gradient_by_lag/l0/lag_010".

    Args:
        folder: where the event files go, for example the run folder.
        since: the first epoch that will be written; later ones that are there already count no more. Default 1.

    Raises:
        UserError: TensorBoard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path, since: int = 1) -> None:
        writer = _summary_writer()
        try:
            self._writer = writer(str(folder), purge_step=since)
        except OSError as error:
            raise UserError(f"{folder} cannot be written for TensorBoard: {error.strerror}") from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Add an epoch's record: "epoch", numbers by name, and "gradient_by_lag" by layer where it has one."""
        epoch = record["epoch"]
        for name, value in record.items():
            if name != "epoch" and isinstance(value, int | float) and not isinstance(value, bool):
                self._writer.add_scalar(name, value, epoch)
        for layer, norms in (record.get("gradient_by_lag") or {}).items():
            for lag in LAGS:
                if lag < len(norms):
                    self._writer.add_scalar(f"gradient_by_lag/{layer}/lag_{lag:03d}", norms[lag], epoch)

    def close(self) -> None:
        """Write the rest to disk."""
        self._writer.close()


def check_installed() -> None:
    """Say so now where TensorBoard is missing.

    Raises:
        UserError: it is.
    """
    _summary_writer()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("TensorBoard is not installed; install it with: pip install bptt[tensorboard]") from error
    return SummaryWriter
