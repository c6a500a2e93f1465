"""Torch's default device: what is computed stays on the device of the model and the data."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import bptt
from support import normal

IDS = ["truncated", "checkpointed", "contributions", "diagnose", "check", "page", "train"]
IDS += ["record", "probe", "stateful", "explain"]
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
    net = bptt.Elman(3, 4, 2, bias=True, leak=0.5, device="cpu")
    arguments = net, X[:, 0], D[:, 0]
    return [str(bptt.explain(*arguments)), bptt.derivation(*arguments).latex, bptt.diagram(*arguments).label]


@pytest.mark.parametrize(
    "call",
    [
        lambda: list(bptt.truncated(MODEL, X, D, bptt.squared_error, k1=5)),
        lambda: bptt.checkpointed(MODEL, X, D, bptt.squared_error, segment=5),
        lambda: bptt.contributions(MODEL, X, D, bptt.squared_error, pairs=True),
        lambda: bptt.diagnose(MODEL, X, D, bptt.squared_error, tries=False),
        lambda: bptt.check_gradient(MODEL, X[:3], D[:3], bptt.squared_error, looks=3),
        lambda: bptt.live_page(MODEL, X[:, 0], D[:, 0]),
        lambda: bptt.train(epochs=1, hidden=2),
        recorded,
        probed,
        carried,
        derived,
    ],
    ids=IDS,
)
def test_it_may_be_another_one_than_the_models(call: Callable[[], object], request):
    request.addfinalizer(lambda: torch.set_default_device(None))
    torch.set_default_device("meta")
    assert call()
