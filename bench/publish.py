# Writes results into the documentation.
#
# A page says where: `<!-- bench: NAME FORM -->` and, further down, `<!-- end of NAME -->`. What is between is
# made from results/NAME.json. Forms: `tables`, a table and a picture per scenario; `overview`, one table with
# a row per peer and a column per scenario; `managers`, what bench.supervise found.
#
# Rule: pages are text in, text out; only `publish` touches files.

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import deployed, supervised, table, workshop
from bench.results import Part, load

RESULTS = workshop.BENCH / "results"
DOCS = workshop.ROOT / "docs"
# What the documentation shows: name of the result → scenarios, peers.
SHOWN = {
    "servers": ("speed,bodies", "wsgi"),
    "fairness": ("fairness", "bigtop,nginx-gunicorn,gunicorn-sync,gunicorn-gthread,granian"),
    "https": ("https", "https"),
    "start": (
        "start",
        "bigtop,bigtop-pure,bigtop-asgi,gunicorn-sync,gunicorn-asgi,granian,granian-asgi,uvicorn",
    ),
    "static": ("static", "static"),
    "asgi": ("hello,hello-17,sleep-10ms,bodies", "asgi"),
    "websocket": ("websocket", "websocket"),
    "backends": ("backends", "backends"),
    "gevent": ("hello,django-page,sleep-10ms", "bigtop-gevent,circus-gevent,gunicorn-gevent"),
}
MARKED = re.compile(
    r"(?P<begin><!-- bench: (?P<name>[\w-]+) (?P<form>\w+) -->\n).*?(?P<end><!-- end of (?P=name) -->)",
    re.DOTALL,
)


def publish(tell: Callable[[str], None]) -> None:
    """Write all marked parts of all pages, and the pictures they show.

    Raise ValueError for a form that is not known, FileNotFoundError for a result that is not there.
    """
    workshop.ensure_packages(["matplotlib"])
    for page in marked_pages():
        text = page.read_text()
        for name, form in forms(text):
            if form == "tables":
                workshop.run_here("bench.plots", str(RESULTS / f"{name}.json"), str(pictures(page, name)))
        page.write_text(fill(text, page))
        tell(f"written: {page.relative_to(workshop.ROOT)}")


def marked_pages() -> Iterator[Path]:
    return (page for page in sorted(DOCS.rglob("*.md")) if MARKED.search(page.read_text()))


def forms(text: str) -> list[tuple[str, str]]:
    return [(found["name"], found["form"]) for found in MARKED.finditer(text)]


def pictures(page: Path, name: str) -> Path:
    return page.parent / "figures" / name


def fill(text: str, page: Path) -> str:
    """Return the text of `page` with all that is marked made anew."""

    def made(found: re.Match[str]) -> str:
        if found["form"] not in FORMS:
            raise ValueError(f"{page.name}: no form {found['form']!r}; there are {', '.join(FORMS)}")
        folder = os.path.relpath(pictures(page, found["name"]), page.parent)
        text = FORMS[found["form"]](RESULTS / f"{found['name']}.json", folder)
        return f"{found['begin']}{text}\n{found['end']}"

    return MARKED.sub(made, text)


def tables(result: Path, folder: str) -> str:
    results = load(result)
    blocks = [table.heading(results), table.legend(results)]
    for part in results.parts:
        blocks.append(table.block(part, baseline=None, markdown=True))
        blocks.append(f"![{part.title}]({folder}/{part.name}.svg)")
    return "\n\n".join(block for block in blocks if block) + "\n"


def overview(result: Path, folder: str) -> str:
    """Show CPU per request, the figure that depends least on the machine's mood."""
    results = load(result)
    peers = dict.fromkeys(m.peer for part in results.parts for m in part.measured if m.runs)
    rows = [["CPU µs per request", *(part.title for part in results.parts)]]
    rows += [[f"`{peer}`", *(_cpu(part, peer) for part in results.parts)] for peer in peers]
    return "\n".join([table.heading(results), "", *table.markdown_table(rows)])


def managers(result: Path, folder: str) -> str:
    return "\n" + supervised.render(supervised.Results.load(result), markdown=True) + "\n"


def deploys(result: Path, folder: str) -> str:
    return "\n" + deployed.render(deployed.Results.load(result), markdown=True) + "\n"


def _cpu(part: Part, peer: str) -> str:
    found = next((m.summary()["cpu_us"] for m in part.measured if m.peer == peer and m.runs), None)
    return f"{found.median:,.0f}" if found else "-"


FORMS = {"tables": tables, "overview": overview, "managers": managers, "deploys": deploys}
