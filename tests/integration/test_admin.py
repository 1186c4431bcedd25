# The admin listener: what probes, scrapers and people are told, who may ask, and what is refused.

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.integration.test_app_metrics import APP
from tests.integration.test_serve_control import ctl
from tests.support import metric_families, procfs
from tests.support.gate import Gate
from tests.support.site import Site, halted, until
from tests.support.stack import Stack, free_port
from tests.support.wire import Client

TOKEN = "a-token-of-the-tests"
BASIC = "tests.apps.wsgi_basic:app"
ANSWERED = "bigtop_requests_total", ("app", "shop"), ("status", "2xx")
TEXTS = {"text/plain": prometheus, "application/openmetrics-text": openmetrics}
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
READ = (*TEXTS, PROTOBUF)


class Answered:
    """What one request brought."""

    def __init__(self, status: int, fields: Mapping[str, str], data: bytes) -> None:
        self.status, self.fields, self.data = status, fields, data

    @property
    def body(self) -> str:
        return self.data.decode()


def place(site: Site) -> tuple[str, int]:
    site.wait_for("admin listener on http://")
    found = re.search(r"admin listener on http://(\S+):(\d+)", site.log())
    assert found
    return found[1], int(found[2])


def ask(
    site: Site, path: str, method: str = "GET", fields: Mapping[str, str] | None = None, host: str = ""
) -> Answered:
    connection = http.client.HTTPConnection(host or "127.0.0.1", place(site)[1], timeout=30)
    try:
        connection.request(method, path, headers=fields or {})
        response = connection.getresponse()
        return Answered(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def metrics(site: Site, kind: str = "text/plain", **fields: str) -> dict[tuple[object, ...], float]:
    """Return the value of each sample, by name and labels."""
    answered = ask(site, "/metrics", fields={"Accept": kind, **fields})
    assert answered.status == 200
    assert answered.fields["Content-Type"].startswith(kind)
    if kind is PROTOBUF:
        return metric_families.values(answered.data)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in TEXTS[kind](answered.body)
        for sample in family.samples
    }


def admin_site(*args: str, app: str = BASIC, admin: str = "127.0.0.1:0", cwd: Path | None = None) -> Site:
    more = {} if cwd is None else {"cwd": cwd}
    return Site(app, "--admin", admin, "--name", "shop", *args, **more)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with admin_site("--workers", "2") as running:
        running.wait_for("shop: started")
        yield running


@pytest.fixture(scope="module", autouse=True)
def silent(site: Site) -> Iterator[socket.socket]:
    """A client that says nothing, from the first test on: the last one asks what it was told."""
    with socket.create_connection(place(site), timeout=30) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\n")
        yield client


# ---- probes


def test_a_site_that_serves_is_alive_started_and_ready(site: Site) -> None:
    for path in ("/livez", "/startupz", "/readyz", "/readyz?verbose"):
        assert ask(site, path).status == 200
        # The supervisor may be told to be too busy meanwhile: it has one second for an answer.
        until(lambda path=path: ask(site, path).body == "ok\n", f"a word of {path}")


def test_the_status_says_who_runs(site: Site) -> None:
    site.get("/")
    until(lambda: json.loads(ask(site, "/status").body)["watchers"][0]["requests"] >= 1, "the request")
    answered = ask(site, "/status")
    assert answered.fields["Content-Type"] == "application/json"
    told = json.loads(answered.body)
    assert (told["pid"], told["ready"], told["started"], told["reason"]) == (site.pid, True, True, None)
    (shop,) = told["watchers"]
    assert (shop["name"], shop["kind"], shop["status"]) == ("shop", "app", "active")
    assert (shop["wanted"], shop["ready"]) == (2, 2)
    assert {one["pid"] for one in shop["processes"]} == site.workers().keys()
    assert (shop["errors"], shop["waiting"]) == (0, 0)


def test_the_status_says_how_long_requests_took_lately(site: Site) -> None:
    def told() -> object:
        site.get("/")
        (shop,) = json.loads(ask(site, "/status").body)["watchers"]
        windows = shop["windows"]
        assert windows.keys() <= {"1", "10", "60"}
        return windows and windows["60"]["latency"]

    until(told, "a window of time with a request in it")


