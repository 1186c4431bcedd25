# Commands as real processes: what they find themselves in, when they are ready, how they end.

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bigtop.record import replace
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.spec import (
    Cgroup,
    Command,
    ExecContext,
    Readiness,
    Stdio,
    StopPolicy,
    StreamSpec,
    WatcherSpec,
)
from bigtop.supervisor.processes import cgroups
from bigtop.supervisor.processes.child import Process
from tests.support.pool_harness import ENV, PoolHarness, command, lives, run, until

PIPED = Stdio(stdout=StreamSpec("QueueStream"), stderr=StreamSpec("QueueStream"))
# By posix_spawn(3); by the launcher, after a fork or, because of our own limit of files only, by posix_spawn.
WAYS = {"plain": (None, 0), "launched": (3, 0), "launched plainly": (None, 777)}
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


def spec(target: Command, **more: Any) -> WatcherSpec:
    return WatcherSpec("job", target, **more)


def said(code: str, soft_limit: int = 0, context: ExecContext | None = None, **more: Any) -> str:
    """Return what a command wrote that runs `code` to its end."""
    written = []

    async def play(pools: PoolHarness) -> None:
        target = command(code, context=context or ExecContext(env=ENV), stdio=PIPED)
        pool = pools.pool(spec(target, **more))
        await pool.ended(pool.spawn())
        written.append(pools.written["stdout"].decode() + pools.written["stderr"].decode())

    run(play, soft_limit)
    return str(written[0])


def identity(user: str, group: str | None = None) -> list[str]:
    """Return what id(1) says of a command with this user: user, group, all groups."""
    found: list[str] = []

    async def play(pools: PoolHarness) -> None:
        context = ExecContext(env=ENV, user=user, group=group, cwd="/")
        named = "-n" if not user.isdigit() else ""
        text = f"id {named} -u; id {named} -g; id {named} -G"
        pool = pools.pool(spec(Command(text, shell=True, context=context, stdio=PIPED)))
        await pool.ended(pool.spawn())
        found.extend(pools.written["stdout"].decode().splitlines())

    run(play)
    return found


