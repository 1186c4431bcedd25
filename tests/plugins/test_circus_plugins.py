# Circus' plugins as Bigtop brings them: what they ask, count and do. What Circus does wrong is right here.

from __future__ import annotations

import asyncio
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bigtop.plugins.circus import conversions, tools
from bigtop.plugins.circus.command_reloader import CommandReloader
from bigtop.plugins.circus.flapping import Flapping
from bigtop.plugins.circus.http_observer import HttpObserver
from bigtop.plugins.circus.loop import AsyncPeriodicCallback, Loop
from bigtop.plugins.circus.plugin import CircusPlugin
from bigtop.plugins.circus.redis_observer import RedisObserver
from bigtop.plugins.circus.resource_watcher import ResourceWatcher
from bigtop.plugins.circus.statsd import FullStats, StatsdEmitter
from bigtop.plugins.circus.watchdog import WatchDog
from bigtop.plugins.inspection import inspected
from bigtop.plugins.orders import Orders
from tests.support.site import until
from tests.support.stack import free_port


class Desk:
    """Where a plugin's commands end: each has its reply, and is remembered."""

    def __init__(self, plugin: CircusPlugin, **replies: Any) -> None:
        self.replies = replies
        self.given: list[tuple[str, dict[str, Any]]] = []
        vars(plugin).update(call=self.call, cast=self.cast)

    def call(self, command: str, **properties: Any) -> Any:
        self.cast(command, **properties)
        reply = self.replies.get(command, {})
        return {"status": "ok", **(reply(properties) if callable(reply) else reply)}

    def cast(self, command: str, **properties: Any) -> None:
        self.given.append((command, properties))


MADE: list[CircusPlugin] = []


def made(kind: type[CircusPlugin], **config: Any) -> Any:
    MADE.append(kind("ipc://nowhere", "ipc://nobody", 1, None, **config))
    return MADE[-1]


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().stop()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A statsd server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(30)
        yield listener


def place(server: socket.socket) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": server.getsockname()[1]}


def heard(server: socket.socket, count: int) -> list[str]:
    return [server.recv(1000).decode() for _ in range(count)]


def process(
    cpu: object = 1.0, mem: object = 1.0, mem_info1: object = "10M", **more: object
) -> dict[str, object]:
    return {"cpu": cpu, "mem": mem, "mem_info1": mem_info1, "children": [], **more}


# ---- statsd


def test_events_are_counted(server: socket.socket) -> None:
    plugin = made(StatsdEmitter, application_name="shop", sample_rate="0.5", **place(server))
    plugin.handle_recv([b"watcher.web.reap", b"{}"])
    assert heard(server, 1) == ["circus.shop.watcher.web.reap:1|c|@0.5"]
    plugin.statsd.decrement("x", 3)
    assert heard(server, 1) == ["circus.shop.watcher.x:-3|c|@0.5"]


def test_a_server_that_is_away_disturbs_nobody() -> None:
    plugin = made(StatsdEmitter, host="nowhere.invalid")
    plugin.handle_recv(["watcher.web.reap", "{}"])


def test_figures_of_processes_that_are_gone_are_not_made_up(server: socket.socket) -> None:
    gone = {"3": process("N/A"), "4": "No such process"}
    web = {"1": process(10, 2, "1M"), "2": process(30, 4, "3M"), **gone}
    plugin = made(FullStats, **place(server))
    Desk(plugin, stats={"infos": {"web": web, "empty": {"spawn_count": 3}, "plugin:x": {"9": process()}}})
    plugin.look_after()
    assert [line.removeprefix("circus.app.watcher._stats.") for line in heard(server, 9)] == [
        *("web.watchers_num:2|g", "web.cpu_max:30.0|g", "web.cpu_sum:40.0|g", "web.mem_pct_max:4.0|g"),
        *("web.mem_pct_sum:6.0|g", "web.mem_max:3145728|g", "web.mem_sum:4194304|g"),
        *("empty.spawn_count:3|g", "empty.watchers_num:0|g"),
    ]
    Desk(plugin, stats={"status": "error"})
    plugin.look_after()
    assert heard(server, 1) == ["circus.app.watcher._stats.error:1|c"]


# ---- resources


def watcher_of(**config: Any) -> Any:
    return made(ResourceWatcher, watcher="web", max_count="1", health_threshold="0", **config)


