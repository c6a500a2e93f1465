"""Forecasts by a model that bptt exported, with numpy and onnxruntime: python predict.py DATA.csv > forecast.csv.

DATA has the columns that model.json names, separated by commas, and dates such as 2020-01-31 or 2020-01-31T05:00.
"""

import csv
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import onnxruntime

if len(sys.argv) != 2:
    sys.exit(__doc__)
path = Path(__file__).with_name("model.json")
model = json.loads(path.read_text(encoding="utf-8"))
spacing, lags, horizons = model["spacing"], model["lags"], model["horizons"]
are_dates = spacing["kind"] != "fixed" or spacing["dated"]


def after(times, steps):
    """Times so many rows later."""
    if spacing["kind"] == "fixed":
        step = Decimal(spacing["step"])
        return times + steps * (np.timedelta64(int(step * 10**6), "us") if are_dates else step)
    days, every = times.astype("M8[D]"), spacing["every"]
    if spacing["kind"] == "days":
        weekdays = [day in spacing["weekdays"] for day in range(7)]
        return np.busday_offset(days, steps * every, "backward", weekdays) + (times - days)
    place = spacing["places"][0]
    month, day = np.timedelta64(1, "M"), np.timedelta64(1, "D")

    def day_in(months):
        lengths = ((months + month).astype("M8[D]") - months.astype("M8[D]")).astype(int)
        return months.astype("M8[D]") + (np.minimum(31 if place == "end" else int(place), lengths) - 1) * day

    months = times.astype("M8[M]")
    return day_in(months + (steps * every - (days < day_in(months))) * month) + (times - days)


with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:
    rows = list(csv.DictReader(file))
values = np.array([[float(row[name] or "nan") for name in model["columns"]] for row in rows])
texts = [row[model["time"]].strip() for row in rows] if model["time"] else [str(n + 1) for n in range(len(rows))]
if len(rows) <= lags[-1]:
    sys.exit(f"{sys.argv[1]} has {len(rows)} rows, but at least {lags[-1] + 1} are needed")
if np.isnan(values).any() and model["missing"] != "mask":
    sys.exit(f"{sys.argv[1]} has missing values; fill them")
date = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d){0,2}(\.\d+)?)?)?")
if are_dates and not all(map(date.fullmatch, texts)):
    sys.exit(f"{sys.argv[1]}: write dates as 2020-01-31 or 2020-01-31T05:00")
times = np.array(texts, "M8[us]") if are_dates else np.array([Decimal(text) for text in texts])
slack = np.timedelta64(0, "us") if are_dates else abs(Decimal(spacing["step"])) / 50
if np.sum(np.abs(after(times[:-1], 1) - times[1:]) > slack) > len(times) / 2:
    sys.exit(f"{sys.argv[1]}: the rows are not spaced as those that the model was trained on: {spacing}")

scaled = (values - model["mean"]) / model["std"]
if model["missing"] == "mask":
    scaled = np.concatenate([np.nan_to_num(scaled), np.isnan(scaled)], axis=1)
x = np.concatenate([scaled[lags[-1] - lag : len(rows) - lag] for lag in lags], axis=1)
if model["calendar"]:
    due = after(times[lags[-1] :], max(horizons))
    days = due.astype("M8[D]")
    day = (due - days) / np.timedelta64(1, "D")
    places = {
        "hour of day": day,
        "day of week": ((days.astype(int) + 3) % 7 + day) / 7,
        "day of year": ((days - due.astype("M8[Y]").astype("M8[D]")).astype(int) + day) / 365.2425,
    }
    angles = 2 * np.pi * np.stack([places[period] for period in model["calendar"]], axis=1)
    waves = np.stack([wave(around * angles) for around in (1, 2) for wave in (np.sin, np.cos)], axis=-1)
    x = np.concatenate([x, waves.reshape(len(x), -1)], axis=1)
session = onnxruntime.InferenceSession(str(path.with_name(model["onnx"])), providers=["CPUExecutionProvider"])
y = np.asarray(session.run(None, {"x": x[:, None].astype(np.float32)})[0])[:, 0].astype(float)

decimals = {0} if are_dates else {max(0, -int(time.as_tuple().exponent)) for time in times}
for ahead in range(1, max(horizons) + 1):
    later = after(times[-1:], ahead)[0]
    if are_dates:
        texts.append(str(later)[: len(texts[-1])].replace("T", texts[-1][10:11]))
    else:
        text = f"{later:.{max(decimals)}f}"
        texts.append(text.rstrip("0").rstrip(".") if len(decimals) > 1 and "." in text else text)
several = len(horizons) > 1
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["time", "target", *["horizon"][: int(several)], "truth", "forecast"])
outputs = [(place, ahead) for place in range(len(model["targets"])) for ahead in horizons]
for output, (place, ahead) in enumerate(outputs):
    forecasts = y[:, output] * model["std"][place] + model["mean"][place]
    for row, forecast in enumerate(forecasts.tolist(), start=lags[-1] + ahead):
        truth = values[row, place].item() if row < len(rows) else np.nan
        horizon = [ahead] if several else []
        out.writerow([texts[row], model["columns"][place], *horizon, "" if np.isnan(truth) else truth, forecast])
