"""The options of every command except `bptt train`. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..training.options.base import ActivationName, DeviceOption
from ..training.options.shared import Missing

ModuleName = Literal["RNN", "GRU", "LSTM"]


@dataclass(frozen=True)
class PredictOptions:
    """Forecast or classify with a trained run, as CSV; DATA needs the columns the run was trained on.

    A forecast has a line for each row: time, target, truth, forecast, and the lower and upper end of its interval;
    the last ones are the future, their truth empty. Many series, targets and horizons come one after the other. A
    classification has a line for each sequence: series, truth (empty where DATA has no labels), predicted, and the
    probability of each class. With --follow, rows are read from standard input, and each is answered at once by
    the forecast of the row `horizon` after it, left empty until enough rows have come for the inputs.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[
        Path | None, Positional, arg(metavar="[DATA]", help_behavior_hint="(needed without --follow)")
    ] = None
    """CSV, Parquet or .npy file, rows in the order of time; to classify, as the run was trained on, or .ts."""
    follow: bool = False
    """Read rows from standard input and answer each as it arrives."""
    time: Annotated[
        str | None, arg(metavar="COLUMN", help_behavior_hint="(default: as the run, if DATA has it)")
    ] = None
    """Column of numbers or dates that labels the rows."""
    missing: Annotated[Missing | None, arg(help_behavior_hint="(default: as the run was trained)")] = None
    """What to do with missing values: refuse them; interpolate, to classify between neighbours in a
    sequence, to forecast by the value before; or mask them as the run does."""
    device: DeviceOption = None
    """Device to compute on; auto takes the one that the run was trained on if it is here, else the CPU."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """CSV file to write; it must not exist."""


@dataclass(frozen=True)
class SampleOptions:
    """Generate text after a prompt, token by token, with a run of `bptt train --task text`."""

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    prompt: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: a new line)")] = ""
    """Text that is read, and printed, first."""
    temperature: float = 0.8
    """0 takes the likeliest token each time; 1 draws from the predicted probabilities; more is bolder."""
    length: int = 500
    """Characters or bytes to write."""
    seed: int = 0
    """Seed of the tokens drawn."""
    device: DeviceOption = None
    """Device to compute on; auto takes the one that the run was trained on if it is here, else the CPU."""


@dataclass(frozen=True)
class ExportOptions:
    """Write a trained run as ONNX, for runtimes without Python, and beside it what is needed to use it.

    model.onnx takes x (T, B, I), standardised, and returns y (T, B, O), standardised. model.json says how rows
    become x, and y forecasts or classes. predict.py does so with numpy and onnxruntime alone; it is not written
    where it could not: for many series, texts, or dates that are not such as 2020-01-31.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: RUN/model.onnx)")] = None
    """ONNX file to write; beside NAME.onnx stand NAME.json and predict_NAME.py. None of them may exist."""
    state: bool = False
    """For streams: the initial state h_0 (and c_0 of an LSTM) is an input too, zeros to begin with, and the final
    state h_n an output, to be passed with the next call."""


@dataclass(frozen=True)
class DiagnoseOptions:
    """Say whether the gradient of a trained run vanishes or explodes, why, and what to do about it.

    The error is backpropagated through the run's training set, or through the rows of another file.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the run's own)")] = None
    """CSV or Parquet file with the run's columns, rows in the order of time."""
    missing: Annotated[Missing | None, arg(help_behavior_hint="(default: as the run was trained)")] = None
    """What to do with missing values in FILE: refuse them, repeat the value before (interpolate), or mask them."""
    lags: int = 100
    """How many steps back to look; at most 2/3 of all steps."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """File to write every number to; it must not exist."""


@dataclass(frozen=True)
class ExplainOptions:
    """Print each earlier step's contribution to the gradient of one step's error.

    Without RUN the network is the lesson's example: a small Elman network with random weights, inputs and targets,
    and the error is E_3. With RUN it is a trained network on the last steps of a part of its training set (of a
    text, its first 512 characters or bytes; of sequences, the longest), and the error is that of the last step.
    """

    run: Annotated[Path | None, Positional, arg(metavar="[RUN]", help_behavior_hint="")] = None
    """Run folder that `bptt train` wrote; without it, the lesson's network."""
    t: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: the lesson's 3; of a run the last)")
    ] = None
    """Step t of the error E_t."""
    steps: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: t; of a run the last 100)")] = (
        None
    )
    """Length of the sequence."""
    input_size: int = 2
    """Features of x_t."""
    state_size: int = 3
    """Units of the state s_t."""
    output_size: int = 1
    """Outputs y_t."""
    activation: ActivationName = "tanh"
    """Activation Φ."""
    leak: float = 1.0
    """Leak rate α of s_t = (1-α) s_(t-1) + α Φ(...); 1 is the plain network."""
    loss: Literal["squared_error", "cross_entropy"] = "squared_error"
    """Error E_t; cross entropy compares softmax(s_t W_y) with a class number."""
    seed: int = 0
    """Seed of weights, inputs and targets."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """New file for all numbers, as JSON."""
    html: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """New file for the page of `bptt explore`, to read offline."""
    svg: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """New file for a picture of the unfolded network with the gradient on its edges."""
    derivation: bool = False
    """Also print the chain rule, term by term, with this network's numbers."""


