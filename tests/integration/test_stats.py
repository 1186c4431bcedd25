# The stats process: what it publishes, to whom, and that nobody pays for it who does not look.

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from bigtop.control import keys
from tests.support import circus_top
from tests.support.figures import subscribed
from tests.support.site import DEADLINE, Site, lives, until
from tests.support.stack import Stack
from tests.support.zmtp import frame, greet

FILE = """
[circus]
endpoint = ipc://{folder}/ctl
pubsub_endpoint = ipc://{folder}/events
stats_endpoint = ipc://{folder}/stats
statsd = yes

[socket:quiet]
host = 127.0.0.1
port = 0
backlog = 9

[watcher:Two words]
cmd = sleep 1000
numprocesses = 2

[watcher:parent]
cmd = sh -c "sleep 1000 & sleep 1001; true"

[watcher:busy]
cmd = {python} -c "while True: pass"
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(FILE, name="circus.ini") as running:
        running.wait_for("circusd-stats: started")
        running.wait_for("busy: started")
        yield running


def endpoint(stack: Stack) -> str:
    return f"ipc://{stack.folder}/stats"


CLIENT = """
import json, sys
from circus.stats.client import StatsClient
wanted = set(sys.argv[2:])
for name, part, figure in StatsClient(sys.argv[1]):
    topic = name if part is None else f"{name}.*"
    if topic in wanted:
        wanted.remove(topic)
        print(json.dumps([topic, figure]), flush=True)
    if not wanted:
        sys.exit()
