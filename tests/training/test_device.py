import warnings

import pytest
import torch

from bptt import GRU, RNN, SequenceModel
from bptt.errors import UserError
from bptt.training.device import (
    LARGE_ENOUGH,
    device_name,
    device_of_run,
    move_model,
    named_device,
    suitable_device,
)
from bptt.training.workers import ALONE, Workers

SMALL, LARGE = SequenceModel(GRU(8, 64), 1), SequenceModel(GRU(8, 640), 1)
NAME = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update it."


class Team(Workers):
    """Several workers in one process, all of whom say the same."""

    def any(self, flag):
        return flag


@pytest.fixture
def machine(monkeypatch):
    """A machine as torch describes it: how many GPUs, for a torch that was built with or without CUDA."""

    def machine_with(gpus, built=True, warning=None, forked=False):
        def is_available():
            if warning is not None:
                warnings.warn(warning, stacklevel=1)
            return gpus > 0

        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
        monkeypatch.setattr(torch.cuda, "is_available", is_available)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: NAME)
        monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: forked)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return machine_with


@pytest.mark.parametrize(
    ("machine_has", "name", "words"),
    [
        ({"gpus": 0, "built": False}, "cuda", r"this torch \(.*\) is built without CUDA; pass --device cpu"),
        ({"gpus": 0}, "cuda", "torch finds no CUDA device here; pass --device cpu, or auto to use what is there"),
        ({"gpus": 0, "warning": OLD}, "cuda:1", r"The NVIDIA driver on your system is too old \(found .*11040\);"),
        (
            {"gpus": 1, "forked": True},
            "cuda",
            "forked from one that uses CUDA, which does not work; start it with",
        ),
        ({"gpus": 2}, "cuda:7", r"no such device; pass one of those here: cuda:0 \(NVIDIA .*\), cuda:1 \(NVIDIA"),
        ({"gpus": 1}, "gpu", "torch has no device 'gpu' here"),
        ({"gpus": 1}, "mps", "is built without MPS"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_a_line(machine, machine_has, name, words):
    machine(**machine_has)
    with pytest.raises(UserError, match=f"^--device {name}: .*{words}"):
        named_device(name)


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_hidden_gpus_are_said_to_be_hidden(machine, monkeypatch, value):
    machine(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(UserError, match=f"CUDA_VISIBLE_DEVICES is '{value}', which hides every GPU"):
        named_device("cuda")
    assert "which hides every GPU" in suitable_device(LARGE, 1).why


def test_the_device_that_is_named_is_taken(machine):
    machine(2)
    assert named_device("cuda").device == torch.device("cuda", 0)
    assert named_device("cuda:1").device == torch.device("cuda", 1)
    assert str(named_device("cuda")) == f"cuda:0 ({NAME}), as --device asks"
    assert str(named_device("cpu")) == "cpu, as --device asks"


def test_auto_takes_a_gpu_for_a_network_that_is_large_enough(machine):
    machine(1)
    assert str(suitable_device(LARGE, 1)).startswith(f"cuda:0 ({NAME}), since the network is large enough")
    assert suitable_device(SMALL, 32).why == f"since the network is too small to gain from cuda:0 ({NAME})"
    assert suitable_device(SMALL, LARGE_ENOUGH).device.type == "cuda"
    leaky = SequenceModel(RNN(8, 2000, leak=0.5), 1)
    assert (
        suitable_device(leaky, 1).why == f"since cuDNN has no such cell and cuda:0 ({NAME}) would go step by step"
    )
    machine(0)
    assert str(suitable_device(LARGE, 1)) == "cpu, since torch finds no CUDA device here"


def test_each_worker_has_a_gpu_of_its_own(machine, monkeypatch):
    machine(2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert named_device("cuda", Team(1, 2)).device == torch.device("cuda", 1)
    assert suitable_device(LARGE, 1, Team(1, 2)).device == torch.device("cuda", 1)
    assert device_of_run(None, "cuda:0", Team(1, 2)).device == torch.device("cuda", 1)
    assert named_device("cuda", ALONE).device == torch.device("cuda", 0)
    assert suitable_device(LARGE, 1, Team(0, 3)).why == "since 3 workers need a GPU each, and there are 2"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # of four workers on two machines
    assert suitable_device(LARGE, 1, Team(3, 4)).device == torch.device("cuda", 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    with pytest.raises(
        UserError, match="3 workers need a GPU each, and there are 2; pass --workers 2, or --device"
    ):
        named_device("cuda", Team(0, 3))
    with pytest.raises(
        UserError, match="--device cuda:1 is one GPU, and each worker needs its own; pass --device"
    ):
        named_device("cuda:1", Team(0, 2))


def test_workers_take_one_kind_of_device(machine):
    class Divided(Workers):
        def any(self, flag):
            return True

    machine(2)
    assert str(suitable_device(LARGE, 1, Divided(0, 2))) == "cpu, since another worker has no GPU"


def test_a_run_is_used_where_it_was_trained_if_that_is_here(machine):
    machine(1)
    assert str(device_of_run(None, "cpu")) == "cpu, as the run was trained"
    assert str(device_of_run("auto", "cuda:0")) == f"cuda:0 ({NAME}), as the run was trained"
    assert device_of_run(None, "cuda:3").device == torch.device("cuda", 0)
    assert device_of_run("cpu", "cuda:0").why == "as --device asks"
    machine(0)
    wanted = "cpu, since the run was trained on cuda:0 and torch finds no CUDA device here"
    assert str(device_of_run("auto", "cuda:0")) == wanted
    with pytest.raises(UserError, match="--device cuda: torch finds no CUDA device here"):
        device_of_run("cuda", "cuda:0")


def test_any_kind_of_device_that_torch_knows_can_be_named(other_device, monkeypatch):
    if other_device.type == "cuda":
        pytest.skip("is tested above")
    assert named_device(other_device.type).device.type == other_device.type
    monkeypatch.setattr(torch.get_device_module(other_device), "device_count", lambda: 2)
    assert named_device(f"{other_device.type}:1").device == torch.device(other_device.type, 1)
    with pytest.raises(UserError, match="several workers train on the CPU or on CUDA"):
        named_device(other_device.type, Team(0, 2))


def test_a_device_that_fails_is_named(machine):
    class Broken(torch.nn.Module):
        def to(self, device):
            raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCompile with")

    machine(1)
    with pytest.raises(
        UserError, match=r"^cuda:0 \(NVIDIA .* cannot be used: CUDA error: all CUDA.* unavailable; pass"
    ):
        move_model(Broken(), torch.device("cuda", 0))


def test_a_device_without_a_name_is_called_by_its_kind():
    assert device_name(torch.device("cpu")) == "cpu"
