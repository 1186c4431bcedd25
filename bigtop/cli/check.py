# `bigtop check FILE`: what a configuration file comes to, before anything runs.

from __future__ import annotations

import time

import click

from bigtop import build
from bigtop.cli.readfile import resolved as read
from bigtop.config.file import report
from bigtop.config.serve.option import NATIVE

_HELP = """\
Check a configuration file, INI as Circus has it or TOML, and show what it comes to.

Prints each value and where it stands; warnings, on standard error, name what is accepted but unwise. Starts
nothing and binds nothing. Ends with 0, or with 78 after having named every mistake.
"""


@click.command("check", help=_HELP)
@click.argument("file", type=click.Path())
@click.option("--all", "every", is_flag=True, help="Show the defaults as well.")
@click.option("--quiet", is_flag=True, help="Show mistakes and warnings only.")
def command(file: str, every: bool, quiet: bool) -> None:
    resolved = read(file)
    if not quiet:
        click.echo(report.show(resolved, every) + "\n")
    # The whole supervisor hangs on this import; a file with a mistake does without.
    from bigtop.launch.run import plugin_preflight
    from bigtop.launch.run.file_preflight import notes

    for warning in (*resolved.daemon.warnings, *notes(resolved.daemon)):
        click.echo(f"bigtop: warning: {warning}", err=True)
    plugin_preflight.checked(resolved.daemon)
    if not quiet:
        for app in resolved.daemon.apps:
            if app.site.tls.is_wanted:  # with OpenSSL, for those who encrypt
                from bigtop.config.serve.specs import tls

                click.echo("\n".join(tls.described(app.site.tls, time.time())))
            if app.site.options.answers.compress and app.site.backend in (None, *NATIVE):
                from bigtop.config.serve.values import answer_values

                for line in answer_values.described(app.site.options.answers.compress):
                    click.echo(f"[app.{app.name}] {line}")
        click.echo(f"{file}: OK, {report.summary(resolved)}; this Bigtop is {build.kind()}")
