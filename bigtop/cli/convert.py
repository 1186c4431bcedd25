# `bigtop convert FILE`: another program's configuration as TOML.

from __future__ import annotations

from pathlib import Path

import click

from bigtop.config.convert.circus import convert
from bigtop.errors import ConfigError

_HELP = """\
Turn an INI file of Circus or a supervisord.conf into TOML.

What the INI file includes is put into the one new file. What has no equal becomes a comment.
"""


@click.command("convert", help=_HELP)
@click.argument("file", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="Write here, not to standard output.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def command(file: str, output: str | None, force: bool) -> None:
    text = convert(file)
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
