# A gunicorn.conf.py, or a command line of gunicorn's, as a site.
#
# The file is Python of other people: it is executed as `bigtop serve -c` does it, in a process of its own.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bigtop.config.convert import flagline
from bigtop.config.convert.notes import shown
from bigtop.config.convert.site import SiteDraft
from bigtop.config.gunicorn import file as files
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.config.serve import options as o
from bigtop.errors import ConfigError
from bigtop.system.files import workdir

HOW: Final = (
    "wsgi_app does, or the command line: bigtop convert --command 'gunicorn -c gunicorn.conf.py myproj.wsgi'"
)
_SECRETS: Final = "env holds what the file put into os.environ; secrets are better kept in an env_file."


def from_file(site: SiteDraft, path: str) -> None:
    """Execute a configuration file and add what it says."""
    said = _execute(path, {}, path)
    site.apply(SETTINGS, said["values"], {})
    _strange(site, said)


def from_command(site: SiteDraft, argv: Sequence[str], place: str, environ: Mapping[str, str]) -> None:
    """Add what a command line says, and the file that it names; or the one that gunicorn takes by itself,
    which finds `environ` in its environment."""
    values, words, app = flagline.parsed(SETTINGS, argv, place)
    named = values.pop("config", None)
    path = files.DEFAULT if named is None and files.by_itself() else named
    if path is not None:
        said = _execute(str(path), environ, place)
        # A flag replaces what the file says of the same.
        site.apply(
            SETTINGS, {name: value for name, value in said["values"].items() if name not in values}, {}
        )
        _strange(site, said)
    site.apply(SETTINGS, values, words)
    site.app = app or site.app


def _execute(path: str, environ: Mapping[str, str], place: str) -> Mapping[str, Any]:
    try:
        location = files.location(path)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    said = files.execute(files.Execution(location, workdir.current()), environ)
    said["values"].pop("config", None)
    return said


def _strange(site: SiteDraft, said: Mapping[str, Any]) -> None:
    """Add what is no value: hooks, objects, variables of the environment."""
    for name, kind in said["strange"].items():
        if name in SETTINGS:
            site.lacks(f"{name}, an object of type {kind}", "write what it says as an option")
    for name in said["hooks"]:
        if name in SETTINGS:
            line = said["lines"].get(name)
            site.apply(
                SETTINGS, {name: True}, {name: f"{name}, a function" + (f" in line {line}" if line else "")}
            )
    environ = {name: value for name, value in said["environ"].items() if value is not None}
    for name in said["environ"].keys() - environ.keys():
        site.lacks(f"del os.environ[{name!r}]", "start Bigtop without that variable")
    if environ:
        site.notes.append(_SECRETS)
        site.put(o.ENV, environ, shown(sorted(environ)))
