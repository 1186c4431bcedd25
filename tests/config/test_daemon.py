# What concerns a configuration as a whole: plugins, sockets, warnings, the examples.

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from bigtop.config.file.daemon import DaemonSpec, load
from bigtop.config.serve.specs.admin import AdminSpec
from bigtop.emission import Emission
from bigtop.plugins.orders import VARIABLE, Orders
from bigtop.sockets import SocketSpec
from bigtop.stats.pace import Pace
from bigtop.supervisor.policy.helper import ENDPOINT, EVENTS
from bigtop.supervisor.policy.spec import Respawn

from .files import command_of, loaded, mistakes, only_watcher

ROOT = Path(__file__).resolve().parents[2]


def shown(daemon: DaemonSpec, directory: Path) -> list[str]:
    return [warning.replace(f"{directory}/", "") for warning in daemon.warnings if "as root" not in warning]


# ---- plugins


def test_a_plugin_is_a_watcher_that_is_told_what_its_section_says(tmp_path: Path) -> None:
    text = """\
        [circus]
        endpoint = ipc://c
        pubsub_endpoint = ipc://p
        loglevel = debug
        logoutput = x.log
        [env]
        A = 1
        [plugin:stats emitter]
        use = circus.plugins.statsd.StatsdEmitter
        host = $(circus.env.home)
        application_name = two words
        graceful_timeout = 5
        """
    (told,) = loaded(tmp_path, text).plugins
    plugin = told.watcher
    command = command_of(plugin)
    assert shlex.split(command.cmd) == [sys.executable]
    assert command.args == ("-P", "-m", "bigtop.plugins.host", ENDPOINT, EVENTS)
    assert (plugin.name, plugin.priority, plugin.singleton) == ("plugin:stats emitter", 1, True)
    assert plugin.stop.graceful_timeout == 5
    env = dict(command.context.env)
    assert (env["A"], env["HOME"]) == ("1", "/home/someone")
    assert "PYTHONPATH" in env
    orders = Orders.decode(env[VARIABLE])
    assert orders.encode() == told.orders.encode()
    assert (orders.name, orders.use) == (plugin.name, "circus.plugins.statsd.StatsdEmitter")
    assert orders.given == {"application_name": ["two words"], "host": ["/home/someone"]}
    assert orders.config == {
        "application_name": "two words",
        "graceful_timeout": "5",
        "host": "/home/someone",
        "name": "plugin:stats emitter",
    }
    assert (orders.loglevel, orders.check_delay, orders.hang_timeout) == ("debug", 5, 10)
    assert (told.role, told.places["host"]) == (None, f"{tmp_path}/circus.ini:10")


def test_a_plugin_being_debugged_says_everything(tmp_path: Path) -> None:
    (told,) = loaded(tmp_path, "[circus]\ndebug = 1\n[plugin:x]\nuse = a.B\n").plugins
    assert told.orders.loglevel == "debug"


def test_a_key_of_all_stands_for_the_plugin_that_reloads_what_was_changed(tmp_path: Path) -> None:
    text = "[circus]\nreload_on_change = web*, api\n[watcher:api]\ncmd = x\n[watcher:Web 1]\ncmd = x\n"
    (told,) = loaded(tmp_path, text).plugins
    assert (told.watcher.name, told.orders.use) == (
        "plugin:reload_on_change",
        "circus.plugins.command_reloader.CommandReloader",
    )
    assert told.orders.given == {"watchers": ("web*", "api"), "restart_by": ("reload",)}
    assert told.place == f"{tmp_path}/circus.ini:2"


def test_what_is_to_be_reloaded_has_to_be_there(tmp_path: Path) -> None:
    text = "[circus]\nreload_on_change = appi, x*, site, Api\n[watcher:api]\ncmd = x\n[app:site]\napp = a:b\n"
    assert mistakes(tmp_path, text) == [
        "circus.ini:2: reload_on_change: site is an application: `bigtop ctl reload site` loads its code",
        "circus.ini:2: reload_on_change: there is no watcher appi; did you mean api?",
        "circus.ini:2: reload_on_change: there is no watcher x*",
    ]


