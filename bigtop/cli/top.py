# Command `bigtop top`: what every process and every request is doing, once or as long as somebody looks.

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from bigtop.cli import connection
from bigtop.top import once, places
from bigtop.top.rows import SORTS, View

_EPILOG = """\
Without -e it shows every supervisor of this user that runs here. Figures come from its stats process
(--stats, [stats]); where there is none, top starts one of its own, which ends with it.

Keys of the table: q ends, s and S sort by the next and the previous column, i turns that round.

Ends with 69 if nobody answers.
"""


@click.command(
    "top", epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@connection.ENDPOINT
@click.option("--once", "is_once", is_flag=True, help="Print the table once, and end.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print an object in JSON each second; once with --once."
)
@click.option(
    "--sort", type=click.Choice(list(SORTS)), default="name", help="The column to sort by.", show_default=True
)
@click.option("--filter", "text", default="", metavar="TEXT", help="Only rows that have this somewhere.")
@connection.IDENTITY
@connection.SERVER_KEY
@connection.SSH
@connection.SSH_KEYFILE
def command(**options: Any) -> None:
    """Show what every process and every request is doing."""
    is_script = options["is_once"] or options["as_json"]
    found = places.find(options["endpoint"], connection.identity(options), connection.tunnel(options))
    view = View(sort=options["sort"], filter=options["text"])
    if is_script:
        sys.exit(asyncio.run(once.run(found, view, as_json=options["as_json"], is_once=options["is_once"])))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this is no terminal: say --once or --json")
    from bigtop.top import plain  # here: a terminal is taken over

    sys.exit(asyncio.run(plain.run(found, view)))
