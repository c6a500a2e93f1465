import pytest
import torch

import bptt
from bptt.commands.diagnosis import diagnosis_of
from bptt.training.tasks.sample import Sample
from support import assert_close, normal


def sample(T=60, notes=()):
    x, d = normal(T, 1, 1).float(), normal(T, 1, 1, seed=1).float()
    return Sample(x, d, torch.nn.MSELoss(), bptt.squared_error, "squared_error", "rows 1-60", notes)


def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return bptt.SequenceModel(bptt.RNN(1, 3), 1).eval()


def test_it_is_bptt_diagnose_with_the_place_it_was_taken_from():
    found, wanted = diagnosis_of(model(), sample()), bptt.diagnose(model(), *sample()[:3])
    assert (found.sentence, found.severity, found.remedies) == (wanted.sentence, wanted.severity, wanted.remedies)
    assert found.where == "rows 1-60"
    assert found.gradient_norms.whole == wanted.gradient_norms.whole  # of the mean, as training takes it


def test_the_gradient_by_lag_is_that_of_the_errors_themselves():
    """As `bptt.explain` and the film of a run have it, and not a part of their mean."""
    found = diagnosis_of(model(), sample(), lags=10)
    x, d = sample().sequence()
    explained = [bptt.explain(model(), x, d, t=t).state_gradients["l0"] for t in range(11, 61)]
    wanted = torch.stack([e[-11:].norm(dim=-1).flip(0) for e in explained]).mean(0).double()
    assert_close(found.layers[0].gradient_by_lag, wanted, "by lag", 1e-5)


@pytest.mark.parametrize("notes", [(), ("Look here.",)])
def test_what_the_data_do_is_said_beside_the_verdict(notes):
    found = diagnosis_of(model(), sample(notes=notes))
    assert found.notes == list(notes)
    assert ("Look here." in str(found)) is bool(notes)


def test_too_short_a_sample_has_none():
    assert diagnosis_of(model(), sample(7)) is None