"""
OF_A_PROCESS = {
    *("mem_info1", "mem_info2", "cpu", "mem", "ctime", "pid", "username", "nice", "create_time", "age"),
    *("cmdline", "children", "subtopic", "name"),
}


def test_clients_of_circus_understand_all_of_it(stack: Stack) -> None:
    topics = ["two_words.*", "two_words", "circus.*", "circus", "sockets.*", "sockets"]
    words = [sys.executable, "-W", "ignore", "-c", CLIENT, endpoint(stack), *topics]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    told = dict(map(json.loads, done.stdout.splitlines()))
    pids = stack.pids("Two words")
    assert told["two_words"]["pid"] == pids
    assert told["two_words"].keys() >= {"cpu", "mem", "age"}
    assert told["two_words.*"].keys() >= OF_A_PROCESS
    assert told["two_words.*"]["pid"] in pids
    assert told["two_words.*"]["cmdline"] == "sleep"
    assert told["circus.*"]["name"] == "circusd"
    assert told["circus"]["pid"][0] == stack.pid
    assert told["sockets.*"].keys() >= {"fd", "subtopic", "reads", "address"}
    assert told["sockets"]["addresses"] == [told["sockets.*"]["address"]]
    options = stack.call("globaloptions")["options"]
    assert options["stats_endpoint"] == endpoint(stack)


def test_circus_top_shows_it(stack: Stack) -> None:
    words = (b"two_words", b"parent", b"127.0.0.1:", b"CPU (%)", b"(circusd)", b"HITS", b"(avg)")
    circus_top.shows(endpoint(stack), lambda seen: all(word in seen for word in words), stack.log)


def seconds(ctime: str) -> float:
    minutes, _, rest = ctime.partition(":")
    return int(minutes) * 60 + float(rest)


def test_the_share_of_the_cpu_is_that_of_the_time_between(stack: Stack) -> None:
    """What the shares come to over some looks is what the kernel counted meanwhile."""
    (pid,) = stack.pids("busy")
    process = psutil.Process(pid)
    at_first = sum(process.cpu_times()[:2])
    looks: list[tuple[float, float, float]] = []  # when, share, CPU so far
    with subscribed(endpoint(stack), "stat.busy") as subscriber:
        own: dict[str, Any] = {}
        for topic, figure in subscriber.messages():
            if topic == f"stat.busy.{pid}":
                own = figure
            elif own:
                assert figure["cpu"] == own["cpu"]
                looks.append((figure["time"], figure["cpu"], seconds(own["ctime"])))
            if len(looks) == 6:
                break
    at_last = sum(process.cpu_times()[:2])
    used = sum(share / 100 * (now - then) for (then, _, _), (now, share, _) in pairwise(looks))
    counted = looks[-1][2] - looks[0][2]
    lasted = looks[-1][0] - looks[0][0]
    assert counted > 0
    assert abs(used - counted) / lasted < 0.02  # two points
    assert at_first - 0.02 <= looks[0][2]
    assert looks[-1][2] <= at_last + 0.02


def test_children_are_counted_with_their_parent(stack: Stack) -> None:
    (pid,) = stack.pids("parent")
    until(lambda: len(psutil.Process(pid).children()) == 2, "the children")
    with subscribed(endpoint(stack), "stat.parent") as subscriber:
        one = subscriber.until(f"stat.parent.{pid}", lambda it: it.get("tree", {}).get("processes") == 3)
        whole = subscriber.until("stat.parent", lambda it: it["tree"]["processes"] == 3)
    assert one["tree"]["rss"] > one["rss"]
    assert one["tree"]["threads"] == 3
    assert one["pss"] <= one["rss"]
    assert one["fds"] == 3 or one["fds"] > 3
    assert whole["pid"] == [pid]


def test_who_waits_to_be_accepted_is_told(stack: Stack) -> None:
    (one,) = stack.call("listsockets")["sockets"]
    clients = [socket.create_connection((one["host"], one["port"]), timeout=30) for _ in range(4)]
    try:
        with subscribed(endpoint(stack), "stat.sockets") as subscriber:
            told = subscriber.until(f"stat.sockets.{one['fd']}", lambda it: it["waiting"] == 4)
        assert told["backlog"] == 9
        assert told["accepted"] is None  # it is not Bigtop that accepts there
    finally:
        for client in clients:
            client.close()


def stats_pid(site: Site) -> int:
    return int(Stack.call(site, "list", name="circusd-stats")["pids"][0])  # type: ignore[arg-type]


def test_nothing_is_done_while_nobody_looks(stack: Stack) -> None:
    pid = stats_pid(stack)
    with subscribed(endpoint(stack), "stat.circus") as subscriber:
        subscriber.next("stat.circus")
        subscriber.subscribe("stat.circus")  # once more
        subscriber.subscribe("stat.parent")
        subscriber.next("stat.parent")
    seen: list[tuple[float, int]] = []

    def rests() -> bool:
        """Whether it reads nothing, as each look does. That a busy machine wakes it is no look."""
        now = psutil.Process(pid).io_counters().read_count
        if not seen or seen[-1][1] != now:
            seen.append((time.monotonic(), now))
        return time.monotonic() > seen[-1][0] + 3.0  # of a pace of one second

    until(rests, "a stats process that does nothing", 3 * DEADLINE)


def test_who_has_not_asked_takes_nothing_back(stack: Stack) -> None:
    with subscribed(endpoint(stack), "stat.parent") as subscriber:
        subscriber.next("stat.parent")
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(DEADLINE)
            stranger.connect(endpoint(stack).removeprefix("ipc://"))
            greet(stranger, b"SUB")
            stranger.sendall(frame(b"\x00stat.parent") + frame(b"\x01stat.busy"))
            heard = b""
            while b"stat.busy" not in heard:
                heard += stranger.recv(65536)
        now = time.time()
        subscriber.until("stat.parent", lambda figure: figure["time"] > now)


def test_only_what_is_asked_for_comes(stack: Stack) -> None:
    (pid,) = stack.pids("busy")
    with subscribed(endpoint(stack), f"stat.busy.{pid}") as subscriber:
        topics = {topic for topic, _ in zip((t for t, _ in subscriber.messages()), range(3), strict=False)}
    assert topics == {f"stat.busy.{pid}"}


def test_a_new_stats_process_goes_on_where_the_last_one_died(stack: Stack) -> None:
    with subscribed(endpoint(stack), "stat.circus") as subscriber:
        subscriber.next("stat.circus")
        pid = stats_pid(stack)
        os.kill(pid, signal.SIGKILL)
        told = subscriber.until("stat.circus", lambda figure: pid not in figure["pid"])
    assert len(told["pid"]) == 2


def test_it_is_for_its_user_alone(stack: Stack) -> None:
    assert (stack.folder / "stats").stat().st_mode & 0o777 == 0o600


def test_it_ends_with_its_supervisor() -> None:
    with Stack(FILE, name="circus.ini") as stack:
        stack.wait_for("circusd-stats: started")
        helper = psutil.Process(stats_pid(stack))
        stack.family()
        stack.process.kill()
        until(lambda: not lives(helper), "its end")


def test_the_pace_and_the_past_are_as_the_file_says() -> None:
    text = """
