# `bigtop backends`: what can answer requests here, what each can do, and how to get the others.

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from inspect import getdoc

import click

from bigtop.backends import catalogue, registry
from bigtop.backends.base import Backend, Features
from bigtop.errors import ConfigError
from bigtop.record import as_dict


@click.command("backends", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Show the backends that are installed, with versions and features, and how to get the others."""
    missing = []
    click.echo("Installed:")
    for name in registry.names():
        try:
            backend = registry.load(name)
        except ConfigError as error:
            missing.append((name, str(error)))
            continue
        features = backend.features
        click.echo(f"  {name:<10} {_version(name):<10} {features.interface:<5} {_about(name, backend)}")
        click.echo(click.wrap_text(describe(features), _WIDTH, _INDENT, _INDENT))
    if missing:
        click.echo("\nNot installed:")
    for name, reason in missing:
        how = catalogue.install_command(name) if name in catalogue.OFFERS else reason
        click.echo(f"  {name:<10} {how}")


def describe(features: Features) -> str:
    """Return what a backend can do and what it cannot, in words."""
    able = {_WORDS.get(name, name): value for name, value in as_dict(features).items() if name not in _OTHERS}
    no = ", ".join(word for word, can in able.items() if not can)
    return ", ".join(word for word, can in able.items() if can) + (f"; not: {no}" if no else "")


_OTHERS = ("interface", "heeds")
_WORDS = {
    "unix": "unix sockets",
    "files": "static files",
    "balancers": "PROXY protocol",
    "keep_alive": "keep-alive",
    "patient": "slow clients hold nobody up",
    "fragments": "requests in tiny pieces",
    "pipelines": "pipelining",
    "says_goodbye": "tells clients when it drains",
    "streams": "streaming",
    "large": "large responses",
    "interruptible": "drains in time whatever runs",
    "chunked": "chunked requests",
    "request_hooks": "hooks around requests",
}
_WIDTH, _INDENT = 100, " " * 24


def _about(name: str, backend: type[Backend]) -> str:
    offer = catalogue.OFFERS.get(name)
    return offer.what if offer else (getdoc(backend) or "").partition("\n")[0]


def _version(name: str) -> str:
    offer = catalogue.OFFERS.get(name)
    if offer is None:
        return registry.version(name)
    try:
        return version(offer.package or "bigtop")
    except PackageNotFoundError:
        return ""
