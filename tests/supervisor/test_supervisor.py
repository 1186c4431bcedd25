# What an operator asks for, performed with real processes.

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from bigtop.errors import CommandError, ConfigError
from bigtop.record import replace
from bigtop.supervisor import triggers
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.plan import Add, Keep, Remove, Replace, Scale
from bigtop.supervisor.policy.spec import (
    Command,
    ExecContext,
    Lifetime,
    Readiness,
    Respawn,
    RestartPolicy,
    StopPolicy,
)
from bigtop.supervisor.processes.commands.command_pool import CommandPool
from tests.support.pool_harness import DEADLINE, ENV, command, lives, until
from tests.support.supervisor_harness import SLEEP, SupervisorHarness, perform, watcher

WEB = watcher("web", numprocesses=2)
CONTEXT = ExecContext(env=ENV)


class TestCommands:
    def test_start_scale_stop(self):
        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start("web")
            await supervisor.settled("web")
            assert len(harness.pids("web")) == 2
            supervisor.scale("web", 3)
            await supervisor.settled("web")
            pids = harness.pids("web")
            assert len(pids) == 3
            supervisor.stop("web")
            await supervisor.settled("web")
            assert harness.status("web") == "stopped"
            assert not any(map(lives, pids))

        perform(play, WEB)

    def test_every_birth_every_signal_and_every_death_is_told(self):
        """Circus tells no reap of what it ended itself: by decr, reload or age."""

        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start("web")
            await supervisor.settled("web")
            first = harness.pids("web")
            supervisor.reload("web")
            await supervisor.settled("web")
            supervisor.scale("web", 1)
            await supervisor.settled("web")
            supervisor.stop("web")
            await supervisor.settled("web")
            born = {notice.pid for notice in harness.of(messages.Born)}
            reaped = {notice.pid for notice in harness.of(messages.Reaped)}
            signalled = {
                notice.pid for _, notice in harness.pools.notices if isinstance(notice, messages.Signalled)
            }
            assert {*first} < born == reaped == signalled
            assert len(born) == 4
            assert all(n.status.signal == signal.SIGTERM for n in harness.of(messages.Reaped))
            kinds = [type(notice).__name__ for _, notice in harness.told]
            assert [k for k in kinds if k not in ("Born", "Reaped")] == ["Started", "Reloaded", "Stopped"]

        perform(play, WEB)

    def test_a_reload_replaces_all_and_is_never_without_processes(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            before = harness.pids("web")
            harness.supervisor.reload("web")
            while not harness.of(messages.Reloaded):
                assert sum(map(lives, before + harness.pids("web"))) >= 2
                await asyncio.sleep(0)
            await harness.supervisor.settled("web")
            assert not {*before} & {*harness.pids("web")}

        perform(play, WEB)

    def test_a_sequential_reload_never_has_more(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            before = harness.pids("web")
            harness.supervisor.reload("web", sequential=True)
            while not harness.of(messages.Reloaded):
                assert len(harness.supervisor.watchers.machine("web").processes) <= 2
                await asyncio.sleep(0)
            assert not {*before} & {*harness.pids("web")}

        perform(play, WEB)

    def test_reload_by_hup_keeps_the_processes(self, tmp_path: Path):
        file = tmp_path / "hup"
        text = f"trap 'echo hup >> {file}' HUP; while :; do sleep 0.02; done"
        spec = watcher("web", Command("sh", ("-c", text), context=CONTEXT), send_hup=True)

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            before = harness.pids("web")
            await until(lambda: _catches(before[0], signal.SIGHUP), "the trap")
            harness.supervisor.reload("web")
            await until(file.exists, "the signal")
            assert harness.pids("web") == before
            assert harness.of(messages.Reloaded)

        perform(play, spec)

    def test_a_restart_is_a_stop_and_a_start(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            before = harness.pids("web")
            harness.supervisor.restart("web")
            await harness.supervisor.settled("web")
            assert harness.status("web") == "active"
            assert not {*before} & {*harness.pids("web")}
            told = [type(n) for _, n in harness.told if isinstance(n, messages.Started | messages.Stopped)]
            assert told == [messages.Started, messages.Stopped, messages.Started]

        perform(play, WEB)

    def test_one_process_can_be_killed_and_is_followed_by_another(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            one, other = harness.pids("web")
            harness.supervisor.kill("web", one, signal.SIGINT, 3.0)
            await harness.supervisor.settled("web")
            assert not lives(one)
            assert other in harness.pids("web")
            assert len(harness.pids("web")) == 2
            assert harness.of(messages.Reaped)[0].status == messages.ExitStatus(signal=signal.SIGINT)
            assert not harness.of(messages.Died)

        perform(play, WEB)

    def test_a_crash_is_answered_within_milliseconds(self):
        """Circus notices at its next tick: 2.3 to 4.5 s."""

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            waits = []
            for pid in harness.pids("web"):
                before, began = len(harness.of(messages.Born)), time.monotonic()
                os.kill(pid, signal.SIGKILL)
                await until(lambda before=before: len(harness.of(messages.Born)) > before, "the successor")
                waits.append(time.monotonic() - began)
            assert min(waits) < 0.5  # whatever else this machine does now and then

        perform(play, watcher("web", numprocesses=5))

    def test_a_slow_stop_hinders_nobody_and_loses_nothing(self, tmp_path: Path):
        """Circus: "arbiter is already running watcher_stop command", and nothing is respawned meanwhile."""
        deaf = tmp_path / "deaf"  # there when it ignores the signal
        script = f"trap '' TERM; : > {deaf}; while :; do sleep 0.05; done"
        stubborn = Command("sh", ("-c", script), context=CONTEXT)
        slow = watcher("slow", stubborn, stop=StopPolicy(graceful_timeout=60.0))

        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start()
            await harness.up()
            await until(deaf.exists, "the trap")
            supervisor.stop("slow")
            os.kill(harness.pids("web")[0], signal.SIGKILL)
            supervisor.scale("web", 4)
            await until(lambda: len(harness.pids("web")) == 4, "four processes")
            supervisor.restart("web")
            await supervisor.settled("web")
            assert harness.status("slow") == "stopping"
            supervisor.start("slow")
            await until(lambda: harness.status("slow") == "active", "the newest wish")

        perform(play, slow, WEB)

    def test_signals_without_an_end(self, tmp_path: Path):
        file = tmp_path / "usr1"
        text = f"trap 'echo x >> {file}' USR1; while :; do sleep 0.02; done"

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await harness.up()
            (pid,) = harness.pids("web")
            await until(lambda: _catches(pid, signal.SIGUSR1), "the trap")
            harness.supervisor.signal("web", pid, signal.SIGUSR1)
            await until(file.exists, "the signal")
            with pytest.raises(CommandError, match=r"web has no process 1$"):
                harness.supervisor.signal("web", 1, signal.SIGUSR1)

        perform(play, watcher("web", Command("sh", ("-c", text), context=CONTEXT)))

    def test_what_there_is_not(self):
        async def play(harness: SupervisorHarness) -> None:
            for ask in (harness.supervisor.start, harness.supervisor.stop, harness.supervisor.reload):
                with pytest.raises(CommandError, match=r"^program nope not found$"):
                    ask("nope")
            with pytest.raises(CommandError, match=r"^program web already exists$"):
                harness.supervisor.configuration.add(WEB)
            with pytest.raises(ConfigError, match=r"^api depends on db: there is no such watcher$"):
                harness.supervisor.configuration.add(watcher("api", depends=("db",)))
            with pytest.raises(ConfigError, match="schedule 'nonsense'"):
                harness.supervisor.configuration.add(watcher("job", lifetime=Lifetime(schedule="nonsense")))
            assert harness.supervisor.watchers.names == ["web"]

        perform(play, WEB)


def _catches(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(caught >> (number - 1) & 1)


class TestDescriptions:
    def test_add_and_remove(self):
        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.configuration.add(watcher("new"))
            supervisor.start("new")
            await supervisor.settled("new")
            (pid,) = harness.pids("new")
            supervisor.configuration.remove("new")
            await supervisor.settled("new")
            assert supervisor.watchers.names == ["web"]
            assert not lives(pid)
            assert next(type(notice) for who, notice in harness.told if who == "new") is messages.Added
            assert harness.told[-1] == ("new", messages.Removed())

        perform(play, WEB)

    def test_remove_without_a_stop(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await harness.supervisor.settled("web")
            pids = harness.pids("web")
            harness.supervisor.configuration.remove("web", nostop=True)
            assert harness.supervisor.watchers.names == []
            assert all(map(lives, pids))
            assert {*pids} <= harness.supervisor.watchers.pids(), "they are still collected when they end"

        perform(play, WEB)

    def test_an_update_replaces_processes_only_if_they_are_made_differently(self):
        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start("web")
            await supervisor.settled("web")
            before = harness.pids("web")
            supervisor.configuration.update(
                "web", replace(WEB, stop=StopPolicy(graceful_timeout=1), numprocesses=3)
            )
            await supervisor.settled("web")
            assert {*before} < {*harness.pids("web")}
            changed = replace(SLEEP, args="61")
            supervisor.configuration.update("web", replace(WEB, target=changed))
            await supervisor.settled("web")
            assert not {*before} & {*harness.pids("web")}
            for pid in harness.pids("web"):
                line = Path(f"/proc/{pid}/cmdline")  # empty for a moment after the exec
                await until(lambda line=line: line.read_bytes() == b"sleep\x0061\x00", "the command line")
            assert [n.fields for n in harness.of(messages.Updated)] == [
                ("numprocesses", "stop"),
                ("target", "numprocesses", "stop"),
            ]

        perform(play, WEB)

    def test_an_update_that_cannot_run_goes_back_to_what_could(self):
        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start("web")
            await supervisor.settled("web")
            supervisor.configuration.update(
                "web", replace(WEB, target=replace(SLEEP, cmd="no-such-program-here"))
            )
            await until(lambda: harness.of(messages.ReloadFailed), "the failure")
            assert "no-such-program-here" in harness.of(messages.ReloadFailed)[0].reason
            os.kill(harness.pids("web")[0], signal.SIGKILL)
            await supervisor.settled("web")
            await until(lambda: len(harness.pids("web")) == 2, "both, of the old description")

        perform(play, WEB)

    def test_apply_is_a_difference(self):
        kept, gone, grown, changed = (watcher(name) for name in ("kept", "gone", "grown", "changed"))

        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start()
            await harness.up()
            before = {name: harness.pids(name) for name in supervisor.watchers.names}
            new = [
                kept,
                replace(grown, numprocesses=2),
                replace(changed, target=replace(SLEEP, args="61")),
                watcher("late", replace(SLEEP, args="62"), depends=("early",)),
                watcher("early", replace(SLEEP, args="63")),
            ]
            steps = supervisor.configuration.apply(new)
            assert [type(step) for step in steps] == [Remove, Keep, Scale, Replace, Add, Add]
            for name in ("gone", "kept", "grown", "changed", "early", "late"):
                await supervisor.settled(name)
            assert supervisor.watchers.names == ["kept", "grown", "changed", "late", "early"]
            assert harness.pids("kept") == before["kept"]
            assert before["grown"][0] in harness.pids("grown")
            assert harness.pids("changed") != before["changed"]
            assert not lives(before["gone"][0])
            started = harness.order(messages.Started)
            assert started.index("early") < started.index("late")
            assert supervisor.configuration.apply(new)[:2] == [Keep("kept"), Keep("grown")]

        perform(play, kept, gone, grown, changed)

    def test_a_bad_description_changes_nothing(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await harness.up()
            pids = harness.pids("web")
            with pytest.raises(ConfigError):
                harness.supervisor.configuration.apply(
                    [watcher("a", depends=("b",)), watcher("b", depends=("a",))]
                )
            assert harness.supervisor.watchers.names == ["web"]
            assert harness.pids("web") == pids

        perform(play, WEB)


class TestOrder:
    def test_dependencies_start_first_and_stop_last(self, tmp_path: Path):
        flag = tmp_path / "db"
        db = watcher("db", ready=Readiness("file", str(flag)))
        web = watcher("web", depends=("db",), priority=9)

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start("web")
            await until(lambda: harness.status("db") == "starting", "the dependency")
            await until(lambda: harness.pids("db"), "its process")
            assert harness.status("web") == "stopped"
            flag.touch()
            await harness.up()
            harness.supervisor.stop()
            await harness.down()
            assert harness.order(messages.Stopped) == ["web", "db"]

        perform(play, web, db)

    def test_priority_orders_what_starts_together(self):
        names = {"low": -1, "middle": 0, "high": 5}

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await harness.up()
            assert harness.order(messages.Started) == ["high", "middle", "low"]
            harness.supervisor.stop()
            await harness.down()
            assert harness.order(messages.Stopped) == ["low", "middle", "high"]

        perform(play, *(watcher(name, priority=number) for name, number in names.items()))

    def test_one_that_crashes_holds_up_only_those_that_depend_on_it(self):
        bad = watcher(
            "bad",
            Command("false", context=CONTEXT),
            priority=9,
            ready=Readiness("delay", "30"),
            restart=RestartPolicy(attempts=0, max_retry=1, retry_in=0.05),
        )

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await harness.up("other")
            await until(lambda: harness.of(messages.GaveUp, "needs"), "the resignation")
            assert harness.of(messages.GaveUp, "bad")
            assert harness.status("needs") == "stopped"

        perform(play, bad, watcher("other"), watcher("needs", depends=("bad",)))


class TestLifetime:
    def test_not_all_start_by_themselves(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await harness.up("web")
            assert harness.status("manual") == "stopped"
            harness.supervisor.start("manual")
            await harness.up("manual")

        perform(play, WEB, watcher("manual", lifetime=Lifetime(autostart=False)))

    def test_a_one_shot_ends_and_stays(self):
        once = watcher("once", Command("true", context=CONTEXT), restart=RestartPolicy(Respawn.UNEXPECTED))

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await until(lambda: harness.of(messages.Stopped), "the end")
            assert len(harness.of(messages.Reaped)) == 1
            assert not harness.of(messages.Died)

        perform(play, once)

    def test_the_first_connection_starts_it_and_idleness_stops_it(self):
        code = (
            "import socket\n"
            "s = socket.socket(fileno={fd})\n"
            "s.setblocking(True)\n"
            "while True:\n"
            "    c, _ = s.accept(); c.sendall(b'hello'); c.recv(1); c.close()"
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            target = command(code.format(fd=listener.fileno()), context=CONTEXT)
            spec = watcher("web", target, sockets=("web",), lifetime=Lifetime(on_demand=True, idle_stop=0.1))

            async def play(harness: SupervisorHarness) -> None:
                harness.pools.sockets = {"web": listener.fileno()}
                harness.supervisor.start()
                await harness.supervisor.settled("web")
                assert harness.status("web") == "stopped"
                for _ in range(2):
                    reader, writer = await asyncio.open_connection(*listener.getsockname())
                    async with asyncio.timeout(DEADLINE):
                        assert await reader.readexactly(5) == b"hello"
                    await asyncio.sleep(0.3)  # it is not idle while somebody is connected
                    assert harness.status("web") == "active"
                    writer.close()
                    await harness.down("web")

            perform(play, spec)

    def test_too_much_memory_is_answered_with_a_successor(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(triggers, "MEMORY_SECONDS", 0.1)
        code = "import os, sys, time\nx = b'x' * 80_000_000 if os.fork() == 0 else 0\ntime.sleep(60)"

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await harness.supervisor.settled("fat")
            (pid,) = harness.pids("fat")
            await until(lambda: not lives(pid), "its end")
            assert not harness.of(messages.Died)

        perform(play, watcher("fat", command(code, context=CONTEXT), lifetime=Lifetime(max_rss=60_000_000)))

    def test_age_is_answered_with_a_successor_first(self):
        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await until(lambda: harness.of(messages.Reaped), "its end")
            kinds = [type(notice) for notice in harness.of(messages.Born | messages.Reaped)]
            assert kinds.index(messages.Reaped) >= 2
            assert not harness.of(messages.Died)

        lifetime = Lifetime(max_age=0.2, max_age_variance=0)
        perform(play, watcher("web", lifetime=lifetime))

    def test_spawns_can_be_spread(self):
        async def play(harness: SupervisorHarness) -> None:
            began = time.monotonic()
            harness.supervisor.start()
            await harness.supervisor.settled("web")
            assert time.monotonic() - began >= 0.2

        perform(play, replace(WEB, numprocesses=3, lifetime=Lifetime(warmup_delay=0.1)))


class TestLooks:
    @pytest.mark.case("E9")
    def test_what_goes_wrong_in_one_watcher_stops_no_look_at_the_others(
        self, caplog: pytest.LogCaptureFixture
    ):
        looks: list[str] = []

        class Watched(CommandPool):
            """Processes that are timed; at those of one watcher nobody can look."""

            timed = True

            def look_for_late(self) -> None:
                looks.append(self._spec.name)
                if looks[-1] == "bad":
                    raise ValueError("what stands there is nonsense")

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await until(lambda: looks.count("good") >= 2, "two looks")
            assert looks[:4] == ["bad", "good"] * 2

        perform(play, watcher("bad"), watcher("good"), pool=Watched)
        said = caplog.text.count("bad: cannot see whether anybody is stuck")
        assert said == looks.count("bad")
