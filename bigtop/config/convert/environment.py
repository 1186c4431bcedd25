# A file of variables that another program reads, as an env_file of the new file.

from __future__ import annotations

from collections.abc import Mapping

from bigtop.config.file.text.expand import read_env_file


def is_read_alike(path: str, theirs: Mapping[str, str]) -> bool:
    """Whether an env_file of this path holds the variables that the other program finds there."""
    try:
        return read_env_file(path) == theirs
    except ValueError:
        return False
