"""The server as a stranger meets it: over a socket, asked for what it must refuse."""

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bptt.report.server import BODY, Gone, Server, application, listening
from support import Serving


def answer(question):
    if question.get("wrong"):
        raise ValueError("this cannot be changed")
    if question.get("gone"):
        raise Gone("the run was deleted")
    return json.dumps({"got": question})


class Served(Serving):
    """A server in a thread, and its requests."""

    def __init__(self, token=None):
        listener = listening("127.0.0.1", 20000)
        self.port = listener.getsockname()[1]
        hosts = None if token else {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        app = application("<p>the page</p>", "default-src 'none'", {"/api": answer}, hosts, token)
        super().__init__(Server(app, listener), listener)

    def ask(self, method="GET", path="/", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        assert "Traceback" not in text
        return response, text

    def post(self, question, **headers):
        body = question if isinstance(question, str | bytes) else json.dumps(question)
        response, text = self.ask("POST", "/api", body, **headers)
        return response.status, json.loads(text)

    def raw(self, data):
        """The status of what is sent as it is."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(data)
            return int(connection.makefile("rb").readline().split()[1])


@pytest.fixture(scope="module")
def served():
    served = Served()
    yield served
    served.close()


def test_the_page_comes_with_its_policy(served):
    response, text = served.ask()
    assert (response.status, text) == (200, "<p>the page</p>")
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_question_is_answered(served):
    assert served.post({"a": 1}) == (200, {"got": {"a": 1}})


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/%00",
        "/a%00.html",
        "/api/",
        "/static/page.css",
    ],
)
def test_there_is_nothing_else(served, path):
    assert served.ask(path=path)[0].status == 404


def test_a_path_with_dots_or_a_nul_as_it_is(served):
    host = f"Host: 127.0.0.1:{served.port}\r\n\r\n".encode()
    assert served.raw(b"GET /../../etc/passwd HTTP/1.1\r\n" + host) == 404
    assert served.raw(b"GET /a\x00b HTTP/1.1\r\n" + host) in (400, 404)
    assert served.raw(b"nonsense\r\n\r\n") == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1:1", "", "127.0.0.1.evil.example"])
def test_a_foreign_host_is_refused(served, host):
    assert served.ask(Host=host)[0].status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_a_question_from_another_page_is_refused(served, headers):
    status, said = served.post({}, **headers)
    assert status == 403
    assert "this page only" in said["error"]
    assert served.post({}, Origin=f"http://127.0.0.1:{served.port}")[0] == 200


def test_what_is_too_long_is_refused(served):
    assert served.ask(path="/?" + "q" * 3000)[0].status == 413
    long_line = b"GET /?" + b"q" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    assert served.raw(long_line) in (400, 413, 431)
    status, said = served.post(b'"' + b"a" * BODY + b'"')
    assert status == 413
    assert str(BODY) in said["error"]


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        "[" * 40 + "]" * 40,
        '{"a":' * 40 + "1" + "}" * 40,
        "",
        "{",
        "[1]",
        "3",
        '{"a": NaN}',
        '{"a": Infinity}',
        b"\xff\xfe",
        "1" * 5000,
    ],
)
def test_a_question_that_is_no_plain_object_is_refused(served, body):
    status, said = served.post(body)
    assert status == 400
    assert "question" in said["error"]


def test_a_question_of_another_type_is_refused(served):
    assert served.post({}, Content_Type="text/plain")[0] == 415
    assert served.ask("GET", "/api")[0].status == 405
    assert served.ask("PUT", "/")[0].status == 405


def test_what_cannot_be_answered_is_said(served):
    assert served.post({"wrong": True}) == (400, {"error": "this cannot be changed"})
    assert served.post({"gone": True}) == (410, {"error": "the run was deleted"})


def test_200_requests_at_once_are_all_answered_by_few_workers(served):
    before = threading.active_count()
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda i: served.post({"i": i}), range(200)))
        most = threading.active_count() - before - 200
    assert found == [(200, {"got": {"i": i}}) for i in range(200)]
    assert most <= 4


def test_a_taken_port_makes_way_for_the_next():
    with listening("127.0.0.1", 21000) as first:
        port = first.getsockname()[1]
        with listening("127.0.0.1", port) as second:
            assert second.getsockname()[1] > port


def test_a_token_is_asked_for():
    served = Served(token="s3cret")
    try:
        assert served.ask()[0].status == 403
        assert served.ask(path="/?token=wrong")[0].status == 403
        assert served.ask(path="/?token=s3cret", Host="other.example")[0].status == 200
        assert served.ask("POST", "/api", "{}")[0].status == 403
        assert served.ask("POST", "/api?token=s3cret", "{}")[0].status == 200
    finally:
        served.close()
