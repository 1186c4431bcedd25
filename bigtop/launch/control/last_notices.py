# Notices of watchers, kept for those who ask afterwards.
#
# Rule: bounded by the number of watchers: of each the last failure is kept, until something else is wanted of
# it. So everybody who waits for the same thing is told. A watcher that is tried again without limit never
# fails, but whoever waits for its start would wait without end: for those its last back-off is kept.

from __future__ import annotations

import asyncio

from bigtop.supervisor.policy import messages

# Whose refusal stops a watcher.
_STOPPING_HOOKS = ("before_start", "after_start", "before_spawn", "after_spawn")


class LastNotices:
    """Event loop only."""

    def __init__(self) -> None:
        self._failures: dict[str, str] = {}  # why watchers gave up or could not be reloaded
        self._backoffs: dict[str, str] = {}  # why a process of theirs waits before it is tried again
        self._shortages: dict[str, str] = {}  # why processes of theirs wait for room
        self._not_recovered: dict[str, str] = {}  # why there is no fork server in place of one that died
        self._kills: dict[str, dict[int, messages.Reaped]] = {}  # by number: processes that were killed
        self._steps: dict[str, list[str]] = {}  # what new code has shown
        self.heard = 0  # how much
        self._deaths: list[asyncio.Future[None]] = []

    def hear(self, name: str, notice: messages.Notice) -> None:
        self.heard += 1
        match notice:
            case messages.GaveUp(reason) | messages.ReloadFailed(_, _, reason):
                self._failures[name] = reason
            case messages.HookRan(hook, error, refusal) if refusal and hook in _STOPPING_HOOKS:
                self._failures[name] = f"the hook {hook} {'failed' if error else 'refused'}: {refusal}"
            case messages.Updated(reason=reason) if reason:
                self._failures[name] = f"the change was taken back: {reason}"
            case messages.Removed():
                self.forget_failure(name)
                self._shortages.pop(name, None)
            case messages.Short(""):
                self._shortages.pop(name, None)
            case messages.Short(reason):
                self._shortages[name] = reason
                self._wake()
            case messages.Started():
                self._backoffs.pop(name, None)
            case messages.Died():
                if notice.wait is None and notice.reason:
                    self._failures[name] = _cause(notice)
                elif notice.wait:
                    self._backoffs[name] = f"{_cause(notice)}; it is tried again in {notice.wait:g} s"
                self._wake()
            case messages.Reaped() | messages.Passed() | messages.NotRecovered():
                self._keep(name, notice)

    def _keep(self, name: str, notice: messages.Reaped | messages.Passed | messages.NotRecovered) -> None:
        if isinstance(notice, messages.Passed):
            line = f"generation {notice.generation}: {notice.step.value}: {notice.how}"
            self._steps.setdefault(name, []).append(line)
            return
        if isinstance(notice, messages.NotRecovered):
            self._not_recovered[name] = notice.reason
        elif notice.killed:
            self._kills.setdefault(name, {})[notice.wid] = notice
        self._wake()

    def failure(self, name: str) -> str | None:
        """Return why the last thing that was wanted of a watcher could not be."""
        return self._failures.get(name)

    def backoff(self, name: str) -> str | None:
        """Return why a watcher that starts has to wait before it tries again."""
        return self._backoffs.get(name)

    def shortage(self, name: str) -> str | None:
        """Return why processes of a watcher wait until there is room for them."""
        return self._shortages.get(name)

    def not_recovered(self, name: str) -> str | None:
        """Return why the last try failed to have a fork server in place of one that died."""
        return self._not_recovered.get(name)

    def kills(self, name: str) -> dict[int, str]:
        """Return which processes of a watcher were killed, by pid, and why, since something was wanted of
        it."""
        return {one.pid: one.killed for one in self._kills.get(name, {}).values()}

    def steps(self, name: str) -> list[str]:
        """Return what new code of a watcher has shown since something was wanted of it."""
        return self._steps.get(name, [])

    def forget_failure(self, name: str) -> None:
        """Something else is wanted of it now."""
        self._steps.pop(name, None)
        self._failures.pop(name, None)
        self._backoffs.pop(name, None)
        self._kills.pop(name, None)

    def forget_failures(self) -> None:
        """Something else may be wanted of all of them now."""
        self._steps.clear()
        self._failures.clear()
        self._backoffs.clear()
        self._kills.clear()

    def next_death(self) -> asyncio.Future[None]:
        """Return what is done when some process, whichever, has ended or could not even be started."""
        death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deaths.append(death)
        return death

    def _wake(self) -> None:
        deaths, self._deaths = self._deaths, []
        for death in deaths:
            if not death.done():
                death.set_result(None)


def _cause(died: messages.Died) -> str:
    if died.reason:
        return f"process {died.wid} could not be started: {died.reason}"
    if died.killed:
        return f"process {died.wid} was killed: {died.killed}"
    return f"process {died.wid} ended: {died.status}"
