# A DNS hook for pebble which holds an order up in its middle until it is let.

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from tests.support.pebble import Pebble

_PROGRAM = """#!/bin/sh
case $1 in
present) word=set-txt; more=", \\"value\\": \\"$3\\""; echo $2 >>"$0.called"; read let <"$0.gate";;
cleanup) word=clear-txt;;
esac
exec curl -sf -d "{\\"host\\": \\"$2\\"$more}" http://127.0.0.1:PORT/$word
"""


class DnsGate:
    """Closed until open(), in a with statement."""

    def __init__(self, folder: Path, pebble: Pebble) -> None:
        self.program = str(folder / "hook")
        path = Path(self.program)
        path.write_text(_PROGRAM.replace("PORT", str(pebble.dns_management)))
        path.chmod(0o755)
        os.mkfifo(f"{path}.gate")
        self._called = Path(f"{path}.called")
        self._gate = os.open(f"{path}.gate", os.O_RDWR)  # as long as it is open, readers wait

    def __enter__(self) -> DnsGate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._gate)

    def is_asked(self) -> bool:
        """Whether somebody stands before it."""
        return self._called.exists()

    def open(self) -> None:
        os.write(self._gate, b"\n" * 10)
