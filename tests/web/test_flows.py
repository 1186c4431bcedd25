# Leases, credits, changes, rings and lines of a tab. Pure.

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bigtop.web.loglines import Sources
from bigtop.web.rules import flows
from bigtop.web.rules.flows import Changes, Credits, Lease, Lines, Ring, Told, View


def test_a_lease_is_over_unless_it_is_renewed() -> None:
    lease = Lease(0.0)
    assert not lease.is_over(flows.LEASE - 0.1)
    lease.renew(10.0)
    assert not lease.is_over(flows.LEASE)
    assert lease.is_over(10.0 + flows.LEASE)


def test_credits_are_taken_and_bounded() -> None:
    some = Credits(1)
    assert [some.take(5), some.take(5)] == [1, 0]
    some.grant(-3)
    some.grant(2)
    assert some.take(1) == 1
    some.grant(10**9)
    assert some.count == flows.MOST_CREDITS


ROWS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))


@given(st.lists(ROWS))
def test_who_follows_all_changes_has_the_newest_rows_in_their_order(steps: list[dict[str, int]]) -> None:
    changes, has = Changes(), dict[str, Any]()
    for number, rows in enumerate(steps):
        change = changes.step(rows)
        if change is None:
            assert number
            assert list(has.items()) == list(rows.items())
            continue
        for key in change["gone"]:
            del has[key]
        has |= change["rows"]
        if change["order"] is not None:
            has = {key: has[key] for key in change["order"]}
        assert list(has.items()) == list(rows.items())


def test_a_new_order_is_told_although_no_row_is_new() -> None:
    changes = Changes()
    changes.step({"a": 1, "b": 2})
    assert changes.step({"b": 2, "a": 1}) == {"rows": {}, "gone": [], "order": ["b", "a"]}
    assert changes.step({"b": 2, "a": 1}) is None


def test_what_stays_is_not_told_again() -> None:
    told = Told()
    ring = Ring(3)
    ring.add(1)
    view = View({"t": {"a": 1, "b": 2}}, {"v": 1}, {"r": ring})
    assert told.step(view) == {
        "tables": {"t": {"rows": {"a": 1, "b": 2}, "gone": [], "order": ["a", "b"]}},
        "values": {"v": 1},
        "news": {"r": [1]},
    }
    assert told.step(view) is None
    ring.add(2)
    changed = told.step(View({"t": {"a": 1, "b": 3}}, {"v": None}, {"r": ring}))
    assert changed == {
        "tables": {"t": {"rows": {"b": 3}, "gone": [], "order": None}},
        "values": {"v": None},
        "news": {"r": [2]},
    }


def test_an_empty_table_is_told_once() -> None:
    told = Told()
    assert told.step(View({"t": {}})) is not None
    assert told.step(View({"t": {}})) is None


@given(st.lists(st.integers(0, 12)), st.integers(1, 5))
def test_a_ring_tells_what_is_new_as_far_as_it_is_kept(bursts: list[int], most: int) -> None:
    ring, seen, number = Ring(most), 0, 0
    for burst in bursts:
        for _ in range(burst):
            ring.add(number)
            number += 1
        assert ring.since(seen) == list(range(max(seen, number - most), number))
        seen = ring.count
    assert ring.last == (number - 1 if number else None)


def test_lines_wait_for_credits_and_those_that_do_not_fit_are_counted() -> None:
    lines, some = Lines(), Credits(0)
    for number in range(flows.QUEUE_LINES + 7):
        lines.add(json.dumps(number))
    assert len(lines) == flows.QUEUE_LINES
    assert lines.batch(some) == ([], 0)
    some.grant(2)
    assert lines.batch(some) == (["7", "8"], 7)
    some.grant(1)
    assert lines.batch(some) == (["9"], 0)


def test_long_lines_are_bounded_by_their_bytes() -> None:
    lines = Lines()
    for _ in range(100):
        lines.add("x" * 100_000)
    assert len(lines) * 100_000 <= flows.QUEUE_BYTES
    assert lines.dropped == 100 - len(lines)


def test_what_was_lost_on_the_way_is_known_by_numbers_and_told_where_it_is_missing() -> None:
    lines = Lines()
    sources = Sources("site", {"web_1": "web 1"}, {})
    for number in (7, 8, 12, 13, 1, 2):  # 1: the supervisor has begun anew
        text = json.dumps({"line": 'a "number": 99}', "number": number})
        sources.take("output.web_1.", text, lines)
    sources.take("output.other.", '{"line": "of an older supervisor"}', lines)
    some = Credits(100)
    told = [json.loads(one) for one in lines.batch(some)[0]]
    assert [one[:2] for one in told] == [["site", "web 1"]] * 7 + [["site", "other"]]
    assert [one[2].get("number", one[2].get("lost")) for one in told] == [7, 8, 3, 12, 13, 1, 2, None]
    assert told[2][2] == {"lost": 3}


def test_what_is_dropped_counts_what_was_lost_before() -> None:
    lines = Lines()
    lines.add("lost", 40)
    for _ in range(flows.QUEUE_LINES + 1):
        lines.add("x")
    assert lines.dropped == 41
