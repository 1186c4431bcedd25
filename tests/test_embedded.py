# The library: processes that are kept alive for a program, and nothing of them left when it ends.

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from bigtop import Arbiter, Client, ConfigError, Supervisor, get_arbiter, get_trainer
from bigtop.control import addresses
from bigtop.errors import BigtopError
from tests.support.procfs import descriptors, has_ended, words
from tests.support.site import DEADLINE, ROOT, until

JOB = "sleep 1000"


def test_a_trainer_from_start_to_stop() -> None:
    trainer = get_trainer(JOB, 3)
    trainer.start()
    try:
        assert trainer.statuses() == {"sleep": "active"}
        pids = trainer.pids("sleep")
        assert len(pids) == 3
        # A program that has just begun still opens its libraries.
        until(lambda: set(descriptors(pids[0])) == {0, 1, 2}, "nothing else to be open")
        os.kill(pids[0], signal.SIGKILL)
        until(lambda: len(set(trainer.pids("sleep")) - {pids[0]}) == 3, "a successor")
        pids = trainer.pids("sleep")
        folder = Path(trainer.endpoint.removeprefix("ipc://")).parent
    finally:
        trainer.stop()
    assert all(map(has_ended, pids))
    assert not folder.exists()
    trainer.start()  # again
    assert len(trainer.pids("sleep")) == 3
    trainer.stop()


def test_an_arbiter_that_blocks_until_it_is_stopped() -> None:
    arbiter = get_arbiter([{"cmd": JOB, "numprocesses": 2, "name": "two"}, {"cmd": JOB, "name": "one"}])
    thread = threading.Thread(target=arbiter.start)
    thread.start()
    until(lambda: addresses.answers(arbiter.endpoint.removeprefix("ipc://")), "the control channel")
    with Client(arbiter.endpoint, timeout=DEADLINE) as client:
        until(
            lambda: client.call("status")["statuses"] == {"one": "active", "two": "active"}, "both watchers"
        )
        pids = client.call("list", name="two")["pids"]
    assert thread.is_alive()
    arbiter.stop()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert all(map(has_ended, pids))


@pytest.mark.parametrize("background", [True, False])
def test_an_arbiter_may_be_stopped_before_its_start_has_found_it(background: bool) -> None:
    class StoppedMeanwhile(Arbiter):
        @property
        def endpoint(self) -> str:  # which start() asks for when everything runs
            endpoint = super().endpoint
            self.stop()
            return endpoint

    arbiter = get_arbiter([{"cmd": JOB}], background=background)
    arbiter.__class__ = StoppedMeanwhile
    arbiter.start()
    with pytest.raises(BigtopError, match="not started"):
        arbiter.statuses()


def test_watchers_come_and_go(tmp_path: Path) -> None:
    with get_arbiter([{"cmd": JOB}], env={"COLOUR": "blue"}) as arbiter:
        out = tmp_path / "out"
        arbiter.add_watcher(
            "echo", f"sh -c 'echo $COLOUR $SHADE > {out}; exec sleep 1000'", env={"SHADE": "dark"}
        )
        assert arbiter.statuses() == {"sleep": "active", "echo": "active"}
        until(lambda: out.exists() and out.read_text().endswith("\n"), "the output")
        assert "dark" in out.read_text()
        assert psutil.Process(arbiter.pids("sleep")[0]).environ()["COLOUR"] == "blue"
        assert arbiter.call("incr", name="sleep", nb=2, waiting=True)["numprocesses"] == 3
        arbiter.rm_watcher("echo")
        assert arbiter.statuses() == {"sleep": "active"}


def test_events() -> None:
    with get_arbiter([{"cmd": JOB}]) as arbiter, arbiter.events("watcher.sleep.", timeout=0.1) as events:
        seen: list[str] = []
        while not {"spawn", "reap"}.issubset(
            seen
        ):  # a subscription needs a moment to arrive, and nothing tells when it has
            arbiter.call("incr", name="sleep", waiting=True)
            arbiter.call("decr", name="sleep", waiting=True)
            seen += [event.name for event in events]


def test_sockets() -> None:
    code = "import socket, sys, time; socket.socket(fileno=int(sys.argv[1])).getsockname(); time.sleep(1000)"
    watcher = {"name": "web", "cmd": sys.executable, "args": ["-c", code, "$(circus.sockets.web)"]}
    with get_arbiter([watcher], sockets=[{"name": "web", "host": "127.0.0.1", "port": 0}]) as arbiter:
        assert arbiter.statuses() == {"web": "active"}
        assert arbiter.call("listsockets")["sockets"][0]["name"] == "web"