[circus]
endpoint = "ipc://{folder}/ctl"
[stats]
interval = 0.1
history = true
[watcher.one]
cmd = "sleep 1000"
"""
    with Stack(text) as stack:
        where = str(stack.call("globaloptions")["options"]["stats_endpoint"])
        assert where == f"ipc://{stack.folder}/ctl.stats"  # beside the other one
        with subscribed(where, "stat.one") as subscriber:
            times = [subscriber.next("stat.one")["time"] for _ in range(6)]
        # As far as the machine has time: looks that are late are left out, and no two come together.
        assert min(now - then for then, now in pairwise(times)) < 0.5
        until(lambda: past(where)["fine"], "the past")
        told = past(where)
        assert told["columns"] == ["time", "processes", "cpu", "rss", "pss", "threads"]
        assert [point[1] for point in told["fine"]] == [1.0] * len(told["fine"])
        assert told["fine"][0][0] <= times[0]


def test_a_watcher_may_have_an_interval_of_its_own() -> None:
    text = """
[circus]
endpoint = "ipc://{folder}/ctl"
[stats]
interval = 0.1
intervals = ["seldom=1000"]
[watcher.often]
cmd = "sleep 1000"
[watcher.seldom]
cmd = "sleep 1000"
"""
    with Stack(text) as stack:
        where = str(stack.call("globaloptions")["options"]["stats_endpoint"])
        with subscribed(where, "stat.often", "stat.seldom") as subscriber:
            counts = dict.fromkeys(("stat.often", "stat.seldom"), 0)
            for topic, _ in subscriber.messages():
                counts[topic] = counts.get(topic, 0) + 1
                if counts["stat.often"] == 10:
                    break
        # At the first look there is nothing to compare with, and it is told of at none after it.
        assert counts["stat.seldom"] == 0


def past(where: str) -> dict[str, Any]:
    with subscribed(where, "history.one") as subscriber:
        return subscriber.next("history.one")


@pytest.mark.parametrize(("every", "changes"), [("0.1", True), ("1000", False)])
def test_what_is_costly_is_read_less_often(every: str, changes: bool, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    opener = (
        f"import os, signal; a = open({str(gate)!r}); fds = [os.dup(0) for _ in range(100)]; signal.pause()"
    )
    text = f"""