@pytest.mark.parametrize(
    ("config", "bad"),
    [
        ({"max_cpu": "50"}, process(cpu=51)),
        ({"min_cpu": "2"}, process(cpu=2.0)),
        ({"max_mem": "50"}, process(mem=51)),
        ({"max_mem": "250M"}, process(mem_info1="251M")),
        ({"min_mem": "0.5"}, process(mem=0.4)),
        ({"min_mem": "9M"}, process(mem_info1="8M")),  # which Circus takes for percent
        ({"health_threshold": "50"}, process(cpu=60, mem=41)),
    ],
)
def test_one_process_is_replaced_and_only_after_a_while(
    config: dict[str, Any], bad: dict[str, object]
) -> None:
    plugin = made(ResourceWatcher, **{"watcher": "web", "max_count": "1", **config})
    good = process(cpu=40, mem=40, mem_info1="100M")
    desk = Desk(plugin, stats={"info": {"1": good, "2": bad, "3": process("N/A")}})
    plugin.look_after()
    assert [command for command, _ in desk.given] == ["stats"]
    desk.replies["stats"] = {"info": {"1": good, "2": good}}
    plugin.look_after()
    desk.replies["stats"] = {"info": {"1": good, "2": bad}}
    plugin.look_after()
    assert [command for command, _ in desk.given] == ["stats"] * 3
    plugin.look_after()
    assert desk.given[-1] == ("kill", {"name": "web", "pid": 2})
    plugin.look_after()  # it has gone, or has another life to live
    assert desk.given[-1][0] == "stats"


def test_all_processes_are_replaced_where_that_is_wanted_and_none_where_there_is_none() -> None:
    plugin = watcher_of(max_cpu="50", restart="watcher")
    desk = Desk(plugin, stats={"info": {"1": process(cpu=60), "2": process(cpu=70)}})
    plugin.look_after()
    plugin.look_after()
    assert desk.given[2:] == [("restart", {"name": "web"})]
    desk.replies["stats"] = {"info": {}}
    for _ in range(5):
        plugin.look_after()
    assert len(desk.given) == 8


def test_a_child_is_signalled_and_not_its_parent() -> None:
    plugin = watcher_of(max_cpu="50", process_children="yes", child_signal="USR1")
    parent = process(children=[process(cpu=90, pid=71), process(cpu=3, pid=72)])
    desk = Desk(plugin, stats={"info": {"7": parent}})
    plugin.look_after()
    plugin.look_after()
    assert desk.given[2:] == [("signal", {"name": "web", "pid": 7, "childpid": 71, "signum": 10})]


def test_the_watcher_has_to_be_named() -> None:
    with pytest.raises(NotImplementedError):
        made(ResourceWatcher)
    with pytest.warns(DeprecationWarning, match="service is called watcher"):
        assert made(ResourceWatcher, service="web").watcher == "web"


# ---- HTTP, Redis


class Site(http.server.BaseHTTPRequestHandler):
    status, body = 200, b"all is well"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None: ...


def test_a_site_is_asked_and_restarted_when_it_fails(server: socket.socket) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{site.server_address[1]}/"
        plugin = made(
            HttpObserver,
            check_url=url,
            expect="well",
            failures="2",
            restart_on_error="web",
            restart_by="reload",
            **place(server),
        )
        desk = Desk(plugin)
        start = "circus.http_observer.watcher.http_stats"
        asyncio.run(plugin.look_after())
        (line,) = heard(server, 1)
        assert line.startswith(f"{start}.request_time:")
        assert line.endswith("|ms")
        Site.status = 503
        asyncio.run(plugin.look_after())
        Site.status, Site.body = 200, b"all is bad"
        assert desk.given == []
        asyncio.run(plugin.look_after())
        assert desk.given == [("reload", {"name": "web"})]
        assert [line.removeprefix(f"{start}.") for line in heard(server, 5)] == [
            *("error:1|c", "error.503:1|c", "error:1|c", "error.599:1|c", "restart_on_error:1|c")
        ]
        site.shutdown()
    asyncio.run(plugin.look_after())
    assert heard(server, 2)[1] == f"{start}.error.599:1|c"


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 30).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_redis_and_valkey_are_observed(scheme: str, server: socket.socket, tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="pip install redis")
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("apt-get install redis-server")
    port = free_port()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as running:
        try:
            until(lambda: answers(port), "the server")
            plugin = made(
                RedisObserver,
                redis_url=f"{scheme}://127.0.0.1:{port}/0",
                restart_on_timeout="db",
                **place(server),
            )
            desk = Desk(plugin)
            asyncio.run(plugin.look_after())
            lines = heard(server, 15)
            assert any("redis_stats.connected_clients:" in line for line in lines)
        finally:
            running.kill()
    asyncio.run(plugin.look_after())
    assert desk.given == [("restart", {"name": "db"})]


