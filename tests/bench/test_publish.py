# What stands in the documentation is what was measured.

from pathlib import Path

import pytest

from bench import peers, publish, runner, scenarios

PAGE = Path("docs/page.md")


def test_what_the_documentation_shows_can_be_measured() -> None:
    for chosen, among in publish.SHOWN.values():
        fitting = [s for s in scenarios.select(chosen) for p in peers.select(among) if runner.fits(p, s)]
        assert {scenario.name for scenario in fitting} == {s.name for s in scenarios.select(chosen)}


def test_pages_show_only_what_is_measured_for_them() -> None:
    shown = {name for page in publish.marked_pages() for name, _ in publish.forms(page.read_text())}
    assert shown == {*publish.SHOWN, "supervise", "deploys"}


def test_pages_are_current() -> None:
    for page in publish.marked_pages():
        assert publish.fill(page.read_text(), page) == page.read_text(), (
            f"python -m bench publish ({page.name})"
        )


def test_pictures_are_there() -> None:
    for page in publish.marked_pages():
        for line in page.read_text().splitlines():
            if line.startswith("![") and "figures/" in line:
                assert (page.parent / line.partition("](")[2].rstrip(")")).is_file(), line


def test_text_outside_the_marks_stays() -> None:
    text = "before\n<!-- no: mark -->\nafter\n"
    assert publish.fill(text, PAGE) == text


def test_an_unknown_form_is_an_error_that_lists_the_known_ones() -> None:
    text = "<!-- bench: servers poems -->\n<!-- end of servers -->\n"
    with pytest.raises(ValueError, match="'poems'; there are tables, overview, managers, deploys"):
        publish.fill(text, PAGE)