def test_a_program_is_a_plugin_as_well(tmp_path: Path) -> None:
    text = """\
        [plugin:x]
        cmd = prog --flag
        args = "one word"
        events = *.reap, web.stop
        role = operate
        hang_timeout = 2
        state_file = /x/y
        """
    (told,) = loaded(tmp_path, text).plugins
    orders = told.orders
    assert (orders.use, orders.hang_timeout, orders.state_file) == ("program", 2, "/x/y")
    assert told.role == "operate"
    assert orders.given["events"] == ("*.reap, web.stop",)
    (line,) = orders.given["cmd"]
    assert shlex.split(line) == ["prog", "--flag", "one word"]


def test_the_flapping_plugin_is_not_run_but_meant(tmp_path: Path) -> None:
    text = """\
        [plugin:flapping]
        use = circus.plugins.flapping.Flapping
        window = 3
        max_retry = 4
        [watcher:x]
        cmd = x
        flapping.window = 9
        """
    daemon = loaded(tmp_path, text)
    restart = only_watcher(daemon).restart
    assert daemon.plugins == ()
    assert (restart.attempts, restart.window, restart.retry_in, restart.max_retry) == (2, 9.0, 7.0, 4)
    assert (
        "circus.ini:1: [plugin:flapping] is not run: Bigtop counts deaths itself, by the same keys"
        in shown(daemon, tmp_path)
    )


def test_a_wrong_number_of_the_flapping_plugin_has_its_line(tmp_path: Path) -> None:
    plugin = "[plugin:f]\nuse = circus.plugins.flapping.Flapping\nwindow = x\n"
    text = plugin + "[watcher:x]\ncmd = x\n[watcher:y]\ncmd = y\n"
    assert mistakes(tmp_path, text) == [
        "circus.ini:3: flapping.window: must be a number of seconds, 0 or more, got 'x'"
    ]


# ---- sockets


def test_the_umask_of_a_socket_is_octal(tmp_path: Path) -> None:
    (socket,) = loaded(tmp_path, "[socket:x]\npath = /run/x\numask = 022\nclose_when_unused = 1\n").sockets
    assert (socket.mode, socket.close_when_unused) == (0o755, True)


def test_a_socket_without_a_umask_follows_that_of_the_daemon(tmp_path: Path) -> None:
    (socket,) = loaded(tmp_path, "[socket:x]\npath = /run/x\ninterface =\n").sockets
    assert (socket.mode, socket.interface) == (None, None)


def test_names_of_watchers_and_sockets_do_not_meet(tmp_path: Path) -> None:
    daemon = loaded(tmp_path, "[socket:web]\nport = 0\n[watcher:web]\ncmd = x $(circus.sockets.web)\n")
    assert only_watcher(daemon).sockets == ("web",)


ADMINS = [
    ("[admin]\n", "1: [admin] needs bind, such as 127.0.0.1:9101"),
    (
        "[admin]\nbind = 0.0.0.0:1\n",
        "2: bind: others than this machine reach 0.0.0.0:1: it needs a token, or",
    ),
    ("[admin]\nbind = :1\n", "2: bind: others than this machine reach :1"),
    ("[admin]\nbind = nobind\n", "2: bind: bind address 'nobind' has no port"),
    ("[admin]\nbind = fd://3\n", "2: bind: must be HOST:PORT or unix:PATH"),
    ("[admin]\nbind = unix:x\nallow = ::1\n", "2: bind: unix:x is a unix socket"),
    ("[admin]\nbind = 127.0.0.1:1\nallow = here\n", "3: allow: must be an IP address"),
    ("[admin]\nbind = unix:x\nhosts = a\n", "2: bind: unix:x is a unix socket: its clients ask no host"),
    ("[admin]\nbind = 127.0.0.1:1\nhosts = a b\n", "3: hosts: must be the name of a host, or *"),
    ("[admin]\nbind = :1\ntoken_file = /none\n", "2: bind: /none: No such file or directory"),
]


