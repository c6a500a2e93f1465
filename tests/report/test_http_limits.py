"""Clients that hold a server up: they send half of something, or read nothing, and wait."""

import socket
import threading
from contextlib import ExitStack

import pytest

from bptt.report import http_limits
from bptt.report.server import Server, application, listening
from support import Serving

PAGE = "<p>the page" * 10_000_000  # more than the system takes without a reader
HALF = b"GET / HTTP/1.1\r\nHost: a\r\nX-"
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF_A_QUESTION = b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"


@pytest.fixture
def serve():
    """Start a server; returns how to connect to it. Ends it, and all connections, afterwards."""
    with ExitStack() as opened:

        def started(page="the page"):
            listener = listening("127.0.0.1", 23000)
            app = application(page, "default-src 'none'", {"/api": lambda question: "{}"}, None, None)
            serving = Serving(Server(app, listener), listener)
            opened.callback(serving.close)
            port = listener.getsockname()[1]

            def connect(data):
                connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                connection.sendall(data)
                return connection

            return connect, serving

        yield started


@pytest.mark.parametrize("data", [b"", HALF])
def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(serve, monkeypatch, data):
    monkeypatch.setattr(http_limits, "HEAD", 0.2)
    connect, _ = serve()
    assert connect(data).makefile("rb").read() == b""


def test_nor_is_a_second_one(serve, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD", 0.2)
    connect, _ = serve()
    connection = connect(WHOLE)
    assert connection.recv(10_000)
    connection.sendall(HALF)
    connection.makefile("rb").read()


def test_a_question_that_does_not_come_to_its_end_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(http_limits, "BODY", 0.2)
    monkeypatch.setattr(http_limits, "HEAD", 0.2)
    connect, _ = serve()
    connection = connect(HALF_A_QUESTION)
    assert connection.makefile("rb").readline().split()[1] == b"408"


def test_who_reads_nothing_is_let_go(serve, monkeypatch):
    gone, lose = threading.Event(), http_limits.H11Protocol.connection_lost

    def lost(connection, error):
        lose(connection, error)
        gone.set()

    monkeypatch.setattr(http_limits, "STALLED", 0.2)
    monkeypatch.setattr(http_limits.H11Protocol, "connection_lost", lost)
    connect, serving = serve(PAGE)
    connect(WHOLE)
    assert gone.wait(20)
    seen = serving.server._server.server_state
    assert (seen.total_requests, len(seen.connections)) == (1, 0)


def test_half_sent_heads_do_not_starve_others(serve):
    connect, serving = serve()
    for _ in range(300):
        connect(HALF)
    assert connect(WHOLE).makefile("rb").readline().split()[1] == b"200"
    assert len(serving.server._server.server_state.connections) <= http_limits.WAITING + 1


def test_the_server_ends_beside_clients_that_wait(serve, monkeypatch, caplog):
    monkeypatch.setattr(http_limits, "GRACE", 0.2)
    connect, serving = serve(PAGE)
    for data in (b"", HALF, HALF_A_QUESTION, WHOLE):
        connect(data)
    serving.server.stop()
    serving.thread.join(20)
    assert not serving.thread.is_alive()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
