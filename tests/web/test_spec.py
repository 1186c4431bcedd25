# Where a console may be, and who has to be there for that; in orders, in files, and on the command line.

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bigtop.config.file import daemon
from bigtop.errors import ConfigError
from bigtop.launch.run import file_preflight
from bigtop.web import spec as rules
from bigtop.web.spec import Target, WebSpec
from bigtop.web.store import Store
from tests.support import certificates
from tests.support.site import ROOT


@pytest.mark.parametrize(
    ("spec", "users", "options"),
    [
        (WebSpec(), 0, []),
        (WebSpec("[::1]:8080"), 0, []),
        (WebSpec("localhost:0"), 0, []),
        (WebSpec("unix:/run/web", hosts=("a.example",)), 0, []),
        (WebSpec("unix:/run/web"), 0, ["hosts"]),
        (WebSpec("unix:/run/web", hosts=("a.example",), certfile="c"), 0, ["certfile"]),
        (WebSpec("192.0.2.1:8080"), 0, ["bind", "bind"]),
        (WebSpec("192.0.2.1:8080"), 1, ["bind"]),
        (WebSpec("192.0.2.1:8080", certfile="c"), 0, ["bind"]),
        (WebSpec("192.0.2.1:8080", proxies=("192.0.2.2",)), 0, ["bind"]),
        (WebSpec("192.0.2.1:8080", certfile="c"), 1, []),
        (WebSpec("192.0.2.1:8080", proxies=("192.0.2.2",)), 1, []),
        (WebSpec("0.0.0.0:8080", certfile="c"), 1, ["hosts"]),
        (WebSpec("*:8080", certfile="c", hosts=("a.example",)), 1, []),
        (WebSpec("console.example:8080"), 1, ["bind"]),
        (WebSpec(keyfile="k"), 0, ["keyfile"]),
        (WebSpec("nowhere"), 0, ["bind"]),
        (WebSpec("unix:@abstract"), 0, ["bind"]),
        (WebSpec("fd://3"), 0, ["bind"]),
    ],
)
def test_nobody_is_let_in_by_mistake(spec: WebSpec, users: int, options: list[str]) -> None:
    assert [option for option, _ in rules.problems(spec, users)] == options


