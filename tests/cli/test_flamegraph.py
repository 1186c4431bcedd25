# Flame graphs as pictures, and tables beside them.

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bigtop.cli.ctl import ctl_inspect, flamegraph
from bigtop.cli.ctl.ctl_table import short, size

NAME = "{http://www.w3.org/2000/svg}"
STACKS = {"main;a;b": 3, "main;a": 1, "main;c": 4, '<odd> & "name"': 2}


def boxes(picture: str) -> dict[str, tuple[float, float, float]]:
    """Return x, y and width of each frame, by its title."""
    found = {}
    for group in ElementTree.fromstring(picture.encode()).iter(f"{NAME}g"):
        title, box = group.find(f"{NAME}title"), group.find(f"{NAME}rect")
        assert title is not None
        assert box is not None
        found[title.text or ""] = (
            float(box.get("x", "")),
            float(box.get("y", "")),
            float(box.get("width", "")),
        )
    return found


def test_each_frame_is_as_wide_as_it_was_often_seen() -> None:
    found = boxes(flamegraph.svg(STACKS, "a <title>"))
    assert {title: round(width) for title, (_, _, width) in found.items()} == {
        "all: 10 looks, 100.0%": 1200,
        "main: 8 looks, 80.0%": 960,
        "main: 8 looks, 80.0%".replace("main", '<odd> & "name"')
        .replace("8", "2", 1)
        .replace("80", "20"): 240,
        "a: 4 looks, 40.0%": 480,
        "b: 3 looks, 30.0%": 360,
        "c: 4 looks, 40.0%": 480,
    }
    assert found["b: 3 looks, 30.0%"][0] == found["a: 4 looks, 40.0%"][0] == found["main: 8 looks, 80.0%"][0]
    assert found["c: 4 looks, 40.0%"][0] == found["a: 4 looks, 40.0%"][0] + 480
    rows = [found[f"{name}"][1] for name in ("all: 10 looks, 100.0%", "main: 8 looks, 80.0%")]
    assert rows[0] < rows[1] < found["a: 4 looks, 40.0%"][1] < found["b: 3 looks, 30.0%"][1]


@given(st.dictionaries(st.text(st.characters(exclude_categories=["C"])), st.integers(1, 1000)))
def test_any_names_make_a_picture(stacks: dict[str, int]) -> None:
    assert ElementTree.fromstring(flamegraph.svg(stacks, "t").encode()).tag == f"{NAME}svg"


def test_deep_stacks_are_drawn() -> None:
    assert len(boxes(flamegraph.svg({";".join(f"f{n}" for n in range(3000)): 1}, "deep"))) == 3001


def test_where_time_is_spent() -> None:
    reply = {
        "worker": "w/1",
        "pid": 5,
        "looks": 10,
        "seconds": 1,
        "stacks": {"M;a;b": 6, "M;a": 2, "N;c;c": 2},
    }
    lines = [line.split() for line in ctl_inspect.profile(reply).splitlines()]
    assert lines[0] == ["w/1", "(pid", "5):", "10", "looks", "in", "1", "s"]
    assert lines[3:] == [["60.0%", "60.0%", "b"], ["20.0%", "80.0%", "a"], ["20.0%", "20.0%", "c"]]
    assert ctl_inspect.collapsed(reply["stacks"]) == "M;a 2\nM;a;b 6\nN;c;c 2\n"  # type: ignore[arg-type]


def test_times_and_sizes() -> None:
    assert [short(one) for one in (0.0004, 0.25, 1.26, 59.9, 75, 7200)] == [
        *("0ms", "250ms", "1.3s", "59.9s", "1m15s", "2h00m")
    ]
    assert [size(one) for one in (0, 1023, 1024, 1 << 20, 5 << 30)] == ["0", "1023", "1.0K", "1.0M", "5.0G"]
