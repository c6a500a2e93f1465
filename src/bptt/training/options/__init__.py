"""The options of a training run, one frozen dataclass a task; nothing here imports torch.

`base.py` has what every task takes, `shared.py` what two of the three share; `forecast.py`, `classify.py` and
`text.py` add each task's own options and defaults, and `choosing.py` sees from a command line or a config.toml
which of them it is about. The names, types, defaults and texts of the fields are the command line's and
config.toml's. Start reading at `base.py`.
"""