class TestContext:
    @pytest.mark.parametrize("umask", [None, 0o027], ids=["plain", "launched"])
    def test_the_environment_is_complete(self, umask: int | None):
        context = ExecContext(env=(("GREETING", "hello"), ("ODD", "\udcff")), umask=umask)
        code = "import os; e = os.environb; e.pop(b'LC_CTYPE', 0); print(sorted(e.items()))"
        assert said(code, context=context) == "[(b'GREETING', b'hello'), (b'ODD', b'\\xff')]\n"

    def test_an_environment_may_be_large(self):
        context = ExecContext(env=tuple((f"N{n}", "x" * 1000) for n in range(500)), umask=0o22)
        assert said("import os; print(len(os.environ['N499']))", context=context) == "1000\n"

    @pytest.mark.parametrize(("nice", "limit"), WAYS.values(), ids=WAYS)
    def test_no_descriptor_is_inherited_but_the_three(self, nice: int | None, limit: int):
        code = "import os; print([n for n in range(4096) if os.path.exists(f'/proc/self/fd/{n}')])"
        assert said(code, limit, ExecContext(env=ENV, nice=nice)) == "[0, 1, 2]\n"

    @pytest.mark.parametrize(("nice", "limit"), WAYS.values(), ids=WAYS)
    def test_it_leads_a_session_and_has_fresh_signals(self, nice: int | None, limit: int):
        code = (
            "import os, re\n"
            "print(os.getsid(0) == os.getpid())\n"
            "status = open('/proc/self/status').read()\n"
            "print([int(m, 16) & 0x7fffffff & ~(1 << 12 | 1 << 24 | 1 << 1)"
            " for m in re.findall(r'Sig(?:Blk|Ign|Cgt):\\s*(\\w+)', status)])"
        )
        assert said(code, limit, ExecContext(env=ENV, nice=nice)) == "True\n[0, 0, 0]\n"

    def test_it_is_our_child(self):
        code = "import os; print(os.getppid())"
        assert said(code, context=ExecContext(env=ENV, umask=0)) == f"{os.getpid()}\n"

    def test_folder_umask_nice_affinity(self, tmp_path: Path):
        niceness = min(19, os.nice(0) + 2)
        context = ExecContext(
            env=ENV, cwd=str(tmp_path), umask=0o027, nice=niceness, cpu_affinity=(0,), no_new_privs=True
        )
        code = (
            "import os\n"
            "print(os.getcwd(), oct(os.umask(0)), os.nice(0), os.sched_getaffinity(0))\n"
            "print('NoNewPrivs:\\t1' in open('/proc/self/status').read())"
        )
        assert said(code, context=context) == f"{tmp_path} 0o27 {niceness} {{0}}\nTrue\n"

    def test_limits_hold_for_soft_and_hard(self):
        context = ExecContext(env=ENV, rlimits=(("nofile", 123), ("core", 0)))
        code = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE))"
        assert said(code, context=context) == "(123, 123) (0, 0)\n"

    def test_an_endless_number_of_files_is_the_hard_limit(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        context = ExecContext(env=ENV, rlimits=(("nofile", -1),))
        code = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
        assert said(code, context=context) == f"{hard}\n"

    def test_the_supervisors_own_file_limit_is_not_passed_on(self):
        code = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
        assert said(code, soft_limit=777) == "777\n"

    def test_the_kernels_killer_can_be_told_whom_to_take_first(self):
        context = ExecContext(env=ENV, oom_score_adj=500)
        assert said("print(open('/proc/self/oom_score_adj').read(), end='')", context=context) == "500\n"

    @ROOT
    def test_another_user_with_his_groups(self):
        assert identity(user="nobody") == ["nobody", "nogroup", "nogroup"]

    @ROOT
    def test_a_user_by_number_without_our_groups(self):
        assert identity(user="54321", group="54322") == ["54321", "54322", "54322"]

    def test_standard_input_is_nothing(self):
        assert said("import sys; print(repr(sys.stdin.read()))") == "''\n"

    def test_a_shell_gets_the_text_as_it_is(self):
        def shell(pools: PoolHarness) -> WatcherSpec:
            context = ExecContext(env=ENV)
            return spec(Command("echo $((1 + 2)) $0 |", "tr 3 4", True, "zero", context, PIPED))

        async def play(pools: PoolHarness) -> None:
            pool = pools.pool(shell(pools))
            await pool.ended(pool.spawn())
            assert pools.written["stdout"] == b"4 zero\n"

        run(play)


class TestSockets:
    CODE = "import os; print([n for n in range(3, 4096) if os.path.exists(f'/proc/self/fd/{n}')])"

    @pytest.mark.parametrize("nice", [None, 1], ids=["plain", "launched"])
    def test_only_those_that_are_named_under_their_numbers(self, nice: int | None):
        async def play(pools: PoolHarness) -> None:
            with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as api:
                pools.sockets = {"web": web.fileno(), "api": api.fileno()}
                context = ExecContext(env=ENV, nice=nice)
                code = f"import sys; print(sys.argv[1]); {self.CODE}"
                named = pools.pool(spec(command(code, "$(circus.sockets.WEB)", context=context, stdio=PIPED)))
                await named.ended(named.spawn())
                assert pools.written["stdout"].decode() == f"{web.fileno()}\n[{web.fileno()}]\n"

                pools.written["stdout"] = b""
                listed = spec(command(self.CODE, context=context, stdio=PIPED), sockets=("api",))
                pool = pools.pool(listed)
                await pool.ended(pool.spawn())
                assert pools.written["stdout"].decode() == f"[{api.fileno()}]\n"

                pools.written["stdout"] = b""
                every = command(self.CODE, context=context, stdio=PIPED, all_sockets=True)
                pool = pools.pool(spec(every))
                await pool.ended(pool.spawn())
                assert pools.written["stdout"].decode() == f"{sorted((web.fileno(), api.fileno()))}\n"

        run(play)

    def test_one_can_be_the_standard_input(self):
        async def play(pools: PoolHarness) -> None:
            with socket.create_server(("127.0.0.1", 0)) as web:
                pools.sockets = {"web": web.fileno()}
                code = "import socket; print(socket.socket(fileno=0).getsockname()[1])"
                target = command(code, context=ExecContext(env=ENV), stdio=replace(PIPED, stdin_socket="web"))
                pool = pools.pool(spec(target))
                await pool.ended(pool.spawn())
                assert int(pools.written["stdout"]) == web.getsockname()[1]

        run(play)


class TestFailures:
    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            (Command("no-such-program-here"), "no-such-program-here: there is no such program on its PATH"),
            (Command("/etc/passwd"), "/etc/passwd: there is no such program, or it may not be executed"),
            (Command(""), "cmd is empty"),
            (Command("echo 'open"), 'cmd "echo \'open": No closing quotation'),
            (Command("echo", "$(circus.sockets.web)"), "there is no socket web"),
            (Command("echo", stdio=Stdio(stdin_socket="web")), "stdin_socket: there is no socket web"),
            (Command("echo", context=ExecContext(user="no-one")), "uid, gid: there is no user 'no-one'"),
            (Command("echo", context=ExecContext(group="no-one")), "uid, gid: there is no group 'no-one'"),
            (Command("no-such", context=ExecContext(nice=1)), "no-such: No such file or directory"),
            (
                Command("echo", context=ExecContext(cwd="/nowhere")),
                "working_dir: No such file or directory",
            ),
            (
                Command("echo", context=ExecContext(rlimits=(("x", 1),))),
                "umask, rlimit: there is no limit 'x'",
            ),
            (
                Command("echo", context=ExecContext(cpu_affinity=(9999,))),
                "nice, cpu_affinity, oom_score_adj: ",
            ),
        ],
    )
    def test_each_says_what_is_wrong(self, target: Command, reason: str):
        async def play(pools: PoolHarness) -> None:
            before = len(os.listdir("/proc/self/fd"))
            pool = pools.pool(
                spec(replace(target, stdio=replace(target.stdio, stdout=StreamSpec("QueueStream"))))
            )
            pool.spawn()
            assert (await pool.failed()).startswith(reason)
            await until(lambda: len(pools.launcher.pids) <= 1, "the burial")
            pools.launcher.close()
            await until(lambda: not pools.launcher.pids, "the end of the launcher")
            assert len(os.listdir("/proc/self/fd")) <= before + 1  # /dev/null, once

        run(play)

    def test_a_launcher_that_died_is_replaced(self):
        async def play(pools: PoolHarness) -> None:
            pool = pools.pool(spec(Command("sleep", "60", context=ExecContext(env=ENV, umask=0))))
            _, first = await pool.spawned()
            (launcher,) = pools.launcher.pids
            os.kill(launcher, signal.SIGKILL)
            await until(lambda: not pools.launcher.pids, "its end")
            _, second = await pool.spawned()
            assert lives(first)
            assert lives(second)

        run(play)

    @pytest.mark.parametrize("umask", [0, None], ids=["launched", "launched plainly"])
    def test_many_at_once_are_all_made(self, umask: int | None):
        async def play(pools: PoolHarness) -> None:
            pool = pools.pool(spec(Command("true", context=ExecContext(env=ENV, umask=umask))))
            keys = [pool.spawn(wid) for wid in range(1, 61)]
            assert [await pool.ended(key) for key in keys] == [messages.ExitStatus(code=0)] * 60

        run(play, soft_limit=777)

    def test_what_is_launched_plainly_and_is_no_program_says_so(self, tmp_path: Path):
        (tmp_path / "odd").write_text("no program")
        (tmp_path / "odd").chmod(0o755)

        async def play(pools: PoolHarness) -> None:
            pool = pools.pool(spec(Command(str(tmp_path / "odd"), context=ExecContext(env=ENV))))
            pool.spawn()
            assert await pool.failed() == f"{tmp_path}/odd: Exec format error"

        run(play, soft_limit=777)


