# A child as its parent sees it: started, signalled, noticed when it ends, ended with all that it left.
#
# Rules: no policy (policy/watcher.py decides), no waiting. A death is learned from a pidfd in the event loop,
# so nothing polls, and the process is reaped through that same descriptor: a pid that was used again can
# neither be signalled nor waited for by mistake (pidfd_open(2), waitid(2) with P_PIDFD).

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.processes import descendants
from bigtop.system import kernel
from bigtop.system.oom import Witness

_UNKNOWN = 255  # an exit status that nobody can tell any more
_LOOK = 0.05  # seconds between two looks at how a process ended whose parent is somebody else
_LOOKS = 20
_TO_DEFAULT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def spawn(
    argv: list[str],
    env: Mapping[str, str],
    fds: Sequence[int] = (),
    *,
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
    program: str | None = None,
) -> int:
    """Start `argv` in a session of its own, with the descriptors `fds` under their numbers; return its pid.

    `program` is a path, argv[0] if it is not given. Raises OSError when it cannot be executed.

    posix_spawn(3) shares the parent's memory until the exec, so its price does not grow with the parent.
    A dup2 of a descriptor onto itself is how its close-on-exec flag is cleared in the child only.
    """
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((stdin, stdout, stderr))]
    actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds]
    return os.posix_spawn(
        program or argv[0],
        argv,
        env,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_TO_DEFAULT,
    )


class Process:
    """One running child of ours, or one of a supervisor that is gone (`is_foreign`). All methods: event loop
    only."""

    all_pids: ClassVar[set[int]] = set()
    # As they were in this turn of that loop, which may have ended with it.
    _adopted: ClassVar[tuple[asyncio.AbstractEventLoop, list[int]] | None] = None
    _witness: ClassVar[Witness | None] = None

    def __init__(
        self,
        pid: int,
        on_exit: Callable[[ExitStatus], None],
        pidfd: int | None = None,
        *,
        is_foreign: bool = False,
    ) -> None:
        self.pid = pid
        self.is_foreign = is_foreign
        self._looks = _LOOKS  # that are left at how it ended
        known = descendants.stat(pid) if is_foreign else None
        self._parent = known.parent if known is not None else 1  # where its orphans go, too
        self.on_exit = on_exit
        self._pidfd = os.pidfd_open(pid) if pidfd is None else pidfd
        self._is_killed = False  # by us
        self.all_pids.add(pid)
        if Process._witness is None:
            Process._witness = Witness.of_ours()
        asyncio.get_running_loop().add_reader(self._pidfd, self._exited)

    @classmethod
    def adopt(cls, pid: int, on_exit: Callable[[ExitStatus], None]) -> Process | None:
        """Return a process that we did not start ourselves, once it is our child; None if it is not, or is
        known already: then it is none of the caller's. OSError when no descriptor is free."""
        if pid in cls.all_pids:
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        try:
            # Only for children of ours is there anything to wait for. This looks and takes nothing.
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            os.close(pidfd)
            return None
        return cls(pid, on_exit, pidfd)

    @classmethod
    def resumed(cls, pid: int, on_exit: Callable[[ExitStatus], None]) -> Process:
        """Return a process that we started before an exec; OSError when it is no child of ours."""
        process = cls.adopt(pid, on_exit)
        if process is None:
            raise ProcessLookupError(f"process {pid} is no child of ours")
        return process

    def _exited(self) -> None:
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # not ours, or somebody in this program waited for all children
            self._ended_elsewhere()
            return
        if result is None:
            return
        if result.si_code == os.CLD_EXITED:
            self._over(ExitStatus(code=result.si_status))
        else:
            self._over(
                ExitStatus(signal=result.si_status, out_of_memory=self._kernels_part(result.si_status))
            )

    def _ended_elsewhere(self) -> None:
        """Learn from the kernel how it ended; that knows once its parent has collected it."""
        loop = asyncio.get_running_loop()
        try:
            status = kernel.status_of(self._pidfd)
        except OSError:  # it does not tell
            self._looks, status = 0, None
        if status is None and self._looks:
            self._looks -= 1
            loop.remove_reader(self._pidfd)
            loop.call_later(_LOOK, self._ended_elsewhere)
            return
        if status is None:
            self._over(ExitStatus(code=_UNKNOWN, is_lost=True))
            return
        code = os.waitstatus_to_exitcode(status)
        self._over(ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code))

    def _kernels_part(self, signum: int) -> str:
        if signum != signal.SIGKILL or self._is_killed or Process._witness is None:
            return ""
        return Process._witness.of_death(asyncio.get_running_loop().time())

    def _over(self, status: ExitStatus) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self.all_pids.discard(self.pid)
        self.on_exit(status)

    @classmethod
    def adopted(cls) -> list[int]:
        """Return the children that came to us as orphans.

        The list of all our children is long, and a thousand that end together would ask for it a thousand
        times. One look serves a turn of the event loop: whoever's death is told in it was dead before, and
        had left its children to us.
        """
        loop = asyncio.get_running_loop()
        if cls._adopted is None or cls._adopted[0] is not loop:
            found = [pid for pid in descendants.children(os.getpid()) if pid not in cls.all_pids]
            cls._adopted = loop, found
            loop.call_soon(cls._forget_adopted)
        return cls._adopted[1]

    @classmethod
    def _forget_adopted(cls) -> None:
        cls._adopted = None

    def heirs(self) -> list[int]:
        """Return the processes among which its orphans are, once it is gone."""
        return self.adopted() if not self.is_foreign else descendants.children(self._parent)

    @property
    def pidfd(self) -> int:
        """The descriptor that stands for it; negative once it is gone."""
        return self._pidfd

    @property
    def running(self) -> bool:
        return self._pidfd >= 0

    def send_signal(self, number: int) -> None:
        """Signal the process itself; nothing happens when it is gone."""
        if self.running:
            self._is_killed |= number == signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def send(self, number: int, *, children: bool = False, recursive: bool = False) -> None:
        """Signal the process; `children`: only its direct ones; `recursive`: it and all its descendants."""
        if not self.running:
            return
        kin = descendants.descendants(self.pid) if recursive else []
        if children and not recursive:
            descendants.send(descendants.named(descendants.children(self.pid)), number)
        else:
            self.send_signal(number)
        descendants.send(kin, number)


def anybody_ended() -> bool:
    """Say whether there is a dead child to be collected, by us or by whoever waits for it."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def reap_strangers(known: Callable[[int], bool]) -> bool:
    """Collect dead children that nobody here started: orphans that came to us as subreaper or as PID 1.

    waitid(2) with WNOWAIT only looks, so that a child of ours is left to its own pidfd. The kernel keeps
    showing the same first zombie, so the search ends at one of ours. Returns whether it has to be repeated,
    once that one was collected.
    """
    while True:
        try:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if seen is None:
            return False
        if known(seen.si_pid):
            return True
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, seen.si_pid, os.WEXITED | os.WNOHANG)
