# Calls that last exactly as long as a test wants: until it opens their gate.
#
# A call that sleeps is over at some time, whether the test was there meanwhile or not. One at a gate stays
# there from when entered() says so until open().

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


class Gate:
    """Holds all calls of `target`, in a with statement. See tests/apps/gate.py for the application's side."""

    def __init__(self, view: str = "/held") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bigtop-gate-"))
        self.path = str(self._folder / "open")
        self.target = view + self.path

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.open()
        shutil.rmtree(self._folder, ignore_errors=True)

    def entered(self) -> int:
        """Return how many calls have come here."""
        here = Path(f"{self.path}.in")
        return here.stat().st_size if here.exists() else 0

    def open(self) -> None:
        """Let all calls go on, those that come later too."""
        Path(self.path).touch()
