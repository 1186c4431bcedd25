# `bigtop run FILE`: supervise what a configuration file names.

from __future__ import annotations

import os

import click

from bigtop.config import daemon

_HELP = """\
Run everything that FILE names, until told to stop: INI as Circus has it, or TOML.

`bigtop check FILE` shows what it comes to; `bigtop ctl` steers what runs. TERM stops everything in order, INT
and QUIT do so at once, HUP reloads every watcher, USR1 opens the log files anew.

Ends with 0 when it was told to stop, 1 when a critical watcher gave up or an address cannot be bound, and 78
for a file that is wrong, after having named every mistake and started nothing.
"""


@click.command("run", help=_HELP)
@click.argument("file", type=click.Path())
def command(file: str) -> None:
    spec = daemon.load(file)
    # The whole supervisor hangs on this import; --help does without.
    from bigtop.launch.daemon import run

    click.get_current_context().exit(run(os.path.abspath(file), spec))
