# docs/reference/http.md, held against the tests that it names.

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.http.cases import CORPUS

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d[\d., ]*) \| .* \| (.*) \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs/reference/http.md").read_text())


def functions() -> set[str]:
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}


EXISTING = functions() | {path.stem for path in CORPUS.glob("*/*.http")}


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: f"{number}-{ROWS[number][0]}")
def test_a_rule_is_tested_by_what_it_names(number: int) -> None:
    names = re.findall(r"`([^`]+)`", ROWS[number][1])
    assert names
    assert [name for name in names if name not in EXISTING] == []
