# The past of a watcher: fine for ten minutes, coarse for six hours, and never more.

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bigtop.stats import history
from bigtop.stats.history import COARSE_SPAN, COARSE_STEP, FINE_SPAN, MOST_NAMES, History, Points, Ring, Row


def point(at: float, cpu: float = 0.0, rss: float = 0.0) -> Row:
    return at, 1.0, cpu, rss, 0.0, 1.0


def test_fine_points_are_those_of_ten_minutes() -> None:
    ring = Ring()
    for second in range(2000):
        ring.add(point(float(second)))
    assert len(ring.fine) == FINE_SPAN
    assert (ring.fine[0][0], ring.fine[-1][0]) == (1400.0, 1999.0)


def test_a_coarse_point_is_the_mean_of_cpu_and_the_most_of_memory() -> None:
    ring = Ring()
    for second in range(20, 31):
        ring.add(point(float(second), cpu=float(second - 20), rss=float(100 - second)))
    assert list(ring.coarse) == [(20.0, 1.0, 4.5, 80.0, 0.0, 1.0)]


def test_coarse_points_are_those_of_six_hours() -> None:
    ring = Ring()
    for step in range(int(2 * COARSE_SPAN / COARSE_STEP)):
        ring.add(point(step * COARSE_STEP))
    assert len(ring.coarse) == COARSE_SPAN / COARSE_STEP - 1  # the newest step is not over


def test_after_a_pause_there_is_a_gap_and_nothing_old() -> None:
    ring = Ring()
    ring.add(point(0.0))
    ring.add(point(5000.0))
    assert [one[0] for one in ring.fine] == [5000.0]
    assert [one[0] for one in ring.coarse] == [0.0]


def test_names_are_bounded_and_the_forgotten_go_first() -> None:
    figure = {"tree": {"processes": 1, "cpu": 2.0, "rss": 3, "pss": None, "threads": 1}}
    past = History()
    for number in range(MOST_NAMES):
        past.add(f"w{number}", float(number), figure)
    past.add("new", float(MOST_NAMES), figure)
    assert len(list(past.names)) == MOST_NAMES
    assert "w0" not in list(past.names)
    past.add("late", COARSE_SPAN + 250.5, figure)
    assert "w250" not in list(past.names)
    assert "w251" in list(past.names)
    assert past.of("new") == {
        "columns": history.COLUMNS,
        "fine": [(float(MOST_NAMES), 1.0, 2.0, 3.0, 0.0, 1.0)],
        "coarse": [],
    }


def test_what_is_not_known_stays_so_and_is_left_out_of_means() -> None:
    ring = Ring(history.REQUEST_COLUMNS)
    rows: list[Row] = [
        (20.0, 4.0, 1.0, 0.1, 0.2, None, 3.0, 0.0),
        (24.0, None, 0.0, None, 0.9, None, 1.0, 5.0),
        (29.0, 7.0, 0.0, None, None, None, 2.0, 0.0),
        (30.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    ]
    for row in rows:
        ring.add(row)
    assert list(ring.fine) == rows
    assert ring.fine[-1] == rows[-1]
    assert list(ring.coarse) == [(20.0, 5.5, 0.3, 0.1, 0.9, None, 3.0, 5.0)]


@given(st.lists(st.tuples(st.floats(0, 50), st.none() | st.floats(-1e9, 1e9)), max_size=200))
def test_points_are_those_of_a_plain_list(steps: list[tuple[float, float | None]]) -> None:
    points, plain, now = Points(2), list[tuple[float, float | None]](), 0.0
    for step, value in steps:
        now += step
        points.append((now, value))
        points.forget(now - 100)
        plain = [one for one in [*plain, (now, value)] if one[0] > now - 100]
        assert (list(points), len(points), points.newest) == (plain, len(plain), now)
        assert points[0] == plain[0]


def test_an_application_has_its_requests_beside_its_use() -> None:
    past = History()
    figure = {"tree": {"processes": 1, "cpu": 2.0, "rss": 3, "pss": None, "threads": 1}}
    past.add("web", 1.0, figure)
    past.add("plain", 1.0, figure)
    past.add_requests("web", 1.0, (5.0, 0.0, 0.1, 0.2, None, 1, 0))
    assert "requests" not in past.of("plain")
    assert past.of("web")["requests"] == {
        "columns": history.REQUEST_COLUMNS,
        "fine": [(1.0, 5.0, 0.0, 0.1, 0.2, None, 1.0, 0.0)],
        "coarse": [],
    }


def test_six_hours_take_little_room() -> None:
    ring = Ring(history.REQUEST_COLUMNS)
    for second in range(int(COARSE_SPAN) + 1000):
        ring.add((float(second), 1.0, 0.0, 0.1, 0.2, None, 1.0, 0.0))
    numbers = len(ring.fine._numbers) + len(ring.coarse._numbers)
    assert numbers <= (600 + 2160) * 8 * 4 / 3 + 16
