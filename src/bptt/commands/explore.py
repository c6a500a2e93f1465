"""`bptt explore`: an interactive page of a network, as a file that is opened in the browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

from ..errors import UserError
from ..page.html import page_html
from ..runs.explorer import Explorer
from ..runs.run import load
from .explain import STEP, lesson_explorer
from .opening import explorer_of
from .options import ExplainOptions, ExploreOptions
from .writing import check_new, write_text


def explore(config: ExploreOptions) -> int:
    """Write the page and open it; returns the exit code.

    Raises:
        UserError: the run or an option cannot be used, or the file exists or cannot be written.
    """
    if config.steps is not None and config.steps < 1:
        raise UserError(f"--steps must be at least 1, got {config.steps}")
    check_new(config.out, "--out FILE")
    try:
        page = page_html(_subject(config).page())
    except ValueError as error:
        raise UserError(f"this cannot be explored: {error}") from error
    path = config.out or Path(tempfile.mkdtemp(prefix="bptt-")) / "explore.html"
    write_text(path, page)
    print(path)
    if config.open:
        webbrowser.open(path.absolute().as_uri())
    return 0


def _subject(config: ExploreOptions) -> Explorer:
    if config.run is None:
        steps = STEP if config.steps is None else config.steps
        return lesson_explorer(ExplainOptions(t=min(STEP, steps), steps=steps))
    return explorer_of(load(config.run), config.steps)
