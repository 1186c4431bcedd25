# Sources of `bigtop convert`: whose file it is, by its name and content, or a command line in place of one.

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bigtop.config.convert import circus, gunicorn, pm2, procfile, shell, supervisord, uwsgi, uwsgi_file
from bigtop.config.convert.invocation import SERVERS, invocation, site
from bigtop.config.convert.nginx import nginx
from bigtop.config.convert.notes import no_equal
from bigtop.config.convert.pages import written
from bigtop.config.convert.site import SiteDraft, check_app
from bigtop.config.convert.watcher import WatcherDraft
from bigtop.config.file.text import ini
from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.ini import text_of
from bigtop.errors import ConfigError
from bigtop.hooks.spec import MODULE

FLAG: Final = "--command"
_ONLY: Final = f"starts none of {', '.join(SERVERS)}; any other program is a watcher: [watcher.NAME] with cmd"


class _Source(NamedTuple):
    """`is_it(path, text)` recognises a file, `convert(path, beside, problems)` returns its TOML."""

    is_it: Callable[[str, str], bool]
    convert: Callable[[str, str, Problems], str]


def convert(path: str, source: str | None = None, beside: str = "") -> str:
    """Return the TOML of a file of another program's, to be put into the folder `beside`.

    `source` says whose file it is, one of NAMES; unless given, that is found out. Raises ConfigError.
    """
    source = source or whose(path)
    if not source:
        raise ConfigError(f"{path}: is none of the files that are known; --from says whose it is")
    problems = Problems()
    made = _SOURCES[source].convert(path, beside or os.getcwd(), problems)
    problems.raise_any()
    return made


def whose(path: str) -> str:
    """Return whose file this is, one of NAMES, or "" where that is not to be seen. Raises ConfigError."""
    if path.startswith(MODULE):
        return "gunicorn"
    problems = Problems()
    text = text_of(path, problems, Place(path, 1))
    problems.raise_any()
    return next((name for name, one in _SOURCES.items() if one.is_it(path, text)), "")


def of_command(line: str, environ: Mapping[str, str], beside: str = "") -> str:
    """Return the TOML of a command line that starts a server; `environ` has the values of its variables."""
    found = _site(line, environ, FLAG)
    if found is None:
        raise ConfigError(f"{FLAG}: {line!r} {_ONLY}")
    made, watchers = found
    return written(
        [f"Made from a command line by bigtop convert: {line}"],
        [made],
        watchers,
        beside=beside or os.getcwd(),
    )


def _site(line: str, environ: Mapping[str, str], place: str) -> tuple[SiteDraft, list[WatcherDraft]] | None:
    """Return what a command starts; None where it is none of the servers."""
    words = shell.words(line, environ)
    if words is None:
        if not _names_server(line):
            return None
        unknown = [name for name in shell.names(line) if name not in environ]
        if unknown:
            raise ConfigError(f"{place}: ${unknown[0]} has no value here: export it before this is converted")
        raise ConfigError(f"{place}: takes a shell: {line!r}; give the command of the server alone")
    found = invocation(words)
    return None if found is None else site(found, "", place, {})


def _names_server(line: str) -> bool:
    return re.search(rf"(?:^|[\s/])({'|'.join(SERVERS)})(?:\s|$)", line) is not None


# ---- files


def _circus(path: str, _beside: str, problems: Problems) -> str:
    document = ini.read(path, os.environ, problems)
    return circus.from_ini(document)


def _supervisord(path: str, _beside: str, problems: Problems) -> str:
    return supervisord.convert(path, problems)


def _gunicorn(path: str, beside: str, _problems: Problems) -> str:
    made = SiteDraft()
    gunicorn.from_file(made, path)
    check_app(made, path, gunicorn.HOW)
    head = [f"Made from {os.path.basename(path)} by bigtop convert. What has no equal is a comment."]
    return written(head, [made], beside=beside)


def _uwsgi(path: str, beside: str, problems: Problems) -> str:
    settings = uwsgi_file.read(path, problems, {})
    problems.raise_any()
    made = SiteDraft()
    watchers = uwsgi.from_settings(made, settings)
    head = [f"Made from {os.path.basename(path)} by bigtop convert. What has no equal is a comment."]
    if made.app or not watchers:
        check_app(made, path, uwsgi.HOW)
        return written(head, [made], watchers, beside=beside)
    return written([*head, *made.notes], [], watchers, beside=beside)


def _script(path: str, beside: str, problems: Problems) -> str:
    """Each command in a file that starts a server is a site; what else there is becomes a comment."""
    head = [f"Made from {os.path.basename(path)} by bigtop convert. What has no equal is a comment."]
    sites: list[SiteDraft] = []
    watchers: list[WatcherDraft] = []
    for number, line in _commands(text_of(path, problems, Place(path, 1))):
        try:
            found = _site(line, os.environ, f"{path}:{number}")
        except ConfigError as error:
            problems.errors += [(Place(path, number), str(error).removeprefix(f"{path}:{number}: "))]
            continue
        if found is None:
            head.append(no_equal(f"line {number}: {line}", "it is for a shell"))
            continue
        made, beside_it = found
        sites.append(made)
        watchers += beside_it
    if not sites:
        problems.error(Place(path, 1), _ONLY)
    return written(head, sites, watchers, beside=beside)


def _commands(text: str) -> list[tuple[int, str]]:
    """Return the commands of a script, each with its line; a \\ at the end joins two lines."""
    found = []
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first or number
        begun += line.strip().removesuffix("\\") if line.rstrip().endswith("\\") else line.strip()
        if line.rstrip().endswith("\\"):
            begun = f"{begun.rstrip()} "
            continue
        if begun and not begun.startswith("#"):
            found.append((first, begun))
        begun, first = "", 0
    return found


def _is_python(path: str, _text: str) -> bool:
    return path.endswith(".py")


def _is_ini(path: str, text: str) -> bool:
    return path.endswith((".ini", ".cfg", ".conf")) or re.search(r"^\[.+\]", text, re.MULTILINE) is not None


def _is_script(path: str, text: str) -> bool:
    return not re.search(r"^\[.+\]", text, re.MULTILINE) and any(
        _names_server(line) for _, line in _commands(text)
    )


CIRCUS: Final = "circus"
# In the order in which they are tried.
_SOURCES: Final = {
    "gunicorn": _Source(_is_python, _gunicorn),
    "pm2": _Source(pm2.is_pm2, pm2.convert),
    "uwsgi": _Source(lambda _path, text: uwsgi_file.is_uwsgi(text), _uwsgi),
    "supervisord": _Source(lambda _path, text: supervisord.is_supervisord(text), _supervisord),
    "nginx": _Source(nginx.is_it, nginx.convert),
    "procfile": _Source(procfile.is_procfile, procfile.convert),
    "command": _Source(_is_script, _script),
    CIRCUS: _Source(_is_ini, _circus),
}
NAMES: Final = tuple(_SOURCES)
