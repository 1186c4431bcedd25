# Preflight check of a file with its plugins: processes that import each of them and say what is wrong with
# its options, and which role it asks for. `bigtop check`, `bigtop run` and reloadconfig ask here.
#
# Rules: nothing of a plugin is imported in this process. One that was looked at before, and has not changed,
# is not looked at again. Each process has the environment, the folder and the user of its plugin.

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.plugins import PluginSpec
from bigtop.errors import ConfigError, one_line
from bigtop.launch.run import file_preflight
from bigtop.record import replace
from bigtop.supervisor.policy.spec import Command
from bigtop.system import accounts

# Seconds that all of them together have.
PATIENCE: Final = 30.0
_WORDS: Final = ("-P", "-m", "bigtop.plugins.inspection")

Answer = dict[str, Any]


def checked(spec: DaemonSpec, before: DaemonSpec | None = None) -> DaemonSpec:
    """Return `spec`, which can be run, with the roles of its plugins; ConfigError has a line for each
    mistake. `before` was checked already."""
    file_preflight.check(spec)
    known = [] if before is None else list(before.plugins)
    granted = {each.watcher.name: each.granted for each in known}
    problems: list[str] = []
    for plugin, answer in _answers([each for each in spec.plugins if each not in known]):
        name, places = plugin.watcher.name, plugin.places
        for option, why in answer["problems"]:
            words = f"{option}: {why}" if option in places else f"[{name}] {option}: {why}"
            problems.append(one_line(f"{places.get(option, plugin.place)}: {words}"))
        granted[name] = plugin.role or answer["role"]
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(
        spec, plugins=tuple(replace(each, granted=granted[each.watcher.name]) for each in spec.plugins)
    )


def _answers(asked: Iterable[PluginSpec]) -> Iterator[tuple[PluginSpec, Answer]]:
    """Ask all of them at once."""
    import subprocess  # for those who have plugins

    end = time.monotonic() + PATIENCE
    started: list[tuple[PluginSpec, subprocess.Popen[str] | str]] = []
    for one in asked:
        try:
            started.append((one, _started(one)))
        except OSError as error:  # its folder is not there, or its user may not enter that
            started.append((one, f"cannot be looked at: {error.filename or ''}: {error.strerror}"))
    try:
        for one, process in started:
            if isinstance(process, str):
                yield one, _wrong(process)
                continue
            try:
                out, err = process.communicate(one.orders.encode(), max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                yield one, _wrong(f"it did not say within {PATIENCE:g} s whether its options are right")
                continue
            yield one, _answer(process.returncode, out, err)
    finally:
        for _, process in started:
            if not isinstance(process, str):
                process.kill()
                process.communicate()


def _started(plugin: PluginSpec) -> Any:
    import subprocess

    target = plugin.watcher.target
    assert isinstance(target, Command)
    context = target.context
    account = accounts.account(context.user, context.group, "gid")
    who: dict[str, Any] = {}
    if account.uid is not None and os.geteuid() == 0:
        who = {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
    return subprocess.Popen(
        [sys.executable, *_WORDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(context.env),
        cwd=context.cwd,
        **who,
    )


def _answer(status: int, out: str, err: str) -> Answer:
    try:
        answer = json.loads(out)
    except ValueError:
        last = err.strip().rpartition("\n")[2]
        return _wrong(f"its process ended with status {status}: {last or 'without a word'}")
    return dict(answer)


def _wrong(why: str) -> Answer:
    return {"role": "", "problems": [["use", why]]}
