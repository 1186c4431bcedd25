# An ecosystem file of pm2's, in its JSON form.
#
# What starts a web server that Bigtop takes the place of becomes an application, all else a watcher. pm2 asks
# a process to end by SIGINT, together with its children, and gives its arguments to no shell.

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from bigtop.config.convert.invocation import invocation, site
from bigtop.config.convert.notes import no_equal, not_needed, shown
from bigtop.config.convert.pages import written
from bigtop.config.convert.site import SiteDraft
from bigtop.config.convert.watcher import WatcherDraft
from bigtop.config.file.options import watcher_options as w
from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.ini import text_of
from bigtop.config.file.text.key import Key
from bigtop.config.file.text.tomltext import Literal
from bigtop.config.gunicorn.values import word
from bigtop.config.serve import options as o

_App = Mapping[str, object]
_JAVASCRIPT: Final = (
    "is no JSON; of a file in JavaScript node makes one: "
    "node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))' > ecosystem.json"
)
_ALIASES: Final = {
    "exec": "script", "exec_interpreter": "interpreter", "node_args": "interpreter_args",
    "interpreterArgs": "interpreter_args", "nodeArgs": "interpreter_args", "out": "out_file",
    "output": "out_file", "out_log": "out_file", "error": "error_file", "err": "error_file",
    "err_file": "error_file", "err_log": "error_file", "log": "log_file", "pid": "pid_file",
    "cron": "cron_restart", "combine_logs": "merge_logs", "user": "uid",
}  # fmt: skip
# By the ending of a script, what runs it.
_INTERPRETERS: Final = {
    ".py": "python3", ".sh": "bash", ".js": "node", ".mjs": "node", ".cjs": "node", ".rb": "ruby",
    ".pl": "perl", ".php": "php", ".ts": "bun", ".tsx": "bun", ".coffee": "coffee", ".ls": "lsc",
}  # fmt: skip
_COMMAND: Final = ("name", "script", "args", "interpreter", "interpreter_args", "env", "port")
_LACKING: Final = {
    "watch": "`bigtop run` watches no files; `bigtop ctl reload NAME` loads new code",
    "ignore_watch": "`bigtop run` watches no files",
    "cron_restart": "schedule starts a command at a time, max_age replaces a process of an age",
    "log_date_format": "time_format of a stream is that of strftime",
    "time": "time_format of a stream puts a time in front of each line",
    "log_type": "a stream writes what the process writes",
    "wait_ready": "ready says when a process counts as ready, such as tcp:127.0.0.1:3000",
    "exec_mode": "node's cluster is pm2's own: give each process a port, as in 300$(circus.wid)",
    "increment_var": "$(circus.wid) in a command is the number of the process",
    "instance_var": "$(circus.wid) in a command is the number of the process",
    "namespace": "there are no groups; commands take patterns of names",
    "shutdown_with_message": "a process is asked to end by a signal, or by stop_command",
    "filter_env": "copy_env = false starts with no variables but those of [env]",
    "pid_file": "`bigtop ctl list NAME` shows process ids",
    "post_update": "run it from what deploys",
}
_INSIDE: Final = (
    *("source_map_support", "disable_source_map_support", "vizion", "pmx", "automation", "trace"),
    *("disable_trace", "v8", "event_loop_inspector", "deep_monitoring", "force", "merge_logs", "io"),
    *("append_env_to_name", "kill_retry_time", "windowsHide", "watch_delay", "watch_options", "username"),
)


def is_pm2(path: str, text: str) -> bool:
    """Tell by its name or its contents whether a file is pm2's."""
    name = os.path.basename(path)
    return bool(re.match(r"(ecosystem|process|pm2)\b.*\.(json|js|cjs)$", name)) or (
        text.lstrip()[:1] in ("{", "[") and re.search(r'"(apps|script|exec)"\s*:', text) is not None
    )


def convert(path: str, beside: str, problems: Problems) -> str:
    """Return the TOML, to be put into the folder `beside`; mistakes go to `problems`."""
    text = text_of(path, problems, Place(path, 1))
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        problems.error(Place(path, error.lineno), f"{_JAVASCRIPT} ({error.msg})")
        return ""
    name = os.path.basename(path)
    head = [f"Made from {name} by bigtop convert. What has no equal is a comment."]
    apps = document.get("apps", [document]) if isinstance(document, dict) else document
    if isinstance(document, dict):
        for key in document.keys() & {"deploy"}:
            head.append(no_equal(key, "nothing is deployed here"))
    made = _Made(beside)
    for app in apps if isinstance(apps, list) else [apps]:
        if not isinstance(app, dict) or not (app := _plain(app)).get("script"):
            problems.error(Place(path, 1), f"an app needs a script, got {shown(app)}")
        else:
            made.add(app, path)
    return written(head, made.sites, made.watchers, beside=beside)


