"""Messages over a real socket pair."""

import array
import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import lifeline
from bigtop.ipc.lifeline import (
    BootFailed,
    Born,
    Drain,
    ForkFailed,
    Loaded,
    LoadFailed,
    Probe,
    Ready,
    Reopen,
    Retire,
)
from bigtop.record import fields

INTERFACES = st.sampled_from(["", "wsgi", "asgi"])
FIELDS = {"int": st.integers(), "str": st.text(), "bool": st.booleans(), "float": st.floats(allow_nan=False)}
MESSAGES = st.one_of(
    [
        st.builds(cls, **{one.name: FIELDS[one.type] for one in fields(cls)})
        for cls in lifeline._TYPES.values()
        if cls not in (Ready, Loaded, Probe)
    ]
    + [st.builds(Probe, st.sampled_from(["http", "https"]))]
    + [st.builds(Ready, INTERFACES), st.builds(Loaded, st.booleans(), INTERFACES, st.text())]
)


@pytest.fixture
def line():
    ours, theirs = lifeline.pair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.settimeout(5)
        yield ours, theirs


def send_raw(end, data, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    end.sendmsg([data], rights)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message):
    assert lifeline.decode(lifeline.encode(message)) == message


def test_a_time_that_is_no_number_cannot_be_given():
    with pytest.raises(ValueError, match="grace is not a number"):
        Drain(float("nan"))


def test_messages_keep_their_borders_and_order(line):
    ours, theirs = line
    sent = [ForkFailed(1, "no"), Ready("wsgi"), Drain(1.5), Reopen()]
    for message in sent:
        lifeline.send(ours, message)
    assert [lifeline.receive(theirs) for _ in sent] == [(message, ()) for message in sent]


@pytest.mark.parametrize("character", ["x", "é", "\0", "\U0001f40d", "\udc80"])
def test_a_huge_traceback_is_cut_at_its_beginning(line, character):
    """JSON writes these characters as one to twelve bytes."""
    ours, theirs = line
    huge = character * 200_000
    lifeline.send(ours, LoadFailed(f"why {huge}", f"{huge} ValueError: the end"))
    (got, _) = lifeline.receive(theirs)
    assert got.message.startswith("why ")
    assert got.traceback.endswith("ValueError: the end")
    assert len(got.traceback) > 1000


def test_any_long_text_is_cut(line):
    ours, theirs = line
    lifeline.send(ours, Retire("r" * 300_000))
    (got, _) = lifeline.receive(theirs)
    assert set(got.reason) == {"r"}


def test_what_fits_is_left_whole():
    message = BootFailed("m", "t" * (lifeline.MAX_MESSAGE - 100))
    assert lifeline.decode(lifeline.encode(message)) == message


def test_descriptors_travel_and_are_close_on_exec(line):
    ours, theirs = line
    reader, writer = os.pipe()
    lifeline.send(ours, lifeline.Fork(1, 2), (reader, writer))
    message, (got_reader, got_writer) = lifeline.receive(theirs, 2)
    try:
        assert message == lifeline.Fork(1, 2)
        os.write(got_writer, b"through")
        assert os.read(reader, 7) == b"through"
        assert not os.get_inheritable(got_reader)
        assert not os.get_inheritable(got_writer)
    finally:
        for fd in (reader, writer, got_reader, got_writer):
            os.close(fd)


def test_the_end_of_file(line):
    ours, theirs = line
    lifeline.send(ours, Ready("wsgi"))
    ours.close()
    assert lifeline.receive(theirs) == (Ready("wsgi"), ())
    assert lifeline.receive(theirs) is None
    assert lifeline.receive(theirs) is None


def test_last_words_arrive_although_the_sender_left_something_unread(line):
    ours, theirs = line
    lifeline.send(theirs, Drain(1.0))  # never read
    lifeline.send(ours, BootFailed("no", ""))
    ours.close()
    assert lifeline.receive(theirs) == (BootFailed("no", ""), ())
    assert lifeline.receive(theirs) is None


def test_nothing_to_read(line):
    ours, _ = line
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        lifeline.receive(ours)


