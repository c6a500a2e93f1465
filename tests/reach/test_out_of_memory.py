import pytest
import torch

from bptt.reach.out_of_memory import memory_advice, out_of_memory


def test_what_is_out_of_memory_is_said_with_the_bytes():
    text = (
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 1 has a total capacity of 79.11 GiB of which "
        "12.75 MiB is free. Including non-PyTorch memory, this process has 79.09 GiB memory in use."
    )
    wanted = "GPU 1 is out of memory: 20.00 MiB more were needed, and 12.75 MiB of 79.11 GiB are free"
    assert out_of_memory(torch.OutOfMemoryError(text)) == wanted
    of_cpu = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error code 12"
    assert out_of_memory(RuntimeError(of_cpu)) == "out of memory: 4096 bytes more were needed"
    assert out_of_memory(MemoryError("hidden_size=2**40")) == "hidden_size=2**40"
    assert out_of_memory(RuntimeError("shapes differ")) is None


def test_advice_is_added_to_what_torch_says_and_nothing_else():
    text = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of"
    wanted = r"^GPU 0 is out of memory: 2\.00 GiB more were needed, in a walk; rest$"
    with pytest.raises(torch.OutOfMemoryError, match=wanted) as caught, memory_advice("a walk", "rest"):
        raise torch.OutOfMemoryError(text)
    assert out_of_memory(caught.value) == "GPU 0 is out of memory: 2.00 GiB more were needed"
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), memory_advice("a walk", "rest"):
        raise RuntimeError("shapes differ")
