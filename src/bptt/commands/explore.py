"""`bptt explore`: an interactive page of a network, served on this machine."""

from __future__ import annotations

import secrets
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from ..errors import UserError
from .explain import STEP, ExplainConfig, lesson_explorer

if TYPE_CHECKING:
    from .explorer import Explorer


@dataclass(frozen=True)
class ExploreConfig:
    """Open a page that shows an unfolded network and its gradients, and recomputes them when you change anything.

    Without RUN the network is the lesson's example, as in `bptt explain`. With RUN it is a trained network on the
    last steps of its training set. The page is served to this machine only, until Ctrl-C.
    """

    run: Annotated[Path | None, Positional, arg(metavar="RUN", help_behavior_hint="")] = None
    """Run folder that `bptt train` wrote; without it, the lesson's network."""
    steps: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: the lesson's 3; of a run the last 100)")
    ] = None
    """Length of the sequence at first."""
    port: int = 8765
    """Port to serve on; if it is taken, the next free one."""
    browser: bool = True
    """Whether to open the page in the browser."""
    host: str = "127.0.0.1"
    """Address to serve on. Others than this machine's own let other machines in, with a token in the address."""


def explore(config: ExploreConfig) -> int:
    """Serve the page until Ctrl-C; returns the exit code.

    Raises:
        UserError: the run or an option cannot be used, or nothing can be served there.
    """
    _check(config)
    from ..report.page import page_html, policy
    from ..report.server import LOOPBACK, Server, application, listening

    explorer = _subject(config)
    try:
        page = page_html(explorer.page(live=True))
    except ValueError as error:
        raise UserError(f"this cannot be explored: {error}") from error
    try:
        listener = listening(config.host, config.port)
    except OSError as error:
        raise UserError(f"nothing can be served on {config.host}, port {config.port}: {error.strerror}") from error
    port = listener.getsockname()[1]
    here = config.host in LOOPBACK
    token = None if here else secrets.token_urlsafe(24)
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")} if here else None
    answers: dict[str, Any] = {
        "/api/explore": explorer.explored,
        "/api/diagnose": explorer.diagnosed,
        "/api/descend": explorer.descended,
    }
    answers = {path: _guarded(config, answer) for path, answer in answers.items()}
    app = application(page, policy(live=True), answers, hosts, token)
    name = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{name}:{port}/" + (f"?token={token}" if token else "")
    if port != config.port:
        print(f"port {config.port} is taken; using {port}")
    print(f"{address}   press Ctrl-C to stop", flush=True)
    Server(app, listener).run(ready=lambda: config.browser and webbrowser.open(address))
    return 0


def _check(config: ExploreConfig) -> None:
    if not 1 <= config.port <= 65535:
        raise UserError(f"--port must be between 1 and 65535, got {config.port}")
    if config.steps is not None and config.steps < 1:
        raise UserError(f"--steps must be at least 1, got {config.steps}")


def _subject(config: ExploreConfig) -> Explorer:
    if config.run is None:
        steps = STEP if config.steps is None else config.steps
        return lesson_explorer(ExplainConfig(t=min(STEP, steps), steps=steps))
    from .explorer import explorer_of

    return explorer_of(config.run, config.steps)


def _guarded(config: ExploreConfig, answer: Any) -> Any:
    """An answer that fails with a message once the run's folder is deleted."""
    from ..report.server import Gone

    def reply(question: dict[str, Any]) -> str:
        if config.run is not None and not (config.run / "model.safetensors").exists():
            raise Gone(f"The run {config.run} was deleted while this page was open; what it shows stays as it is.")
        return answer(question)

    return reply