@pytest.mark.parametrize(("text", "mistake"), ADMINS)
def test_an_admin_listener_that_would_be_open_or_unclear(text: str, mistake: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(f"circus.ini:{mistake}")


def test_an_admin_listener(tmp_path: Path) -> None:
    assert loaded(tmp_path, "[circus]\n").admin is None
    found = loaded(tmp_path, "[admin]\nbind = :9101\nallow = 10.0.0.0/8, ::1\n").admin
    assert found == AdminSpec(SocketSpec(":9101", "", 9101), None, ("10.0.0.0/8", "::1"))
    found = loaded(tmp_path, "[admin]\nbind = localhost:1\n").admin
    assert found is not None
    assert found.hosts == ("localhost",)
    (tmp_path / "token").write_text("a-token-of-the-tests\n")
    found = loaded(tmp_path, f"[admin]\nbind = here:1\ntoken_file = {tmp_path}/token\n").admin
    assert found is not None
    assert found.hosts == ("*",)
    (mistake,) = mistakes(tmp_path, "[admin]\nbind = 127.0.0.1:1\n[watcher:circusd-stats]\ncmd = x\n")
    assert mistake.startswith("circus.ini:3: [watcher:circusd-stats] has the name of the process")


def test_nobody_has_the_name_of_the_stats_process(tmp_path: Path) -> None:
    own = "[watcher:circusd-stats]\ncmd = x\n"
    assert loaded(tmp_path, own).stats is None
    (mistake,) = mistakes(tmp_path, f"[circus]\nstatsd = 1\n{own}")
    assert mistake.startswith("circus.ini:3: [watcher:circusd-stats] has the name of the process")


FIGURES = [
    ("[circus]\nstatsd = 1\n", Pace()),
    ("[stats]\n", Pace()),
    ("[stats]\ninterval = 0.5\ndetails_interval = 3\nhistory = yes\n", Pace(0.5, 3.0, history=True)),
    (
        "[stats]\nintervals = Two words=5, b=0.5\n[watcher:two words]\ncmd = x\n[app:b]\napp = m:a\n",
        Pace(intervals=(("two words", 5.0), ("b", 0.5))),
    ),
    ("[circus]\nstatsd = no\n[stats]\ninterval = 2\nstatsd_host = a\n", None),
    (
        "[stats]\nstatsd_host = unix:/a\nstatsd_prefix = b.\ndogstatsd_tags = c:d, e",
        Pace(emission=Emission("/a", "b", ("c:d", "e"), has_names=True)),
    ),
    (
        "[stats]\nstatsd_host = a\nstatsd_dialect = circus",
        Pace(emission=Emission(("a", 8125), dialect="circus", has_names=True)),
    ),
    ("", None),
]


@pytest.mark.parametrize(("text", "pace"), FIGURES)
def test_how_figures_are_asked_for(text: str, pace: Pace | None, tmp_path: Path) -> None:
    assert loaded(tmp_path, text).stats == pace


def test_a_pace_without_time_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "[stats]\ninterval = 0\n") == [
        "circus.ini:2: interval: must be more than 0 seconds, got '0'"
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("web=0", "must be more than 0 seconds, got '0'"),
        ("5", "must be NAME=SECONDS, got '5'"),
        ("wep=5", "there is no watcher or app wep; did you mean web?"),
    ],
)
def test_intervals_of_somebody_who_is_not_there_are_refused(text: str, mistake: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f"[stats]\nintervals = {text}\n[watcher:web]\ncmd = x\n")
    assert found == f"circus.ini:2: intervals: {mistake}"


# ---- warnings

