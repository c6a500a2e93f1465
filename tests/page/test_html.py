import base64
import dataclasses
import hashlib
import json
import re

import pytest
import torch

import bptt
from bptt.page.html import json_of, page_html, page_of, policy
from bptt.page.network import Experiment, Subject
from report.test_run import CLASSIFIED, REPORT
from support import normal


def a_page(net=None, **further):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = net or bptt.Elman(2, 3, 1, dtype=torch.float64)
    subject = Subject(Experiment(net, normal(9, 2), normal(9, 1, seed=1), bptt.squared_error), 3)
    return page_of(subject, "</title><script>alert(1)</script>", ["a & b"], 3, **further)


@pytest.fixture(scope="module")
def run_page():
    return page_html(a_page(run=REPORT))


def scripts(page):
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)


def test_scores_of_rows_named_by_dates_with_points_are_shown():
    scores = {
        "this run": {"01.12.2020 to 31.12.2020": 0.1234},
        "persistence": {"01.12.2020 to 31.12.2020": 0.5678},
    }
    judged = dataclasses.replace(REPORT.judged, scores=scores)
    page = page_html(a_page(run=dataclasses.replace(REPORT, judged=judged)))
    cells = re.findall(r'<td class="(number[^"]*)">([0-9.]+)', page)
    assert ("number best", "0.123") in cells
    assert ("number", "0.568") in cells


def test_a_confusion_matrix_has_each_count_its_share_of_the_row_and_the_recall():
    page = page_html(a_page(run=CLASSIFIED))
    matrix = page[page.index('aria-label="Confusion matrix"') : page.index("<h3>Wrong examples")]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', matrix, re.DOTALL)
    cells = {name: re.findall(r'--share:([0-9.]+)">(\d+) <small>(\d+ %)</small>', row) for name, row in rows}
    assert cells == {
        "down": [("0.750", "3", "75 %"), ("0.250", "1", "25 %"), ("0.000", "0", "0 %")],
        "&lt;b&gt;up": [("0.000", "0", "0 %"), ("1.000", "4", "100 %"), ("0.000", "0", "0 %")],
        "flat": [("0.500", "1", "50 %"), ("0.500", "1", "50 %"), ("0.000", "0", "0 %")],
    }
    assert re.findall(r'recall">([^<]+)<', matrix) == ["75.0 %", "100.0 %", "0.0 %"]
    assert re.findall(r'number right"[^>]*>(\d+) ', matrix) == ["3", "4", "0"]


def test_what_a_user_named_is_escaped(run_page):
    assert "<script>alert" not in run_page
    assert "<img src=x" not in run_page
    assert "&lt;script&gt;alert(1)" in run_page
    assert "a &amp; b" in run_page


def test_the_data_are_one_document(run_page):
    (data,) = [text for attributes, text in scripts(run_page) if 'id="data"' in attributes]
    document = json.loads(data)
    assert document["title"] == "</title><script>alert(1)</script>"
    assert (document["steps"], len(document["x"])) == (3, 9)
    assert document["run"]["lags"][1] == {"epoch": 2, "norms": [1.0, 0.5, 0.2]}


def test_only_our_scripts_may_run(run_page):
    (ours,) = [text for attributes, text in scripts(run_page) if not attributes]
    allowed = policy()
    assert base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode() in allowed
    script_rule = allowed.split("script-src")[1].split(";")[0]
    assert "unsafe" not in script_rule
    assert "connect-src 'none'" in allowed
    assert allowed.replace("'", "&#39;") in run_page


def test_it_is_one_small_file_that_fetches_nothing(run_page):
    assert len(run_page.encode()) < 400_000
    assert not re.search(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?!data:,)', run_page)


def test_the_scripts_modules_share_one_scope_without_a_name_twice(run_page):
    (ours,) = [text for attributes, text in scripts(run_page) if not attributes]
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", ours, re.MULTILINE)
    assert len(names) > 50
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert not re.search(r"^(?:import|export) ", ours, re.MULTILINE)


def test_the_runs_section_is_there_for_a_run_only(run_page):
    assert 'id="results"' in run_page
    assert "0.123" in run_page
    assert 'id="results"' not in page_html(a_page())


