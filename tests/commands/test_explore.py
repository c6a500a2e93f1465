import http.client
import json
import re
import shutil
import threading

import pytest

from bptt.commands.explore import explore
from bptt.commands.options import ExploreOptions
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.report import server
from bptt.training.options.forecast import ForecastOptions


@pytest.fixture
def explored(monkeypatch, capsys):
    """Start the command in a thread; returns what it printed, with a way to ask. Ends it afterwards."""
    running = []

    def start(**choices):
        ready = threading.Event()
        run = server.Server.run

        def remembered(self, ready_of_command):
            running.append(self)
            run(self, lambda: (ready_of_command(), ready.set()))

        monkeypatch.setattr(server.Server, "run", lambda self, ready: remembered(self, ready))
        thread = threading.Thread(target=explore, args=[ExploreOptions(browser=False, **choices)])
        thread.start()
        running.append(thread)
        assert ready.wait(30)
        return capsys.readouterr().out

    yield start
    for what in running[::-1]:
        what.stop() if isinstance(what, server.Server) else what.join()


def ask(address, method="GET", path="/", body=None, host=None):
    port = int(re.search(r":(\d+)/", address).group(1))
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(
        method, path, body, {"Content-Type": "application/json", **({"Host": host} if host else {})}
    )
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_the_lessons_page_is_served_here_and_answers(explored):
    shown = explored()
    assert shown.splitlines()[-1].startswith("http://127.0.0.1:")
    status, page = ask(shown)
    assert status == 200
    assert '"live":{' in page
    status, answer = ask(shown, "POST", "/api/explore", '{"changes": {"leak": 0.5}}')
    assert (status, json.loads(answer)["exploration"]["leak"]) == (200, 0.5)
    status, answer = ask(shown, "POST", "/api/descend", '{"rate": 0.1, "t": 3}')
    assert status == 200
    assert ask(shown, "POST", "/api/explore", '{"changes": {"leak": 5}}')[0] == 400
    assert ask(shown, host="evil.example")[0] == 403


def test_a_taken_port_is_said(explored):
    with server.listening("127.0.0.1", 22000) as taken:
        port = taken.getsockname()[1]
        shown = explored(port=port)
    assert shown.startswith(f"port {port} is taken; ")


def test_a_run_deleted_while_the_page_is_open_is_said(explored, tmp_path):
    run = tmp_path / "run"
    train(ForecastOptions(epochs=1, out=run))
    shown = explored(run=run, steps=30)
    status, answer = ask(shown, "POST", "/api/explore", '{"changes": {"steps": 40}}')
    assert (status, len(json.loads(answer)["times"])) == (200, 40)
    shutil.rmtree(run)
    status, answer = ask(shown, "POST", "/api/explore", "{}")
    assert status == 410
    assert "was deleted" in json.loads(answer)["error"]


def test_others_are_let_in_on_request_and_with_the_token_only(explored):
    shown = explored(host="0.0.0.0")
    token = re.search(r"\?token=(\S+)", shown).group(1)
    assert len(token) >= 32
    assert ask(shown)[0] == 403
    assert ask(shown, path=f"/?token={token}", host="elsewhere:1")[0] == 200


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"port": 0}, "--port"),
        ({"port": 70000}, "--port"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"steps": 5000}, "cannot be explored"),
        ({"host": "no.such.host.invalid"}, "nothing can be served on no.such.host.invalid"),
    ],
)
def test_what_cannot_be_served_is_said(choices, words):
    with pytest.raises(UserError, match=words):
        explore(ExploreOptions(browser=False, **choices))


def test_a_folder_that_is_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        explore(ExploreOptions(run=tmp_path / "no", browser=False))
