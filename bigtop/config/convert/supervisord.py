# A supervisord.conf as TOML. What has no equal becomes a comment, so that nobody misses it later.

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Callable, Mapping

from bigtop.config.convert.notes import no_equal
from bigtop.config.file.text.document import Place, Problems
from bigtop.config.file.text.expand import with_dollars
from bigtop.config.file.text.ini import text_of
from bigtop.config.file.text.tomltext import Literal, Table, page
from bigtop.config.serve.values.values import SWITCH_WORDS

_PROGRAM = ("program", "fcgi-program")
_OTHERS = {
    "unix_http_server": "the control channel is endpoint in [circus]",
    "inet_http_server": "the control channel is endpoint in [circus]",
    "supervisorctl": "bigtop ctl needs no section",
    "rpcinterface": "commands go over endpoint",
    "eventlistener": "events are published on pubsub_endpoint for whoever subscribes",
    "group": "there are no groups; commands take patterns of names",
    "include": "convert these files too, and put them together",
}
_LEVELS = {"warn": "warning", "blather": "debug", "trace": "debug"}
_EXPANSION = re.compile(r"%\((\w+)\)[0-9]*[sd]|%%")
_QUOTED_OR_COMMENT = re.compile(r"""("[^"]*"|'[^']*')|(?:^|(?<=\s))[;#][^\n]*""", re.MULTILINE)
_SIZES = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
# What supervisord assumes where a program says nothing, and Bigtop does not.
_DEFAULTS = {"startsecs": "1", "startretries": "3", "stopwaitsecs": "10", "autorestart": "unexpected"}

# Keys that _program() looks at as a whole; and what is left of a stopped process is always killed.
_SEEN_TO = ("redirect_stderr", "environment", "killasgroup")
_SOCKET = ("socket", "socket_backlog", "socket_mode", "socket_owner")
# Keys that have no equal because what they ask for needs no key.
_NEEDLESS = {
    "nodaemon": "bigtop run stays in the foreground, with --daemon it does not",
    "minfds": "the limit of open files is raised as far as it may be",
    "logfile_maxbytes": "logrotate moves the file away, and SIGUSR1 opens it anew",
    "logfile_backups": "logrotate keeps old files",
    "nocleanup": "there are no log files of programs but those that are named",
    "stdout_events_enabled": "bigtop ctl tail --follow and output events show what a program writes",
    "stderr_events_enabled": "bigtop ctl tail --follow and output events show what a program writes",
    "process_name": "a process is its watcher and a number",
}


def is_supervisord(text: str) -> bool:
    """Tell by its sections whether a text is a file of supervisord's."""
    return bool(re.search(r"^\[(supervisord\]|program:|fcgi-program:|eventlistener:)", text, re.MULTILINE))


def convert(path: str, problems: Problems) -> str:
    """Return the TOML; mistakes go to `problems`."""
    parser = configparser.RawConfigParser(strict=False)
    text = text_of(path, problems, Place(path, 1))
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        problems.error(Place(path, error.lineno), f"{error.line.strip()!r} stands before the first [section]")
        return ""
    except configparser.ParsingError as error:
        lines = text.split("\n")
        for number in _wrong_lines(error):
            wrong = lines[number - 1].strip()
            problems.error(Place(path, number), f"{wrong!r} is neither [section] nor key = value")
        return ""
    here = os.path.dirname(os.path.abspath(path))
    notes = [f"Made from {os.path.basename(path)} by bigtop convert. What has no equal is a comment."]
    tables: list[Table] = []
    for header in parser.sections():
        kind, _, name = header.partition(":")
        items = {key: _expand(without_comment(value), here, name) for key, value in parser.items(header)}
        if kind in _PROGRAM:
            tables += _program(name, items)
        elif kind == "supervisord":
            tables += _daemon(items)
        else:
            notes += ["", f"[{header}] {_OTHERS.get(kind, 'is unknown here')}:"]
            notes += [f"    {key} = {value}" for key, value in items.items()]
    return page(notes, tables)


def _wrong_lines(error: configparser.ParsingError) -> list[int]:
    """Return their numbers. Pythons differ in the text of each, and in how they tell of one alone."""
    found = [number for number, _ in getattr(error, "errors", ())]
    return found or [getattr(error, "lineno", 1)]


def without_comment(text: str) -> str:
    """Cut what follows a ; or # behind a blank, unless that is within quotes: supervisord would cut there as
    well, and refuse the quotes that are left open."""
    return _QUOTED_OR_COMMENT.sub(lambda match: match[1] or "", text).strip()


def _expand(text: str, here: str, name: str) -> str:
    known = {"here": here, "program_name": name, "process_num": "$(circus.wid)", "group_name": name}

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%"
        if match[1].startswith("ENV_"):
            return f"$(circus.env.{match[1][4:]})"
        return known.get(match[1], match[0])

    return _EXPANSION.sub(one, text)


# ---- [supervisord]


def _daemon(items: Mapping[str, str]) -> list[Table]:
    table = Table(("circus",))
    tables = [table]
    for key, text in items.items():
        match key:
            case "logfile":
                table.keys["logoutput"] = text
            case "loglevel":
                table.keys["loglevel"] = _LEVELS.get(text.lower(), text.lower())
            case "pidfile" | "umask":
                table.keys[key] = text
            case "environment":
                tables += _environment(("env",), text, table.notes)
            case _:
                table.notes.append(_no_equal(key, text))
    return tables


def _no_equal(key: str, text: str) -> str:
    return no_equal(f"{key} = {text}", _NEEDLESS.get(key, ""))


_PAIR = re.compile(r"""\s*([^\s=,"']+)\s*=\s*("[^"]*"|'[^']*'|[^,"']*?)\s*(?:,|$)""")


