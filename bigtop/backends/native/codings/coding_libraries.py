# Libraries of the content codings: which of them are installed, how to get the others, how much they may
# take.

from __future__ import annotations

import importlib.util
import sys
from typing import Final

from bigtop.http.answers.codings import CODINGS

STREAM: Final = 17  # log2 of the window of a body without a known end, in bytes: it lasts, and costs memory


def library_of(coding: str) -> str:
    """Return the name of the package that encodes into `coding`, "" where Python does so by itself."""
    if coding == "br":
        return "brotli"
    return "zstandard" if coding == "zstd" and sys.version_info < (3, 14) else ""


def is_there(coding: str) -> bool:
    name = library_of(coding)
    return not name or importlib.util.find_spec(name) is not None


def problem(coding: str) -> str:
    """Return why bodies cannot be encoded into `coding`, "" if they can."""
    if coding not in CODINGS:
        return f"there is no {coding}; known are {', '.join(CODINGS)}"
    if is_there(coding):
        return ""
    return f"{coding} needs the package {library_of(coding)}: pip install 'bigtop[compress]'"


def installed() -> tuple[str, ...]:
    """Return what bodies can be encoded into here, the best first."""
    return tuple(coding for coding in CODINGS if is_there(coding))
