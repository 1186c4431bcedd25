# Files that an application returns in wsgi.file_wrapper, as the kernel sends them.

from __future__ import annotations

import io
import os
from typing import Any

from bigtop.backends.native.handlers.file_answers import is_stored
from bigtop.http.handlers import FilePart


def file_part(file: Any) -> FilePart | None:
    """Return what is left to read of `file`, if that is what the file on the disk holds, byte by byte."""
    plain = _plain_file(file)
    if plain is None:
        return None
    try:
        # where read() goes on, whatever is buffered; what is not written yet lies before
        offset = plain.tell()
        status = os.fstat(plain.fileno())
    except (OSError, ValueError):  # a pipe, or closed: reading says what is wrong
        return None
    if not is_stored(status):
        return None
    return FilePart(plain.fileno(), offset, max(0, status.st_size - offset))


def _plain_file(file: Any) -> Any:
    """Return the file of Python's own of which read() is what `file` has as read(); None if there is none.

    What else has a fileno() may read something else than is in the file (gzip), or only a part of it.
    Wrappers that pass on read() as it is, as Django's File does, are as good as what they wrap.
    """
    read = getattr(file, "read", None)
    plain: Any = getattr(read, "__self__", None)
    if type(plain) is io.BufferedReader or type(plain) is io.BufferedRandom:
        is_plain = type(getattr(plain, "raw", None)) is io.FileIO
    else:
        is_plain = type(plain) is io.FileIO
    return plain if is_plain and read == plain.read else None
