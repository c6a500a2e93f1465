import numpy as np
import pytest
import torch

import bptt
from bptt.sklearn import RecurrentRegressor
from bptt.training.network import build


def streams(N=3, T=12):
    X = np.random.RandomState(1).randn(N, T, 2)
    return X, np.stack([X[:, :, 0], X[:, :, 1] - X[:, :, 0]], -1)


def test_one_a_step_keeps_the_form_of_y():
    X, y = streams()
    regressor = RecurrentRegressor(hidden=8, epochs=80, lr=0.05, random_state=0).fit(X, y)
    assert regressor.predict(X).shape == y.shape
    assert regressor.score(X, y) > 0.9
    assert regressor.fit(X, y[..., 0]).predict(X).shape == (3, 12)
    lists = [X[0], X[1, :5]], [y[0], y[1, :5]]
    found = regressor.fit(*lists).predict(lists[0])
    assert [part.shape for part in found] == [(12, 2), (5, 2)]


def test_a_padded_step_changes_nothing():
    X, y = streams()
    regressor = RecurrentRegressor(hidden=4, epochs=3, random_state=0).fit(X, y[:, -1, 0])
    together = regressor.predict([X[0], X[1, :5]])
    alone = regressor.predict([X[1, :5]])
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-12)


def test_partial_fit_is_truncated_bptt_over_the_whole_stream():
    X, y = streams(T=24)
    regressor = RecurrentRegressor(hidden=4, lr=0.01, k1=4, k2=8, clip=None, random_state=5)
    regressor.partial_fit(X[:, :4], y[:, :4])
    first = {name: weight.clone() for name, weight in regressor.model_.state_dict().items()}
    for start in (4, 12, 20):
        stop = min(start + 8, 24)
        regressor.partial_fit(X[:, start:stop], y[:, start:stop])

    fresh = RecurrentRegressor(hidden=4, random_state=5)
    config = fresh._config(fresh._draw(), validated=False)
    model = build(config, 2, 2).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, d = (np.ascontiguousarray(part.swapaxes(0, 1)) for part in (X, y))
    for window in bptt.truncated(model, torch.tensor(x), torch.tensor(d), torch.nn.MSELoss(), 4, 8):
        optimizer.step()
        optimizer.zero_grad()
        if window.stop == 4:
            for name, weight in model.state_dict().items():
                torch.testing.assert_close(first[name], weight)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(regressor.model_.state_dict()[name], weight)
    assert regressor.n_iter_ == len(regressor.loss_curve_) == 4


def test_other_streams_are_refused():
    X, y = streams()
    regressor = RecurrentRegressor(hidden=4, k1=4).partial_fit(X, y)
    with pytest.raises(ValueError, match="this piece has 2 sequences, but those before had 3"):
        regressor.partial_fit(X[:2], y[:2])
    with pytest.raises(ValueError, match="y has 1 outputs"):
        regressor.partial_fit(X, y[..., 0])
    with pytest.raises(ValueError, match="3 features"):
        regressor.predict(np.zeros((2, 4, 3)))
