import base64
import dataclasses
import gzip
import hashlib
import json
import re

import pytest
import torch
from plotly.offline import get_plotlyjs

import bptt
from bptt.insight.exploring.exploration import explore
from bptt.report.page import Live, Page, json_of, page_html, policy
from report.test_run import REPORT
from support import normal


def page_of(**further):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    found = explore(net, normal(3, 2), normal(3, 1, seed=1))
    return Page(
        title="</title><script>alert(1)</script>",
        lead=["a & b"],
        command="bptt explore",
        exploration=found,
        t=3,
        **further,
    )


@pytest.fixture(scope="module")
def run_page():
    return page_html(page_of(run=REPORT))


def scripts(page):
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)


def test_what_a_user_named_is_escaped(run_page):
    assert "<script>alert" not in run_page
    assert "<img src=x" not in run_page
    assert "&lt;script&gt;alert(1)" in run_page
    assert "a &amp; b" in run_page


def test_the_data_are_one_document(run_page):
    (data,) = [text for attributes, text in scripts(run_page) if 'id="data"' in attributes]
    document = json.loads(data)
    assert document["title"] == "</title><script>alert(1)</script>"
    assert document["exploration"]["steps"] == 3
    assert document["run"]["lags"][1] == {"epoch": 2, "norms": [1.0, 0.5, 0.2]}
    assert document["live"] is None


def test_only_our_scripts_may_run(run_page):
    (ours,) = [text for attributes, text in scripts(run_page) if not attributes]
    allowed = policy(live=False)
    for text in (ours, get_plotlyjs()):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in allowed
    script_rule = allowed.split("script-src")[1].split(";")[0]
    assert "unsafe" not in script_rule
    assert "connect-src 'none'" in allowed
    assert "connect-src 'self'" in policy(live=True)
    assert allowed.replace("'", "&#39;") in run_page


def test_plotly_travels_along_packed(run_page):
    (packed,) = [text for attributes, text in scripts(run_page) if 'id="plotly"' in attributes]
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()


def test_it_is_one_small_file_that_fetches_nothing(run_page):
    assert len(run_page.encode()) < 6_000_000
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
    assert 'id="results"' not in page_html(page_of())


def test_what_a_live_page_may_choose_is_in_the_document():
    page = page_of(live=Live(["tanh"], ["squared_error"], 10))
    assert json.loads(json_of(page))["live"] == {
        "activations": ["tanh"],
        "losses": ["squared_error"],
        "most_steps": 10,
    }
    assert "connect-src &#39;self&#39;" in page_html(page)


def test_what_is_not_finite_never_becomes_json():
    broken = dataclasses.replace(page_of(), t=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_of(broken)
