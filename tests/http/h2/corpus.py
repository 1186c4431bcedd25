# Corpus of HTTP/2: what a client sends, and what becomes of the connection or the stream. The cases are those
# of h2spec (RFC 9113, 3 to 8, and RFC 7541), in our words, and some more.
#
# An outcome is told as: what is told of streams, then the codes of RST_STREAM by stream, then that of GOAWAY.

from __future__ import annotations

from struct import pack
from typing import NamedTuple

from bigtop.http.h2.error_codes import (
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from bigtop.http.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from tests.http.h2.peers import GET, POST, Pairs, block, frame, request


class Case(NamedTuple):
    """`told` are words of events; `resets` what RST_STREAM says by stream; `code` what GOAWAY says."""

    section: str
    name: str
    data: bytes
    told: tuple[str, ...] = ()
    resets: tuple[tuple[int, int], ...] = ()
    code: int | None = None


def number(value: int) -> bytes:
    return pack(">I", value)


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, pack(">HI", name, value))


def data(stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return frame(DATA, flags, stream, payload)


def window(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, number(size))


def rst(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream, number(code))


def without(name: bytes, pairs: Pairs = GET) -> Pairs:
    return [pair for pair in pairs if pair[0] != name]


def get(name: bytes, value: bytes) -> bytes:
    return request(1, GET, more=[(name, value)])


def raw(*parts: bytes) -> bytes:
    """Return HEADERS with a block of these bytes behind that of a GET."""
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET) + b"".join(parts))


PING_FRAME = frame(PING, 0, 0, b"12345678")
NOTHING_SAID = frame(0x42, 0xFF, 0, b"whatever")
MALFORMED = ("refused 1 400 reset",)
RESET_1 = ((1, PROTOCOL_ERROR),)
GOT_1 = ("request 1 ended",)

# What comes instead of preface and SETTINGS.
OPENINGS = [
    Case("3.4", "no preface", b"INVALID CONNECTION PREFACE\r\n\r\n", code=PROTOCOL_ERROR),
    Case("3.4", "HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", code=PROTOCOL_ERROR),
    Case("3.4", "a preface that goes wrong", PREFACE[:-2] + b"\n\n", code=PROTOCOL_ERROR),
    Case("3.4", "no SETTINGS first", PREFACE + PING_FRAME, code=PROTOCOL_ERROR),
    Case("3.4", "a request first", PREFACE + request(1), code=PROTOCOL_ERROR),
    Case("3.4", "SETTINGS that acknowledge first", PREFACE + frame(SETTINGS, ACK), code=PROTOCOL_ERROR),
    Case("3.4", "an unknown frame first", PREFACE + NOTHING_SAID, code=PROTOCOL_ERROR),
    Case("3.4", "SETTINGS and a request at once", PREFACE + frame(SETTINGS) + request(1), GOT_1),
]

FRAMES = [
    Case("4.1", "a frame of unknown type", NOTHING_SAID + request(1), GOT_1),
    Case("4.1", "unknown flags of a PING", frame(PING, 0xFE, 0, b"12345678") + request(1), GOT_1),
    Case("4.1", "a reserved bit", frame(PING, 0, 1 << 31, b"12345678") + request(1), GOT_1),
    Case(
        "4.2",
        "DATA of 16,384 bytes",
        request(1, POST, ends=False) + data(1, bytes(16384), 1),
        ("request 1", "data 1 16384", "ended 1"),
    ),
    Case(
        "4.2",
        "DATA that is too long",
        request(1, POST, ends=False) + data(1, bytes(16385)),
        ("request 1", "reset 1"),
        code=FRAME_SIZE_ERROR,
    ),
    Case("4.2", "HEADERS that are too long", frame(HEADERS, 5, 1, bytes(16385)), code=FRAME_SIZE_ERROR),
    Case("4.2", "an unknown frame that is too long", frame(0x42, 0, 0, bytes(16385)), code=FRAME_SIZE_ERROR),
    Case("4.3", "a block that cannot be decoded", raw(b"\xff"), code=COMPRESSION_ERROR),
    Case(
        "4.3",
        "PRIORITY in the middle of a head",
        frame(HEADERS, END_STREAM, 1, block(GET)) + frame(PRIORITY, 0, 1, number(0) + b"\0"),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "4.3",
        "another head in the middle of a head",
        frame(HEADERS, END_STREAM, 1, block(GET)) + request(3),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "4.3",
        "CONTINUATION of another stream",
        frame(HEADERS, END_STREAM, 1, block(GET)) + frame(CONTINUATION, 4, 3),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "4.3",
        "an unknown frame in the middle of a head",
        frame(HEADERS, END_STREAM, 1, block(GET)) + NOTHING_SAID,
        code=PROTOCOL_ERROR,
    ),
]

