# Deploys that have to show that they work: health checks and check commands, in real processes, with clients
# that ask all the time and lose nothing.

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bigtop.workers.bootstrap import Bootstrap, Identity
from tests.support import certificates
from tests.support.load import Load
from tests.support.site import DEADLINE, ROOT, Site, until
from tests.support.users import NOBODY

# Each answers clients with its pid. "@" is where a release does something of its own: as it is imported,
# about /healthz, about everything else.
WSGI = """
import os, sys, time
@TOP
def app(environ, start):
    status = "200 OK"
    if environ["PATH_INFO"] == "/healthz":
        @CHECK
    else:
        @WORK
    start(status, [("Content-Length", str(len(str(os.getpid())))), ("X-Scheme", environ["wsgi.url_scheme"])])
    return [str(os.getpid()).encode()]
"""
ASGI = """
import os, sys, time
@TOP
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no such thing")
    status = "200"
    if scope["path"] == "/healthz":
        environ = {"wsgi.url_scheme": scope["scheme"]}
        environ |= {f"HTTP_{k.decode().upper()}": v.decode() for k, v in scope["headers"]}
        @CHECK
    else:
        @WORK
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
KINDS = {"wsgi": WSGI, "asgi": ASGI}


class Release:
    """A file of code, and a site that serves it."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self._written = 0
        self.write()

    def write(self, *, top: str = "", check: str = "pass", work: str = "pass") -> None:
        code = KINDS[self.kind].replace("@TOP", top).replace("@CHECK", check).replace("@WORK", work)
        # Python takes a file of the same second and the same length for the one that it has compiled.
        self._written += 1
        code += "#" * self._written + "\n"
        (self.folder / "released.py").write_text(code)

    def site(self, *args: str) -> Site:
        return Site("released:app", "--workers", "2", "--pythonpath", str(self.folder), *args)


# What has nothing to do with the interface of an application is tried with one of them.
whichever = pytest.mark.parametrize("release", ["wsgi"], indirect=True)


@pytest.fixture(params=list(KINDS))
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Release:
    return Release(tmp_path, request.param)


def reload(site: Site, times: int = 1) -> None:
    site.send(signal.SIGHUP)
    site.wait_for("reloaded, every worker", times)


HEALTH = ("--health-check", "GET /healthz 200 <30s")
QUICK = ("--health-check", "GET /healthz 200 <500ms")
COMMAND = ("--check-command", "test -e fine || { echo it is not; exit 4; }")
BROKEN = [
    ({"top": "def broken(:"}, (), "SyntaxError"),
    ({"top": "import no_such_module"}, (), "ModuleNotFoundError"),
    ({"top": "os._exit(3)"}, (), "ended with exit status 3"),
    ({"top": "time.sleep(1000)"}, ("--boot-timeout", "1.5"), "not imported after 1.5 seconds"),
    ({"check": "status = '500 Oh'"}, HEALTH, "GET /healthz 200 <30s: answered with 500, not with 200"),
    ({"check": "time.sleep(3)"}, QUICK, "GET /healthz 200 <500ms: no whole answer within 0.5 s"),
    ({"check": "os._exit(3)"}, HEALTH, "(closed without an answer|ended: exit status 3)"),
    ({}, COMMAND, "exit status 4\\n *it is not"),
]
NAMES = ["syntax", "import", "crash", "hang", "500", "slow", "crash-in-check", "command"]


@pytest.mark.parametrize(
    ("release", "changes", "args", "reason"),
    # With ASGI those in which a worker of its own kind has a part.
    [
        pytest.param(kind, *case, id=f"{kind}-{name}")
        for name, case in zip(NAMES, BROKEN, strict=True)
        for kind in ("wsgi", "asgi")
        if kind == "wsgi" or name in ("import", "500", "crash-in-check")
    ],
    indirect=["release"],
)
def test_a_broken_deploy_costs_no_request_and_the_old_code_goes_on(
    release: Release, changes: dict[str, str], args: tuple[str, ...], reason: str
) -> None:
    with release.site("--chdir", str(release.folder), *args) as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        before = set(site.workers())
        with Load(site.port, 8) as load:
            until(lambda: load.answered > 20, "some answers")
            release.write(**changes)
            site.send(signal.SIGHUP)
            site.wait_for("reload failed, generation 2 cannot run and 1 goes on")
            until(lambda: set(site.workers()) == before, "the old workers only")
            seen = load.answered
            until(lambda: load.answered > seen + 20, "answers of the old code")
        assert not load.failures
        assert load.workers <= before
        assert re.search(reason, site.log())
        until(lambda: len(site.fork_servers()) == 1, "the old fork server only")


