# Listening sockets: described, bound, adopted, passed on, closed.
#
# Rule 1: a description (SocketSpec) touches nothing; everything that asks the system is in bind() and below.
# Rule 2: several addresses are bound together or not at all. Rule 3: whoever bound a unix path removes it,
# nobody else, and only while the file is still the one that was bound.
#
# One shared queue or many? Workers inherit one listening socket: the kernel keeps one queue, any worker that
# is free takes the next connection, and nothing is lost when a worker dies. That is the default. SO_REUSEPORT
# gives every socket a queue of its own and the kernel deals connections out by a hash: less contention at
# very high rates, but a connection waits behind a busy worker while others are idle, and whatever waits in a
# queue that is closed is reset. Who wants it all the same asks for `reuse_port` and takes one clone() per
# worker, made and kept open by the supervisor so that queues outlive workers (and each of them must have its
# worker: the kernel fills unattended queues too). Asked for without clones, it only lets another instance of
# the server share the port.
#
# All sockets made here are non-blocking and close-on-exec (PEP 446). Forked children have them anyway; for a
# program that is exec'd give `fds(...).values()` to subprocess' `pass_fds`, which keeps the numbers, and
# adopt(number) on the other side.

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

from bigtop.errors import BindError, ConfigError
from bigtop.record import Record, replace
from bigtop.system.files import unixpaths
from bigtop.system.holders import explain

