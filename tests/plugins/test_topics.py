# Patterns that choose events, the backlog of those that wait, and what a plugin remembers.

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest

from bigtop.control import events
from bigtop.plugins import topics
from bigtop.plugins.backlog import Backlog
from bigtop.plugins.plugin import Event
from bigtop.plugins.state import LARGEST, State, default_path


def test_there_is_a_kind_for_each_event() -> None:
    tree = ast.parse(inspect.getsource(events))
    named = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Event"
        if isinstance(node.args[0], ast.Constant)
    }
    assert len(named) > 20
    assert named == set(topics.KINDS)


def test_the_page_names_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs/howto/plugins.md").read_text()
    assert [kind for kind in topics.KINDS if f"`{kind}`" not in page] == []


@pytest.mark.parametrize(
    ("pattern", "fits", "not_fits"),
    [
        ("*", "web.reap", None),
        ("*.reap", "web.reap", "web.spawn"),
        ("Web*.*", "website.stop", "api.stop"),
        ("my site.v2.reap", "my_site_v2.reap", "my.reap"),
        ("*.hook_*", "web.hook_failure", "web.spawn"),
        ("*.hung", "web.stuck", "web.hung"),
    ],
)
def test_a_pattern_chooses(pattern: str, fits: str, not_fits: str | None) -> None:
    patterns = topics.checked([pattern])
    assert topics.chosen(patterns, *fits.rsplit(".", 1))
    assert not_fits is None or not topics.chosen(patterns, *not_fits.rsplit(".", 1))


@pytest.mark.parametrize("pattern", ["web", ".reap", "*.nothing", "web.", "*.x*"])
def test_a_pattern_that_fits_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"no event|no pattern"):
        topics.checked([pattern])


def test_none_chooses_nothing() -> None:
    assert topics.checked(["", " "]) == ()
    assert not topics.chosen((), "web", "reap")


def test_a_backlog_drops_the_oldest_and_says_so_first() -> None:
    backlog = Backlog(2)
    assert not backlog
    for number in range(5):
        backlog.put(Event("web", "reap", {"process_pid": number}))
    assert len(backlog) == 3
    first, *rest = (backlog.take() for _ in range(3))
    assert (first.topic, first.payload) == (".dropped", {"count": 3})
    assert [event.pid for event in rest] == [3, 4]
    assert not backlog


def test_an_event_tells_what_plugins_ask_for() -> None:
    event = Event("web", "reap", {"process_pid": 7, "exit_code": -9, "time": 12.5})
    assert (event.topic, event.pid, event.status, event.time) == ("web.reap", 7, -9, 12.5)
    assert (Event("web", "stop").pid, Event("web", "stop").status) == (None, None)


def test_state_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    state = State(str(path))
    assert dict(state) == {}
    state["a"] = [1, 2]
    state["b"] = "x"
    del state["b"]
    assert dict(State(str(path))) == {"a": [1, 2]}
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyError):
        del state["b"]


def test_state_is_small_json(tmp_path: Path) -> None:
    state = State(str(tmp_path / "x.json"))
    state["a"] = 1
    with pytest.raises(ValueError, match="state is JSON"):
        state["a"] = {1, 2}
    with pytest.raises(ValueError, match="at most"):
        state["a"] = "x" * LARGEST
    assert dict(state) == dict(State(state.path)) == {"a": 1}


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, ""])
def test_a_broken_state_is_put_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    state = State(str(path))
    assert dict(state) == {}
    state["a"] = 1
    assert json.loads(path.read_text()) == {"a": 1}
    assert Path(f"{path}.broken").read_text() == text


def test_where_state_is_kept() -> None:
    assert (
        default_path("d", "plugin:my x", {"STATE_DIRECTORY": "/s:/t"}, 7) == "/s/plugins/d/plugin_my_x.json"
    )
    assert default_path("d", "plugin:x", {}, 0) == "/var/lib/bigtop/plugins/d/plugin_x.json"
    assert default_path("d", "x", {"XDG_DATA_HOME": "/h"}, 7) == "/h/bigtop/plugins/d/x.json"
