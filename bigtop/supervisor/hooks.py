# Hooks: what others want to be called at, or asked about, in the life of a watcher.
#
# Rules: never on the event loop and never without a time limit, so that a hook that hangs delays nothing but
# what waits for its answer. A dotted name is called in a thread of its own (a pool could be used up by hooks
# that hang); it may be a coroutine function. What follows "!" is run by a shell, and its exit status is the
# answer.

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from bigtop.errors import one_line
from bigtop.record import Record, field
from bigtop.supervisor.policy.messages import ExitStatus, HookRan, Notice
from bigtop.supervisor.policy.spec import Hook
from bigtop.supervisor.processes import killing
from bigtop.supervisor.processes.child import Process, spawn

# Hooks that are told, not asked: what they answer changes nothing.
TOLD = frozenset({"before_stop", "after_stop", "after_signal", "before_reap", "after_reap", "extended_stats"})


class WatcherView(Record):
    """What a hook is given as `watcher`; the names are Circus'."""

    name: str
    status: str
    numprocesses: int
    pids: tuple[int, ...]
    options: Mapping[str, str]


class ArbiterView(Record):
    """What a hook is given as `arbiter`: the names of all watchers."""

    watchers: tuple[str, ...]


class Hooks(Record, frozen=False):
    """The hooks of one watcher. Event loop only."""

    hooks: tuple[Hook, ...]
    look: Callable[[], tuple[WatcherView, ArbiterView]]
    tell: Callable[[Notice], None]
    pids: set[int] = field(default_factory=set)  # of commands that run

    def has(self, name: str) -> bool:
        return any(hook.name == name for hook in self.hooks)

    async def run(self, name: str, **facts: Any) -> bool:
        """Ask the hook `name`, if there is one; return whether what it was asked about may go on."""
        for hook in self.hooks:
            if hook.name == name and not await self._ask(hook, facts):
                return False
        return True

    async def _ask(self, hook: Hook, facts: dict[str, Any]) -> bool:
        answer: object = False
        error = ""
        try:
            async with asyncio.timeout(hook.timeout or None):
                if hook.target.startswith("!"):
                    answer = await self._execute(hook, facts)
                else:
                    answer = await self._call(hook, facts)
        except TimeoutError:
            error = f"no answer after {hook.timeout:g} seconds"
        except Exception as problem:  # whatever other people's code raises, or that it cannot be imported
            error = one_line(f"{type(problem).__name__}: {problem}")
        allowed = answer.code == 0 if isinstance(answer, ExitStatus) else bool(answer)
        allowed = allowed or hook.name in TOLD or (bool(error) and hook.ignore_failure)
        refusal = "" if allowed else error or _refusal(answer)
        self.tell(HookRan(hook.name, error, refusal))
        return allowed

    async def _call(self, hook: Hook, facts: dict[str, Any]) -> object:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        watcher, arbiter = self.look()

        def settle(set_it: Callable[[Any], None], value: object) -> None:
            if not done.done():  # else it took too long, and nobody waits any more
                set_it(value)

        from pkgutil import resolve_name  # here: few watchers have hooks

        def call() -> None:
            try:
                target = resolve_name(hook.target)
                answer = target(watcher=watcher, arbiter=arbiter, hook_name=hook.name, **facts)
                if asyncio.iscoroutine(answer):
                    answer = asyncio.run(answer)
            except BaseException as problem:  # SystemExit included: it is the hook that ends, not we
                told = problem if isinstance(problem, Exception) else RuntimeError(repr(problem))
                _soon(loop, settle, done.set_exception, told)
            else:
                _soon(loop, settle, done.set_result, answer)

        threading.Thread(target=call, name=f"hook {hook.name}", daemon=True).start()
        return await done

    async def _execute(self, hook: Hook, facts: dict[str, Any]) -> ExitStatus:
        done: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        watcher, _arbiter = self.look()
        env = {f"BIGTOP_{name.upper()}": str(value) for name, value in facts.items()}
        env |= {"BIGTOP_HOOK": hook.name, "BIGTOP_WATCHER": watcher.name}
        pid = spawn(["/bin/sh", "-c", hook.target[1:].strip()], os.environ | env)
        self.pids.add(pid)

        def ended(status: ExitStatus) -> None:
            self.pids.discard(pid)
            if not done.done():
                done.set_result(status)

        try:
            process = Process(pid, ended)
        except OSError as error:
            self.pids.discard(pid)
            killing.unwatched(pid, f"{watcher.name}: hook {hook.name}", error)
            raise
        try:
            return await done
        finally:
            killing.process(process, f"{watcher.name}: hook {hook.name}", "nobody waits for it any longer")


def _refusal(answer: object) -> str:
    return f"it ended with {answer}" if isinstance(answer, ExitStatus) else f"it returned {answer!r:.80}"


def _soon(loop: asyncio.AbstractEventLoop, *call: Any) -> None:
    try:
        loop.call_soon_threadsafe(*call)
    except RuntimeError:  # the loop is closed: the program ends while the hook ran
        return
