# A client that speaks HTTP/2 by the library h2, over a socket or TLS: it does what a test tells it.

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes, Settings

from tests.support.tls_client import context

DEADLINE = 30.0
Fields = dict[str, str]


class Answer:
    """What has come of one."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.hints: list[Fields] = []
        self.body = b""
        self.trailers: list[tuple[str, str]] = []
        self.ended = False
        self.reset: int | None = None  # the code

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


class Http2Client:
    """One connection. It opens its windows by itself, unless it `reads` at its own pace."""

    def __init__(
        self,
        address: Any,
        *,
        tls: bool = False,
        name: str = "localhost",
        window: int | None = None,
        reads: bool = True,
        buffer: int | None = None,
        by: ssl.SSLContext | None = None,
    ) -> None:
        self.socket: socket.socket = socket.socket()
        if buffer is not None:  # bytes that the kernel keeps for it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(address)
        if tls:
            by = by or context()
            by.set_alpn_protocols(["h2", "http/1.1"])
            self.socket = by.wrap_socket(self.socket, server_hostname=name)
            assert self.socket.selected_alpn_protocol() == "h2"  # type: ignore[attr-defined]
        self._name, self._scheme, self._reads = name, "https" if tls else "http", reads
        self.spoken = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        if window is not None:
            values = {SettingCodes.INITIAL_WINDOW_SIZE: window}
            self.spoken.local_settings = Settings(client=True, initial_values=values)
        self.spoken.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.pings: list[bytes] = []
        self.goaways: list[int] = []  # their last streams
        self.codes: list[int] = []  # what they said
        self.at_end = False
        self._rest = b""
        self.flush()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    # ---- to the server

    def flush(self) -> None:
        self.socket.sendall(self.spoken.data_to_send())

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        ends: bool = True,
        length: bool = True,
        flushes: bool = True,
        host: str = "",
    ) -> int:
        """Make a request; return the number of its stream. Unless it `ends`, send() goes on."""
        stream = self.spoken.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", self._scheme),
            (":authority", host or self._name),
            (":path", path),
        ]
        fields += headers
        if body is not None and ends and length:
            fields.append(("content-length", str(len(body))))
        self.answers[stream] = Answer()
        self.spoken.send_headers(stream, fields, end_stream=ends and body is None)
        if flushes:
            self.flush()
        if body is not None:
            self.send(stream, body, ends=ends)
        return stream

    def connect(self, path: str, protocol: str, headers: Sequence[tuple[str, str]]) -> int:
        """Ask for another protocol on a stream (RFC 8441), which the server has to have offered."""
        self.until(lambda: self.spoken.remote_settings.enable_connect_protocol)
        stream = self.spoken.get_next_available_stream_id()
        self.answers[stream] = Answer()
        fields = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", self._scheme)]
        fields += [(":authority", self._name), (":path", path), *headers]
        self.spoken.send_headers(stream, fields)
        self.flush()
        return stream

    def send(self, stream: int, body: bytes, *, ends: bool = True) -> None:
        while body:
            room = min(
                self.spoken.local_flow_control_window(stream), self.spoken.max_outbound_frame_size, len(body)
            )
            if not room:
                self.receive()
                continue
            self.spoken.send_data(stream, body[:room])
            body = body[room:]
            self.flush()
        if ends:
            self.spoken.end_stream(stream)
            self.flush()

    def reset(self, stream: int, *, flushes: bool = True) -> None:
        self.spoken.reset_stream(stream, 0x8)
        if flushes:
            self.flush()

    def ping(self) -> None:
        """Ask for a sign of life, and wait for it."""
        data = b"%08d" % len(self.pings)
        self.spoken.ping(data)
        self.flush()
        self.until(lambda: data in self.pings)

    # ---- from the server

    def get(self, path: str, **how: Any) -> Answer:
        return self.wait(self.ask(path, **how))

    def wait(self, stream: int) -> Answer:
        """Return an answer when it is whole, or was reset."""
        answer = self.answers[stream]
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def is_refused(self, stream: int) -> bool:
        """Whether a GOAWAY said that the server has not begun it: it may be asked for again elsewhere."""
        return any(stream > last for last in self.goaways)

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            assert not self.at_end, f"the server has closed the connection; last streams: {self.goaways}"
            self.receive()

    def receive(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.at_end = True
            return
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= (size := 9 + int.from_bytes(self._rest[:3])):
            frame, self._rest = self._rest[:size], self._rest[size:]
            for event in self.spoken.receive_data(frame):
                self._take(event)
            if self.goaways:  # the library believes that all is over then
                self.spoken.state_machine.state = ConnectionState.CLIENT_OPEN
        self.flush()

    def read_to_end(self) -> None:
        self.until(lambda: self.at_end or (self.receive(), self.at_end)[1])

    def _take(self, event: Any) -> None:
        if isinstance(event, PingAckReceived):
            self.pings.append(event.ping_data)
        elif isinstance(event, ConnectionTerminated):
            self.goaways.append(event.last_stream_id or 0)
            self.codes.append(int(event.error_code))
        elif isinstance(event, InformationalResponseReceived):
            self.answers[event.stream_id].hints.append(dict(event.headers))
        elif isinstance(event, ResponseReceived):
            answer = self.answers[event.stream_id]
            answer.headers = [(str(name), str(value)) for name, value in event.headers]
            answer.status = int(answer.header(":status") or 0)
        elif isinstance(event, DataReceived):
            self.answers[event.stream_id].body += event.data
            if self._reads and event.flow_controlled_length:
                self.spoken.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            fields = [(str(name), str(value)) for name, value in event.headers]
            self.answers[event.stream_id].trailers = fields
        elif isinstance(event, StreamEnded):
            self.answers[event.stream_id].ended = True
        elif isinstance(event, StreamReset):
            self.answers[event.stream_id].reset = event.error_code