def test_a_start_is_told_of_while_it_goes_on(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "slow.py").write_text(f"open({str(gate)!r}).close()\nfrom tests.apps.wsgi_basic import app\n")
    with admin_site(app="slow:app", cwd=tmp_path).attempt() as site:
        until(lambda: ask(site, "/startupz").body.startswith("shop: not started yet"), "a start that lasts")
        assert ask(site, "/startupz").status == 503
        assert ask(site, "/readyz").body == "shop: none of 1 workers is ready\n"
        assert ask(site, "/livez").status == 200
        os.close(os.open(gate, os.O_WRONLY))
        until(lambda: ask(site, "/readyz").status == 200, "a site that is ready")
        assert ask(site, "/startupz").status == 200


def test_a_site_that_drains_is_not_ready_and_lives() -> None:
    ratio = ("bigtop_busy_ratio", ("app", "shop"))
    with Gate() as gate, admin_site("--workers", "1") as site:
        site.wait_for("shop: started")
        assert metrics(site)[ratio] == 0
        with Client(("127.0.0.1", site.port)) as client:
            client.send(f"GET {gate.target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            until(gate.entered, "the call")
            # It is in no counter yet, and takes the only place there is.
            until(lambda: 0.5 < metrics(site)[ratio] < 1.1, "the share that it takes")
            site.process.terminate()
            until(lambda: ask(site, "/readyz").status == 503, "the drain")
            assert ask(site, "/readyz").body == "shop: stopping\n"
            assert ask(site, "/livez").status == 200
            assert ask(site, "/startupz").status == 200
            gate.open()
            assert client.answer().status == 200
        assert site.process.wait(30) == 0


def test_a_site_may_go_on_for_a_while_when_it_is_not_ready_any_more() -> None:
    with admin_site("--drain-delay", "3600") as site:
        site.wait_for("shop: started")
        until(lambda: ask(site, "/readyz").status == 200, "a site that is ready")
        worker = site.workers().keys()
        site.send(signal.SIGTERM)
        site.wait_for("SIGTERM: not ready any more; serving goes on for 3600 s, then this stops")
        assert ask(site, "/readyz").body == "shop: stopping\n"
        assert ask(site, "/livez").status == 200
        assert site.get("/")
        os.kill(*worker, signal.SIGKILL)
        until(lambda: site.workers().keys() - worker and site.get("/"), "another worker")
        apart(site)
        site.send(signal.SIGTERM)  # who cannot wait
        site.wait_for("SIGTERM: stopping when open requests are answered")
        assert site.wait() == 0


def apart(site: Site) -> None:
    """Wait until two signals are two."""
    asked = time.monotonic()
    until(lambda: time.monotonic() > asked + 0.4, "the time in which two signals are one")


def test_the_delay_ends_by_itself() -> None:
    with Site(BASIC, "--drain-delay", "0.5") as site:
        site.send(signal.SIGTERM)
        site.wait_for("not ready any more")
        assert site.wait() == 0
        assert "the delay is over: stopping when open requests are answered" in site.log()


@pytest.mark.parametrize("how", ["INT", "QUIT", "a command"])
def test_who_wants_an_end_at_once_does_not_wait_for_the_delay(how: str) -> None:
    with Site(BASIC, "--drain-delay", "3600") as site:
        site.send(signal.SIGTERM)
        site.wait_for("not ready any more")
        if how == "a command":
            ctl(site, "quit", endpoint=f"{site.folder}/bigtop/tests.ctl")
        else:
            apart(site)
            site.send(signal.Signals[f"SIG{how}"])
            site.wait_for(f"SIG{how}: stopping at once")
        assert site.wait() == 0


def test_what_is_not_served_yet_needs_no_delay(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "slow.py").write_text(f"open({str(gate)!r}).close()\n")
    with Site("slow:app", "--drain-delay", "3600", cwd=tmp_path).attempt() as site:
        site.wait_for("listening on")
        site.send(signal.SIGTERM)
        assert site.wait() == 0
        assert "serving goes on" not in site.log()


def test_applications_of_a_file_go_on_for_a_while_too() -> None:
    text = f"""
[circus]
endpoint = "ipc://{{folder}}/ctl"
drain_delay = 3600
[admin]
bind = "127.0.0.1:0"
[app.shop]
app = "{BASIC}"
bind = "127.0.0.1:0"
[watcher.beside]
cmd = "sleep 1000"
"""
    with Stack(text) as stack:
        until(lambda: ask(stack, "/readyz").status == 200, "a site that is ready")
        (sleeper,) = stack.pids("beside")
        stack.send(signal.SIGTERM)
        stack.wait_for("SIGTERM: not ready any more; serving goes on for 3600 s, then this stops")
        assert ask(stack, "/readyz").body == "shop: stopping\n"
        assert stack.get("/")
        assert psutil.Process(sleeper).is_running()
        apart(stack)
        stack.send(signal.SIGTERM)
        stack.wait_for("SIGTERM: stopping when open requests are answered")
        assert stack.wait() == 0


def test_a_supervisor_that_stands_still_is_told_of_and_holds_nothing_up() -> None:
    with admin_site() as site:
        until(lambda: ask(site, "/readyz").status == 200, "a site that is ready")
        site.family()
        with halted(site.pid):
            until(lambda: "too busy" in ask(site, "/livez").body, "the silence to be noticed")
            assert ask(site, "/readyz").status == 200
            site.get("/")
            until(lambda: metrics(site)[ANSWERED] == 1, "the request to be counted")
        until(lambda: ask(site, "/livez").body == "ok\n", "the supervisor to answer again")


# ---- metrics


@pytest.mark.parametrize("kind", READ)
def test_metrics_are_read_by_prometheus_own_parsers(site: Site, kind: str) -> None:
    found = metrics(site, kind)
    shop, watcher = ("app", "shop"), ("watcher", "shop")
    assert found["bigtop_workers", shop] == 2
    assert found["bigtop_process_starts_total", watcher] >= 2
    assert found["bigtop_memory_bytes", ("kind", "rss"), watcher] > 1 << 20
    assert found["bigtop_memory_bytes", ("kind", "pss"), watcher] > 0
    assert found["bigtop_cpu_seconds_total", watcher] >= 0
    assert [key for key in found if key[0] == "bigtop_build_info"]


def test_counters_are_what_clients_counted_over_deaths() -> None:
    with admin_site("--workers", "2") as site:
        site.wait_for("shop: started")
        seen, used = [], []
        for number in range(40):
            assert site.get("/")
            if number in (10, 20, 30):
                # What is not counted yet dies with its worker.
                until(lambda so_far=number + 1: metrics(site)[ANSWERED] == so_far, "all that was asked")
                found = metrics(site)
                seen.append(found[ANSWERED])
                used.append(found["bigtop_cpu_seconds_total", ("watcher", "shop")])
                victim = next(iter(site.workers()))
                psutil.Process(victim).kill()
                until(lambda pid=victim: pid not in site.workers(), "its end")
        until(lambda: metrics(site)[ANSWERED] >= 40, "all requests to be counted")
        found = metrics(site)
        assert found[ANSWERED] == found["http_server_request_duration_seconds_count", ("app", "shop")] == 40
        assert seen == sorted(seen)
        assert used == sorted(used)
        exits = "bigtop_worker_exits_total", ("reason", "signal"), ("watcher", "shop")
        until(lambda: metrics(site)[exits] == 3, "the deaths to be told")
        cpu = "bigtop_cpu_seconds_total", ("watcher", "shop")
        until(lambda: site.get("/") and metrics(site)[cpu] > 0, "a tick of CPU time")


def test_what_a_cache_has_done_is_counted_for_all_workers() -> None:
    results = {
        result: ("bigtop_cache_requests_total", ("app", "shop"), ("result", result))
        for result in ("hit", "miss", "stale", "passed")
    }
    with admin_site("--workers", "2", "--cache", "2M", app="tests.apps.cacheable:wsgi") as site:
        site.wait_for("shop: started")
        assert {metrics(site)[result] for result in results.values()} == {0}
        for _ in range(9):
            site.get("/kept?h=Cache-Control:max-age%3D60")
        until(lambda: metrics(site)[results["hit"]] == 8, "the hits to be counted")
        found = metrics(site)
        assert found[results["miss"]] == found["bigtop_cache_stored_total", ("app", "shop")] == 1
        size = found["bigtop_cache_size_bytes", ("app", "shop")]
        assert 0 < found["bigtop_cache_used_bytes", ("app", "shop")] < size < 2 << 20


@pytest.mark.parametrize("kind", READ)
def test_what_an_application_counts_is_appended(kind: str, tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(APP)
    with admin_site("--workers", "2", app="counting:app", cwd=tmp_path) as site:
        site.wait_for("shop: started")
        for _ in range(9):
            site.get("/")
        found = metrics(site, kind)
        assert found["jobs_total", ("app", "shop"), ("kind", "web")] == 9
        assert found["seconds_count", ("app", "shop")] == 9
        until(lambda: metrics(site, kind)[ANSWERED] == 9, "the requests to be counted")


def test_what_an_application_puts_into_its_folder_costs_its_own_metrics_only(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(APP)
    with admin_site("--workers", "2", app="counting:app", cwd=tmp_path) as site:
        site.wait_for("shop: started")
        site.get("/")
        folder = Path(site.get("/folder"))
        os.mkfifo(folder / "counter_fifo.db")
        (folder / "counter_link.db").symlink_to("/dev/zero")
        assert metrics(site)["jobs_total", ("app", "shop"), ("kind", "web")] == 1
        # In the form of prometheus_client, with a name that is no JSON.
        (folder / "counter_9.db").write_bytes(struct.pack("=iii4s8xdd", 40, 0, 4, b"nope", 1.0, 1.0))
        found = metrics(site)
        assert "jobs_total" not in {key[0] for key in found}
        assert found["bigtop_workers", ("app", "shop")] == 2
        site.wait_for("metrics of applications are missing in /metrics: ")


# ---- what is refused


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/livez", 405), ("DELETE", "/metrics", 405), ("GET", "/", 404), ("GET", "/livez/", 404)],
)
def test_other_methods_and_paths_are_refused_in_one_line(
    site: Site, method: str, path: str, status: int
) -> None:
    answered = ask(site, path, method)
    assert answered.status == status
    assert answered.body.count("\n") == 1
    assert status != 405 or answered.fields["Allow"] == "GET, HEAD"


def test_a_head_is_an_answer_without_its_body(site: Site) -> None:
    answered = ask(site, "/metrics", "HEAD")
    assert (answered.status, answered.body) == (200, "")
    assert int(answered.fields["Content-Length"]) > 1000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 99 + b"\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
    ],
    ids=["huge field", "many fields", "long target", "TLS", "large body"],
)
def test_what_breaks_http_or_its_limits_is_told_and_closed(site: Site, sent: bytes, status: int) -> None:
    with Client(place(site)) as client:
        client.send(sent)
        assert client.answer().status == status
        assert client.at_end()
    assert ask(site, "/livez").status == 200


