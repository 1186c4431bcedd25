# What is left of a life in which much happened: what there was at its beginning is compared with its end.
#
# Rules: the last part of a life is compared with its first, so a third of the time passes, while caches fill,
# before anything is counted. What is left after the end, and how that went, counts as well.

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import procfs

SETTLE_SECONDS = 60.0


@dataclass(slots=True)
class Census:
    fds: int
    threads: int
    processes: int
    zombies: int
    private: int  # bytes of the supervisor that nobody shares
    objects: dict[str, int] = field(default_factory=dict)  # by type

    @classmethod
    def of(cls, pid: int) -> Census:
        """Count what a supervisor has, and the processes below it."""
        states = [procfs.state(one) for one in procfs.tree([pid])]
        return cls(
            # Without those of /dev/null: one for commands is opened when it is needed, and kept.
            fds=sum(link != os.devnull for link in procfs.links(pid)),
            threads=len(os.listdir(f"/proc/{pid}/task")),
            processes=sum(state not in ("", "Z") for state in states),
            zombies=states.count("Z"),
            private=procfs.private(pid),
        )

    def more(self, usual: Census | None) -> list[str]:
        """Say of what there is more than `usual`, as far as that must not be at all."""
        names = ("fds", "threads", "processes") if usual is not None else ()
        pairs = [(name, getattr(usual, name), getattr(self, name)) for name in names]
        return [f"{name}: {was} became {became}" for name, was, became in pairs if became > was]


def settled(pid: int, usual: Census | None, is_calm: Callable[[], object] = lambda: True) -> Census:
    """Count; wait until it `is_calm` and there is no more than `usual`, for clients and processes need time
    to go."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        counted = Census.of(pid)
        if (is_calm() and not counted.zombies and not counted.more(usual)) or time.monotonic() > deadline:
            return counted
        time.sleep(0.2)


@dataclass(slots=True)
class Remains:
    """What was done for so many seconds, and what there was before and after it."""

    seconds: float
    seed: int
    done: dict[str, int] = field(default_factory=dict)
    before: Census | None = None
    after: Census | None = None
    left: int = 0  # processes after the end
    status: int | None = None  # of the exit

    def live(
        self, done: Counter[str], spend: Callable[[float], None], census: Callable[[Census | None], Census]
    ) -> None:
        """Spend the time, and take a census before and after what counts. `done` is what was done."""
        spend(self.seconds / 3)
        self.before = census(None)
        done.clear()
        spend(self.seconds * 2 / 3)
        self.after = census(self.before)
        self.done = dict(done)

    @contextmanager
    def end(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Have the block end a supervisor, and see what is left of it and of all that it had."""
        everyone = procfs.tree([process.pid])
        yield
        self.status = process.wait(SETTLE_SECONDS)
        self.left = sum(procfs.state(pid) not in ("", "Z") for pid in everyone)

    def growths(self, usual: Census, noise: int, for_each: int) -> list[str]:
        """Say what is more than `usual`. Memory may grow by `noise` bytes, which an allocator keeps for
        another time, and by so many `for_each` action."""
        assert self.before is not None
        assert self.after is not None
        said = self.after.more(usual)
        if self.after.zombies:
            said.append(f"{self.after.zombies} zombies")
        actions, growth = sum(self.done.values()), self.after.private - self.before.private
        if growth > noise + actions * for_each:
            said.append(f"{growth:,} bytes more after {actions} actions")
        return said

    def leftovers(self) -> list[str]:
        """Say what did not end as it should have."""
        said = [f"{self.left} processes are left"] if self.left else []
        return said if self.status == 0 else [*said, f"exit status {self.status}"]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n")
