# Figures as few characters: no more than a column has, and true to about one per cent.

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.top.model import words
from bigtop.top.model.words import bar, cells, fitted, number, short, size, span, sparkline

AMOUNTS = st.floats(0, 1e12)


@given(AMOUNTS)
def test_no_word_is_wider_than_its_column(value: float) -> None:
    assert max(map(len, (size(value), span(value), short(value), number(value)))) <= 5
    assert len(size(min(value, 2**50))) <= 4


@pytest.mark.parametrize("word", [size, span, short, number, words.count])
def test_what_is_not_known_is_a_dash(word: object) -> None:
    assert callable(word)
    assert word(None) == "-"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (2**20 * 9.96, "10M"),
        (56.4 * 2**20, "56M"),
        (7.8 * 2**30, "7.8G"),
    ],
)
def test_sizes(value: float, expected: str) -> None:
    assert size(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "9s"),
        (59.9, "59s"),
        (306, "5m06"),
        (3599, "59m59"),
        (14700, "4h05"),
        (86399, "23h59"),
        (86400 * 3 + 4 * 3600, "3d4h"),
        (86400 * 120, "120d"),
    ],
)
def test_spans(value: float, expected: str) -> None:
    assert span(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0µs"),
        (0.00035, "350µs"),
        (0.0009996, "1.0ms"),
        (0.0041, "4.1ms"),
        (0.041, "41ms"),
        (0.9996, "1.0s"),
        (41, "41s"),
    ],
)
def test_short_spans(value: float, expected: str) -> None:
    assert short(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.4, "0.4"),
        (31, "31"),
        (99.96, "100"),
        (9999, "9999"),
        (56_200, "56k"),
        (2_000_000, "2.0M"),
    ],
)
def test_numbers(value: float, expected: str) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 4, "····"),
        (1, 100, "■···"),
        (2, 4, "■■··"),
        (9, 4, "■■■■"),
        (None, 4, "    "),
        (1, None, "    "),
        (1, 0, "    "),
    ],
)
def test_bars(part: float | None, whole: float | None, expected: str) -> None:
    assert bar(part, whole, 4) == expected


def test_sparklines_end_with_the_newest() -> None:
    assert sparkline([0, 1, 2, 4], 4) == "▁▃▅█"
    assert sparkline([9, 0, 4], 2) == "▁█"
    assert sparkline([4], 3) == "  █"
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([], 2) == "  "


@given(st.text(), st.integers(0, 40), st.booleans())
def test_a_text_fits_exactly(text: str, width: int, right: bool) -> None:
    found = fitted(text, width, right=right)
    assert cells(found) == width
    assert "\n" not in found
    assert "\033" not in found


def test_wide_characters_take_two_places() -> None:
    assert cells("日本") == 4
    assert fitted("日本語", 5) == "日本…"
    assert fitted("日本語", 4) == "日… "
    assert fitted("é", 3) == "é  "
    assert fitted("a\tb\033", 9, right=True) == "     a?b?"
