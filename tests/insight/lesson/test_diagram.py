import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import bptt
from support import normal

SPACE = "{http://www.w3.org/2000/svg}"
MODELS = {
    "elman": lambda: bptt.Elman(2, 3, 1),
    "rnn": lambda: bptt.SequenceModel(bptt.RNN(2, 3, 2), 1),
    "gru": lambda: bptt.SequenceModel(bptt.GRU(2, 3, bidirectional=True), 1),
    "lstm": lambda: bptt.SequenceModel(bptt.LSTM(2, 3, 2, bidirectional=True, proj_size=2), 1),
}


def sequence(T):
    return normal(T, 2).float(), normal(T, 1, seed=1).float()


def groups(diagram, of):
    """Attributes data-<of> of a picture's groups, and what they say under the pointer."""
    found = {}
    for group in ET.fromstring(diagram.svg).iter(f"{SPACE}g"):
        if f"data-{of}" in group.attrib:
            found[group.attrib[f"data-{of}"]] = group.findtext(f"{SPACE}title")
    return found


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("kind", ["folded", "unfolded"])
@pytest.mark.parametrize("T", [1, 3, 200])
def test_every_picture_is_whole(name, kind, T):
    model = MODELS[name]()
    for drawn in (bptt.diagram(model, kind=kind), bptt.diagram(model, *sequence(T), kind=kind)):
        root = ET.fromstring(drawn.svg)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"] == drawn.label
        assert set(groups(drawn, "flow")) <= set(groups(drawn, "edge"))
        assert drawn._repr_svg_() == drawn.svg


def test_the_lessons_network_unfolded():
    net = bptt.Elman(2, 3, 1)
    e, drawn = bptt.explain(net, *sequence(5), t=3), bptt.diagram(net, *sequence(5), t=3)
    states = {f"{letter}_{k}" for letter in "xsy" for k in (1, 2, 3)}
    assert set(groups(drawn, "node")) == states | {"s_0", "E_3"}
    assert f"norm {e.state_gradient[1].norm():.3g}" in groups(drawn, "flow")["s_2→s_3"]
    assert set(bptt.derivation(net, t=3)["W_s"].terms[1].path) <= set(groups(drawn, "edge"))


def test_many_steps_are_folded_in_the_middle():
    net = bptt.Elman(2, 3, 1)
    drawn = bptt.diagram(net, *sequence(200))
    assert "⋯ 191 steps ⋯" in drawn.svg
    steps = [int(name[2:]) for name in groups(drawn, "node") if name.startswith("x")]
    assert steps == [1, 2, 3, 195, 196, 197, 198, 199, 200]
    assert "⋯" not in bptt.diagram(net, t=12).svg


@pytest.mark.parametrize(("T", "edge"), [(5, "s_3→s_4"), (60, "s_58→s_59")])
def test_a_cross_where_the_flow_dies_and_only_there(T, edge):
    net = bptt.Elman(1, 1, 1)
    net.W_x, net.W_s, net.W_y = [[0.0]], [[1e-4]], [[1.0]]  # every step back leaves a ten-thousandth
    drawn = bptt.diagram(net, torch.zeros(T, 1), torch.ones(T, 1))
    assert crossed(drawn) == [edge]
    assert "it has died" in drawn.svg


def test_a_flow_that_dies_in_a_folded_stretch_is_crossed_behind_it():
    net = bptt.Elman(1, 1, 1)
    net.W_x, net.W_s, net.W_y = [[0.0]], [[0.75]], [[1.0]]
    drawn = bptt.diagram(net, torch.zeros(60, 1), torch.ones(60, 1))
    assert crossed(drawn) == ["s_3→s_4"]


def crossed(drawn):
    return [
        group.attrib["data-flow"]
        for group in ET.fromstring(drawn.svg).iter(f"{SPACE}g")
        if any("cross" in path.attrib.get("class", "") for path in group)
    ]


def test_colours_never_stand_alone():
    net = bptt.Elman(1, 1, 1)
    net.W_x, net.W_s, net.W_y = [[0.0]], [[0.2]], [[1.0]]
    drawn = bptt.diagram(net, torch.zeros(4, 1), torch.ones(4, 1))
    widths = {}
    for group in ET.fromstring(drawn.svg).iter(f"{SPACE}g"):
        for path in group.iter(f"{SPACE}path"):
            if (
                "stroke-width" in path.attrib
                and "data-flow" in group.attrib
                and "cross" not in path.attrib["class"]
            ):
                widths[group.attrib["data-flow"]] = float(path.attrib["stroke-width"]), path.attrib["class"]
    ordered = [widths[name] for name in ("s_4→y_4", "s_3→s_4", "s_2→s_3", "s_1→s_2")]
    assert [kind for _, kind in ordered] == ["back", "back", "back", "back"]
    assert all(a > b for (a, _), (b, _) in pairwise(ordered))


def test_it_is_saved_but_nothing_is_overwritten(tmp_path):
    drawn = bptt.diagram(bptt.Elman(2, 3, 1), kind="folded")
    drawn.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == drawn.svg + "\n"
    with pytest.raises(FileExistsError):
        bptt.diagram(bptt.Elman(2, 3, 1)).save(str(tmp_path / "a.svg"))
    assert (tmp_path / "a.svg").read_text() == drawn.svg + "\n"


def test_the_readmes_picture_is_made_by_it(tmp_path):
    torch.manual_seed(0)
    net = bptt.Elman(input_size=2, state_size=3, output_size=1)
    x, d = torch.randn(5, 2), torch.randn(5, 1)
    kept = (Path(__file__).parents[3] / "docs" / "unfolded.svg").read_text(encoding="utf-8")
    found = ET.fromstring(bptt.diagram(net, x, d, t=3).svg)
    assert "".join(found.itertext()) == "".join(ET.fromstring(kept).itertext()).rstrip("\n")


def test_its_colours_leave_a_derivation_in_the_same_document_alone():
    torch.manual_seed(0)
    net, x, d = bptt.Elman(2, 3, 1), torch.randn(3, 2), torch.randn(3, 1)
    drawn, written = (ET.fromstring(f(net, x, d, t=2).svg) for f in (bptt.diagram, bptt.derivation))
    rules = drawn.find("{*}style").text.replace("@media(prefers-color-scheme:dark){", "")
    styled = set(re.findall(r"\.([\w-]+) ", rules))
    assert styled
    assert styled.isdisjoint(written.get("class").split())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": torch.nn.RNN(2, 3)}, TypeError, "SequenceModel"),
        ({"kind": "flat"}, ValueError, "folded.*unfolded.*flat"),
        ({"t": 0}, ValueError, "t is 0.*count from 1"),
        ({"t": 2.0}, TypeError, "t must be an int"),
        ({"x": torch.zeros(3, 2)}, TypeError, "both x and d"),
        ({"x": torch.zeros(3, 2), "d": torch.zeros(3, 1), "t": 4}, ValueError, "t is 4.*1 to 3"),
    ],
)
def test_bad_calls(change, error, words):
    with pytest.raises(error, match=words):
        bptt.diagram(**{"model": bptt.Elman(2, 3, 1), **change})
