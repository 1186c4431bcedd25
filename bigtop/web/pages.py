# Pages of a console: the files that browsers get, all of them known when it starts.
#
# Rule: a path is looked up, never made into the name of a file. Nothing of a request reaches the file system.

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Final

from bigtop.record import Record

KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Page(Record):
    kind: str
    content: bytes
    tag: str  # changes when the content does


def load() -> Mapping[str, Page]:
    """Return path -> page. All paths of the console itself begin with the one page that there is."""
    found = {}
    for file in resources.files("bigtop.web").joinpath("static").iterdir():
        kind = KINDS.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            found[f"/static/{file.name}"] = Page(kind, content, tag)
    found["/"] = found.pop("/static/index.html")
    return found