@whichever
def test_a_good_deploy_comes_after_a_broken_one(release: Release) -> None:
    with release.site("--chdir", str(release.folder), *HEALTH, *COMMAND) as site:
        before = set(site.workers())
        site.send(signal.SIGHUP)
        site.wait_for("generation 2 cannot run and 1 goes on")
        (release.folder / "fine").touch()
        reload(site)
        until(lambda: before.isdisjoint(site.workers()), "new workers only")


def test_no_client_comes_to_a_canary_before_it_has_passed(release: Release) -> None:
    """It waits in its check until many were answered by the others."""
    gate = release.folder / "gate"
    with release.site(
        *HEALTH[:1], "GET /healthz <30s", "--check-command", f"until test -e {gate}; do :; done"
    ) as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        before = set(site.workers())
        with Load(site.port, 16) as load:
            site.send(signal.SIGHUP)
            site.wait_for("generation 2 passed its health check: GET /healthz 200 in ")
            site.wait_for("check command begins")
            seen = load.answered
            until(lambda: load.answered > seen + 300, "many answers")
            assert load.workers <= before
            gate.touch()
            site.wait_for("reloaded, every worker")
            until(lambda: bool(load.workers - before), "answers of the new code")
        assert not load.failures


@whichever
def test_a_newer_reload_ends_the_check_of_an_older_one(release: Release) -> None:
    gate = release.folder / "gate"
    with release.site("--check-command", f"until test -e {gate}; do :; done; echo done") as site:
        site.send(signal.SIGHUP)
        site.wait_for("generation 2: check command begins")
        site.send(signal.SIGHUP)
        site.wait_for("check command of generation 2 (pid ")
        site.wait_for("generation 3: check command begins")
        gate.touch()
        site.wait_for("every worker is of generation 3 now")
        assert "generation 2 passed" not in site.log()


SEEN = (
    "print('told', environ['wsgi.url_scheme'], environ['HTTP_HOST'], environ.get('HTTP_X-A'),"
    " file=sys.stderr)"
)


def test_the_application_is_told_scheme_host_and_fields_of_the_check(release: Release) -> None:
    release.write(check=SEEN.replace("X-A", "X_A" if release.kind == "wsgi" else "X-A"))
    checks = (
        "GET https://a.example/healthz",
        "GET /healthz 2xx <30s",
        "GET http://b.example:81/healthz 200-204",
    )
    args = [word for check in checks for word in ("--health-check", check)]
    with release.site(*args, "--health-check-header", "X-A: b c") as site:
        reload(site)
        for told in (
            "told https a.example b c\n",
            "told http localhost b c\n",
            "told http b.example:81 b c\n",
        ):
            site.wait_for(told)


def test_behind_tls_a_check_is_https_to_the_application(release: Release) -> None:
    release.write(check=SEEN)
    source = certificates.written(release.folder, certificates.made("localhost"))
    with release.site("--tls", source, "--https-redirect", "a.example", *HEALTH) as site:
        reload(site)
        site.wait_for("told https localhost")


def test_a_check_begins_with_no_word_of_a_balancer(release: Release) -> None:
    release.write(check=SEEN)
    with release.site("--proxy-protocol", "v1", *HEALTH) as site:
        reload(site)
        site.wait_for("told http localhost")


@pytest.mark.parametrize("preload", ["on", "off"])
def test_several_threads_and_workers_that_import_for_themselves(release: Release, preload: str) -> None:
    with release.site("--preload", preload, *HEALTH) as site, Load(site.port, 4) as load:
        reload(site)
        release.write(check="status = '500 Oh'")
        site.send(signal.SIGHUP)
        site.wait_for("generation 3 cannot run and 2 goes on")
    assert not [failure for failure in load.failures if not failure.error.startswith("connect")]


