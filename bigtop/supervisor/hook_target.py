# Target of a hook: what is to be called, as people write it.

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

_FLAGS = dict.fromkeys(("yes", "true", "on", "1"), True) | dict.fromkeys(("no", "false", "off", "0"), False)


def parse(text: str) -> tuple[str, bool]:
    """Return the target in "DOTTED.NAME" or "!COMMAND", and whether its failure is ignored: "TARGET,yes".

    ValueError says what is wrong with it, as far as can be told without importing anything.
    """
    target, comma, flag = text.rpartition(",")
    if not comma or (text.startswith("!") and flag.strip().lower() not in _FLAGS):
        target, flag = text, "no"  # a comma of the command's own
    target, flag = target.strip(), flag.strip().lower()
    if not re.fullmatch(r"!\s*\S.*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", target, re.DOTALL):
        raise ValueError(f"must be a dotted name such as mymodule.before_start, or !COMMAND, got {text!r}")
    if flag not in _FLAGS:
        raise ValueError(f"must end with ,yes or ,no or neither, got {text!r}")
    if not target.startswith("!"):
        _look_for(target)
    return target, _FLAGS[flag]


def _look_for(target: str) -> None:
    """ValueError: the module of a dotted name is not there."""
    path: Sequence[str] | None = None
    name = ""
    for part in target.split("."):
        name = f"{name}.{part}" if name else part
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None and path is None:
            raise ValueError(f"there is no module {name} here; PYTHONPATH says where else to look")
        if spec is None:
            return  # an attribute
        if spec.submodule_search_locations is None:
            if name == target:
                break
            return  # a module whose attribute the rest is
        path = list(spec.submodule_search_locations)
    raise ValueError(f"{target} is a module: name what is to be called in it")
