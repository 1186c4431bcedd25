# The launcher: a small process that makes commands which need something done between fork and exec.
#
# Started by launcher_client.py as `python -m bigtop.supervisor.processes.commands.launcher LINE SOFT_LIMIT`.
# Why: limits, priorities and identities can only be set from inside the new process. Code between fork and
# exec in the supervisor would run in a copy of a large, threaded program; setting them from outside
# (prlimit(2)) comes too late for a program that is quick. This process is small and has one thread, so a fork
# is cheap and may run Python. A launcher exec'd for each command would cost an interpreter's start, ten times
# more.
#
# Rules: it forks twice, so that the command is adopted by the supervisor, its nearest subreaper; requests
# that wait share the process in the middle. A request comes as one message: its key, and with it descriptors
# of the request itself (a memory file), of the pipe that tells of a failure, and those of the command. The
# launcher ends when its line does.

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import resource
import select
import shutil
import signal
import socket
import sys

from bigtop.supervisor.policy.launch_request import LaunchRequest
from bigtop.supervisor.processes import rlimits
from bigtop.system import accounts, kernel
from bigtop.system.files import workdir

MOST_FDS = 250  # SCM_MAX_FD is 253
_MOST_AT_ONCE = 32  # requests; their answers fit into a pipe
_LONGEST_ANSWERS = 65536
_TO_DEFAULT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_PR_SET_NO_NEW_PRIVS = 38
_NOT_FOR_US = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: list[str]) -> int:
    line = socket.socket(fileno=int(argv[1]))
    line.set_inheritable(False)
    kernel.set_title("bigtop: launcher")
    kernel.die_with_parent()
    for number in _NOT_FOR_US:
        signal.signal(number, lambda _number, _frame: None)
    soft = int(argv[2])
    if soft:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    gc.disable()
    gc.freeze()
    while True:
        requests = _receive(line)
        if not requests:
            return 0
        answers = _fork_twice(requests)
        for key, fds in requests.items():
            for fd in fds:
                os.close(fd)
            with contextlib.suppress(OSError):  # the supervisor is gone: the next message says so
                line.send(b"%s %s" % (key, answers.get(key, b"0 fork: the launcher could not say why")))


def _receive(line: socket.socket) -> dict[bytes, list[int]]:
    """Wait for a request and take what else is there; return descriptors by key. Nothing: the line ended."""
    requests: dict[bytes, list[int]] = {}
    waiting = select.poll()
    waiting.register(line, select.POLLIN)
    while not requests or (len(requests) < _MOST_AT_ONCE and waiting.poll(0)):
        key, fds, _flags, _address = socket.recv_fds(line, 64, MOST_FDS)
        if not key:
            break
        for fd in fds:
            os.set_inheritable(fd, False)  # recv_fds() takes flags and ignores them
        requests[key] = fds
    return requests


def _fork_twice(requests: dict[bytes, list[int]]) -> dict[bytes, bytes]:
    """Return by key the number of the new process, or 0 and the reason why there is none."""
    read_end, write_end = os.pipe()
    try:
        middle = os.fork()
    except OSError as error:
        os.close(read_end)
        os.close(write_end)
        return dict.fromkeys(requests, f"0 fork: {error.strerror}".encode())
    if middle == 0:
        _be_in_the_middle(requests, write_end)
    os.close(write_end)
    os.waitpid(middle, 0)  # gone, so the supervisor is the parent by now and may wait
    answers = os.read(read_end, _LONGEST_ANSWERS).splitlines()
    os.close(read_end)
    return {key: answer for key, _, answer in (line.partition(b" ") for line in answers)}


def _be_in_the_middle(requests: dict[bytes, list[int]], write_end: int) -> None:
    """Make a process for each request and end."""
    try:
        for key, fds in requests.items():
            os.write(write_end, b"%s %s\n" % (key, _make(requests, key, fds)))
    finally:
        os._exit(0)