def test_with_gevent(tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    release = Release(tmp_path, "wsgi")
    with release.site("--backend", "gevent", *HEALTH) as site:
        reload(site)
        release.write(check="status = '500 Oh'")
        site.send(signal.SIGHUP)
        site.wait_for("answered with 500")


def test_a_backend_that_cannot_hold_clients_back_is_refused() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bigtop",
            "serve",
            "tests.apps.wsgi_basic:app",
            "--backend",
            "wsgiref",
            *HEALTH,
        ],
        capture_output=True,
        cwd=ROOT,
        timeout=DEADLINE,
    )
    assert done.returncode == 78
    assert b"does not support workers without clients (--health-check)" in done.stderr


@whichever
def test_a_check_command_runs_where_the_application_does(release: Release) -> None:
    (release.folder / "lib").mkdir()
    command = 'echo "in $PWD with $A, umask $(umask), $PYTHONPATH"'
    args = ["--chdir", str(release.folder), "--pythonpath", "lib", "--umask", "027", "--env", "A=b"]
    with release.site(*args, "--check-command", command) as site:
        reload(site)
        site.wait_for(f"check command: in {release.folder} with b, umask 0027, ")
        site.wait_for(f":{release.folder}/lib")


def test_a_check_command_is_the_user_of_the_application() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    orders = Bootstrap(
        *("site", "m:app", False, None, None, "auto", (), 0), identity=Identity(user=str(NOBODY))
    ).encode()
    with tempfile.TemporaryFile() as file:
        file.write(orders)
        file.flush()
        argv = [sys.executable, "-m", "bigtop.workers.check_process", str(file.fileno()), "id -u"]
        done = subprocess.run(argv, pass_fds=[file.fileno()], capture_output=True, timeout=DEADLINE)
    assert done.stdout == f"{NOBODY}\n".encode(), done.stderr


@whichever
def test_a_check_command_that_hangs_is_not_waited_for(release: Release) -> None:
    with release.site("--check-command", "sleep 1000", "--check-timeout", "0.5") as site:
        site.send(signal.SIGHUP)
        site.wait_for(
            "reload failed, generation 2 cannot run and 1 goes on: the check command failed: sleep 1000:"
        )
        site.wait_for("not done after 0.5 s")
        assert site.get()


CANARY = (*HEALTH, "--canary-time", "2")
UNDER_TRAFFIC = [
    ({"work": "status = '500 Oh'"}, (), "of its [0-9]+ answers were 5xx"),
    (
        {"work": "time.sleep(0.8)"},  # the old ones are slow as well where others use the machine
        ("--canary-latency", "3"),
        "the canary time failed: (its quickest|nine of ten)",
    ),
]


@pytest.mark.parametrize(("changes", "args", "reason"), UNDER_TRAFFIC, ids=["500", "slow"])
def test_what_shows_with_clients_only_ends_a_deploy(
    release: Release, changes: dict[str, str], args: tuple[str, ...], reason: str
) -> None:
    """Clients of the canary get what it answers; nothing is lost, and the others have the old code."""
    with release.site(*CANARY, *args) as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        before = set(site.workers())
        with Load(site.port, 8) as load:
            until(lambda: load.answered > 20, "some answers")
            release.write(**changes)
            site.send(signal.SIGHUP)
            site.wait_for("generation 2: canary time begins")
            site.wait_for("reload failed, generation 2 cannot run and 1 goes on")
            until(lambda: set(site.workers()) == before, "the old workers only")
            seen = load.answered
            until(lambda: load.answered > seen + 100, "time for who had an answer of the canary to look at")
            failed = len(load.failures)
            seen = load.answered
            until(lambda: load.answered > seen + 100, "answers of the old code")
        assert re.search(reason, site.log()), site.log()
        assert len(load.failures) == failed, "those of the canary only"
        assert all("HTTP/1.1 500" in failure.error for failure in load.failures)


@pytest.mark.parametrize(
    ("work", "args", "how"),
    [
        ("pass", ("--canary-latency", "1000"), r"[0-9]+ requests?, (0\.0% 5xx, nine of ten within|too few)"),
        (
            "status = '500 Oh'",
            ("--canary-errors", "100%", "--canary-latency", "1000"),
            r"(100\.0% 5xx|too few)",
        ),
        ("time.sleep(0.4)", ("--canary-latency", "100000"), "nine of ten within|too few to compare"),
        ("status = '500 Oh'", ("--canary-requests", "1000000"), "too few to compare"),
    ],
    ids=["good", "errors", "latency", "requests"],
)
@whichever
def test_what_is_good_enough_is_for_the_thresholds_to_say(
    release: Release, work: str, args: tuple[str, ...], how: str
) -> None:
    with release.site("--canary-time", "1", *args) as site, Load(site.port, 4) as load:
        until(lambda: load.answered > 20, "some answers")
        release.write(work=work)
        reload(site)
        assert re.search(f"generation 2 passed its canary time: .*({how})", site.log()), site.log()


