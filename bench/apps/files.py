# Makes the files of the scenarios about static files: python -m bench.apps.files FOLDER

from __future__ import annotations

import sys
from pathlib import Path

SIZES = {"small.css": 2_000, "large.bin": 8_000_000}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in SIZES.items():
        (folder / name).write_bytes(b"x" * size)
