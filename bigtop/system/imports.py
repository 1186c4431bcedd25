# Imports of modules of Python as where another one, which they can do without, is not there.
#
# Rule: only for what takes time or memory and has no use here: asyncio takes OpenSSL along, getopt takes what
# translates its messages. None in sys.modules is how import statements are told that a module is not there.

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def import_without(name: str, absent: str) -> ModuleType:
    """Import `name` while `absent` cannot be, unless it was before; whoever else wants that one has it later.
    Main thread only, before there are others."""
    if absent in sys.modules:
        return importlib.import_module(name)
    sys.modules[absent] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[absent]
