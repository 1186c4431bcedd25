# `bigtop backends`: what can answer requests here, what each can do, and how to get the others.

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

import click

from bigtop.backends import catalogue, registry
from bigtop.backends.base import Features
from bigtop.errors import ConfigError


@click.command("backends", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Show the backends that are installed, with versions and features, and how to get the others."""
    missing = []
    click.echo("Installed:")
    for name in registry.names():
        try:
            features = registry.load(name).features
        except ConfigError as error:
            missing.append((name, str(error)))
            continue
        offer = catalogue.OFFERS.get(name)
        click.echo(f"  {name:<10} {_version(name):<10} {features.interface:<5} {offer.what if offer else ''}")
        click.echo(f"  {'':<10} {'':<10} {describe(features)}")
    if missing:
        click.echo("\nNot installed:")
    for name, reason in missing:
        how = catalogue.install_command(name) if name in catalogue.OFFERS else reason
        click.echo(f"  {name:<10} {how}")


def describe(features: Features) -> str:
    """Return what a backend can do and what it cannot, in words."""
    able = {_WORDS.get(name, name): value for name, value in asdict(features).items() if name not in _OTHERS}
    no = ", ".join(word for word, can in able.items() if not can)
    return ", ".join(word for word, can in able.items() if can) + (f"; not: {no}" if no else "")


_OTHERS = ("interface", "heeds")
_WORDS = {
    "unix": "unix sockets",
    "keep_alive": "keep-alive",
    "says_goodbye": "closes politely",
    "streams": "streaming",
    "large": "large responses",
    "chunked": "chunked requests",
}


def _version(name: str) -> str:
    offer = catalogue.OFFERS.get(name)
    try:
        return version(offer.package if offer and offer.package else "bigtop")
    except PackageNotFoundError:
        return ""
