import pytest

from bptt.training.options.choosing import OPTIONS
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.text import TextOptions
from bptt.training.tasks.factory import made_task
from bptt.training.tasks.roles import roles


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