def test_orders_are_what_they_were() -> None:
    spec = WebSpec("unix:/x", (Target("a", "b", "c"),), "k", "s", ("h",), ("10.0.0.0/8",), "c", "k")
    assert WebSpec.decode(spec.encode()) == spec
    assert WebSpec.decode(WebSpec().encode()) == WebSpec()


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("shop", Target("shop")),
        ("eu=shop", Target("shop", "eu")),
        ("tcp://h:1", Target("tcp://h:1")),
        ("eu=tcp://h:1", Target("tcp://h:1", "eu")),
        ("ipc:///a=b", Target("ipc:///a=b")),
        ("/run/a=b", Target("/run/a=b")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert rules.target(text) == target


@pytest.mark.parametrize("text", ["", "eu=", "=shop"])
def test_no_targets(text: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        rules.target(text)


@pytest.mark.parametrize(
    ("environ", "uid", "path"),
    [
        ({"STATE_DIRECTORY": "/var/lib/shop:/x"}, 5, "/var/lib/shop/web"),
        ({}, 0, "/var/lib/bigtop/web"),
        ({"HOME": "/home/ann"}, 5, "/home/ann/.local/share/bigtop/web"),
        ({"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}, 5, "/data/bigtop/web"),
    ],
)
def test_where_things_are_kept(environ: dict[str, str], uid: int, path: str) -> None:
    assert rules.default_state(environ, uid) == path


# ---- in a file

HEAD = '[circus]\nendpoint = "ipc://{folder}/e"\n[watcher.w]\ncmd = "true"\n'


def loaded(folder: Path, text: str, name: str = "x.toml") -> daemon.DaemonSpec:
    path = folder / name
    path.write_text(text.replace("{folder}", str(folder)))
    return daemon.load(str(path))


def told(folder: Path, text: str) -> list[str]:
    """Return what `bigtop check` and `bigtop run` complain of, without the file's name."""
    spec = loaded(folder, HEAD + text)
    try:
        file_preflight.check(spec)
    except ConfigError as error:
        return [line.removeprefix(f"{folder}/x.toml") for line in str(error).splitlines()]
    return []


def test_a_file_describes_a_console(tmp_path: Path) -> None:
    certificates.written(tmp_path, certificates.made("localhost"))
    text = f"""[web]
    bind = "127.0.0.1:8099"
    state = "{tmp_path}/state"
    endpoints = ["eu=tcp://127.0.0.1:5555"]
    hosts = ["console.example"]
    trusted_proxies = ["10.0.0.0/8"]
    certfile = "{tmp_path}/site.pem"
    keyfile = "{tmp_path}/site.key"
    """
    web = loaded(tmp_path, HEAD + text).web
    assert web is not None
    assert (web.bind, web.hosts, web.proxies) == ("127.0.0.1:8099", ("console.example",), ("10.0.0.0/8",))
    assert web.targets == (Target("tcp://127.0.0.1:5555", "eu"),)
    assert told(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('bind = "192.0.2.1:80"', ":7: [web] bind: others than this machine reach 192.0.2.1:80"),
        ('bind = "unix:{folder}/w"', ": [web] hosts: a proxy before unix:"),
        ('keyfile = "/x"', ":7: [web] keyfile: does nothing without certfile"),
        ('certfile = "/nowhere"', ":7: [web] certfile: /nowhere: cannot be read"),
        (
            'keys = "{folder}"\nendpoints = ["tcp://h:1"]',
            ":7: [web] keys: {folder}/server.key: cannot",
        ),
    ],
)
def test_what_a_file_must_not_ask_for_is_told_with_its_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    found = told(tmp_path, f'[web]\nstate = "{tmp_path}/s"\n{text}')
    assert [line for line in found if complaint.replace("{folder}", str(tmp_path)) in line], found


def test_what_is_kept_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for state in (tmp_path / "file", tmp_path / "file" / "below"):
        assert told(tmp_path, f'[web]\nstate = "{state}"') == [
            f":6: [web] state: {tmp_path}/file: is no folder"
        ]
    assert told(tmp_path, f'[web]\nstate = "{tmp_path}/not/there/yet"') == []
    assert not (tmp_path / "not").exists()


def test_a_user_lets_others_come(tmp_path: Path) -> None:
    certificates.written(tmp_path, certificates.made("localhost"))
    text = f'[web]\nbind = "192.0.2.1:80"\nstate = "{tmp_path}/state"\ncertfile = "{tmp_path}/site.pem"\n'
    text += f'keyfile = "{tmp_path}/site.key"\n'
    assert len(told(tmp_path, text)) == 1
    Store(str(tmp_path / "state")).set_user("ann", "view", "correct horse battery")
    assert told(tmp_path, text) == []


def test_a_console_brings_figures_of_the_past_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    pace = loaded(tmp_path, HEAD + "[web]").stats
    assert pace is not None
    assert pace.history
    without = HEAD.replace("[watcher.w]", "statsd = false\n[watcher.w]") + "[web]"
    assert loaded(tmp_path, without).stats is None
    slow = loaded(tmp_path, HEAD + "[web]\n[stats]\ninterval = 7").stats
    assert slow is not None
    assert (slow.interval, slow.history) == (7, False)


def test_a_file_of_circus_asks_for_a_console(tmp_path: Path) -> None:
    text = "[circus]\nhttpd = True\nhttpd_host = {}\nhttpd_port = 8097\n[watcher:w]\ncmd = true\n"
    spec = loaded(tmp_path, text.format("localhost"), "circus.ini")
    assert spec.web is not None
    assert spec.web.bind == "localhost:8097"
    open_ = loaded(tmp_path, text.format("0.0.0.0"), "circus.ini")
    assert open_.web is None
    assert [line for line in open_.warnings if ":3: httpd: there is no web console" in line]
    assert loaded(tmp_path, text.replace("True", "False").format("localhost"), "circus.ini").web is None


def test_the_name_of_the_console_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CircusHttpd.*serves the web console"):
        loaded(tmp_path, HEAD + '[web]\n[watcher.CircusHttpd]\ncmd = "true"')


# ---- on the command line


def run(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bigtop", "web", *words],
        cwd=ROOT,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_command_line_that_would_let_everybody_in_is_refused(tmp_path: Path) -> None:
    done = run("--bind", "0.0.0.0:0", "--state", str(tmp_path / "s"), "-e", "x")
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["--bind", "--bind", "--host"]


def test_users_and_tokens_are_kept(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "s"))
    assert run(*state, "user", "ann", "--role", "operate", said="correct horse battery\n").returncode == 0
    token = run(*state, "token", "ci").stdout.strip()
    assert run(*state, "users").stdout == "user   operate  ann\ntoken  view     ci\n"
    assert run(*state, "user", "bob", said="short\n").returncode == 78
    assert run(*state, "user", "b/b", said="correct horse battery\n").returncode == 78
    assert run(*state, "token", "ci").returncode == 78  # it cannot be shown again
    found = Store(str(tmp_path / "s")).person_of_token(token)
    assert found is not None
    assert (found.name, found.role) == ("ci", "view")
    assert run(*state, "user", "ann", "--remove").returncode == 0
    assert run(*state, "user", "ann", "--remove").returncode == 78
    assert run(*state, "login-url").stderr.startswith("bigtop: no console runs with ")
