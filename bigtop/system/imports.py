# Imports of modules of Python as where another one, which they can do without, is not there yet, or ever.
#
# Rule: only for what takes time or memory and has no use here: asyncio takes OpenSSL and `subprocess` along,
# getopt what translates its messages. None in sys.modules is how import statements are told that a module is
# not there.

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module that is imported as soon as something of it is used, by whichever thread."""

    def __getattr__(self, attribute: str) -> Any:
        module = importlib.import_module(self.__name__)
        vars(self).update(vars(module))
        try:
            return vars(self)[attribute]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}") from None


def import_without(
    name: str, absent: str, later: Mapping[str, Mapping[str, Any]] | None = None
) -> ModuleType:
    """Import `name` while `absent` cannot be, unless it was before; whoever else wants that one has it later.
    Those of `later` are imported when `name`, or what it imports, uses more of them than what is given here.
    Main thread only, before there are others."""
    kept: dict[str, Any] = {} if absent in sys.modules else {absent: None}
    for other, known in (later or {}).items():
        if other not in sys.modules:
            kept[other] = _Later(other)
            vars(kept[other]).update(known)
    sys.modules.update(kept)
    try:
        return importlib.import_module(name)
    finally:
        for other in kept:
            del sys.modules[other]
