# `bigtop convert FILE`: another program's configuration as TOML.

from __future__ import annotations

import os
from pathlib import Path

import click

from bigtop.config.convert import sources
from bigtop.errors import ConfigError

_HELP = """\
Turn another program's configuration into TOML for `bigtop run`.

FILE is an INI file of Circus, a supervisord.conf, a gunicorn.conf.py, an INI file of uWSGI, a Procfile (with
the .env beside it), an ecosystem file of pm2 in JSON, an nginx.conf in front of a Django site, or a script
that starts gunicorn, uvicorn, granian or uwsgi. What has no equal becomes a comment: look for "no equal".

Relative names of files count from the folder in which Bigtop is started, as they did for the other program. A
gunicorn.conf.py is executed.
"""


@click.command("convert", help=_HELP)
@click.argument("file", type=click.Path(), required=False)
@click.option("--command", "line", metavar="COMMAND", help="Convert this command line instead of a file.")
@click.option(
    "--from",
    "source",
    type=click.Choice(sources.NAMES),
    help="Whose file it is; found out by its name and contents unless given.",
)
@click.option("-o", "--output", type=click.Path(), help="Write here, not to standard output.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def command(file: str | None, line: str | None, source: str | None, output: str | None, force: bool) -> None:
    if (file is None) == (line is None):
        raise click.UsageError("give a FILE or --command")
    if line is not None and source is not None:
        raise click.UsageError("--from is for a FILE; --command says itself which server it starts")
    beside = os.path.dirname(os.path.abspath(output)) if output is not None else os.getcwd()
    if line is not None:
        text = sources.of_command(line, os.environ, beside)
    else:
        assert file is not None, "one of the two is given"
        text = sources.convert(file, source, beside)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with Path(output).open("w" if force else "x") as target:
            target.write(text)
    except FileExistsError:
        raise ConfigError(f"{output} exists; --force writes over it") from None
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}") from error
    if lacking := text.count("# no equal: "):
        click.echo(f'bigtop: {output}: {lacking} without an equal; look for "no equal"', err=True)
