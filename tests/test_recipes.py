"""The recipe for Lightning holds with several processes as well."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
ONE, TWO = (
    'Trainer(max_epochs=5, accelerator="cpu"',
    'Trainer(max_epochs=1, accelerator="cpu", devices=2, strategy="ddp"',
)


def test_two_processes_learn_the_same_weights(tmp_path):
    pytest.importorskip("lightning", reason="Lightning is not installed: its recipe is not run")
    *blocks, lightnings = re.findall(
        r"```python(?: requires=\w+)?\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert ONE in lightnings
    trained = lightnings.replace(ONE, TWO).split("print(")[0]
    saved = 'torch.save(module.model.state_dict(), f"{module.global_rank}.pt")\n'
    script = tmp_path / "recipe.py"
    script.write_text(blocks[0] + trained + saved, encoding="utf-8")
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # two processes share the machine's cores
    subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, env=alone, check=True, capture_output=True, timeout=120
    )
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name in one:
        assert torch.equal(one[name], other[name]), name