@pytest.mark.parametrize(
    ("watchers", "reason"),
    [
        (
            [{"cmd": "x", "numproceses": 3}],
            "watchers: [watcher:x] has no key numproceses; did you mean numprocesses?",
        ),
        ([{"numprocesses": 3}], 'each watcher needs a cmd, such as {"cmd": "myprogram --flag"}'),
        ([{"cmd": "x"}, {"cmd": "/bin/x"}], "two watchers are called 'x': give one of them another name"),
    ],
)
def test_mistakes_are_told_at_once(watchers: list[dict[str, object]], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        get_arbiter(watchers)
    assert str(caught.value) == reason


def test_what_is_found_out_at_the_start_is_an_exception(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no socket")
    arbiter = get_arbiter([{"cmd": JOB}], controller=f"ipc://{tmp_path}/taken", background=True)
    assert arbiter.endpoint == f"ipc://{tmp_path}/taken"
    with pytest.raises(ConfigError, match="there is a file which is no socket"):
        arbiter.start()


def test_a_watcher_that_cannot_run_is_told_by_its_status() -> None:
    with get_arbiter([{"cmd": "/no/such/program", "max_retry": 0}, {"cmd": JOB}]) as arbiter:
        assert arbiter.statuses() == {"program": "stopped", "sleep": "active"}


def test_a_program_that_is_killed_leaves_nothing() -> None:
    program = (
        "import sys, time, bigtop\n"
        f"trainer = bigtop.get_trainer({JOB!r}, 2)\n"
        "trainer.start()\n"
        "print(*trainer.pids('sleep'), flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        owner.kill()
    until(lambda: all(map(has_ended, pids)), "everything to be gone")


@pytest.mark.parametrize("ready", ["spawn", "file:/no/such/file"])
def test_a_signal_handler_may_stop_it(ready: str) -> None:
    """Also before everything is ready."""
    program = (
        "import signal, bigtop\n"
        f"arbiter = bigtop.get_arbiter([{{'cmd': {JOB!r}, 'ready': {ready!r}}}])\n"
        "signal.signal(signal.SIGTERM, lambda *_: arbiter.stop())\n"
        "arbiter.start()\n"
        "print('stopped')\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:

        def sleepers() -> list[psutil.Process]:
            children = psutil.Process(owner.pid).children(recursive=True)
            return [child for child in children if words(child) == JOB.split()]

        try:
            until(sleepers, "the watcher")
            pids = [child.pid for child in sleepers()]
            owner.send_signal(signal.SIGTERM)
            assert owner.communicate(timeout=DEADLINE)[0] == "stopped\n"
            assert owner.returncode == 0
        finally:
            owner.kill()
    assert all(map(has_ended, pids))


def test_what_cannot_be_launched_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arbiter = get_arbiter([{"cmd": JOB}], background=True)
    with pytest.raises(FileNotFoundError):
        arbiter.start()
    assert list(tmp_path.iterdir()) == []


def test_children_and_signals_of_the_program_are_its_own() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)]
    with get_arbiter([{"cmd": JOB}]):
        own = subprocess.Popen(["sh", "-c", "exit 7"])
        assert own.wait(DEADLINE) == 7
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)] == before


def test_not_started() -> None:
    arbiter: Arbiter = get_arbiter([{"cmd": JOB}])
    with pytest.raises(Exception, match="not started"):
        arbiter.statuses()
    arbiter.stop()  # harmless


def test_a_supervisor_on_an_event_loop() -> None:
    async def life() -> list[int]:
        async with Supervisor([{"cmd": JOB, "name": "job"}]) as supervisor:
            assert await supervisor.statuses() == {"job": "active"}
            await supervisor.scale("job", 3)
            first = await supervisor.pids("job")
            assert len(first) == 3
            await supervisor.restart("job")
            assert set(await supervisor.pids("job")).isdisjoint(first)
            await supervisor.reload("job")
            await supervisor.stop("job")
            assert await supervisor.statuses() == {"job": "stopped"}
            await asyncio.gather(supervisor.start("job"), supervisor.add("other", JOB))
            assert await supervisor.statuses() == {"job": "active", "other": "active"}
            await supervisor.remove("other")
            seen = asyncio.create_task(anext(aiter(supervisor.events("watcher.job."))))
            while not seen.done():  # until the subscription has arrived
                await supervisor.call("incr", name="job", waiting=True)
                await supervisor.call("decr", name="job", waiting=True)
            assert (await seen).watcher == "job"
            return await supervisor.pids("job")

    pids = asyncio.run(life())
    assert pids
    assert all(map(has_ended, pids))
