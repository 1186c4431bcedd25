# What is drawn: every line as wide as the terminal, and on it what there is to know.

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.record import replace
from bigtop.top import ansi, screen
from bigtop.top.model import columns, report, rows
from bigtop.top.model.node import Node
from bigtop.top.model.rows import SORTS, View
from bigtop.top.model.words import cells
from bigtop.top.screen import Line, text_of
from tests.support.overview import AT, node, overview, request, watcher

NOW = AT + 0.5


def drawn(*nodes: Node, view: View = View(), width: int = 80, height: int = 24) -> list[str]:  # noqa: B008
    return [text_of(line) for line in screen.whole(nodes, view, (width, height), NOW)]


SCREEN = """\
site 9.9  cpu 43%  mem 7.0M  busy 1/4  queue 3  12.5 req/s  █
NAME▲                     PID GEN CPU%  PSS   AGE RST    BUSY REQ/S   P99 QUE
▾ site                      1       43 7.0M   20s   2 ■···  1  12.5 250ms   3
  ▾ Web one (1/2 ready)         1   33 3.0M   20s   2 ■···  1  12.5 250ms   3
    ▾ 1                    11   1   30 1.0M   10s     ■■■■  2               0
        GET /x                               9.0s app 10.0.0.9 11-0
        GET /report                          1.5s app 10.0.0.9 11-0
      2 draining           12   1    3 1.0M   20s     ····  0               0
  ▾ mail                             7 2.0M   10s   0
      1                    21        7 1.0M   10s
  ▸ (bigtop)                         3 2.0M   20s   -
socket 127.0.0.1:8000                     waiting 2/2048      accepted 90  now 4
"""


def test_a_screen_of_80_places() -> None:
    lines = [line.rstrip() for line in drawn(node())]
    assert [re.sub(r" +", " ", line) for line in lines[:-1]] == [
        re.sub(r" +", " ", line) for line in SCREEN.splitlines()
    ]
    assert lines[-1].endswith("web_one died wid=2 exit_code=-9")


@given(st.integers(1, 200), st.integers(0, 60), st.sampled_from(list(SORTS)), st.text(max_size=2))
def test_it_fits_every_terminal(width: int, height: int, sort: str, text: str) -> None:
    lonely = Node("b")
    lonely.lose("nobody answers")
    lines = drawn(node("a"), lonely, view=View(sort=sort, filter=text), width=width, height=height)
    assert len(lines) <= height
    assert {cells(line) for line in lines} <= {width}


def test_80_by_24_has_every_column_of_figures() -> None:
    titles = {column.title for column in columns.of_width(80)}
    assert titles == {"PID", "GEN", "CPU%", "PSS", "AGE", "RST", "BUSY", "REQ/S", "P99", "QUE"}
    assert "TREND" in {column.title for column in columns.of_width(120)}
    assert columns.name_width(80, columns.of_width(80)) >= 20


def test_narrow_terminals_drop_what_stands_at_the_right() -> None:
    narrow = [column.title for column in columns.of_width(40)]
    assert narrow == [column.title for column in columns.COLUMNS][: len(narrow)]
    assert columns.of_width(10) == ()


@pytest.mark.parametrize("sort", SORTS)
def test_the_heading_points_at_what_is_sorted_by(sort: str) -> None:
    line = text_of(screen.heading(View(sort=sort), 120))
    turned = text_of(screen.heading(View(sort=sort, turned=True), 120))
    assert sorted(line.count(mark) + turned.count(mark) for mark in "▲▼") == [1, 1]
    assert columns.at(min(map(line.find, "▲▼"), key=lambda at: (at < 0, at)), 120) == sort


def test_the_heading_says_what_is_looked_for() -> None:
    assert text_of(screen.heading(View(filter="mail"), 80)).startswith("NAME▲ /mail  ")
    assert text_of(screen.heading(View(), 80)).startswith("NAME▲       ")


def test_nothing_is_sorted_by_beyond_the_columns() -> None:
    assert columns.at(119, 120) == ""  # TREND
    assert columns.at(500, 80) == ""


def test_a_long_table_says_how_much_more_there_is() -> None:
    made = Node("site")
    made.hear(overview(*[watcher(f"w{number}", kind="command") for number in range(50)]), [], NOW)
    lines = drawn(made, height=10)
    assert len(lines) == 10
    assert "... and 45 rows more" in lines[-1]


def test_events_and_sockets_have_what_the_table_leaves() -> None:
    assert screen.layout(20, 100, 9, 9) == screen.Layout(12, 3, 5)
    assert screen.layout(20, 4, 1, 9) == screen.Layout(4, 1, 5)
    assert screen.layout(3, 100, 9, 9) == screen.Layout(3, 0, 0)
    assert screen.layout(0, 100, 9, 9) == screen.Layout(0, 0, 0)


