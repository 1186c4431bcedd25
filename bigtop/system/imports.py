# Imports of modules of Python as where another one, which they can do without, is not there yet, or ever.
#
# Rule: only for what takes time or memory and has no use here: asyncio takes OpenSSL along, subprocess the
# names of all locales, getopt what translates its messages. None in sys.modules is how import statements are
# told that a module is not there.

from __future__ import annotations

import importlib
import sys
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


def import_without(name: str, absent: str, later: tuple[str, ...] = ()) -> ModuleType:
    """Import `name` while `absent` cannot be, unless it was before; whoever else wants that one has it later.
    Those of `later` are imported when `name`, or what it imports, uses them. Main thread only, before there
    are others."""
    kept: dict[str, Any] = {} if absent in sys.modules else {absent: None}
    kept |= {other: _Later(other) for other in later if other not in sys.modules}
    sys.modules.update(kept)
    try:
        return importlib.import_module(name)
    finally:
        for other in kept:
            del sys.modules[other]
