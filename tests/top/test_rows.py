# The rows of the table: the tree, and how it is sorted, filtered and folded.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.control.events import topic_word
from bigtop.top.model import rows
from bigtop.top.model.node import Node
from bigtop.top.model.rows import OWN_NAME, ROUTES_NAME, SORTS, Branch, Kind, Row, Shown, View
from tests.support.overview import AT, counts, node, overview, process, watcher


def names(shown: list[Shown]) -> list[str]:
    return [f"{'  ' * one.depth}{one.row.name}" for one in shown]


def row_of(name: str, *, of: Node | None = None) -> Row:
    """Return the first row with a name, in a tree where everything is open."""
    tree = rows.tree([of or node()])
    view = View(toggled=frozenset({("site", OWN_NAME)}))
    return next(one.row for one in rows.arranged(tree, view) if one.row.name == name)


def test_the_tree_goes_from_the_node_to_the_requests() -> None:
    assert names(rows.arranged(rows.tree([node()]), View())) == [
        "site",
        "  Web one",
        "    1",
        "      GET /x",  # the oldest first
        "      GET /report",
        "    2",
        "  mail",
        "    1",
        "  (bigtop)",
    ]


def test_a_node_has_the_sums_of_its_watchers() -> None:
    row = row_of("site")
    assert row.kind is Kind.NODE
    assert row.cpu == 33.0 + 7.0 + 3.0
    assert row.memory == 3 * 2**20 + 2**21 + 2 * 2**20
    assert (row.rate, row.p99, row.queue, row.restarts) == (12.5, 0.25, 3, 2)
    assert (row.calls, row.places) == (1, 4)
    assert row.trend == (12.5,)
    assert (row.pid, row.state) == (1, "active")


def test_a_watcher_has_figures_of_its_whole_tree() -> None:
    row = row_of("Web one")
    assert (row.cpu, row.memory, row.age) == (33.0, 3 * 2**20, 20.0)
    assert (row.generation, row.restarts, row.calls, row.places) == (1, 2, 1, 4)
    assert (row.rate, row.p99, row.queue, row.trend) == (12.5, 0.25, 3, (12.5,))
    assert (row.state, row.about) == ("active", "1/2 ready")
    assert row.target == row.watcher == "Web one"


def test_routes_are_folded_below_their_application() -> None:
    latency = {"p50": 0.1, "p99": 0.5}
    told = {
        "/b": {"requests": 4, "errors": 2, "requests_per_second": 1.5, "latency": latency},
        "/a": {"requests": 1, "errors": 0},
    }
    seen = node()
    seen.measure(f"http.{topic_word('Web one')}", {**counts(), "routes": told}, AT)
    folded = names(rows.arranged(rows.tree([seen]), View()))
    assert folded.index("    (routes)") == folded.index("    2") + 1
    assert "      /a" not in folded
    opened = View(toggled=frozenset({("site", "Web one", ROUTES_NAME)}))
    found = {one.row.name: one.row for one in rows.arranged(rows.tree([seen]), opened)}
    assert (found["/b"].rate, found["/b"].p99, found["/b"].about) == (1.5, 0.5, "2 errors")
    assert (found["/a"].rate, found["/a"].p99, found["/a"].about) == (None, None, "")
    assert found["/a"].kind is Kind.ROUTE
    assert found["/a"].watcher == "Web one"


def test_a_watcher_that_is_a_command_has_no_requests() -> None:
    row = row_of("mail")
    assert (row.calls, row.rate, row.p99, row.queue, row.generation) == (None, None, None, None, None)
    assert row.memory == 2**21  # what is resident, where the share may not be read


def test_a_worker_has_its_own_figures_and_requests() -> None:
    row = row_of("1")
    assert (row.pid, row.cpu, row.memory, row.age, row.calls, row.places) == (11, 30.0, 2**20, 10.0, 2, 2)
    assert (row.target, row.watcher) == ("Web one/1", "Web one")


def test_children_of_a_process_count_with_it() -> None:
    made = node()
    made.measure("stat.mail.21", {"cpu": 1.0, "pss": 5, "tree": {"cpu": 9.0, "pss": 50, "processes": 3}}, AT)
    tree = rows.tree([made])
    (row,) = [one.row for one in rows.arranged(tree, View()) if one.row.pid == 21]
    assert (row.cpu, row.memory, row.about) == (9.0, 50, "3 processes")


def test_a_request_says_what_it_is_about() -> None:
    row = row_of("GET /report")
    assert (row.kind, row.state, row.age, row.about) == (Kind.REQUEST, "app", 1.5, "10.0.0.9 11-0")
    assert row.target == "11-0"


def test_bigtop_itself_is_folded_at_first() -> None:
    view = View().toggle(("site", OWN_NAME))
    assert names(rows.arranged(rows.tree([node()]), view))[-2:] == [
        "    supervisor",
        "    fork server of web",
    ]
    row = row_of(OWN_NAME)
    assert (row.cpu, row.memory, row.calls) == (3.0, 2 * 2**20, None)


