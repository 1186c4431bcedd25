# TOML: the same vocabulary as INI, unknown keys refused, every place found, and [app.NAME].

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.config.file.daemon import DaemonSpec, load
from bigtop.config.file.options.daemon_options import APP_OPTIONS, NOT_OF_APPS
from bigtop.config.file.text.document import Problems
from bigtop.config.file.text.toml import read
from bigtop.config.file.text.tomltext import Table, page
from bigtop.config.serve import options
from bigtop.config.serve.option import Option
from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import StreamSpec

from . import files
from .files import command_of, only_watcher, written

FILE = "bigtop.toml"


def loaded(directory: Path, text: str) -> DaemonSpec:
    return files.loaded(directory, text, FILE)


def mistakes(directory: Path, text: str) -> list[str]:
    return files.mistakes(directory, text, FILE)


# ---- reading


def test_toml_and_ini_say_the_same(tmp_path: Path) -> None:
    toml = """\
        [bigtop]
        endpoint = "tcp://127.0.0.1:5555"
        pubsub_endpoint = "tcp://127.0.0.1:5556"
        stats_endpoint = "tcp://127.0.0.1:5557"
        multicast_endpoint = "udp://237.219.251.97:12027"
        umask = "027"

        [env]
        A = "1"
        B = 2
        [env."w*"]
        C = true

        [watcher.web]
        cmd = "x"
        numprocesses = 2
        shell = true
        graceful_timeout = 1.5
        hooks = { before_start = "os.getpid" }
        rlimits.nofile = 10
        flapping.retry_in = 3
        [watcher.web.stdout_stream]
        class = "FileStream"
        max_bytes = 5
        [watcher.web.options]
        colour = "green"

        [socket.Web]
        port = 0
        """
    ini = """\
        [circus]
        umask = 027
        [env]
        A = 1
        B = 2
        [env:w*]
        C = true
        [watcher:web]
        cmd = x
        numprocesses = 2
        shell = yes
        graceful_timeout = 1.5
        hooks.before_start = os.getpid
        rlimit_nofile = 10
        flapping.retry_in = 3
        stdout_stream.class = FileStream
        stdout_stream.max_bytes = 5
        colour = green
        [socket:web]
        port = 0
        """
    first, second = loaded(tmp_path, toml), files.loaded(tmp_path, ini)
    assert (first.watchers, first.sockets) == (second.watchers, second.sockets)
    assert only_watcher(first).target.stdio.stdout == StreamSpec("FileStream", (("max_bytes", "5"),))  # type: ignore[union-attr]
    assert (first.umask, first.endpoint, first.multicast_endpoint) == (
        second.umask,
        second.endpoint,
        second.multicast_endpoint,
    )


def test_nothing_is_opened_unasked(tmp_path: Path) -> None:
    daemon = loaded(tmp_path, '[watcher.x]\ncmd = "x"\n')
    assert {daemon.endpoint, daemon.pubsub_endpoint, daemon.stats_endpoint, daemon.multicast_endpoint} == {
        None
    }


def test_included_files(tmp_path: Path) -> None:
    written(tmp_path, '[watcher.x]\ncmd = "second"\nshell = true\noptions.b = 1\n', "parts/x.toml")
    written(tmp_path, '[watcher.y]\ncmd = "y"\n[circus]\ninclude = "x"\n', "parts/y.toml")
    written(tmp_path, "[watcher.z]\n\nnonsense = 1\n", "z.toml")
    main = '[circus]\ninclude_dir = "parts"\n[watcher.x]\ncmd = "first"\noptions.a = 1\n'
    x, y = loaded(tmp_path, main).watchers
    assert (command_of(x).cmd, command_of(x).shell, x.options) == ("first", True, (("a", "1"), ("b", "1")))
    assert command_of(y).cmd == "y"
    assert mistakes(tmp_path, '[circus]\ninclude = ["z.toml", "parts/y.toml"]\n') == [
        "z.toml:1: [watcher:z] needs cmd, the command to run",
        "z.toml:3: [watcher:z] has no key nonsense",
    ]


