import pytest

from bptt.insight.text_tables import stretches, with_bar


@pytest.mark.parametrize("steps", [1, 2, 5, 13, 200])
@pytest.mark.parametrize("shown", [3, 6, 12])
def test_every_step_once_in_order_and_no_more_shown_than_asked_for(steps, shown):
    for around in {1, steps, (steps + 1) // 2}:
        found = stretches(steps, around, shown)
        assert [k for span in found for k in span] == list(range(1, steps + 1))
        alone = [span[0] for span in found if len(span) == 1]
        assert {1, around, steps} <= set(alone)
        assert len(found) == steps if steps <= shown else len(found) <= shown + 2


def test_steps_around_one_in_the_middle():
    assert [tuple(span) for span in stretches(9, 5, 5) if len(span) > 1] == [(2, 3), (7, 8)]


def test_a_bar_fits_beside_its_line(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert with_bar("a  1", 2.0) == "a  1  " + "█" * 24
    assert with_bar("a  1", 0.0) == "a  1"
    monkeypatch.setenv("COLUMNS", "16")
    assert with_bar("a  1", 0.55) == "a  1  █████▌"
    assert with_bar("a  1" * 9, 1.0) == "a  1" * 9 + "  ████"
