# Takes an endpoint for the control channel.
#
# Rule: a unix socket is private from its first moment on, and is never taken from another Bigtop that
# answers on it: ZeroMQ by itself removes whatever file is in its way.

from __future__ import annotations

import os
import stat
from contextlib import suppress

import zmq

from bigtop import holders
from bigtop.control import addresses, auth
from bigtop.errors import BindError, ConfigError


def bind(socket: zmq.Socket[bytes], endpoint: str, access: auth.Access) -> str:
    """Bind and return the endpoint as it is, with a real port for port 0 or "*"."""
    if endpoint.startswith("ipc://"):
        _bind_unix(socket, endpoint.removeprefix("ipc://"), access)
        return endpoint
    try:
        socket.setsockopt(zmq.IPV6, int("[" in endpoint))
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise BindError(f"control endpoint {endpoint}: {error.strerror}") from None
    return socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr]


def release(endpoint: str) -> None:
    """Remove the file of a unix socket that is about to be closed; ZeroMQ leaves it."""
    if endpoint.startswith("ipc://"):
        with suppress(OSError):
            os.unlink(endpoint.removeprefix("ipc://"))


def _bind_unix(socket: zmq.Socket[bytes], path: str, access: auth.Access) -> None:
    addresses.check_length(path)
    if addresses.answers(path):
        held = holders.of_unix(path)
        raise BindError(f"control endpoint ipc://{path}: another supervisor answers there; it is {held}")
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise BindError(f"control endpoint ipc://{path}: there is a file which is no socket")
    uid = None if access.owner is None else auth.uid_of(access.owner)
    # A socket file has no mode before bind() but the umask's; chmod() afterwards would be a moment too late.
    before = os.umask(0o777 & ~access.mode)
    try:
        socket.bind("ipc://" + path)
    except zmq.ZMQError as error:
        raise BindError(f"control endpoint ipc://{path}: {error.strerror}") from None
    finally:
        os.umask(before)
    try:
        os.chmod(path, access.mode)  # bind() takes execute bits away or leaves them, as the system likes
        if uid is not None:
            os.chown(path, uid, -1)
    except OSError as error:
        raise ConfigError(f"control endpoint ipc://{path}: {error.strerror}") from None
