# HPACK: the examples of RFC 7541, and hyperium's hpack as the second opinion.

from __future__ import annotations

import hpack
import pytest
from hpack.huffman_table import decode_huffman
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.http.h2.error_codes import Http2Error
from bigtop.http.h2.hpack import EMPTY, OVERHEAD, STATIC, TABLE_SIZE, Decoder, Pair, Table
from bigtop.http.h2.huffman import LENGTHS, codes, decode
from bigtop.http.h2.request_heads import known_block
from bigtop.http.limits import Limits
from tests.http.h2.peers import GET, SECOND, connection, request, told

MANY = 1 << 20


def decoded(table: Table, data: bytes) -> tuple[Table, list[Pair]]:
    decoder = Decoder(table, data, MANY, MANY)
    table = decoder.run(table)
    assert decoder.broken == ""
    return table, decoder.pairs


# Appendix C.3 and C.4: three requests of one connection, without and with Huffman.
EXAMPLES = [
    (
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ),
    (
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ),
]


@pytest.mark.parametrize("blocks", EXAMPLES)
def test_the_examples_of_the_standard(blocks: tuple[str, ...]) -> None:
    table, found = EMPTY, []
    for text in blocks:
        table, pairs = decoded(table, bytes.fromhex(text))
        found.append(pairs)
    start = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
    ]
    assert found == [
        start,
        [*start, (b"cache-control", b"no-cache")],
        [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/index.html"),
            (b":authority", b"www.example.com"),
            (b"custom-key", b"custom-value"),
        ],
    ]
    assert table.size == 164
    assert table.entries[::-1] == [
        (b"custom-key", b"custom-value"),
        (b"cache-control", b"no-cache"),
        (b":authority", b"www.example.com"),
    ]


def test_the_static_table_is_that_of_the_standard() -> None:
    assert tuple(STATIC[1:]) == hpack.table.HeaderTable.STATIC_TABLE


NAMES = st.sampled_from([b":path", b"cookie", b"x-a", b"x-b", b"accept", b"te", b"user-agent", b"c" * 300])
VALUES = st.one_of(st.sampled_from([b"", b"/", b"gzip, deflate", b"a" * 3000]), st.binary(max_size=40))
HEADERS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None)
@given(blocks=st.lists(st.tuples(HEADERS, st.booleans(), st.none() | st.integers(0, TABLE_SIZE)), max_size=8))
def test_what_an_encoder_says_is_understood(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]],
) -> None:
    encoder, table = hpack.Encoder(), EMPTY
    for headers, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        table, pairs = decoded(table, encoder.encode(headers, huffman=huffman))
        assert pairs == [(name, value) for name, value, _secret in headers]
        theirs = list(encoder.header_table.dynamic_entries)
        assert table.entries[::-1] == theirs
        assert table.size == sum(len(name) + len(value) + OVERHEAD for name, value in theirs) <= table.limit


