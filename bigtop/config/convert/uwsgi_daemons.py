# Daemons of uWSGI beside an application (mules, attached daemons, cron jobs) as watchers.
#
# As with uWSGI, their commands are given to sh, and they run in the folder and as the user of the site.

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from bigtop.config.convert.uwsgi_file import Line
from bigtop.config.convert.watcher import WatcherDraft
from bigtop.config.file.options import watcher_options as w
from bigtop.config.gunicorn.values import word
from bigtop.errors import ConfigError

_ATTACHED: Final = ("attach-daemon", "legacy-attach-daemon", "attach-control-daemon")
_CRON: Final = ("cron", "unique-cron")
KEYS: Final = (
    *(*_ATTACHED, "attach-daemon2", "smart-attach-daemon", "smart-attach-daemon2"),
    *(*_CRON, "cron2", "unique-cron2", "mule", "farm"),
)
_FIELDS: Final = ("minute", "hour", "day", "month", "week")
_WANTED: Final = "five fields and a command are wanted"
_NO_FORK: Final = "a watcher stays in the foreground: give the command the flag for that"


def watchers(
    daemons: Sequence[Line], lines: Sequence[Line], lacks: Callable[[str, str], None]
) -> Iterator[WatcherDraft]:
    """Yield a watcher for each of `daemons` that has an equal. `lacks` is told of the others, and why."""
    last = {line.key: line.value for line in lines}
    for line in daemons:
        try:
            made = _watcher(line)
        except ValueError as error:
            lacks(line.said, str(error))
            continue
        for key, option in ((w.WORKING_DIR, "chdir"), (w.UID, "uid"), (w.GID, "gid")):
            if option in last and key.name not in made.table.keys:
                made.put(key, last[option], f"{option} = {last[option]}")
        yield made


def _watcher(line: Line) -> WatcherDraft:
    if line.key in _CRON:
        return _cron(line)
    if line.key in ("cron2", "unique-cron2"):
        return _cron2(line)
    if line.key in ("mule", "farm"):
        return _mule(line)
    if line.key == "attach-daemon2":
        return _attached2(line)
    if line.key.startswith("smart-"):
        pidfile, _, command = line.value.partition(" ")
        made = _named(command)
        made.lacks(f"pidfile {pidfile} of {line.key}", _NO_FORK)
        return made
    return _named(line.value)


def _named(command: str, otherwise: str = "daemon") -> WatcherDraft:
    """A watcher that is called as its program is; ValueError where there is no command."""
    if not command.strip():
        raise ValueError("names no command")
    try:
        words = [one for one in shlex.split(command) if not re.match(r"\w+=", one) and one != "exec"]
    except ValueError:
        words = []
    return WatcherDraft(_called(words) or otherwise, command)


def _called(words: Sequence[str]) -> str:
    """Return how a command is called: what Python runs, rather than Python, and what of manage.py."""
    program = os.path.basename(words[0]) if words else ""
    if re.fullmatch(r"python[0-9.]*", program):
        rest = [one for one in words[1:] if not one.startswith("-")]
        if rest and "-c" not in words[1:3]:
            program = _stem(rest[0])
            program = rest[1] if program == "manage" and len(rest) > 1 else program
    return str(word(program) or "")


def _mule(line: Line) -> WatcherDraft:
    target = line.value
    if line.key == "farm" or target == "true" or not target:
        raise ValueError("it serves what the module uwsgi is asked for; use a task queue such as Celery")
    if target.endswith(".py") or "/" in target:
        made = WatcherDraft(_stem(target), f"python -u {shlex.quote(target)}")
    else:
        module, _, function = target.partition(":")
        code = f"import {module}" + (f"; {module}.{function.removesuffix('()')}()" if function else "")
        made = WatcherDraft(_stem(module), f"python -u -c {shlex.quote(code)}")
    made.lacks("the module uwsgi in a mule", "it is a Python of its own: take messages from a queue instead")
    return made


def _stem(path: str) -> str:
    """Return the name of a script or of a module; events have no dots in names."""
    name = os.path.basename(path).removesuffix(".py").replace(".", "-")
    return str(word(name) or "mule")


def _attached2(line: Line) -> WatcherDraft:
    """cmd=...,stopsignal=15,...; the command is the last of them, as it may have commas."""
    options, command = _options(line.value, "cmd", "exec")
    made = _named(command)
    for name, value in options.items():
        said = f"{name}={value} of attach-daemon2"
        match name:
            case "stopsignal":
                made.put(w.STOP_SIGNAL, _signal(value), said)
            case "uid" | "gid":
                made.put(w.UID if name == "uid" else w.GID, value, said)
            case "pidfile" | "pid" | "daemonize" | "daemon":
                made.lacks(said, _NO_FORK)
            case _:
                made.lacks(said)
    return made


def _signal(number: str) -> str:
    with suppress(ValueError):
        return signal.Signals(int(number)).name.removeprefix("SIG")
    return number


def _options(text: str, *last: str) -> tuple[Mapping[str, str], str]:
    """Split NAME=VALUE,...; of the names in `last` the value goes on to the end, or to the next NAME=."""
    found: dict[str, str] = {}
    name = ""
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if equals and re.fullmatch(r"[a-z_]+", key.strip()):
            name = key.strip()
            found[name] = value
        elif name:
            found[name] += f",{part}"
    command = next((found.pop(one) for one in last if one in found), "")
    return found, command


# ---- cron


def _cron(line: Line) -> WatcherDraft:
    fields = line.value.split(None, 5)
    if len(fields) < 6:
        raise ValueError(_WANTED)
    return _scheduled(fields[:5], fields[5])


def _cron2(line: Line) -> WatcherDraft:
    given, _, command = line.value.partition(" ")
    options = dict(part.partition("=")[::2] for part in given.split(","))
    if not command.strip() or not all(options.values()):
        raise ValueError(_WANTED)
    made = _scheduled([options.get(name, "-1") for name in _FIELDS], command)
    for name, value in options.items():
        if name == "unique":
            made.needs_not(f"unique={value}", "a run that is still there is not started again")
        elif name not in _FIELDS:
            made.lacks(f"{name}={value} of {line.key}")
    return made


def _scheduled(fields: Sequence[str], command: str) -> WatcherDraft:
    schedule = " ".join(_field(text) for text in fields)
    try:
        w.SCHEDULE.parse((schedule,))
    except ConfigError as error:
        raise ValueError(str(error)) from None
    made = _named(command, "cron")
    made.put(w.SCHEDULE, schedule, schedule)
    return made


def _field(text: str) -> str:
    """-1 is any, -N is every N."""
    if re.fullmatch(r"-[0-9]+", text):
        return "*" if text == "-1" else f"*/{text[1:]}"
    return text
