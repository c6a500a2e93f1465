"""The example scripts do what they say, at small sizes."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {
    "lesson": ({}, "step 1: by hand 0.000000, by bptt 0.000000"),
    "long_memory": ({"steps": 10, "updates": 3}, "LSTM error"),
    "own_cell": ({"updates": 3}, "update    3: error"),
    "long_sequence": ({"steps": 500, "memory": "200kB"}, "truncated at k2 = 40: cosine"),
    "stream": ({"rows": 20_000}, "0.1 MB read"),
}


@pytest.mark.parametrize("name", SMALL)
def test_it_says_what_it_found(name, capsys):
    arguments, said = SMALL[name]
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](**arguments)
    assert said in capsys.readouterr().out
