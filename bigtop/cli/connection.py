# Options by which a command line says where supervisors are and who asks: of `bigtop ctl` and `bigtop top`.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from bigtop.control import addresses
from bigtop.control.client.client import Identity, Tunnel


def _complete(_ctx: click.Context, _param: click.Parameter, start: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in addresses.running() if name.startswith(start)]


ENDPOINT = click.option(
    "--endpoint",
    "-e",
    multiple=True,
    metavar="WHERE",
    help="Name, path or address; several for several.",
    shell_complete=_complete,
)
IDENTITY = click.option(
    "--identity", type=Path, metavar="FILE", help="Our NAME.key_secret.", envvar="BIGTOP_CTL_IDENTITY"
)
SERVER_KEY = click.option(
    "--server-key",
    metavar="KEY",
    help="The supervisor's public key, or its file.",
    envvar="BIGTOP_CTL_SERVER_KEY",
)
SSH = click.option("--ssh", metavar="USER@HOST:PORT", help="Go through an ssh tunnel.")
SSH_KEYFILE = click.option("--ssh-keyfile", "--ssh_keyfile", metavar="FILE", help="The key for --ssh.")


def identity(options: Mapping[str, Any]) -> Identity | None:
    """Return who asks; None: nobody in particular. click.UsageError: half of it is missing."""
    own, server_key = options["identity"], options["server_key"]
    if (own is None) is not (server_key is None):
        raise click.UsageError("--identity and --server-key belong together")
    return Identity(own, server_key) if own else None


def tunnel(options: Mapping[str, Any]) -> Tunnel | None:
    return Tunnel(options["ssh"], options["ssh_keyfile"]) if options["ssh"] else None
