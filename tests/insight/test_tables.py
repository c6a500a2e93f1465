import re

import pytest
import torch

import bptt
from support import normal


@pytest.mark.parametrize("T", [3, 200])
def test_the_table_of_an_explanation_has_every_share(T):
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    e = bptt.explain(net, normal(T, 2), normal(T, 1, seed=1))
    html = e._repr_html_()
    assert "<svg" in html
    assert "<th" in html
    table = html.split("<table")[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    assert len(rows) < 40
    shares = [float(share) for row in rows for share in re.findall(r"\((-?[\d.]+)%\)", row)[:1]]
    assert sum(shares) == pytest.approx(100, abs=1.0)
