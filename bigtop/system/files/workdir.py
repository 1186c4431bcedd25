# The working directory by the name that leads to it, which may lead elsewhere later.
#
# A deploy may switch a symbolic link, `current -> releases/2`. The kernel knows a working directory without
# the links that led to it; a shell keeps the name in $PWD. gunicorn and Circus believe $PWD as well.

from __future__ import annotations

import os


def current() -> str:
    """Return $PWD where it names the directory in which we are, else what the kernel calls that."""
    name = os.environ.get("PWD", "")
    try:
        if name.startswith("/") and os.path.samefile(name, "."):
            return os.path.normpath(name) if ".." not in name.split("/") else os.getcwd()
    except OSError:  # it is of somewhere else, or may not be looked at
        pass
    return os.getcwd()


def absolute(path: str) -> str:
    """Return `path` as os.path.abspath does, with the links that led here."""
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(current(), path))


def is_current(path: str) -> bool:
    try:
        return os.path.samefile(path, ".")
    except OSError:
        return False


def enter(name: str) -> str:
    """Go to where `name` leads now, and return that directory without links; OSError if we cannot."""
    try:
        os.chdir(name)
    except PermissionError:
        # Whoever started us stood in a directory that we may not reach from above.
        if name != os.getcwd():
            raise
    return os.getcwd()