def test_a_page_without_a_run_is_small():
    assert len(page_html(a_page(lesson=True)).encode()) < 400_000


def test_the_formulas_are_the_derivations():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    found = a_page(net, lesson=True).formulas
    derived = bptt.derivation(net, t=3)["W_s"]
    plain = found["elman"]["squared_error"]["plain"].matrices["W_s"]
    assert (plain.left.replace("_t", "_3"), plain.total.replace("^{t}", "^{3}")) == (derived.left, derived.total)
    assert any("(1-\\alpha)" in line for line in found["elman"]["squared_error"]["leaky"].equations)
    assert any("softmax" in line for line in found["elman"]["cross_entropy"]["plain"].equations)
    assert any("\\odot f_{k+1}" in line for line in found["lstm"]["squared_error"]["plain"].recursion)


def test_weights_are_laid_out_as_the_formulas_multiply_them():
    with torch.random.fork_rng(devices=[]):
        net = bptt.SequenceModel(bptt.GRU(2, 4, dtype=torch.float64), 1)
    weights = {weight.name: weight for weight in a_page(net).network.weights}
    assert weights["recurrent.weight_ih_l0"].values == net.recurrent.weight_ih_l0.mT.tolist()
    assert weights["recurrent.weight_hh_l0"].latex == "W_s"


def test_a_large_network_is_recorded_and_its_length_limited():
    large = bptt.SequenceModel(bptt.GRU(2, 80, dtype=torch.float64), 1)
    page = a_page(large)
    assert [weight.values for weight in page.network.weights if weight.role == "recurrent"] == [None]
    e = bptt.explain(large, normal(9, 2)[:3], normal(9, 1, seed=1)[:3])
    assert page.recorded.flow["l0"][2] == pytest.approx(e.state_gradient.norm(dim=1).flip(0).tolist(), rel=1e-3)
    assert page.recorded.norm["recurrent.weight_hh_l0"][2][0] == pytest.approx(
        e.contributions["recurrent.weight_hh_l0"][2].norm().item(), rel=1e-3
    )


@pytest.mark.parametrize(
    ("net", "criterion", "steps", "words"),
    [
        (
            lambda: bptt.SequenceModel(bptt.GRU(2, 3, bidirectional=True), 1),
            bptt.squared_error,
            3,
            "bidirectional",
        ),
        (lambda: bptt.Elman(2, 3, 1), torch.nn.MSELoss(), 3, "squared_error, absolute_error, cross_entropy"),
        (lambda: bptt.Elman(2, 3, 1), bptt.squared_error, 501, "at most 500"),
    ],
)
def test_what_cannot_be_shown_is_said(net, criterion, steps, words):
    subject = Subject(Experiment(net().double(), normal(501, 2), normal(501, 1), criterion), steps)
    with pytest.raises(ValueError, match=words):
        page_of(subject, "", [], 1)


def test_what_is_not_finite_never_becomes_json():
    broken = dataclasses.replace(a_page(), t=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_of(broken)


def test_a_page_of_ones_own_network_is_shown_in_a_notebook_and_saved(tmp_path):
    net = bptt.Elman(2, 3, 1)
    page = bptt.live_page(net, torch.ones(4, 2), torch.zeros(4, 1), t=3)
    assert (page.t, page.steps, page.lesson, page.network.weights[0].values) == (3, 4, False, net.W_x.tolist())
    assert page._repr_html_().startswith("<iframe ")
    assert "<script" not in page._repr_html_().split("srcdoc=")[1]
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page_html(page)
    with pytest.raises(FileExistsError):
        page.save(tmp_path / "page.html")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": torch.nn.RNN(2, 3)}, TypeError, "SequenceModel"),
        ({"x": torch.ones(2, 4, 2)}, ValueError, "one sequence"),
        ({"d": torch.ones(3, 1)}, ValueError, "d has 3 rows, but x has 4"),
        ({"t": 5}, ValueError, "t is 5"),
    ],
)
def test_bad_calls_of_a_live_page(change, error, words):
    call = {"model": bptt.Elman(2, 3, 1), "x": torch.ones(4, 2), "d": torch.zeros(4, 1)}
    with pytest.raises(error, match=words):
        bptt.live_page(**call | change)
