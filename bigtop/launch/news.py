# What watchers told, for those who ask afterwards.
#
# Rule: bounded by the number of watchers: of each the last failure is kept, until something else is wanted of
# it. So everybody who waits for the same thing is told. A watcher that is tried again without limit never
# fails, but whoever waits for its start would wait without end: for those its last back-off is kept.

from __future__ import annotations

import asyncio

from bigtop.supervisor import messages


class News:
    """Event loop only."""

    def __init__(self) -> None:
        self._failures: dict[str, str] = {}  # why watchers gave up or could not be reloaded
        self._backoffs: dict[str, str] = {}  # why a process of theirs waits before it is tried again
        self._deaths: list[asyncio.Future[None]] = []

    def hear(self, name: str, notice: messages.Notice) -> None:
        match notice:
            case messages.GaveUp(reason) | messages.ReloadFailed(_, _, reason):
                self._failures[name] = reason
            case messages.Removed():
                self.forget_failure(name)
            case messages.Started():
                self._backoffs.pop(name, None)
            case messages.Died():
                if notice.wait is None and notice.reason:
                    self._failures[name] = _cause(notice)
                elif notice.wait:
                    self._backoffs[name] = f"{_cause(notice)}; it is tried again in {notice.wait:g} s"
                self._wake()
            case messages.Reaped():
                self._wake()

    def failure(self, name: str) -> str | None:
        """Return why the last thing that was wanted of a watcher could not be."""
        return self._failures.get(name)

    def backoff(self, name: str) -> str | None:
        """Return why a watcher that starts has to wait before it tries again."""
        return self._backoffs.get(name)

    def forget_failure(self, name: str) -> None:
        """Something else is wanted of it now."""
        self._failures.pop(name, None)
        self._backoffs.pop(name, None)

    def forget_failures(self) -> None:
        """Something else may be wanted of all of them now."""
        self._failures.clear()
        self._backoffs.clear()

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
    return f"process {died.wid} ended: {died.status}"
