"""`bptt explore`: an interactive page of a network, served on this machine."""

from __future__ import annotations

import secrets
import webbrowser
from typing import Any

from ..errors import UserError
from ..report.page import page_html, policy
from ..report.server import LOOPBACK, Gone, Server, application, listening
from ..runs.explorer import Explorer, explorer_of
from .explain import STEP, lesson_explorer
from .options import ExplainOptions, ExploreOptions


def explore(config: ExploreOptions) -> int:
    """Serve the page until Ctrl-C; returns the exit code.

    Raises:
        UserError: the run or an option cannot be used, or nothing can be served there.
    """
    _check(config)
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


def _check(config: ExploreOptions) -> None:
    if not 1 <= config.port <= 65535:
        raise UserError(f"--port must be between 1 and 65535, got {config.port}")
    if config.steps is not None and config.steps < 1:
        raise UserError(f"--steps must be at least 1, got {config.steps}")


def _subject(config: ExploreOptions) -> Explorer:
    if config.run is None:
        steps = STEP if config.steps is None else config.steps
        return lesson_explorer(ExplainOptions(t=min(STEP, steps), steps=steps))
    return explorer_of(config.run, config.steps)


def _guarded(config: ExploreOptions, answer: Any) -> Any:
    """An answer that fails with a message once the run's folder is deleted."""

    def reply(question: dict[str, Any]) -> str:
        if config.run is not None and not (config.run / "model.safetensors").exists():
            raise Gone(f"The run {config.run} was deleted while this page was open; what it shows stays as it is.")
        return answer(question)

    return reply
