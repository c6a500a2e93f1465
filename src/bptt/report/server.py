"""A web server for one page and the questions it asks.

Questions are computed by a few workers; when too many wait, the next gets an error at once. Every request is
checked before it is used: the host it is addressed to, the page that sent it, its size and its form.
"""

from __future__ import annotations

import hmac
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from . import http_limits

BODY = 1_000_000  # bytes of a question
QUERY = 2_000  # bytes of a query
DEPTH = 32  # nested lists and objects of a question
WORKERS = 2
WAITING = 256  # questions that may wait for a worker
TRIES = 50  # ports tried, from the one asked for
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Answer = Callable[[dict[str, Any]], str]
Refusal = tuple[int, str]


class Gone(Exception):
    """The subject of the page no longer exists; the message names it."""


def application(
    page: str, policy: str, answers: dict[str, Answer], hosts: set[str] | None, token: str | None
) -> Starlette:
    """The page at /, and each answer at its path.

    Args:
        page: HTML.
        policy: its content security policy.
        answers: by path, functions from a question, a JSON object, to JSON. A ValueError becomes status 400 with
            its message, `Gone` 410.
        hosts: the Host headers that are served; None for all, which only a token makes safe.
        token: the secret that every address must carry as ?token=, or None.
    """
    workers = _Workers()
    headers = {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }

    async def show(request: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    def endpoint(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def reply(request: Request) -> Response:
            question = await _question(request)
            if isinstance(question, tuple):
                return _error(*question)
            status, text = await workers.run(answer, question)
            return Response(text, status, media_type="application/json") if status == 200 else _error(status, text)

        return reply

    async def refused(request: Request, error: Exception) -> Response:
        return PlainTextResponse("there is nothing here", getattr(error, "status_code", 404))

    routes = [Route("/", show, methods=["GET"])]
    routes += [Route(path, endpoint(answer), methods=["POST"]) for path, answer in answers.items()]
    app = Starlette(routes=routes, exception_handlers={404: refused, 405: refused})
    app.router.redirect_slashes = False
    app.add_middleware(_RequestFilter, hosts=hosts, token=token)
    return app


class _RequestFilter:
    """Refuses requests addressed to another server, before their body is read."""

    def __init__(self, app: Any, hosts: set[str] | None, token: str | None) -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        if refusal is None:
            return await self.app(scope, receive, send)
        return await _error(*refusal)(scope, receive, send)

    def _refusal(self, request: Request) -> Refusal | None:
        if len(request.scope.get("query_string", b"")) > QUERY:
            return 413, f"the query is longer than {QUERY} bytes"
        host = request.headers.get("host", "")
        if self.hosts is not None and host not in self.hosts:
            return 403, "this page is served to this machine only"
        origin = request.headers.get("origin")
        if request.method != "GET" and origin is not None and origin.partition("://")[2] != host:
            return 403, "questions are answered to this page only"
        if request.method != "GET" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "questions are answered to this page only"
        given = request.query_params.get("token", "")
        if self.token is not None and not hmac.compare_digest(given.encode(), self.token.encode()):
            return 403, "the address lacks its token; open the one that bptt explore printed"
        return None


class _Workers:
    """At most `WORKERS` answers at a time; up to `WAITING` more wait."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None  # made inside the event loop it belongs to
        self._inside = 0

    async def run(self, answer: Answer, question: dict[str, Any]) -> tuple[int, str]:
        """(200, JSON), or an error's status and message."""
        if self._inside >= WORKERS + WAITING:
            return 503, "too many questions at once; try again in a moment"
        self._limiter = self._limiter or anyio.CapacityLimiter(WORKERS)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(_answered, answer, question, limiter=self._limiter)
        finally:
            self._inside -= 1


def _answered(answer: Answer, question: dict[str, Any]) -> tuple[int, str]:
    try:
        return 200, answer(question)
    except ValueError as error:
        return 400, str(error)
    except Gone as error:
        return 410, str(error)


async def _question(request: Request) -> dict[str, Any] | Refusal:
    """The JSON object of a request, or its refusal."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return 415, "a question must come as application/json"
    body = bytearray()
    try:
        with anyio.fail_after(http_limits.BODY):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY:
                    return 413, f"a question may have {BODY} bytes; this one is longer"
    except TimeoutError:
        return 408, "the question took too long to come"
    except ClientDisconnect:
        return 400, "the request ended before its last byte"
    try:
        question = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return 400, "the question is not valid JSON"
    if not isinstance(question, dict) or _deep(question):
        return 400, f"the question must be a JSON object, nested at most {DEPTH} deep"
    return question


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _deep(value: Any, depth: int = 0) -> bool:
    if depth > DEPTH:
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_deep(part, depth + 1) for part in parts)


def _error(status: int, message: str) -> Response:
    return Response(json.dumps({"error": message}), status, media_type="application/json")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on the first free port from `port` on.

    Raises:
        OSError: none of them is free, or the host cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for tried in range(port, min(port + TRIES, 65536)):
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, tried))
            found.listen(512)
            return found
        except OSError as error:
            found.close()
            if tried + 1 == min(port + TRIES, 65536) or isinstance(error, PermissionError | socket.gaierror):
                raise
    raise OSError(f"no port from {port} on is free")


class Server:
    """The application on a socket, until it is stopped."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=http_limits.limited_protocol(),
            server_header=False,
        )
        self._server, self._listener = uvicorn.Server(config), listener

    def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Serve until Ctrl-C; ready() is called from another thread, once the socket listens."""
        threading.Thread(target=ready, daemon=True).start()
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End serving, from any thread."""
        self._server.should_exit = True
