# Messages between workers that have a client and workers that run its calls: what they carry, and what they
# do not take.

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.http.clients.tls_session import ClientCertificate, TlsSession
from bigtop.http.delegation.answer_frames import (
    BEGUN,
    DATA,
    HEAD,
    INTERIM,
    RESET,
    AnswerReader,
    answer_frame,
)
from bigtop.http.delegation.request_message import (
    MOST,
    MOST_BODY,
    DelegatedRequest,
    is_whole,
    message_of,
    request_of,
)
from bigtop.http.h2.request_fields import request_fields
from bigtop.http.messages import Request

SESSION = TlsSession("TLSv1.3", "TLS_AES_128_GCM_SHA256", 0x1301, "shop.example", False)
CERTIFICATE = ClientCertificate("CN=one", "one", "CN=authority", "01", "-----BEGIN CERTIFICATE-----\n")
NOW = 5_000_000_000


def delegated(body: bytes = b"", session: TlsSession | None = None) -> DelegatedRequest:
    pairs = [(b"accept", b"*/*"), (b"cookie", b"a=1"), (b"x-latin", b"\xe4: \xff"), (b"x-twice", b"1")]
    request = Request("POST", b"/path?a=%0A", request_fields(b"shop.example", [*pairs, pairs[-1]]).fields)
    request.version, request.content_length, request.chunked = "2", len(body), True
    request.user, request.until_full, request.is_secure = "j\u00fcrgen", 17, True
    ends = ("192.0.2.1", "443"), ("2001:db8::1", "50000")
    return DelegatedRequest(request, body, *ends, "https", session, 4_000_000_000)


@pytest.mark.parametrize("session", [None, SESSION, SESSION._replace(client=CERTIFICATE)])
@pytest.mark.parametrize("body", [b"", b"\r\n\r\nGET / HTTP/1.1\r\n", b"x" * MOST_BODY])
def test_a_request_says_the_same_on_the_other_side(session: TlsSession | None, body: bytes) -> None:
    sent = delegated(body, session)
    message = message_of(sent)
    assert is_whole(message)
    assert not is_whole(message[:-1])
    got = request_of(message, NOW)
    assert got[1:] == sent[1:]
    names = {name for name in dir(sent.request) if not name.startswith("_")} - {"fields"}
    same = {name: getattr(sent.request, name) for name in names}
    assert {name: getattr(got.request, name) for name in names} == same
    assert got.request.fields is sent.request.fields, "what is known of them is known of both"


def test_what_is_too_much_is_no_message() -> None:
    assert message_of(delegated(b"x" * MOST)) == b""


def changed(**said: Any) -> bytes:
    """Return a message that says something else."""
    message = message_of(delegated(b"body"))
    size, length = struct.unpack(">II", message[:8])
    names = ["method", "target", "fields", "chunked", "user", "until_full", "is_secure"]
    names += ["server", "client", "scheme", "session", "readable"]
    whole = dict(zip(names, json.loads(message[8 : 8 + size]), strict=True)) | said
    text = json.dumps(list(whole.values())).encode()
    return struct.pack(">II", len(text), length) + text + message[8 + size :]


@pytest.mark.parametrize(
    "said",
    [
        {"method": "GET / HTTP/1.1\r\n"},
        {"method": "CONNECT"},
        {"method": ""},
        {"method": 5},
        {"method": "A" * 33},
        {"target": "path"},
        {"target": "/ HTTP/1.1\r\nX: y"},
        {"target": "*"},
        {"target": "/\u20ac"},
        {"fields": ["host", "a", "x", "1\r\ny: 2"]},
        {"fields": ["host", "a", "X", "1"]},
        {"fields": ["host", "a", "x", " 1"]},
        {"fields": ["host", "a", "transfer-encoding", "chunked"]},
        {"fields": ["host", "a", ":path", "/"]},
        {"fields": ["host", "a", "content-length", "5"]},
        {"fields": ["host", "a", "content-length", "4", "content-length", "4"]},
        {"fields": ["host", "a", "host", "b"]},
        {"fields": ["host", "a b"]},
        {"fields": ["host"]},
        {"fields": []},
        {"fields": ["host", None]},
        {"fields": {"host": "a"}},
        {"user": None},
        {"until_full": "1"},
        {"server": "a"},
        {"client": ["192.0.2.1", 5]},
        {"scheme": "file"},
        {"scheme": None},
        {"session": []},
        {"session": ["TLSv1.3", "", 1, "", True, ["a"]]},
        {"readable": -5},
        {"more": 1},
    ],
)
def test_what_no_request_says(said: dict[str, Any]) -> None:
    request_of(changed(), NOW)
    with pytest.raises(ValueError):
        request_of(changed(**said), NOW)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=100).map(lambda text: struct.pack(">II", len(text), 0) + text)
)
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(ValueError):
        request_of(data, NOW)


def test_a_message_that_nests_without_end() -> None:
    with pytest.raises(ValueError):
        request_of(struct.pack(">II", 100_000, 0) + b"[" * 100_000, NOW)


def test_what_is_said_to_be_of_later_is_of_now() -> None:
    assert request_of(changed(readable=NOW * 2), NOW).readable == NOW


# ---- answers

WHOLE = [
    answer_frame(BEGUN, b""),
    answer_frame(INTERIM, b"hints"),
    answer_frame(HEAD, b"head"),
    answer_frame(DATA, b"a" * 65_536),
    answer_frame(DATA, b"b", ends=True),
]


@given(st.lists(st.integers(0, sum(map(len, WHOLE))), max_size=8))
def test_answers_come_in_any_pieces(cuts: list[int]) -> None:
    data, reader = b"".join(WHOLE), AnswerReader()
    ends = [*sorted(cuts), len(data)]
    frames = []
    for begin, end in zip([0, *ends], ends, strict=False):
        frames += reader.feed(data[begin:end])
    assert [answer_frame(frame.kind, frame.payload, ends=frame.ends) for frame in frames] == WHOLE
    assert reader.is_over
    assert not reader.is_broken


@pytest.mark.parametrize(
    "frames",
    [
        [(HEAD, b"", False)],
        [(BEGUN, b"x", False)],
        [(BEGUN, b"", True)],
        [(BEGUN, b"", False), (BEGUN, b"", False)],
        [(BEGUN, b"", False), (DATA, b"", False)],
        [(BEGUN, b"", False), (INTERIM, b"", True)],
        [(BEGUN, b"", False), (HEAD, b"", False), (INTERIM, b"", False)],
        [(BEGUN, b"", False), (HEAD, b"", False), (HEAD, b"", False)],
        [(BEGUN, b"", False), (HEAD, b"", True), (DATA, b"", False)],
        [(BEGUN, b"", False), (HEAD, b"", False), (DATA, b"x" * 65_537, False)],
        [(BEGUN, b"", False), (RESET, b"123", False)],
        [(BEGUN, b"", False), (RESET, b"1234", False), (HEAD, b"", False)],
        [(BEGUN, b"", False), (6, b"", False)],
        [(RESET, b"1234", False)],
    ],
)
def test_what_no_answer_says(frames: list[tuple[int, bytes, bool]]) -> None:
    reader = AnswerReader()
    for kind, payload, ends in frames[:-1]:
        assert len(reader.feed(answer_frame(kind, payload, ends=ends))) == 1
    kind, payload, ends = frames[-1]
    assert reader.feed(answer_frame(kind, payload, ends=ends)) == []
    assert reader.is_broken
    assert reader.feed(answer_frame(BEGUN, b"")) == []
