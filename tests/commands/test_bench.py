import re
import sys
from itertools import chain, repeat

import pytest

from bptt import peers
from bptt.commands.bench import bench
from bptt.commands.options import BenchOptions
from bptt.errors import UserError
from bptt.speed import Speed


def lines_of(capsys, blocks=1, **options):
    assert bench(BenchOptions(blocks=blocks, threads=1, **options)) == 0
    return capsys.readouterr().out.splitlines()


def test_a_line_for_each_cell_and_size(capsys):
    head, columns, *lines = lines_of(capsys, cells=("RNN", "LSTM"), size=((2, 1, 3, 4), (3, 2, 1, 1)))
    assert "threads: 1" in head
    assert columns.split()[-3:] == ["ratio", "GF/s", "sgemm"]
    assert [line.split("(")[0].strip() for line in lines] == ["RNN", "RNN", "LSTM", "LSTM"]
    for line in lines:
        numbers = [float(n) for n in re.findall(r"\d+\.\d+", line)]
        torch_ms, _, ours_ms, _, ratio, _ = numbers
        assert ratio == pytest.approx(torch_ms / ours_ms, rel=0.1, abs=0.006)  # 0.005 is the ratio's rounding


def test_a_narrow_terminal_has_words_in_place_of_columns(capsys, monkeypatch):
    taken = Speed(torch_ms=3.0, torch_least=2.5, ours_ms=1.5, ours_least=1.25, gflops=12.0, share=0.25)
    monkeypatch.setattr("bptt.speed.speed", lambda *_, **__: taken)
    monkeypatch.setenv("COLUMNS", "60")
    lines = lines_of(capsys, cells=("RNN",), size=((2, 1, 3, 4),))
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).endswith(
        "RNN (2, 1, 3, 4): torch 3.000 ms (2.500), bptt 1.500 ms (1.250), ratio 2.00, 12.0 GF/s, 25% of sgemm"
    )


def test_inference_begins_with_a_stream_and_accuracy_shows_errors(capsys, monkeypatch):
    monkeypatch.setattr("bptt.speed.SIZES", ((2, 1, 3, 4),))
    _, _, *lines = lines_of(capsys, cells=("GRU",), inference=True)
    assert [line[5:20].strip() for line in lines] == ["(1, 1, 8, 32)", "(2, 1, 3, 4)"]
    _, columns, line = lines_of(capsys, cells=("GRU",), accuracy=True)
    assert columns.split()[-3:] == ["bptt", "torch", "ratio"]
    assert re.search(r"\d\.\de-0\d +\d\.\de-0\d +\d+\.\d\d$", line)


def test_layers_and_directions_are_named_above_the_table(capsys):
    head, _, *lines = lines_of(capsys, cells=("GRU",), size=((2, 1, 3, 4),), layers=2, bidirectional=True)
    assert head.endswith("threads: 1, both directions, 2 layers")
    assert len(lines) == 1


class StandIn:
    """A peer that takes 3 ms a call in its first block, and 5 in every later one."""

    def __init__(self, *_):
        self.block = chain([3e-3], repeat(5e-3)).__next__

    def end(self):
        pass


def test_a_peer_has_a_line_and_a_missing_one_a_dash(capsys, monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda name: name == "JAX")
    monkeypatch.setattr(peers, "Peer", StandIn)
    found = lines_of(capsys, blocks=3, cells=("GRU",), size=((2, 1, 3, 4),), peers=True)
    _, missing, _, line, onnx_runtime, jax = found
    assert missing == "ONNX Runtime is not installed: pip install bptt[peers]"
    assert line.startswith("GRU")
    assert onnx_runtime.split() == ["ONNX", "Runtime", "-"]
    assert re.fullmatch(r" +JAX +5\.000 \( +3\.000\) ms, \d+\.\d\d \(\d+\.\d\d\) times bptt's", jax)


def test_a_peer_ends_where_a_measurement_fails(monkeypatch):
    ended = []

    class Broken(StandIn):
        def __init__(self, *_):
            self.block = lambda: 1 / 0

        def end(self):
            ended.append(self)

    monkeypatch.setattr(peers, "installed", lambda name: name == "JAX")
    monkeypatch.setattr(peers, "Peer", Broken)
    with pytest.raises(ZeroDivisionError):
        bench(BenchOptions(cells=("GRU",), size=((2, 1, 3, 4),), blocks=1, peers=True))
    assert len(ended) == 1


def test_a_peer_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(peers, "_COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(UserError, match="JAX ended with code 3"):
        peers.Peer("JAX", "GRU", (2, 1, 3, 4), True, 1)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("T", [1, 3])
def test_onnx_runtime_computes_y_of_every_step(kind, T):
    pytest.importorskip("onnxruntime")
    results = peers._onnx_runtime(kind, (T, 2, 3, 4), True, 1)()
    assert results[0].shape == (T, 2, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": ((1, 0, 1, 1),)}, "T, B, I, H must be at least 1"),
        ({"blocks": 0}, "--blocks 0"),
        ({"threads": 0}, "--threads 0"),
        ({"accuracy": True, "inference": True}, "choose one"),
        ({"accuracy": True, "peers": True}, "choose one"),
        ({"layers": 0}, "--layers 0"),
        ({"layers": 2, "peers": True}, "one layer in one direction"),
        ({"bidirectional": True, "accuracy": True}, "one layer in one direction"),
    ],
)
def test_what_cannot_be_measured(options, words):
    with pytest.raises(UserError, match=words):
        bench(BenchOptions(**options))
