# Kernel: what Bigtop asks of the operating system beyond Python's os module.
#
# Rule: Linux-only calls stand here, each with what happens elsewhere, so that every other module can be
# imported anywhere. Nothing here knows what a worker or a watcher is.

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import mmap
import os
import resource
import signal
import socket
import struct
import sys

import setproctitle

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PTRACER = 0x59616D61
_SO_NETNS_COOKIE = 71
_PIDFD_GET_INFO = 0xC040FF0B  # ioctl(2) of a struct pidfd_info, in its first version
_PIDFD_INFO = struct.Struct("@QQ11Ii")  # what is known, control group, numbers and users, status
_PIDFD_INFO_EXIT = 8
_OPENAT2 = 437  # its number on all architectures, as with all system calls of the last years
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
# A device or a named pipe must not make us wait, nor become our terminal.
_READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def become_subreaper() -> bool:
    """Adopt orphaned descendants (prctl(2), PR_SET_CHILD_SUBREAPER); False where the system cannot.

    A process whose parent ended becomes a child of its nearest ancestor that is a subreaper, instead of a
    child of init: its death and exit status then reach us.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """Be killed when the parent ends (prctl(2), PR_SET_PDEATHSIG); False where the system cannot.

    Forgotten by fork(2) and by a change of user, so call it last. A parent that is gone already would never
    be noticed: afterwards the caller looks whether it is (os.getppid(), or a line that is cut).
    """
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def outlive_parent() -> bool:
    """Take die_with_parent() back."""
    return _prctl(_PR_SET_PDEATHSIG, 0)


def let_trace(pid: int) -> bool:
    """Let a process and its descendants trace this one where Yama allows that to ancestors alone (prctl(2),
    PR_SET_PTRACER); False where it is not there. Whoever has no right to trace is given none."""
    return _prctl(_PR_SET_PTRACER, pid)


def pid_of(fd: int) -> int | None:
    """Return the number of the process that a pidfd stands for, negative if that is gone; None: it is no
    pidfd."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), None)


def status_of(pidfd: int) -> int | None:
    """Return how a process ended, as wait(2) tells its parent, whose it need not be; None while that has not
    collected it. OSError where the system does not tell (Linux 6.15)."""
    info = bytearray(_PIDFD_INFO.size)
    _PIDFD_INFO.pack_into(info, 0, _PIDFD_INFO_EXIT, *[0] * 13)
    fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    known, *_, status = _PIDFD_INFO.unpack(info)
    return int(status) if known & _PIDFD_INFO_EXIT else None


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    return bool(_libc().prctl(option, value, 0, 0, 0) == 0)


# Looked up once, before workers are forked: what that writes to memory, each of them would write.
@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def set_title(text: str) -> None:
    """Show `text` in ps(1) and top(1) instead of the command line."""
    setproctitle.setproctitle(text)
    # The kernel's short name stands in /proc/PID/stat, where Python from 3.12 on counts blanks to find the
    # number of threads: with blanks in the name it warns that a fork of one thread has many.
    setproctitle.setthreadtitle(text.replace(": ", ":").replace(" ", "-"))


def shared_memory(name: str, size: int) -> int:
    """Return a descriptor of `size` bytes, all zero, for processes to map together; close-on-exec.

    It is sealed (fcntl(2), F_ADD_SEALS): were it made shorter by one of them, the others would be killed by
    SIGBUS as soon as they look. Elsewhere than on Linux it is a file without a name, which anybody can cut.
    """
    if sys.platform != "linux":
        from tempfile import TemporaryFile  # here: with all that hangs on it, which most never need

        with TemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            return os.dup(file.fileno())
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(fd, 0o600)  # nobody else opens it anew through /proc, with more rights than he was given
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(fd)
        raise
    return fd


def sealed_copy(name: str, data: bytes) -> int:
    """Return a descriptor of a file without a name that holds `data` and that nobody can change, not even
    who made it; close-on-exec. Elsewhere than on Linux it can be changed."""
    if sys.platform != "linux":
        from tempfile import TemporaryFile  # as above

        with TemporaryFile() as file:
            file.write(data)
            file.flush()
            return os.dup(file.fileno())
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(fd, 0o400)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(fd)
        raise
    return fd