# ---- commands


def test_a_program_that_was_changed_is_restarted_once_it_is_still(tmp_path: Path, monkeypatch: Any) -> None:
    program = tmp_path / "prog"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    os.utime(program, (1000, 1000))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    commands = {"web": "prog --flag 'one word'", "bad": "'", "none": None, "gone": "/no/such"}
    plugin = made(CommandReloader, watchers="W*,bad,none,gone")
    desk = Desk(
        plugin,
        list={"watchers": [*commands, "other", "plugin:x"]},
        get=lambda properties: {"options": {"cmd": commands[properties["name"]]}},
    )

    def done() -> list[str]:
        before = len(desk.given)
        plugin.look_after()
        return [str(words) for command, words in desk.given[before:] if command == "restart"]

    assert done() == []
    assert plugin.cmd_files == {"web": {"path": str(program), "mtime": 1000}}
    now = time.time() + 1000  # a file of the future is still as far as anybody can tell
    os.utime(program, (now, now))
    assert done() == ["{'name': 'web'}"]
    assert done() == []
    os.utime(program)  # just now
    assert plugin.is_modified("web", program.stat().st_mtime, str(program))
    commands["web"] = str(program)
    until(done, "the restart, when it has been still for a second")


# ---- signs of life


def test_who_does_not_say_that_it_is_alive_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    plugin = made(
        WatchDog,
        loop_rate="1000",
        max_count="1",
        port="0",
        watchers_regex="^web",
        watchers_stop_signal="quit",
    )
    desk = Desk(
        plugin,
        list=lambda properties: {"pids": [1, 2, 3]} if properties else {"watchers": ["web", "db"]},
    )
    plugin.loop.make_current()
    plugin.handle_init()
    plugin.look_after()
    plugin.handle_recv([b"watcher.web.spawn", b'{"process_pid": 4}'])
    plugin.handle_recv([b"watcher.db.spawn", b'{"process_pid": 5}'])
    plugin.handle_recv([b"watcher.web.reap", b'{"process_pid": 1}'])
    plugin.handle_recv([b"watcher.web.reap", b'{"process_pid": 99}'])
    assert list(plugin.pid_status) == ["2", "3", "4"]
    for status in plugin.pid_status.values():
        status["last_activity"] = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in (b"nonsense", b"\xff\xfe", b"12345;now", b"3;now"):
            sender.sendto(message, plugin.sock.getsockname())
    until(lambda: _turned(plugin) and plugin.pid_status["3"]["last_activity"], "the sign of life")
    assert plugin.strange == 3
    desk.given.clear()
    plugin.look_after()
    assert desk.given == [
        ("kill", {"name": "web", "pid": 2, "signum": 3}),
        ("kill", {"name": "web", "pid": 4, "signum": 3}),
    ]
    assert list(plugin.pid_status) == ["3"]
    plugin.handle_stop()
    plugin.loop.close()


def _turned(plugin: CircusPlugin) -> bool:
    plugin.loop.run_sync(lambda: asyncio.sleep(0.01))
    return True


# ---- deaths


def test_flapping_stops_and_starts_for_those_who_made_one_of_it() -> None:
    plugin = made(Flapping, retry_in="1000")
    desk = Desk(plugin, options={"options": {"flapping.attempts": "3", "flapping.active": "yes", "cmd": "x"}})
    for _ in range(2):
        plugin.handle_recv(["watcher.web.reap", "{}"])
    assert [command for command, _ in desk.given] == ["options"]
    plugin.handle_recv(["watcher.web.reap", "{}"])
    assert desk.given[-1] == ("stop", {"name": "web"})
    assert plugin.timers["web"].is_alive()
    plugin.handle_stop()
    desk.replies["options"] = {"options": {"flapping.active": "no"}}
    plugin.handle_recv(["watcher.web.updated", "{}"])
    for _ in range(9):
        plugin.handle_recv(["watcher.web.reap", "{}"])
    assert [command for command, _ in desk.given].count("stop") == 1


