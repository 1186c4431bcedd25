# An application that turns hostile: at its import, when the file next to it says so, or in a worker, when a
# request says so. It has all that a takeover gives: the descriptors of its process, and time.

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import random
import resource
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bigtop.ipc import lifeline, scoreboard
from bigtop.ipc.scoreboard import RequestPhase, Slot

Attack = Callable[[], None]


def _line(fd: int) -> socket.socket:
    line = socket.socket(fileno=os.dup(fd))
    line.setblocking(True)
    return line


def _lines() -> list[socket.socket]:
    """Every line on which this process can say something to somebody."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            line = socket.socket(fileno=os.dup(int(name)))
            if line.type == socket.SOCK_SEQPACKET:
                line.setblocking(False)
                found.append(line)
    return found


def _say(line: socket.socket, data: bytes, fds: tuple[int, ...] = (), times: int = 1) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    with contextlib.suppress(OSError):
        for _ in range(times):
            line.sendmsg([data], rights)


def _message(name: str, **values: object) -> bytes:
    return json.dumps([name, values]).encode()


# ---- in a worker


def cut_memory() -> None:
    """Make every memory file as short as it gets."""
    for name in os.listdir("/proc/self/fd"):
        for size in (0, 1, 1 << 24):
            with contextlib.suppress(OSError):
                os.ftruncate(int(name), size)
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/self/fd/{name}", os.O_RDWR)
            if "memfd" in os.readlink(f"/proc/self/fd/{name}"):
                os.ftruncate(fd, 0)
            os.close(fd)


def punch_memory() -> None:
    """Take the pages out of memory files, whose size stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in os.listdir("/proc/self/fd"):
        if "memfd" in _link(name):
            libc.fallocate(int(name), 0x03, ctypes.c_long(0), ctypes.c_long(1 << 20))


def _link(name: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{name}")
    return ""


def flood_descriptors() -> None:
    """Send four descriptors with each of many messages; whoever keeps one is found by its name."""
    file = os.open(__file__, os.O_RDONLY)
    for line in _lines():
        _say(line, _message("Ready", interface="wsgi"), (file,) * 4, times=6000)


def flood_noise() -> None:
    for line in _lines():
        _say(line, b"\xff" * 60_000, times=2000)


def deep_json() -> None:
    for line in _lines():
        _say(line, b"[" * 60_000)


def nothing_said() -> None:
    """An empty message looks like the end of the line."""
    for line in _lines():
        _say(line, b"", times=100)


def repeated() -> None:
    for line in _lines():
        _say(line, _message("Retire", reason="\x1b[2J\n[2026] [4711] [INFO] forged"), times=5000)


def out_of_turn() -> None:
    for line in _lines():
        for data in (
            _message("Fork", key=10**30, wid=-1),
            _message("Loaded", preloaded=True, interface="wsgi", reason="x"),
            _message("ForkFailed", key=-(10**30), reason="y" * 60_000),
            _message("Born"),
            _message("Drain", grace=1e308),
        ):
            _say(line, data)


def unknown_phase() -> None:
    _scribble(lambda slot, place: slot._heads[place].__setitem__(4, 99))


def impossible_numbers() -> None:
    most = 2**64 - 1

    def write(slot: Slot, place: int) -> None:
        slot._heads[place][1] = most
        for word in range(scoreboard.WORDS):
            slot.words[word] = most

    _scribble(write)


def _scribble(write: Callable[[Slot, int], None]) -> None:
    for memory in _memories():
        with contextlib.suppress(Exception):
            slot = Slot(memory)
            write(slot, slot.begin(1, b"GET", b"\x1b[2J", b"/\nforged"))


def _memories() -> Iterable[memoryview]:
    """All shared memory that this process can write to, by descriptor or by mapping."""
    for name in os.listdir("/proc/self/fd"):
        if "memfd:bigtop" in _link(name):
            for path in (None, f"/proc/self/fd/{name}"):
                with contextlib.suppress(OSError, ValueError):
                    fd = int(name) if path is None else os.open(path, os.O_RDWR)
                    yield memoryview(mmap.mmap(fd, 0))
    import gc

    for found in gc.get_objects():
        if isinstance(found, mmap.mmap):
            with contextlib.suppress(TypeError, ValueError):
                yield memoryview(found)


def forge_siblings() -> None:
    """Write wherever a record of a worker could be, ours too, that a call has been running since long ago."""
    stuck = scoreboard._RECORD.pack(
        9, 1, 0, RequestPhase.APP, 0, 0, 0, b"GET", b"c", b"/forged\n\x1b[2J", b"", 9
    )
    for memory in _memories():
        if memory.readonly or len(memory) % scoreboard.SIZE:
            continue
        for slot in range(0, len(memory), scoreboard.SIZE):
            for at in scoreboard._PLACES:
                with contextlib.suppress(TypeError, ValueError):
                    memory[slot + at : slot + at + len(stuck)] = stuck


def close_everything() -> None:
    os.closerange(3, 4096)
    time.sleep(3600)


def fill_stderr() -> None:
    line = b"x" * 65_536
    with contextlib.suppress(OSError):  # nobody reads any more
        for _ in range(400):
            os.write(2, line)


def signal_parent() -> None:
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(PermissionError):
            os.kill(os.getppid(), number)


def limit_parent() -> None:
    with contextlib.suppress(PermissionError):
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 8))


