import numpy as np

from bptt.training.config import TrainConfig
from bptt.training.tasks.forecast import Forecast
from bptt.training.tasks.made import made_task
from bptt.training.tasks.streamed import StreamedForecast


def test_what_is_embedded_a_table_and_a_table_read_piece_by_piece(tmp_path):
    assert made_task(TrainConfig()).name == "the embedded yearly sunspot numbers"
    np.save(tmp_path / "d.npy", np.sin(np.arange(200.0)))
    config = TrainConfig(data=tmp_path / "d.npy", target="0", reach="truncated")
    assert isinstance(made_task(config), Forecast)
    small = TrainConfig(data=tmp_path / "d.npy", target="0", reach="truncated", memory="1kB")
    assert isinstance(made_task(small), StreamedForecast)