def test_a_list_of_arguments_is_not_split(tmp_path: Path) -> None:
    one = loaded(tmp_path, '[watcher.a]\ncmd = "a"\nargs = ["b c"]\n')
    assert command_of(only_watcher(one)).args == ("b c",)
    both = loaded(
        tmp_path,
        '[watcher.a]\ncmd = "a"\nargs = ["-x", "b c"]\n[watcher.b]\ncmd = "b"\nargs = "-x \'b c\'"\n',
    )
    assert [command_of(watcher).args for watcher in both.watchers] == [("-x", "b c"), "-x 'b c'"]


def test_lists_of_names_and_numbers(tmp_path: Path) -> None:
    text = """\
        [socket.one]
        [socket.two]
        port = 0
        [watcher.x]
        cmd = "x"
        sockets = ["two", "one"]
        expected_exits = [0, 3]
        stop_signals = ["INT", 15]
        cpu_affinity = [0, "2-3"]
        """
    watcher = only_watcher(loaded(tmp_path, text))
    assert watcher.sockets == ("one", "two")
    assert watcher.restart.expected_exits == {0, 3}
    assert (watcher.stop.signal, watcher.stop.then) == (2, (15,))
    assert command_of(watcher).context.cpu_affinity == (0, 2, 3)


MISTAKES = [
    (
        "[watcher.x]\ncmd = 'x'\nnumproceses = 2\n",
        "3: [watcher:x] has no key numproceses; did you mean numprocesses?",
    ),
    (
        "[watcher.x]\ncmd = 'x'\nhooks.befor_start = 'a.b'\n",
        "3: [watcher:x] has no key hooks.befor_start; did you mean",
    ),
    (
        "[watcher.x]\ncmd = 'x'\n[watcher.x.rlimits]\n\nnofiles=1\n",
        "5: [watcher:x] has no key rlimit_nofiles; did you mean rlimit_nofile?",
    ),
    ("\n[circus]\nendpont = 'x'\n", "3: [circus] has no key endpont; did you mean endpoint?"),
    ('[socket.x]\n"prot" = 1\n', "2: [socket:x] has no key prot; did you mean"),
    ("[app.x]\napp = 'a:b'\nworker = 1\n", "3: [app:x] has no key worker; did you mean workers?"),
    ("[wacher.x]\ncmd = 'x'\n", "1: unknown table [wacher]; did you mean watcher?"),
    ("watcher = 3\n", "1: must be a table, [watcher], got 3"),
    ("[watcher]\ncmd = 'x'\n", "2: must stand in a table with a name, such as [watcher.web]"),
    ("[circus]\n[bigtop]\n", "2: [bigtop] is another name of [circus]; have one of them"),
    ("[watcher.x]\ncmd = 'x'\numask = 0o22\n", '3: umask: must be a text here, such as umask = "022"'),
    (
        "[watcher.x]\ncmd = 'x'\nsingleton = 1979-05-27\n",
        "3: singleton: must be a text, a number, true or false",
    ),
    ("[watcher.x]\ncmd = 'x'\nmax_age = inf\n", "3: max_age: must be a text, a number"),
    ("[watcher.x]\ncmd = 'x'\nshell = { a = 1 }\n", "3: shell cannot be a table here"),
    ("[watcher.x]\ncmd = 'x'\noptions = 3\n", "3: must be a table of free-form options"),
    ("[watcher.x]\ncmd = 'x'\n\ncmd = 'y'\n", "4: is not TOML: Cannot overwrite a value"),
    ("[watcher.x]\ncmd = \n", "2: is not TOML: Invalid value"),
    (
        "[watcher.x]\ncmd = 'x'\n[watcher.X]\ncmd = 'y'\n",
        "3: [watcher:X] has the name of [watcher:x] at bigtop.toml:1",
    ),
    (
        "[app.x]\napp = 'a:b'\nbackend = 'wsgi'\nworker_class = 'wsgi'\n",
        "3: backend and worker_class are the same",
    ),
    (
        "[socket.x]\nproto = 'nope'\n",
        "2: proto: must be a protocol of /etc/protocols such as icmp, got 'nope'",
    ),
    ("[watcher.x]\ncmd = ['x', 'y']\n", "2: cmd: takes one value, got ['x', 'y']"),
    ("[watcher.x]\ncmd = 'x'\noptions.a = [1]\n", "3: a: must be a text or a number here, got [1]"),
    ("[env]\nA = [1]\n", "2: A: must be a text or a number here, got [1]"),
    ("[app.x]\napp = 'a:b'\nworkers = [1, 2]\n", "3: workers: takes one value, got ['1', '2']"),
    ("[app.x]\nworkers = 2\n", '1: [app:x] needs app, such as "myproj.wsgi:app"'),
    ("[app.x]\napp = 'a:b'\nworkers = 0\n", "3: workers: must be auto or a whole number from 1 to"),
    ("[app.x]\napp = 'a:b'\numask = 22\n", '3: umask: must be a text, such as "022"'),
    ("[app.x]\napp = 'a:b'\nsockets = ['web']\n", "3: sockets: no [socket:web] in this file; there is none"),
    (
        "[plugin.x]\nloop_rate = 3\n[circus]\nendpoint='ipc://a'\npubsub_endpoint='ipc://b'\n",
        "1: [plugin:x] needs use",
    ),
    ("[plugin.x]\nuse = 'a.B'\ncmd = 'x'\n", "3: cmd: give use, a class, or cmd, a program, not both"),
    ("[plugin.x]\nuse = 'a b'\n", "2: use: must be a class, package.module.Class, or the name of a plugin"),
    ("[plugin.x]\nuse = 'a.B'\nrole = 'root'\n", "3: role: must be one of view, operate, admin"),
    ("[plugin.x]\nuse = 'a.B'\nhang_timeout = 0\n", "3: hang_timeout: must be more than 0, got '0'"),
    ("[circus]\nendpoint = 'tcp://127.0.0.1'\n", "2: endpoint: must be tcp://HOST:PORT or ipc://PATH"),
    ("[circus]\nmulticast_endpoint = 'tcp://1.2.3.4:5'\n", "2: multicast_endpoint: must be udp://HOST:PORT"),
    ("[socket.x]\nfamily = 'AF_UNIX'\n", "1: [socket:x] needs path, where the unix socket is bound"),
    ("[socket.x]\ntype = 'SOCK_RDM'\n", "2: type: must be one of SOCK_STREAM, SOCK_DGRAM"),
    ("[socket.x]\npath = '/x'\nso_reuseport = true\n", "1: [socket:x] x: reuse_port is for TCP addresses"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(f"bigtop.toml:{message}")


# ---- places

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=6)
VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8),
    st.integers(-5, 5),
    st.booleans(),
    st.lists(st.sampled_from(["a", "]", "[", "#", '"', "=\n[x]"]), max_size=3),
)