# ---- what is around them


def test_options_are_checked() -> None:
    def problems(name: str, /, **given: str) -> dict[str | None, str]:
        use = f"circus.plugins.{name}"
        role, found = inspected(Orders("plugin:x", use, {key: (text,) for key, text in given.items()}))
        assert role in ("view", "operate")
        return dict(found)

    assert problems("statsd.StatsdEmitter", port="8125", active="yes", name="plugin:x") == {}
    assert problems("statsd.FullStats", prot="1", loop_rate="0") == {
        "loop_rate": "must be 0.01 or more, got '0'",
        "prot": "there is no such option; did you mean port?",
    }
    assert problems("resource_watcher.ResourceWatcher", max_mem="lots") == {
        "max_mem": "'lots' is no number of bytes such as 250M",
        "watcher": "is needed: whose processes?",
    }
    assert problems("http_observer.HttpObserver", check_url="ftp://x") == {
        "check_url": "must begin with http:// or https://"
    }
    assert "is no regular expression" in problems("watchdog.WatchDog", watchers_regex="(")["watchers_regex"]
    assert "needs a group" in problems("watchdog.WatchDog", msg_regex="(.*)")["msg_regex"]
    assert (
        "signal invalid" in problems("watchdog.WatchDog", watchers_stop_signal="no")["watchers_stop_signal"]
    )


@pytest.mark.parametrize("text", ["0B", "1.50K", "976.56K", "953.67M", "11.50G", "5.00T"])
def test_bytes_for_people(text: str) -> None:
    assert conversions.bytes2human(conversions.human2bytes(text)).removesuffix("B")[:3] == text[
        :3
    ].removesuffix("B")


def test_a_loop_calls_what_it_is_asked_to() -> None:
    loop, called = Loop(), []
    loop.make_current()

    async def later() -> None:
        await asyncio.sleep(0)
        called.append("awaited")

    def periodic() -> None:
        called.append("turn")
        if called.count("turn") == 1:
            raise ValueError("its first turn")
        period.stop()
        loop.stop()

    period = AsyncPeriodicCallback(periodic, 1)
    loop.add_callback(called.append, "soon")
    loop.add_callback(later)
    loop.add_timeout(time.time() - 1, called.append, "at once")
    loop.remove_timeout(loop.call_later(0, called.append, "never"))
    loop.asyncio_loop.set_exception_handler(lambda _loop, context: called.append(str(context["exception"])))
    period.start()
    assert period.is_running()
    loop.start()
    assert sorted(called) == sorted(["soon", "awaited", "at once", "turn", "its first turn", "turn"])
    assert not period.is_running() or loop.run_sync(lambda: asyncio.sleep(0)) is None
    loop.close()
    loop.stop()


WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_hidden = name.partition(".")[0] in ("circus", "tornado")
        return None if is_hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def test_without_circus_its_names_are_ours() -> None:
    code = """
from bigtop.plugins import lookup
kind = lookup.find("tests.apps.circus_plugin.Reporter")
import circus.client, circus.consumer, circus.exc, circus.util, circus.plugins.statsd
from circus.fixed_threading import Timer
from circus.plugins import CircusPlugin
from circus import logger
assert issubclass(kind, CircusPlugin) and issubclass(circus.plugins.statsd.BaseObserver, CircusPlugin)
import bigtop.plugins.circus.plugin as ours
assert ours.CircusPlugin is CircusPlugin and ours.__name__ == ours.__spec__.name
assert circus.util.to_bool("on") and circus.util.AsyncPeriodicCallback
assert circus.exc.CallError is circus.client.CallError
assert not any(name.partition(".")[0] == "tornado" for name in sys.modules)
try:
    import circus.arbiter
except ModuleNotFoundError as error:
    print(error)
try:
    from circus.util import load_virtualenv
except ImportError as error:
    print(error)
"""
    own = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}  # wherever this process stands
    command = [sys.executable, "-c", WITHOUT + code]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (
        [
            "No module named 'circus.arbiter'",
            "circus.util.load_virtualenv is there with Circus alone: pip install circus",
        ],
        "",
    )


