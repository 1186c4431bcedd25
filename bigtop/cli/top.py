# Command `bigtop top`: what every process and every request is doing, once or as long as somebody looks.

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from bigtop.cli import connection
from bigtop.top import once, places
from bigtop.top.model.rows import SORTS, View

_EPILOG = """\
Without -e it shows every supervisor of this user that runs here. Figures come from its stats process
(--stats, [stats]); where there is none, top starts one of its own, which ends with it.

With Textual (pip install 'bigtop[top]') keys act on the line that is chosen: ? shows them. Without, it is a
table: q ends, s and S sort by the next and the previous column, i turns that round.

With --cluster it shows the nodes of a cluster instead, as its leading controller knows them.

Ends with 69 if nobody answers; of --hosts with --once, also if one of them does not.
"""
_OF_ONE = ("endpoint", "hosts", "identity", "server_key", "ssh", "ssh_keyfile")


@click.command(
    "top", epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@connection.ENDPOINT
@connection.HOSTS
@click.option("--once", "is_once", is_flag=True, help="Print the table once, and end.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print an object in JSON each second; once with --once."
)
@click.option("--plain", is_flag=True, help="The plain table, even where Textual is installed.")
@click.option("--operate", is_flag=True, help="Let keys reload, scale and restart; else they only look.")
@click.option(
    "--sort",
    type=click.Choice(list(dict.fromkeys([*SORTS, "state", "errors"]))),
    help="The column to sort by.  [default: name; of nodes: state]",
)
@click.option("--filter", "text", default="", metavar="TEXT", help="Only rows that have this somewhere.")
@click.option("--cluster", metavar="NAME", help="The nodes of this cluster, or of that folder.")
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
    if not (is_script or (sys.stdin.isatty() and sys.stdout.isatty())):
        raise click.UsageError("this is no terminal: say --once or --json")
    if options["cluster"] is not None:
        sys.exit(_of_cluster(options, is_script=is_script))
    if (column := options["sort"] or "name") not in SORTS:
        raise click.UsageError(f"--sort {column}: is for nodes of a --cluster")
    if hosts := connection.hosts(options):
        way = connection.tunnel(options)
        found = [places.Place(host.name, host.endpoint, host.identity, way) for host in hosts]
    else:
        found = places.find(options["endpoint"], connection.identity(options), connection.tunnel(options))
    view = View(sort=column, filter=options["text"])
    if is_script:
        how = {"as_json": options["as_json"], "is_once": options["is_once"], "needs_all": bool(hosts)}
        sys.exit(asyncio.run(once.run(found, view, **how)))
    if is_plain:
        from bigtop.top import plain  # here and below: a terminal is taken over

        sys.exit(asyncio.run(plain.run(found, view)))
    from bigtop.top.app import Top

    app = Top(found, view, operates=options["operate"])
    app.run()
    sys.exit(app.return_code or 0)


def _of_cluster(options: Mapping[str, Any], *, is_script: bool) -> int:
    from bigtop.cluster import places as clusters  # here and below: few lead a cluster
    from bigtop.top.cluster import sheet, show

    if given := [f"--{name.replace('_', '-')}" for name in _OF_ONE if options[name]]:
        raise click.UsageError(f"{given[0]} says where a supervisor is: not with --cluster")
    column = options["sort"] or "state"
    if options["operate"]:
        raise click.UsageError("--operate: `bigtop cluster` and `bigtop ctl --cluster` change what nodes do")
    if column not in sheet.SORTS:
        raise click.UsageError(f"--sort {column}: nodes are sorted by {', '.join(sheet.SORTS)}")
    authority = clusters.Authority(clusters.chosen(options["cluster"], os.environ))
    view = sheet.View(sort=column, filter=options["text"])
    if is_script:
        printing = show.printed(authority, view, as_json=options["as_json"], is_once=options["is_once"])
        return asyncio.run(printing)
    return asyncio.run(show.table(authority, view))
