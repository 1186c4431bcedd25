# `bigtop serve` as click sees it: the table in config/serve/options.py with help, completion and mistakes.

from __future__ import annotations

import os

import click

from bigtop.cli.serve.serve import run
from bigtop.config.serve import flags
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Group
from bigtop.config.serve.sources import gather

_HELP = """\
Serve APP, for example myproj.wsgi:app, myproj.asgi, "myproj:create_app()", site/app.py or
paste:production.ini.

APP may be left out when $BIGTOP_APP, --paste, or wsgi_app of a configuration file (--config) names it.
"""
_EPILOG = """\
What counts, from the weakest to the strongest: the defaults, $WEB_CONCURRENCY, $PORT and
$FORWARDED_ALLOW_IPS, the file of --config, the flags in $GUNICORN_CMD_ARGS, the variables $BIGTOP_*, the
flags in $BIGTOP_CMD_ARGS, the command line. An option that
may be repeated takes several words in its variable. --print-config shows what came from where.

Ends with 0 when it was told to stop, 2 for a command line that cannot be understood, 78 for a wrong value, 1
for an address that cannot be bound, 3 for an application that cannot be loaded, 4 if it runs already (--pid).
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


def _serve(app: str | None, **params: object) -> None:
    sources = gather(app or "", os.environ, flags.collect(params), by_itself=True)
    context = click.get_current_context()
    context.exit(run(sources, context.obj))


command = _ServeCommand(
    "serve",
    callback=_serve,
    params=[click.Argument(["app"], envvar="BIGTOP_APP", required=False), *flags.parameters()],
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
