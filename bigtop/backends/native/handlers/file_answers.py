# Files that the worker sends by itself: static ones (a handler), and those that the application names instead
# of a body (a filter).
#
# Rule 1: http/answers/static.py says what a file answers, kernel.py opens nothing outside of the folder; here
# the two meet. Rule 2: whoever is told of a file holds an OpenFile, and it is open as long as anybody holds
# it.
#
# Opening is most of the cost of a small file. So what was found is believed for a second, and the contents of
# small files are kept, which leave in the same send(2) as the head. Absent files are not remembered: a client
# that asks for many of them must not push out the others.

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bigtop.backends.native.transport.write_buffer import LARGE
from bigtop.http.answers import static
from bigtop.http.answers.static import ENCODINGS, File, Plan
from bigtop.http.clients.peer import BasePeer
from bigtop.http.declarations import APP, Mount
from bigtop.http.handlers import Draft, FilePart, Reply
from bigtop.http.messages import Request
from bigtop.http.response import Headers
from bigtop.log import logger as get_logger
from bigtop.system import kernel

log = get_logger("bigtop.backend")

SMALL: Final = 16384  # bytes; from there on sendfile(2) is cheaper than a copy
KEPT: Final = 256  # files; with their contents at most 4 MB per worker
FRESH: Final = 1_000_000_000  # nanoseconds

# The worker is out of something, or the disk is broken. Every other error means: no such file.
_TROUBLE: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EAGAIN))


class OpenFile:
    """A regular file; a small one is in memory instead of open."""

    __slots__ = ("content", "facts", "fd")

    def __init__(self, fd: int, facts: File) -> None:
        self.fd = fd
        self.facts = facts
        self.content: bytes | None = None

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def take_in(self) -> bool:
        """Keep the contents and let go of the descriptor; False when the file is being written just now."""
        content = os.pread(self.fd, self.facts.size, 0)
        if len(content) != self.facts.size:
            return False
        self.content = content
        os.close(self.fd)
        self.fd = -1
        return True

    def reply(self, plan: Plan) -> Reply:
        parts: list[bytes | FilePart] = []
        for piece in plan.pieces:
            if isinstance(piece, bytes):
                parts.append(piece)
            elif self.content is not None:
                parts.append(self.content[piece.offset : piece.offset + piece.length])
            else:
                parts.append(FilePart(self.fd, piece.offset, piece.length, self))
        return Reply(plan.status, plan.headers, parts)


def open_file(folder: str, path: bytes, encoding: str = "") -> OpenFile | None:
    """Open what `path` names below `folder`; None when there is no regular file that we may read.

    The folder is opened each time, so that it may be replaced, or a symlink to it, by a deployment.
    """
    root = fd = -1
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fd = kernel.open_beneath(root, path)
        status = os.fstat(fd)
    except OSError as error:
        if error.errno in _TROUBLE:
            raise
        return None
    finally:
        if root >= 0:
            os.close(root)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        return None
    return OpenFile(fd, File(status.st_size, status.st_mtime_ns, encoding))


class Found(NamedTuple):
    """A file as it is sent to clients that take the same encodings."""

    until: int  # believe it, monotonic nanoseconds
    file: OpenFile
    headers: Headers
    whole: Reply | None  # made once, if the file is in memory


def is_stored(status: os.stat_result) -> bool:
    """Whether a file holds as many bytes as `status` says, so that the kernel can send them.

    The files of /proc and its like are regular, and made as they are read: they take no room on any disk, and
    their size says nothing.
    """
    return stat.S_ISREG(status.st_mode) and status.st_blocks > 0


def read_through(fd: int, start: int, count: int | None) -> Iterator[bytes]:
    """Yield what is_stored() nowhere: `count` bytes from `start` on, None for all that there are."""
    at = start
    while piece := os.pread(fd, LARGE if count is None else min(LARGE, start + count - at), at):
        at += len(piece)
        yield piece