def _plain(app: _App) -> _App:
    """Return an app by pm2's first name of each key, without what says nothing."""
    return {_ALIASES.get(key, key): value for key, value in app.items() if value is not None}


class _Made:
    """The sections of the new file."""

    def __init__(self, beside: str) -> None:
        self.sites: list[SiteDraft] = []
        self.watchers: list[WatcherDraft] = []

    def add(self, app: _App, path: str) -> None:
        words = _words(app)
        script = str(app["script"])
        name = word(str(app.get("name") or os.path.splitext(os.path.basename(script))[0]))
        environ, notes = _environ(app)
        if found := invocation(words):
            made, beside = site(found, str(name or ""), f"{path}: {name}", environ)
            made.environ = environ
            made.notes += notes
            _of_site(made, app)
            self.sites.append(made)
            self.watchers += beside
        else:
            watcher = WatcherDraft(str(name or "app"), shlex.join(words))
            watcher.environ = environ
            watcher.table.notes += notes
            _of_watcher(watcher, app)
            self.watchers.append(watcher)


# ---- the command


def _words(app: _App) -> list[str]:
    script, interpreter = str(app["script"]), str(app.get("interpreter", ""))
    if not interpreter:
        interpreter = _INTERPRETERS.get(os.path.splitext(script)[1], "none")
    words = _split(app.get("args"))
    # A script may hold its arguments as well, as in "npm start".
    first = shlex.split(script) if interpreter == "none" and not os.path.exists(script) else [script]
    before = [] if interpreter == "none" else [interpreter, *_split(app.get("interpreter_args"))]
    return [*before, *first, *words]


def _split(given: object) -> list[str]:
    if isinstance(given, list):
        return [str(one) for one in given]
    try:
        return shlex.split(str(given)) if given else []
    except ValueError:
        return [str(given)]


def _environ(app: _App) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    notes: list[str] = []
    env = app.get("env", {})
    wanted = {f"env.{name}": (name, value) for name, value in env.items()} if isinstance(env, dict) else {}
    if "port" in app:
        wanted["port"] = ("PORT", app["port"])
    for said, (name, value) in wanted.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            notes.append(no_equal(said, "it is no name of a variable"))
        elif "\0" in shown(value):
            notes.append(no_equal(said, "no variable holds a NUL"))
        else:
            found[name] = shown(value)
    for key, value in app.items():
        if key.startswith("env_"):
            notes.append(
                no_equal(f"{key} = {shown(value)}", "keep the variables of each place in an env_file")
            )
    return found, notes


# ---- what else there is


def _instances(value: object) -> Literal:
    return "auto" if value in ("max", "0", 0) else _number(value)


def _number(value: object) -> Literal:
    return int(str(value)) if re.fullmatch(r"-?[0-9]{1,9}", str(value)) else str(value)


def _seconds(value: object) -> Literal:
    """Milliseconds, or a text with h, m or s behind it, as seconds."""
    text = str(value)
    if match := re.fullmatch(r"([0-9]{1,9})([hms])", text):
        return int(match[1]) * {"h": 3600, "m": 60, "s": 1}[match[2]]
    if not re.fullmatch(r"[0-9]{1,12}", text):
        return text
    return int(text) // 1000 if int(text) % 1000 == 0 else int(text) / 1000


def _uptime(value: object) -> Literal:
    return f"delay:{_seconds(value)}"


# pm2's key -> ours, and what becomes of the value
_PLAIN: Final[Mapping[str, tuple[Key[object], Callable[[object], Literal]]]] = {
    "cwd": (w.WORKING_DIR, str),
    "instances": (w.NUMPROCESSES, _instances),
    "uid": (w.UID, str),
    "gid": (w.GID, str),
    "max_memory_restart": (w.MAX_RSS, str),
    "kill_timeout": (w.GRACEFUL_TIMEOUT, _seconds),
    "listen_timeout": (w.BOOT_TIMEOUT, _seconds),
    "min_uptime": (w.READY, _uptime),
    "max_restarts": (w.FLAPPING_MAX_RETRY, _number),
}