# Bytes that are likely to be blocks: indexes, literals with short strings, sizes of the table.
SHORT = st.binary(max_size=6).map(lambda text: bytes([len(text)]) + text)
PIECES = st.one_of(
    st.integers(0x80, 0xFF).map(lambda byte: bytes([byte])),
    st.tuples(st.sampled_from([b"\x40", b"\x00", b"\x10"]), SHORT, SHORT).map(b"".join),
    st.tuples(st.integers(0x40, 0x7F).map(lambda byte: bytes([byte])), SHORT).map(b"".join),
    st.sampled_from([b"\x20", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f", b"\x2a", b"\x00\x01a\x82\x1f\xff"]),
    st.binary(max_size=5),
)


@settings(max_examples=150, deadline=None)
@given(blocks=st.lists(st.lists(PIECES, max_size=10).map(b"".join), max_size=4))
def test_random_blocks_mean_the_same_to_another_decoder(blocks: list[bytes]) -> None:
    theirs, table = hpack.Decoder(max_header_list_size=MANY), EMPTY
    for data in blocks:
        try:
            wanted: list[Pair] | None = [(name, value) for name, value in theirs.decode(data, raw=True)]
        except (hpack.HPACKError, IndexError):
            wanted = None
        try:
            table, found = decoded(table, data)
        except Http2Error:
            assert wanted is None
            return
        assert found == wanted


def test_a_table_is_never_changed() -> None:
    first, _ = decoded(EMPTY, b"\x40\x01a\x01b")
    entries = list(first.entries)
    second, _ = decoded(first, b"\x40\x01c\x01d")
    third, _ = decoded(first, b"\x20")
    assert (first.entries, EMPTY.entries) == (entries, [])
    assert second.entries == [*entries, (b"c", b"d")]
    assert third.entries == []
    assert len({EMPTY.serial, first.serial, second.serial, third.serial}) == 4


def test_a_block_that_adds_nothing_keeps_the_table() -> None:
    table, _ = decoded(EMPTY, b"\x40\x01a\x01b")
    assert decoded(table, b"\xbe\x82\x00\x01c\x01d")[0] is table


# ---- Huffman


def encode(text: bytes) -> bytes:
    made, bits = 0, 0
    table = codes()
    for byte in text:
        made = made << LENGTHS[byte] | table[byte]
        bits += LENGTHS[byte]
    fill = -bits % 8
    return (made << fill | (1 << fill) - 1).to_bytes((bits + fill) // 8, "big")


@settings(max_examples=100, deadline=None)
@given(text=st.binary(max_size=60))
def test_huffman_there_and_back(text: bytes) -> None:
    assert decode(encode(text)) == text


def test_each_symbol_has_the_code_of_the_standard() -> None:
    for symbol in range(256):
        text = bytes([symbol]) * 3
        assert decode(encode(text)) == text == decode_huffman(encode(text))


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=12))
def test_random_huffman_means_the_same_to_another_decoder(data: bytes) -> None:
    try:
        wanted: bytes | None = bytes(decode_huffman(data))
    except hpack.HPACKDecodingError:
        wanted = None
    try:
        found: bytes | None = decode(data)
    except Http2Error:
        found = None
    assert found == wanted


# ---- memory


def test_blocks_of_all_connections_are_remembered_by_their_table() -> None:
    limits = Limits()
    encoders = [hpack.Encoder(), hpack.Encoder()]
    head = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a.example"), ("x", "y")]
    tables, kept = [EMPTY, EMPTY], []
    for _round in range(3):
        for which, encoder in enumerate(encoders):
            block = known_block(tables[which], encoder.encode(head), limits)
            tables[which] = block.table
            kept.append(block)
    assert kept[0] is kept[1]
    assert kept[2] is kept[3] is kept[4] is kept[5]
    assert kept[0].fields is kept[2].fields


def test_what_breaks_a_limit_is_not_remembered_for_others() -> None:
    head = hpack.Encoder().encode(
        [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a"), ("x", "y" * 80)]
    )
    assert known_block(EMPTY, head, Limits()).error is None
    assert known_block(EMPTY, head, Limits(field_size=60)).error is not None
    assert known_block(EMPTY, head, Limits()).error is None


def test_the_same_bytes_say_what_the_table_of_the_connection_says() -> None:
    head = b"\x82\x87\x84\x41\x01a"  # :authority is put into the table, too
    said, limits = [], Limits()
    for value in (b"one", b"two", b"one"):
        first = known_block(EMPTY, head + b"\x40\x01x\x03" + value, limits)
        second = known_block(first.table, b"\x82\x87\x84\xbf\xbe", limits)
        assert (first.error, second.error) == (None, None)
        said.append(second.fields.headers)
    assert said == [[(b"host", b"a"), (b"x", value)] for value in (b"one", b"two", b"one")]


@settings(max_examples=60, deadline=None)
@given(
    said=st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from([b"x", b"y"]), st.sampled_from([b"1", b"2"]), st.booleans()
        ),
        max_size=30,
    )
)
def test_no_connection_gets_the_fields_of_another(said: list[tuple[int, bytes, bytes, bool]]) -> None:
    limits, encoders, tables = Limits(), [hpack.Encoder() for _ in range(3)], [EMPTY] * 3
    for which, name, value, secret in said:
        pairs = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")]
        data = encoders[which].encode([*pairs, (name, value, secret)])
        block = known_block(tables[which], data, limits)
        tables[which] = block.table
        assert block.error is None
        assert block.fields.headers == [(b"host", b"a"), (name, value)]


def test_what_is_known_with_authority_is_not_known_without() -> None:
    """A second Host field may repeat :authority, and no Host field (CVE-2026-71554)."""
    server = connection()
    host = (b"host", b"a.example")
    without = [pair for pair in GET if pair[0] != b":authority"]
    events = server.feed(request(1, more=[host]) + request(3, without, more=[host, host]), SECOND)
    assert [(event[0], event[1]) for event in told(events)] == [("request", 1), ("refused", 3)]
