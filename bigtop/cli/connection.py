# Options by which a command line says where supervisors are and who asks: of `bigtop ctl` and `bigtop top`.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from bigtop.control import addresses
from bigtop.control.client.client import Identity, Tunnel

if TYPE_CHECKING:
    from bigtop.control.client.hosts import Host


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
HOSTS = click.option(
    "--hosts",
    metavar="LIST",
    help="Up to 50 machines, as a,b:5555,c; or a file with one in each line.",
)
IDENTITY = click.option(
    "--identity", type=Path, metavar="FILE", help="Our NAME.key_secret.", envvar="BIGTOP_CTL_IDENTITY"
)
SERVER_KEY = click.option(
    "--server-key",
    metavar="KEY",
    help="The supervisor's public key, or its file; of several --hosts a folder with NAME.key.",
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


def hosts(options: Mapping[str, Any]) -> tuple[Host, ...]:
    """Return the machines that a command line means; none: it means none. click.UsageError: one option is in
    the way of another."""
    if not options["hosts"]:
        return ()
    if options["endpoint"]:
        raise click.UsageError("--endpoint and --hosts: have one of them")
    from bigtop.control.client import hosts as several  # few ask other machines

    found, own = several.read(options["hosts"]), options["identity"]
    identity(options)
    if own is not None:
        return several.with_keys(found, own, options["server_key"])
    if (far := several.far(found)) and not options["ssh"]:
        raise click.UsageError(f"--hosts {far[0]}: is another machine: it takes --identity and --server-key")
    return found


def tunnel(options: Mapping[str, Any]) -> Tunnel | None:
    return Tunnel(options["ssh"], options["ssh_keyfile"]) if options["ssh"] else None