def _environment(path: tuple[str, ...], text: str, notes: list[str]) -> list[Table]:
    """KEY="value",KEY2=value"""
    pairs: dict[str, Literal] = {}
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            notes.append(f"neither supervisord nor Bigtop can read this: environment = {text}")
            break
        value = pair[2][1:-1] if pair[2][:1] in ("'", '"') else pair[2]
        pairs[pair[1]] = with_dollars(value)
        position = pair.end()
    return [Table(path, pairs)] if pairs else []


# ---- [program:x]


def _switch(text: str) -> bool:
    return SWITCH_WORDS.get(text.lower(), False)


def _number(text: str) -> Literal:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text


def _size(text: str) -> Literal:
    match = re.fullmatch(r"([0-9]{1,12})\s*([kmg]b)?", text.lower())
    return int(match[1]) * _SIZES.get(match[2], 1) if match else text


def _text(text: str) -> Literal:
    return text


def _respawn(text: str) -> Literal:
    return "unexpected" if text.lower() == "unexpected" else "yes" if _switch(text) else "no"


def _statuses(text: str) -> Literal:
    return [part.strip() for part in text.split(",") if part.strip()]


def _earlier_is_higher(text: str) -> Literal:
    return 999 - int(text) if re.fullmatch(r"[0-9]{1,6}", text) else text


# supervisord's key -> ours, and what becomes of the value
_PLAIN: Mapping[str, tuple[str, Callable[[str], Literal]]] = {
    "command": ("cmd", _text),
    "numprocs": ("numprocesses", _number),
    "priority": ("priority", _earlier_is_higher),
    "autostart": ("autostart", _switch),
    "autorestart": ("respawn", _respawn),
    "exitcodes": ("expected_exits", _statuses),
    "stopsignal": ("stop_signal", _text),
    "stopwaitsecs": ("graceful_timeout", _number),
    "stopasgroup": ("stop_children", _switch),
    "user": ("uid", _text),
    "directory": ("working_dir", _text),
    "umask": ("umask", _text),
}
_STREAM: Mapping[str, tuple[str, Callable[[str], Literal]]] = {
    "logfile": ("filename", _text),
    "logfile_maxbytes": ("max_bytes", _size),
    "logfile_backups": ("backup_count", _number),
}


def _program(name: str, items: Mapping[str, str]) -> list[Table]:
    table = Table(("watcher", name), {"cmd": "", "copy_env": True})
    # Syslog comes last: it takes the place of the file that an output has as well.
    for key, text in sorted({**_DEFAULTS, **items}.items(), key=lambda item: item[0].endswith("_syslog")):
        if key not in (*_SEEN_TO, *_SOCKET):
            _program_key(table, key, text)
    if "$(circus.wid)" in items.get("command", ""):
        table.notes.append(
            "$(circus.wid) counts from 1 and knows no leading zeros; process_num counted from 0."
        )
    if _switch(items.get("redirect_stderr", "no")):
        table.notes.append("stderr went where stdout goes.")
        if "stdout_stream" in table.inner:
            table.inner["stderr_stream"] = dict(table.inner["stdout_stream"])
    tables = [table]
    if "socket" in items:
        table.keys["stdin_socket"] = name.lower()
        tables.insert(0, _socket(name, items))
    if "environment" in items:
        tables += _environment(("env", name), items["environment"], table.notes)
    return tables


def _program_key(table: Table, key: str, text: str) -> None:
    side, _, rest = key.partition("_")
    if key in _PLAIN:
        ours, value = _PLAIN[key]
        table.keys[ours] = value(text)
    elif key == "startsecs":
        table.keys["ready"] = f"delay:{text}" if text != "0" else "spawn"
    elif key == "startretries":
        table.put("flapping", "max_retry", _number(text))
    elif key in ("stdout_syslog", "stderr_syslog"):
        if _switch(text):
            _syslog(table, side)
    elif side in ("stdout", "stderr") and rest in _STREAM:
        _stream(table, side, rest, text)
    else:
        table.notes.append(_no_equal(key, text))


def _syslog(table: Table, side: str) -> None:
    stream = f"{side}_stream"
    if filename := table.inner.get(stream, {}).get("filename"):
        table.notes.append(f"an output goes to one place, now to syslog: {side}_logfile = {filename}")
    table.keys.pop(f"close_child_{side}", None)
    table.inner[stream] = {"class": "syslog"}


def _stream(table: Table, side: str, rest: str, text: str) -> None:
    stream = f"{side}_stream"
    if rest != "logfile":
        ours, value = _STREAM[rest]
        if text != "0" and stream in table.inner:
            table.put(stream, ours, value(text))
    elif text.upper() == "NONE":
        table.keys[f"close_child_{side}"] = True
    elif text.upper() != "AUTO" and text not in ("/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2"):
        table.put(stream, "class", "FileStream")
        table.put(stream, "filename", text)


def _socket(name: str, items: Mapping[str, str]) -> Table:
    """unix:///path or tcp://host:port, and who may connect"""
    table = Table(("socket", name))
    scheme, _, rest = items["socket"].partition("://")
    if scheme == "unix":
        owner, _, group = items.get("socket_owner", items.get("user", "")).partition(":")
        access = {"mode": items.get("socket_mode", "0700"), "owner": owner, "group": group}
        table.keys |= {"path": rest, **{key: value for key, value in access.items() if value}}
    else:
        host, _, port = rest.rpartition(":")
        table.keys |= {"host": host, "port": _number(port)}
        for key in ("socket_mode", "socket_owner"):
            if key in items:
                table.notes.append(f"{key} = {items[key]} is for unix sockets.")
    if "socket_backlog" in items:
        table.keys["backlog"] = _number(items["socket_backlog"])
    return table
