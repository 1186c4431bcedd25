# Figures that are sent to a statsd server: what arrives, over which ways, and that no trouble stops anything.

from __future__ import annotations

import re
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.site import DEADLINE, Site
from tests.support.stack import Stack

BASIC = "tests.apps.wsgi_basic:app"


class Server:
    """What statsd is to those who send: a socket that adds up counters and keeps the last of the rest."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.kinds: dict[str, str] = {}
        self.tags: set[str] = set()

    @property
    def place(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"{host}:{port}"

    def until(self, condition: Callable[[], object], what: str, site: Site) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            self.listener.settimeout(max(0.01, end - time.monotonic()))
            try:
                self._take(self.listener.recv(65536).decode())
            except TimeoutError:
                raise AssertionError(f"waited in vain for {what}: {dict(self.sums)}\n{site.log()}") from None

    def _take(self, packet: str) -> None:
        for line in packet.split("\n"):
            found = re.fullmatch(r"([^:]+):([^|]+)\|(\w+)(?:\|@([^|]+))?(?:\|#(.+))?", line)
            assert found, line
            name, value, kind, rate, tags = found.groups()
            self.kinds[name] = kind
            if kind == "ms":
                self.sums[name] += 1 / float(rate or 1)
            else:
                self.sums[name] = (self.sums[name] if kind == "c" else 0) + float(value)
            self.tags.add(tags or "")


@contextmanager
def server(path: Path | None = None) -> Iterator[Server]:
    family = socket.AF_INET if path is None else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0) if path is None else str(path))
        yield Server(listener)


def test_what_a_site_counts_arrives_exactly_over_deaths_and_the_end() -> None:
    with server() as statsd:
        words = ("--statsd-host", statsd.place, "--statsd-prefix", "shop.", "--workers", "2")
        with Site(BASIC, *words, "--dogstatsd-tags", "env:live,zone:b", "--enable-backlog-metric") as site:
            statsd.until(lambda: statsd.sums["shop.gunicorn.workers"] == 2, "the workers", site)
            for _ in range(5):
                site.get("/")
            statsd.until(lambda: statsd.sums["shop.gunicorn.requests"] == 5, "the requests", site)
            site.process.send_signal(signal.SIGHUP)
            site.wait_for("every worker is of generation 2 now")
            for _ in range(5):
                site.get("/")
            assert site.stop() == 0
            statsd.until(lambda: statsd.sums["shop.gunicorn.requests"] >= 10, "the last requests", site)
    assert statsd.sums["shop.gunicorn.requests"] == 10
    assert statsd.sums["shop.gunicorn.request.status.2xx"] == 10
    assert round(statsd.sums["shop.gunicorn.request.duration"]) == 10
    assert statsd.sums["shop.gunicorn.backlog"] == 0
    assert statsd.kinds["shop.gunicorn.backlog"] == "h"
    assert statsd.tags == {"env:live,zone:b"}


def test_a_file_of_gunicorn_says_where_to(tmp_path: Path) -> None:
    with server(tmp_path / "statsd") as statsd:
        file = tmp_path / "gunicorn.conf.py"
        file.write_text(
            f"statsd_host = 'unix://{tmp_path}/statsd'\nstatsd_prefix = 'old'\n"
            "logger_class = 'gunicorn.instrument.statsd.Statsd'\n"
        )
        with Site(BASIC, "-c", str(file)) as site:
            statsd.until(lambda: statsd.sums["old.gunicorn.workers"] == 1, "the worker", site)


def test_a_prefix_without_a_server_is_worth_a_word(tmp_path: Path) -> None:
    file = tmp_path / "gunicorn.conf.py"
    file.write_text("import os\nstatsd_host = os.environ.get('NOWHERE')\nstatsd_prefix = 'old'\n")
    with Site(BASIC, "-c", str(file)) as site:
        site.wait_for("statsd_prefix: does nothing without --statsd-host")


def test_a_server_that_is_not_there_is_told_of_once_and_found_when_it_comes(tmp_path: Path) -> None:
    with Site(BASIC, "--statsd-host", f"unix:{tmp_path}/statsd") as site:
        line = f"figures do not reach statsd at unix:{tmp_path}/statsd: No such file or directory"
        site.wait_for(line)
        site.get("/")
        with server(tmp_path / "statsd") as statsd:
            statsd.until(lambda: statsd.sums["gunicorn.workers"] == 1, "the worker", site)
            site.wait_for(f"figures are sent to statsd at unix:{tmp_path}/statsd")
        assert site.log().count(line) == 1


def test_a_host_that_does_not_exist_stops_nothing() -> None:
    with Site(BASIC, "--statsd-host", "nowhere.invalid:8125") as site:
        site.wait_for("figures do not reach statsd at nowhere.invalid:8125: ")
        assert site.get("/")
        assert site.stop() == 0


def test_a_file_names_each_application_and_sends_at_its_pace() -> None:
    with server() as statsd:
        text = f"""
[circus]
endpoint = "ipc://{{folder}}/ctl"
[stats]
interval = 0.1
statsd_host = "{statsd.place}"
statsd_prefix = "all"
dogstatsd_tags = ["env:live"]
enable_backlog_metric = true
[app.shop]
app = "{BASIC}"
bind = "127.0.0.1:0"
"""
        with Stack(text) as stack:
            statsd.until(lambda: statsd.sums["all.shop.gunicorn.workers"] == 1, "the worker", stack)
            statsd.until(lambda: "all.shop.gunicorn.backlog" in statsd.kinds, "the queue", stack)
            assert statsd.tags == {"env:live"}
            stack.write(text.replace('"all"', '"each"'))
            stack.call("reloadconfig", waiting=True)
            statsd.until(lambda: statsd.sums["each.shop.gunicorn.workers"] == 1, "another name", stack)


def test_names_of_circus() -> None:
    with server() as statsd:
        text = f"""
[circus]
endpoint = "ipc://{{folder}}/ctl"
[stats]
interval = 0.1
statsd_host = "{statsd.place}"
statsd_prefix = "site"
statsd_dialect = "circus"
[watcher.sleeper]
cmd = "sleep 1000"
numprocesses = 2
"""
        with Stack(text) as stack:
            gauges = "circus.site.watcher._stats.sleeper."
            statsd.until(lambda: statsd.sums[f"{gauges}watchers_num"] == 2, "the processes", stack)
            statsd.until(lambda: statsd.sums[f"{gauges}mem_sum"] > 0, "their memory", stack)
            stack.call("restart", name="sleeper", waiting=True)
            counter = "circus.site.watcher.sleeper.reap"
            statsd.until(lambda: statsd.sums[counter] == 2, "their ends", stack)
            assert statsd.kinds[f"{gauges}cpu_max"] == "g"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--statsd-host", "a:b"), "--statsd-host: the port must be a number from 1 to 65535, got 'a:b'"),
        (("--statsd-prefix", "a:b"), "--statsd-prefix: must hold neither blanks nor any of : | @ #"),
        (("--dogstatsd-tags", "a|b"), "--dogstatsd-tags: must be NAME:VALUE without any of | #"),
    ],
)
def test_what_is_wrong_is_told_at_once(words: tuple[str, str], said: str) -> None:
    with Site(BASIC, *words).attempt() as site:
        assert site.wait() != 0
        assert said in site.log()