STREAMS = [
    Case("5.1", "DATA of a stream that is idle", data(1, b"x"), code=PROTOCOL_ERROR),
    Case("5.1", "RST_STREAM of a stream that is idle", rst(1), code=PROTOCOL_ERROR),
    Case("5.1", "WINDOW_UPDATE of a stream that is idle", window(1, 100), code=PROTOCOL_ERROR),
    Case(
        "5.1",
        "CONTINUATION of a stream that is idle",
        frame(CONTINUATION, 4, 1, block(GET)),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "5.1",
        "PRIORITY of a stream that is idle",
        frame(PRIORITY, 0, 3, number(0) + b"\0") + request(1),
        GOT_1,
    ),
    Case(
        "5.1",
        "DATA behind the end",
        request(1) + data(1, b"x", 1),
        (*GOT_1, "reset 1"),
        ((1, STREAM_CLOSED),),
    ),
    Case("5.1", "a head behind the end", request(1) + request(1), (*GOT_1, "reset 1"), ((1, STREAM_CLOSED),)),
    Case(
        "5.1",
        "CONTINUATION behind the end",
        request(1) + frame(CONTINUATION, 4, 1, block(GET)),
        (*GOT_1, "reset 1"),
        code=PROTOCOL_ERROR,
    ),
    Case("5.1", "WINDOW_UPDATE behind the end", request(1) + window(1, 1), GOT_1),
    Case("5.1", "PRIORITY behind the end", request(1) + frame(PRIORITY, 0, 1, number(0) + b"\0"), GOT_1),
    Case(
        "5.1",
        "DATA behind RST_STREAM",
        request(1, POST, ends=False) + rst(1) + data(1, b"x"),
        ("request 1", "reset 1"),
    ),
    Case("5.1", "RST_STREAM behind RST_STREAM", request(1) + rst(1) + rst(1), (*GOT_1, "reset 1")),
    Case("5.1.1", "a stream with an even number", request(2), code=PROTOCOL_ERROR),
    Case("5.1.1", "a stream with the number 0", request(0), code=PROTOCOL_ERROR),
    Case(
        "5.1.1",
        "a stream before the last one",
        request(5) + request(3),
        ("request 5 ended", "reset 5"),
        code=PROTOCOL_ERROR,
    ),
    Case("5.1.1", "DATA of an even stream", data(2, b"x"), code=PROTOCOL_ERROR),
    Case("5.1.1", "streams left out", request(1) + request(99), (*GOT_1, "request 99 ended")),
    Case(
        "5.1.2",
        "one stream too many",
        b"".join(request(n) for n in range(1, 11, 2)),
        tuple(f"request {n} ended" for n in (1, 3, 5, 7)),
        ((9, REFUSED_STREAM),),
    ),
    Case(
        "5.3.1",
        "HEADERS that depend on themselves",
        frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, number(1) + b"\0" + block(GET)),
        MALFORMED,
        RESET_1,
    ),
    Case(
        "5.3.1",
        "PRIORITY that depends on itself",
        frame(PRIORITY, 0, 1, number(1) + b"\0"),
        code=PROTOCOL_ERROR,
    ),
    Case("5.4.1", "a frame behind an error", request(2) + request(1), code=PROTOCOL_ERROR),
    Case("5.5", "an unknown setting", setting(0x99, 7) + request(1), GOT_1),
]