class TestReadiness:
    def ready(self, readiness: Readiness, target: Command, hold: Any = None) -> None:
        """Fail unless Ready comes, and only after `hold()` if that is given."""

        async def play(pools: PoolHarness) -> None:
            pool = pools.pool(spec(target, ready=readiness))
            key, _ = await pool.spawned()
            if hold is not None:
                assert not pool.has(messages.Ready, key)
                hold()
            await until(lambda: pool.has(messages.Ready, key), "readiness")
            pool.pool.kill(key, "a test")
            await pool.ended(key)

        run(play)

    SLEEP = Command("sleep", "60", context=ExecContext(env=ENV))

    def test_spawn(self):
        self.ready(Readiness(), self.SLEEP)

    def test_delay(self):
        self.ready(Readiness("delay", "0.05"), self.SLEEP)

    def test_file(self, tmp_path: Path):
        self.ready(Readiness("file", str(tmp_path / "x")), self.SLEEP, (tmp_path / "x").touch)

    def test_tcp(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{server.getsockname()[1]}"
            self.ready(Readiness("tcp", address), self.SLEEP, server.listen)

    def test_http_only_when_it_succeeds(self):
        answers = [503, 503, 204]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answers.pop(0))
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            self.ready(Readiness("http", f"http://127.0.0.1:{server.server_port}/health"), self.SLEEP)
            server.shutdown()
            thread.join()
        assert answers == []

    @pytest.mark.parametrize("nice", [None, 1], ids=["plain", "launched"])
    def test_notify(self, nice: int | None):
        code = (
            "import os, socket, time\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])\n"
            "s.send(b'STATUS=warm\\nREADY=1')\n"
            "time.sleep(60)"
        )
        self.ready(Readiness("notify"), command(code, context=ExecContext(env=ENV, nice=nice)))

    def test_log(self):
        code = "import time; print('cold\\nlistening on 8000', flush=True); time.sleep(60)"
        self.ready(Readiness("log", r"^listening on \d+"), command(code, context=ExecContext(env=ENV)))


