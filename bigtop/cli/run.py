# `bigtop run FILE`: supervise what a configuration file names.

from __future__ import annotations

import click

from bigtop import zones
from bigtop.cli.readfile import resolved
from bigtop.cli.serve.detach import detach
from bigtop.config.file.daemon_spec import Flag, overridden
from bigtop.log import LEVELS

_HELP = """\
Run everything that FILE names, until told to stop: INI as Circus has it, or TOML.

`bigtop check FILE` shows what it comes to; `bigtop ctl` steers what runs. TERM stops everything in order, INT
and QUIT do so at once, HUP reloads every watcher, USR1 opens the log files anew.

Ends with 0 when it was told to stop, 1 when a critical watcher gave up or an address cannot be bound, 4 if it
runs already (--pidfile), and 78 for a file that is wrong, after having named every mistake; nothing was
started then.
"""


@click.command("run", help=_HELP)
@click.argument("file", type=click.Path())
@click.option("--daemon", "-D", "background", is_flag=True, help="Return once everything is started.")
@click.option("--pidfile", metavar="FILE", help="Write the supervisor's process id here.")
@click.option(
    "--log-level", "loglevel", type=click.Choice(LEVELS, case_sensitive=False), help="Leave out what is less."
)
@click.option("--log-output", "logoutput", metavar="FILE", help="Bigtop's own log; - is stderr.")
@click.option("--log-time-zone", type=click.Choice(zones.NAMES), help="The time zone of all log lines.")
@click.option(
    "--output-prefix/--no-output-prefix",
    default=None,
    help="Whether a watcher's name stands in front of each line of outputs without a stream.",
)
@click.option(
    "--logger-config", "loggerconfig", metavar="FILE", help="A logging configuration of Python, instead."
)
@click.pass_context
def command(context: click.Context, /, file: str, background: bool, **flags: str | bool | None) -> None:
    names = {option.name: option.opts[0] for option in context.command.params}
    given = {key: Flag(names[key], value) for key, value in flags.items() if value not in (None, "")}
    spec = overridden(resolved(file).daemon, given)
    if background:
        detach((*spec.sockets, *(bind for app in spec.apps for bind in app.site.binds)))
    # The whole supervisor hangs on this import; --help does without.
    from bigtop.launch.program import nothing_follows
    from bigtop.launch.run.daemon import run

    with nothing_follows():
        status = run(spec)
    context.exit(status)
