# The FILE of `bigtop run` and `bigtop check`, read; one of another program's is told as such.

from __future__ import annotations

import os

from bigtop.config.file import daemon
from bigtop.config.file.daemon import Resolved
from bigtop.errors import ConfigError


def resolved(file: str) -> Resolved:
    """Read a file; ConfigError with a line for each mistake, or with how another program's is converted."""
    try:
        found = daemon.resolve(file, os.environ)
    except ConfigError as error:
        raise _of_another(file) or error from None
    is_empty = not (found.daemon.watchers or found.daemon.apps or found.daemon.plugins)
    if is_empty and (told := _of_another(file)):  # whose sections mean nothing here
        raise told
    return found


def _of_another(file: str) -> ConfigError | None:
    from bigtop.config.convert import sources  # for mistakes only

    whose = "" if file.endswith(".toml") else sources.whose(file)
    if not whose or whose == sources.CIRCUS:
        return None
    return ConfigError(
        f"{file}: is no file for Bigtop as it stands ({whose}); "
        f"make one of it: bigtop convert {file} -o bigtop.toml"
    )
