# A configuration file of gunicorn's: found, executed in a process of its own, and its settings as a layer.
#
# Rule: the file is Python of other people, so it is never executed in this process.

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bigtop.config.gunicorn.layer import layer
from bigtop.config.gunicorn.setting import AppName, ByApplication, Hook, Setting
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.config.serve import options as o
from bigtop.config.serve.settings import ConfigFile, Given, Layer, remark
from bigtop.errors import ConfigError, one_line
from bigtop.hooks.spec import FILE, MODULE, PROGRAM
from bigtop.record import Record
from bigtop.system.files import workdir

DEFAULT: Final = "gunicorn.conf.py"  # which is looked for in the working folder
OFF: Final = "off"


def location(given: str) -> str:
    """Return the location that `--config GIVEN` means; ValueError if there is nothing."""
    if given.startswith((MODULE, PROGRAM)):
        return given
    path = workdir.absolute(os.path.expanduser(given.removeprefix(FILE)))
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}")
    return FILE + path


def by_itself() -> str:
    """Return the location of the file that nobody has to name, "" where there is none."""
    return location(DEFAULT) if os.path.isfile(DEFAULT) else ""


class Execution(Record):
    """What is to be executed, and from where: the folder, and what else to import from."""

    location: str
    folder: str
    pythonpath: tuple[str, ...] = ()
    has_settings: bool = True  # a module may have variables of its own instead, called as it likes


def read(wanted: Execution) -> ConfigFile:
    """Execute what is wanted and wait for it; ConfigError names file and line of what is wrong."""
    return understood(wanted, *_executed(wanted, {}))


def execute(wanted: Execution, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Execute what is wanted, with `environ` besides our own environment, and wait for it; return what it
    says, as hooks/read.py describes that. ConfigError names the line that failed."""
    return _said(named(wanted), *_executed(wanted, environ))


def _executed(wanted: Execution, environ: Mapping[str, str]) -> tuple[bytes, int]:
    import subprocess  # here: most sites have no such file

    with reading(wanted) as (command, answer):
        env = {**os.environ, **environ}
        done = subprocess.run(command, pass_fds=(answer,), stdin=subprocess.DEVNULL, env=env, check=False)
        return answered(answer), done.returncode


@contextmanager
def reading(wanted: Execution) -> Iterator[tuple[list[str], int]]:
    """Give the command that executes what is wanted, and the descriptor in which it leaves its answer."""
    answer = os.memfd_create("bigtop-config")
    words = [str(answer), wanted.location, wanted.folder, *wanted.pythonpath]
    try:
        yield [sys.executable, "-P", "-m", "bigtop.hooks.read", *words], answer
    finally:
        os.close(answer)


def answered(answer: int) -> bytes:
    return os.pread(answer, os.fstat(answer).st_size, 0)


def understood(wanted: Execution, answer: bytes, status: int) -> ConfigFile:
    """Return what the process said that executed it and ended with `status`."""
    label = named(wanted)
    said = _said(label, answer, status)
    values, lines = said["values"], said["lines"]
    values.pop("config", None)  # a file names no other one
    if not wanted.has_settings:
        values, said["strange"] = {}, {}
    strange = said["strange"]
    for name in [name for name in strange if _is_anything(name)]:
        values[name] = f"of type {strange.pop(name)}"

    def origin(name: str) -> str:
        return f"{label}:{lines[name]}: {name}" if name in lines else f"{label}: {name}"

    problems = [
        one_line(f"{origin(name)}: cannot be of type {kind}")
        for name, kind in strange.items()
        if name in SETTINGS
    ]
    hooks = {name: count for name, count in said["hooks"].items() if name in SETTINGS}
    problems += [
        f"{origin(name)}: {problem}"
        for name, count in hooks.items()
        if (problem := _misfit(SETTINGS[name], count))
    ]
    origins = {name: origin(name) for name in [*values, *hooks]}
    try:
        # What is refused is refused as a function, too.
        made = layer({**values, **dict.fromkeys(hooks, "a function")}, origins)
        made = {**_renamed(said["renamed"], label), **made}
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    app = next((values.get(name) for name in SETTINGS if isinstance(SETTINGS[name].fate, AppName)), None)
    return ConfigFile(
        wanted.location, label, made, _known(values), str(app or ""), _hooks({**values, **hooks})
    )


def _said(label: str, answer: bytes, status: int) -> dict[str, Any]:
    if not answer:
        raise ConfigError(f"{label}: the process that executed it ended with status {status}")
    said: dict[str, Any] = json.loads(answer)
    if "error" in said:
        raise ConfigError(said["error"])
    return said


def _renamed(names: Mapping[str, str], label: str) -> Layer:
    """Return what it means that a file has given gunicorn's module other names of the server."""
    made: dict[str, Given] = {}
    for name, text in names.items():
        origin = f"{label}: gunicorn.{name}"
        if name == "SERVER":
            made[o.SERVER_HEADER.name] = Given((text,), origin)
        else:
            made.update(remark(origin, "has no effect: --server-header names the server in responses"))
    return made


def _is_anything(name: str) -> bool:
    return name in SETTINGS and isinstance(SETTINGS[name].fate, ByApplication)


def named(wanted: Execution) -> str:
    """Return how messages call a file: as short as can be from where we are."""
    location = wanted.location
    if location.startswith(MODULE):
        return location
    path = location.removeprefix(FILE).removeprefix(PROGRAM)
    near = os.path.relpath(path, workdir.current())
    return path if near.startswith("..") else near


def _hooks(given: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of hooks: functions, or texts that name them."""
    known = {
        name: SETTINGS[name].fate for name, value in given.items() if name in SETTINGS and value is not None
    }
    return tuple(name for name, fate in known.items() if isinstance(fate, Hook))


def _known(values: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in values.items() if name in SETTINGS and value is not None}


def _misfit(setting: Setting, count: int) -> str:
    """Return what is wrong with a function that takes `count` arguments (-1: any), "" if nothing is."""
    match setting.fate:
        case Hook(arguments=names, least=least) if count >= 0 and not least <= count <= len(names):
            wanted = (
                f"{len(names)} ({', '.join(names)})" if least == len(names) else f"{least} to {len(names)}"
            )
            return f"takes {count} arguments, and is given {wanted}"
    return ""
