# Takes an endpoint for the control channel.
#
# Rule: a unix socket is private from its first moment on, and is never taken from another Bigtop that
# answers on it.

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress

from bigtop.control import addresses
from bigtop.control.server import endpoint_security
from bigtop.control.server.endpoint_security import EndpointSecurity
from bigtop.errors import BindError, ConfigError
from bigtop.record import Record
from bigtop.system import holders
from bigtop.system.files import unixpaths

_BACKLOG = 128


class Places(Record):
    """Where a control channel is: two sockets that listen, and the endpoints by which clients know them."""

    commands: socket.socket
    events: socket.socket
    endpoint: str
    pubsub_endpoint: str

    def release(self) -> None:
        """Remove their files."""
        for endpoint in (self.endpoint, self.pubsub_endpoint):
            release(endpoint)

    def close(self) -> None:
        self.release()
        self.commands.close()
        self.events.close()


def bind(endpoint: str, pubsub: str, security: EndpointSecurity) -> Places:
    """Raises ConfigError for endpoints that would be open to others, BindError for those that are taken."""
    for address in (endpoint, pubsub):
        endpoint_security.check(address, security)
    commands, endpoint = _bind(endpoint, security)
    try:
        events, pubsub = _bind(pubsub, security)
    except BaseException:  # whatever it was: raised again
        release(endpoint)
        commands.close()
        raise
    return Places(commands, events, endpoint, pubsub)


def bind_one(endpoint: str, security: EndpointSecurity) -> tuple[socket.socket, str]:
    """Return one socket that listens, and the endpoint by which clients know it; raises as bind() does."""
    endpoint_security.check(endpoint, security)
    return _bind(endpoint, security)


def release(endpoint: str) -> None:
    """Remove the file of a unix socket that is about to be closed."""
    if endpoint.startswith("ipc://"):
        with suppress(OSError):
            os.unlink(endpoint.removeprefix("ipc://"))


def _bind(endpoint: str, security: EndpointSecurity) -> tuple[socket.socket, str]:
    """Return a listening socket and the endpoint as it is, with a real port for port 0 or "*"."""
    if endpoint.startswith("ipc://"):
        return _bind_unix(endpoint.removeprefix("ipc://"), security), endpoint
    try:
        listener = socket.create_server(_address(endpoint), family=_family(endpoint), backlog=_BACKLOG)
    except (OSError, OverflowError, ValueError) as error:
        raise BindError(f"control endpoint {endpoint}: {_reason(error)}") from None
    host, port, *_ = listener.getsockname()
    return listener, f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _reason(error: Exception) -> str:
    # create_server() puts the address into its words, which we name ourselves.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _family(endpoint: str) -> socket.AddressFamily:
    return socket.AF_INET6 if "[" in endpoint else socket.AF_INET


def _address(endpoint: str) -> tuple[str, int]:
    """Return where a TCP endpoint is: "*" is every address, or any port; a host may be an interface."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    import psutil  # of no use to those on a unix socket

    for address in psutil.net_if_addrs().get(host, ()):
        if address.family == _family(endpoint):
            host = address.address
            break
    return ("" if host == "*" else host), 0 if port == "*" else int(port)


def _bind_unix(path: str, security: EndpointSecurity) -> socket.socket:
    addresses.check_length(path)
    if addresses.answers(path):
        held = holders.of_unix(path)
        raise BindError(f"control endpoint ipc://{path}: another supervisor answers there; it is {held}")
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise BindError(f"control endpoint ipc://{path}: there is a file which is no socket")
    uid = None if security.owner is None else endpoint_security.uid_of(security.owner)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket file has no mode before bind() but the umask's; chmod() afterwards would be a moment too late.
    before = os.umask(0o777 & ~security.mode)
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(f"control endpoint ipc://{path}: {error.strerror}") from None
    finally:
        os.umask(before)
    try:
        # bind() takes execute bits away or leaves them, as the system likes
        unixpaths.give(path, security.mode, uid, None)
    except OSError as error:
        listener.close()
        raise ConfigError(f"control endpoint ipc://{path}: {error.strerror}") from None
    return listener
