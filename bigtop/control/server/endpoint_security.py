# Security of an endpoint of the control channel: who can reach it at all, and where that would be too many.
#
# Rule: a unix socket belongs to one user (mode 0600): whoever can open it may do everything. Over TCP a key
# says who it is (auth.py). Without keys TCP is for loopback alone, and only where that was asked for.

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bigtop.errors import ConfigError
from bigtop.record import Record
from bigtop.system import accounts

if TYPE_CHECKING:
    from pathlib import Path


class Curve(Record):
    """`server_key`: the secret key file of this server; `clients`: the folder of those that may come."""

    server_key: Path
    clients: Path


class EndpointSecurity(Record):
    """How the channel is protected. `owner` and `mode` are those of the unix sockets."""

    mode: int = 0o600
    owner: str | None = None  # name or number
    curve: Curve | None = None
    plain_loopback: bool = False  # TCP without keys: any user of this machine may do everything
    role: str = "admin"  # what those may who come without a key
    is_paced: bool = False  # commands beyond some hundreds a second wait


OWNER_ONLY: Final = EndpointSecurity()  # a unix socket for our own user


def check(endpoint: str, security: EndpointSecurity) -> None:
    """ConfigError: the endpoint would be open to others than those who are meant."""
    if endpoint.startswith("ipc://"):
        return
    if not endpoint.startswith("tcp://"):
        raise ConfigError(f"{endpoint}: an endpoint begins with ipc:// or tcp://")
    if security.curve is not None:
        return
    if not is_loopback(endpoint):
        raise ConfigError(
            f"{endpoint}: anybody who reaches it could run anything here; use keys (bigtop ctl keygen),"
            " a unix socket (ipc://), or a loopback address"
        )
    if not security.plain_loopback:
        raise ConfigError(f"{endpoint}: TCP needs keys (bigtop ctl keygen); a unix socket (ipc://) does not")


def is_loopback(endpoint: str) -> bool:
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    import ipaddress  # most endpoints are unix sockets

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, "*", or an interface
        return False


def uid_of(owner: str) -> int:
    try:
        return accounts.uid_of(owner)
    except LookupError as error:
        raise ConfigError(f"endpoint_owner: {error}") from None
