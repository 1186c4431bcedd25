# Hooks as functions, out of the files and modules that were executed in this process.

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from bigtop.hooks import source
from bigtop.hooks.cfg import Cfg
from bigtop.hooks.log import Log
from bigtop.hooks.spec import HookSpec

Hook = Callable[..., Any]


class Loaded:
    """The hooks of this process; each location has to be executed before."""

    def __init__(self, spec: HookSpec) -> None:
        namespace: dict[str, Any] = {}
        for location in spec.locations:
            namespace.update(vars(source.module_of(location)))
        self.functions: dict[str, Hook] = {name: _function(namespace[name]) for name in spec.names}
        self.cfg = Cfg(spec.settings, namespace)
        self.log = Log(self.cfg)


def _function(given: Any) -> Hook:
    found: Hook = pkgutil.resolve_name(given) if isinstance(given, str) else given
    return found


def arguments(function: Hook) -> int:
    """Return how many arguments a hook takes at most, -1 for any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a built-in function
        return -1
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return -1
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)


def fitting(function: Hook, most: int) -> Hook:
    """Return a function that takes `most` arguments and gives `function` as many of them as it takes."""
    count = arguments(function)
    return function if not 0 <= count < most else lambda *given: function(*given[:count])
