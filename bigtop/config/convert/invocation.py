# A command as it stands in a script, a Procfile or an ecosystem file: which server it starts, and how.

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.config.convert import granian, gunicorn, uvicorn, uwsgi, uwsgi_file
from bigtop.config.convert.site import SiteDraft, check_app
from bigtop.config.convert.watcher import WatcherDraft
from bigtop.config.serve import options as o
from bigtop.config.serve.environment import GUNICORN_CMD_ARGS, conventions, words_of
from bigtop.record import Record

SERVERS: Final = ("gunicorn", "uvicorn", "granian", "uwsgi")
# What only chooses the Python in which a command runs.
_CHOOSERS: Final = (("poetry", "run"), ("pipenv", "run"), ("pdm", "run"), ("uv", "run"), ("rye", "run"))
_PYTHON: Final = re.compile(r"(?:python|pypy)[0-9.]*")
_OWN_PYTHON: Final = "Bigtop runs in the Python that it is installed in"


class Invocation(Record):
    """A server and its arguments; `environ` is set in front of it, `chooser` chooses its Python."""

    server: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    chooser: str = ""


def invocation(words: Sequence[str]) -> Invocation | None:
    """Return what a command starts, None where that is none of the servers."""
    left = list(words)
    environ: dict[str, str] = {}
    chooser = ""
    while left:
        if left[0] in ("exec", "env"):
            left = left[1:]
        elif match := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", left[0], re.DOTALL):
            environ[match[1]] = match[2]
            left = left[1:]
        elif tuple(left[:2]) in _CHOOSERS:
            chooser, left = " ".join(left[:2]), left[2:]
        elif _PYTHON.fullmatch(os.path.basename(left[0])) and left[1:2] == ["-m"]:
            left = left[2:]
        elif _PYTHON.fullmatch(os.path.basename(left[0])) and os.path.basename("".join(left[1:2])) in SERVERS:
            left = left[1:]
        else:
            break
    if not left or os.path.basename(left[0]) not in SERVERS:
        return None
    return Invocation(os.path.basename(left[0]), tuple(left[1:]), environ, chooser)


def site(
    found: Invocation, name: str, place: str, variables: Mapping[str, str]
) -> tuple[SiteDraft, list[WatcherDraft]]:
    """Return what a server is as a site, and what it runs beside it; ConfigError names `place`. `variables`
    are those of its environment that are known."""
    made = SiteDraft(name)
    beside: list[WatcherDraft] = []
    if found.chooser:
        made.needs_not(found.chooser, _OWN_PYTHON)
    if found.environ:
        made.put(
            o.ENV, dict(found.environ), " ".join(f"{name}={text}" for name, text in found.environ.items())
        )
    variables = {**variables, **found.environ}
    match found.server:
        case "gunicorn":
            arguments = (*words_of(variables.get(GUNICORN_CMD_ARGS, ""), GUNICORN_CMD_ARGS), *found.arguments)
            gunicorn.from_command(made, arguments, place, variables)
        case "uvicorn":
            uvicorn.from_command(made, found.arguments, place)
        case "granian":
            granian.from_command(made, found.arguments, place)
        case _:
            beside = uwsgi.from_settings(made, uwsgi_file.of_arguments(found.arguments, variables))
    if found.server in ("gunicorn", "uvicorn"):  # which have these by themselves
        for option in (o.WORKERS, o.BIND, o.FORWARDED_ALLOW_IPS):
            given = conventions(variables).get(option.name)
            if given is not None and not made.has(option):
                made.put(option, given.texts if option.many else given.texts[-1], given.origin)
    check_app(made, place, "an argument does" if found.server != "uwsgi" else uwsgi.HOW)
    return made, beside