_PORT_ATTEMPTS = 16
_NO_SUCH_ADDRESS_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_TYPES = {
    "stream": socket.SOCK_STREAM,
    "dgram": socket.SOCK_DGRAM,
    "seqpacket": socket.SOCK_SEQPACKET,
    "raw": socket.SOCK_RAW,
}
_FAMILIES = {"": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_RIGHT_FORMS = (
    "write HOST:PORT, [IPV6]:PORT, :PORT for all addresses, PORT for loopback, unix:PATH, unix:@NAME, "
    "or fd://N"
)


class SocketSpec(Record):
    """One thing to listen on: `host` and `port`, a unix `path`, or an inherited `fd`.

    A path may be @NAME, the name of an abstract socket (unixpaths.py).

    The host "" is every address of both families, as two sockets, so that a client over IPv4 is seen as
    192.0.2.1 and not as ::ffff:192.0.2.1. An IPv6 address alone never takes IPv4 clients, whatever
    net.ipv6.bindv6only says, unless `dual_stack` asks for it. A host name stands for all its addresses.
    """

    name: str
    host: str = ""
    port: int = 0  # 0: any free one
    path: str | None = None
    fd: int | None = None
    backlog: int = 2048  # as nginx and gunicorn have it about; the kernel cuts it to net.core.somaxconn
    reuse_port: bool = False
    own_queues: bool = False  # with reuse_port: does not listen itself, each of its clones does
    dual_stack: bool = False
    nodelay: bool = True
    mode: int | None = None  # of a unix path; None leaves it to the umask. Clients need write permission
    owner: str | int | None = None  # of a unix path, by name or number
    group: str | int | None = None
    kind: str = "stream"  # or "dgram", "seqpacket", "raw"; all but stream are for programs that ask for them
    family: str = ""  # "inet" or "inet6": only one address of `host`, of this family
    protocol: int = 0  # of a raw socket, see protocols(5)
    interface: str | None = None  # SO_BINDTODEVICE
    replace: bool = False  # takes a unix path even from a server that listens there
    blocking: bool = False  # O_NONBLOCK belongs to the socket, so the program that inherits it has no choice
    close_when_unused: bool = False  # closed when the last process that uses it has stopped
    tls: bool = False  # who serves there speaks TLS

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a socket needs a name")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"{self.name}: the port must be 0 to 65535, got {self.port}")
        if self.backlog < 1:
            raise ConfigError(f"{self.name}: the backlog must be 1 or more, got {self.backlog}")
        if self.path is not None and (not self.path or "\0" in self.path):
            raise ConfigError(f"{self.name}: {self.path!r} is not a path")
        if self.path is not None and unixpaths.is_abstract(self.path):
            self._check_abstract(self.path)
        if self.kind not in _TYPES or self.family not in _FAMILIES:
            raise ConfigError(
                f"{self.name}: there is no socket of type {self.kind!r}, family {self.family!r}"
            )
        if "\0" in self.host:
            raise ConfigError(f"{self.name}: {self.host!r} is not a host")
        if (self.path is not None) + (self.fd is not None) + bool(self.host or self.port) > 1:
            raise ConfigError(f"{self.name}: give one of host and port, path, fd")
        if self.reuse_port and (self.path is not None or self.fd is not None):
            raise ConfigError(f"{self.name}: reuse_port is for TCP addresses that are bound here")

    def _check_abstract(self, path: str) -> None:
        if path == "@":
            raise ConfigError(f"{self.name}: an abstract socket needs a name behind the @")
        if (self.mode, self.owner, self.group) != (None, None, None) or self.replace:
            raise ConfigError(
                f"{self.name}: an abstract socket is no file: it has no mode, owner or group, everybody of "
                "this machine may connect, and nobody can take its name"
            )


def parse_bind(text: str, name: str = "", *, backlog: int = 2048, reuse_port: bool = False) -> SocketSpec:
    """Return what `--bind TEXT` means; the name is the text itself unless one is given."""

    def spec(host: str = "", port: int = 0, path: str | None = None, fd: int | None = None) -> SocketSpec:
        tcp = path is None and fd is None  # one --reuse-port stands for all --bind, so it is dropped here
        return SocketSpec(name or text, host, port, path, fd, backlog, reuse_port and tcp)

    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("http", "https", "tcp"):
        raise ConfigError(f"bind address {text!r}: write it without {scheme}://, as {rest.rstrip('/')}")
    if text.startswith("fd://"):
        return spec(fd=_number(text, rest, "a descriptor number"))
    if text.startswith("unix:") and text != "unix:":
        path = text.removeprefix("unix:")
        if path.startswith("///"):  # unix:///run/x.sock, written like a URL
            path = path[2:]
        return spec(path=path)
    if text.isascii() and text.isdigit():
        return spec("127.0.0.1", _number(text, text, "a port"))
    host, colon, port_text = text.rpartition(":")
    if not colon:
        raise ConfigError(f"bind address {text!r} has no port: {_RIGHT_FORMS}")
    port = _number(text, port_text, "a port")
    if host.startswith("[") and host.endswith("]") and ":" in host:
        return spec(host[1:-1], port)
    if ":" in host or "[" in host or "]" in host or "/" in host:
        raise ConfigError(f"bind address {text!r} is not understood: {_RIGHT_FORMS}")
    return spec("" if host == "*" else host, port)


def _number(text: str, digits: str, what: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise ConfigError(f"bind address {text!r}: {digits!r} is not {what}: {_RIGHT_FORMS}")
    return int(digits)


class ListeningSocket:
    """A live listener. Its `spec` tells the address as it was bound: the literal host, the real port."""

    __slots__ = ("_bound_pid", "bound_file", "socket", "spec")

    def __init__(
        self, spec: SocketSpec, sock: socket.socket, bound_file: tuple[int, int] | None = None
    ) -> None:
        self.spec = spec
        self.socket = sock
        self.bound_file = bound_file  # device and inode, when a unix path was bound here
        self._bound_pid = os.getpid()

    @property
    def name(self) -> str:
        return self.spec.name

    def fileno(self) -> int:
        return self.socket.fileno()

    def address(self) -> str:
        """Return the address as people write it: http://127.0.0.1:8000, unix:/run/site.sock."""
        scheme = "https" if self.spec.tls else "http"
        where = self.socket.getsockname()
        if self.socket.family == socket.AF_UNIX:
            # An adopted socket may be abstract (bytes that start with NUL, shown as @) or have no path.
            return "unix:" + (os.fsdecode(where).replace("\0", "@") if where else "(unnamed)")
        host = f"[{where[0]}]" if self.socket.family == socket.AF_INET6 else where[0]
        return f"{scheme}://{host}:{where[1]}"

    def clone(self) -> ListeningSocket:
        """Return another socket with its own queue on the same port; only for `reuse_port`.

        Linux wants the same effective user for all sockets of a port: clone before dropping privileges.
        """
        if not self.spec.reuse_port:
            raise ConfigError(f"socket {self.name} was not bound with reuse_port: it cannot be cloned")
        address, listens = self.socket.getsockname(), replace(self.spec, own_queues=False)
        try:
            return ListeningSocket(self.spec, _open_tcp(listens, self.socket.family, address))
        except OSError as error:
            raise BindError(explain(error, address)) from error

    def close(self) -> None:
        """Stop listening here; forked children keep their copies. Removes the unix path if it is ours."""
        if self.bound_file and self._bound_pid == os.getpid() and self.spec.path:
            # While the socket is open the kernel keeps its inode, so the number cannot have been given to
            # another file; and while it listens no other server takes the path for stale. Hence the order.
            if unixpaths.identity(self.spec.path) == self.bound_file:
                os.unlink(self.spec.path)
            self.bound_file = None
        self.socket.close()


def bind(spec: SocketSpec) -> list[ListeningSocket]:
    """Bind every address that `spec` means. The first keeps its name, the next are name-2, name-3, ...

    Raises BindError, with what to do about it, when one of them cannot be had.
    """
    if spec.fd is not None:
        sock = adopted(spec.fd, spec.nodelay, f"fd://{spec.fd}")
        return [ListeningSocket(spec, sock)]
    if spec.path is not None:
        if unixpaths.is_abstract(spec.path):
            return [_bind_abstract(spec)]
        return [_bind_unix(replace(spec, path=os.path.abspath(spec.path)))]
    addresses = _resolve(spec)
    if spec.port == 0 and len(addresses) > 1:
        # The kernel chooses a port for the first address; somebody may have that port on the second.
        for _ in range(_PORT_ATTEMPTS):
            with suppress(BindError):
                return _bind_tcp(spec, addresses)
    return _bind_tcp(spec, addresses)


def bind_all(specs: Iterable[SocketSpec]) -> list[ListeningSocket]:
    """Bind all of `specs`, or none: when one fails, those already bound are closed again."""
    bound: list[ListeningSocket] = []
    with ExitStack() as undo:
        for spec in specs:
            for listener in bind(spec):
                undo.callback(listener.close)
                bound.append(listener)
        names = [listener.name for listener in bound]
        if len(set(names)) < len(names):
            raise ConfigError(f"every socket needs a name of its own, got {', '.join(names)}")
        undo.pop_all()
    return bound


def fds(listeners: Iterable[ListeningSocket]) -> dict[str, int]:
    """Return name -> descriptor, for handing the sockets to a child process."""
    return {listener.name: listener.fileno() for listener in listeners}


def adopt(fd: int) -> socket.socket:
    """Return the listening socket behind an inherited descriptor, non-blocking, of whatever family it is.

    Owns `fd` from then on. Raises BindError, and leaves `fd` alone, when it is not a listening stream socket.
    """
    return adopted(fd, True, f"descriptor {fd}")


def numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def adopted(fd: int, nodelay: bool, what: str) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)  # asks the kernel for family and type
    except OSError as error:
        raise BindError(f"{what} is not a socket: {error.strerror}") from error
    problem = ""
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        problem = "is neither TCP nor unix"
    elif sock.type != socket.SOCK_STREAM:
        problem = "is not a stream socket: use ListenStream= in the systemd unit"
    elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        problem = "does not listen: its owner has to call listen(2) first; in a systemd unit, Accept=no"
    if problem:
        sock.detach()
        raise BindError(f"{what} {problem}")
    sock.setblocking(False)
    sock.set_inheritable(False)
    if nodelay and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


# ---- TCP

_Address = tuple[socket.AddressFamily, Any]  # a family and the address in that family's own form


def _resolve(spec: SocketSpec) -> list[_Address]:
    host: str | bytes | None = "::" if spec.dual_stack and not spec.host else spec.host
    if isinstance(host, str) and host.isascii():
        host = host.encode()  # a text is looked at for what other writings need, with large tables
    try:
        # Asked for as a stream whatever it is: what counts is the address, and SOCK_SEQPACKET has no entry.
        found = socket.getaddrinfo(
            host or None, spec.port, _FAMILIES[spec.family], socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise BindError(f"cannot find the host {spec.host!r} ({reason}); bind an IP address") from error
    # /etc/hosts may well name an address twice.
    addresses: list[_Address] = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    return addresses[:1] if spec.family else addresses


def _bind_tcp(spec: SocketSpec, addresses: list[_Address]) -> list[ListeningSocket]:
    bound: list[ListeningSocket] = []
    failure: BindError | None = None
    with ExitStack() as undo:
        for family, address in addresses:
            if bound:  # all of them on the port that the first one got
                address = (address[0], bound[0].spec.port, *address[2:])
            try:
                sock = undo.enter_context(_open_tcp(spec, family, address))
            except OSError as error:
                failure = BindError(explain(error, address))
                failure.__cause__ = error
                # A name (localhost!) often has an IPv6 address where IPv6 is switched off: one is enough.
                if len(addresses) > 1 and error.errno in _NO_SUCH_ADDRESS_HERE:
                    continue
                raise failure from error
            host, port = sock.getsockname()[:2]
            name = numbered(spec.name, len(bound) + 1)
            bound.append(ListeningSocket(replace(spec, name=name, host=host, port=port), sock))
        if failure and not bound:
            raise failure
        undo.pop_all()
    return bound


def _open_tcp(spec: SocketSpec, family: int, address: Any) -> socket.socket:
    """Return a listening socket, or a bound one where there is nothing to listen; raises the bare OSError."""
    with ExitStack() as undo:
        sock = undo.enter_context(_unbound(spec, family))
        if spec.kind == "stream":
            # Lets a restart bind while old connections linger in TIME_WAIT. On Linux it never lets two
            # sockets listen on one port; the second one fails in bind() or, if the first was slow, in
            # listen(). Two datagram sockets it would let share a port, and the newer one would get it all.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spec.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not spec.dual_stack)
        if spec.interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(spec.interface) + b"\0")
        if spec.nodelay and spec.kind == "stream":
            # Linux copies it from the listener to every accepted socket: no system call per connection.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(address)
        listen(sock, spec)
        undo.pop_all()
    return sock


def _unbound(spec: SocketSpec, family: int) -> socket.socket:
    sock = socket.socket(family, _TYPES[spec.kind], spec.protocol)
    sock.setblocking(spec.blocking)
    return sock


def listen(sock: socket.socket, spec: SocketSpec) -> None:
    """Let it listen if it is to; once more, and only the length of its queue changes."""
    if spec.kind in ("stream", "seqpacket") and not spec.own_queues:  # datagrams simply arrive
        sock.listen(spec.backlog)


# ---- unix paths


def _bind_abstract(spec: SocketSpec) -> ListeningSocket:
    path = spec.path or ""
    if problem := unixpaths.problem(path):
        raise ConfigError(f"unix:{problem}")
    with ExitStack() as undo:
        sock = undo.enter_context(_unbound(spec, socket.AF_UNIX))
        try:
            sock.bind(b"\0" + os.fsencode(path[1:]))
            listen(sock, spec)
        except OSError as error:
            raise BindError(explain(error, path)) from error
        undo.pop_all()
    return ListeningSocket(spec, sock)


def _bind_unix(spec: SocketSpec) -> ListeningSocket:
    path = spec.path or ""
    if len(os.fsencode(path)) > unixpaths.LONGEST:
        raise ConfigError(f"unix:{path}: the path is longer than the 107 bytes that a unix socket may have")
    with ExitStack() as undo:
        sock = undo.enter_context(_unbound(spec, socket.AF_UNIX))
        try:
            with unixpaths.alone_in(os.path.dirname(path)):
                unixpaths.make_room(path, spec.replace)
                sock.bind(path)
                undo.callback(os.unlink, path)
                # Until listen() every connect() is refused, so nobody gets in under the wrong permissions.
                unixpaths.give(path, spec.mode, spec.owner, spec.group)
                listen(sock, spec)
        except LookupError as error:
            raise ConfigError(f"unix:{path}: {error}") from error
        except OSError as error:
            raise BindError(explain(error, path)) from error
        undo.pop_all()
    return ListeningSocket(spec, sock, unixpaths.identity(path))
