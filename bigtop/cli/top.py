# Command `bigtop top`: what every process and every request is doing, once or as long as somebody looks.

from __future__ import annotations

import asyncio
import importlib.util
import sys
from typing import Any

import click

from bigtop.cli import connection
from bigtop.top import once, places
from bigtop.top.rows import SORTS, View

_EPILOG = """\
Without -e it shows every supervisor of this user that runs here. Figures come from its stats process
(--stats, [stats]); where there is none, top starts one of its own, which ends with it.

With Textual (pip install 'bigtop[top]') keys act on the line that is chosen: ? shows them. Without, it is a
table: q ends, s and S sort by the next and the previous column, i turns that round.

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
@click.option("--plain", is_flag=True, help="The plain table, even where Textual is installed.")
@click.option("--operate", is_flag=True, help="Let keys reload, scale and restart; else they only look.")
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
    has_textual = importlib.util.find_spec("textual") is not None
    is_plain = options["plain"] or not has_textual
    if options["operate"] and (is_script or is_plain):
        why = "the plain table has no keys for that" if has_textual else "pip install 'bigtop[top]'"
        raise click.UsageError(f"--operate is for the table of Textual: {why}")
    found = places.find(options["endpoint"], connection.identity(options), connection.tunnel(options))
    view = View(sort=options["sort"], filter=options["text"])
    if is_script:
        sys.exit(asyncio.run(once.run(found, view, as_json=options["as_json"], is_once=options["is_once"])))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this is no terminal: say --once or --json")
    if is_plain:
        from bigtop.top import plain  # here and below: a terminal is taken over

        sys.exit(asyncio.run(plain.run(found, view)))
    from bigtop.top.app import Top

    app = Top(found, view, operates=options["operate"])
    app.run()
    sys.exit(app.return_code or 0)
