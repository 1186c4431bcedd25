# Source of the site: the pages as they are to be shown there, written to a folder: python docs/site.py FOLDER
#
# Rule: a page reads well as it is written, on a forge. Here, pages from outside of docs/ are added, links are
# made to fit, blocks of code that are alternatives become tabs, and the page of cases names the tests.

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from generate import case_page, cases

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Pages of the repository's first folder → where they are in the site.
PROJECT = {"CONTRIBUTING.md": "project/contributing.md", "SECURITY.md": "project/security.md"}

# Folder or page → what stands beside it no more: the first page and wide tables take the whole width.
HIDDEN = {"docs/index.md": "navigation, toc", "docs/benchmarks": "toc"}

_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
# Two blocks with titles or more, nothing but a blank line between them.
_TITLED = r'^```\w+ title="[^"]+"\n.*?^```\n'
_ALTERNATIVES = re.compile(rf"{_TITLED}(?:\n{_TITLED})+", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```\n', re.MULTILINE | re.DOTALL)


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.py", "*.pyc", "__pycache__"))
    for name, target in PROJECT.items():
        (folder / target).parent.mkdir(exist_ok=True)
        (folder / target).write_text(shown((ROOT / name).read_text(), name))
    for page in folder.rglob("*.md"):
        place = page.relative_to(folder).as_posix()
        if place == "reference/cases.md":
            page.write_text(case_page(cases()["marked_tests"](ROOT / "tests")))
        elif place not in PROJECT.values():
            page.write_text(shown(page.read_text(), f"docs/{place}"))


def shown(markdown: str, path: str) -> str:
    """Return a page, which is at `path` in the repository, as the site shows it."""
    text = _ALTERNATIVES.sub(_tabs, _LINK.sub(lambda link: _fit(link[1], path), markdown))
    hidden = HIDDEN.get(path) or HIDDEN.get(os.path.dirname(path))
    return f"---\nhide: [{hidden}]\n---\n\n{text}" if hidden else text


def _fit(link: str, path: str) -> str:
    """Return a link between pages of the repository as one between pages of the site."""
    wanted = os.path.normpath(os.path.join(os.path.dirname(path), link))
    return os.path.relpath(_place(wanted), os.path.dirname(_place(path)) or ".")


def _place(path: str) -> str:
    return PROJECT.get(path, path.removeprefix("docs/"))


def _tabs(found: re.Match[str]) -> str:
    return "\n".join(_tab(*block.groups()) for block in _BLOCK.finditer(found[0]))


def _tab(language: str, title: str, code: str) -> str:
    lines = [f"```{language}", *code.splitlines(), "```"]
    return "\n".join([f'=== "{title}"', "", *(f"    {line}".rstrip() for line in lines), ""])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