class _Found(NamedTuple):
    """One key of pm2's, for which there is one of ours."""

    key: Key[object]
    value: Literal
    said: str


def _of_watcher(made: WatcherDraft, app: _App) -> None:
    made.put(w.STOP_SIGNAL, "INT", "SIGINT")
    made.put(w.STOP_CHILDREN, app.get("treekill", True) is not False, "treekill")
    for found in _keys(app):
        made.put(found.key, found.value, found.said)
    _streams(made, app)
    for note in _notes(app, _OF_WATCHERS):
        made.table.notes.append(note)


_OF_WATCHERS: Final = (
    *_PLAIN,
    *("autorestart", "stop_exit_codes", "restart_delay", "exp_backoff_restart_delay", "treekill"),
    *("out_file", "error_file", "log_file", "disable_logs"),
)
_OF_SITES: Final = (
    *("cwd", "uid", "gid", "kill_timeout", "max_memory_restart", "out_file", "error_file", "log_file"),
    "instances",
)


def _keys(app: _App) -> Iterator[_Found]:
    for name, value in app.items():
        said = f"{name} = {shown(value)}"
        if plain := _PLAIN.get(name):
            key, convert = plain
            yield _Found(key, convert(value), said)
        elif name in ("restart_delay", "exp_backoff_restart_delay") and value:
            yield _Found(w.FLAPPING_RETRY_IN, _seconds(value), said)
            if name == "restart_delay":
                yield _Found(w.FLAPPING_FACTOR, 1, said)
        elif name == "autorestart" and value is False:
            yield _Found(w.RESPAWN, "no", said)
        elif name == "stop_exit_codes" and app.get("autorestart") is not False:
            statuses = value if isinstance(value, list) else [value]
            yield _Found(w.EXPECTED_EXITS, [str(one) for one in statuses], said)
            yield _Found(w.RESPAWN, "unexpected", said)


def _streams(made: WatcherDraft, app: _App) -> None:
    both = app.get("log_file")
    for stream, key in (("stdout_stream", "out_file"), ("stderr_stream", "error_file")):
        path = app.get(key) or (both if isinstance(both, str) else None)
        if app.get("disable_logs") is True or path in ("/dev/null", "NULL"):
            made.table.keys[f"close_child_{stream.removesuffix('_stream')}"] = True
        elif path:
            made.table.inner[stream] = {"class": "FileStream", "filename": str(path)}
    if isinstance(both, str) and (app.get("out_file") or app.get("error_file")):
        made.lacks(f"log_file = {both}", "an output goes to one place")


def _of_site(made: SiteDraft, app: _App) -> None:
    for key, option in (("cwd", o.CHDIR), ("uid", o.USER), ("gid", o.GROUP)):
        if key in app:
            made.put(option, str(app[key]), f"{key} = {shown(app[key])}")
    if "max_memory_restart" in app:
        memory = app["max_memory_restart"]
        made.put(o.MAX_MEMORY, str(memory), f"max_memory_restart = {shown(memory)}")
    if "kill_timeout" in app:
        made.put(
            o.GRACEFUL_TIMEOUT, _seconds(app["kill_timeout"]), f"kill_timeout = {shown(app['kill_timeout'])}"
        )
    for key in ("out_file", "error_file", "log_file"):
        if key in app:
            made.lacks(
                f"{key} = {shown(app[key])}",
                "logoutput of [circus] is the log of all, access_logfile of requests",
            )
    if app.get("instances", 1) not in (1, "1"):
        made.lacks(f"instances = {shown(app['instances'])}", "workers is the number of processes")
    made.notes += _notes(app, _OF_SITES)


def _notes(app: _App, known: Sequence[str]) -> Iterator[str]:
    """Yield a line on each key that is not known."""
    for key, value in app.items():
        said = f"{key} = {shown(value)}"
        if key in known or key in _COMMAND or key.startswith("env_"):
            continue
        if key in _INSIDE:
            yield not_needed(said, "it is of pm2's inside")
        elif key == "exec_mode" and str(value).startswith("fork"):
            yield not_needed(said, "each process is started by itself")
        elif value is False or (key == "autorestart" and value is True):
            yield not_needed(said, "it is so")
        else:
            yield no_equal(said, _LACKING.get(key, ""))
