# `python -m tests.support.profiled FILE ARGS...`: the program `bigtop ARGS`, which writes to FILE each
# function of Bigtop that its own process calls, as MODULE:FUNCTION, one per line, while it runs.

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

from bigtop.cli import main

ROOT = str(Path(main.__file__).parents[1]) + "/"
# The look for late workers comes once a second, and belongs to no path.
ASIDE = "supervisor/core.py:Supervisor._look"


def profile(fd: int) -> None:
    aside = False

    def note(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal aside
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(ROOT):
            return
        line = f"{code.co_filename.removeprefix(ROOT)}:{code.co_qualname}"
        if line == ASIDE:
            aside = event == "call"
        elif event == "call" and not aside:
            os.write(fd, f"{line}\n".encode())

    sys.setprofile(note)


if __name__ == "__main__":
    file, *sys.argv[1:] = sys.argv[1:]
    profile(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    main.main()
