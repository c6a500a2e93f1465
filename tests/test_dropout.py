from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

import bptt
from bptt.dropout import chosen_generator, dropout, dropout_from, without_dropout
from bptt.reach.side_effects import side_state
from bptt.reach.walker import Walker

X = torch.randn(40, 3, 2, generator=torch.Generator().manual_seed(0))


def layers():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return bptt.GRU(2, 4, 2, dropout=0.5).train()


def drawn(gru, seed):
    with dropout_from(torch.Generator().manual_seed(seed)):
        return [gru(X)[0] for _ in range(20)]


def test_a_generator_draws_what_the_process_own_would_and_leaves_that_alone():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        wanted = [torch.nn.functional.dropout(X, 0.3), torch.nn.functional.dropout(X, 0.3)]
        torch.manual_seed(5)
        assert torch.equal(dropout(X, 0.3), wanted[0])
    before = torch.get_rng_state()
    with dropout_from(torch.Generator().manual_seed(5)):
        assert torch.equal(dropout(X, 0.3), wanted[0])
        assert torch.equal(dropout(X, 0.3), wanted[1])
    assert torch.equal(torch.get_rng_state(), before)
    assert chosen_generator() is None


def test_threads_draw_what_each_draws_alone():
    gru = layers()  # drawn once: the process's generator, which the weights come from, is shared by threads
    alone = [drawn(gru, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(partial(drawn, gru), range(4)))
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(alone[0][0], alone[0][1])


def test_steps_walked_again_draw_the_same():
    with dropout_from(torch.Generator().manual_seed(5)):
        walker = Walker(lambda x, state: (x, x))
        state = side_state(walker, [])
        first = dropout(X, 0.5)
        assert side_state(walker, [], state).bytes_since(state) > 0
        state.restore()
        assert torch.equal(dropout(X, 0.5), first)
        assert not torch.equal(dropout(X, 0.5), first)


def test_a_compiled_module_still_drops_out():
    gru = layers()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        wanted = gru(X)[0]
        torch.manual_seed(3)
        assert torch.equal(torch.compile(gru, backend="eager", fullgraph=True)(X)[0], wanted)


def test_without_dropout_puts_every_mode_back():
    model = bptt.SequenceModel(bptt.GRU(3, 5, 2, dropout=0.5), 1)
    model.readout.eval()
    with without_dropout(model):
        assert not model.recurrent.training
    assert (model.training, model.recurrent.training, model.readout.training) == (True, True, False)
