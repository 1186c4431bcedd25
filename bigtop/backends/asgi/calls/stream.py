# Stream: the bytes of one request and its answer, all that an application call needs of the connection.
#
# A connection of HTTP/1.1 has one stream, for one call after the other, and that is the whole of the client's
# transport (buffered_transport.py). One of HTTP/2 has many at once, each with its own share of that
# (http2/stream.py).

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Protocol

from bigtop.backends.asgi.metrics import MeteredCall
from bigtop.backends.native.transport.pace import Pace
from bigtop.backends.native.transport.transport import Transport
from bigtop.http.handlers import FilePart


class Stream:
    """Bytes of one request after the other, both ways. Nothing here fails because the client has left."""

    paces: ClassVar[bool] = False  # an answer can be slowed down here

    __slots__ = ("at_end", "pace", "raw", "shares")

    def __init__(self, raw: Transport) -> None:
        self.raw = raw
        self.at_end = False  # the client sends nothing more
        self.pace: Pace | None = None  # of the answer that is written
        self.shares = False  # room for what is read, with others: resume() also behind the end of a body

    @abstractmethod
    def resume(self) -> None:
        """Read from now on, if there can be anything to read."""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many bytes the client has not taken yet."""

    @abstractmethod
    def invite(self) -> None:
        """Let a client send its body that waits to be asked for it (100)."""

    @abstractmethod
    def inform(self, headers: list[tuple[str, str]]) -> None:
        """Send early hints (103)."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send, as soon as the client takes it. If nothing, a head that is no bytes (HTTP/2) goes out."""

    @abstractmethod
    def write_between(self, before: bytes, part: FilePart | bytes, after: bytes) -> None:
        """Send a piece of a file, which must stay open until flushed(), or of memory, which is not copied,
        between two small ones."""

    @abstractmethod
    async def room(self) -> None:
        """Wait while too much waits for the client."""

    @abstractmethod
    async def flushed(self) -> None:
        """Wait until the client has taken everything, or is gone."""


class StreamOwner(Protocol):
    """Who is told how an answer goes."""

    def sending(self) -> None:
        """Something waits for the client to read."""

    def answered(self, call: MeteredCall) -> None:
        """The answer to `call` is complete."""

    def give_up(self, call: MeteredCall) -> None:
        """The answer to `call` ends in the middle, or was not the application's."""

    def cut(self) -> None:
        """End it at once."""
