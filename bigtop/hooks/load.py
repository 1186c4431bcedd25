# Hooks as functions, out of the files and modules that were executed in this process.

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from functools import cached_property
from typing import Any

from bigtop.errors import ConfigError, one_line
from bigtop.hooks import log, source
from bigtop.hooks.cfg import Cfg
from bigtop.hooks.spec import HookSpec

Hook = Callable[..., Any]


class LoadedHooks:
    """The hooks of this process and its log; each location has to be executed before. ConfigError says what
    is wrong with what the log is told."""

    def __init__(self, spec: HookSpec) -> None:
        self._names = spec.names
        self._namespace: dict[str, Any] = {}
        for location in spec.locations:
            self._namespace.update(source.namespace_of(location))
        self.cfg = Cfg(spec.settings, self._namespace)
        self.log = log.of(self.cfg)

    @cached_property
    def functions(self) -> dict[str, Hook]:
        """All by name; ConfigError for texts that name nothing."""
        return {name: _function(name, self._namespace[name]) for name in self._names}

    def take_over(self) -> None:
        """This process is of the application: have its log be that of Bigtop's words, too."""
        if log.is_asked_for(self.cfg):
            log.forward()

    def reopen_logs(self) -> None:
        """Files were rotated."""
        reopen = getattr(self.log, "reopen_files", None)  # which a class of its own kind may lack
        if reopen is not None:
            reopen()

    @property
    def logs_accesses(self) -> bool:
        """Whether accesses go through the log; otherwise Bigtop writes them by itself."""
        return log.is_asked_for(self.cfg) or log.has_filters()


def _function(name: str, given: Any) -> Hook:
    try:
        found: Hook = pkgutil.resolve_name(given) if isinstance(given, str) else given
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(one_line(f"{name}: {given}: {error}")) from error
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
