# What a process of `bigtop run` and a worker of `bigtop serve` are given, key by key: one of each is started
# with all keys whose effect shows there. tests/witnesses.py names what shows the others.

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bigtop.control.client.client import Client
from tests.support.site import Site, until
from tests.support.stack import Stack
from tests.support.wire import Client as Browser

PROBE = """
import json, os, resource, sys

def described(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
facts = {
    "argv": sys.argv[2:],
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "umask": os.umask(0),
    "nice": os.nice(0),
    "cpus": sorted(os.sched_getaffinity(0)),
    "oom": int(open("/proc/self/oom_score_adj").read()),
    "no_new_privs": status["NoNewPrivs"].strip(),
    "limits": {name[7:].lower(): resource.getrlimit(getattr(resource, name)) for name in names},
    "fds": [described(fd) for fd in range(3)],
}
with open(sys.argv[1] + ".part", "w") as file:
    json.dump(facts, file)
os.rename(sys.argv[1] + ".part", sys.argv[1])
while True:
    __import__("time").sleep(1000)
"""
LIMITS = {
    "as": 1 << 40, "core": 0, "cpu": 5000, "data": 1 << 40, "fsize": 1 << 30, "memlock": 4096,
    "msgqueue": 4096, "nice": 0, "nofile": 77, "nproc": 5000, "ofile": 77, "rss": 1 << 40, "rtprio": 0,
    "rttime": 50000, "sigpending": 99, "stack": 1 << 22,
}  # fmt: skip
TEXT = """
[env]
GREETING = "hello"

[socket.input]
host = "127.0.0.1"
port = 0

[watcher.direct]
cmd = "{python} {folder}/probe.py"
args = ["{folder}/direct", "one", "two words"]
working_dir = "{folder}/there"
umask = "037"
nice = 3
cpu_affinity = [0]
oom_score_adj = 900
no_new_privs = true
stdin_socket = "input"
env_file = "{folder}/of.env"
copy_env = true
copy_path = true
virtualenv = "{folder}/venv"
virtualenv_py_ver = "3.9"
RLIMITS

[watcher.shell]
cmd = "exec {python} {folder}/probe.py {folder}/shell $0 $1"
shell = true
shell_args = "zero one"
close_child_stdout = true
close_child_stderr = true
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what processes found, by the name of their watcher."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "probe.py").write_text(PROBE)
    (folder / "of.env").write_text("FROM_FILE=yes\n")
    (folder / "there").mkdir()
    (folder / "venv/lib/python3.9/site-packages").mkdir(parents=True)
    limits = "\n".join(f"rlimit_{name} = {value}" for name, value in LIMITS.items())
    text = TEXT.replace("{folder}", str(folder)).replace("RLIMITS", limits)
    found: dict[str, Any] = {"folder": str(folder)}
    with Stack(text):
        for name in ("direct", "shell"):
            until((folder / name).exists, f"what {name} found")
            found[name] = json.loads((folder / name).read_text())
    return found


Found = dict[str, Any]


def limited(name: str) -> Callable[[Found], bool]:
    return lambda found: found["direct"]["limits"][name] == [LIMITS[name]] * 2


# By key, what shows that it was heeded.
SHOWN: dict[str, Callable[[Found], bool]] = {
    "cmd": lambda found: "direct" in found,
    "args": lambda found: found["direct"]["argv"] == ["one", "two words"],
    "shell": lambda found: found["shell"]["argv"][0] == "zero",
    "shell_args": lambda found: found["shell"]["argv"] == ["zero", "one"],
    "working_dir": lambda found: found["direct"]["cwd"] == f"{found['folder']}/there",
    "copy_env": lambda found: (
        ("XDG_RUNTIME_DIR" in found["direct"]["env"]) and ("XDG_RUNTIME_DIR" not in found["shell"]["env"])
    ),
    "copy_path": lambda found: any(
        path.endswith("/bigtop") or "site-packages" in path
        for path in found["direct"]["env"]["PYTHONPATH"].split(":")
    ),
    "env_file": lambda found: found["direct"]["env"]["FROM_FILE"] == "yes",
    "virtualenv": lambda found: found["direct"]["env"]["PATH"].startswith(f"{found['folder']}/venv/bin:"),
    "virtualenv_py_ver": lambda found: "/venv/lib/python3.9/" in found["direct"]["env"]["PYTHONPATH"],
    "umask": lambda found: found["direct"]["umask"] == 0o037,
    "nice": lambda found: found["direct"]["nice"] == 3,
    "cpu_affinity": lambda found: found["direct"]["cpus"] == [0],
    "oom_score_adj": lambda found: found["direct"]["oom"] == 900,
    "no_new_privs": lambda found: (
        (found["direct"]["no_new_privs"], found["shell"]["no_new_privs"]) == ("1", "0")
    ),
    "stdin_socket": lambda found: found["direct"]["fds"][0].startswith("socket:"),
    "close_child_stdout": lambda found: found["shell"]["fds"][1] == "/dev/null" != found["direct"]["fds"][1],
    "close_child_stderr": lambda found: found["shell"]["fds"][2] == "/dev/null" != found["direct"]["fds"][2],
    **{f"rlimit_{name}": limited(name) for name in LIMITS},
}


@pytest.mark.parametrize("key", SHOWN)
def test_a_key_of_a_watcher_shows_in_its_process(key: str, probed: Found) -> None:
    assert SHOWN[key](probed), probed


# ---- the daemon and its sockets


def test_keys_of_the_daemon(tmp_path: Path) -> None:
    owner = 'endpoint_owner = "nobody"' if os.geteuid() == 0 else ""
    text = f"""