def test_a_connection_has_one_request(site: Site) -> None:
    with Client(place(site)) as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        answer = client.answer()
        assert (answer.status, answer["Connection"], answer.body) == (200, "close", b"ok\n")
        assert client.at_end()


def test_a_client_that_closes_its_side_early_is_answered(site: Site) -> None:
    with Client(place(site)) as client:
        client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().status == 200


def test_there_are_so_many_connections_and_not_more() -> None:
    with admin_site() as site:
        silent = [socket.create_connection(place(site), timeout=30) for _ in range(64)]
        try:
            with Client(place(site)) as client:
                assert client.answer().status == 503
            for one in silent:
                one.close()
            until(lambda: ask(site, "/livez").status == 200, "room")
        finally:
            for one in silent:
                one.close()


# ---- who may ask


def test_figures_need_the_token_and_probes_do_not(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with admin_site("--admin-token-file", str(file), admin="0.0.0.0:0") as site:
        until(lambda: ask(site, "/readyz").status == 200, "a site that is ready")
        for fields in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/metrics", "/status"):
                answered = ask(site, path, fields=fields)
                assert answered.status == 401
                assert answered.fields["WWW-Authenticate"].startswith("Bearer")
        assert metrics(site, Authorization=f"Bearer {TOKEN}")
        assert metrics(site, Authorization=f"bearer  {TOKEN}")
        file.write_text("another-token-of-the-tests\n")
        assert ask(site, "/status", fields={"Authorization": f"Bearer {TOKEN}"}).status == 401
        file.unlink()
        assert ask(site, "/status", fields={"Authorization": f"Bearer {TOKEN}"}).status == 503
        assert TOKEN not in site.log()


def test_who_is_not_on_the_list_is_told_nothing() -> None:
    with admin_site("--admin-allow", "127.0.0.2,10.0.0.0/8") as site:
        site.wait_for("shop: started")
        for path in ("/livez", "/metrics", "/nothing"):
            assert ask(site, path).status == 403
        there = socket.create_connection(place(site), timeout=30, source_address=("127.0.0.2", 0))
        with there:
            there.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert there.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_page_of_somebody_whose_name_leads_here_is_refused(site: Site) -> None:
    for path in ("/livez", "/metrics", "/status"):
        answered = ask(site, path, fields={"Host": "evil.example:9101"})
        assert answered.status == 421
        assert answered.body == "evil.example:9101 is no name of this machine that it knows (--admin-hosts)\n"
        assert ask(site, path, fields={"Host": "localhost"}).status == 200


def test_names_of_the_machine_are_answered_where_they_are_given() -> None:
    with admin_site("--admin-hosts", "shop.internal") as site:
        site.wait_for("shop: started")
        assert ask(site, "/livez", fields={"Host": "shop.internal"}).status == 200
        assert ask(site, "/livez", fields={"Host": "127.0.0.1"}).status == 200
        assert ask(site, "/livez", fields={"Host": "evil.example"}).status == 421


def test_a_unix_socket_is_for_its_user_and_goes_with_its_site(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with admin_site(admin=f"unix:{path}") as site:
        site.wait_for("shop: started")
        assert path.stat().st_mode & 0o777 == 0o600
        curl = shutil.which("curl")
        assert curl is not None
        words = [curl, "-sS", "--max-time", "30", "--unix-socket", str(path), "http://admin/livez"]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "ok\n"
        assert site.stop() == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--admin", "0.0.0.0:0"), "--admin: others than this machine reach 0.0.0.0:0: it needs a token, or"),
        (("--admin", ":0"), "--admin: others than this machine reach :0"),
        (("--admin", "unix:@x"), "--admin: everybody of this machine reaches unix:@x: it needs a token"),
        (("--admin", "unix:x", "--admin-allow", "::1"), "--admin: unix:x is a unix socket"),
        (("--admin", "fd://3"), "--admin: must be HOST:PORT or unix:PATH, got 'fd://3'"),
        (("--admin-allow", "::1"), "--admin-allow: does nothing without --admin"),
        (("--admin-token-file", "x"), "--admin-token-file: does nothing without --admin"),
        (
            ("--admin", ":0", "--admin-token-file", "/dev/null"),
            "--admin: /dev/null: a token is one line",
        ),
        (("--admin", ":0", "--admin-token-file", "/none"), "--admin: /none: No such file or directory"),
        (("--admin", "127.0.0.1:0", "--name", "circusd-stats"), "--admin: circusd-stats is the name of"),
    ],
)
def test_what_would_be_open_or_unclear_is_refused_in_one_line(words: tuple[str, ...], complaint: str) -> None:
    with Site(BASIC, *words).attempt() as site:
        assert site.process.wait(30) != 0
        (line,) = [line for line in site.log().splitlines() if "--admin" in line]
        assert complaint in line
        assert ": started" not in site.log()


