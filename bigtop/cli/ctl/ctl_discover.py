# `bigtop ctl discover`: endpoints of supervisors that answer in a multicast group, as Circus has it.
#
# Rule: an answer grants nothing and proves nothing: it is a name that somebody says. Who connects needs keys,
# and the key of the supervisor is what tells a true one.

from __future__ import annotations

import json
import re
import socket
import time
from typing import Final

import click

from bigtop.control.addresses import UnreachableError
from bigtop.errors import ConfigError

GROUP: Final = "udp://237.219.251.97:12027"  # of Circus
_MOST: Final = 1000  # endpoints
_LONGEST: Final = 2048  # bytes of an answer
_ENDPOINT: Final = re.compile(r"tcp://(\*|[\w.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})|ipc://[^\s\x00-\x1f\x7f]+")
_ANY: Final = ("*", "0.0.0.0", "[::]")  # noqa: S104 - compared, not bound


@click.command()
@click.argument("group", default=GROUP)
@click.option("--wait", type=click.FloatRange(0.1, 60.0), default=2.0, show_default=True, help="Seconds.")
@click.option("--json", "as_json", is_flag=True, help="A list in JSON.")
def discover(group: str, wait: float, as_json: bool) -> None:
    """List supervisors that answer in a multicast group; GROUP is udp://ADDRESS:PORT.

    Those answer that have `multicast_endpoint` in their file. What is listed is what somebody says: keys
    decide who may do anything.
    """
    found = sorted(asked(group, wait))
    if not found:
        raise UnreachableError(f"{group}: nobody answers; `multicast_endpoint` in a file has it answer")
    click.echo(json.dumps(found) if as_json else "\n".join(found))


def asked(group: str, wait: float) -> set[str]:
    """Ask, and return the endpoints that come within `wait` seconds. ConfigError: `group` is none."""
    host, _, port = group.removeprefix("udp://").rpartition(":")
    found: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        try:
            own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            own.sendto(b"?", (host, int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"{group}: cannot be asked: {error}") from None
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0 and len(found) < _MOST:
            own.settimeout(left)
            try:
                data, sender = own.recvfrom(_LONGEST)
            except TimeoutError:
                break
            except OSError:  # a host that is there says that nobody listens
                continue
            if endpoint := told(data, sender[0]):
                found.add(endpoint)
    return found


def told(data: bytes, sender: str) -> str:
    """Return the endpoint that an answer names, "" if it is none."""
    try:
        said = json.loads(data)
        endpoint = said["endpoint"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    match = _ENDPOINT.fullmatch(endpoint) if isinstance(endpoint, str) else None
    if match is None:
        return ""
    return f"tcp://{sender}:{match[2]}" if match[1] in _ANY else match[0]