@given(
    tables=st.lists(
        st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=4, unique_by=lambda t: t[0]
    )
)
@settings(max_examples=200)
def test_each_key_is_found_on_its_line(tables: list, tmp_path_factory: pytest.TempPathFactory) -> None:  # type: ignore[type-arg]
    """What is written by our own writer is read back, each key with the line that it was written on."""
    path = tmp_path_factory.getbasetemp() / "places.toml"
    text = page(["a comment = [1"], [Table(("plugin", name), dict(keys)) for name, keys in tables])
    path.write_text(text)
    problems = Problems()
    document = read(str(path), {}, problems)
    assert problems.errors == []
    line = 3
    for (name, keys), section in zip(tables, document.sections, strict=True):
        assert (section.name, section.place.line) == (name, line)
        assert list(section.entries) == [key for key in keys if key != "options"]
        for position, key in enumerate(keys, 1):
            if key != "options":
                assert section.entries[key].place.line == line + position
        line += len(keys) + 2


def test_lines_are_counted_through_strings_and_lists_of_several_lines(tmp_path: Path) -> None:
    text = '''\
        [watcher.a] # with ] and "
        cmd = """
        [watcher.fake]
        x = 1 \\""" still"""
        args = [ # one
            "[b]", "c",
        ]
        env_file = \'\'\'
        no = 1\'\'\'
        "numprocesses" = "x"
        flapping . retry_in = "y"
        '''
    found = mistakes(tmp_path, text)
    assert [line.partition(": ")[0] for line in found] == [
        "bigtop.toml:2",  # its third quote is never closed
        "bigtop.toml:8",
        "bigtop.toml:10",
        "bigtop.toml:11",
    ]


