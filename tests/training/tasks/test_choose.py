from bptt.training.config import TrainConfig
from bptt.training.tasks.choose import task_of
from bptt.training.tasks.forecast import Forecast
from bptt.training.tasks.streamed import StreamedForecast


def test_a_runs_task_is_of_its_data(tmp_path):
    assert task_of(TrainConfig()).columns == ["sunspots"]
    (tmp_path / "d.csv").write_text("y,a\n" + "".join(f"{i % 5},{i}\n" for i in range(60)))
    choices = {"data": tmp_path / "d.csv", "target": "y", "input": (("a",),)}
    task = task_of(TrainConfig(**choices))
    assert isinstance(task, Forecast)
    assert task.columns == ["y", "a"]
    assert task.train_rows == 48
    streamed = task_of(TrainConfig(**choices, reach="truncated", memory="1kB"))
    assert isinstance(streamed, StreamedForecast)
    assert streamed.train_rows == 48