def raise_file_limit() -> tuple[int, int]:
    """Raise the soft limit of open files to the hard one; return what it was.

    A supervisor needs descriptors for every process and pipe, a worker one for each connection. The soft
    limit of 1024 is a relic for programs that use select(2); children which may be such programs should be
    given the old limit back.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS reports "unlimited" but refuses it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard


def descriptors_left() -> int:
    """Return how many descriptors this process may still open; a large number where nobody can tell."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        # Since Linux 6.2 the size of this folder is the number of its entries, and 0 before.
        taken = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1
    except FileNotFoundError:
        return sys.maxsize
    except OSError:  # none is left to look with
        return 0
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit - taken


def reset_signals() -> None:
    """Give every signal its default action and unblock all, as a fresh program expects."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            if signal.getsignal(number) is not signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):  # glibc keeps two real-time signals for itself
            continue
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as the interpreter itself sets it
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class _StackT(ctypes.Structure):
    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


_signal_stack: mmap.mmap | None = None  # lives as long as the process


def widen_signal_stack(size: int = 1 << 20) -> bool:
    """Give signal handlers of this thread a stack of `size` bytes (sigaltstack(2)); False if that fails.

    faulthandler sets up an alternative stack of some 16 KiB on the heap, and CPython runs all its handlers on
    it (SA_ONSTACK). Handlers nest: one signal frame takes 3 to 11 KiB on a CPU with wide vector registers, so
    a handful of signals at the same moment overwrites the heap beside that stack. Call this after
    faulthandler was enabled. Pages that are never reached cost nothing. Processes that are forked have the
    same stack, and pages of their own.
    """
    global _signal_stack
    if sys.platform != "linux":
        return False
    _signal_stack = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    stack = _StackT(ctypes.addressof(ctypes.c_char.from_buffer(_signal_stack)), 0, size)
    return bool(_libc().sigaltstack(ctypes.byref(stack), None) == 0)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, path: bytes) -> int:
    """Open a file for reading that lies below the directory `folder`, whatever its path and symlinks say.

    The kernel does it in one step (openat2(2), RESOLVE_BENEATH), so that nobody can exchange a directory for
    a symlink in between. Where it cannot, no symlink is followed at all. OSError: EXDEV for what leads away.
    """
    if not _has_openat2():
        return _open_step_by_step(folder, path)
    with contextlib.suppress(BlockingIOError):  # somebody renamed something meanwhile: the kernel is not sure
        return _openat2(folder, path)
    return _openat2(folder, path)


@functools.cache
def _has_openat2() -> bool:
    """Whether Linux is new enough (5.6) and no filter such as that of an old container runtime forbids it."""
    if sys.platform != "linux":
        return False
    try:
        here = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(_openat2(here, b"."))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


def _openat2(folder: int, path: bytes) -> int:
    how = _OpenHow(_READ_ONLY, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    fd: int = _libc().syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return fd


def _open_step_by_step(folder: int, path: bytes) -> int:
    *directories, last = path.split(b"/")
    here = folder
    try:
        for name in directories:
            below = _open_name(here, name, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
            if here != folder:
                os.close(here)
            here = below
        return _open_name(here, last, _READ_ONLY)
    finally:
        if here != folder:
            os.close(here)


def _open_name(folder: int, name: bytes, flags: int) -> int:
    if name in (b"", b".", b".."):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)


def network_of(end: socket.socket) -> int:
    """Return which network namespace a socket is of (socket(7), SO_NETNS_COOKIE); 0 where nobody can tell."""
    if sys.platform != "linux":
        return 0
    try:
        return int.from_bytes(end.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
    except OSError:  # older than 5.14
        return 0


def sockets_open() -> set[str]:
    """Return the identity of every socket this process has open ("socket:[12345]"); empty without /proc."""
    return {link for link in descriptors_open().values() if link.startswith("socket:")}


def locks_held() -> int:
    """Return how many open files this process has locked (flock(2), fcntl(2)); 0 without /proc."""
    held = 0
    for fd in _names_in("/proc/self/fdinfo"):
        # The descriptor that listed the folder is closed by now.
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{fd}") as info:
            held += any(line.startswith("lock:") for line in info)
    return held


def threads_running() -> int:
    """Return the number of threads of this process, those of C libraries included."""
    try:
        return len(os.listdir("/proc/self/task"))
    except FileNotFoundError:
        return len(sys._current_frames())


def descriptors_open() -> dict[int, str]:
    """Return what each descriptor of this process leads to ("socket:[12345]"); empty without /proc."""
    links = {}
    for name in _names_in("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor that listed the folder is closed by now
            links[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return links


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:  # no /proc
        return []
