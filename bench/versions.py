# Other versions of Bigtop beside the one that runs: its files by links, but for those that are changed.

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import bigtop
from bench.workshop import ROOT

SOURCE = Path(bigtop.__file__).parent  # of this checkout, or what was compiled of it
VERSION = '__version__ = "9.9.9"'
FIRST = "from __future__ import annotations\n"
ORDER = 'os.environ.get("BIGTOP_UPGRADE", "")'  # "probe:...", "over:...", or empty in all other processes


class Versions:
    """In `folder`, where `current` leads to the one that is installed; `path` is for PYTHONPATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.current = folder / "current"
        self.path = f"{self.current}{os.pathsep}{ROOT}"
        self.install({})

    def install(self, changed: Mapping[str, tuple[str, str]]) -> None:
        """Have a new one be installed, in whose files (below bigtop/) the first text is the second one."""
        self._count += 1
        root = self._folder / f"v{self._count}" / "bigtop"
        _mirror(SOURCE, root, set(changed) | {"__init__.py"})
        for name, (old, new) in changed.items():
            text = (SOURCE / name).read_text()
            assert old in text
            (root / name).write_text(text.replace(old, new, 1))
        link = self._folder / "next"
        link.symlink_to(root.parent)
        os.replace(link, self.current)


def _mirror(source: Path, target: Path, real: set[str]) -> None:
    """Make `target` like `source`, with the files `real` copied and all others linked."""
    target.mkdir(parents=True)
    for entry in source.iterdir():
        below = {name.partition("/")[2] for name in real if name.startswith(f"{entry.name}/")}
        if below:
            _mirror(entry, target / entry.name, below)
        elif entry.name in real:
            (target / entry.name).write_bytes(entry.read_bytes())
        elif entry.name != "__pycache__":
            (target / entry.name).symlink_to(entry)
