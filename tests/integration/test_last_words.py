# The end of a worker: calls that are not done in time are cut off, and the worker goes on to its end.

from __future__ import annotations

import re
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from bigtop.ipc.scoreboard import Word
from tests.support.site import ROOT, Site, until
from tests.support.wire import Client, request

WSGI, ASGI = "tests.apps.ending:wsgi", "tests.apps.ending:asgi"
CUT = ["begun", "finally", "exit handler"]
CUT_ASGI = ["begun", "finally", "shutdown", "exit handler"]


class Ended:
    """A site with a request that has no end of its own; `early`, with another client who came before."""

    def __init__(self, tmp_path: Path, app: str, path: str, *args: str, early: bool = False) -> None:
        self.notes_path = tmp_path / "notes"
        self.notes_path.touch()
        self.site = Site(
            app,
            "--graceful-timeout",
            "0.5",
            "--workers",
            "1",
            *args,
            env={"TEST_NOTES": str(self.notes_path)},
        )
        self._path = path
        self._early = early

    def __enter__(self) -> Ended:
        self._stack = ExitStack()
        self._stack.enter_context(self.site)
        if self._early:  # a busy worker takes no further connections
            self.early = self._connected()
            assert self.early.get("/pid").status == 200
        self.client = self._connected()
        self.client.send(request(self._path))
        until(lambda: "begun" in self.notes(), "the request to begin")
        return self

    def _connected(self) -> Client:
        return self._stack.enter_context(Client(("127.0.0.1", self.site.port)))

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def notes(self) -> list[str]:
        return self.notes_path.read_text().split("\n")[:-1]

    def cut_off(self, path: str) -> int:
        return len(re.findall(rf"GET {path}( \(\S+\))? from 127.0.0.1 is cut off after ", self.site.log()))


@pytest.mark.case("A1", "F5")
@pytest.mark.parametrize(
    ("app", "path", "args"),
    [
        (ASGI, "/sse", ()),
        (ASGI, "/await", ("--loop", "asyncio")),
        (ASGI, "/thread", ()),
        (ASGI, "/block", ()),
        (WSGI, "/stream", ()),
        (WSGI, "/sleep", ()),
        (WSGI, "/wait", ()),
        (WSGI, "/turn", ("--threads", "4")),
        (WSGI, "/stream", ("--threads", "4")),
        (WSGI, "/spin", ()),
        (WSGI, "/sleep", ("--main-thread",)),
        (WSGI, "/stream", ("--main-thread",)),
        (WSGI, "/sleep", ("--backend", "gevent")),
        (WSGI, "/stream", ("--backend", "gevent")),
        (WSGI, "/spin", ("--backend", "gevent")),
        (ASGI, "/sse", ("--mount", f"/below={WSGI}")),
        (ASGI, "/below/sleep", ("--mount", f"/below={WSGI}")),
    ],
)
def test_a_call_that_outlasts_the_grace_ends_and_so_does_the_worker(
    app: str, path: str, args: tuple[str, ...], tmp_path: Path
) -> None:
    with Ended(tmp_path, app, path, *args) as ended:
        assert ended.site.stop(signal.SIGTERM) == 0
        expected = CUT_ASGI if app == ASGI else CUT
        if path == "/below/sleep":  # in a thread that sleeps: nothing interrupts that
            expected = ["begun", "shutdown", "exit handler"]
        assert ended.notes() == expected
        assert ended.cut_off(path) == 1
        assert "SIGKILL" not in ended.site.log()
        assert "worker 1 (pid" not in ended.site.log(), "nobody was killed"


@pytest.mark.case("A1", "F5")
@pytest.mark.parametrize(("app", "path"), [(ASGI, "/sse"), (WSGI, "/stream"), (WSGI, "/sleep")])
@pytest.mark.parametrize("how", ["reload", "quick"])
def test_however_the_worker_was_asked_to_leave(app: str, path: str, how: str, tmp_path: Path) -> None:
    with Ended(tmp_path, app, path) as ended:
        site = ended.site
        if how == "quick":
            assert site.stop(signal.SIGINT) == 0
        else:
            site.send(signal.SIGHUP)
            until(lambda: "exit handler" in ended.notes(), "the end of the old worker")
        expected = CUT_ASGI if app == ASGI else CUT
        assert ended.notes()[: len(expected)] == expected
        # The old worker said so before; its supervisor may still have to read that.
        until(lambda: ended.cut_off(path) == 1, "the line about the request")


@pytest.mark.case("A1", "F5", "B14")
@pytest.mark.parametrize("args", [(), ("--threads", "2")])
def test_a_call_that_nothing_interrupts_keeps_no_exit_handler_from_running(
    args: tuple[str, ...], tmp_path: Path
) -> None:
    with Ended(tmp_path, WSGI, "/hang", *args) as ended:
        assert ended.site.stop(signal.SIGTERM) == 0
        assert ended.notes() == ["begun", "exit handler"]
        assert ended.cut_off("/hang") == 1
        assert "cannot be interrupted" in ended.site.log()
        assert "worker 1 (pid" not in ended.site.log(), "nobody was killed"


@pytest.mark.case("A1", "F5")
@pytest.mark.parametrize(
    ("app", "path", "backend", "expected"),
    [(ASGI, "/sse", "uvicorn", CUT_ASGI), (WSGI, "/sleep", "waitress", ["begun", "exit handler"])],
)
def test_with_somebody_elses_server(
    app: str, path: str, backend: str, expected: list[str], tmp_path: Path
) -> None:
    with Ended(tmp_path, app, path, "--backend", backend) as ended:
        assert ended.site.stop(signal.SIGTERM) == 0
        assert ended.notes() == expected
        assert ended.cut_off(path) == 1


@pytest.mark.case("F5")
def test_a_request_that_waits_for_its_turn_is_told_too(tmp_path: Path) -> None:
    with Ended(tmp_path, WSGI, "/sleep", early=True) as ended:
        ended.early.send(request("/later"))
        until(lambda: ended.site.total(Word.WAITING) == 1, "the second request")
        assert ended.site.stop(signal.SIGTERM) == 0
        assert (ended.cut_off("/sleep"), ended.cut_off("/later")) == (1, 1)


@pytest.mark.case("A1")
def test_a_worker_that_still_imports_runs_its_exit_handlers(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (tmp_path / "slow_site.py").write_text(
        "import time\nfrom tests.apps.ending import note\nnote('begun')\ntime.sleep(60)\n"
    )
    args = ("--preload", "off", "--pythonpath", f"{tmp_path},{ROOT}")
    with Site("slow_site:app", *args, env={"TEST_NOTES": str(notes)}).attempt() as site:
        until(lambda: notes.exists() and notes.read_text() == "begun\n", "the import")
        site.send(signal.SIGTERM)
        site.wait()
        assert notes.read_text().split("\n")[:-1] == ["begun", "exit handler"]
        site.wait_for("the worker ends in the middle of what its main thread did")