[circus]
umask = "027"
loglevel = "LEVEL"
log_time_zone = "utc"
endpoint = "ipc://{tmp_path}/endpoint"
pubsub_endpoint = "ipc://{tmp_path}/pubsub"
stats_endpoint = "ipc://{tmp_path}/stats"
pidfile = "{tmp_path}/pid"
{owner}

[watcher.a]
cmd = "sh -c 'umask > {tmp_path}/umask.part; mv {tmp_path}/umask.part {tmp_path}/umask; exec sleep 1000'"
"""
    stack = Stack(text.replace("LEVEL", "info"))
    stack.env["TZ"] = "Asia/Tokyo"
    with stack:
        stack.wait_for("a: started")
        assert " +0000] " in stack.log()
        assert " +0900] " not in stack.log()
        assert (tmp_path / "pid").read_text() == f"{stack.pid}\n"
        assert (tmp_path / "pubsub").is_socket()
        # Where somebody else publishes them: clients ask for it.
        with Client(f"ipc://{tmp_path}/endpoint", timeout=30.0) as client:
            told = client.call("globaloptions")["options"]["stats_endpoint"]
        assert told == f"ipc://{tmp_path}/stats"
        if owner:
            assert (tmp_path / "endpoint").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        until((tmp_path / "umask").exists, "the umask")
        assert (tmp_path / "umask").read_text() == "0027\n"
        stack.stop()
        (tmp_path / "umask").unlink()
        stack.write(text.replace("LEVEL", "critical"))
        stack.start()
        until((tmp_path / "umask").exists, "the umask")
        assert "started" not in stack.log()


def test_an_application_has_its_turn_among_commands() -> None:
    """The first one would be late for its priority, and the last one early."""
    text = """
[watcher.last]
cmd = "sleep 1000"

[app.site]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
priority = 5
depends = ["first"]

[watcher.first]
cmd = "sleep 1000"
priority = -5
ready = "delay:0.1"
"""
    with Stack(text) as stack:
        for name in ("first", "site", "last"):
            stack.wait_for(f"{name}: started")
        assert re.findall(r"(\w+): started", stack.log()) == ["first", "site", "last"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a raw socket")
def test_the_protocol_of_a_raw_socket(tmp_path: Path) -> None:
    text = f"""
[socket.probe]
host = "127.0.0.1"
port = 0
type = "SOCK_RAW"
proto = "PROTO"