def _make(requests: dict[bytes, list[int]], key: bytes, fds: list[int]) -> bytes:
    """Return the answer to a request. A plain one is here for our limit of descriptors, which it inherits."""
    request = _read(fds)
    if request.folder is not None:
        try:
            workdir.enter(request.folder)
        except OSError as error:
            return f"0 {request.folder}: {error.strerror}".encode()
    path = shutil.which(request.argv[0], path=dict(request.env).get("PATH", os.defpath))
    if request.is_plain and path is not None:
        try:
            return b"%d " % _spawn(request, path, fds[2:])
        except (OSError, ValueError) as error:
            return f"0 {request.argv[0]}: {getattr(error, 'strerror', error)}".encode()
    try:
        pid = os.fork()
    except OSError as error:
        return f"0 fork: {error.strerror}".encode()
    if pid == 0:
        _close_all(requests, but=key)
        become(fds)
    return b"%d " % pid


def _spawn(request: LaunchRequest, path: str, given: list[int]) -> int:
    free = max((*request.fds, 2)) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, free) for fd in given]  # out of each other's way
    try:
        return os.posix_spawn(
            path,
            request.argv,
            dict(request.env),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, fd, target) for fd, target in zip(moved, request.fds, strict=True)
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_TO_DEFAULT,
        )
    finally:
        for fd in moved:
            os.close(fd)


def _read(fds: list[int]) -> LaunchRequest:
    return LaunchRequest.decode(os.pread(fds[0], os.fstat(fds[0]).st_size, 0))


# ---- in the new process only


def _close_all(requests: dict[bytes, list[int]], but: bytes) -> None:
    """Nobody's pipe stays open because of another process that hangs before its exec."""
    for key, fds in requests.items():
        for fd in fds if key != but else ():
            os.close(fd)


def become(fds: list[int]) -> None:
    """Execute the request; never returns. What fails is written to the pipe, which closes by the exec."""
    _, status, *given = fds
    step = "set-up"
    try:
        request = _read(fds)
        status = _place(given, request.fds, status)
        for name, perform in _STEPS:
            step = name
            perform(request)
        step = request.argv[0]
        os.execvpe(request.argv[0], request.argv, dict(request.env))  # noqa: S606
    except OSError as error:
        os.write(status, f"{step}: {error.strerror}".encode())
    except ValueError as error:  # an unknown limit, a NUL in an argument
        os.write(status, f"{step}: {error}".encode())
    finally:
        os._exit(127)


def _place(given: list[int], targets: tuple[int, ...], status: int) -> int:
    """Move descriptors to their numbers; return where `status` went, out of their way."""
    free = max((*targets, 2)) + 1
    status = fcntl.fcntl(status, fcntl.F_DUPFD_CLOEXEC, free)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, free) for fd in given]
    for fd, target in zip(moved, targets, strict=True):
        os.dup2(fd, target)
    return status


def _begin_session(_request: LaunchRequest) -> None:
    os.setsid()
    kernel.reset_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _join_cgroup(request: LaunchRequest) -> None:
    if request.cgroup is not None:
        with open(f"{request.cgroup}/cgroup.procs", "w") as procs:
            procs.write("0")


def _set_priorities(request: LaunchRequest) -> None:
    if request.oom_score_adj is not None:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write(str(request.oom_score_adj))
    if request.nice is not None:
        os.setpriority(os.PRIO_PROCESS, 0, request.nice)
    if request.cpu_affinity:
        os.sched_setaffinity(0, request.cpu_affinity)


def _set_limits(request: LaunchRequest) -> None:
    if request.umask is not None:
        os.umask(request.umask)
    for number, limit in rlimits.numbers(request.rlimits):
        resource.setrlimit(number, (limit, limit))


def _become_user(request: LaunchRequest) -> None:
    accounts.become(request.uid, request.gid, request.groups)


def _enter(request: LaunchRequest) -> None:
    if request.cwd is not None:
        os.chdir(request.cwd)
    if request.no_new_privs and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# In this order: what needs privileges comes before they are dropped, the folder is entered with the rights
# of the user. The name is what a failure is reported under.
_STEPS = (
    ("session", _begin_session),
    ("cgroup", _join_cgroup),
    ("nice, cpu_affinity, oom_score_adj", _set_priorities),
    ("umask, rlimit", _set_limits),
    ("uid, gid", _become_user),
    ("working_dir", _enter),
)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
