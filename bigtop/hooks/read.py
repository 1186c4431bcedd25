# Reader of a configuration that is Python: executes it and hands back what it says, as JSON.
#
# Started by config/gunicorn/file.py as `python -P -m bigtop.hooks.read FD LOCATION FOLDER [DIR ...]`, in a
# process of the user who started Bigtop, which ends right after. It is executed in FOLDER, and imports from
# each DIR. FD is where the answer is written: a file in memory, so that
# nobody waits for what the configuration may have started.
#
# {"values": {name: value}, "strange": {name: type}, "hooks": {name: arguments}, "lines": {name: line},
# "environ": {name: value}, "renamed": {name: text}} or {"error": "..."}. Hooks are what can be called;
# `arguments` is how many a hook takes at most, -1 for any. In `environ` is what became of the environment,
# null where a variable is gone. `renamed` is what was put into gunicorn's module in place of its own name.

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from bigtop.errors import ConfigError
from bigtop.hooks import source
from bigtop.hooks.load import arguments
from bigtop.hooks.spec import FILE


def main(argv: list[str]) -> int:
    fd, location, folder = int(argv[1]), argv[2], argv[3]
    os.set_inheritable(fd, False)
    os.chdir(folder)
    sys.path[:0] = [*argv[4:], folder]
    before = dict(os.environ)
    try:
        answer = describe(source.execute(location), location)
        after = {**dict.fromkeys(before), **os.environ}
        answer["environ"] = {name: value for name, value in after.items() if before.get(name) != value}
    except ConfigError as error:
        answer = {"error": str(error)}
    os.pwrite(fd, json.dumps(answer).encode(), 0)
    return 0


def describe(namespace: Mapping[str, Any], location: str) -> dict[str, object]:
    values: dict[str, object] = {}
    strange: dict[str, str] = {}
    hooks: dict[str, int] = {}
    for name, value in namespace.items():
        if name.startswith("_") or isinstance(value, ModuleType):
            continue
        if inspect.isclass(value):
            values[name] = f"{value.__module__}.{value.__qualname__}"
        elif callable(value):
            hooks[name] = arguments(value)
        else:
            try:
                values[name] = plain(value)
            except TypeError:
                strange[name] = type(value).__name__
    return {
        "values": values,
        "strange": strange,
        "hooks": hooks,
        "lines": _lines(location),
        "renamed": _renamed(),
    }


def _renamed() -> dict[str, str]:
    module = vars(sys.modules.get("gunicorn") or ModuleType("gunicorn"))
    own = {"SERVER": "gunicorn", "SERVER_SOFTWARE": f"gunicorn/{module.get('__version__')}"}
    return {name: str(module[name]) for name, text in own.items() if module.get(name, text) != text}


def plain(value: object) -> object:
    """Return a value as JSON has it; TypeError for what has no equal there."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)  # of an enum, too
        case float():
            return float(value)
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case os.PathLike():
            return os.fsdecode(value)
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
    raise TypeError


def _lines(location: str) -> dict[str, int]:
    """Return in which line of a file each name was given last, as far as that can be told."""
    if not location.startswith(FILE):
        return {}
    with open(location.removeprefix(FILE), "rb") as file:
        tree = ast.parse(file.read())
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = node.lineno
            case ast.Name(id=name, ctx=ast.Store()):
                found[name] = max(node.lineno, found.get(name, 0))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
