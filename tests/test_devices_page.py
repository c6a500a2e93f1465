"""What docs/devices.md shows of a GPU is printed, by the emulated device and the stand-in for cuDNN."""

from pathlib import Path

import pytest
import torch

import bptt
from bptt.cuda.launching import Driver
from devices import OTHER
from standin_cudnn import cudnn_on_cpus

PAGE = (Path(__file__).parents[1] / "docs" / "devices.md").read_text(encoding="utf-8")


def as_on_cuda(answer: str) -> str:
    """An answer of `why` on the other device, as a GPU gives it."""
    here, there = (Driver().unavailable(torch.device(name)) for name in (f"{OTHER}:0", "cuda:0"))
    return answer.replace(here, there).replace(f"{OTHER}:0", "cuda:0")


pytestmark = pytest.mark.skipif(OTHER != "emulated", reason="a real device is here")


@pytest.mark.parametrize(
    "module",
    [
        bptt.LSTM(8, 32, 2),
        bptt.RNN(8, 32, leak=0.5),
        bptt.RNN(8, 32, nonlinearity="gelu"),
    ],
    ids=str,
)
def test_the_answers_of_why(module, other_device):
    with cudnn_on_cpus(device_type=OTHER):
        answer = bptt.why(module.to(other_device), torch.zeros(20, 4, 8, device=other_device))
    assert f"```text\n{as_on_cuda(answer)}\n```" in PAGE


def test_the_answer_under_vmap(other_device):
    module, answers = bptt.LSTM(8, 32, device=other_device), []

    def asked(x):
        answers.append(bptt.why(module, x))
        return x

    with cudnn_on_cpus(device_type=OTHER):
        torch.func.vmap(asked, 1)(torch.zeros(20, 3, 4, 8, device=other_device))
    assert f"```text\n{as_on_cuda(answers[0])}\n```" in PAGE
