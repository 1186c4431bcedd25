"""What a worker says of itself, written and read; and what somebody writes in its place."""

import itertools
import json
import os
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import reports
from bigtop.ipc.reports import Begun, Ended, Frame, Reader, Sampled, Samples, Stack

NUMBERS = st.integers(-(2**70), 2**70)
MESSAGES = st.one_of(
    st.builds(Begun, NUMBERS),
    st.builds(Stack, st.text(), st.text(), NUMBERS, st.text(), st.text()),
    st.builds(Frame, st.text(), st.text(), NUMBERS),
    st.builds(Ended, NUMBERS),
    st.builds(Samples, NUMBERS, st.text()),
    st.builds(Sampled, NUMBERS),
)
# Text of faulthandler's: printable ASCII in lines.
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n")).map(str.encode)


def pieces(data, cuts):
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.lists(st.tuples(TEXT, MESSAGES)), TEXT, st.lists(st.integers(0, 10**6), max_size=20))
def test_messages_and_text_come_apart_however_they_are_cut(parts, rest, cuts):
    data = b"".join(text + reports.encode(message) for text, message in parts) + rest
    reader, text, found = Reader(), b"", []
    for piece in pieces(data, cuts):
        some, messages = reader.feed(piece)
        text += some
        found += messages
    assert text == b"".join(one for one, _ in parts) + rest
    assert len(found) == len(parts)
    assert [type(one) for one in found] == [type(message) for _, message in parts]
    assert all(one.isprintable() for message in found for one in _texts(message))


def _texts(message):
    return [value for value in json.loads(reports.encode(message)[1:]) if isinstance(value, str)]


LONG = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=9), st.integers(100, 1000))


@given(LONG, LONG)
def test_every_message_is_written_in_one_piece(function, file):
    data = reports.encode(Frame(function, file, 3))
    assert len(data) <= select.PIPE_BUF
    (found,) = Reader().feed(data)[1]
    assert found.line == 3


@pytest.mark.case("E9")
@given(st.lists(st.binary() | st.sampled_from([b"\x1e", b"\n", b'["Begun", 1]', b"[" * 3000])))
def test_anything_can_be_read(parts):
    reader = Reader()
    for part in parts:
        text, messages = reader.feed(part)
        assert b"\x1e" not in text
        for message in messages:
            assert all(one.isprintable() for one in _texts(message))
    assert len(reader._begun) <= reports.LONGEST


@pytest.mark.case("E18")
@pytest.mark.parametrize(
    "data",
    [
        b'["Begun", true]',
        b'["Begun", 1.0]',
        b'["Begun"]',
        b'["Begun", 1, 2]',
        b'["Stack", "thread", "", 1, "", null]',
        b'["Exit", 1]',
        b'{"Begun": 1}',
        b"[[], 1]",
        b"[" * 4000,
        b"\xff",
        b"",
    ],
)
def test_what_is_no_message_is_none(data):
    assert reports.decode(data) is None


def test_control_characters_are_escaped():
    assert reports.decode(b'["Samples", 1, "a\\u001b[2J\\nb"]') == Samples(1, r"a\x1b[2J\nb")


FAULTHANDLER = """\
Thread 0x00007f0d8f7fe6c0 (most recent call first):
  <no Python frame>

Thread 0x00007f0d8f7fe6c1 [worker] (most recent call first):
  File "/a b.py", line ??? in f
  File "/c.py", line 12 in C.g
  ...
nonsense
Current thread 0x00007f0d8f7fe6c2 (most recent call first):
  File "/d.py", line 1 in <module>

Current thread's C stack trace (most recent call first):
"""


def test_what_faulthandler_writes_is_understood():
    assert reports.stacks_of(FAULTHANDLER) == [
        (Stack("thread", "", 0, "", ""), []),
        (Stack("thread", "worker", 0, "", ""), [Frame("f", "/a b.py", 0), Frame("C.g", "/c.py", 12)]),
        (Stack("thread", "", 0, "", ""), [Frame("<module>", "/d.py", 1)]),
    ]


@given(st.text())
def test_any_text_can_be_read_as_such(text):
    for stack, frames in reports.stacks_of(text):
        assert stack.name.isprintable()
        assert all(frame.function.isprintable() and frame.file.isprintable() for frame in frames)


def test_a_pipe_keeps_two_writers_apart():
    """As the kernel promises for pieces of PIPE_BUF, with a reader that is slower than both."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    message, text = reports.encode(Frame("f" * 3900, "/x", 1)), b"y" * 7
    written = [0, 0]
    try:
        while True:
            written[0] += os.write(into, message) == len(message)
            written[1] += os.write(into, text)
    except BlockingIOError:
        pass
    os.close(into)
    reader, texts, found = Reader(), b"", []
    with open(out, "rb", buffering=0) as pipe:
        while data := pipe.read(1000):
            some, messages = reader.feed(data)
            texts += some
            found += messages
    assert len(found) == written[0]
    assert texts == b"y" * written[1]