# ---- apps


def test_an_app_takes_what_serve_takes(tmp_path: Path) -> None:
    text = """\
        [env]
        SHARED = "$HOME"
        [env.shop]
        SECRET = "$(circus.env.mixed)"
        [app.shop]
        app = "shop.wsgi:application"
        workers = 4
        bind = ["127.0.0.1:9000", "unix:x.sock"]
        preload = true
        timeout = 2.5
        limit_request_body = "10M"
        env = { OWN = "1", SHARED = "no" }
        depends = ["migrate"]
        priority = 5
        [app.other]
        app = "other:app"
        name = "renamed"
        [watcher.migrate]
        cmd = "x"
        """
    daemon = loaded(tmp_path, text)
    other, shop = daemon.apps
    assert (shop.name, shop.depends, shop.priority, shop.sockets) == ("shop", ("migrate",), 5, ())
    assert (shop.site.name, shop.site.app, shop.site.workers.least) == ("shop", "shop.wsgi:application", 4)
    assert (shop.site.preload, shop.site.options.timeout, shop.site.options.limits.body) == (
        "on",
        2.5,
        10 << 20,
    )
    assert [(bind.host, bind.port) for bind in shop.site.binds if not bind.path] == [("127.0.0.1", 9000)]
    assert dict(shop.site.identity.environ) == {"SHARED": "no", "SECRET": "case", "OWN": "1"}
    assert (other.name, other.site.name) == ("other", "renamed")
    assert len(other.site.binds) == 1


def test_an_app_with_sockets_binds_nothing_itself(tmp_path: Path) -> None:
    text = """\
        [socket.Web]
        port = 0
        [socket.other]
        port = 0
        [app.a]
        app = "a:b"
        sockets = ["WEB"]
        [app.b]
        app = "a:b"
        sockets = ["other"]
        bind = "7000"
        """
    first, second = loaded(tmp_path, text).apps
    assert (first.sockets, first.site.binds) == (("web",), ())
    assert [bind.port for bind in second.site.binds] == [7000]


def test_the_environment_of_bigtop_has_no_say_in_apps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGTOP_WORKERS", "7")
    monkeypatch.setenv("PORT", "7")
    (app,) = loaded(tmp_path, '[app.a]\napp = "a:b"\n').apps
    assert app.site.workers == (1, 1)


def test_apps_in_an_ini_file(tmp_path: Path) -> None:
    text = "[app:a]\napp = a:b\nbind = 127.0.0.1:1 127.0.0.1:2\nlog_json = yes\n[app:b]\napp = b:b\n"
    first, _ = files.loaded(tmp_path, text).apps
    assert ([bind.port for bind in first.site.binds], first.site.logs.json) == ([1, 2], True)


@pytest.mark.parametrize("option", [one for one in options.OPTIONS if one not in APP_OPTIONS])
def test_what_is_of_bigtop_as_a_whole_is_no_key_of_an_app(tmp_path: Path, option: Option[object]) -> None:
    for name in filter(None, (option.name, option.also)):
        ini = files.mistakes(tmp_path, f"[app:a]\napp = a:b\n{name} = x\n")
        toml = mistakes(tmp_path, f'[app.a]\napp = "a:b"\n{name} = "x"\n')
        instead = NOT_OF_APPS[option.name]
        assert ini == [f"circus.ini:3: [app:a] has no key {name}: {instead}"]
        assert toml == [f"{FILE}:3: [app:a] has no key {name}: {instead}"]


def test_what_only_bigtop_serve_does_is_refused_with_what_to_use_instead() -> None:
    assert {"pid", "error_logfile", "reload", "reload_extra_file"} <= set(NOT_OF_APPS)
    assert "`pidfile` of [circus]" in NOT_OF_APPS["pid"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = written(tmp_path, "", FILE)
    Path(missing).unlink()
    with pytest.raises(ConfigError, match=r"bigtop\.toml cannot be read: No such file or directory"):
        load(missing)