def test_new_lines_are_close_on_exec(line):
    assert not any(end.get_inheritable() for end in line)


GARBAGE = [
    b"\xff",
    b"{",
    b"null",
    b"7",
    b"[]",
    b'["Ready"]',
    b'["Ready", {}]',
    b'["Ready", []]',
    b'["Ready", {"interface": 7}]',
    b'["Ready", {"interface": "wsgi", "more": 1}]',
    b'["Fork", {"key": true, "wid": 2}]',
    b'["Fork", {"key": 1, "wid": [2]}]',
    b'["Fork", {"key": 1.0, "wid": 2}]',
    b'["Drain", {"grace": "1"}]',
    b'["Drain", {"grace": NaN}]',
    b'["Message", {}]',
    b'[["Ready"], {}]',
    b'[{"a": 1}, {}]',
    b'["Ready", {"interface": "wsgi\\\\u001b[2J"}]',
    b'["Loaded", {"preloaded": true, "interface": "x", "reason": ""}]',
    b"[" * 60_000,
    b"9" * 60_000,
]


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: data[:30].decode("latin-1"))
def test_garbage_is_a_value_error_and_leaks_nothing(line, data):
    ours, theirs = line
    before = open_descriptors()
    send_raw(ours, data, (0, 0))
    with pytest.raises(ValueError, match="not a lifeline message"):
        lifeline.receive(theirs)
    assert open_descriptors() == before


def test_after_garbage_the_line_still_works(line):
    ours, theirs = line
    send_raw(ours, b"?")
    lifeline.send(ours, Reopen())
    with pytest.raises(ValueError):
        lifeline.receive(theirs)
    assert lifeline.receive(theirs) == (Reopen(), ())


@given(st.binary())
def test_any_bytes_are_a_message_or_a_value_error(data):
    try:
        lifeline.decode(data)
    except ValueError:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    st.sampled_from(sorted(lifeline._TYPES)),
    st.dictionaries(st.sampled_from(["key", "pid", "grace", "reason", "interface"]), JSON),
)
def test_any_json_is_a_message_of_the_right_types_or_a_value_error(name, values):
    try:
        message = lifeline.decode(json.dumps([name, values]).encode())
    except ValueError:
        return
    lifeline.encode(message)


@pytest.mark.case("E5")
@pytest.mark.parametrize("room", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 250])
def test_descriptors_that_nobody_asked_for_are_closed(line, room, count):
    ours, theirs = line
    before = open_descriptors()
    send_raw(ours, lifeline.encode(Reopen()), (0,) * count)
    message, fds = lifeline.receive(theirs, room)
    for fd in fds:
        os.close(fd)
    assert (message, len(fds), open_descriptors()) == (Reopen(), min(room, count), before)


class TestSignatures:
    @pytest.mark.case("E1")
    def test_the_kernel_says_who_sent_it(self, line):
        ours, theirs = line
        lifeline.demand_signatures(ours)
        pid = os.fork()
        if pid == 0:
            lifeline.send(theirs, Born())
            os._exit(0)
        os.waitpid(pid, 0)
        assert lifeline.receive_signed(ours) == (Born(), pid)
        theirs.close()
        assert lifeline.receive_signed(ours) is None

    @pytest.mark.case("E5")
    def test_descriptors_are_closed(self, line):
        ours, theirs = line
        lifeline.demand_signatures(ours)
        before = open_descriptors()
        send_raw(theirs, lifeline.encode(Born()), (0,) * 8)
        assert lifeline.receive_signed(ours) == (Born(), os.getpid())
        assert open_descriptors() == before

    def test_what_nobody_signed_is_no_message(self, line):
        ours, theirs = line
        lifeline.send(theirs, Born())
        with pytest.raises(ValueError, match="nobody signed"):
            lifeline.receive_signed(ours)

    @pytest.mark.parametrize("data", GARBAGE, ids=lambda data: data[:30].decode("latin-1"))
    def test_garbage_is_a_value_error(self, line, data):
        ours, theirs = line
        lifeline.demand_signatures(ours)
        send_raw(theirs, data)
        with pytest.raises(ValueError, match="not a lifeline message"):
            lifeline.receive_signed(ours)