def test_without_figures_there_are_rows_all_the_same() -> None:
    made = Node("site")
    made.hear(overview(watcher("web", [process(11, 1), process(None, 2, "starting")])), [], 1.0)
    web = row_of("web", of=made)
    assert (web.cpu, web.memory, web.rate, web.p99, web.queue) == (None, None, None, None, None)
    assert (web.calls, web.places) == (0, 4)


@pytest.mark.parametrize(
    ("trouble", "watchers", "state"),
    [
        ("nobody answers", [], "unreachable"),
        ("", [watcher("a"), watcher("b", status="stopped")], "active"),
        ("", [watcher("a", status="starting")], "changing"),
    ],
)
def test_the_state_of_a_node(trouble: str, watchers: list[dict[str, object]], state: str) -> None:
    made = Node("site")
    made.hear(overview(*watchers), [], 1.0)
    if trouble:
        made.lose(trouble)
    assert row_of("site", of=made).state == state


def test_a_node_that_has_not_answered_is_asked() -> None:
    (branch,) = rows.tree([Node("site")])
    assert (branch.row.state, branch.below) == ("asked", ())


# ---- sorted


def leaf(name: str, place: float = 0.0, **values: float) -> Branch:
    return Branch(Row(kind=Kind.WATCHER, key=(name,), name=name, place=place, **values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), "abc"),
        (View(turned=True), "cba"),
        (View(sort="cpu"), "bca"),
        (View(sort="cpu", turned=True), "cba"),
        (View(sort="rate"), "abc"),  # nobody has one
    ],
)
def test_siblings_are_sorted_and_the_unknown_is_last(view: View, expected: str) -> None:
    branches = [leaf("c", 2, cpu=1.0), leaf("a", 0), leaf("b", 1, cpu=9.0)]
    assert [one.row.name for one in rows.arranged(branches, view)] == list(expected)


@pytest.mark.parametrize("sort", SORTS)
def test_every_column_sorts(sort: str) -> None:
    shown = rows.arranged(rows.tree([node()]), View(sort=sort))
    turned = rows.arranged(rows.tree([node()]), View(sort=sort, turned=True))
    assert sorted(names(shown)) == sorted(names(turned))
    assert shown[0] == turned[0]  # the only node


def test_neighbours_of_columns_are_a_ring() -> None:
    view = View(turned=True)
    seen = []
    for _ in SORTS:
        seen.append(view.sort)
        view = view.by_neighbour(1)
    assert seen == list(SORTS)
    assert view == View()
    assert view.by_neighbour(-1).sort == list(SORTS)[-1]


# ---- filtered and folded


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("report", ["site", "  Web one", "    1", "      GET /report"]),
        ("MAIL", ["site", "  mail", "    1"]),  # what is below comes with it
        ("draining", ["site", "  Web one", "    2"]),
        ("21", ["site", "  mail", "    1"]),
        ("supervisor", ["site", "  (bigtop)", "    supervisor"]),  # though it is folded
        ("nothing", []),
    ],
)
def test_a_filter_keeps_what_matches_with_what_is_above(text: str, expected: list[str]) -> None:
    assert names(rows.arranged(rows.tree([node()]), View(filter=text))) == expected


def test_what_is_folded_is_not_shown_and_says_so() -> None:
    view = View().toggle(("site", "Web one"))
    shown = rows.arranged(rows.tree([node()]), view)
    assert names(shown) == ["site", "  Web one", "  mail", "    1", "  (bigtop)"]
    assert [one.is_open for one in shown] == [True, False, True, None, False]
    assert view.toggle(("site", "Web one")) == View()


def test_several_supervisors_stand_side_by_side() -> None:
    tree = rows.tree([node("a"), Node("b"), node("c")])
    assert [one.row.name for one in rows.arranged(tree, View()) if not one.depth] == ["a", "b", "c"]
    by_rate = View(sort="rate")
    assert [one.row.name for one in rows.arranged(tree, by_rate) if not one.depth] == ["a", "c", "b"]


@given(st.sampled_from(list(SORTS)), st.booleans(), st.text(max_size=3))
def test_every_row_stands_below_the_one_above(sort: str, turned: bool, text: str) -> None:
    above: list[Shown] = []
    seen = set()
    for one in rows.arranged(rows.tree([node("a"), node("b")]), View(sort, turned, text)):
        del above[one.depth :]
        assert len(above) == one.depth
        assert not above or one.row.key[:-1] == above[-1].row.key
        assert one.row.key not in seen
        seen.add(one.row.key)
        above.append(one)


def test_two_processes_of_one_place_are_two_rows() -> None:
    made = Node("site")
    made.hear(overview(watcher("web", [process(11, 1), process(12, 1, "starting")])), [], 1.0)
    made.measure("http.web", counts(), AT)
    shown = rows.arranged(rows.tree([made]), View())
    assert len({one.row.key for one in shown}) == len(shown)
