# Summary of a start: what `bigtop serve` serves, where, and how to stop it.
#
# A terminal gets a box and some colour; a log collector gets plain lines; a JSON log gets one entry, so that
# every line of it stays JSON.

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from bigtop import __version__, build
from bigtop.launch.serve.summary_facts import SummaryFacts
from bigtop.log import logger as get_logger
from bigtop.system.terminal import shows_colours

_BOLD, _GREEN, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[0m"


def announce(facts: SummaryFacts) -> None:
    """Say it on stderr, or in the log when that is JSON. Called by the supervisor when it serves."""
    rows = describe(facts)
    if facts.spec.logs.json:
        get_logger("bigtop").info("serving: %s", "; ".join(f"{key} {value}" for key, value in rows))
    else:
        text = summary(facts.spec.name, rows, columns=_columns()) + "\n"
        # Past sys.stderr, which keeps what it could not write and spoils the exit status with it.
        with contextlib.suppress(OSError):
            os.write(2, text.encode(sys.stderr.encoding, "backslashreplace"))


def describe(facts: SummaryFacts) -> list[tuple[str, str]]:
    """Return what is worth knowing, as pairs of a word and its value."""
    threads = facts.spec.options.threads
    return [
        ("application", f"{facts.spec.app} ({facts.interface.upper()})"),
        ("backend", facts.backend),
        ("build", build.kind()),
        ("workers", f"{facts.spec.workers} x {threads} thread{'s' if threads > 1 else ''}"),
        ("preloaded", facts.preload),
        *(("address", address) for address in facts.addresses),
        ("stop", f"Ctrl-C, or kill -TERM {facts.pid}; kill -HUP {facts.pid} reloads"),
    ]


def summary(name: str, rows: Sequence[tuple[str, str]], *, columns: int = 0) -> str:
    """Lay out `rows` below a title: in a coloured box if it fits into `columns`, otherwise as plain lines."""
    title = f"bigtop {__version__} serves {name}"
    lines = [f"{key:<12} {value}" for key, value in rows]
    width = max(map(len, [title, *lines]))
    if width + len("│  │") > columns:
        return "\n".join([title, *(f"  {line}" for line in lines)])
    colours = {"address": _GREEN}
    body = [
        f"│ {colours.get(key, '')}{line:<{width}}{_PLAIN} │"
        for (key, _), line in zip(rows, lines, strict=True)
    ]
    rule = "─" * (width + 2)
    head = f"│ {_BOLD}{title:<{width}}{_PLAIN} │"
    return "\n".join([f"╭{rule}╮", head, f"├{rule}┤", *body, f"╰{rule}╯"])


def _columns() -> int:
    """Return how wide a box may be: 0 unless stderr is a terminal that shows boxes and colours."""
    if not shows_colours(2) or sys.stderr.encoding.lower() != "utf-8":
        return 0
    # A terminal that was never told its size (docker run -t) says 0.
    return os.get_terminal_size(sys.stderr.fileno()).columns or 80
