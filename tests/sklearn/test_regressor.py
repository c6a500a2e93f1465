import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import r2_score
from torch.nn.utils.rnn import PackedSequence

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
    one = RecurrentRegressor(hidden=8, epochs=2, targets="step")
    assert one.fit(X, y[..., 0]).predict(X).shape == (3, 12)
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
    for window in bptt.truncated(model, torch.tensor(x), torch.tensor(d), torch.nn.MSELoss(), k1=4, k2=8):
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


def test_several_targets_a_sequence_are_told_from_one_a_step():
    X, y = streams(N=8)
    with pytest.raises(ValueError, match="targets='step' or targets='sequence'"):
        RecurrentRegressor(hidden=4).fit(X, y[..., 0])
    few = RecurrentRegressor(hidden=4, epochs=2).fit(X, y[:, :3, 0])
    assert few.predict(X).shape == (8, 3)
    for choice, shorter in (("step", (8, 5)), ("sequence", (8, 12))):
        regressor = RecurrentRegressor(hidden=4, epochs=2, targets=choice).fit(X, y[..., 0])
        assert regressor.predict(X[:, :5]).shape == shorter
        assert regressor.score(X, y[..., 0]) == pytest.approx(
            r2_score(*(part.ravel() for part in (y[..., 0], regressor.predict(X))))
            if choice == "step"
            else r2_score(y[..., 0], regressor.predict(X))
        )
    assert RecurrentRegressor(hidden=4, epochs=2).fit(X, y[:, 0, :1]).predict(X).shape == (8, 1)


def test_steps_that_come_one_by_one_are_asked_about_once():
    X, y = streams()
    with pytest.raises(ValueError, match="targets='step'"):
        RecurrentRegressor(hidden=4).partial_fit(X[:, :1], y[:, :1, 0])
    regressor = RecurrentRegressor(hidden=4, k1=1, k2=4).partial_fit(X[:, :3], y[:, :3])
    regressor.partial_fit(X[:, 3:4], y[:, 3:4])
    assert regressor.per_step_


def test_a_long_sequence_beside_short_ones_costs_its_own_steps(monkeypatch):
    walked = []
    forward = bptt.GRU.forward

    def counted(self, x, hx=None):
        walked.append(x.data.shape[0] if isinstance(x, PackedSequence) else x.shape[0] * x.shape[1])
        return forward(self, x, hx)

    monkeypatch.setattr(bptt.GRU, "forward", counted)
    X = [np.ones((2, 1))] * 30 + [np.ones((500, 1))]
    for k1 in (None, 20):
        walked.clear()
        RecurrentRegressor(hidden=2, epochs=1, k1=k1, random_state=0).fit(X, np.zeros(31)).predict(X)
        assert sum(walked) == 2 * 560


@pytest.mark.parametrize("k1", [None, 3])
def test_a_weight_is_the_sequence_so_many_times_and_zero_leaves_it_out(k1):
    X, y = streams(N=6)
    X, weights = [x[: 12 - 2 * place] for place, x in enumerate(X)], np.array([1, 0, 2, 3, 0, 1])
    y = [part[: len(x), 0] for part, x in zip(y, X, strict=True)]
    often = np.repeat(np.arange(6), weights)
    regressor = RecurrentRegressor(hidden=4, epochs=4, k1=k1, random_state=0, targets="step")
    weighed = clone(regressor).fit(X, y, sample_weight=weights)
    repeated = clone(regressor).fit([X[place] for place in often], [y[place] for place in often])
    np.testing.assert_allclose(weighed.loss_curve_, repeated.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(weighed.predict(X)), np.concatenate(repeated.predict(X)), rtol=1e-7)
    assert weighed.score(X, y, sample_weight=weights) == pytest.approx(
        weighed.score([X[place] for place in often], [y[place] for place in often])
    )
    there = np.flatnonzero(weights)
    left = clone(regressor).fit([X[i] for i in there], [y[i] for i in there], sample_weight=weights[there])
    assert left.loss_curve_ == weighed.loss_curve_
    same = clone(regressor).fit(X, y, sample_weight=np.full(6, 1e-60))
    assert same.loss_curve_ == clone(regressor).fit(X, y).loss_curve_ != weighed.loss_curve_


def test_a_weight_counts_where_a_batch_is_one_sequence():
    X, y = streams(N=4)
    y, weights = y[:, -1, 0], [1e-3, 1e-3, 1e-3, 4]
    regressor = RecurrentRegressor(hidden=8, epochs=60, lr=0.03, batch_size=1, random_state=0)
    errors = [
        np.abs(clone(regressor).fit(X, flipped, sample_weight=weights).predict(X[3:]) - y[3])
        for flipped in (y, np.r_[-y[:3], y[3]])
    ]
    assert max(errors) < 0.1


def test_a_piece_is_weighed_too():
    X, y = streams(N=4)
    once = RecurrentRegressor(hidden=4, k1=4, random_state=0)
    often = clone(once).partial_fit(X[[0, 0, 1, 3]], y[[0, 0, 1, 3]])
    once.partial_fit(X, y, sample_weight=[2, 1, 0, 1])
    for name, weight in often.model_.state_dict().items():
        torch.testing.assert_close(once.model_.state_dict()[name], weight)
    assert once.loss_curve_ == pytest.approx(often.loss_curve_)
