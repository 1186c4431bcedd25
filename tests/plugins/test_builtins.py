# Plugins that Bigtop brings: AutoScale, EventLog, Notify.

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bigtop.plugins import OptionError
from bigtop.plugins.builtin.autoscale import AutoScale
from bigtop.plugins.builtin.event_log import EventLog
from bigtop.plugins.builtin.notify import MOST_LINES, Notify
from bigtop.plugins.testing import Bench, Call

# ---- AutoScale


def test_the_core_is_given_its_bounds_and_again_when_it_forgot_them() -> None:
    with Bench(AutoScale, watchers="My Web, api", min=2, max=8) as bench:
        web, api = (Call("scale", {"name": name, "count": "2..8"}) for name in ("My Web", "api"))
        assert bench.calls == [web, api]
        assert bench.feed("my_web.updated", fields=["numprocesses"])
        assert bench.feed("other.updated", fields=["numprocesses"])
        assert not bench.feed("api.reap")
        assert bench.calls == [web, api, web]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"watchers": "x", "min": 3, "max": 2}, "max: must be 3 or more, as min is"),
        ({"watchers": ",", "max": 2}, "watchers: is needed"),
        ({"watchers": "x"}, "max: is needed"),
    ],
)
def test_bounds_that_make_no_sense(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason), Bench(AutoScale, **options):
        pass


# ---- EventLog


def test_events_are_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with Bench(EventLog, filename=str(path), events="web.*", max_bytes="100", backup_count=2) as bench:
        assert not bench.feed("api.reap")
        for number in range(6):
            bench.feed("web.reap", process_pid=number)
    files = [path.with_name(f"events{end}") for end in (".2", ".1")]
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [line["process_pid"] for line in found] == [2, 3, 4, 5]
    assert found[0] == {"watcher": "web", "event": "reap", "time": 0.0, "process_pid": 2}
    assert not path.exists()
    with pytest.raises(OptionError, match="filename: there is no folder"), Bench(EventLog, filename="/no/x"):
        pass
    with pytest.raises(OptionError, match=r"events: .*no event"), Bench(EventLog, filename="x", events="*.x"):
        pass


# ---- Notify


class Receiver(http.server.BaseHTTPRequestHandler):
    got: list[Any]
    status: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:  # type: ignore[attr-defined]
            self.server.got.append(body)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hook() -> Iterator[Any]:
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        vars(server).update(got=[], status=200, url=f"http://127.0.0.1:{server.server_address[1]}/secret")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_events_are_told_together_and_seldom(hook: Any) -> None:
    with Bench(
        Notify, to=[hook.url, f"slack:{hook.url}"], group=10, most_per_hour=2, subject="shop"
    ) as bench:
        assert not bench.feed("web.spawn")
        bench.feed("web.died", wid=1, exit_code=1)
        bench.feed("web.gave_up", reason="it\nfails")
        assert hook.got == []
        bench.pass_time(10)
        plain, slack = hook.got
        assert plain["title"].startswith("shop: ")
        assert plain["title"].endswith("web died (wid 1, exit_code 1) (+1)")
        assert [event["event"] for event in plain["events"]] == ["died", "gave_up"]
        assert "web gave_up (reason it\\nfails)" in plain["text"]
        assert slack == {"text": "\n".join([f"*{plain['title']}*", plain["text"]])}
        bench.pass_time(1000)
        assert len(hook.got) == 2

        hook.got.clear()
        for _ in range(4):  # the second of two that are left, and two that are too many
            bench.feed("web.died")
            bench.pass_time(10)
        assert len(hook.got) == 2
        bench.pass_time(3600)
        bench.feed("api.died")
        bench.pass_time(10)
        assert hook.got[2]["left_out"] == 3
        assert "and 3 more events that were not told" in hook.got[2]["text"]


def test_what_could_not_be_told_is_told_later(hook: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Bench(Notify, to=hook.url, most_per_hour=3600) as bench:
        hook.status = 500
        for number in range(MOST_LINES + 5):
            bench.feed("web.died", wid=number)
        bench.pass_time(30)
        hook.status = 200
        bench.feed("web.stuck")
        bench.pass_time(10)
        (told,) = hook.got
        assert len(told["events"]) == MOST_LINES
        assert told["events"][-1]["event"] == "stuck"
        bench.pass_time(30)
        assert len(hook.got) == 1
        bench.feed("web.died")
    assert len(hook.got) == 2  # told at the end


def test_mail_is_sent() -> None:
    said: list[str] = []

    def talk(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, client.makefile("rw", newline="\r\n") as file:

            def answer(text: str) -> None:
                file.write(text + "\n")
                file.flush()

            answer("220 ready")
            is_text = False
            for line in file:
                said.append(line.rstrip("\r\n"))
                if is_text:
                    if said[-1] == ".":
                        is_text = False
                        answer("250 taken")
                elif line.lower().startswith("data"):
                    is_text = True
                    answer("354 go on")
                elif line.lower().startswith("quit"):
                    answer("221 bye")
                    return
                else:
                    answer("250 well")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, args=(listener,), daemon=True)
        thread.start()
        smtp = f"127.0.0.1:{listener.getsockname()[1]}"
        with Bench(
            Notify, to="mail:ops@example.com", smtp=smtp, mail_from="b@x.example", subject="shop"
        ) as bench:
            bench.feed("web.died", exit_code=-9)
            bench.pass_time(10)
        thread.join(30)
    assert "rcpt to:<ops@example.com>" in map(str.lower, said)
    assert any(line.startswith("Subject: shop: ") for line in said)
    assert any("web died (exit_code -9)" in line for line in said)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"to": "ops@example.com"}, "to: must be mail:ADDRESS, https://"),
        ({"to": "slack:hooks"}, "to: must be"),
        ({"to": ""}, "to: is needed: who is told"),
        ({"to": "mail:a@b", "smtp": "host"}, "smtp: must be HOST:PORT, got 'host'"),
        ({"to": "mail:a@b", "smtp_password_file": "/no"}, "smtp_password_file: cannot be read"),
        ({"to": "mail:a@b", "events": "*.x"}, "events: .*no event"),
    ],
)
def test_places_that_are_none(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason), Bench(Notify, **options):
        pass
