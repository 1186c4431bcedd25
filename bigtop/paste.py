# Applications that a PasteDeploy file describes: paste:FILE, or paste:FILE#NAME for another one than "main".
#
# PasteDeploy itself is imported when the application is loaded, so nobody else needs it.

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from bigtop.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from configparser import ConfigParser

_PREFIX = "paste:"
_NEEDED = "paste: applications need PasteDeploy: pip install 'bigtop[paste]'"


def is_named(target: str) -> bool:
    return target.startswith(_PREFIX)


def check(target: str, base: str) -> None:
    """AppError: PasteDeploy is missing, or the file, or the application in it. Nothing is imported."""
    from importlib.util import find_spec  # here, as all of it: few applications are made by PasteDeploy

    if find_spec("paste") is None or find_spec("paste.deploy") is None:
        raise AppError(_NEEDED)
    file, name = _parts(target, base)
    kinds = ("app", "application", "composite", "composit", "filter-app", "pipeline")
    sections = _read(target, file).sections()
    wanted = {f"{kind}:{name}" for kind in kinds} | ({*kinds} if name == "main" else set())
    if wanted.isdisjoint(sections):
        raise AppError(f"{target}: {file} has no section [app:{name}]; it has {', '.join(sections)}")


def load(target: str) -> Any:
    """Return the application; raises whatever its code raises, and AppError where there is none."""
    check(target, os.getcwd())
    from paste.deploy import loadapp

    file, name = _parts(target, os.getcwd())
    return loadapp(f"config:{file}", name=name)


def configure_logging(target: str) -> None:
    """Set Python's logging up as the file says, where it says anything. AppError: it cannot be followed."""
    file, _ = _parts(target, os.getcwd())
    if not _read(target, file).has_section("loggers"):
        return
    from logging.config import fileConfig  # here, as in _read(): no other application needs these

    try:
        here = {"__file__": file, "here": os.path.dirname(file)}
        fileConfig(file, here, disable_existing_loggers=False)
    except Exception as error:  # whatever the handlers raise that it names
        raise AppError(f"{target}: logging as in {file}: {type(error).__name__}: {error}") from error


def server(target: str, base: str) -> tuple[str, dict[str, str]] | None:
    """Return how the file would be served by its own means: where the section [server:main] stands, as
    FILE:LINE, and what it says; None where there is none."""
    file, _ = _parts(target, base)
    parser = _read(target, file, defaults="")  # so that what [DEFAULT] says is not said by all sections
    name = next((name for name in ("server:main", "server") if parser.has_section(name)), None)
    if name is None:
        return None
    names = dict(parser["DEFAULT"]) if parser.has_section("DEFAULT") else {}
    names |= {"__file__": file, "here": os.path.dirname(file)}
    says = {key: _filled_in(value, names) for key, value in parser[name].items()}
    with open(file, encoding="utf-8") as lines:
        begins = (number for number, line in enumerate(lines, 1) if line.startswith(f"[{name}]"))
        return f"{file}:{next(begins)}", says


def _filled_in(value: str, names: Mapping[str, str]) -> str:
    """Return `value` with what %(NAME)s stands for; a name that nobody knows stays as it is."""
    return re.sub(r"%\((\w+)\)s", lambda found: names.get(found[1].lower(), found[0]), value)


def _parts(target: str, base: str) -> tuple[str, str]:
    """Return the file, absolute, and the name of the application."""
    file, _, name = target.removeprefix(_PREFIX).partition("#")
    return os.path.abspath(os.path.join(base, file)), name or "main"


def _read(target: str, file: str, defaults: str = "DEFAULT") -> ConfigParser:
    if not os.path.isfile(file):
        raise AppError(f"{target}: there is no file {file}")
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",), default_section=defaults)
    try:
        parser.read(file, encoding="utf-8")
    except (OSError, Error, UnicodeDecodeError) as error:
        raise AppError(f"{target}: {' '.join(str(error).split())}") from error
    return parser
