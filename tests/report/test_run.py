import polars as pl

from bptt.report.forecast import forecast_report
from bptt.report.run import Lags, RunReport
from bptt.training.tasks.task import ACCURACY, Judged, WrongExample

ROWS = {
    "time": ["1", "2", "3"],
    "target": ["<img src=x onerror=alert(1)>"] * 3,
    "truth": [1.0, 2.0, None],
    "forecast": [None, 2.5, 3.0],
    "lower": [None, 1.5, None],
    "upper": [None, 3.5, None],
    "split": ["training", "test", "future"],
}

JUDGED = Judged(
    {"this run": {"2-3": 0.1234}, "<script>alert(1)</script>": {}},
    rmse={"2-3": 0.5},
    rows=pl.DataFrame(ROWS),
    spans=[("2-3", "2", "3")],
    outputs={"2-3": ("<img src=x onerror=alert(1)>", 1)},
)

REPORT = RunReport(
    choices={"hidden": 8},
    loss="mean square error",
    judged=JUDGED,
    labels=[],
    losses=[1.0, 0.5],
    validation=[],
    lags=[Lags(0, [1.0, 0.1, 0.0]), Lags(2, [1.0, 0.5, 0.2])],
    simple={"persistence": 0.7},
    forecast=forecast_report(JUDGED, 0.9),
)


CLASSIFIED = RunReport(
    choices={"hidden": 8},
    loss="cross entropy (nats)",
    judged=Judged(
        {"this run": {"training": 0.9, "test": 0.7}, "majority class": {"training": 0.5, "test": 0.6}},
        measure=ACCURACY,
        confusion=[[3, 1, 0], [0, 4, 0], [1, 1, 0]],
        wrong=[
            WrongExample("s7", "<b>up", "down", 0.9, [[0.0, 1.0, 4.0], [1.0, None, 2.0]]),
            WrongExample("s9", "flat", "down", 0.6, [[2.0, 2.0, 2.0], [0.5, 0.5, 1.5]]),
        ],
    ),
    labels=["down", "<b>up", "flat"],
    losses=[1.0, 0.5],
    validation=[],
    lags=[Lags(0, [1.0, 0.1]), Lags(2, [1.0, 0.5])],
    simple={"the same guess for all": 0.7},
)


def test_a_run_is_judged_on_the_spans_of_its_scores():
    assert REPORT.judged.judged_on == ["2-3"]
