# Loader of applications: from "pkg.mod:attr" to the callable, and whether it speaks WSGI or ASGI.
#
# Rule: whose fault a failure is must be plain. When the target cannot be found, the error says what was tried
# and what was probably meant; when the application's own code failed, it carries that code's traceback, which
# begins at the application's first line and shows nothing of importlib or of this file.
#
# The caller prepares sys.path; only for a target that is a file its directory is added.

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import ModuleType
from typing import Any

from bigtop import paste
from bigtop.errors import AppError, one_line
from bigtop.interface import App, Shape, shape_of
from bigtop.record import Record
from bigtop.target import Target, is_file, parse

DEFAULT_NAMES = ("application", "app")

_SPEAKS = {Shape.WSGI: "wsgi", Shape.ASGI: "asgi", Shape.ASGI2: "asgi"}
_UNKNOWN = {
    Shape.NEITHER: "takes neither (environ, start_response) nor, awaited, (scope, receive, send)",
    Shape.HIDDEN: "does not show whether it takes (environ, start_response) or (scope, receive, send)",
}
_GIVE_INTERFACE = "say what it speaks with --interface wsgi or --interface asgi"


class LoadedApp(Record):
    """An application, ready to be called; one for ASGI is always called as app(scope, receive, send)."""

    app: App
    interface: str  # "wsgi" or "asgi"
    target: str  # in full, as "pkg.mod:attr"


def load(
    target: str, *, factory: bool = False, interface: str | None = None, otherwise: str | None = None
) -> LoadedApp:
    """Import the application that `target` names; AppError when that fails, for whatever reason.

    Forms: `pkg.mod:attr`, `pkg.mod:attr.attr`, `pkg.mod:factory("literal", key=1)`, `pkg.mod` (DEFAULT_NAMES
    in order), `path/to/file.py` in place of the module, and `paste:path/to/file.ini#name`. `factory` calls
    the attribute without arguments; `interface` and `otherwise` are those of recognised().
    """
    if paste.is_named(target):
        with _application_code(f"cannot load {target}"):
            app = paste.load(target)
        return recognised(app, target, interface=interface, otherwise="wsgi")
    wanted = parse(target)
    if factory and wanted.call is None:
        wanted = Target(wanted.module, wanted.path, ((), {}))
    module = _import(wanted.module)
    path, app = _find(module, wanted.path)
    name = f"{module.__name__}:{path}"
    if wanted.call is not None:
        args, kwargs = wanted.call
        name += "()"
        if not callable(app):
            raise AppError(f"{name}: {path} is of type {type(app).__name__}: it cannot be called")
        with _application_code(f"{name} failed"):
            app = app(*args, **kwargs)
    if not callable(app):
        raise AppError(f"{name} is not an application: it is of type {type(app).__name__}, not callable")
    made = wanted.call is not None
    return recognised(app, name, interface=interface, otherwise=otherwise, made=made)


# ---- the module


def _import(name: str) -> ModuleType:
    file = None
    if is_file(name):
        file = os.path.abspath(name)
        if not os.path.isfile(file):
            raise AppError(f"there is no file {file}")
        name = _module_of(file)
    with _application_code(f"cannot import {name}", lambda error: _missing_module(error, name)):
        module = importlib.import_module(name)
    if file and not os.path.samefile(module.__file__ or os.devnull, file):
        raise AppError(
            f"{file}: another module named {name} is imported ({module.__file__}): rename the file"
        )
    return module


