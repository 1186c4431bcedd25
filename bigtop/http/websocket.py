# WebSocket (RFC 6455) without a server: the handshake, messages in, frames out.
#
# Frames and permessage-deflate (RFC 7692) are wsproto's; here is what it leaves to its user: whole messages,
# limits, the closing handshake, who may connect. And a shorter way for what nearly all clients send nearly
# always, messages of one frame that came whole: wsproto takes ten times as long for them as all the rest.
# What is in any way unusual, or wrong, goes to wsproto.
#
# Rule 1: no I/O and no clock. feed() returns what happened; `out` collects what has to be sent for it.
# Rule 2: a message takes no more memory than its limit, however small it was before it was decompressed.

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Collection, Sequence
from struct import pack
from typing import Final, cast

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import (
    CloseReason,
    Frame,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
    XorMaskerSimple,
)

from bigtop.errors import ProtocolError
from bigtop.http.close_codes import ABNORMAL, NO_STATUS
from bigtop.http.messages import Request
from bigtop.http.response import Head, Stamp
from bigtop.record import Record

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

VERSION: Final = (
    ("Sec-WebSocket-Version", "13"),
)  # what a client that asks for another is told (RFC 6455, 4.4)

_TEXT: Final = 0x81  # first bytes of frames that are whole messages
_BINARY: Final = 0x82
_MASKED: Final = 0x80  # in a frame's second byte, as in all that clients send
_LONGER: Final = 126  # there instead of a size that has two bytes of its own

# ---- masks


def unmask_slowly(data: bytes, key: bytes) -> bytes:
    return bytes(XorMaskerSimple(key).process(bytearray(data)))


# Python is bad at this. Where `websockets` is installed, it brings a function in C.
try:
    from websockets.speedups import apply_mask as unmask
except ImportError:
    unmask = unmask_slowly  # type: ignore[assignment]

# ---- the handshake


class Handshake(Record):
    """What a client proposed."""

    accept: str  # the answer to its key
    subprotocols: list[str]
    extensions: list[str]