class StaticFiles:
    """The folders of --static, as a handler."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        ordered = sorted(mounts, key=lambda mount: -len(mount.prefix))  # the innermost first
        self._mounts = [(mount.prefix.encode(), mount.folder, mount.fallback) for mount in ordered]
        self._prefixes = tuple(prefix for prefix, _, _ in self._mounts)
        self._found: dict[tuple[str, bytes, tuple[str, ...]], Found] = {}

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        """Return the answer to a request for a file; None when it is not below one of the folders."""
        target = request.target
        if target[:1] != b"/":  # http://host/path
            target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        if not target.startswith(self._prefixes):
            return None
        prefix, folder, fallback = next(mount for mount in self._mounts if target.startswith(mount[0]))
        if request.method not in ("GET", "HEAD"):
            return None if fallback == APP else _without_file(static.not_allowed())
        wanted = static.wishes(request)
        try:
            found = self._find(folder, static.path_in(target, prefix), wanted.encodings, now)
            if found is None and fallback == APP:
                return None
            if found is None and fallback and static.is_place(target):
                found = self._find(folder, fallback.encode(), wanted.encodings, now)
        except OSError as error:
            log.error("cannot open the file of %s: %s", target.decode("latin-1"), error)
            return _without_file(static.unavailable())
        if found is None:
            return _without_file(static.not_found())
        if found.whole is not None and not wanted.conditions:
            return found.whole
        return found.file.reply(static.plan(wanted.conditions, found.file.facts.size, found.headers))

    def _find(self, folder: str, path: bytes | None, encodings: tuple[str, ...], now: int) -> Found | None:
        if path is None:
            return None
        key = (folder, path, encodings)
        known = self._found.pop(key, None)
        if known is None or known.until < now:
            known = _look(folder, path, encodings, now)
            if known is None:
                return None
            if len(self._found) >= KEPT:
                del self._found[next(iter(self._found))]
        self._found[key] = known  # at the end: the one that was not asked for the longest goes first
        return known


def _look(folder: str, path: bytes, encodings: Sequence[str], now: int) -> Found | None:
    file = open_file(folder, path)
    if file is None:
        return None
    encoded = {name: open_file(folder, path + suffix, name) for name, suffix in ENCODINGS.items()}
    there = {name: other for name, other in encoded.items() if other is not None}
    best = next((there[name] for name in encodings if name in there), file)
    headers = static.describe(path, best.facts, bool(there))
    whole = None
    if best.facts.size <= SMALL and best.take_in():
        whole = best.reply(static.plan({}, best.facts.size, headers))
    return Found(now + FRESH, best, headers, whole)


class NamedFiles:
    """Files that an application names in X-Accel-Redirect (as nginx has it) or X-Sendfile (as Apache has it).

    A filter. Only what lies in one of the folders of --sendfile-root is sent.
    """

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._mounts = [(mount.prefix.encode(), mount.folder) for mount in mounts]

    def filter(self, request: Request, draft: Draft) -> None:
        """Send the file that the answer names. The application's own headers stay, its Content-Length and its
        body are dropped."""
        named = {name.lower(): value for name, value in draft.headers if name.lower() in _NAMING}
        if named:
            draft.drop(*_REPLACED)
            draft.replace(self._reply(request, named, draft.headers))

    def _reply(self, request: Request, named: dict[str, str], kept: Headers) -> Reply:
        file = None
        for prefix, folder in self._mounts:
            path = _path_of(named, prefix, folder)
            if path is not None and (file := open_file(folder, path)) is not None:
                headers = static.validated(kept, file.facts)
                return file.reply(static.plan(static.wishes(request).conditions, file.facts.size, headers))
        log.error("%s names no file below a --sendfile-root: %s", *next(iter(named.items())))
        return _without_file(static.not_found())


_NAMING: Final = ("x-accel-redirect", "x-sendfile")
_REPLACED: Final = (*_NAMING, "content-length")


def _path_of(named: dict[str, str], prefix: bytes, folder: str) -> bytes | None:
    if "x-accel-redirect" in named:
        return static.path_in(named["x-accel-redirect"].encode("latin-1"), prefix)
    return static.path_below(named["x-sendfile"].encode("latin-1"), os.fsencode(folder))


def _without_file(plan: Plan) -> Reply:
    parts = [piece for piece in plan.pieces if isinstance(piece, bytes)]
    return Reply(plan.status, plan.headers, parts)
