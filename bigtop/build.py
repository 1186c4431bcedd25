# Build of Bigtop: which modules of every request setup.py compiled, where that could be done.

from __future__ import annotations

from importlib.util import find_spec


def kind() -> str:
    """Return "compiled" or "pure Python"."""
    spec = find_spec("bigtop.http.engine")
    is_source = spec is None or spec.origin is None or spec.origin.endswith(".py")
    return "pure Python" if is_source else "compiled"
