# `bigtop serve`: the command line of the table in config/serve/options.py.

from __future__ import annotations

import os
import sys

import click

from bigtop.cli.detach import detach
from bigtop.config.serve import flags, listing, paste_server, site_preflight
from bigtop.config.serve import options as o
from bigtop.config.serve import serve as config_serve
from bigtop.config.serve.option import Group
from bigtop.config.serve.options import DAEMON
from bigtop.config.serve.sources import Sources, gather

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
    click.get_current_context().exit(run(sources))


command = _ServeCommand(
    "serve",
    callback=_serve,
    params=[click.Argument(["app"], envvar="BIGTOP_APP", required=False), *flags.parameters()],
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _import_asyncio() -> None:
    """Import asyncio as where there is no ssl. No connection of a supervisor is encrypted, and OpenSSL takes
    a tenth of its memory. None is how import statements are told that a module is not there."""
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]
        import asyncio  # noqa: F401

        del sys.modules["ssl"]  # whoever else wants it has it


def run(sources: Sources) -> int:
    """Do what `sources` say: show it, check it, or serve until told to stop. Returns the exit status."""
    config = sources.read()
    if not config.app:
        raise click.UsageError("Missing argument 'APP'.")
    spec = config_serve.spec(config)
    if config[o.PRINT_CONFIG]:
        click.echo(listing.print_config(config))
    if config[o.CHECK_CONFIG] or not config[o.PRINT_CONFIG]:
        site_preflight.check(config, spec)
    if config[o.CHECK_CONFIG]:
        from bigtop.cli.check_config import check_config

        click.echo(check_config(spec))
        if note := paste_server.advice(spec.app, spec.folder, paste_server.as_flag):
            click.echo(f"bigtop: warning: {note}", err=True)
    if config[o.PRINT_CONFIG] or config[o.CHECK_CONFIG]:
        for remark in spec.remarks:
            click.echo(f"bigtop: warning: {remark}", err=True)
        return 0
    if config[DAEMON]:
        detach(spec.binds)
    # The whole supervisor hangs on these imports; --help does without.
    _import_asyncio()
    from bigtop.cli.summary import announce
    from bigtop.launch import program, site
    from bigtop.launch.rereading import Rereading

    with program.nothing_follows():
        return site.serve(spec, announce, Rereading(sources, config))
