# Hooks for tests. They tell what they were called with in a file, so that another thread can be read.

from __future__ import annotations

import os
import threading
import time
from typing import Any


def _note(hook_name: str, watcher: Any, facts: dict[str, Any]) -> None:
    words = [hook_name, watcher.name, *(f"{name}={facts[name]}" for name in sorted(facts) if name != "time")]
    with open(os.environ["HOOKS_FILE"], "a") as file:
        file.write(" ".join(words) + "\n")


def yes(watcher: Any, arbiter: Any, hook_name: str, **facts: Any) -> bool:
    assert threading.current_thread() is not threading.main_thread()
    assert watcher.name in arbiter.watchers
    _note(hook_name, watcher, facts)
    return True


async def later(watcher: Any, arbiter: Any, hook_name: str, **facts: Any) -> bool:
    _note(hook_name, watcher, facts)
    return True


def no(watcher: Any, arbiter: Any, hook_name: str, **facts: Any) -> bool:
    _note(hook_name, watcher, facts)
    return False


def broken(**_facts: Any) -> bool:
    raise ZeroDivisionError("in a hook")


def stuck(**_facts: Any) -> bool:
    time.sleep(60)  # it is a thread that nobody waits for
    return True


def add_a_figure(watcher: Any, arbiter: Any, hook_name: str, pid: int, stats: dict[str, object]) -> None:
    stats["extended"] = watcher.name
