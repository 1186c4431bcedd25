# `bigtop run FILE`: supervise what a configuration file names.

from __future__ import annotations

from dataclasses import replace

import click

from bigtop.cli.detach import detach
from bigtop.config import daemon
from bigtop.log import LEVELS

_HELP = """\
Run everything that FILE names, until told to stop: INI as Circus has it, or TOML.

`bigtop check FILE` shows what it comes to; `bigtop ctl` steers what runs. TERM stops everything in order, INT
and QUIT do so at once, HUP reloads every watcher, USR1 opens the log files anew.

Ends with 0 when it was told to stop, 1 when a critical watcher gave up or an address cannot be bound, and 78
for a file that is wrong, after having named every mistake and started nothing.
"""


@click.command("run", help=_HELP)
@click.argument("file", type=click.Path())
@click.option("--daemon", "-D", "background", is_flag=True, help="Return once everything is started.")
@click.option("--pidfile", metavar="FILE", help="Write the supervisor's process id here.")
@click.option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), help="Leave out what is less.")
@click.option("--log-output", metavar="FILE", help="Bigtop's own log; - is stderr.")
@click.option("--logger-config", metavar="FILE", help="A logging configuration of Python, instead.")
def command(
    file: str,
    background: bool,
    pidfile: str | None,
    log_level: str | None,
    log_output: str | None,
    logger_config: str | None,
) -> None:
    spec = daemon.load(file)
    spec = replace(
        spec,
        pidfile=pidfile or spec.pidfile,
        loglevel=(log_level or spec.loglevel).lower(),
        logoutput=log_output or spec.logoutput,
        loggerconfig=logger_config or spec.loggerconfig,
    )
    if background:
        detach()
    # The whole supervisor hangs on this import; --help does without.
    from bigtop.launch.daemon import run
    from bigtop.launch.program import nothing_follows

    with nothing_follows():
        status = run(spec)
    click.get_current_context().exit(status)