def test_an_installed_circus_is_not_hidden() -> None:
    pytest.importorskip("circus", reason="pip install circus")
    code = "from bigtop.plugins import lookup; lookup.find('program'); import circus; print(circus.__file__)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert "site-packages" in done.stdout


def test_names_of_circus_util_are_there_or_told() -> None:
    theirs = pytest.importorskip("circus.util", reason="pip install circus")
    own = {
        name
        for name, value in vars(theirs).items()
        if not name.startswith("_") and getattr(value, "__module__", "circus.util") == "circus.util"
        if not isinstance(value, types.ModuleType) and name not in {"DEFAULTSECT", "REDIRECT_TO"}
    }
    dull = {"LOG_DATE_SYSLOG_FMT", "INDENTATION_LEVEL"}  # of its own log
    assert own - dull - {*tools.__all__} == {name for name in tools._OF_THE_DAEMON if hasattr(theirs, name)}
    for name in tools._OF_THE_DAEMON:
        with pytest.raises(ImportError, match=f"circus.util.{name} is there with Circus alone"):
            getattr(tools, name)
    assert not hasattr(tools, "nothing")


def both(what: Callable[[Any], object]) -> object:
    """Return what Circus' own tools and ours return, which is the same."""
    theirs = pytest.importorskip("circus.util", reason="pip install circus")
    found = []
    for one in (theirs, tools):
        try:
            found.append(what(one))
        except (ImportError, KeyError, ValueError) as error:
            found.append(type(error).__name__)
    assert found[0] == found[1]
    return found[0]


def test_tools_do_what_those_of_circus_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "there")
    monkeypatch.setenv("DEBUG", "1")
    assert both(lambda util: util.parse_env_str("A=1, B=$HERE/x")) == {"A": "1", "B": "there/x"}
    both(lambda util: util.env_to_str({"B": 2, "A": "x"}))
    both(lambda util: [util.env_to_str(None), util.convert_opt("env", {"A": 1}), util.convert_opt("x", None)])
    both(lambda util: [util.to_uid("root"), util.to_uid(0), util.to_uid("0"), util.to_gid("root")])
    for wrong in ("no such user", 4_000_000_000):
        assert both(lambda util, wrong=wrong: util.to_uid(wrong)) == "ValueError"
        assert both(lambda util, wrong=wrong: util.to_gid(wrong)) == "ValueError"
    both(
        lambda util: [util.get_username_from_uid(0), util.get_username_from_uid("x"), util.get_default_gid(0)]
    )
    both(lambda util: [util.resolve_name("os.path.join"), util.resolve_name("os.path:join")])
    both(lambda util: [util.resolve_name("os"), util.resolve_name("nothing.at.all", silent=True)])
    assert both(lambda util: util.resolve_name("nothing.at.all")) == "ImportStringError"
    both(lambda util: [util.dict_differ({1: 2}, {1: 3}), util.dict_differ({1: 2}, {2: 3})])
    both(lambda util: [sorted(util.DictDiffer({1: 2, 3: 4}, {3: 5, 6: 7}).added()), util.ObjectDict(a=1).a])
    both(lambda util: util.get_python_version())

    class Told:
        @tools.debuglog
        def twice(self, number: int) -> int:
            return 2 * number

    assert Told().twice(3) == 6


def test_figures_of_a_process_have_names_and_forms_of_circus() -> None:
    theirs = pytest.importorskip("circus.util", reason="pip install circus")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = tools.get_info(child.pid, interval=0.01), theirs.get_info(child.pid)
        child.kill()
    assert {name: type(value) for name, value in found[0].items()} == {
        name: type(value) for name, value in found[1].items()
    }
    for name in ("pid", "username", "nice", "cmdline", "children"):
        assert found[0][name] == found[1][name]
    assert tools.get_info(with_childs=True)["pid"] == os.getpid()
    with pytest.raises(ProcessLookupError):
        tools.get_info(1 << 30)


def test_names_and_attributes_are_those_of_circus() -> None:
    theirs = pytest.importorskip("circus.plugins", reason="pip install circus")
    for name in ("call", "cast", "handle_init", "handle_recv", "handle_stop", "load_message", "split_data"):
        assert hasattr(theirs.CircusPlugin, name)
        assert hasattr(CircusPlugin, name)
