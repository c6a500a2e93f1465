import pytest

from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks.forecast import sunspot_forecast


@pytest.mark.parametrize(("horizon", "ahead"), [(1, "one step"), (4, "4 steps"), ((1, 3, 6), "1, 3 and 6 steps")])
def test_it_says_what_is_learned(horizon, ahead):
    task = sunspot_forecast(ForecastOptions(horizon=horizon))
    assert task.aim == f"sunspots of the embedded yearly sunspot numbers, forecast {ahead} ahead"
    assert task.amount == f"{task.train_steps} training steps of sunspots"
    assert (task.labels, task.loss, task.output) == ([], "squared_error", "forecast.csv")