def _module_of(file: str) -> str:
    """Return the dotted name of a file, and make its top directory importable."""
    directory, stem = os.path.split(file.removesuffix(".py"))
    if "." in stem:
        raise AppError(f"{file} cannot be imported with a dot in its name: rename it")
    parts = [] if stem == "__init__" else [stem]
    while os.path.exists(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return ".".join(parts)


def _missing_module(error: BaseException, wanted: str) -> str:
    """Return what to say when `wanted` itself is not there, "" when its code missed something else."""
    if not isinstance(error, ModuleNotFoundError) or not error.name or _application_frames(error):
        return ""
    import pkgutil

    missing = error.name
    parent, _, last = missing.rpartition(".")
    what = f"there is no module {missing}" + (f" (wanted {wanted})" if missing != wanted else "")
    if not parent:
        places = ", ".join(entry or os.getcwd() for entry in sys.path)
        return (
            what + _suggest(last, (found.name for found in pkgutil.iter_modules())) + f"; looked in {places}"
        )
    package = sys.modules[parent]  # importing x.y begins with x
    if last in vars(package):
        return f"{what}, but an attribute of that name: write {parent}:{last}"
    search = list(package.__path__) if hasattr(package, "__path__") else []
    return what + _suggest(last, (found.name for found in pkgutil.iter_modules(search)), f"{parent}.")


# ---- the attribute


def _find(module: ModuleType, path: str) -> tuple[str, Any]:
    """Return the attribute's path and the attribute."""
    name = module.__name__
    if not path:
        for default in DEFAULT_NAMES:
            if default in vars(module):
                return default, vars(module)[default]
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise AppError(f"module {name} has neither {' nor '.join(DEFAULT_NAMES)}{_suggest('app', own)}")
    with _application_code(f"cannot get {name}:{path}", lambda error: _missing_attribute(error, name, path)):
        return path, attrgetter(path)(module)


def _missing_attribute(error: BaseException, module: str, path: str) -> str:
    if not isinstance(error, AttributeError) or error.name not in path.split("."):
        return ""
    return f"{module}:{path}: there is no attribute {error.name!r}{_suggest(error.name, dir(error.obj))}"


def _suggest(word: str, names: Iterable[str], prefix: str = "") -> str:
    from difflib import get_close_matches

    near = [prefix + name for name in get_close_matches(word, names)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


# ---- the application's own failures


@contextmanager
def _application_code(doing: str, explain: Callable[[BaseException], str] = lambda _: "") -> Iterator[None]:
    """Turn what the application raises into an AppError; `explain` may find that the target was at fault."""
    try:
        yield
    except AppError:
        raise
    except (Exception, SystemExit) as error:  # foreign code runs here: it may raise anything, even sys.exit()
        if message := explain(error):
            raise AppError(message) from None
        raise failure(doing, error) from error


def failure(doing: str, error: BaseException) -> AppError:
    """Return the AppError that says what the application raised, with the traceback of its own code."""
    report = traceback.TracebackException.from_exception(error)
    called = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else ""
    reason = called or f"{type(error).__name__}: {report}"
    return AppError(one_line(f"{doing}: {reason}"), _without_our_frames(report))


def _without_our_frames(report: traceback.TracebackException) -> str:
    part: traceback.TracebackException | None = report
    while part is not None:
        part.stack[:] = [frame for frame in part.stack if not _is_machinery(frame.filename)]
        part = part.__cause__ or part.__context__
    return "".join(report.format())


def _application_frames(error: BaseException) -> bool:
    return any(not _is_machinery(frame.filename) for frame in traceback.extract_tb(error.__traceback__))


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename in (__file__, importlib.__file__)


# ---- the interface


def recognised(
    app: App, name: str, *, interface: str | None = None, otherwise: str | None = None, made: bool = True
) -> LoadedApp:
    """Return an application with what it speaks: `interface`, else what it shows, else `otherwise`; AppError
    where there is none of them. `made`: it came from a factory, and is none itself."""
    shape = shape_of(app)
    speaks = interface or _SPEAKS.get(shape) or otherwise
    if speaks is None:
        hints = [_GIVE_INTERFACE]
        if not made:
            hints.append(f"if it makes the application, add --factory or write '{name}()'")
        if shape is Shape.NEITHER:
            hints.reverse()
        raise AppError(f"{name} {_UNKNOWN[shape]}: {'; '.join(hints)}")
    if speaks == "asgi2" or (speaks == "asgi" and shape is Shape.ASGI2):
        return LoadedApp(_asgi3(app), "asgi", name)
    return LoadedApp(app, speaks, name)


def _asgi3(app: App) -> App:
    async def asgi3(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return asgi3
