import pytest

from bptt.commands.launch import launch_id, restarted
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.forecast import SunspotOptions


def test_two_processes_train_together(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    folder = tmp_path / "run"
    config = SunspotOptions(task="forecast", epochs=2, reach="truncated", k1=50, batch=2, out=folder)
    assert train(SunspotOptions(**{**vars(config), "workers": 2})) == 0
    assert load(folder).config == config
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3


def test_what_workers_would_refuse_is_refused_before_they_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="which 2 workers cannot share"):
        train(SunspotOptions(workers=2))
    with pytest.raises(UserError, match="exists already"):
        train(SunspotOptions(workers=2, reach="truncated", batch=2, out=tmp_path))
    with pytest.raises(UserError, match="--workers must be at least 1, got 0"):
        train(SunspotOptions(workers=0))


def test_workers_are_known_by_their_launch(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    assert launch_id() == ""
    assert not restarted()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert launch_id().startswith("abc of process ")
    assert restarted()