# Says its children's numbers and waits; each child sleeps for a minute.
FAMILY = (
    "import os, subprocess, sys, time, signal\n"
    "{extra}\n"
    "children = [subprocess.Popen(['sleep', '60'], start_new_session=new) for new in (False, True)]\n"
    "print(*(child.pid for child in children), flush=True)\n"
    "time.sleep(60)"
)


async def family(pools: PoolHarness, extra: str = "", **more: Any) -> tuple[Any, int, int, list[int]]:
    """Return pool, key, process and its two children, of which the second leads a session of its own."""
    context = more.pop("context", ExecContext(env=ENV))
    target = command(FAMILY.format(extra=extra), context=context, stdio=PIPED)
    pool = pools.pool(spec(target, **more))
    key, pid = await pool.spawned()
    await until(lambda: pools.written["stdout"].endswith(b"\n"), "the children")
    return pool, key, pid, [int(word) for word in pools.written["stdout"].split()]


class TestEnd:
    def test_children_do_not_survive_a_parent_that_exits_first(self):
        """Circus leaves them (#1044): it kills descendants of a process that is there no more."""

        async def play(pools: PoolHarness) -> None:
            pool, key, pid, children = await family(pools)
            pool.pool.drain(key, 5.0)
            assert await pool.ended(key) == messages.ExitStatus(signal=signal.SIGTERM)
            assert not any(map(lives, [pid, *children]))

        run(play)

    def test_children_have_the_rest_of_the_time(self, tmp_path: Path):
        done = tmp_path / "done"
        child = f"trap 'echo > {done}; exit' TERM; echo up; while :; do sleep 0.01; done"

        async def play(pools: PoolHarness) -> None:
            target = Command(f'sh -c "{child}" & wait', shell=True, stdio=PIPED)
            pool = pools.pool(spec(replace(target, context=ExecContext(env=ENV))))
            key, _ = await pool.spawned()
            await until(lambda: pools.written["stdout"], "the child")
            pool.pool.drain(key, 10.0)
            await pool.ended(key)
            assert done.exists()

        run(play)

    def test_orphans_are_found_although_an_event_loop_ended_that_had_just_looked(self):
        loop = asyncio.new_event_loop()
        loop.call_soon(loop.stop)
        loop.call_soon(Process.adopted)
        loop.run_forever()
        loop.close()
        self.test_a_parent_that_crashes_leaves_nothing()

    def test_a_parent_that_crashes_leaves_nothing(self):
        async def play(pools: PoolHarness) -> None:
            pool, key, pid, (child, _) = await family(pools)
            os.kill(pid, signal.SIGSEGV)
            await pool.ended(key)
            assert not lives(child)

        run(play)

    def test_what_does_not_listen_is_killed_with_all_below(self):
        async def play(pools: PoolHarness) -> None:
            extra = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
            pool, key, pid, children = await family(pools, extra)
            pool.pool.drain(key, 0.0)
            pool.pool.kill(key, "a test")
            assert await pool.ended(key) == messages.ExitStatus(signal=signal.SIGKILL)
            assert not any(map(lives, [pid, *children]))
            told = [notice.signum for _, notice in pools.notices if isinstance(notice, messages.Signalled)]
            assert told == [signal.SIGTERM, signal.SIGKILL]

        run(play)

    def test_signals_come_in_sequence(self):
        code = (
            "import os, signal, sys, time\n"
            "INT, TERM, QUIT = signal.SIGINT, signal.SIGTERM, signal.SIGQUIT\n"
            # Of signals that wait for a process which pauses, Python handles that of the lowest number.
            "signal.pthread_sigmask(signal.SIG_BLOCK, [TERM, QUIT])\n"
            "def heard(word, then):\n"
            "    os.write(1, word)\n"  # since print() must not be entered twice
            "    signal.pthread_sigmask(signal.SIG_UNBLOCK, [then])\n"
            "signal.signal(INT, lambda *_: heard(b'int\\n', TERM))\n"
            "signal.signal(TERM, lambda *_: heard(b'term\\n', QUIT))\n"
            "signal.signal(QUIT, lambda *_: sys.exit(7))\n"
            "print('up', flush=True)\n"
            "while True: time.sleep(1)"
        )
        policy = StopPolicy(signal.SIGINT, 3.0, then=(signal.SIGTERM, signal.SIGQUIT))

        async def play(pools: PoolHarness) -> None:
            target = command(code, context=ExecContext(env=ENV), stdio=PIPED)
            pool = pools.pool(spec(target, stop=policy))
            key, _ = await pool.spawned()
            await until(lambda: pools.written["stdout"] == b"up\n", "the process")
            began = time.monotonic()
            pool.pool.drain(key, 0.6)
            assert await pool.ended(key) == messages.ExitStatus(code=7)
            assert time.monotonic() - began >= 0.4
            told = [notice.signum for _, notice in pools.notices if isinstance(notice, messages.Signalled)]
            assert told == [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
            assert pools.written["stdout"] == b"up\nint\nterm\n"

        run(play)

    def test_a_command_can_stand_in_for_the_first_signal(self, tmp_path: Path):
        flag = tmp_path / "flag"
        code = f"import os, sys, time\nwhile not os.path.exists('{flag}'): time.sleep(0.01)\nsys.exit(3)"

        async def play(pools: PoolHarness) -> None:
            policy = StopPolicy(command=f"echo $BIGTOP_PID > {flag}.part; mv {flag}.part {flag}")
            pool = pools.pool(spec(command(code, context=ExecContext(env=ENV)), stop=policy))
            key, pid = await pool.spawned()
            pool.pool.drain(key, 10.0)
            assert await pool.ended(key) == messages.ExitStatus(code=3)
            assert flag.read_text() == f"{pid}\n"

        run(play)

    def test_direct_children_can_be_signalled_too(self):
        async def play(pools: PoolHarness) -> None:
            extra = "signal.signal(signal.SIGUSR1, lambda *_: None)"
            policy = StopPolicy(signal.SIGUSR1, children=True)
            pool, key, pid, children = await family(pools, extra, stop=policy)
            pool.pool.drain(key, 10.0)
            await until(lambda: not any(map(lives, children)), "the end of the children")
            assert lives(pid)
            pool.pool.kill(key, "a test")
            await pool.ended(key)

        run(play)

    def test_an_end_before_the_beginning(self):
        """The launcher has not answered yet when the process is asked to go."""

        async def play(pools: PoolHarness) -> None:
            context = ExecContext(env=ENV, umask=0)
            pool = pools.pool(spec(Command("sleep", "60", context=context)))
            asked, doomed = pool.spawn(1), pool.spawn(2)
            pool.pool.drain(asked, 5.0)
            pool.pool.kill(doomed, "a test")
            assert await pool.ended(asked) == messages.ExitStatus(signal=signal.SIGTERM)
            assert await pool.ended(doomed) == messages.ExitStatus(signal=signal.SIGKILL)

        run(play)

    def test_single_signals_reach_whom_they_are_meant_for(self):
        async def play(pools: PoolHarness) -> None:
            pool, key, pid, (child, session) = await family(pools)
            pool.pool.signal(key, signal.SIGKILL, children=True)
            await until(lambda: not lives(child) and not lives(session), "the end of the children")
            assert lives(pid)
            pool.pool.signal(key, signal.SIGTERM)
            assert await pool.ended(key) == messages.ExitStatus(signal=signal.SIGTERM)

        run(play)


def _has_cgroups() -> bool:
    try:
        cgroups.remove(cgroups.create("probe", Cgroup()))
    except OSError:
        return False
    return True


class TestForeign:
    """A process whose parent is somebody else."""

    # As wait(2) tells it; the kernel tells it to others from 6.15 on.
    TELLS = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (6, 15)
    LOST = messages.ExitStatus(code=255, is_lost=True)

    @pytest.mark.parametrize(
        ("end", "status"),
        [("exit 7", messages.ExitStatus(code=7)), ("kill -9 $$", messages.ExitStatus(signal=9))],
    )
    def test_its_end_is_learned_and_how_where_the_kernel_tells(self, end: str, status: messages.ExitStatus):
        script = f"exec 3<&0; sh -c 'read line; {end}' <&3 & echo $!; wait"
        assert self.ended(["sh", "-c", script]) == (status if self.TELLS else self.LOST)

    def test_nobody_collects_it(self):
        """Its parent never asks: then nobody can tell, which is no reason to wait for ever."""
        program = "import os, time\npid = os.fork()\nif not pid: os._exit(3)\n"
        program += "print(pid, flush=True); time.sleep(1000)"
        assert self.ended([sys.executable, "-c", program]) == self.LOST
        assert str(self.LOST) == "exit status unknown"

    @staticmethod
    def ended(command: list[str]) -> messages.ExitStatus:
        """Return how the child of a command ended that prints its number."""

        async def play(pid: int, go: Any) -> messages.ExitStatus:
            ended: asyncio.Future[messages.ExitStatus] = asyncio.get_running_loop().create_future()
            process = Process(pid, ended.set_result, os.pidfd_open(pid), is_foreign=True)
            assert process.running
            assert process.heirs() == [pid]  # its siblings, of which there are none
            go.write(b"now\n")
            return await asyncio.wait_for(ended, 30)

        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as parent:
            try:
                assert parent.stdout is not None
                return asyncio.run(play(int(parent.stdout.readline()), parent.stdin))
            finally:
                parent.kill()


class TestCgroup:
    @pytest.mark.skipif(not _has_cgroups(), reason="no cgroup may be made here")
    def test_even_a_daemon_that_left_the_session_is_ended(self):
        async def play(pools: PoolHarness) -> None:
            code = (
                "import os, time\n"
                "if os.fork() == 0:\n"
                "    os.setsid()\n"
                "    if os.fork() == 0:\n"
                "        print(os.getpid(), flush=True)\n"
                "        time.sleep(60)\n"
                "    os._exit(0)\n"
                "os.wait()\n"
                "time.sleep(60)"
            )
            context = ExecContext(env=ENV, cgroup=Cgroup())
            pool = pools.pool(spec(command(code, context=context, stdio=PIPED)))
            key, _pid = await pool.spawned()
            await until(lambda: pools.written["stdout"].endswith(b"\n"), "the daemon")
            daemon = int(pools.written["stdout"])
            pool.pool.drain(key, 5.0)
            await pool.ended(key)
            assert not lives(daemon)
            assert not list(cgroups._home().glob(f"bigtop-{os.getpid()}-*"))

        run(play)

    @pytest.mark.skipif(not _has_cgroups(), reason="no cgroup may be made here")
    @pytest.mark.parametrize(
        ("limit", "file", "written"),
        [
            (Cgroup(cpus=1.5), "cpu.max", "150000 100000"),
            (Cgroup(memory=1 << 30), "memory.max", str(1 << 30)),
            (Cgroup(pids=50), "pids.max", "50"),
        ],
    )
    def test_limits_of_a_control_group_are_written_to_it(self, limit: Cgroup, file: str, written: str):
        try:
            group = cgroups.create("limits", limit)
        except OSError as error:
            pytest.skip(f"{error}")
        try:
            assert Path(group, file).read_text().strip() == written
        finally:
            cgroups.remove(group)

    def test_a_limit_that_cannot_be_had_is_an_error_or_a_warning(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(cgroups, "_home", lambda: Path("/proc"))

        async def play(pools: PoolHarness) -> None:
            def target(*, required: bool) -> Command:
                limits = Cgroup(memory=1 << 30, required=required)
                return Command("true", context=ExecContext(env=ENV, cgroup=limits))

            strict = pools.pool(spec(target(required=True)))
            strict.spawn()
            assert (await strict.failed()).startswith("cgroup: /proc")
            mild = pools.pool(spec(target(required=False)))
            await mild.ended(mild.spawn())
            assert [type(notice) for _, notice in pools.notices] == [messages.Degraded]

        run(play)
