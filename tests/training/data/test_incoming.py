from datetime import datetime
from decimal import Decimal

import pytest

from bptt.errors import UserError
from bptt.training.data.incoming import Label, next_label
from bptt.training.data.stamps import Clock


def test_labels_one_after_another():
    first = next_label("20200131", None, Clock(), "line 2")
    assert first == Label("20200131", Decimal(20200131))
    assert next_label("20200201", first, Clock(), "line 3").moment == 20200201
    day = next_label("03/02/2020", None, Clock(day_first=True), "line 2")
    assert day.moment == datetime(2020, 2, 3)
    assert next_label("01/03/2020", day, Clock(day_first=True), "line 3").moment == datetime(2020, 3, 1)
    with pytest.raises(UserError, match="line 3: 02/02/2020 is out of order, after 03/02/2020 in the row before"):
        next_label("02/02/2020", day, Clock(day_first=True), "line 3")


def test_an_order_of_day_and_month_that_is_not_known_is_not_checked():
    first = next_label("03/02/2020", None, Clock(), "line 2")
    assert first.moment is None
    assert next_label("02/02/2020", first, Clock(), "line 3").moment is None