def test_an_address_that_is_taken_is_told_before_anything_starts() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as holder,
        admin_site(admin=f"127.0.0.1:{holder.getsockname()[1]}").attempt() as site,
    ):
        assert site.process.wait(30) != 0
        assert "--admin: " in site.log()
        assert ": started" not in site.log()


# ---- its process


def test_another_process_answers_when_the_first_one_dies() -> None:
    with admin_site() as site:

        def answering() -> set[int]:
            return {one.pid for one in site.family() if "bigtop: stats" in " ".join(procfs.words(one))}

        until(lambda: ask(site, "/startupz").status == 200, "its start")
        until(answering, "its title")
        (first,) = answering()
        os.kill(first, signal.SIGKILL)
        until(lambda: first not in answering(), "its end")
        assert ask(site, "/livez").status == 200  # the socket is the supervisor's: who connects waits
        until(lambda: ask(site, "/startupz").status == 200, "what was once started")


FILE = """
[circus]
endpoint = "ipc://{folder}/ctl"
pubsub_endpoint = "ipc://{folder}/events"

[admin]
bind = "127.0.0.1:%d"
%s

[app.one]
app = "tests.apps.wsgi_basic:app"
bind = "127.0.0.1:%d"

[app.two]
app = "tests.apps.wsgi_basic:app"
bind = "127.0.0.1:%d"

[watcher.sleeper]
cmd = "sleep 1000"
"""