[circus]
endpoint = "ipc://{{folder}}/ctl"
[stats]
interval = 0.1
details_interval = {every}
[watcher.one]
cmd = '{{python}}'
args = ["-c", "{opener}"]
"""
    with Stack(text) as stack:
        where = str(stack.call("globaloptions")["options"]["stats_endpoint"])
        (pid,) = stack.pids("one")
        with subscribed(where, "stat.one.") as subscriber:
            before = subscriber.next(f"stat.one.{pid}")["fds"]
            again = subscriber.next(f"stat.one.{pid}")["fds"]
            fd = os.open(gate, os.O_WRONLY)
            os.close(fd)
            until(lambda: psutil.Process(pid).num_fds() > 100, "many descriptors")
            if changes:
                subscriber.until(f"stat.one.{pid}", lambda figure: figure["fds"] > 100)
            else:
                assert before == again == subscriber.next(f"stat.one.{pid}")["fds"]


def test_what_a_site_counts_is_exact_and_never_goes_back() -> None:
    """Over deaths of workers: what clients had is what is told, and Circus' `reads` are connections."""
    with Site("tests.apps.wsgi_basic:app", "--stats", "--workers", "2", "--name", "counted") as site:
        site.wait_for("circusd-stats: started")
        where = f"ipc://{site.folder}/bigtop/counted.stats"
        with subscribed(where, "http.counted", "stat.sockets") as subscriber:
            begun = subscriber.next("http.counted")["requests"]
            reads: list[int] = []
            over: list[tuple[int, int]] = []  # bytes in and out over the socket
            seen: list[int] = []
            enough = threading.Event()

            def ask() -> None:
                for number in range(40):
                    site.get("/")
                    if number in (10, 20):
                        # A worker that is killed before it has counted an answer takes it along.
                        until(
                            lambda told=begun + number + 1: (
                                seen[-1:] >= [told] and sum(reads) >= told - begun
                            ),
                            "what was answered to be counted",
                        )
                        victim = next(iter(site.workers()))
                        psutil.Process(victim).kill()
                        until(lambda pid=victim: pid not in site.workers(), "its end")
                enough.set()

            asking = threading.Thread(target=ask)
            asking.start()
            try:
                for topic, figure in subscriber.messages():
                    if topic == "stat.sockets":
                        reads.append(figure["reads"])
                    elif topic.startswith("stat.sockets.") and figure["bytes_in"] is not None:
                        over.append((figure["bytes_in"], figure["bytes_out"]))
                    elif topic == "http.counted":
                        assert figure["bytes_in"] > 0 or figure["requests"] == 0
                        if seen and figure["requests"] > seen[-1]:
                            windows = [figure["windows"][seconds] for seconds in ("1", "10", "60")]
                            assert all(window["requests_per_second"] > 0 for window in windows)
                            assert all(0 < window["latency"]["p50"] < 60 for window in windows)
                            assert all(0 < window["queue"]["max"] < 120 for window in windows)
                        seen.append(figure["requests"])
                        if enough.is_set() and figure["requests"] >= begun + 40 and sum(reads) >= 40:
                            break
            finally:
                asking.join()
        assert seen == sorted(seen)
        assert seen[-1] == begun + 40
        assert sum(reads) == 40
        assert over == sorted(over)
        assert min(over[-1]) > 40 * len("GET / HTTP/1.1\r\n\r\n")
        site.process.terminate()
        assert site.process.wait(30) == 0
        assert not Path(where.removeprefix("ipc://")).exists()


def test_a_site_has_its_figures_where_it_is_told(tmp_path: Path) -> None:
    with Site("tests.apps.wsgi_basic:app", f"--stats={tmp_path}/figures", "--control", "off") as site:
        site.wait_for("circusd-stats: started")
        with subscribed(f"ipc://{tmp_path}/figures", "stat.circus") as subscriber:
            assert subscriber.next("stat.circus")["pid"][0] == site.pid


def test_a_place_that_cannot_be_had_is_told_before_anything_starts(tmp_path: Path) -> None:
    with Site("tests.apps.wsgi_basic:app", f"--stats={tmp_path}/none/figures").attempt() as site:
        assert site.process.wait(30) == 1
        assert "--stats: " in site.log()
        assert "started" not in site.log()


def test_over_tcp_a_key_lets_in(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    keys.generate(tmp_path, "server", "")
    for name in ("known", "unknown"):
        keys.generate(tmp_path, name, "view")
    shutil.copy(tmp_path / "known.key", tmp_path / "clients")
    text = f"""
[circus]
stats_endpoint = "tcp://127.0.0.1:0"
server_key = "{tmp_path}/server.key_secret"
client_keys = "{tmp_path}/clients"
[stats]
[watcher.one]
cmd = "sleep 1000"
"""
    with Stack(text) as stack:
        stack.wait_for("figures on tcp://")
        where = stack.log().partition("figures on ")[2].split()[0]
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        with (
            keyed(context, where, tmp_path, "unknown") as out,
            keyed(context, where, tmp_path, "known") as inside,
        ):
            for _ in range(2):
                assert inside.poll(30_000)
                inside.recv_multipart()
            assert not out.poll(0)
            (tmp_path / "clients" / "known.key").unlink()
            stack.wait_for("its key is not known any more")
        context.term()


def keyed(context: zmq.Context[zmq.Socket[bytes]], where: str, place: Path, name: str) -> zmq.Socket[bytes]:
    made = context.socket(zmq.SUB)
    made.setsockopt(zmq.LINGER, 0)
    key = keys.read(place / f"{name}.key_secret")
    assert key.secret is not None
    made.curve_serverkey = keys.read(place / "server.key").public.encode()
    made.curve_publickey, made.curve_secretkey = key.public.encode(), key.secret.encode()
    made.subscribe("stat.circus")
    made.connect(where)
    return made
