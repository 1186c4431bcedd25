# Includes: the further files that `include` and `include_dir` of a [circus] section name.
#
# As Circus has it: only the main file's own are followed, paths count from its directory, and variables are
# those of our own environment, since no env section is known yet.

from __future__ import annotations

import glob
import os
from collections.abc import Mapping

from bigtop.config.file.text.document import Entry, Place, Problems
from bigtop.config.file.text.expand import expand


def included(
    path: str, circus: Mapping[str, Entry], environ: Mapping[str, str], problems: Problems
) -> list[tuple[str, Place]]:
    """Return the files, each with the place that asked for it."""
    here = os.path.dirname(path)
    all_of_them = "*.toml" if path.endswith(".toml") else "*.ini"
    found: list[tuple[str, Place]] = []
    for name in ("include", "include_dir"):
        entry = circus.get(name, Entry((), Place(path, 1)))
        for word in expand(" ".join(entry.texts), environ).split():
            pattern = (
                os.path.join(here, word, all_of_them) if name == "include_dir" else os.path.join(here, word)
            )
            matches = glob.glob(pattern)
            if not matches:
                problems.warn(entry.place, f"{name}: {word!r} leads to no file; it counts from {path}")
            found += [(match, entry.place) for match in matches]
    return found