def file(more: str = "") -> tuple[str, list[int]]:
    ports = [free_port() for _ in range(3)]
    return FILE % (ports[0], more, *ports[1:]), ports[1:]


def test_a_file_has_one_listener_for_all(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    text, ports = file(f'token_file = "{tmp_path}/token"')
    with Stack(text) as stack:
        until(lambda: ask(stack, "/readyz").status == 200, "a site that is ready")
        for port, times in zip(ports, (3, 5), strict=True):
            for _ in range(times):
                with Client(("127.0.0.1", port)) as client:
                    assert client.get("/").status == 200
        assert ask(stack, "/metrics").status == 401
        for app, times in (("one", 3), ("two", 5)):
            key = "bigtop_requests_total", ("app", app), ("status", "2xx")
            until(
                lambda key=key, times=times: metrics(stack, Authorization=f"Bearer {TOKEN}")[key] == times,
                "the requests to be counted",
            )
        found = metrics(stack, Authorization=f"Bearer {TOKEN}")
        assert found["bigtop_process_starts_total", ("watcher", "sleeper")] == 1
        assert found["bigtop_log_dropped_total", ("watcher", "sleeper")] == 0
        told = json.loads(ask(stack, "/status", fields={"Authorization": f"Bearer {TOKEN}"}).body)
        assert {one["name"]: one["kind"] for one in told["watchers"]} == {
            "one": "app",
            "two": "app",
            "sleeper": "command",
        }
        # Of commands nobody asks whether they are ready, of each application one does.
        stack.call("stop", name="sleeper", waiting=True)
        assert ask(stack, "/readyz").status == 200
        stack.call("stop", name="two", waiting=True)
        until(lambda: ask(stack, "/readyz").body == "two: stopped\n", "the end of two to be told")
        assert ask(stack, "/startupz").status == 200


def test_a_file_says_who_is_answered() -> None:
    text, _ = file('allow = ["127.0.0.9"]')
    with Stack(text) as stack:
        until(lambda: ask(stack, "/livez").status == 403, "a refusal")
        stack.write(text.replace("127.0.0.9", "127.0.0.1"))
        stack.call("reloadconfig")
        assert "[admin]: what changed there takes a new start of Bigtop" in stack.log()
        assert ask(stack, "/livez").status == 403


def test_a_file_says_under_which_names() -> None:
    text, _ = file('hosts = ["shop.internal"]')
    with Stack(text) as stack:
        until(lambda: ask(stack, "/livez", fields={"Host": "shop.internal"}).status == 200, "an answer")
        assert ask(stack, "/livez", fields={"Host": "evil.example"}).status == 421


def test_commands_alone_are_ready_when_they_run() -> None:
    text = f"[admin]\nbind = 127.0.0.1:{free_port()}\n[watcher:one]\ncmd = sleep 1000\n"
    with Stack(text, name="x.ini") as stack:
        until(lambda: ask(stack, "/readyz").body == "ok\n", "a command that runs")
        assert ask(stack, "/startupz").status == 200


def test_a_stack_that_drains_is_not_ready() -> None:
    text, ports = file()
    with Gate() as gate, Stack(text) as stack:
        until(lambda: ask(stack, "/readyz").status == 200, "a site that is ready")
        with Client(("127.0.0.1", ports[0])) as client:
            client.send(f"GET {gate.target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            until(gate.entered, "the call")
            stack.process.terminate()
            until(lambda: ask(stack, "/readyz").status == 503, "the drain")
            assert ask(stack, "/livez").status == 200
            gate.open()
            assert client.answer().status == 200
        assert stack.process.wait(30) == 0


def test_it_ends_with_its_supervisor() -> None:
    with admin_site() as site:
        until(lambda: ask(site, "/livez").status == 200, "an answer")
        where = place(site)
        site.family()
        site.process.kill()

        def is_refused() -> bool:
            try:
                socket.create_connection(where, timeout=30).close()
            except ConnectionError:
                return True
            return False

        until(is_refused, "the end of its socket")


def test_who_says_nothing_is_told_so(silent: socket.socket) -> None:
    answer = b""
    while data := silent.recv(1000):
        answer += data
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(b"\r\n\r\nno request within 10 seconds\n")
