# Commands that have to show that they work, at a reload and at a change of their description.

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.support.site import DEADLINE, until
from tests.support.stack import Stack, free_port

# Answers HTTP at a port with a status.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SERVED = """
[watcher.server]
cmd = "{python} {folder}/server.py PORT STATUS"
health_check = ["GET http://127.0.0.1:PORT/ 200 <20s", "TCP 127.0.0.1:PORT"]
"""
PLAIN = """
[watcher.plain]
cmd = "sleep 1000"
numprocesses = 2
working_dir = "{folder}"
MORE
"""


def answer(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:  # nobody listens yet
        return 0


def test_a_changed_description_that_does_not_work_is_taken_back() -> None:
    port = free_port()
    text = SERVED.replace("PORT", str(port))
    stack = Stack(text.replace("STATUS", "200"))
    (stack.folder / "server.py").write_text(SERVER)
    with stack:
        until(lambda: answer(port) == 200, "the server")
        before = stack.pids("server")
        stack.write(text.replace("STATUS", "500"))
        told = stack.ctl("reloadconfig", "--waiting", status=1)
        assert "the health check failed: GET http://127.0.0.1:" in told
        assert "answered with 500, not with 200" in told
        until(lambda: answer(port) == 200, "the server as it was described before")
        assert len(stack.pids("server")) == 1
        assert stack.pids("server") != before
        stack.write(text.replace("STATUS", "200 x"))
        stack.ctl("reloadconfig", "--waiting")
        assert "passed its health check: GET / 200 in " in stack.log()
        assert answer(port) == 200


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('check_command = "echo it is not; pwd; exit 4"', "exit status 4"),
        ('check_command = "sleep 1000"\ncheck_timeout = 0.3', "not done after 0.3 s"),
        ('health_check = "TCP 127.0.0.1:PORT <300ms"', "nobody listens within 0.3 s"),
        ('health_check = "GET http://127.0.0.1:PORT/ <300ms"', "nobody listens within 0.3 s"),
    ],
    ids=["command", "hangs", "tcp", "http"],
)
def test_a_reload_that_shows_nothing_leaves_the_old_processes(more: str, reason: str) -> None:
    with Stack(PLAIN.replace("MORE", more.replace("PORT", str(free_port())))) as stack:
        until(lambda: len(stack.pids("plain")) == 2, "two processes")
        before = stack.pids("plain")
        assert reason in stack.ctl("reload", "--waiting", "plain", status=1)
        until(lambda: stack.pids("plain") == before, "the old processes only")


def test_a_check_command_runs_where_the_process_does() -> None:
    more = 'check_command = "echo in $PWD with $A; umask"\numask = "027"\n[env.plain]\nA = "b"'
    with Stack(PLAIN.replace("MORE", more)) as stack:
        before = stack.pids("plain")
        stack.ctl("reload", "--waiting", "plain")
        assert f"check command: in {stack.folder} with b\n" in stack.log()
        assert "check command: 0027\n" in stack.log()
        assert not set(before) & set(stack.pids("plain"))


def test_a_new_process_has_to_live_for_a_while() -> None:
    text = PLAIN.replace("MORE", "canary_time = 1.5").replace(
        "sleep 1000", "sh -c 'test ! -e {folder}/broken || exit 3; sleep 1000'"
    )
    with Stack(text) as stack:
        until(lambda: len(stack.pids("plain")) == 2, "two processes")
        before = stack.pids("plain")
        (stack.folder / "broken").touch()
        stack.ctl("reload", "--waiting", "plain", status=1)
        until(lambda: stack.pids("plain") == before, "the old processes only")
        (stack.folder / "broken").unlink()
        stack.ctl("reload", "--waiting", "plain")
        assert "passed its canary time: it lives after 1.5 s" in stack.log()