@whichever
def test_nobody_asks_during_the_canary_time(release: Release) -> None:
    with release.site("--canary-time", "0.2") as site:
        reload(site)
        site.wait_for("passed its canary time: 0 requests, too few to compare")


# ---- what an operator asks for, and is told


def ctl(site: Site, *words: str, status: int = 0) -> str:
    """Run `bigtop ctl`; return both of its outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "bigtop", "ctl", *words],
        env={**os.environ, "XDG_RUNTIME_DIR": str(site.folder), "BIGTOP_CTL_ENDPOINT": "released"},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == status, done
    return done.stdout + done.stderr


@whichever
def test_who_waits_for_a_reload_is_told_each_step_and_that_it_failed(release: Release) -> None:
    with release.site(*HEALTH, "--check-command", "true") as site:
        told = ctl(site, "reload", "--waiting", "released")
        assert "released: generation 2: health check begins\n" in told
        assert "released: generation 2 passed its health check: GET /healthz 200 in " in told
        assert "released: generation 2 passed its check command: true, " in told
        release.write(check="status = '500 Oh'")
        told = ctl(site, "reload", "--waiting", "released", status=1)
        assert "generation 3 cannot run, 2 goes on\n" in told
        assert "bigtop: released: the health check failed: GET /healthz 200 <30s: answered with 500" in told


@whichever
def test_who_was_overtaken_is_told_so(release: Release) -> None:
    gate = release.folder / "gate"
    with (
        release.site("--check-command", f"until test -e {gate}; do :; done") as site,
        ThreadPoolExecutor() as pool,
    ):
        older = pool.submit(ctl, site, "reload", "--waiting", "released")
        site.wait_for("generation 2: check command begins")
        newer = pool.submit(ctl, site, "reload", "--waiting", "released")
        site.wait_for("generation 3: check command begins")
        gate.touch()
        assert "a newer command overtook this one: generation 3 runs, not 2" in older.result(DEADLINE)
        assert "overtook" not in newer.result(DEADLINE)


def states(site: Site) -> list[tuple[str, str, str]]:
    """Return number, state and processes of each generation."""
    rows = [line.split() for line in ctl(site, "generations").splitlines()[1:]]
    assert all(row[-1] == "MiB" and float(row[-2]) > 0 for row in rows)
    return [(row[1], row[2], row[3]) for row in rows]


@whichever
def test_the_code_before_is_kept_and_gone_back_to(release: Release) -> None:
    """From the memory of its fork server: what is on the disk does not count."""
    release.write(check="status = '201 Old'")
    with release.site("--keep-generations", "1") as site:
        until(lambda: len(site.workers()) == 2, "two workers")
        release.write(check="status = '202 New'")
        ctl(site, "reload", "--waiting", "released")
        until(lambda: states(site) == [("1", "kept", "0"), ("2", "current", "2")], "two generations")
        release.write(top="raise RuntimeError('broken since')")
        with Load(site.port, 8) as load:
            until(lambda: load.answered > 20, "some answers")
            ctl(site, "rollback", "--waiting", "released")
            # A worker that was asked to leave may answer one more who comes at that moment.
            until(lambda: status_of(site) == 201, "the old code")
            until(lambda: states(site) == [("1", "current", "2"), ("2", "kept", "0")], "the first again")
            ctl(site, "rollback", "--waiting")
            until(lambda: status_of(site) == 202, "the new code")
        assert not load.failures
        site.send(signal.SIGHUP)
        site.wait_for("generation 3 cannot run and 2 goes on")
        assert status_of(site) == 202
        # That is over: what is wanted next has not failed with it.
        ctl(site, "scale", "--waiting", "released", "2..3")
        site.send(signal.SIGHUP)
        site.wait_for("generation 4 cannot run and 2 goes on")
        ctl(site, "rollback", "--waiting", "released")


def status_of(site: Site) -> int:
    with urllib.request.urlopen(f"{site.url}/healthz", timeout=DEADLINE) as response:
        return int(response.status)


@whichever
def test_without_anything_to_go_back_to_a_rollback_is_refused(release: Release) -> None:
    with release.site() as site:
        ctl(site, "reload", "--waiting", "released")
        told = ctl(site, "rollback", "released", status=1)
        assert "no generation before this one of released is kept: see keep_generations" in told
        until(lambda: states(site) == [("2", "current", "2")], "one generation")


@whichever
def test_a_rollback_ends_a_reload_that_is_under_way(release: Release) -> None:
    with release.site("--check-command", "sleep 1000") as site, ThreadPoolExecutor() as pool:
        waiting = pool.submit(ctl, site, "reload", "--waiting", "released", status=1)
        site.wait_for("check command begins")
        assert states(site) == [("1", "current", "2"), ("2", "new", "1")]
        ctl(site, "rollback", "--waiting", "released")
        assert "it was rolled back" in waiting.result(DEADLINE)
        until(lambda: len(site.workers()) == 2, "the old workers only")


@whichever
def test_a_kept_fork_server_that_dies_is_no_trouble(release: Release) -> None:
    with release.site("--keep-generations", "1") as site:
        old = set(site.fork_servers())
        ctl(site, "reload", "--waiting", "released")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        until(lambda: states(site) == [("2", "current", "2")], "one generation")
        ctl(site, "rollback", "released", status=1)


# ---- how workers come and go


def test_a_worker_is_asked_before_clients_come(release: Release) -> None:
    release.write(
        top=f"GATE = '{release.folder}/warm-'",
        check="open(GATE + str(os.getpid()), 'w').close()",
        work="status = '200 OK' if os.path.exists(GATE + str(os.getpid())) else '500 Cold'",
    )
    with release.site("--warm-up", "/healthz", "--max-requests", "200") as site, Load(site.port, 8) as load:
        until(lambda: load.answered > 500, "answers of workers and of their successors")
        reload(site)
        until(lambda: load.answered > 1000, "answers of new workers")
    assert not load.failures
    assert len(load.workers) > 4


@whichever
def test_a_warm_up_that_fails_is_told_and_keeps_nobody(release: Release) -> None:
    release.write(check="os._exit(3) if os.path.exists('/nowhere') else None; status = '500 Oh'")
    with release.site("--warm-up", "/healthz", *HEALTH) as site:
        assert site.get()
        site.send(signal.SIGHUP)
        site.wait_for("generation 2 cannot run and 1 goes on: the health check failed")


@whichever
def test_a_warm_up_that_hangs_is_a_worker_that_does_not_get_ready(release: Release) -> None:
    with release.site("--warm-up", "/healthz", "--boot-timeout", "3") as site:
        release.write(check="time.sleep(1000)")
        site.send(signal.SIGHUP)
        site.wait_for("generation 2 cannot run and 1 goes on: not ready after 3 seconds")
        assert site.get()


FIRST_OR_WAIT = """
def first_or_wait():
    try:
        open('{0}/first', 'x').close()
    except FileExistsError:
        while not os.path.exists('{0}/gate'):
            time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("args", "old", "new"), [((), 3, 2), (("--max-surge", "3"), 3, 4), (("--max-unavailable", "2"), 1, 4)]
)
@whichever
def test_several_workers_are_replaced_at_a_time(
    release: Release, args: tuple[str, ...], old: int, new: int
) -> None:
    """All new ones but the canary wait before they are ready."""
    with release.site("--workers", "4", "--warm-up", "/healthz", *args) as site:
        until(lambda: len(site.workers()) == 4, "four workers")
        before = site.workers().keys()
        release.write(top=FIRST_OR_WAIT.format(release.folder), check="first_or_wait()")
        site.send(signal.SIGHUP)

        def counts() -> tuple[int, int]:
            now = site.workers().keys()
            return len(now & before), len(now - before)

        until(lambda: counts() == (old, new), f"{old} old and {new} new workers")
        assert site.get()
        (release.folder / "gate").touch()
        until(lambda: counts() == (0, 4), "four new workers")


def test_no_surge_and_nobody_missing_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bigtop", "serve", "tests.apps.wsgi_basic:app", "--max-surge", "0"],
        capture_output=True,
        cwd=ROOT,
        timeout=DEADLINE,
    )
    assert done.returncode == 78
    assert b"--max-surge: 0 takes --max-unavailable 1 or more" in done.stderr
