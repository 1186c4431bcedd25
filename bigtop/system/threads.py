# Threads of a process as the kernel knows them: read from /proc, without the process' help.
#
# Rule 1: threads and processes vanish between two looks; what cannot be read is not known, and never an
# error. To see the system call of another process takes the right to trace it (ptrace(2)). Rule 2: what is
# read out of a process' memory may be anything: numbers of descriptors, of which few are looked at.
# Rule 3: off the event loop. These files are small and quick, but a process in trouble may make them slow.

from __future__ import annotations

import os
import platform
import re
import socket
import struct
import sys
from contextlib import suppress

from bigtop.errors import one_line
from bigtop.record import Record

_MOST = 256  # threads
_MOST_POLLED = 8  # descriptors

# The numbers of those calls in which programs wait. What is not here is told by its number.
_X86 = {
    0: "read", 1: "write", 7: "poll", 19: "readv", 20: "writev", 23: "select", 34: "pause",
    35: "nanosleep", 42: "connect", 43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg",
    47: "recvmsg", 61: "wait4", 72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync",
    128: "rt_sigtimedwait", 130: "rt_sigsuspend", 202: "futex", 230: "clock_nanosleep",
    232: "epoll_wait", 247: "waitid",
    257: "openat", 270: "pselect6", 271: "ppoll", 281: "epoll_pwait", 288: "accept4", 441: "epoll_pwait2",
}  # fmt: skip
_ARM = {
    22: "epoll_pwait", 25: "fcntl", 32: "flock", 56: "openat", 63: "read", 64: "write", 65: "readv",
    66: "writev", 72: "pselect6", 73: "ppoll", 82: "fsync", 83: "fdatasync", 95: "waitid", 98: "futex",
    101: "nanosleep", 115: "clock_nanosleep", 133: "rt_sigsuspend", 137: "rt_sigtimedwait",
    202: "accept", 203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg", 212: "recvmsg",
    242: "accept4", 260: "wait4", 441: "epoll_pwait2",
}  # fmt: skip
_CALLS = {"x86_64": _X86, "aarch64": _ARM}.get(platform.machine(), {})
_OF_ONE_DESCRIPTOR = frozenset(
    ("read", "write", "readv", "writev", "connect", "accept", "accept4", "sendto", "recvfrom", "sendmsg")
) | {"recvmsg", "fcntl", "flock", "fsync", "fdatasync"}
_POLLS = frozenset(("poll", "ppoll"))
_WORDS = {
    "futex": "waits for a lock",
    "nanosleep": "sleeps",
    "clock_nanosleep": "sleeps",
    "pause": "waits for a signal",
    "rt_sigsuspend": "waits for a signal",
    "rt_sigtimedwait": "waits for a signal",
    "wait4": "waits for a child process",
    "waitid": "waits for a child process",
    "epoll_wait": "waits for events (epoll)",
    "epoll_pwait": "waits for events (epoll)",
    "epoll_pwait2": "waits for events (epoll)",
    "select": "waits for events (select)",
    "pselect6": "waits for events (select)",
    "openat": "waits for a file to open",
}
_STATES = {"R": "runs", "T": "is stopped (SIGSTOP)", "t": "is stopped by a tracer", "Z": "has ended"}
_POLLFD = struct.Struct("@ihh")
_TCP_STATES = {
    1: "",
    2: " (connecting)",
    6: " (closed)",
    8: " (closed by the other side)",
    10: " (listening)",
}


class Thread(Record):
    """One thread: its state as ps(1) shows it, what it waits for in words, and which signals it blocks."""

    tid: int
    name: str
    state: str
    waits: str
    blocked: int

    def blocks(self, number: int) -> bool:
        return bool(self.blocked >> (number - 1) & 1)


def of(pid: int) -> list[Thread]:
    """Return the threads of a process, the main one first; none if it is gone."""
    try:
        tids = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []
    tids.sort(key=lambda tid: tid != pid)
    targets = _Targets(pid)
    found = (_thread(pid, tid, targets) for tid in tids[:_MOST])
    return [thread for thread in found if thread is not None]


def is_python(pid: int) -> bool:
    """Whether a process runs a Python interpreter, as far as its program and its libraries tell."""
    with suppress(OSError):
        if re.match(r"python|pypy", os.path.basename(os.readlink(f"/proc/{pid}/exe"))):
            return True
    return b"/libpython" in _read(f"/proc/{pid}/maps", 1 << 22)


