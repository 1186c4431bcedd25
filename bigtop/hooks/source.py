# A file or a module that defines settings and hooks, executed.
#
# It is Python of other people, so it is executed in processes that end with it (read.py), or that run other
# people's code anyway: workers, and the process of hooks. The supervisor never does.

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from typing import Any

from bigtop.errors import ConfigError, one_line
from bigtop.hooks import program, stand_ins
from bigtop.hooks.spec import FILE, MODULE, PROGRAM

_NAME = "__config__"  # gunicorn's, which a file may look at


def execute(location: str) -> Mapping[str, Any]:
    """Return what `file:/PATH` or `python:MODULE` defines, or what the application of `program:/PATH` has
    set. ConfigError names the line that failed."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    stand_ins.install()
    if location.startswith(MODULE):
        name = location.removeprefix(MODULE)
        try:
            return vars(importlib.import_module(name))
        except (Exception, SystemExit) as error:  # whatever other people's code raises
            raise ConfigError(_import_failed(name, error)) from error
    if location.startswith(PROGRAM):
        return _execute_program(location.removeprefix(PROGRAM))
    path = location.removeprefix(FILE)
    loader = SourceFileLoader(_NAME, path)
    spec = importlib.util.spec_from_file_location(_NAME, path, loader=loader)
    assert spec is not None, "there is one for every path with a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode  # it is read by other users, too
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:  # likewise
        raise ConfigError(_failed(path, error)) from error
    finally:
        sys.dont_write_bytecode = before
    return vars(module)


def _execute_program(path: str) -> Mapping[str, Any]:
    try:
        program.execute(path)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # likewise
        raise ConfigError(_failed(path, error)) from error
    return program.settings()


def namespace_of(location: str) -> Mapping[str, Any]:
    """Return what execute() has returned."""
    if location.startswith(PROGRAM):
        return program.settings()
    return vars(sys.modules[location.removeprefix(MODULE) if location.startswith(MODULE) else _NAME])


def _failed(path: str, error: BaseException) -> str:
    """Return what failed, and in which line of the file."""
    if isinstance(error, OSError) and error.filename == path:
        return one_line(f"{path}: {error.strerror}")
    if isinstance(error, SyntaxError) and error.filename == path:
        return one_line(f"{path}:{error.lineno}: SyntaxError: {error.msg}")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    place = f"{path}:{lines[-1]}" if lines else path
    return one_line(f"{place}: {_said(error)}")


def _import_failed(name: str, error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename not in (__file__, importlib.__file__)
    ]
    if not frames:
        return one_line(f"{MODULE}{name}: {_said(error)}")
    return one_line(f"{frames[-1].filename}:{frames[-1].lineno}: {_said(error)}")


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return f"{type(error).__name__}: {error}"
