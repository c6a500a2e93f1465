"""`bptt export`: a trained run for runtimes without bptt."""

from __future__ import annotations

from ..errors import UserError
from ..runs.run import load
from .options import ExportOptions
from .streams import say
from .writing import check_new


def export(config: ExportOptions) -> int:
    """Write the files, say what they hold and how exact they are; returns the exit code.

    Raises:
        UserError: the run cannot be used, a file exists or cannot be written, or the extra is not installed.
    """
    out = config.out or config.run / "model.onnx"
    check_new(out if config.run.is_dir() else config.out, "--out")
    run = load(config.run)
    try:
        written, description, script, note = run.export(out, config.state)
    except (ModuleNotFoundError, FileExistsError, FileNotFoundError, RuntimeError) as error:
        raise UserError(str(error)) from error
    say(f"{out}: {', '.join(written.inputs)} -> {', '.join(written.outputs)}")
    if description is not None:
        say(f"{description}: how rows become x, and y forecasts or classes")
    if script is not None:
        say(f"{script}: prints predictions for a file, with numpy and onnxruntime alone: python {script} DATA")
    else:
        say(f"no script that predicts: {note}")
    if written.difference is None:
        say("not compared with the run's network, since onnxruntime is not installed")
    else:
        say(f"onnxruntime's outputs differ from the run's network by at most {written.difference:.1e}")
    return 0
