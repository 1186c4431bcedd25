# Target of `bigtop serve`: the text that names an application, as "pkg.mod:attr".

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bigtop import paste
from bigtop.errors import AppError
from bigtop.record import Record

if TYPE_CHECKING:
    import ast


class Target(Record):
    """What names an application."""

    module: str  # a dotted name, or the path of a file
    path: str  # dotted attributes; "" means DEFAULT_NAMES
    call: tuple[tuple[Any, ...], dict[str, Any]] | None  # arguments, when the attribute is to be called


def parse(target: str) -> Target:
    """Return what `target` says; AppError: it is none."""
    module, _, expression = target.partition(":")
    if not module or not (is_file(module) or all(part.isidentifier() for part in module.split("."))):
        raise AppError(f"{target!r} does not name an application: write pkg.mod:attr or path/to/file.py:attr")
    if not expression:
        return Target(module, "", None)
    if all(part.isidentifier() for part in expression.split(".")):
        return Target(module, expression, None)
    import ast  # here: most targets are names, and a supervisor needs nothing else of it

    try:
        node = ast.parse(expression.strip(), mode="eval").body
        if isinstance(node, ast.Call):
            args = tuple(ast.literal_eval(argument) for argument in node.args)
            kwargs = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in node.keywords}
            if "" not in kwargs:  # that would be **something
                return Target(module, _dotted(node.func), (args, kwargs))
        return Target(module, _dotted(node), None)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise AppError(
            f"{expression!r} in {target!r} is not understood: "
            "write attr, attr.attr or factory(...) with literal arguments"
        ) from None


def is_file(module: str) -> bool:
    """Whether the module of a target is the path of a file."""
    return module.endswith(".py") or os.sep in module


def _dotted(node: ast.expr) -> str:
    import ast

    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise ValueError("not a dotted name")


def check(target: str, base: str) -> None:
    """Find out what is wrong with `target` without importing anything; AppError says it. Names of files count
    from the folder `base`."""
    if paste.is_named(target):
        paste.check(target, base)
        return
    module = parse(target).module
    if is_file(module) and not os.path.isfile(os.path.join(base, module)):
        raise AppError(f"there is no file {os.path.join(base, module)}")
