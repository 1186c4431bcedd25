# The outbox: what is sent when, acknowledged, sent again, given up, dropped.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.plugins.outbox import HungError, Outbox
from bigtop.plugins.plugin import Event


def event(number: int) -> Event:
    return Event("web", "reap", {"process_pid": number})


def sent(outbox: Outbox, now: float) -> list[tuple[int, int | None]]:
    return [(number, each.pid) for number, each in outbox.due(now)]


def test_each_is_sent_once_until_its_time_is_over() -> None:
    outbox = Outbox(10, 2, 5.0)
    assert (sent(outbox, 0), outbox.next_due()) == ([], None)
    outbox.put(event(7))
    outbox.put(event(8))
    assert outbox.next_due() == 0
    assert sent(outbox, 1) == [(1, 7), (2, 8)]
    assert (sent(outbox, 5.9), outbox.next_due()) == ([], 6)
    assert outbox.acknowledge(1)
    assert not outbox.acknowledge(1)
    assert not outbox.acknowledge(9)
    assert sent(outbox, 6) == [(2, 8)]
    with pytest.raises(HungError, match=r'event 2 was sent 2 times .*: \{"ok": 2\} would'):
        sent(outbox, 11)
    assert [each.pid for each in outbox.unacknowledged()] == [8]


def test_what_there_is_no_room_for_is_told_as_one_event() -> None:
    outbox = Outbox(2, 2, 5.0)
    for number in range(5):
        outbox.put(event(number))
    assert sent(outbox, 0) == [(1, 0), (2, 1)]
    outbox.acknowledge(1)
    outbox.put(event(5))
    numbers = dict(outbox.due(1))
    assert numbers[3].topic == ".dropped"
    assert numbers[3].payload["count"] == 3
    assert numbers[4].pid == 5


@given(st.lists(st.sampled_from(["put", "ack", "due"]), max_size=60), st.integers(1, 5))
def test_none_is_lost_without_a_word(steps: list[str], room: int) -> None:
    outbox = Outbox(room, 1000, 1.0)
    put = acknowledged = 0
    seen: dict[int, Event] = {}
    for now, step in enumerate([*steps, *["due", "ack"] * 60, "put", "due"]):
        if step == "put":
            put += 1
            outbox.put(event(put))
        elif step == "due":
            seen.update(outbox.due(float(now)))
        elif seen:
            acknowledged += outbox.acknowledge(min(seen.keys() - set(range(acknowledged + 1)), default=0))
        assert len(outbox.unacknowledged()) <= room + 1
    told = sum(each.payload["count"] if each.kind == "dropped" else 1 for each in seen.values())
    assert told == put
    assert list(seen) == sorted(seen)
