# What one client of the control channel may have under way, counted in the frames of ZMTP 3.

from __future__ import annotations

import pytest

from bigtop.control.server.flow_control import FloodError, FlowControl

GREETING = b"\xff" + bytes(8) + b"\x7f\x03" + bytes(53)
HEARTBEAT = b"\x04\x07\x04PING\x00\x00"


def greeted(largest: int = 1000, room: int = 5000) -> FlowControl:
    flow = FlowControl(largest, room)
    flow.feed(GREETING, 0.0)
    return flow


def frame(size: int) -> bytes:
    return (bytes([1, size]) if size < 256 else b"\x03" + size.to_bytes(8)) + b"x" * size


@pytest.mark.case("E12")
@pytest.mark.parametrize("size", [0, 1, 300])
def test_a_message_without_end_has_a_limit_however_small_its_frames_are(size: int) -> None:
    """ZeroMQ keeps more of the smallest frame than is in it."""
    flow, count = greeted(), 5000 // (size + 64)
    flow.feed(frame(size) * count, 0.0)
    assert not flow.is_full
    flow.feed(frame(size), 0.0)
    assert flow.is_full
    flow.took([size])
    assert not flow.is_full


@pytest.mark.case("E12")
@pytest.mark.parametrize("cut", [1, 2, 9, 63])
def test_what_comes_in_pieces_is_counted_the_same(cut: int) -> None:
    flow, data = FlowControl(1000, 1200), GREETING + frame(500) + frame(100) + frame(400)
    for at in range(0, len(data) - 1, cut):
        flow.feed(data[at : min(at + cut, len(data) - 1)], 0.0)
    assert not flow.is_full
    flow.feed(data[-1:], 0.0)
    flow.feed(frame(100), 0.0)
    assert flow.is_full
    flow.took([500])
    assert not flow.is_full


@pytest.mark.case("E12")
def test_a_frame_has_a_limit() -> None:
    flow = greeted()
    flow.feed(frame(1000), 0.0)
    with pytest.raises(FloodError, match="a frame of 1100 bytes, more than 1000"):
        flow.feed(frame(1100), 0.0)


@pytest.mark.case("E12")
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\xff" + bytes(8) + b"\x7f\x02", b"\x01\x00"])
def test_nothing_is_spoken_that_cannot_be_counted(data: bytes) -> None:
    with pytest.raises(FloodError, match="it does not speak ZMTP 3"):
        FlowControl(1000, 5000).feed(data, 0.0)


@pytest.mark.case("E12")
def test_heartbeats_of_a_quiet_client_are_forgiven() -> None:
    """They never come out of ZeroMQ, and the connection may live for years."""
    flow = greeted()
    for second in range(1000):
        flow.feed(HEARTBEAT, float(second))
        if flow.is_full:
            flow.forgive_heartbeats(second + 2.0)
        assert not flow.is_full
    for _ in range(100):  # what comes so fast is none
        flow.feed(HEARTBEAT, 1000.0)
    flow.forgive_heartbeats(1000.5)
    assert flow.is_full