DAEMON_WARNINGS = [
    ("endpoint = tcp://0.0.0.0:5555", "1: endpoint: whoever reaches this address commands all processes"),
    ("endpoint = tcp://127.0.0.1:5555", "1: endpoint: every user of this machine may command all processes"),
    ("endpoint = ipc://a\nendpoint_owner = root\npubsub_endpoint = ipc://b", None),
    ("endpoint_owner = root\npubsub_endpoint = ipc://b", "1: endpoint_owner does nothing"),
    ("statsd = no\n[stats]\ninterval = 2", "3: [stats] does nothing: circus says statsd = no"),
    ("[stats]\nstatsd_prefix = a", "3: statsd_prefix does nothing without statsd_host"),
    (
        "[stats]\nstatsd_host = a\nstatsd_dialect = circus\nenable_backlog_metric = yes",
        "5: enable_backlog_metric does nothing without the names of gunicorn (statsd_dialect)",
    ),
    (
        "stats_endpoint = tcp://127.0.0.1:1",
        "2: stats_endpoint switches statsd on, as in Circus; say statsd = yes",
    ),
    ("debug_gc = yes", "1: debug_gc is accepted, but nothing is logged"),
    ("fqdn_prefix = box", "1: fqdn_prefix is accepted, but nothing here tells"),
    ("httpd = yes\nhttpd_host = 0.0.0.0", "3: httpd: there is no web console, as others than this machine"),
    ("httpd_port = 1", "2: httpd_port does nothing without httpd = yes"),
    (
        "httpd = yes\nhttpd_port = 1\n[web]\nbind = 127.0.0.1:2",
        "3: httpd_port does nothing beside [web]: bind there counts",
    ),
    ("stream_backend = gevent", "2: stream_backend does nothing"),
    ("papa_endpoint = x", "2: papa_endpoint does nothing"),
    ("statsd_close_outputs = 1", "2: statsd_close_outputs does nothing"),
    (
        "chek_delay = 1",
        "2: chek_delay is no key of [circus] and only kept as it is; did you mean check_delay?",
    ),
    ("include = none.ini", "2: include: 'none.ini' leads to no file"),
]


@pytest.mark.parametrize(("lines", "warning"), DAEMON_WARNINGS, ids=[lines for lines, _ in DAEMON_WARNINGS])
def test_settings_of_the_daemon_that_are_worth_a_word(
    lines: str, warning: str | None, tmp_path: Path
) -> None:
    found = shown(loaded(tmp_path, f"[circus]\n{lines}\n[watcher:a]\ncmd = sleep 9\n"), tmp_path)
    if warning is None:
        assert found == []
    else:
        assert len([line for line in found if line.startswith(f"circus.ini:{warning}")]) == 1


# ---- the examples


def test_the_example_in_ini(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    daemon = load("examples/stack.ini")
    by_name = {watcher.name: watcher for watcher in daemon.watchers}
    assert sorted(by_name) == ["cleanup", "prepare", "statistics", "web", "worker"]
    assert (by_name["web"].sockets, by_name["statistics"].sockets) == (("web",), ("statistics",))
    assert (by_name["worker"].numprocesses, by_name["worker"].stop.graceful_timeout) == (3, 12.5)
    assert by_name["prepare"].restart.respawn is by_name["cleanup"].restart.respawn is Respawn.NEVER
    assert by_name["cleanup"].lifetime.schedule == "*/5 * * * *"
    assert [(socket.name, socket.kind, socket.port) for socket in daemon.sockets] == [
        ("statistics", "dgram", 8125),
        ("web", "stream", 8000),
    ]


def test_the_example_in_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    daemon = load("examples/stack.toml")
    (site,) = daemon.apps
    assert (site.name, site.sockets, site.depends, site.site.binds) == ("web", ("web",), ("prepare",), ())
    assert [watcher.name for watcher in daemon.watchers] == ["cleanup", "prepare", "statistics", "worker"]
    assert daemon.watchers[-1].numprocesses == 3
    assert shown(daemon, ROOT) == []
