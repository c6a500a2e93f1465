"""Classes by a model that bptt exported, with numpy and onnxruntime: python predict.py DATA > predictions.csv.

DATA is a .ts file, or a CSV file with the columns that model.json names, a row for each step; whichever the model
was trained on.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

if len(sys.argv) != 2:
    sys.exit(__doc__)
path = Path(__file__).with_name("model.json")
model = json.loads(path.read_text(encoding="utf-8"))
columns, stride = model["columns"], model["stride"]
found = []  # of each sequence its name, its class ("" where unknown) and its values (T, C)
with open(sys.argv[1], newline="", encoding="utf-8-sig") as file:
    if model["series"] is None:
        lines = [line.strip() for line in file if line.strip() and line[0] not in "#%"]
        start = [line.lower() for line in lines].index("@data") + 1
        for number, line in enumerate(lines[start:], start=1):
            parts = line.split(":")
            values = [[float(cell) for cell in part.split(",")] for part in parts[: len(columns)]]
            found.append((str(number), "".join(parts[len(columns) :]).strip(), np.array(values).T))
    else:
        by_series = {}
        for row in csv.DictReader(file):
            by_series.setdefault(row[model["series"]].strip(), []).append(row)
        for name, rows in by_series.items():
            values = [[float(row[column]) for column in columns] for row in rows]
            found.append((name, (rows[0].get(model["label"]) or "").strip(), np.array(values)))

session = onnxruntime.InferenceSession(str(path.with_name(model["onnx"])), providers=["CPUExecutionProvider"])
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(["series", "truth", "predicted", *(f"probability of {label}" for label in model["labels"])])
for name, truth, values in found:
    if np.isnan(values).any():
        sys.exit(f"{sys.argv[1]}, series {name}: there are missing values; fill them")
    x = (values - model["mean"]) / model["std"]
    x = np.concatenate([np.repeat(x[:1], -len(x) % stride, axis=0), x]).reshape(-1, 1, stride * len(columns))
    y = np.asarray(session.run(None, {"x": x.astype(np.float32)})[0])[:, 0]
    scores = {"last": y[-1], "mean": y.mean(0), "both": (y[-1] + y.mean(0)) / 2}[model["readout"]].astype(float)
    probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    predicted = model["labels"][int(probabilities.argmax())]
    out.writerow([name, truth, predicted, *probabilities.tolist()])
