import pytest

import bptt


def test_every_public_name_is_there():
    assert all(hasattr(bptt, name) for name in bptt.__all__)


def test_a_name_removed_in_0_2_is_said_with_the_one_that_took_its_place():
    with pytest.raises(AttributeError, match=r"bptt.accelerate was removed in 0.2; use bptt.from_torch"):
        bptt.__getattr__("accelerate")
    assert not any(hasattr(bptt, name) for name in ("accelerate", "check", "bias", "plan", "unfold"))
    with pytest.raises(AttributeError, match="no_such_name"):
        bptt.__getattr__("no_such_name")
