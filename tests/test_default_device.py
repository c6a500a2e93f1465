"""Torch's default device and dtype: what is computed keeps those of the model and the data."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor, nn

import bptt
from support import normal

MODEL = bptt.SequenceModel(bptt.GRU(3, 4), 2)
X, D = normal(10, 2, 3, dtype=torch.float32), normal(10, 2, 2, dtype=torch.float32)


def loss_of(model: nn.Module) -> Tensor:
    return bptt.squared_error(model(X)[0], D)


def recorded() -> list[object]:
    with bptt.record(MODEL) as walks:
        loss = loss_of(MODEL)
    found = bptt.contributions(walks, loss)
    return [found, found["recurrent"].by_lag, bptt.diagnose(walks, loss, D), bptt.explain(walks, loss)]


def probed() -> object:
    with bptt.Probe(MODEL, every=1) as probe:
        loss_of(MODEL).backward()
        return probe.step()


def carried() -> object:
    with bptt.stateful(MODEL) as carry:
        MODEL(X)
        carry.reset([0])
        return MODEL(X)


def derived() -> list[object]:
    net = bptt.Elman(3, 4, 2, bias=True, leak=0.5, device="cpu", dtype=torch.float32)
    arguments = net, X[:, 0], D[:, 0]
    return [str(bptt.explain(*arguments)), bptt.derivation(*arguments).latex, bptt.diagram(*arguments).label]


def series_of(lengths: tuple[int, ...]) -> dict[str, list]:
    """A table of series "0", "1", ..."""
    places = [(str(number), step) for number, length in enumerate(lengths) for step in range(length)]
    return {
        "s": [name for name, _ in places],
        "t": [t for _, t in places],
        "y": [t % 7 + t / 9 for _, t in places],
    }


def beside_linear_parts(folder: Path) -> object:
    table = series_of((60, 60))
    run = bptt.train(table, target="y", series="s", validation=0.3, hidden=2, epochs=1, out=folder / "run")
    return bptt.load(folder / "run").predict(table).equals(run.predict(table))


def by_pieces(folder: Path) -> object:
    pl.DataFrame(series_of((80,))).write_csv(folder / "d.csv")
    return bptt.train(folder / "d.csv", target="y", reach="truncated", memory="1B", batch=2, hidden=2, epochs=1)


def cross_validated(folder: Path) -> object:
    table = series_of((5,) * 12)
    table["kind"] = ["ab"[int(name) % 2] for name in table["s"]]
    return bptt.train(table, series="s", label="kind", time="t", stride=1, batch=12, hidden=2, epochs=1)


CALLS: dict[str, Callable[[], object]] = {
    "truncated": lambda: list(bptt.truncated(MODEL, X, D, bptt.squared_error, k1=5)),
    "checkpointed": lambda: bptt.checkpointed(MODEL, X, D, bptt.squared_error, segment=5),
    "contributions": lambda: bptt.contributions(MODEL, X, D, bptt.squared_error, pairs=True),
    "diagnose": lambda: bptt.diagnose(MODEL, X, D, bptt.squared_error, tries=False),
    "check": lambda: bptt.check_gradient(MODEL, X[:3], D[:3], bptt.squared_error, looks=3),
    "page": lambda: bptt.live_page(MODEL, X[:, 0], D[:, 0]),
    "train": lambda: bptt.train(epochs=1, hidden=2),
    "record": recorded,
    "probe": probed,
    "stateful": carried,
    "explain": derived,
}


@pytest.fixture(params=["device", "dtype"])
def other_default(request):
    torch.set_default_device("meta") if request.param == "device" else torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", CALLS)
def test_they_may_be_others_than_the_models(name, other_default):
    assert CALLS[name]()


@pytest.mark.parametrize("run", [beside_linear_parts, by_pieces, cross_validated])
def test_they_may_be_others_than_the_data(run, other_default, unreported, tmp_path):
    assert run(tmp_path)
