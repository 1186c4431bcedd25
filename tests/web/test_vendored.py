# What of the console's pages is not ours is what its makers published.

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from bigtop.web import pages

STATIC = Path(pages.__file__).parent / "static"


def test_vendored_files_have_the_checksums_that_are_written_down() -> None:
    said = dict(re.findall(r"^([0-9a-f]{64})  (\S+)", (STATIC / "VENDORED").read_text(), re.MULTILINE))
    assert {name: digest for digest, name in said.items()} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STATIC.glob("uplot.*")
    }


def test_pages_make_no_markup_of_texts_and_ask_nobody_else() -> None:
    """The browser refuses it, by the Content-Security-Policy; here it is seen before."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://"
    )
    allowed = "http://www.w3.org/2000/svg"
    for path in [*STATIC.glob("*.js"), *STATIC.glob("*.html"), *STATIC.glob("console.css")]:
        if not path.name.startswith("uplot"):
            assert forbidden.findall(path.read_text().replace(allowed, "")) == [], path.name


def test_every_page_of_the_package_is_served() -> None:
    known = pages.load()
    served = {path.rpartition("/")[2] or "index.html" for path in known}
    assert served == {path.name for path in STATIC.iterdir() if path.suffix in pages.KINDS}
    assert known["/static/main.js"].kind.startswith("text/javascript")


def test_all_modules_are_asked_for_at_once() -> None:
    """One that is not named in the page would be asked for when the one before it has come."""
    named = re.findall(r'rel="modulepreload" href="/static/(\S+)"', (STATIC / "index.html").read_text())
    ours = [path for path in STATIC.glob("*.js") if not path.name.startswith("uplot")]
    imported = {name for path in ours for name in re.findall(r'from "\./(\S+)"', path.read_text())}
    assert sorted(named) == sorted(imported) == sorted(path.name for path in ours if path.name != "main.js")