@dataclass(frozen=True)
class ExploreOptions:
    """Open a page that shows an unfolded network and its gradients, and recomputes them when you change anything.

    Without RUN the network is the lesson's example, as in `bptt explain`. With RUN it is a trained network on the
    last steps of a part of its training set, as there. The page is one file, which needs no server and no network;
    its path is printed.
    """

    run: Annotated[Path | None, Positional, arg(metavar="[RUN]", help_behavior_hint="")] = None
    """Run folder that `bptt train` wrote; without it, the lesson's network."""
    steps: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: the lesson's 3; of a run the last 100)")
    ] = None
    """Length of the sequence at first."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: a temporary file)")] = None
    """HTML file to write; it must not exist."""
    open: bool = True
    """Whether to open the page in the browser."""


@dataclass(frozen=True)
class CheckOptions:
    """Compute one gradient by every route and compare: fused kernels, reference, checkpointed, torch.nn,
    autograd, and finite differences, which judge the others.

    MODEL is elman, rnn, gru or lstm, with random weights, input and targets, or a run folder, with its weights,
    the loss it was trained by and a stretch of its own data (random where the data are not there). Ends with 0 if
    all ways agree, with 1 if not.
    """

    model: Annotated[str, Positional, arg(metavar="MODEL")]
    """elman, rnn, gru, lstm, or a run folder that `bptt train` wrote."""
    size: Annotated[tuple[int, int, int, int], arg(metavar="T B I H")] = (20, 3, 4, 8)
    """Steps, batch, input and hidden size."""
    layers: int = 1
    """Recurrent layers."""
    bidirectional: bool = False
    """Each layer also runs from the last step to the first."""
    projection: int = 0
    """Size of an lstm's projected output; 0 for none."""
    activation: ActivationName = "tanh"
    """Activation of elman and rnn."""
    leak: float = 1.0
    """Leak rate of elman and rnn; 1 is the plain network."""
    steps: int = 50
    """Of a run: how many steps of a part of its training set to use, the last ones."""
    looks: int = 8
    """Entries of each tensor compared with finite differences, at least 3."""
    seed: int = 0
    """Seed of the weights, input, targets and these entries."""
    device: DeviceOption = None
    """Device to compute on; auto takes the one that a run was trained on if it is here, else the CPU."""


@dataclass(frozen=True)
class BenchOptions:
    """Time RNN, GRU and LSTM beside torch.nn's, in the same process and float32.

    A line gives the milliseconds of a call (median of alternating warm blocks, the minimum in brackets), torch's
    time divided by bptt's, bptt's GF/s and its share of a 2048×2048 matrix product in the same loop. A call is a
    whole training step: zero_grad, forward, backward.
    """

    cells: Annotated[tuple[ModuleName, ...], Positional, arg(metavar="[RNN|GRU|LSTM ...]")] = (
        "RNN",
        "GRU",
        "LSTM",
    )
    """Which modules (default all)."""
    size: Annotated[
        UseAppendAction[tuple[tuple[int, int, int, int], ...]],
        arg(metavar="T B I H", help_behavior_hint="(default: a table of eight)"),
    ] = ()
    """Steps, batch, input and hidden size; may be repeated."""
    inference: bool = False
    """Time the forward pass alone, without gradients; the table begins with a stream of single steps."""
    accuracy: bool = False
    """Instead of time, show the relative error of bptt's and torch's outputs and gradients against float64."""
    peers: bool = False
    """Time ONNX Runtime (inference) and JAX (compiled whole) too, each with as many threads."""
    blocks: int = 5
    """How many blocks of a dozen calls are timed of each module."""
    threads: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: torch's number)")] = None
    """Threads for both; 1 where B is 1, unless with --bidirectional."""
    layers: int = 1
    """Layers of the modules."""
    bidirectional: bool = False
    """Time modules of both directions."""
