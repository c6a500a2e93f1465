"""Small data sets to train on, and the contents of a run's folder."""

import math
import random
from datetime import datetime, timedelta

import polars as pl


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_table(path, rows=80):
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 1, 1) + pl.duration(days=rows - 1), eager=True)
    y = [10 + math.sin(i / 3) for i in range(rows)]
    pl.DataFrame({"day": days, "y <b>&": y, "wind": [i % 7 for i in range(rows)]}).write_csv(path)
    return path


def a_text(path):
    path.write_text("the cat sat on the mat. " * 40)
    return path


def vowels(path):
    lines = [f"{i % 2},{i % 2 + 1},{i}:{i % 2}" for i in range(20)]
    path.write_text("@problemName p\n@classLabel true 0 1\n@data\n" + "\n".join(lines) + "\n")
    return path


def hourly(path, gaps=True):
    rng, begin = random.Random(0), datetime(2024, 1, 1)
    rows = [
        {
            "who": who,
            "t": (begin + timedelta(hours=i)).isoformat(),
            "y": scale * (10 + math.sin(2 * math.pi * i / 24) + rng.gauss(0, 0.1)),
            "z": rng.gauss(0, 1) if i % 9 or not gaps else None,
        }
        for who, scale, length in (("a", 1, 120), ("b", 50, 100))
        for i in range(length)
    ]
    pl.DataFrame(rows).write_csv(path)
    return path
