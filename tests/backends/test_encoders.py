# Encoders: whatever a body is cut into, a client has every piece at once, and all of it at the end.

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.backends.native.codings import coding_libraries, encoders
from bigtop.backends.native.codings.encoders import PADDING, Brotli, Gzip, Zstd, maker_of
from bigtop.http.answers.codings import CODINGS
from bigtop.http.handlers import Encoder
from tests.support.decoding import Decoder, decoded

PIECES = st.lists(st.binary(min_size=1, max_size=300).map(lambda piece: piece * 7), max_size=8)
PADDINGS = st.integers(0, PADDING)


def zlib_deflate() -> encoders.Deflater:
    return zlib.compressobj(4, zlib.DEFLATED, -15)


def isal_deflate() -> encoders.Deflater:
    isal_zlib = pytest.importorskip("isal.isal_zlib", reason="pip install isal")
    made: encoders.Deflater = isal_zlib.compressobj(2, zlib.DEFLATED, -15)
    return made


def ng_deflate() -> encoders.Deflater:
    zlib_ng = pytest.importorskip("zlib_ng.zlib_ng", reason="pip install zlib-ng")
    made: encoders.Deflater = zlib_ng.compressobj(4, zlib.DEFLATED, -15)
    return made


MAKERS: dict[str, tuple[str, Callable[[int], Encoder]]] = {
    "zlib": ("gzip", lambda padding: Gzip(zlib_deflate, padding)),
    "isal": ("gzip", lambda padding: Gzip(isal_deflate, padding)),
    "zlib-ng": ("gzip", lambda padding: Gzip(ng_deflate, padding)),
    "brotli": ("br", lambda padding: Brotli(encoders._brotli(), padding)),
    "zstandard": ("zstd", lambda padding: Zstd(encoders._zstd(), padding)),
}


@pytest.fixture(params=MAKERS)
def maker(request: pytest.FixtureRequest) -> tuple[str, Callable[[int], Encoder]]:
    return MAKERS[request.param]


@pytest.mark.parametrize("name", MAKERS)
@given(pieces=PIECES, padding=PADDINGS, last=st.binary(max_size=40))
def test_every_piece_is_there_at_once(name: str, pieces: list[bytes], padding: int, last: bytes) -> None:
    coding, make = MAKERS[name]
    encoder, decoder = make(padding), Decoder(coding)
    for piece in pieces:
        assert decoder.feed(encoder.encode(piece)) == piece
        assert not decoder.is_whole
    assert decoder.feed(encoder.finish(last)) == last
    assert decoder.is_whole


@pytest.mark.parametrize("name", MAKERS)
@given(body=st.binary(max_size=2000), padding=PADDINGS)
def test_a_body_in_one_piece(name: str, body: bytes, padding: int) -> None:
    coding, make = MAKERS[name]
    assert decoded(coding, make(padding).finish(body)) == body


def test_a_large_body_is_small(maker: tuple[str, Callable[[int], Encoder]]) -> None:
    coding, make = maker
    body = b"".join(b"<p>%d</p>\n" % n for n in range(300_000))
    found = make(0).finish(body)
    assert decoded(coding, found) == body
    assert len(found) < len(body) / 3


def test_padding_makes_a_body_longer_by_itself(maker: tuple[str, Callable[[int], Encoder]]) -> None:
    _, make = maker
    sizes = [len(make(padding).finish(b"x" * 5000)) for padding in range(PADDING + 1)]
    assert sizes == sorted(sizes)
    assert PADDING <= sizes[-1] - sizes[0] <= PADDING + 6  # what stands around it


def test_other_readers_of_gzip_take_it() -> None:
    made = Gzip(zlib_deflate, 17)
    assert gzip.decompress(made.encode(b"abc") + made.finish(b"def")) == b"abcdef"


@pytest.mark.parametrize("coding", CODINGS)
def test_makers(coding: str) -> None:
    make = maker_of(coding)
    sizes = {len(make().finish(b"x" * 5000)) for _ in range(50)}
    assert len(sizes) > 3, "no two answers need be of the same length"
    assert coding_libraries.problem(coding) == ""


def test_what_is_not_there_is_named() -> None:
    assert coding_libraries.problem("lzma") == "there is no lzma; known are zstd, br, gzip"
    assert coding_libraries.installed() == CODINGS