def junk_for_others() -> None:
    """Everything but a connection, to all queues: of siblings, and of neighbours on the same socket."""
    file = os.open(__file__, os.O_RDONLY)
    listener, (one, _other) = socket.socket(), socket.socketpair()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    datagram = socket.socket(type=socket.SOCK_DGRAM)
    loose = socket.socket()
    said = json.dumps([["10.0.0.1\r\nX: y", 99], ["1.2.3.4", 10**30]]).encode()
    told = struct.pack("!H", len(said)) + said
    for line in _lines():
        for fds in ((), (file,), (file, file), (listener.fileno(),), (datagram.fileno(),), (loose.fileno(),)):
            for data in (
                b"",
                b"c",
                b"\0\0",
                b"\xff\xff",
                b"\0\x05[[[[[",
                struct.pack("!H", len(said)) + said,
            ):
                _say(line, data, fds, times=3)
        for data in (b"\0\x64" + b"[" * 100, told + b"GET / HTTP/1.1\r\n"):
            _say(line, data, (one.fileno(),), times=3)
        _say(line, b"\0\0" + b"x" * 180_000, (one.fileno(),), times=3)


def anything() -> None:
    """Whatever chance brings, with descriptors of all kinds, on every line and into every queue."""
    source = random.Random(seed := int.from_bytes(os.urandom(4)))
    os.write(2, b"anything: the seed is %d\n" % seed)
    listener = socket.create_server(("127.0.0.1", 0))
    one, other = socket.socketpair()
    pidfd, null = os.pidfd_open(os.getpid()), os.open("/dev/null", os.O_RDWR)
    fds = (listener.fileno(), one.fileno(), other.fileno(), pidfd, null)
    for line in (lines := _lines()) + source.choices(lines, k=400):
        _say(line, _any_message(source), tuple(source.choices(fds, k=source.randrange(4))))


def _any_message(source: random.Random) -> bytes:
    if source.random() < 0.3:
        return source.randbytes(source.choice((0, 1, 2, 40, 60_000)))
    name = source.choice((*lifeline._TYPES, "Message", "\ud800"))
    keys = source.choices(("key", "wid", "pid", "interface", "reason", "message", "traceback", "grace"), k=3)
    values = (None, True, -1, 10**30, 1e308, float("nan"), "", "wsgi", "\ud800\n\x1b[2J", [[]], {"a": 1})
    right = {"key": 1, "wid": 1} if name == "Fork" else {"interface": "asgi"} if name == "Ready" else {}
    chosen = right if source.random() < 0.3 else {key: source.choice(values) for key in keys}
    return json.dumps([name, chosen]).encode()


