import re
import xml.etree.ElementTree as ET

import pytest
import torch

import bptt
from bptt.insight.diagrams import diagram
from support import normal


def network(kind="Elman", layers=1, both=False, S=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "Elman":
            return bptt.Elman(2, S, 1, dtype=torch.float64)
        module = getattr(bptt, kind)(2, S, layers, bidirectional=both, dtype=torch.float64)
        return bptt.SequenceModel(module, 1).double()


def explained(net, T=3, t=None):
    return bptt.explain(net, normal(T, 2), normal(T, 1, seed=1), t)


def named(svg, what):
    return re.findall(rf'data-{what}="([^"]*)"', svg)


NETWORKS = [("Elman", 1, False), ("RNN", 2, False), ("GRU", 1, True), ("LSTM", 2, False), ("LSTM", 1, True)]


@pytest.mark.parametrize("kind", ["folded", "unfolded"])
@pytest.mark.parametrize("of", NETWORKS, ids=str)
def test_every_picture_is_well_formed_and_says_what_it_is(of, kind):
    net = network(*of)
    for e in (None, explained(net)):
        picture = diagram(net, kind, e)
        root = ET.fromstring(picture.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == picture.label
        assert f"folded {'over' if kind == 'unfolded' else 'in time'}" in picture.label
        ids = re.findall(r' id="([^"]+)"', picture.svg)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r"url\(#([^)]+)\)", picture.svg)) <= set(ids)
        assert picture._repr_svg_() == picture.svg


def test_the_lessons_network_unfolded_has_every_node_and_edge():
    svg = diagram(network(), steps=3).svg
    nodes = [f"{letter}_{k}" for k in (1, 2, 3) for letter in "xsy"]
    assert sorted(named(svg, "node")) == sorted([*nodes, "s_0", "E_3"])
    along = [f"s_{k - 1}→s_{k}" for k in (1, 2, 3)]
    up = [edge for k in (1, 2, 3) for edge in (f"x_{k}→s_{k}", f"s_{k}→y_{k}")]
    assert sorted(named(svg, "edge")) == sorted([*along, *up, "y_3→E_3"])
    assert named(svg, "flow") == []


def test_the_gradient_goes_back_over_the_paths_of_its_error_alone():
    net = network()
    e = explained(net, T=5, t=3)
    svg = diagram(net, "unfolded", e).svg
    back = {"y_3→E_3", "s_3→y_3", "s_2→s_3", "s_1→s_2", *(f"x_{k}→s_{k}" for k in (1, 2, 3))}
    assert set(named(svg, "flow")) == back
    titles = re.findall(r"<title>([^<]*)</title>", svg)
    norm = e.state_gradient[0].norm().item()
    assert any(f"∂E_3/∂s_1: norm {norm:.3g}" in title for title in titles)


def test_where_the_flow_has_died_is_marked():
    net = network()
    net.W_s.data.mul_(1e-3)
    svg = diagram(net, "unfolded", explained(net, T=4)).svg
    assert "cross" in svg.split("</style>")[1]
    assert "it has died" in svg
    assert "it has died" not in diagram(network(), "unfolded", explained(network())).svg


@pytest.mark.parametrize("T", [1, 12, 13, 200])
def test_long_sequences_are_folded_in_the_middle(T):
    net = network()
    svg = diagram(net, "unfolded", explained(net, T)).svg
    columns = {int(node[2:]) for node in named(svg, "node") if node.startswith("s_")} - {0}
    assert {1, T} <= columns
    folded = sum(int(count) for count in re.findall(r"⋯ (\d+) steps? ⋯", svg))
    assert len(columns) + folded == T
    assert (folded > 0) == (T > 12)
    assert len(svg) < 60_000


def test_it_is_saved_and_nothing_is_overwritten(tmp_path):
    picture = diagram(network(), "folded")
    picture.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").strip() == picture.svg
    with pytest.raises(FileExistsError):
        picture.save(tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((torch.nn.GRU(2, 3),), TypeError, "bptt.Elman or a bptt.SequenceModel is needed, got GRU"),
        ((network(), "sideways"), ValueError, 'kind must be "folded" or "unfolded"'),
        ((network(), "unfolded", 3), TypeError, "what bptt.explain returned, got int"),
        ((network(), "unfolded", explained(network(S=4))), ValueError, "is of another model"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, error, words):
    with pytest.raises(error, match=re.escape(words)):
        diagram(*arguments)
    for kind in ("folded", "unfolded"):
        with pytest.raises((TypeError, ValueError)):
            diagram(network(), kind, explained(network()) if kind == "unfolded" else None, steps=3)
