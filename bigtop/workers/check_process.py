# The process of a check command: becomes the user of the application, where that runs, and then the command.
#
# Started by supervisor/verification.py as `python -P -m bigtop.workers.check_process ORDERS COMMAND`.

from __future__ import annotations

import os
import sys
from typing import NoReturn

from bigtop.errors import BigtopError
from bigtop.workers import identity
from bigtop.workers.bootstrap import Bootstrap, Identity
from bigtop.workers.forkserver import take

_SHELL = "/bin/sh"


def main(argv: list[str]) -> NoReturn:
    wanted = Bootstrap.decode(take(int(argv[1]))).identity
    try:
        identity.assume(wanted)
    except BigtopError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
    _find_modules(wanted)
    os.execv(_SHELL, [_SHELL, "-c", argv[2]])  # noqa: S606 - this is the shell


def _find_modules(wanted: Identity) -> None:
    """Have programs in Python find what the application finds by --pythonpath."""
    known = os.environ.get("PYTHONPATH")
    if wanted.pythonpath:
        os.environ["PYTHONPATH"] = os.pathsep.join([*wanted.pythonpath, *([known] if known else [])])


if __name__ == "__main__":
    main(sys.argv)