def _pipes() -> list[int]:
    """The write ends of pipes: standard output and error, what wakes us, and the way of our reports."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if _link(name).startswith("pipe:") and fcntl.fcntl(int(name), fcntl.F_GETFL) & os.O_ACCMODE:
                found.append(int(name))
    return found


def flood_reports() -> None:
    """Write anything where a report is to come from, for a while: what looks like one, and what does not."""
    deep = b"\x1e" + b"[" * 4000 + b"\n"
    odd = b'\x1e["Begun", 18446744073709551615]\n\x1e["Stack", "\\u001b[2J", "\\n", -1, 1, null]\n'
    real = (
        b'\x1e["Begun", 9000000000000000000]\n'
        + b'\x1e["Stack", "thread", "\\u001b[2J\\n", 1, "", ""]\n' * 50
    )
    pieces = (
        b"\x1e" * 4000,
        b"\x1e\n" * 2000,
        deep,
        odd,
        real,
        b"\x1e" + b"x" * 4000,
        b"Thread 0x1 (mo\x1b[2J\n",
    )
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for pipe in _pipes():
            with contextlib.suppress(OSError):
                os.set_blocking(pipe, False)
                os.write(pipe, random.choice(pieces))


WORKER_ATTACKS: tuple[Attack, ...] = (
    cut_memory,
    punch_memory,
    flood_descriptors,
    flood_noise,
    deep_json,
    nothing_said,
    repeated,
    out_of_turn,
    unknown_phase,
    impossible_numbers,
    forge_siblings,
    fill_stderr,
    flood_reports,
    signal_parent,
    limit_parent,
    junk_for_others,
    anything,
    close_everything,
)


# ---- at the import, in the fork server


def _control() -> socket.socket:
    return _line(int(sys.argv[1]))


def _answer_orders(answer: Callable[[int, tuple[int, ...]], None]) -> None:
    """Be ready for orders, and then answer each with `answer(key, descriptors)`, for ever."""
    control = _control()
    lifeline.send(control, lifeline.Loaded(True, "wsgi", ""))
    while (received := lifeline.receive(control, 8)) is not None:
        message, fds = received
        if isinstance(message, lifeline.Fork):
            answer(message.key, fds)
    time.sleep(3600)


def name_a_victim() -> None:
    """Say of a process of somebody else, as the old protocol had it, that it is the worker."""
    victim = int(Path(os.environ["VICTIM"]).read_text())
    _answer_orders(lambda key, _fds: _say(_control(), _message("Forked", key=key, pid=victim)))


def name_nobody() -> None:
    _answer_orders(lambda key, _fds: _say(_control(), _message("Forked", key=key, pid=10**30)))


def be_the_worker() -> None:
    """Report in the place of a worker."""
    _answer_orders(lambda _key, fds: lifeline.send(socket.socket(fileno=fds[0]), lifeline.Born()))


def be_a_grandchild() -> None:
    """Have a process report that is not the supervisor's child."""

    def answer(_key: int, fds: tuple[int, ...]) -> None:
        if os.fork() == 0:
            lifeline.send(socket.socket(fileno=fds[0]), lifeline.Born())
            time.sleep(3600)

    _answer_orders(answer)


def sign_for_another() -> None:
    """Claim another's pid where the kernel looks, which only root may."""
    victim = int(Path(os.environ["VICTIM"]).read_text())

    def answer(_key: int, fds: tuple[int, ...]) -> None:
        line = socket.socket(fileno=fds[0])
        credentials = struct.pack("@iII", victim, os.getuid(), os.getgid())
        with contextlib.suppress(OSError):
            line.sendmsg(
                [lifeline.encode(lifeline.Born())],
                [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)],
            )
        line.close()

    _answer_orders(answer)