def test_who_does_not_answer_is_told_of() -> None:
    lost = Node("b")
    assert "b: asked ..." in drawn(lost)[0]
    lost.lose("b.ctl: nobody answers")
    assert "b: b.ctl: nobody answers" in drawn(lost)[0]
    assert "b: b.ctl: nobody answers" in drawn(lost)[2]
    silent = node()
    silent.heard_at = NOW - 12
    assert "site: it does not answer (for 12s)" in drawn(silent)[0]


def test_figures_that_are_old_are_told_of() -> None:
    made = node()
    made.heard_at = AT + 60
    (line, *_) = screen.whole([made], View(), (80, 24), AT + 60)
    assert "no new figures for 1m00" in text_of(line)
    assert styles(line) == {screen.WARN}


def styles(line: Line) -> set[str]:
    return {span.style for span in line if span.text.strip()}


def test_what_is_wrong_stands_out() -> None:
    made = node()
    made.hear(overview(watcher("web", status="stopped")), [], NOW)
    lines = screen.whole([made], View(), (80, 24), NOW)
    assert screen.WARN in styles(next(line for line in lines if "web stopped" in text_of(line)))
    assert styles(lines[-1]) == {screen.BAD}  # a process died
    full = screen.socket_line("x", {"waiting": 90, "backlog": 100}, 80)
    assert screen.WARN in styles(full)


def test_of_several_supervisors_each_line_says_whose_it_is() -> None:
    alone, together = drawn(node("a")), drawn(node("a"), node("b"), height=40)
    assert any(line.startswith("socket 127.0.0.1:8000 ") for line in alone)
    assert any(line.startswith("socket b: 127.0.0.1:8000 ") for line in together)
    assert alone[-1].split()[1:4] == ["web_one", "died", "wid=2"]
    assert together[-1].split()[1:4] == ["b:", "web_one", "died"]


def test_without_a_rate_there_is_none_in_the_summary() -> None:
    made = Node("site")
    made.hear(overview(watcher("mail", kind="command")), [], NOW)
    assert "req/s" not in drawn(made)[0]


def test_paths_that_would_move_the_cursor_do_not() -> None:
    made = node()
    web = made.overview["watchers"][0]
    made.hear(overview(web), [request(11, 1, "/\033[2J\n", watcher="Web one")], NOW)
    text = "".join(drawn(made))
    assert "GET /?[2J?" in text


def test_colours_are_codes_only_where_they_are_wanted() -> None:
    lines = screen.whole([node()], View(), (80, 24), NOW)
    plain = [ansi.painter(is_coloured=False)(line) for line in lines]
    coloured = [ansi.painter(is_coloured=True)(line) for line in lines]
    assert plain == list(map(text_of, lines))
    assert [re.sub(r"\033\[[0-9;]*m", "", line) for line in coloured] == plain
    assert coloured != plain


# ---- JSON


def test_a_report_has_all_that_the_table_has() -> None:
    told = report.of([node()], 1000.0, NOW)
    assert told["time"] == 1000.0
    (site,) = told["supervisors"]  # type: ignore[misc]
    assert (site["name"], site["version"], site["source"], site["trouble"]) == (
        "site",
        "9.9",
        "stats process",
        None,
    )
    assert (site["rate"], site["p99"], site["queue"], site["trend"]) == (12.5, 0.25, 3, [12.5])
    assert site["staleness"] == 0.5
    web, mail, own = site["watchers"]
    assert (web["name"], web["state"], web["restarts"], web["generation"]) == ("Web one", "active", 2, 1)
    assert (mail["memory"], mail["rate"]) == (2**21, None)
    assert [one["name"] for one in own["processes"]] == ["supervisor", "fork server of web"]
    assert [one["pid"] for one in web["processes"]] == [11, 12]
    (first, second) = web["processes"][0]["requests"]
    assert (first["name"], first["state"], first["age"]) == ("GET /report", "app", 1.5)
    assert second["name"] == "GET /x"
    assert site["sockets"] == [
        {"address": "127.0.0.1:8000", "waiting": 2, "backlog": 2048, "accepted": 90, "reads": 4}
    ]
    assert site["events"][0]["name"] == "died"


def test_a_report_of_who_does_not_answer_says_why() -> None:
    lost = Node("b")
    lost.lose("nobody answers")
    (told,) = report.of([lost], 1.0, NOW)["supervisors"]  # type: ignore[misc]
    assert told["trouble"] == "nobody answers"
    assert told["watchers"] == []


def test_a_view_does_not_change_what_is_reported() -> None:
    before = report.of([node()], 1.0, NOW)
    assert rows.arranged(rows.tree([node()]), replace(View(), filter="mail"))
    assert report.of([node()], 1.0, NOW) == before
