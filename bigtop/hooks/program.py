# A program that embeds the server, as gunicorn's documentation shows it (bigtop/gunicorn), executed until it
# says run().
#
# The process that says so first becomes the supervisor, by exec: nothing that the program imported or started
# stays in that. In the processes that execute files of gunicorn's, the program is executed in place of such a
# file: what its application has set are the settings and hooks, and load() gives what is served.

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import CodeType, ModuleType
from typing import Any, Final, NoReturn

from bigtop.errors import ConfigError

TARGET: Final = "bigtop.hooks.program:load()"  # as what is served
# How it was called: JSON of {"module": ..., "argv": [...], "folder": ...}.
_VARIABLE: Final = "_BIGTOP_PROGRAM"
_folder: Final = os.getcwd()  # as the program was started: it may go elsewhere before it says run()
_argv: Final = tuple(sys.argv)

_executing = False
_application: Any = None


class Reached(BaseException):
    """A program has said run(). No Exception, so that programs do not catch it by mistake."""

    def __init__(self, application: Any) -> None:
        super().__init__()
        self.application = application


def reached(application: Any) -> NoReturn:
    """End the execution of a program, or, where nobody executes it, become the server. ConfigError where
    there is no program."""
    if _executing:
        raise Reached(application)
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None:
        raise ConfigError("run() has to be called by a program that is a file: it is executed once more")
    spec = getattr(main, "__spec__", None)
    called = {"module": spec.name if spec is not None else "", "argv": _argv, "folder": _folder}
    os.environ[_VARIABLE] = json.dumps(called)
    become_server(["--config", f"program:{os.path.join(_folder, path)}", TARGET])


def become_server(words: Sequence[str]) -> NoReturn:
    """Be `bigtop serve WORDS` from now on."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "bigtop", "serve", *words])  # noqa: S606


def execute(path: str) -> None:
    """Execute the program up to its run(), where it was started. Whatever it raises comes out; ConfigError
    where it does not say run()."""
    global _executing, _application
    if _VARIABLE not in os.environ:
        raise ConfigError(f"{path}: is no program that has said run()")
    called, here = json.loads(os.environ[_VARIABLE]), os.getcwd()
    os.chdir(called["folder"])
    sys.path.insert(0, called["folder"] if called["module"] else os.path.dirname(path))
    main, code = _compiled(path, called["module"])
    sys.argv[:] = [path, *called["argv"][1:]]
    sys.modules["__main__"] = main
    _executing = True
    try:
        exec(code, vars(main))  # noqa: S102
    except Reached as reached:
        _application = reached.application
        return
    finally:
        os.chdir(here)
    raise ConfigError(f"{path}: it has ended and not called run() of an application")


def _compiled(path: str, module: str) -> tuple[ModuleType, CodeType]:
    """Return an empty __main__ and what it consists of."""
    main = ModuleType("__main__")
    main.__file__ = path
    spec = importlib.util.find_spec(module) if module else None
    if spec is not None:
        main.__spec__, main.__package__ = spec, spec.parent
        code = spec.loader.get_code(spec.name)  # type: ignore[union-attr]
    else:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec")
    return main, code


def settings() -> Mapping[str, Any]:
    """Return what the application has set; it has a name in any case."""
    path = PurePath(sys.argv[0])
    name = path.parent.name if path.stem == "__main__" else path.stem
    return {"proc_name": name, **_application.cfg.given}


def load() -> Any:
    """Return what is served."""
    return _application.wsgi()