def read_handshake(request: Request, origins: Collection[str] = ()) -> Handshake:
    """Check a request for a WebSocket; ProtocolError says what is wrong. `origins` none: from anywhere.

    With HTTP/2 (RFC 8441) the method was looked at before, and there is no key to be answered."""
    fields: dict[bytes, list[str]] = {}
    for name, value in request.headers:
        fields.setdefault(name.lower(), []).append(value.decode("latin-1"))
    is_http2 = request.version == "2"
    if not is_http2 and request.method != "GET":
        raise ProtocolError(400, "a WebSocket begins with GET")
    if fields.get(b"sec-websocket-version") != ["13"]:
        raise ProtocolError(400, "the only version of WebSocket known is 13", VERSION)
    keys = fields.get(b"sec-websocket-key", [])
    if not is_http2 and (len(keys) != 1 or not _is_key(keys[0])):
        raise ProtocolError(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    # Browsers send the origin of the page; others send what they like, or nothing, and are not stopped here.
    origin = fields.get(b"origin", [""])[0]
    if origins and origin and origin not in origins:
        raise ProtocolError(403, "this origin may not connect")
    import hashlib  # OpenSSL comes with it, which a worker without WebSockets has no use for

    key = "" if is_http2 else keys[0]
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return Handshake(
        base64.b64encode(digest).decode(),
        _listed(fields.get(b"sec-websocket-protocol", [])),
        _listed(fields.get(b"sec-websocket-extensions", [])),
    )


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _listed(values: Sequence[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


class Deflate(PerMessageDeflate):
    """permessage-deflate that stops decompressing at `limit` bytes: a few kilobytes can become gigabytes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        if not (self._inbound_compressed and self._inbound_is_compressible and self._decompressor):
            return data
        try:
            piece = self._decompressor.decompress(data, self._limit + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return CloseReason.MESSAGE_TOO_BIG if self._decompressor.unconsumed_tail else piece


def negotiate(offers: Sequence[str], limit: int) -> tuple[Deflate | None, str]:
    """Take the first offer that can be kept; return the extension and what to answer."""
    for offer in offers:
        if offer.partition(";")[0].strip() != Deflate.name:
            continue
        deflate = Deflate(limit)
        try:
            accepted = deflate.accept(offer)
        except ValueError:  # a parameter that is no number
            continue
        if isinstance(accepted, str):
            return deflate, "; ".join(filter(None, (Deflate.name, accepted)))
    return None, ""


def agreed(subprotocol: str | None, extensions: str, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields that say what was agreed on, and others."""
    if subprotocol is not None:
        fields = [("Sec-WebSocket-Protocol", subprotocol), *fields]
    return [("Sec-WebSocket-Extensions", extensions), *fields] if extensions else fields


def switching(
    handshake: Handshake,
    subprotocol: str | None,
    extensions: str,
    fields: list[tuple[str, str]],
    stamp: Stamp,
) -> bytes:
    """Return the head that ends HTTP on a connection. Raises as response.Head for what cannot be sent."""
    fields = agreed(subprotocol, extensions, fields)
    lines = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    lines += f"Sec-WebSocket-Accept: {handshake.accept}\r\n"
    return lines.encode() + Head("101", fields).fields() + stamp.server + stamp.date + b"\r\n"


# ---- the conversation


class Closed(Record):
    """The client closed, or broke the protocol: answer with Session.close(code, reason), unless `closing`."""

    code: int
    reason: str


class Pong(Record):
    """The client is alive."""

    payload: bytes


Event = str | bytes | Pong | Closed


class _Frames(FrameProtocol):
    @property
    def is_between_messages(self) -> bool:
        """Whether nothing was begun: no message, and no frame."""
        decoder = self._frame_decoder
        return self._message_decoder.opcode is None and decoder.header is None and not decoder.buffer


class Session:
    """An open WebSocket, the server's side. `limit` is the size of a message in bytes."""

    __slots__ = (
        "_between", "_compresses", "_frames", "_limit", "_pieces", "_size", "closing", "out", "over",
    )  # fmt: skip

    def __init__(self, limit: int, deflate: Deflate | None = None) -> None:
        self._frames = _Frames(False, [deflate] if deflate is not None else [])
        self._between = True  # two messages: wsproto knows of nothing that came without its end
        self._compresses = deflate is not None
        self._limit = limit
        self._pieces: list[str] | list[bytes] = []  # of a message that is not complete
        self._size = 0
        self.out = b""
        self.closing = False  # our close frame was given out
        self.over = False  # theirs came, or what came made no sense: nothing is read any more

    def feed(self, data: bytes) -> list[Event]:
        """Return what `data` brings: complete messages and other events."""
        events: list[Event] = []
        if self.over:
            return events
        if self._between and not (data := self._whole_messages(data, events)):
            return events
        self._frames.receive_bytes(data)
        try:
            for frame in self._frames.received_frames():
                if self._take(frame, events):
                    break
        except ParseFailed as error:
            self._fail(error.code, str(error), events)
        self._between = self._frames.is_between_messages
        return events

    def _whole_messages(self, data: bytes, events: list[Event]) -> bytes:
        """Take what messages of one frame `data` begins with; return the rest."""
        at, end = 0, len(data)
        while end - at > 5:
            kind, size, start = data[at], data[at + 1] - _MASKED, at + 6
            if size == _LONGER:
                size, start = data[at + 2] << 8 | data[at + 3], at + 8
                if size < _LONGER:
                    break
            elif size > _LONGER:
                break
            if size < 0 or size > self._limit or start + size > end or (kind != _TEXT and kind != _BINARY):
                break
            payload = unmask(data[start : start + size], data[start - 4 : start])
            try:
                piece = payload.decode() if kind == _TEXT else payload
            except UnicodeDecodeError:
                break
            if not self.closing:  # otherwise nobody waits for it
                events.append(piece)
            at = start + size
        return data[at:] if at else data

    def _take(self, frame: Frame, events: list[Event]) -> bool:
        """Use a frame; True when it was the last."""
        opcode, payload = frame.opcode, frame.payload
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            return self._collect(payload, frame.message_finished, events)  # type: ignore[arg-type]
        if opcode is Opcode.PING:
            if not self.closing:
                self.out += self._frames.pong(payload)  # type: ignore[arg-type]
        elif opcode is Opcode.PONG:
            events.append(Pong(bytes(payload)))  # type: ignore[arg-type]
        else:
            code, reason = cast(tuple[int, str], payload)
            events.append(Closed(int(code), reason))
            self.over = True
        return self.over

    def _collect(self, piece: str | bytes, finished: bool, events: list[Event]) -> bool:
        if self.closing:  # nobody waits for it
            return False
        size = len(piece) if isinstance(piece, bytes) or piece.isascii() else len(piece.encode())
        self._size += size
        if self._size > self._limit:
            self._fail(CloseReason.MESSAGE_TOO_BIG, "the message is too long", events)
            return True
        if not finished:
            if piece:
                self._pieces.append(piece)  # type: ignore[arg-type]
            return False
        if self._pieces:
            self._pieces.append(piece)  # type: ignore[arg-type]
            piece = ("" if isinstance(piece, str) else b"").join(self._pieces)  # type: ignore[arg-type]
            self._pieces = []
        self._size = 0
        events.append(piece)
        return False

    def _fail(self, code: int, reason: str, events: list[Event]) -> None:
        events.append(Closed(int(code), reason))
        self.over = True

    def take_out(self) -> bytes:
        """Return what has to be sent for what came."""
        out, self.out = self.out, b""
        return out

    def message(self, payload: str | bytes) -> bytes:
        """Return the frame of a message."""
        if self._compresses:
            return bytes(self._frames.send_data(payload))
        # A server's frame is not masked: a head and the payload. Most are short, and this is much quicker.
        data, kind = (payload.encode(), _TEXT) if isinstance(payload, str) else (payload, _BINARY)
        size = len(data)
        if size < 126:
            return bytes((kind, size)) + data
        return (pack("!BBH", kind, 126, size) if size < 65536 else pack("!BBQ", kind, 127, size)) + data

    def ping(self, payload: bytes) -> bytes:
        return bytes(self._frames.ping(payload))

    def close(self, code: int, reason: str = "") -> bytes:
        """Return a close frame, the last that is sent. Codes that must not be on the wire become none."""
        self.closing = True
        if code in (NO_STATUS, ABNORMAL):
            return bytes(self._frames.close())
        return bytes(self._frames.close(code, reason or None))
