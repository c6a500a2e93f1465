import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.options.choosing import OPTIONS
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.options.text import TextOptions
from bptt.training.tasks.classify import Classify
from bptt.training.tasks.factory import gaps_of, made_task, roles
from bptt.training.tasks.forecast import Forecast
from bptt.training.tasks.text import TextTask


def test_what_is_embedded_a_table_and_a_table_read_piece_by_piece(tmp_path):
    assert made_task(SunspotOptions()).name == "the embedded yearly sunspot numbers"
    np.save(tmp_path / "d.npy", np.sin(np.arange(200.0)))
    config = ForecastOptions(data=tmp_path / "d.npy", target="0", reach="truncated")
    assert isinstance(made_task(config), Forecast)
    small = ForecastOptions(data=tmp_path / "d.npy", target="0", reach="truncated", memory="1kB")
    assert not made_task(small).in_memory


def test_each_kind_of_file_has_its_task(tmp_path):
    (tmp_path / "d.ts").write_text("@classLabel true a b\n@data\n1,2:a\n2,3:b\n3,4:a\n5,1:b\n")
    (tmp_path / "d.txt").write_text("abc " * 50)
    assert isinstance(made_task(ClassifyOptions(data=tmp_path / "d.ts")), Classify)
    assert isinstance(made_task(TextOptions(data=tmp_path / "d.txt")), TextTask)


@pytest.mark.parametrize("series", [None, "who"])
@pytest.mark.filterwarnings("ignore:series 'a' is left out")
def test_a_target_that_begins_after_the_training_rows_is_refused_however_it_is_repaired(tmp_path, series):
    rows = [f"a,{'NA' if row < 50 else row}\n" for row in range(60)]
    (tmp_path / "d.csv").write_text("who,y\n" + "".join(rows))
    for missing in ("mask", "interpolate"):
        config = ForecastOptions(data=tmp_path / "d.csv", target="y", series=series, missing=missing)
        with pytest.raises(UserError, match=r"has 0 values in the 48 training rows|no series has enough"):
            made_task(config)


def test_a_run_says_which_columns_it_reads_and_as_what(tmp_path):
    rows = [f"{who},{day},{day % 5},{day % 7},{day % 3}" for who in "ab" for day in range(1, 31)]
    (tmp_path / "d.csv").write_text("s,t,y,z,a\n" + "\n".join(rows))
    (tmp_path / "p.ts").write_text("@classLabel true a b\n@data\n" + "1,2:3,4:a\n2,3:4,5:b\n" * 4)
    data = {"data": tmp_path / "d.csv"}
    for task, choices, wanted in (
        ("forecast", {}, "target 'sunspots', whose past is input"),
        ("forecast", {**data, "target": "y"}, "target 'y', whose past is input"),
        (
            "forecast",
            {**data, "target": ("y", "z"), "input": (("a",),), "time": "t", "series": "s"},
            "targets 'y', 'z', whose past is input; input 'a'; time 't'; series 's'",
        ),
        ("classify", {"data": tmp_path / "p.ts"}, "inputs 'x1', 'x2'; labels of the file"),
    ):
        config = OPTIONS[task](**choices)
        assert roles(made_task(config), config) == f"columns: {wanted}"
    config = TextOptions()
    assert roles(made_task(config), config) == ""


def test_of_a_table_in_long_format(tmp_path):
    rows = [f"{n},{n // 5},{n % 5},{'up' if n < 20 else 'down'},{n * 7 % 11}" for n in range(40)]
    (tmp_path / "d.csv").write_text(",s,t,k,a\n" + "\n".join(rows))
    config = ClassifyOptions(data=tmp_path / "d.csv", series="s", label="k", time="t")
    with pytest.warns(UserWarning, match=r"d\.csv: the column without a name is no input"):
        assert roles(made_task(config), config) == "columns: input 'a'; label 'k'; time 't'; series 's'"
    (tmp_path / "d.csv").write_text("Unnamed: 0,s,t,k,a\n" + "\n".join(rows))
    with pytest.warns(UserWarning, match=r"d\.csv: 'Unnamed: 0' numbers the rows and is no input"):
        assert roles(made_task(config), config) == "columns: input 'a'; label 'k'; time 't'; series 's'"


@pytest.mark.parametrize("series", [None, "who"])
def test_rows_that_the_times_skip_are_counted(tmp_path, series):
    days = [f"2024-03-{day:02d}" for day in range(1, 31)]
    days += [day.replace("-03-", "-04-") for day in days]
    lines = [f"{day},{place % 7},a\n" for place, day in enumerate(days)]
    config = ForecastOptions(data=tmp_path / "d.csv", target="y", time="t", series=series)
    for left_out, said in (([], "1 row, first after 2024-03-30"), ([4, 40, 41], "4 rows, first after 2024-03-04")):
        kept = [line for place, line in enumerate(lines) if place not in left_out]
        (tmp_path / "d.csv").write_text("t,y,who\n" + "".join(kept))
        among = " of series 'a'" if series else ""
        assert gaps_of(made_task(config)).startswith(f"gaps: the times skip {said}{among}; lags")
    (tmp_path / "d.csv").write_text("t,y,who\n" + "".join(lines[:30]))
    assert gaps_of(made_task(config)) == ""
