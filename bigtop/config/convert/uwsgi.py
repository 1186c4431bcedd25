# A file or a command line of uWSGI's: one site, and its mules, daemons and cron jobs as watchers.

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bigtop.config.convert import uwsgi_daemons
from bigtop.config.convert.site import SiteDraft
from bigtop.config.convert.uwsgi_file import OFF, Line, Settings
from bigtop.config.convert.uwsgi_settings import SETTINGS, SWITCHES
from bigtop.config.convert.watcher import WatcherDraft
from bigtop.config.gunicorn.setting import Taken
from bigtop.config.serve import options as o

HOW: Final = "module or wsgi-file does"
_MODULE: Final = ("module", "wsgi", "wsgi-file", "file", "callable", "mount")
_PASTE: Final = ("paste", "ini-paste", "ini-paste-logged", "paste-logger")
_SPEAKS_UWSGI: Final = ("socket", "uwsgi-socket")
_SOCKETS: Final = (*_SPEAKS_UWSGI, "http", "http-socket", "http11", "http11-socket", "shared-socket")
_LOG_FILES: Final = ("logto", "logto2", "logger", "daemonize")
_HTTP_HERE: Final = "speaks HTTP here: have nginx say proxy_pass http://... instead of uwsgi_pass"


def from_settings(site: SiteDraft, settings: Settings) -> list[WatcherDraft]:
    """Add what [uwsgi] says, and return what becomes a watcher."""
    lines = [line for line in settings.lines if not (line.value in OFF and line.key in SWITCHES)]
    _application(site, lines)
    daemons: list[Line] = []
    for line in lines:
        if line.key in uwsgi_daemons.KEYS:
            daemons.append(line)
        elif line.key in _SOCKETS:
            _socket(site, line)
        elif line.key not in (*_MODULE, *_PASTE):
            _setting(site, line, settings.placeholders)
    for other in settings.others:
        site.lacks(
            f"[{other}]", "uWSGI reads this section when it is told to; convert it as a file of its own"
        )
    if not any(line.key == "harakiri" for line in lines):
        site.put(o.TIMEOUT, 0, "no harakiri")
        site.notes.append(
            "There was no harakiri; a time limit such as timeout = 30 has hung workers replaced."
        )
    if not any(line.key in ("disable-logging", "req-logger") for line in lines):
        site.put(o.ACCESS_LOGFILE, "-", "the log of requests")
        if any(line.key in _LOG_FILES for line in lines):
            site.notes.append(
                "Requests were logged to the file of uWSGI's log; access_logfile is one of their own."
            )
    watchers = list(uwsgi_daemons.watchers(daemons, lines, site.lacks))
    for watcher in watchers:
        watcher.environ = site.own_environ
    return watchers


# ---- the application


def _application(site: SiteDraft, lines: Sequence[Line]) -> None:
    last = {line.key: line.value for line in lines}
    mounts = [line for line in lines if line.key == "mount"]
    name = last.get("callable", "")
    target = last.get("module") or last.get("wsgi") or last.get("wsgi-file") or last.get("file") or ""
    if target:
        site.app = target if ":" in target or not name else f"{target}:{name}"
    elif paste := last.get("paste") or last.get("ini-paste") or last.get("ini-paste-logged"):
        site.app = f"paste:{paste.removeprefix('config:')}"
        if "ini-paste-logged" in last or "paste-logger" in last:
            site.put(o.PASTE_LOGGING, "on", "paste-logger")
    elif name and ":" in name:
        site.app = name
    for line in mounts:
        path, _, app = line.value.partition("=")
        app = app if ":" in app or not name else f"{app}:{name}"
        if not site.app and path in ("/", ""):
            site.app = app
        elif not site.app and len(mounts) == 1:
            site.app = app
            site.put(o.ROOT_PATH, path, line.said)
        else:
            site.put(o.MOUNT, [f"{path}={app}"], line.said)


# ---- sockets


def _socket(site: SiteDraft, line: Line) -> None:
    text = line.value.removeprefix("=")
    address, *more = text.split(",")
    if more:
        site.lacks(line.said, f"only the address of it is understood: {address}")
    if line.key == "shared-socket" or re.fullmatch(r"\d{1,2}", address):
        site.lacks(line.said, "bind names each address")
        return
    if line.key in _SPEAKS_UWSGI:
        site.lacks(f"{line.said} with the protocol uwsgi", _HTTP_HERE)
    site.put(o.BIND, [_address(address)], line.said)


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text.startswith("@"):
        return f"unix:{text}"
    if text.startswith("fd://"):
        return text
    if not colon or not port.isdigit():
        return f"unix:{text.removeprefix('unix:')}"
    return f"{'0.0.0.0' if host in ('', '*') else host}:{port}"  # noqa: S104 - uWSGI's own


# ---- single settings


def _setting(site: SiteDraft, line: Line, placeholders: frozenset[str]) -> None:
    if special := _SPECIAL.get(line.key):
        special(site, line)
    elif line.key in SETTINGS and (line.value not in OFF or isinstance(SETTINGS[line.key].fate, Taken)):
        site.apply(SETTINGS, {line.key: line.value}, {line.key: line.said})
    elif line.key not in SETTINGS and line.key not in placeholders:
        site.lacks(line.said)


def _static(site: SiteDraft, line: Line) -> None:
    path, _, folder = line.value.partition("=")
    if folder and line.key == "static-map2":
        folder += path
    site.put(o.STATIC, [f"{path}={folder}"], line.said)


def _gevent(site: SiteDraft, line: Line) -> None:
    site.put(o.BACKEND, "gevent", line.said)
    if line.value.isdigit():
        site.put(o.WORKER_CONNECTIONS, line.value, line.said)


def _chown(site: SiteDraft, line: Line) -> None:
    owner, _, group = line.value.partition(":")
    site.put(o.BIND_OWNER, owner, line.said)
    if group:
        site.put(o.BIND_GROUP, group, line.said)


def _env(site: SiteDraft, line: Line) -> None:
    site.put(o.ENV, [line.value], line.said)


def _daemonize(site: SiteDraft, line: Line) -> None:
    site.apply(SETTINGS, {line.key: line.value}, {line.key: line.said})
    site.lacks(line.key, "`bigtop run --daemon FILE` goes into the background")


def _unlogged(site: SiteDraft, line: Line) -> None:
    site.needs_not(line.said, "there is no access log unless access_logfile asks for one")


def _buffer_size(site: SiteDraft, line: Line) -> None:
    """The size of a request head. Single parts may be as large."""
    if not re.fullmatch(r"[1-9][0-9]{0,9}", line.value):
        return site.lacks(line.said, "must be a number")
    site.put(o.LIMIT_REQUEST_HEAD, line.value, line.said)
    if int(line.value) > 8190:
        site.put(o.LIMIT_REQUEST_LINE, 0, line.said)
        site.put(o.LIMIT_REQUEST_FIELD_SIZE, 0, line.said)
    return None


_SPECIAL: Final[Mapping[str, Callable[[SiteDraft, Line], None]]] = {
    "static-map": _static,
    "static-map2": _static,
    "gevent": _gevent,
    "buffer-size": _buffer_size,
    "chown-socket": _chown,
    "env": _env,
    "daemonize": _daemonize,
    "disable-logging": _unlogged,
}
