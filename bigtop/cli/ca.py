# `bigtop ca`: the local CA of a user, which makes https://localhost trusted, and certificates for clients.

from __future__ import annotations

import datetime
import os
import secrets
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from bigtop.errors import ConfigError
from bigtop.keeper.local import local_names, trust_stores
from bigtop.keeper.local.trust_stores import Outcome

if TYPE_CHECKING:
    from bigtop.keeper.local.local_ca import LocalCA

_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is read as another


@click.group("ca", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The local CA of this user: https for localhost, and certificates for clients."""


@command.command("show")
def show() -> None:
    """Show where the CA is kept, what it may sign, until when, and who trusts it."""
    ca, now = _ca(), time.time()
    from bigtop.keeper.local import local_ca

    root = ca.root(now)
    click.echo(f"root       {ca.root_path}")
    click.echo(f"for        {', '.join(local_names.DOMAINS)} and below, private addresses")
    click.echo(f"until      {_day(root.not_after)}")
    click.echo(f"SHA-256    {local_ca.fingerprint(root)}")
    click.echo(f"clients    {ca.client_root_path}")
    ca.client_root(now)
    for store in trust_stores.found(os.environ):
        click.echo(f"{'trusted by' if store.has(_name(ca)) else 'unknown to'} {store.title}")


@command.command("trust")
def trust() -> None:
    """Have this machine's programs and browsers trust the CA; make it if there is none."""
    ca = _ca()
    ca.root(time.time())
    name, stores = _name(ca), list(trust_stores.found(os.environ))
    if not stores:
        click.echo(f"No trust store that Bigtop knows is here. The root to trust: {ca.root_path}")
    _tell((store.add(name, ca.root_path) for store in stores), "trusts the CA from now on")


@command.command("untrust")
def untrust() -> None:
    """Take the CA out of all trust stores again. The CA itself stays."""
    ca = _ca()
    name = _name(ca)
    outcomes = [store.remove(name) for store in trust_stores.found(os.environ)]
    if not any(outcomes):
        click.echo("Nobody here trusts the CA.")
    _tell(filter(None, outcomes), "does not trust the CA any more")


@command.command("client")
@click.argument("name")
@click.option("--out", metavar="FILE", help="Where the certificate goes.  [default: NAME.p12]")
def client(name: str, out: str | None) -> None:
    """Make a certificate by which a client proves to be NAME, as browsers import it (PKCS #12).

    For example: bigtop ca client alice@example.com
    """
    ca, now = _ca(), time.time()
    from bigtop.keeper import signing

    pair = ca.client(name, now)
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(3))
    path = out or f"{name.replace('/', '_')}.p12"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: --out names another file") from None
    with os.fdopen(fd, "wb") as file:
        file.write(signing.p12(pair, name, password))
    click.echo(f"{path}: certificate of {name}, until {_day(pair.not_after)}")
    click.echo(f"password: {password}")
    click.echo(f"Servers check it with {ca.client_root_path}")


def _ca() -> LocalCA:
    try:
        from bigtop.keeper.local import local_ca
    except ImportError:
        raise ConfigError("certificates take cryptography: pip install 'bigtop[tls]'") from None
    return local_ca.LocalCA(local_ca.folder(os.environ))


def _name(ca: LocalCA) -> str:
    """Return what the root is called in trust stores: another root has another name."""
    from bigtop.keeper.local import local_ca

    return f"bigtop-local-ca-{local_ca.fingerprint(ca.root(time.time())).replace(':', '')[:12].lower()}"


def _tell(outcomes: Iterable[Outcome], words: str) -> None:
    """Say what became of each store; end with 1 if something is left to be typed."""
    is_done = True
    for outcome in outcomes:
        if outcome.is_done:
            click.echo(f"{outcome.store}: {words}")
            continue
        is_done = False
        if outcome.trouble:
            click.echo(f"{outcome.store}: {outcome.trouble}")
        click.echo(f"{outcome.store}: type this:\n  {outcome.typed}")
    if not is_done:
        sys.exit(1)


def _day(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"
