# The program `bigtop`: runs its command line, and turns errors into one message and an exit status.
#
# Rule: serving does without click, which takes a quarter of the time until a site is there.
# Exit statuses: 2 a command line that cannot be understood (click's, as usual), 78 a wrong value, 1 an
# address that cannot be bound, 3 an application that cannot be loaded, 4 a pid file that another one holds.

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from bigtop.errors import AppError, BigtopError, one_line
from bigtop.system import descriptors, signals

if TYPE_CHECKING:
    import socket


def main(early: tuple[int, socket.socket, int] | None = None) -> NoReturn:
    """Run the program. `early` is a fork server that waits to be told what it serves (head_start.py)."""
    descriptors.settle()
    signals.heed_children()
    try:
        sys.exit(_run(early))
    except BigtopError as error:
        _report(error)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:  # as click says it
        print("\nAborted!", file=sys.stderr)
        sys.exit(1)


def _run(early: tuple[int, socket.socket, int] | None) -> int:
    completes = "_BIGTOP_COMPLETE" in os.environ
    if sys.argv[1:2] == ["serve"] and not completes:
        from bigtop.cli.serve import serve

        sources = serve.gathered(sys.argv[2:])
        if sources is not None:
            return serve.run(sources, early)
    if completes:
        importlib.import_module("bigtop.cli.completion").prepare()
    from bigtop.cli.root import root

    status: int = root(prog_name="bigtop", obj=early)
    return status


def _report(error: BigtopError) -> None:
    import click

    if isinstance(error, AppError) and error.traceback:
        click.echo(error.traceback.rstrip(), err=True)
    for line in str(error).split("\n"):
        click.echo(f"bigtop: {one_line(line)}", err=True)
