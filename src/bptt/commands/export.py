"""`bptt export`: a trained run as an ONNX file."""

from __future__ import annotations

from ..errors import UserError
from ..runs.run import load
from .options import ExportOptions
from .streams import say
from .writing import check_new


def export(config: ExportOptions) -> int:
    """Write the file, say what it holds and how exact it is; returns the exit code.

    Raises:
        UserError: the run cannot be used, the file exists or cannot be written, or the extra is not installed.
    """
    out = config.out or config.run / "model.onnx"
    check_new(out if config.run.is_dir() else config.out, "--out")
    run = load(config.run)
    try:
        written = run.export(out, config.state)
    except (ModuleNotFoundError, FileNotFoundError, RuntimeError) as error:
        raise UserError(str(error)) from error
    say(f"{out}: {', '.join(written.inputs)} -> {', '.join(written.outputs)}")
    if written.difference is None:
        print("not compared with the run's network, since onnxruntime is not installed")
    else:
        print(f"onnxruntime's outputs differ from the run's network by at most {written.difference:.1e}")
    return 0
