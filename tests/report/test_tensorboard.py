import sys

import pytest

from bptt.errors import UserError
from bptt.report.tensorboard import TensorBoard


def test_every_number_of_a_record_is_a_scalar_at_its_epoch(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoard(tmp_path)
    by_lag = {"l0": [1.0 / (lag + 1) for lag in range(12)]}
    for epoch in (1, 2):
        record = {"event": "epoch", "epoch": epoch, "loss": 0.5 / epoch, "validation": None, "gradient_norm": 2}
        board.write({**record, "gradient_by_lag": by_lag} if epoch == 1 else record)
    board.close()
    found = accumulators.EventAccumulator(str(tmp_path)).Reload()
    lags = [f"gradient_by_lag/l0/lag_{lag}" for lag in ("000", "001", "003", "010")]
    assert sorted(found.Tags()["scalars"]) == ["gradient_by_lag/l0/lag_000", *lags[1:], "gradient_norm", "loss"]
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(1, 0.5), (2, 0.25)]
    (event,) = found.Scalars(lags[3])
    assert event.value == pytest.approx(1 / 11)


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install bptt\[tensorboard\]"):
        TensorBoard(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        TensorBoard(tmp_path / "file" / "inside")