KINDS = [
    Case(
        "6.1",
        "DATA with padding",
        request(1, POST, ends=False) + data(1, b"\x03abc\0\0\0", PADDED | END_STREAM),
        ("request 1", "data 1 3", "ended 1"),
    ),
    Case("6.1", "DATA of stream 0", data(0, b"x"), code=PROTOCOL_ERROR),
    Case(
        "6.1",
        "DATA with too much padding",
        request(1, POST, ends=False) + data(1, b"\x04abc", PADDED),
        ("request 1", "reset 1"),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "6.1",
        "DATA without room for the length of its padding",
        request(1, POST, ends=False) + data(1, b"", PADDED),
        ("request 1", "reset 1"),
        code=FRAME_SIZE_ERROR,
    ),
    Case(
        "6.1",
        "DATA that is nothing but padding",
        request(1, POST, ends=False) + data(1, b"\x02\0\0", PADDED | END_STREAM),
        ("request 1", "ended 1"),
    ),
    Case(
        "6.2",
        "HEADERS with padding",
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x02" + block(GET) + b"\0\0"),
        GOT_1,
    ),
    Case(
        "6.2",
        "HEADERS with padding and priority",
        frame(
            HEADERS,
            END_HEADERS | END_STREAM | PADDED | HAS_PRIORITY,
            1,
            b"\x02" + number(0) + b"\x10" + block(GET) + b"\0\0",
        ),
        GOT_1,
    ),
    Case(
        "6.2",
        "HEADERS with too much padding",
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + block(GET)),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "6.2",
        "HEADERS too short for a priority",
        frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, b"\0\0\0\0"),
        code=FRAME_SIZE_ERROR,
    ),
    Case(
        "6.2",
        "a head in three frames",
        frame(HEADERS, END_STREAM, 1, block(GET)[:3])
        + frame(CONTINUATION, 0, 1, block(GET)[3:9])
        + frame(CONTINUATION, END_HEADERS, 1, block(GET)[9:]),
        GOT_1,
    ),
    Case(
        "6.2",
        "an empty CONTINUATION",
        frame(HEADERS, END_STREAM, 1, block(GET)) + frame(CONTINUATION, END_HEADERS, 1),
        GOT_1,
    ),
    Case("6.3", "PRIORITY of stream 0", frame(PRIORITY, 0, 0, number(1) + b"\0"), code=PROTOCOL_ERROR),
    Case("6.3", "PRIORITY of 4 bytes", frame(PRIORITY, 0, 1, number(0)), code=FRAME_SIZE_ERROR),
    Case("6.4", "RST_STREAM", request(1) + rst(1), (*GOT_1, "reset 1")),
    Case("6.4", "RST_STREAM of stream 0", rst(0), code=PROTOCOL_ERROR),
    Case(
        "6.4",
        "RST_STREAM of 3 bytes",
        request(1) + frame(RST_STREAM, 0, 1, b"\0\0\0"),
        (*GOT_1, "reset 1"),
        code=FRAME_SIZE_ERROR,
    ),
    Case("6.4", "RST_STREAM with an unknown code", request(1) + rst(1, 0xDEADBEEF), (*GOT_1, "reset 1")),
    Case(
        "6.5",
        "SETTINGS that acknowledge, with a payload",
        frame(SETTINGS, ACK, 0, b"\0" * 6),
        code=FRAME_SIZE_ERROR,
    ),
    Case("6.5", "SETTINGS that acknowledge", frame(SETTINGS, ACK) + request(1), GOT_1),
    Case("6.5", "SETTINGS of a stream", frame(SETTINGS, 0, 1), code=PROTOCOL_ERROR),
    Case("6.5", "SETTINGS of 3 bytes", frame(SETTINGS, 0, 0, b"\0\0\0"), code=FRAME_SIZE_ERROR),
    Case("6.5.2", "ENABLE_PUSH of 2", setting(2, 2), code=PROTOCOL_ERROR),
    Case("6.5.2", "ENABLE_PUSH of 0", setting(2, 0) + request(1), GOT_1),
    Case("6.5.2", "ENABLE_CONNECT_PROTOCOL of 2", setting(8, 2), code=PROTOCOL_ERROR),
    Case("6.5.2", "NO_RFC7540_PRIORITIES of 2", setting(9, 2), code=PROTOCOL_ERROR),
    Case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", setting(4, 1 << 31), code=FLOW_CONTROL_ERROR),
    Case("6.5.2", "MAX_FRAME_SIZE of 16,383", setting(5, 16383), code=PROTOCOL_ERROR),
    Case("6.5.2", "MAX_FRAME_SIZE of 2^24", setting(5, 1 << 24), code=PROTOCOL_ERROR),
    Case("6.5.2", "MAX_FRAME_SIZE of 2^24 - 1", setting(5, (1 << 24) - 1) + request(1), GOT_1),
    Case(
        "6.6",
        "PUSH_PROMISE",
        request(1) + frame(PUSH_PROMISE, 4, 1, number(2) + block(GET)),
        (*GOT_1, "reset 1"),
        code=PROTOCOL_ERROR,
    ),
    Case("6.7", "PING that acknowledges", frame(PING, ACK, 0, b"12345678") + request(1), GOT_1),
    Case("6.7", "PING of a stream", frame(PING, 0, 1, b"12345678"), code=PROTOCOL_ERROR),
    Case("6.7", "PING of 6 bytes", frame(PING, 0, 0, b"123456"), code=FRAME_SIZE_ERROR),
    Case("6.8", "GOAWAY of a stream", frame(GOAWAY, 0, 1, number(0) * 2), code=PROTOCOL_ERROR),
    Case("6.8", "GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, b"1234567"), code=FRAME_SIZE_ERROR),
    Case(
        "6.8",
        "a request before and behind GOAWAY",
        request(1) + frame(GOAWAY, 0, 0, number(0) * 2) + request(3),
        (*GOT_1, "request 3 ended"),
    ),
    Case("6.9", "WINDOW_UPDATE of nothing", window(0, 0), code=PROTOCOL_ERROR),
    Case(
        "6.9",
        "WINDOW_UPDATE of nothing for a stream",
        request(1) + window(1, 0),
        (*GOT_1, "reset 1"),
        RESET_1,
    ),
    Case("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), code=FRAME_SIZE_ERROR),
    Case("6.9.1", "a window beyond 2^31 - 1", window(0, (1 << 31) - 1), code=FLOW_CONTROL_ERROR),
    Case(
        "6.9.1",
        "a window of a stream beyond 2^31 - 1",
        request(1) + window(1, (1 << 31) - 1),
        (*GOT_1, "reset 1"),
        ((1, FLOW_CONTROL_ERROR),),
    ),
    Case(
        "6.9.2",
        "a window of a stream beyond it by SETTINGS",
        request(1) + window(1, (1 << 31) - 1 - 65535) + setting(4, 65536),
        (*GOT_1, "reset 1"),
        code=FLOW_CONTROL_ERROR,
    ),
    Case(
        "6.10",
        "CONTINUATION behind a whole head",
        request(1) + frame(CONTINUATION, 4, 1, block(GET)),
        (*GOT_1, "reset 1"),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "6.10",
        "CONTINUATION of stream 0",
        frame(HEADERS, 1, 1, block(GET)) + frame(CONTINUATION, 4, 0),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "6.10",
        "CONTINUATION behind DATA",
        request(1, POST, ends=False) + data(1, b"x") + frame(CONTINUATION, 4, 1, block(GET)),
        ("request 1", "data 1 1", "reset 1"),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "RFC 9218", "PRIORITY_UPDATE", request(1) + frame(PRIORITY_UPDATE, 0, 0, number(1) + b"u=1, i"), GOT_1
    ),
    Case(
        "RFC 9218",
        "PRIORITY_UPDATE of a stream that is idle",
        frame(PRIORITY_UPDATE, 0, 0, number(7) + b"u=1") + request(1),
        GOT_1,
    ),
    Case(
        "RFC 9218",
        "PRIORITY_UPDATE of a stream",
        frame(PRIORITY_UPDATE, 0, 1, number(1) + b"u=1"),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "RFC 9218",
        "PRIORITY_UPDATE about stream 0",
        frame(PRIORITY_UPDATE, 0, 0, number(0)),
        code=PROTOCOL_ERROR,
    ),
    Case(
        "RFC 9218",
        "PRIORITY_UPDATE of 3 bytes",
        frame(PRIORITY_UPDATE, 0, 0, b"\0\0\1"),
        code=FRAME_SIZE_ERROR,
    ),
]

HEADS = [
    Case(
        "8.1",
        "a head behind a body, which does not end the stream",
        request(1, POST, ends=False) + request(1, [(b"x", b"y")], ends=False),
        ("request 1", "reset 1"),
        RESET_1,
    ),
    Case(
        "8.1",
        "trailers",
        request(1, POST, ends=False) + data(1, b"abc") + request(1, [(b"x", b"y")]),
        ("request 1", "data 1 3", "ended 1"),
    ),
    Case(
        "8.1",
        "trailers with a pseudo-field",
        request(1, POST, ends=False) + request(1, [(b":path", b"/")]),
        ("request 1", "reset 1"),
        RESET_1,
    ),
    Case(
        "8.1",
        "trailers with a content-length",
        request(1, POST, ends=False) + request(1, [(b"content-length", b"0")]),
        ("request 1", "reset 1"),
        RESET_1,
    ),
    Case(
        "8.1",
        "trailers in upper case",
        request(1, POST, ends=False) + request(1, [(b"X", b"y")]),
        ("request 1", "reset 1"),
        RESET_1,
    ),
    Case("8.1.1", "content-length without a body", get(b"content-length", b"1"), MALFORMED, RESET_1),
    Case("8.1.1", "content-length of 0 without a body", get(b"content-length", b"0"), GOT_1),
    Case(
        "8.1.1",
        "content-length that is right",
        request(1, POST, ends=False, more=[(b"content-length", b"3")]) + data(1, b"ab") + data(1, b"c", 1),
        ("request 1", "data 1 3", "ended 1"),
    ),
    Case(
        "8.1.1",
        "content-length that is more than the body",
        request(1, POST, ends=False, more=[(b"content-length", b"4")]) + data(1, b"abc", 1),
        ("request 1", "data 1 3", "reset 1"),
        RESET_1,
    ),
    Case(
        "8.1.1",
        "content-length that is less than the body",
        request(1, POST, ends=False, more=[(b"content-length", b"3")]) + data(1, b"ab") + data(1, b"cd", 1),
        ("request 1", "data 1 2", "reset 1"),
        RESET_1,
    ),
    Case(
        "8.1.1",
        "content-length that is more than the body before trailers",
        request(1, POST, ends=False, more=[(b"content-length", b"4")])
        + data(1, b"abc")
        + request(1, [(b"x", b"y")]),
        ("request 1", "data 1 3", "reset 1"),
        RESET_1,
    ),
    *(
        Case(
            "8.1.1",
            f"content-length {value!r}",
            request(1, POST, ends=False, more=[(b"content-length", value)]),
            MALFORMED,
            RESET_1,
        )
        for value in (b"-1", b"+1", b"1, 1", b"0x1", b"", b"1.0", b"9" * 19)
    ),
    Case(
        "8.1.1",
        "two fields content-length",
        request(1, POST, ends=False, more=[(b"content-length", b"3")] * 2),
        MALFORMED,
        RESET_1,
    ),
    *(
        Case("8.2.1", f"a field named {name!r}", get(name, b"y"), MALFORMED, RESET_1)
        for name in (b"X", b"x y", b"x\x00", b"", b"x:", b"\xc3\xa4", b"x\ny", b"x\x7f")
    ),
    *(
        Case("8.2.1", f"a field that says {value!r}", get(b"x", value), MALFORMED, RESET_1)
        for value in (b"a\x00b", b"a\rb", b"a\nb", b"\x7f", b" a", b"a ", b"\ta", b"a\t")
    ),
    *(
        Case("8.2.1", f"a field that says {value!r}", get(b"x", value), GOT_1)
        for value in (b"", b"a b", b"a\tb", b"\xc3\xa4", b"a:b")
    ),
    *(
        Case("8.2.2", f"the field {name.decode()}", get(name, value), MALFORMED, RESET_1)
        for name, value in (
            (b"connection", b"keep-alive"),
            (b"keep-alive", b"5"),
            (b"proxy-connection", b"keep-alive"),
            (b"transfer-encoding", b"chunked"),
            (b"upgrade", b"h2c"),
            (b"te", b"trailers, deflate"),
        )
    ),
    Case("8.2.2", "te: trailers", get(b"te", b"trailers"), GOT_1),
    Case("8.3", "an unknown pseudo-field", request(1, [*GET, (b":test", b"ok")]), MALFORMED, RESET_1),
    Case("8.3", "a pseudo-field of answers", request(1, [*GET, (b":status", b"200")]), MALFORMED, RESET_1),
    Case("8.3", "a pseudo-field behind a field", request(1, [(b"x", b"y"), *GET]), MALFORMED, RESET_1),
    *(
        Case("8.3.1", f"{pair[0].decode()} twice", request(1, [*GET, pair]), MALFORMED, RESET_1)
        for pair in GET
    ),
    *(
        Case("8.3.1", f"no {name.decode()}", request(1, without(name)), MALFORMED, RESET_1)
        for name in (b":method", b":scheme", b":path")
    ),
    *(
        Case(
            "8.3.1", f":path {path!r}", request(1, [*without(b":path"), (b":path", path)]), MALFORMED, RESET_1
        )
        for path in (b"", b"a", b"*", b"/a b", b"/\t", b"/a#b", b"/\x00", b"http://a.example/")
    ),
    Case(
        "8.3.1",
        ":path * of OPTIONS",
        request(
            1,
            [
                (b":method", b"OPTIONS"),
                (b":scheme", b"https"),
                (b":path", b"*"),
                (b":authority", b"a.example"),
            ],
        ),
        GOT_1,
    ),
    *(
        Case("8.3.1", f":method {method!r}", request(1, [(b":method", method), *GET[1:]]), MALFORMED, RESET_1)
        for method in (b"", b"GE T", b"GET\n", b"G\x00")
    ),
    Case(
        "8.3.1",
        "a method that is too long",
        request(1, [(b":method", b"A" * 33), *GET[1:]]),
        ("refused 1 501",),
    ),
    Case("8.3.1", "no host at all", request(1, without(b":authority")), ("refused 1 400",)),
    Case(
        "8.3.1",
        "Host instead of :authority",
        request(1, without(b":authority"), more=[(b"host", b"a.example")]),
        GOT_1,
    ),
    Case(
        "8.3.1",
        "two Host fields instead of :authority",
        request(1, without(b":authority"), more=[(b"host", b"a.example")] * 2),
        ("refused 1 400",),
    ),
    Case("8.3.1", "Host that is :authority", get(b"host", b"A.example"), GOT_1),
    Case("8.3.1", "Host that is not :authority", get(b"host", b"b.example"), MALFORMED, RESET_1),
    *(
        Case(
            "8.3.1",
            f":authority {host!r}",
            request(1, [*without(b":authority"), (b":authority", host)]),
            ("refused 1 400",),
        )
        for host in (b"", b"user@a.example", b"a,b", b"a b", b"a/b")
    ),
    Case("8.4", "an answer from a client", request(1, [(b":status", b"200")]), MALFORMED, RESET_1),
    Case(
        "8.5",
        "CONNECT",
        request(1, [(b":method", b"CONNECT"), (b":authority", b"a.example:443")], ends=False),
        ("refused 1 501",),
    ),
    Case(
        "8.5",
        "CONNECT with a path",
        request(1, [(b":method", b"CONNECT"), *GET[1:]], ends=False),
        MALFORMED,
        RESET_1,
    ),
    Case(
        "8.5",
        "CONNECT without :authority",
        request(1, [(b":method", b"CONNECT")], ends=False),
        MALFORMED,
        RESET_1,
    ),
    Case(
        "RFC 8441",
        "a :protocol, which was not offered",
        request(1, [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")], ends=False),
        MALFORMED,
        RESET_1,
    ),
    Case(
        "RFC 8441", "a :protocol of GET", request(1, [*GET, (b":protocol", b"websocket")]), MALFORMED, RESET_1
    ),
    Case("RFC 9110", "an unknown expectation", get(b"expect", b"cake"), ("refused 1 417",)),
]

BLOCKS = [
    Case("HPACK 2.3.3", "an index beyond the table", raw(b"\xbe"), code=COMPRESSION_ERROR),
    Case(
        "HPACK 4.2",
        "a size of the table that was not offered",
        frame(HEADERS, 5, 1, b"\x3f\xe2\x1f" + block(GET)),
        code=COMPRESSION_ERROR,
    ),
    Case("HPACK 4.2", "a size of the table behind a field", raw(b"\x20"), code=COMPRESSION_ERROR),
    Case("HPACK 4.2", "a size of the table", frame(HEADERS, 5, 1, b"\x20\x3f\xe1\x1f" + block(GET)), GOT_1),
    Case("HPACK 5.1", "a number without an end", raw(b"\xff" + b"\x80" * 12), code=COMPRESSION_ERROR),
    Case("HPACK 5.1", "a number that is too large", raw(b"\xff\xff\xff\xff\xff\x0f"), code=COMPRESSION_ERROR),
    Case("HPACK 5.2", "a string without an end", raw(b"\x00\x05ab"), code=COMPRESSION_ERROR),
    Case("HPACK 5.2", "a name without a value", raw(b"\x00\x01a"), code=COMPRESSION_ERROR),
    Case(
        "HPACK 5.2",
        "Huffman filled up with more than 7 bits",
        raw(b"\x00\x01x\x83\x1f\xff\xff"),
        code=COMPRESSION_ERROR,
    ),
    Case("HPACK 5.2", "Huffman filled up with zeros", raw(b"\x00\x01x\x81\x18"), code=COMPRESSION_ERROR),
    Case(
        "HPACK 5.2",
        "Huffman with the end of a string",
        raw(b"\x00\x01x\x84\xff\xff\xff\xff"),
        code=COMPRESSION_ERROR,
    ),
    Case("HPACK 5.2", "Huffman that is right", raw(b"\x00\x01x\x81\x1f"), GOT_1),
    Case("HPACK 6.1", "index 0", raw(b"\x80"), code=COMPRESSION_ERROR),
    Case(
        "HPACK 6.2",
        "a field that is indexed, then named by its index",
        raw(b"\x40\x01a\x01b", b"\xbe"),
        GOT_1,
    ),
    Case(
        "HPACK",
        "a malformed head, then one that needs its table",
        frame(HEADERS, 5, 1, block(GET) + b"\x40\x01A\x01b")
        + frame(HEADERS, 5, 3, block(GET) + b"\x40\x01a\x01b\xbe"),
        (*MALFORMED, "request 3 ended"),
        RESET_1,
    ),
]