[watcher.a]
cmd = "{{python}} {tmp_path}/tell.py"
stdin_socket = "probe"
"""
    (tmp_path / "tell.py").write_text(
        "import socket, time\n"
        "print('protocol', socket.socket(fileno=0).proto, flush=True)\ntime.sleep(1000)\n"
    )
    for name in ("icmp", "udp"):
        with Stack(text.replace("PROTO", name)) as stack:
            stack.wait_for(f"protocol {socket.getprotobyname(name)}")


# ---- bigtop serve

FACTORY = """
import json, sys

def make():
    def app(environ, start_response):
        start_response("200 OK", [])
        facts = {"interval": sys.getswitchinterval()}
        return [json.dumps(facts).encode()]
    return app
"""


def test_options_of_serve_show_in_its_worker(tmp_path: Path) -> None:
    (tmp_path / "factory_site.py").write_text(FACTORY)
    flags = (
        "--factory",
        "--switch-interval",
        "0.002",
        "--server-header",
        "own",
        "--pythonpath",
        str(tmp_path),
    )
    with Site("factory_site:make", *flags) as site, Browser(("127.0.0.1", site.port)) as client:
        answer = client.get("/")
        assert (json.loads(answer.body)["interval"], answer["Server"]) == (0.002, "own")


TALKING = """
print("said while imported", flush=True)

def app(environ, start_response):
    print("said in a call", flush=True)
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""


@pytest.mark.parametrize("preload", ["on", "off"])
def test_stdout_of_the_application_goes_where_its_stderr_goes(tmp_path: Path, preload: str) -> None:
    log = tmp_path / "log"
    (tmp_path / "talking_site.py").write_text(TALKING)
    flags = (
        "--error-logfile",
        str(log),
        "--capture-output",
        "--preload",
        preload,
        "--pythonpath",
        str(tmp_path),
    )
    with Site("talking_site:app", *flags).attempt() as site:
        until(lambda: ": started" in log.read_text() if log.exists() else False, "a worker")
        port = int(log.read_text().partition("127.0.0.1:")[2].split()[0])
        with Browser(("127.0.0.1", port)) as client:
            assert client.get("/").status == 200
        for words in ("said while imported", "said in a call"):
            until(lambda words=words: words in log.read_text(), f"what was {words}")
        assert "said" not in site.log()


def test_options_of_serve_show_in_its_socket() -> None:
    flags = ("--backlog", "3", "--reuse-port", "--control", "off")
    with Site("tests.apps.site:app", *flags) as site, ExitStack() as clients:
        address = ("127.0.0.1", site.port)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(address)
        for worker in site.workers():
            os.kill(worker, signal.SIGSTOP)
        for _ in range(3 + 1):  # listen(2) takes one more than it is told
            clients.enter_context(socket.create_connection(address, 10))
        with pytest.raises(TimeoutError):
            socket.create_connection(address, 0.2)


def test_options_of_serve_show_in_its_log(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "socket"
    (tmp_path / "broken_site.py").write_text("def app(environ, start_response): 1 / 0\n")
    flags = ("--error-logfile", str(log), "--log-level", "error", "--pythonpath", str(tmp_path))
    with Site("broken_site:app", *flags, bind=f"unix:{path}").attempt() as site:
        until(site.workers, "a worker")
        with Browser(str(path), 30) as client:
            assert client.get("/").status == 500
        until(lambda: "ZeroDivisionError" in log.read_text(), "what failed")
        assert "[ERROR]" in log.read_text()
        assert site.stop() == 0
        assert "[INFO]" not in log.read_text() + site.log()
        assert "ZeroDivisionError" not in site.log()


def test_each_worker_adds_to_the_requests_after_which_it_is_replaced() -> None:
    flags = ("--max-requests", "1", "--max-requests-jitter", "1000000")
    with Site("tests.apps.site:app", *flags) as site:
        (worker,) = site.workers()
        assert {site.get("/pid") for _ in range(5)} == {str(worker)}
        with Client(f"ipc://{site.folder}/bigtop/tests.ctl", timeout=60.0) as client:
            # Done when nobody is to come or to go any more, also not for what a worker said before.
            client.call("incr", name="tests", waiting=True)
            pids = client.call("list", name="tests")["pids"]
        assert len(pids) == 2
        assert worker in pids