def newborn_descriptors() -> None:
    """Send descriptors beside the first word of what may be a worker."""
    file = os.open(__file__, os.O_RDONLY)
    _answer_orders(
        lambda _key, fds: _say(socket.socket(fileno=fds[0]), lifeline.encode(lifeline.Born()), (file,) * 4)
    )


def newborn_noise() -> None:
    _answer_orders(lambda _key, fds: _say(socket.socket(fileno=fds[0]), b"[" * 60_000))


def refuse_others() -> None:
    _answer_orders(lambda _key, _fds: _say(_control(), _message("ForkFailed", key=10**30, reason="\n" * 9)))


def noise_and_exit() -> None:
    for data in (b"\xff", b"[" * 60_000, b'["Forked", {"key": 1, "pid": 1}]'):
        _say(_control(), data)
    os._exit(3)


def noise_and_stay() -> None:
    _say(_control(), b"?" * 60_000, times=50)
    time.sleep(3600)


def nothing_and_stay() -> None:
    _say(_control(), b"")
    time.sleep(3600)


def load_twice() -> None:
    for _ in range(3):
        lifeline.send(_control(), lifeline.Loaded(True, "wsgi", "\x1b[2J"))
    time.sleep(3600)


def fail_for_ever() -> None:
    _say(
        _control(),
        _message("LoadFailed", message="\x1b[2J\n[x] [1] [INFO] forged", traceback="t"),
        times=10**6,
    )
    time.sleep(3600)


def flood_control() -> None:
    file = os.open(__file__, os.O_RDONLY)
    _say(
        _control(), _message("Loaded", preloaded=True, interface="wsgi", reason=""), (file,) * 4, times=10**5
    )
    time.sleep(3600)


def leave_the_line() -> None:
    os.closerange(3, 4096)
    time.sleep(3600)


def adopt_workers() -> None:
    """Be the nearest ancestor that orphans come to, so that workers do not come to the supervisor."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def anything_and_stay() -> None:
    _say(_control(), b"\xff")  # so that it is one that fails
    anything()
    time.sleep(3600)


def two_noisy_newborns() -> None:
    """End, and only then have nonsense said for two workers at once: what the first one said closes the line
    of the second one. The supervisor sleeps meanwhile, so that it hears all of it together."""
    supervisor, fork_server = os.getppid(), os.getpid()
    lines: list[socket.socket] = []

    def answer(_key: int, fds: tuple[int, ...]) -> None:
        lines.append(socket.socket(fileno=os.dup(fds[0])))
        if len(lines) < 2:
            return
        os.kill(supervisor, signal.SIGSTOP)
        if os.fork():
            os._exit(3)
        while Path(f"/proc/{fork_server}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.001)
        for line in lines:
            _say(line, b"?")
        os.kill(supervisor, signal.SIGCONT)
        os._exit(0)

    _answer_orders(answer)


IMPORT_ATTACKS: tuple[Attack, ...] = (
    name_a_victim,
    name_nobody,
    be_the_worker,
    be_a_grandchild,
    sign_for_another,
    newborn_descriptors,
    newborn_noise,
    refuse_others,
    noise_and_exit,
    noise_and_stay,
    nothing_and_stay,
    load_twice,
    fail_for_ever,
    flood_control,
    leave_the_line,
    adopt_workers,
    anything_and_stay,
)

_BY_NAME = {attack.__name__: attack for attack in (*WORKER_ATTACKS, *IMPORT_ATTACKS, two_noisy_newborns)}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name = environ["PATH_INFO"].rpartition("/")[2]
    if name in _BY_NAME:
        # Beside the call, which is answered: what a worker does is not bound to a request.
        threading.Thread(target=_BY_NAME[name], daemon=True).start()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


if "ATTACK" in os.environ:
    with contextlib.suppress(OSError):
        _BY_NAME.get(Path(os.environ["ATTACK"]).read_text(), lambda: None)()