def _thread(pid: int, tid: int, targets: _Targets) -> Thread | None:
    folder = f"/proc/{pid}/task/{tid}"
    status = _read(f"{folder}/status").decode("utf-8", "replace")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    state = fields.get("State", "")[:1]
    if not state:
        return None
    blocked = int(fields.get("SigBlk", "0"), 16)
    waits = _STATES.get(state) or _waits(folder, targets)
    if state == "D":
        waits += " (in the kernel, where no signal interrupts it)"
    return Thread(tid, one_line(fields.get("Name", "")), state, waits, blocked)


def _waits(folder: str, targets: _Targets) -> str:
    words = _read(f"{folder}/syscall").split()
    if words and words[0].lstrip(b"-").isdigit():
        number = int(words[0])
        call = _CALLS.get(number, "")
        arguments = [int(word, 16) for word in words[1:7]]
        if call in _OF_ONE_DESCRIPTOR and arguments:
            return f"waits in {call} on {targets.of(arguments[0] & 0xFFFFFFFF)}"
        if call in _POLLS and len(arguments) > 1:
            return targets.polled(arguments[0], arguments[1])
        if number >= 0:
            return _WORDS.get(call, f"waits in system call {number}")
    where = _read(f"{folder}/wchan").decode("ascii", "replace")
    return f"waits in the kernel ({one_line(where)})" if where not in ("", "0") else "waits"


class _Targets:
    """What the descriptors of one process lead to."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._sockets: dict[str, str] | None = None

    def of(self, fd: int) -> str:
        """Return what a descriptor is, in words."""
        try:
            link = os.readlink(f"/proc/{self._pid}/fd/{fd}")
        except OSError:
            return f"descriptor {fd}"
        if link.startswith("socket:["):
            inode = link[8:-1]
            if self._sockets is None:
                self._sockets = _sockets(self._pid)
            return self._sockets.get(inode, "a socket")
        if link.startswith("pipe:["):
            return "a pipe"
        return one_line(link.removeprefix("anon_inode:"))

    def polled(self, address: int, count: int) -> str:
        """Say what poll(2) waits for, whose array of `count` descriptors is at `address` in the process."""
        count = min(count, 1 << 16)
        found = []
        with suppress(OSError, OverflowError), open(f"/proc/{self._pid}/mem", "rb", buffering=0) as memory:
            data = os.pread(memory.fileno(), _POLLFD.size * min(count, _MOST_POLLED), address)
            whole = len(data) - len(data) % _POLLFD.size
            found = [fd for fd, _, _ in _POLLFD.iter_unpack(data[:whole]) if fd >= 0]
        if not found:
            return "waits for events (poll)" if count else "sleeps"
        more = f" and {count - len(found)} more" if count > _MOST_POLLED else ""
        return f"waits in poll on {', '.join(map(self.of, found))}{more}"


def _sockets(pid: int) -> dict[str, str]:
    """Return in words what the sockets of a process' network are connected to, by inode."""
    found: dict[str, str] = {}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in _read(f"/proc/{pid}/net/{name}", 1 << 24).splitlines()[1:]:
            words = line.decode("ascii", "replace").split()
            with suppress(IndexError, ValueError):
                local, remote = _address(words[1]), _address(words[2])
                state = int(words[3], 16) if name.startswith("tcp") else 1
                tells = _TCP_STATES.get(state, "")
                far = f"to {remote}" if not remote.endswith(":0") else f"at {local}"
                found[words[9]] = f"a socket {far}{tells}"
    for line in _read(f"/proc/{pid}/net/unix", 1 << 24).splitlines()[1:]:
        words = line.decode("utf-8", "replace").split(maxsplit=7)
        if len(words) >= 7:
            found[words[6]] = f"the unix socket {one_line(words[7])}" if len(words) > 7 else "a unix socket"
    return found


def _address(text: str) -> str:
    """Return 127.0.0.1:80 for the kernel's 0100007F:0050."""
    host, port = text.split(":")
    words = bytes.fromhex(host)
    raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    if sys.byteorder == "big":
        raw = words
    if len(raw) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, raw)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]:{int(port, 16)}"


def _read(path: str, most: int = 65536) -> bytes:
    """Return what a file of /proc says, at most so much; nothing when that cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            parts, size = [], 0
            while size < most and (part := file.read(65536)):
                parts.append(part)
                size += len(part)
            return b"".join(parts)
    except OSError:
        return b""
