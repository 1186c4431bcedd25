# `bigtop serve`: the command line of the table in config/options.py.

from __future__ import annotations

import os

import click

from bigtop.cli.detach import detach
from bigtop.config import flags, listing
from bigtop.config import options as o
from bigtop.config import serve as config_serve
from bigtop.config.option import Group
from bigtop.config.options_process import DAEMON
from bigtop.config.settings import ServeConfig

_HELP = """\
Serve APP, for example myproj.wsgi:app, myproj.asgi, "myproj:create_app()" or site/app.py.

APP may be left out when $BIGTOP_APP names it.
"""
_EPILOG = """\
What counts, from the weakest to the strongest: the defaults, $WEB_CONCURRENCY, $PORT and
$FORWARDED_ALLOW_IPS, the variables $BIGTOP_*, the flags in $BIGTOP_CMD_ARGS, the command line. An option that
may be repeated takes several words in its variable. --print-config shows what came from where.

Ends with 0 when it was told to stop, 2 for a command line that cannot be understood, 78 for a wrong value, 1
for an address that cannot be bound, 3 for an application that cannot be loaded.
"""


class _ServeCommand(click.Command):
    """Help under headings, and flags whose value may be left out."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, flags.expand(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = {option.name: option.group for option in o.OPTIONS}
        sections: dict[Group, list[tuple[str, str]]] = {group: [] for group in Group}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                # --help is the one flag that no table has.
                sections[groups.get(param.name or "", Group.DEVELOPMENT)].append(record)
        for group, records in sections.items():
            with formatter.section(group.value):
                formatter.write_dl(records)


def _serve(app: str, **params: object) -> None:
    config = config_serve.configure(app, os.environ, flags.collect(params))
    click.get_current_context().exit(run(config))


command = _ServeCommand(
    "serve",
    callback=_serve,
    params=[click.Argument(["app"], envvar="BIGTOP_APP"), *flags.parameters()],
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def run(config: ServeConfig) -> int:
    """Do what `config` says: show it, check it, or serve until told to stop. Returns the exit status."""
    spec = config_serve.spec(config)
    if config[o.PRINT_CONFIG]:
        click.echo(listing.print_config(config))
    if config[o.CHECK_CONFIG]:
        from bigtop.cli.check import check

        click.echo(check(spec))
    if config[o.PRINT_CONFIG] or config[o.CHECK_CONFIG]:
        return 0
    if config[DAEMON]:
        detach()
    # The whole supervisor hangs on these imports; --help does without.
    from bigtop.cli.summary import announce
    from bigtop.launch import program, site

    with program.nothing_follows():
        return site.serve(spec, summary=announce)
