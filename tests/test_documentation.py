# The documentation as a site: every page is in the navigation, and the build has nothing to complain of.

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.case("D2")


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, where `!ENV [NAME, DEFAULT]` stands for a variable of the environment."""


_Loader.add_constructor("!ENV", lambda loader, node: loader.construct_sequence(node)[1])


def settings() -> dict[str, Any]:
    return yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)


def pages(entry: object) -> set[str]:
    """Return the pages below an entry of the navigation."""
    match entry:
        case dict():
            return pages(list(entry.values()))
        case list():
            return set().union(*map(pages, entry))
        case _:
            return {str(entry)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "source"
    subprocess.run([sys.executable, ROOT / "docs/site.py", folder], check=True)
    return folder


def test_every_page_is_in_the_navigation(source: Path) -> None:
    written = {str(page.relative_to(source)) for page in source.rglob("*.md")}
    assert pages(settings()["nav"]) == written


def test_pages_are_found_and_copied_and_light_or_dark_as_one_likes() -> None:
    site = settings()
    assert {"search", "offline"} <= set(site["plugins"])
    assert {"content.code.copy", "content.tabs.link", "navigation.tabs"} <= set(site["theme"]["features"])
    schemes = {one.get("scheme"): one["toggle"]["name"] for one in site["theme"]["palette"]}
    assert schemes.keys() == {None, "default", "slate"}, "that of the system, light and dark"
    assert site["theme"]["font"] is False, "it would come from another host"


def test_the_first_page_says_what_it_is_before_it_lists_anything(source: Path) -> None:
    """In one screen: the words before the first heading below the title, the blocks of code apart."""
    first = (source / "index.md").read_text().partition("# Bigtop")[2].partition("\n## ")[0]
    prose = [line for line in first.splitlines() if line and not line.startswith((" " * 4 + "`", "<", "==="))]
    assert 100 < len(" ".join(prose).split()) < 250
    assert "(tutorial.md)" in first
    assert first.count('=== "') == 2, "how it begins, for a site and for a file"


def test_alternatives_become_tabs_and_single_blocks_stay(source: Path) -> None:
    assert '=== "A site"\n\n    ```console\n    pip install bigtop\n' in (source / "index.md").read_text()
    assert '```python title="hello.py"\n' in (source / "tutorial.md").read_text()


def test_links_to_pages_outside_of_docs_lead_to_their_place_in_the_site(source: Path) -> None:
    assert "](project/security.md)" in (source / "index.md").read_text()
    assert "](../explanation/architecture.md)" in (source / "project/contributing.md").read_text()


def test_the_page_of_cases_names_the_tests(source: Path) -> None:
    page = (source / "reference/cases.md").read_text()
    assert "<br>`test_documentation.py`" in page


@pytest.mark.skipif(not find_spec("zensical"), reason="needs: pip install 'bigtop[docs]'")
def test_the_site_is_built_strictly_and_needs_no_other_host(source: Path) -> None:
    folder = source.parent
    text = (
        (ROOT / "mkdocs.yml").read_text().replace("build/docs-source", "source").replace("build/docs", "site")
    )
    (folder / "mkdocs.yml").write_text(text)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    site = folder / "site"
    built = {page.relative_to(site).with_suffix(".md") for page in site.rglob("*.html")} - {Path("404.md")}
    assert built == {page.relative_to(source) for page in source.rglob("*.md")}
    for page in site.rglob("*.html"):
        hosts = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="((?:https?:)?//[^"]*)"', page.read_text())
        assert hosts == [], page
    first = (site / "index.html").read_text()
    for part in ('data-md-component="search"', '"content.code.copy"', 'data-md-color-scheme="slate"'):
        assert part in first
    texts = [path for kind in ("html", "xml", "json", "js") for path in site.rglob(f"*.{kind}")]
    assert [path for path in texts if str(ROOT) in path.read_text() or str(folder) in path.read_text()] == []
    shutil.rmtree(site)
