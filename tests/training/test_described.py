from pathlib import Path

import pytest

from bptt.errors import UserError
from bptt.training.config import TrainConfig
from bptt.training.described import read_config, read_toml, save_config
from bptt.training.tasks.forecast import sunspot_forecast


def test_what_was_written_is_read(tmp_path):
    config = TrainConfig(horizon=(1, 3), out=tmp_path)
    task = sunspot_forecast(config)
    save_config(tmp_path, config, task, {})
    found = read_config(tmp_path / "config.toml")
    assert (found.config, found.columns, found.scaling) == (config, ["sunspots"], task.scaling)
    assert (found.labels, found.calendar, found.series) == ([], [], {})


def test_a_choice_that_a_later_version_adds_is_passed_over_and_a_later_format_is_not(tmp_path):
    config = TrainConfig()
    save_config(tmp_path, config, sunspot_forecast(config), {})
    path = Path(tmp_path / "config.toml")
    path.write_text(path.read_text().replace("[train]", "[train]\nlater = 3"))
    assert read_config(path).config == config
    path.write_text(path.read_text().replace("format = 1", "format = 2"))
    with pytest.raises(UserError, match="reads up to 1: update bptt"):
        read_config(path)


def test_choices_that_cannot_work_are_said_with_the_file(tmp_path):
    config = TrainConfig()
    save_config(tmp_path, config, sunspot_forecast(config), {})
    path = Path(tmp_path / "config.toml")
    path.write_text(path.read_text().replace("hidden = 12", f"hidden = {2**40}"))
    with pytest.raises(UserError, match=r"config.toml is damaged: --hidden must be .* below 2147483648"):
        read_config(path)
    with pytest.raises(UserError, match="is missing"):
        read_toml(tmp_path / "none.toml")
