# Origins of requests: which host was asked, and whether one of our own pages asked.
#
# Rules: pure. A browser says by which name it was asked (Host), which page asks (Origin), and how that page
# is related to us (Sec-Fetch-Site). What contradicts is refused. Names are compared as they are: the name of
# an attacker that leads to our address is not ours (DNS rebinding).

from __future__ import annotations

import ipaddress
from collections.abc import Container, Mapping

from bigtop.record import Record

TOKEN = "x-bigtop-token"  # noqa: S105 - the name of a field


class Asked(Record):
    """What a request says of itself; `fields` by name in small letters, the last of several."""

    method: str
    scheme: str
    fields: Mapping[str, str]
    doubled: frozenset[str] = frozenset()  # names of fields that came more than once


def name_of(host: str) -> str:
    """Return the name in a Host field, without port and brackets; "" where it is none."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "0"
    if not port.isdecimal():
        return ""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        return ""
    return name.lower().rstrip(".")


def is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def refusal_of_host(asked: Asked, hosts: Container[str]) -> str:
    """Return why a request is for nobody here, "" if it is for us."""
    host = asked.fields.get("host", "")
    if "host" in asked.doubled or not host:
        return "one Host is needed"
    name = name_of(host)
    return "" if name and name in hosts else "this console is not known by that name"


def refusal_of_page(asked: Asked) -> str:
    """Return why what changes something, or opens a WebSocket, was not asked by a page of ours; "" if it was.
    The host was checked before."""
    origin, site = asked.fields.get("origin"), asked.fields.get("sec-fetch-site")
    if {"origin", "sec-fetch-site"} & asked.doubled:
        return "one Origin is needed"
    if origin is None:
        return "Origin is needed"
    own = f"{asked.scheme.replace('ws', 'http', 1)}://{asked.fields.get('host', '')}"
    if origin.lower() != own.lower():
        return "another site asks"
    if site is not None and site != "same-origin":
        return "another site asks"
    return ""


def refusal_of_reader(asked: Asked) -> str:
    """Return why what is only read was asked by a page of somebody else; "" if it was not. Programs say
    nothing of themselves."""
    site = asked.fields.get("sec-fetch-site")
    return "" if site in (None, "same-origin", "none") else "another site asks"
