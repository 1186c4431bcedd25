# Options of plugins: what their classes annotate, read from texts.

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest

from bigtop.plugins import Plugin, option
from bigtop.plugins.options import options_of, read, rows
from bigtop.plugins.plugin import configured


def even(text: str) -> int:
    if int(text) % 2:
        raise ValueError(f"must be even, got {text!r}")
    return int(text)


class Base(Plugin):
    watcher: str = option(help="which one")
    ratio: float = 0.5


class Everything(Base):
    role: ClassVar[str] = "operate"
    other: ClassVar[int] = 3
    count: int = option(100, help="how many", minimum=1, maximum=1000)
    loud: bool = False
    names: tuple[str, ...] = ()
    numbers: list[int] = option((1, 2))
    colour: Literal["red", "green"] = "red"
    size: str = option("s", choices=("s", "m"))
    limit: float | None = None
    even: int = option(2, parse=even, takes="EVEN")
    _seen: int = 0


def given(**texts: str) -> dict[str, tuple[str, ...]]:
    return {name: (text,) for name, text in texts.items()}


def test_defaults_and_the_order_of_classes() -> None:
    options = options_of(Everything, Plugin)
    assert list(options)[:3] == ["watcher", "ratio", "count"]
    values, problems = read(options, given(watcher="w"))
    assert problems == []
    assert values == {
        "watcher": "w",
        "ratio": 0.5,
        "count": 100,
        "loud": False,
        "names": (),
        "numbers": (1, 2),
        "colour": "red",
        "size": "s",
        "limit": None,
        "even": 2,
    }


@pytest.mark.parametrize(
    ("name", "texts", "value"),
    [
        ("ratio", ["2"], 2.0),
        ("count", ["1000"], 1000),
        ("loud", ["On"], True),
        ("loud", ["0"], False),
        ("names", ["a, b,,c "], ("a", "b", "c")),
        ("names", ["a,b", "c"], ("a,b", "c")),
        ("names", [""], ()),
        ("numbers", ["3,4"], (3, 4)),
        ("colour", ["green"], "green"),
        ("limit", ["1.5"], 1.5),
        ("even", ["4"], 4),
    ],
)
def test_a_text_becomes_a_value(name: str, texts: list[str], value: Any) -> None:
    values, problems = configured(Everything, {"watcher": ["w"], name: texts})
    assert problems == []
    assert values[name] == value


@pytest.mark.parametrize(
    ("name", "texts", "reason"),
    [
        ("ratio", ["nan"], "must be a number, got 'nan'"),
        ("ratio", ["x"], "must be a number, got 'x'"),
        ("count", ["1.5"], "must be a whole number, got '1.5'"),
        ("count", ["0"], "must be 1 or more, got '0'"),
        ("count", ["1001"], "must be 1000 or less, got '1001'"),
        ("count", ["1", "2"], "takes one value, got ['1', '2']"),
        ("loud", ["maybe"], "must be yes or no, got 'maybe'"),
        ("numbers", ["3,x"], "must be a whole number, got 'x'"),
        ("colour", ["blue"], "must be one of red, green, got 'blue'"),
        ("size", ["l"], "must be one of s, m, got 'l'"),
        ("even", ["3"], "must be even, got '3'"),
        ("cuont", ["3"], "there is no such option; did you mean count?"),
    ],
)
def test_what_is_wrong_is_told_by_name(name: str, texts: list[str], reason: str) -> None:
    _, problems = configured(Everything, {"watcher": ["w"], name: texts})
    assert [(problem.name, problem.reason) for problem in problems] == [(name, reason)]
    assert str(problems[0]) == f"{name}: {reason}"


def test_everything_is_told_at_once() -> None:
    _, problems = configured(Everything, given(count="x", nothing="1"), reserved=("size",))
    assert [str(problem) for problem in problems] == [
        "size: every plugin has a key of that name: call the option otherwise",
        "watcher: is needed: which one",
        "count: must be a whole number, got 'x'",
        "nothing: there is no such option; there are " + ", ".join(options_of(Everything, Plugin)),
    ]


def test_a_pattern_that_fits_nothing_is_a_mistake_of_the_class() -> None:
    class Wrong(Plugin):
        topics = ("*.raep",)

    assert [str(problem) for problem in configured(Wrong, {})[1]] == [
        "topics: '*.raep': there is no event 'raep'; did you mean reap?"
    ]


def test_an_annotation_that_says_nothing_about_texts_needs_a_parser() -> None:
    class Wrong(Plugin):
        where: dict[str, int] = option()

    with pytest.raises(TypeError, match="option where: how is a text read"):
        options_of(Wrong, Plugin)


def test_rows_for_a_reference() -> None:
    told = {
        name: (takes, default, text) for name, takes, default, text in rows(options_of(Everything, Plugin))
    }
    assert told["watcher"] == ("TEXT", "", "which one")
    assert told["count"] == ("N", "100", "how many")
    assert told["loud"] == ("yes|no", "no", "")
    assert told["names"] == ("TEXT,...", "", "")
    assert told["colour"] == ("red|green", "red", "")
    assert told["even"] == ("EVEN", "2", "")
