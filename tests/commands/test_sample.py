from dataclasses import replace

import pytest

from bptt.commands.options import PredictOptions, SampleOptions
from bptt.commands.predict import predict
from bptt.commands.sample import sample
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.training.options.forecast import SunspotOptions
from bptt.training.options.text import TextOptions


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "t.txt").write_text("abc cab\n" * 60)
    train(TextOptions(data=folder / "t.txt", epochs=1, hidden=8, batch=2, out=folder / "run"))
    return folder / "run"


def test_it_writes_on_after_the_prompt(run, capsys):
    for seed, length in ((0, 30), (0, 30), (1, 30)):
        assert sample(SampleOptions(run, prompt="cab a", length=length, seed=seed)) == 0
    out = capsys.readouterr().out
    assert (len(out), out[:5]) == (3 * 36, "cab a")
    assert out[:36] == out[36:72] != out[72:]


@pytest.mark.usefixtures("undiagnosed")
def test_bytes_are_written_as_they_are(tmp_path, capfdbinary):
    (tmp_path / "t.bin").write_bytes(b"\xc3\xa9\xff" * 100)
    config = TextOptions(data=tmp_path / "t.bin", tokens="bytes", epochs=12, k1=8, batch=2)
    train(replace(config, hidden=8, lr=0.05, out=tmp_path / "run"))
    capfdbinary.readouterr()
    assert sample(SampleOptions(tmp_path / "run", prompt="é", length=3, temperature=0.0)) == 0
    assert capfdbinary.readouterr().out == b"\xc3\xa9\xff\xc3\xa9\n"


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"prompt": "xyz"}, "the prompt holds 'x' as character 1, which is not among the 5"),
        ({"temperature": -1.0}, "--temperature must be at least 0 and finite"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"length": 0}, "--length must be at least 1"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_what_makes_no_sense_is_refused(run, choices, words):
    with pytest.raises(UserError, match=words):
        sample(SampleOptions(run, **choices))


def test_a_run_that_writes_no_text_is_refused_and_text_is_not_predicted(run, tmp_path):
    train(SunspotOptions(epochs=1, out=tmp_path / "sunspots"))
    with pytest.raises(UserError, match="was trained with --task forecast and writes no text; use `bptt predict`"):
        sample(SampleOptions(tmp_path / "sunspots"))
    with pytest.raises(UserError, match="was trained on text; let it write with: bptt sample"):
        predict(PredictOptions(run, run / "sample.txt"))
