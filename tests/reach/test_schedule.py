from functools import cache

import pytest

from bptt.reach.schedule import Advance, Replay, extra_walks, reversal


@cache
def least(S, c):
    """By dynamic programming: t(S, c) = min over j of j + t(S - j, c - 1) + t(j, c)."""
    if S == 1:
        return 0
    if c == 0:
        return 10**9
    return min(j + least(S - j, c - 1) + least(j, c) for j in range(1, S))


@pytest.mark.parametrize("S", [1, 2, 3, 5, 8, 13, 20, 35, 56])
@pytest.mark.parametrize("c", [1, 2, 3, 4, 6, 12, 55, 100])
def test_every_segment_is_replayed_from_its_own_state_at_the_least_cost(S, c):
    slots, walked, replayed = {0: 0}, 0, []
    for action in reversal(S, c):
        if isinstance(action, Advance):
            assert slots[action.slot] == action.start, "the state before the advance"
            walked += action.stop - action.start
            slots[action.slot + 1] = action.stop
            assert action.slot + 1 <= c, "more checkpoints than there are"
        else:
            assert isinstance(action, Replay)
            assert slots[action.slot] == action.segment, "the state before the replay"
            replayed.append(action.segment)
    assert replayed == list(range(S))[::-1]
    assert walked == extra_walks(S, c) == least(S, c)


def test_the_first_advances_pass_every_segment_but_the_last_once():
    passed = []
    for action in reversal(100, 4):
        if isinstance(action, Replay):
            break
        passed += range(action.start, action.stop)
    assert passed == list(range(99))


def test_a_million_segments():
    assert extra_walks(10**6, 10**6 - 1) == 10**6 - 1
    assert sum(isinstance(action, Replay) for action in reversal(10**5, 10**5)) == 10**5
    assert extra_walks(10**6, 30) < 6 * 10**6
