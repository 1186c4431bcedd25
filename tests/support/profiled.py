# `python -m tests.support.profiled FILE ARGS...`: the program `bigtop ARGS`, which writes to FILE each
# function of Bigtop that its own process calls, as MODULE:FUNCTION, one per line, while it runs.

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

from bigtop.cli import main

ROOT = str(Path(main.__file__).parents[1]) + "/"


def profile(fd: int) -> None:
    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            os.write(fd, f"{code.co_filename.removeprefix(ROOT)}:{code.co_qualname}\n".encode())

    sys.setprofile(note)


if __name__ == "__main__":
    file, *sys.argv[1:] = sys.argv[1:]
    profile(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    main.main()
