# Inspection from inside: what every thread, task and greenlet of this process does, found out by a thread.
#
# Rule 1: it only looks. No code of the application runs: types are compared and not asked (a lazy object
# would be made by isinstance()), values are never written down. Of local variables only those called as in
# PEP 3333 and in the ASGI specification are looked at, to tell which request a stack belongs to.
# Rule 2: modules that the application did not import are not imported.

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from time import monotonic_ns
from types import CodeType, CoroutineType, FrameType
from typing import Any

from bigtop.ipc import reports
from bigtop.ipc.reports import Begun, Ended, Frame, Message, Stack

MOST_STACKS = 400
MOST_FRAMES = 60  # of one stack: the innermost, and a word about the others
_OUTER = 30  # frames in which the environ or scope of a request is looked for
_TELLING = {"environ", "env", "scope"}
_PATIENCE = 200  # times a hundredth of a second, for whoever reads
_PAUSE = 0.01

Found = tuple[Stack, list[Frame]]


def report(write: Writer, main: int, me: int) -> None:
    """Write all of it; `main` and `me` are the idents of the main thread and of this one."""
    write(Begun(monotonic_ns()))
    write.flush()
    left_out = 0
    try:
        for number, (stack, frames) in enumerate(every(main, me)):
            if number >= MOST_STACKS:
                left_out += 1
                continue
            write(stack)
            for frame in frames:
                write(frame)
    finally:
        write(Ended(left_out))
        write.flush()


class Writer:
    """Gathers messages and writes as many at once as stay in one piece."""

    def __init__(self, fd: int, sleep: Callable[[float], None]) -> None:
        self._fd = fd
        self._sleep = sleep
        self._gathered = b""
        self._patience = _PATIENCE

    def __call__(self, message: Message) -> None:
        data = reports.encode(message)
        if len(self._gathered) + len(data) > reports.LONGEST:
            self.flush()
        self._gathered += data

    def flush(self) -> None:
        """Write, or give up after a while with nobody who reads."""
        data, self._gathered = self._gathered, b""
        while data and self._patience:
            try:
                os.write(self._fd, data)
                return
            except BlockingIOError:
                self._patience -= 1
                self._sleep(_PAUSE)


def every(main: int, me: int) -> Iterator[Found]:
    """Return all stacks: of threads first, then of what waits in none."""
    frames = sys._current_frames()
    del frames[me]
    names = thread_names(main)
    for ident in sorted(frames, key=lambda one: one != main):
        name, tid = names.get(ident, ("", 0))
        chain = list(_outwards(frames[ident]))
        yield Stack("thread", name, tid, _request_of(reversed(chain)), ""), _described(chain)
    objects = gc.get_objects()
    yield from _coroutines(objects)
    yield from _greenlets(objects)


def thread_names(main: int) -> dict[int, tuple[str, int]]:
    """Return name and kernel's number of each thread that Python knows, by its ident."""
    # Not by enumerate(), which takes a lock: gevent's, perhaps, in whose hub this thread has no business.
    known: dict[int, threading.Thread] = dict(getattr(threading, "_active", {}))
    names = {ident: (one._name, one.native_id or 0) for ident, one in known.items()}  # type: ignore[attr-defined]
    # Python knows it as it was before the fork, and gevent by another ident.
    names[main] = threading.main_thread()._name, os.getpid()  # type: ignore[attr-defined]
    return names


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _described(chain: list[FrameType]) -> list[Frame]:
    """Return what is told of frames, innermost first."""
    shown = [_frame(one.f_code, one.f_lineno) for one in chain[:MOST_FRAMES]]
    if len(chain) > MOST_FRAMES:
        shown.append(Frame(f"and {len(chain) - MOST_FRAMES} frames further out", "", 0))
    return shown


def _frame(code: CodeType, line: int | None) -> Frame:
    return Frame(code.co_qualname, code.co_filename, line or 0)


# ---- which request


def _request_of(frames: Iterable[FrameType]) -> str:
    """Return method, path and X-Request-ID of the request that `frames`, outermost first, work for, with a
    blank before and behind the path; "" if nothing tells."""
    for _, frame in zip(range(_OUTER), frames, strict=False):
        if _TELLING.isdisjoint(frame.f_code.co_varnames):
            continue
        for name in _TELLING:
            if type(value := frame.f_locals.get(name)) is dict and (found := _named(value)):
                return found
    return ""


def _named(value: dict[Any, Any]) -> str:
    # Servers keep an environ or a scope without a method, of which they make the others.
    if "wsgi.input" in value and (method := value.get("REQUEST_METHOD")):
        return f"{method} {value.get('PATH_INFO', '')} {value.get('HTTP_X_REQUEST_ID', '')}"
    if value.get("type") in ("http", "websocket") and value.get("path"):
        ids = [content for name, content in value.get("headers") or () if name == b"x-request-id"]
        return f"{value.get('method', 'GET')} {value['path']} {ids[0].decode('latin-1') if ids else ''}"
    return ""


# ---- tasks and other coroutines that wait


def _coroutines(objects: list[Any]) -> Iterator[Found]:
    """Return tasks, and coroutines that wait without one that could be found: compiled code is between."""
    tasks = _tasks(objects)
    suspended = [one for one in objects if type(one) is CoroutineType and one.cr_suspended]
    awaited = {id(one.cr_await) for one in suspended}
    for task in tasks:
        coroutine = task.get_coro()
        chain, waits = _inwards(coroutine)
        if not chain:  # compiled: what it awaits cannot be seen from it
            continue
        frames = [frame for frame in chain if frame is not None]
        running = getattr(coroutine, "cr_running", False)
        note = "it runs, in a thread above" if running else waits
        shown = [_frame(frame.f_code, frame.f_lineno) for frame in reversed(frames[-MOST_FRAMES:])]
        yield Stack("task", task.get_name(), 0, _request_of(frames), note), shown
    known = {id(task.get_coro()) for task in tasks}
    for root in suspended:
        if id(root) in awaited or id(root) in known:
            continue
        frames, waits = _inwards(root)
        shown = [_frame(frame.f_code, frame.f_lineno) for frame in reversed(frames[-MOST_FRAMES:])]
        yield Stack("coroutine", root.__qualname__, 0, _request_of(frames), waits), shown


def _tasks(objects: list[Any]) -> list[Any]:
    asyncio = sys.modules.get("asyncio")
    task = getattr(asyncio, "Task", None)
    if task is None:
        return []
    return [one for one in objects if issubclass(type(one), task) and not one.done()]


def _inwards(awaitable: Any) -> tuple[list[FrameType], str]:
    """Return the frames of a coroutine and of all that it waits for, outermost first, and what comes last."""
    frames: list[FrameType] = []
    for _ in range(1000):
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        frame = frame or getattr(awaitable, "ag_frame", None)
        if frame is None:
            break
        frames.append(frame)
        inner = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
        awaitable = inner or getattr(awaitable, "ag_await", None)
    name = type(awaitable).__qualname__
    return frames, "" if awaitable is None else f"waits for {'a future' if name == 'FutureIter' else name}"


# ---- greenlets


def _greenlets(objects: list[Any]) -> Iterator[Found]:
    module = sys.modules.get("greenlet")
    kind = getattr(module, "greenlet", None)
    if kind is None:
        return
    for one in objects:
        if issubclass(type(one), kind) and (frame := one.gr_frame) is not None:
            chain = list(_outwards(frame))
            yield (
                Stack("greenlet", type(one).__name__, 0, _request_of(reversed(chain)), ""),
                _described(chain),
            )
