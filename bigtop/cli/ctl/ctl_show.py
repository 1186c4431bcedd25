# Replies for people to read.
#
# Rule: pure, and never in the way: a reply that has no picture here is shown as KEY VALUE lines.

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bigtop.cli.ctl import ctl_inspect
from bigtop.cli.ctl.ctl_table import span, table

Reply = Mapping[str, Any]

_COLUMNS = ("pid", "cmdline", "username", "nice", "mem_info1", "mem_info2", "cpu", "mem", "ctime")
_HEADINGS = (
    "WATCHER",
    "WID",
    "PID",
    "PROGRAM",
    "USER",
    "NICE",
    "RSS",
    "VIRTUAL",
    "CPU%",
    "MEM%",
    "TIME",
    "AGE",
)


def reply(word: str, answer: Reply) -> str:
    """Return what `bigtop ctl` prints for the reply to the command `word`."""
    rest = {key: value for key, value in answer.items() if key not in ("time", "killed", "overtaken")}
    return "\n".join([_picture(word, rest), *answer.get("killed", ()), *answer.get("overtaken", ())])


def _picture(word: str, rest: dict[str, Any]) -> str:
    if word in _PICTURES:
        return _PICTURES[word](rest)
    rest.pop("status", None)
    return _pairs(rest) if any(value is not None for value in rest.values()) else "ok"


def line(output: Reply) -> str:
    """Return one line of a process' output, with where it came from."""
    when = time.strftime("%H:%M:%S", time.localtime(output["time"]))
    return f"{when} {output['pid']} {output['stream']}: {output['line']}"


def _status(answer: Reply) -> str:
    if "statuses" in answer:
        return table(("WATCHER", "STATUS"), sorted(answer["statuses"].items()))
    return str(answer["status"])


def _list(answer: Reply) -> str:
    return "\n".join(str(one) for one in answer.get("watchers", answer.get("pids", ())))


_PROCESS_HEADINGS = ("WATCHER", "STATUS", "READY", "STARTS", "WID", "PID", "STATE", "GENERATION", "AGE")


def _overview(answer: Reply) -> str:
    rows: list[Sequence[object]] = []
    for one in answer["watchers"]:
        head = (one["name"], one["status"], f"{one['ready']}/{one['wanted']}", one["starts"])
        processes = [
            (proc["wid"], proc["pid"] or "", proc["state"], proc["generation"], span(proc["age"]))
            for proc in one["processes"]
        ]
        for number, cells in enumerate(processes or [("",) * 5]):
            rows.append((*(head if not number else ("",) * 4), *cells))
    return table(_PROCESS_HEADINGS, rows)


def _stats(answer: Reply) -> str:
    if "infos" in answer:
        infos = answer["infos"]
    elif "process" in answer:
        infos = {"": {str(answer["process"]): answer["info"]}}
    else:
        infos = {answer["name"]: answer["info"]}
    rows: list[Sequence[object]] = []
    for name, processes in infos.items():
        for pid, info in processes.items():
            if isinstance(info, str):
                rows.append((name, "", pid, info, *[""] * 8))
            else:
                rows.append(_figures(name, info))
                rows += [_figures("", child) for child in info["children"]]
    return table(_HEADINGS, rows)


def _daemon(answer: Reply) -> str:
    return table(_HEADINGS[2:], [_figures("", answer["info"])[2:]])


def _figures(name: str, info: Reply) -> Sequence[object]:
    age = info["age"]
    return (name, info.get("wid", ""), *(info[key] for key in _COLUMNS), span(age))


def _sockets(answer: Reply) -> str:
    rows = [
        (one["fd"], one["name"], one.get("path") or f"{one['host']}:{one['port']}", one["backlog"])
        for one in answer["sockets"]
    ]
    return table(("FD", "NAME", "ADDRESS", "BACKLOG"), rows)


def _options(answer: Reply) -> str:
    return _pairs(answer["options"])


def _pairs(values: Reply) -> str:
    rows = [(key, "" if value is None else value) for key, value in values.items()]
    width = max((len(key) for key, _ in rows), default=0)
    return "\n".join(f"{key:<{width}}  {value}".rstrip() for key, value in rows)


def _count(answer: Reply) -> str:
    if "singleton" in answer:
        return "a singleton: its number of processes stays"
    return str(answer.get("numprocesses", answer.get("numwatchers", "ok")))


def _explained(answer: Reply) -> str:
    if "bounds" not in answer:
        return f"{answer['numprocesses']}: that is the number that was asked for"
    rows = [(span(one["seconds"]), one["numprocesses"], one["reason"]) for one in answer["decisions"]]
    lines = [f"{answer['numprocesses']} of {answer['bounds']}"]
    if answer["held"]:
        lines.append(f"not more: {answer['held']}")
    return "\n".join([*lines, table(("AGO", "PROCESSES", "WHY"), rows)] if rows else lines)


def _tail(answer: Reply) -> str:
    return "\n".join(line(one) for one in answer["lines"]) or f"({answer.get('note', 'nothing')})"


def _changes(answer: Reply) -> str:
    info = answer.get("info") or {}
    return "; ".join(f"{key} {' '.join(map(str, pids))}" for key, pids in info.items() if pids) or "ok"


def _generations(answer: Reply) -> str:
    rows = [
        (
            *(one["watcher"], one["generation"], one["state"], one["processes"], one["pid"] or ""),
            "" if one["memory"] is None else _mebibytes(one["memory"]),
            _gain(one.get("refork")),
        )
        for one in answer["generations"]
    ]
    names = ("WATCHER", "GENERATION", "STATE", "PROCESSES", "FORK SERVER", "ITS MEMORY", "A WORKER'S")
    if not any(row[-1] for row in rows):
        return table(names[:-1], [row[:-1] for row in rows])
    return table(names, rows)


def _gain(refork: Mapping[str, int] | None) -> str:
    if refork is None:
        return ""
    steps = [refork["before"], refork["after"], *([refork["warm"]] if refork["warm"] else [])]
    return " → ".join(map(_mebibytes, steps))


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


def _steps(answer: Reply) -> str:
    return "\n".join(answer.get("steps", ())) or "ok"


def _difference(answer: Reply) -> str:
    return str(answer["diff"]).rstrip("\n") or "nothing has changed since the file was read"


_PICTURES: Mapping[str, Callable[[Reply], str]] = {
    "status": _status,
    "list": _list,
    "overview": _overview,
    "stats": _stats,
    "dstats": _daemon,
    "listsockets": _sockets,
    "options": _options,
    "get": _options,
    "globaloptions": _options,
    "numprocesses": _count,
    "numwatchers": _count,
    "incr": _count,
    "scale": _count,
    "explain": _explained,
    "decr": _count,
    "tail": _tail,
    "requests": ctl_inspect.requests,
    "recent": ctl_inspect.recent,
    "certificates": ctl_inspect.certificates,
    "cache": ctl_inspect.caches,
    "purge": ctl_inspect.purged,
    "generations": _generations,
    "stack": ctl_inspect.stack,
    "profile": ctl_inspect.profile,
    "start": _changes,
    "stop": _changes,
    "restart": _changes,
    "reload": _changes,
    "rollback": _changes,
    "reloadconfig": _steps,
    "save": _difference,
}
