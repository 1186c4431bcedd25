# `bigtop ctl upgrade --waiting`: an upgrade, and what it came to.
#
# Rule: whoever was asked is another one afterwards, so the answer is that of the new version, or of the old
# one that goes on.

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from bigtop.cli.ctl.ctl_target import REFUSED, Target
from bigtop.errors import BigtopError
from bigtop.record import replace

_PAUSE = 0.1
_AROUND = 60.0  # seconds beside those that the new version may take


def upgrade(target: Target, properties: dict[str, Any]) -> int:
    """Ask for it, wait for its end, say how it went; return the exit status."""
    return max(_one(replace(target, endpoints=(each,)), properties) for each in target.endpoints)


def _one(target: Target, properties: dict[str, Any]) -> int:
    asked: dict[str, Any] = {}
    status = target.run("upgrade", properties, asked.update)
    if status:
        return status
    until = time.monotonic() + properties.get("limit", 30) + _AROUND
    while (now := _version(target)) is None or now["upgrades"] < asked["attempt"]:
        if time.monotonic() > until:
            click.echo("bigtop: nothing is heard of the new version", err=True)
            return REFUSED
        time.sleep(_PAUSE)
    if reason := now.get("upgrade_refused"):
        click.echo(f"bigtop: {reason}", err=True)
        return REFUSED
    if not target.as_json:
        click.echo(f"version {now['version']} has taken over, as process {now['pid']}")
    return 0


def _version(target: Target) -> Mapping[str, Any] | None:
    """Return who answers, None while nobody does."""
    try:
        with replace(target, timeout=1.0).client(target.endpoints[0]) as client:
            return client.call("version")
    except BigtopError:
        return None
