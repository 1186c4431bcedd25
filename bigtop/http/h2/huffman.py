# The Huffman code of HPACK (RFC 7541, 5.2 and appendix B): strings of header blocks become text.
#
# The code is canonical: how long the code of each symbol is says what it is. It is read four bits at a time,
# by a table that is made of the lengths.

from __future__ import annotations

from typing import Final

from bigtop.http.h2.error_codes import COMPRESSION_ERROR, Http2Error
from bigtop.http.memo import remember

# Bits of the codes of the bytes 0 to 255, and of the end of a string (EOS).
LENGTHS: Final = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
)  # fmt: skip
_EOS: Final = 256
_FILL: Final = 7  # bits that a string may be filled up with, all of them 1

# A step is: the node that four bits lead to, twice that with the symbol that was complete on the way.
_NODE: Final = 0xFF
_SYMBOL: Final = 0x100  # there is one, in the bits above
_WRONG: Final = -1
_LONGEST: Final = 512  # bytes of a string that is remembered


def codes() -> list[int]:
    """Return the code of each symbol."""
    made = [0] * len(LENGTHS)
    code = length = 0
    for symbol in sorted(range(len(LENGTHS)), key=lambda symbol: (LENGTHS[symbol], symbol)):
        code <<= LENGTHS[symbol] - length
        length = LENGTHS[symbol]
        made[symbol] = code
        code += 1
    return made


def _tree() -> list[list[int]]:
    """Return for each node what the bits 0 and 1 lead to: another node, or -1 - symbol."""
    tree = [[0, 0]]
    for symbol, code in enumerate(codes()):
        node = 0
        for shift in range(LENGTHS[symbol] - 1, 0, -1):
            bit = code >> shift & 1
            if not tree[node][bit]:
                tree[node][bit] = len(tree)
                tree.append([0, 0])
            node = tree[node][bit]
        tree[node][code & 1] = -1 - symbol
    return tree


def _steps(tree: list[list[int]]) -> list[int]:
    made = []
    for start in range(len(tree)):
        for bits in range(16):
            node, step = start, 0
            for shift in (3, 2, 1, 0):
                node = tree[node][bits >> shift & 1]
                if node < 0:
                    symbol, node = -1 - node, 0
                    step = _WRONG if symbol == _EOS else symbol << 9 | _SYMBOL
                if step == _WRONG:
                    break
            made.append(step if step == _WRONG else step | node)
    return made


def _ends(tree: list[list[int]]) -> list[bool]:
    """Return for each node whether a string may end there."""
    made = [False] * len(tree)
    node = 0
    for _ in range(_FILL + 1):
        made[node] = True
        node = tree[node][1]
    return made


_TREE: Final = _tree()
_STEPS: Final[list[int]] = _steps(_TREE)
_ENDS: Final[list[bool]] = _ends(_TREE)
_known: Final[dict[bytes, bytes]] = {}


def decode(data: bytes) -> bytes:
    """Return the text of a string; Http2Error if it is none."""
    known = _known.get(data)
    if known is not None:
        return known
    node = 0
    steps = _STEPS
    text = bytearray()
    for byte in data:
        step = steps[node << 4 | byte >> 4]
        if step < 0:
            break
        if step & _SYMBOL:
            text.append(step >> 9)
        step = steps[(step & _NODE) << 4 | byte & 15]
        if step < 0:
            break
        if step & _SYMBOL:
            text.append(step >> 9)
        node = step & _NODE
    else:
        if _ENDS[node]:
            made = bytes(text)
            if len(data) <= _LONGEST:
                remember(_known, data, made)
            return made
    raise Http2Error(COMPRESSION_ERROR, "a Huffman code is wrong, or not filled up with ones")
