from bptt.report.run import Lags, RunReport

REPORT = RunReport(
    choices={"hidden": 8},
    target="<img src=x onerror=alert(1)>",
    times=["1", "2", "3"],
    truth=[1.0, 2.0, None],
    forecast=[None, 2.5, 3.0],
    spans=[("2-3", "2", "3")],
    scores={"this run": {"2-3": 0.1234}, "<script>alert(1)</script>": {}},
    losses=[1.0, 0.5],
    validation=[],
    judged_on=["2-3"],
    lags=[Lags(0, [1.0, 0.1, 0.0]), Lags(2, [1.0, 0.5, 0.2])],
)


def test_lags_are_told_by_epoch():
    assert [lags.epoch for lags in REPORT.lags] == [0, 2]
