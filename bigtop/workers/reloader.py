# Watches source files and says when one changed: --reload, for development.
#
# A process of its own, started by launch/ as `python -m bigtop.workers.reloader PARENT DIR... -- FILE...`:
# the watching library and its threads stay out of the supervisor. Rule: it knows nothing of what follows; one
# line on stdout per set of changes is all it says, and it ends when its parent does.

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bigtop.system import kernel

_SETTLE_MS = 200  # editors and version control write many files at once; that is one change


def changes(folders: Sequence[str], extra: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths that changed, a list for each set of changes: Python files below `folders`, and files
    that match one of the absolute paths or glob patterns in `extra`."""
    from watchfiles import Change, watch

    # "**/" may be no folder at all.
    patterns = {*extra, *(pattern.replace("/**/", "/") for pattern in extra)}

    def wanted(_change: Change, path: str) -> bool:
        return path.endswith(".py") or any(fnmatch.fnmatch(path, pattern) for pattern in patterns)

    roots = {str(Path(folder).resolve()) for folder in folders}
    roots |= {str(_existing_parent(pattern)) for pattern in extra}
    for found in watch(*roots, watch_filter=wanted, step=_SETTLE_MS, raise_interrupt=False):
        yield sorted({path for _, path in found})


def _existing_parent(pattern: str) -> Path:
    """Return the deepest folder that exists and holds whatever `pattern` may match."""
    parent = Path(pattern)
    while not parent.is_dir() or any(sign in str(parent) for sign in "*?["):
        parent = parent.parent
    return parent


def main(arguments: Sequence[str]) -> int:
    parent, *arguments = arguments
    kernel.set_title("bigtop: reloader")
    kernel.die_with_parent()
    if os.getppid() != int(parent):  # it was gone before that, and nobody would tell
        return 0
    split = arguments.index("--")
    for paths in changes(arguments[:split], arguments[split + 1 :]):
        print(", ".join(os.path.relpath(path) for path in paths), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
