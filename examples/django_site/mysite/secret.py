# A secret key for people who only want to look: made at the first start, in a file that others cannot read.
#
# A real site takes its key from the environment (DJANGO_SECRET_KEY) and does not need this file.

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def key_in(path: Path) -> str:
    """Return the key in `path`, which is made if it is missing.

    Several processes may get here at once, and all must end up with the same key: link(2) fails for all
    but the first, and nobody ever sees a file that is half written.
    """
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # of mode 0600
            draft.write(secrets.token_urlsafe(50))
            draft.flush()
            with suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text()
