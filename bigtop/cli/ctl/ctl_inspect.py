# Requests, stacks and profiles for people to read: `bigtop ctl requests`, `recent`, `stack`, `profile`.
#
# Rule: pure. What comes over the control channel has no control characters: the supervisor sees to that.

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bigtop.cli.ctl.ctl_table import short, size, table

Reply = Mapping[str, Any]

_HOTTEST = 15
_OF_REQUEST = "METHOD", "PATH", "CLIENT", "BYTES", "ID"


def _of_request(row: Reply) -> tuple[object, ...]:
    return row["method"], row["path"], row["client"], size(row["bytes"]), row["id"]


def requests(answer: Reply) -> str:
    rows = [
        (
            row["worker"],
            row["pid"],
            short(row["seconds"]),
            row["phase"],
            *_of_request(row),
        )
        for row in answer["requests"]
    ]
    return table(("WORKER", "PID", "AGE", "PHASE", *_OF_REQUEST), rows)


def recent(answer: Reply) -> str:
    has_routes = any(row.get("route") for row in answer["requests"])
    rows = [
        (
            time.strftime("%H:%M:%S", time.localtime(row["ended"])),
            row["worker"],
            short(row["seconds"]),
            row["status_code"],
            *_of_request(row),
            *([row.get("route", "")] if has_routes else ()),
        )
        for row in answer["requests"]
    ]
    more = ("ROUTE",) if has_routes else ()
    return table(("ENDED", "WORKER", "TOOK", "STATUS", *_OF_REQUEST, *more), rows)


def certificates(answer: Reply) -> str:
    rows = [
        (
            one["watcher"],
            one["file"],
            " ".join(one["names"]),
            one["key"],
            one["issuer"],
            "none yet" if one["days"] is None else one["days"],
            _when(one["next_try"]),
            " ".join(map(str, one["workers"])) or "none",
            " ".join(map(str, one["behind"])),
        )
        for one in answer["certificates"]
    ]
    shown = table(
        ("WATCHER", "FILE", "NAMES", "KEY", "ISSUER", "DAYS", "NEXT TRY", "WORKERS", "BEHIND"), rows
    )
    problems = dict.fromkeys(one["problem"] for one in answer["certificates"] if one["problem"])
    for one in answer["certificates"]:
        if one["failures"]:
            times = f"{one['failures']} time{'s' if one['failures'] > 1 else ''} in a row"
            problems[f"{one['file']} failed {times}: {one['error']}"] = None
            problems.update(dict.fromkeys(f"  {hint}" for hint in one["hints"]))
    return "\n".join([shown, *problems]) if rows else "no certificates"


def caches(answer: Reply) -> str:
    words = "hits", "stale", "misses", "passed", "stored", "evicted"
    rows = [
        (one["watcher"], f"{size(one['bytes'])} of {size(one['size'])}", *[one[word] for word in words])
        for one in answer["caches"]
    ]
    return table(("WATCHER", "USED", *map(str.upper, words)), rows) if rows else "no caches"


def purged(answer: Reply) -> str:
    return "\n".join(f"{name}: {number} forgotten" for name, number in answer["purged"].items())


def _when(at: float | None) -> str:
    """Return a time, as long as there is any."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def stack(answer: Reply) -> str:
    parts = [f"{answer['worker']} (pid {answer['pid']})"]
    if answer["note"]:
        parts.append(answer["note"])
    shown = {one["tid"] for one in answer["stacks"]}
    told = {(one["request"] or {}).get("id") for one in answer["stacks"]}
    loose = [row for row in answer["requests"] if not row["id"] or row["id"] not in told]
    if loose and answer["author"] != "python":
        parts.append("\n".join(["requests:", *(f"  {_request(row)}" for row in loose)]))
    parts += [_stack(one) for one in answer["stacks"]]
    if answer.get("text"):
        parts.append(answer["text"])
    if answer["left_out"]:
        parts.append(f"and {answer['left_out']} stacks more")
    others = [one for one in answer["threads"] if one["tid"] not in shown]
    if others:
        lines = [f"  {one['tid']}  {one['name']:<16} {one['waits']}" for one in others]
        parts.append("\n".join(["threads, as the kernel sees them:", *lines]))
    return "\n\n".join(parts)


def _stack(one: Reply) -> str:
    number = f" {one['tid']}" if one["tid"] else ""
    name = f" {one['name']}" if one["name"] else ""
    facts = [_request(one["request"]) if one["request"] else "", one["note"], one["waits"]]
    head = f"{one['kind']}{number}{name}: {', '.join(filter(None, facts))}".rstrip(": ")
    return "\n".join([head, *(_frame(frame) for frame in one["frames"])])


def _request(row: Reply) -> str:
    text = f"{row['method']} {row['path']}"
    if row["seconds"] is not None:
        text += f", {row['phase']} for {short(row['seconds'])}"
    return text + (f" ({row['id']})" if row["id"] else "")


def _frame(frame: Reply) -> str:
    where = f"  {frame['file']}:{frame['line']}" if frame["file"] else ""
    return f"    {frame['function']}{where}"


def profile(answer: Reply) -> str:
    """Return the functions in which most of the time was spent, and those that most stacks pass through."""
    stacks: Mapping[str, int] = answer["stacks"]
    total = sum(stacks.values()) or 1
    own: Counter[str] = Counter()
    all_below: Counter[str] = Counter()
    for words, count in stacks.items():
        frames = words.split(";")[1:]
        own[frames[-1] if frames else words] += count
        for frame in set(frames):
            all_below[frame] += count
    rows = [
        (f"{100 * count / total:.1f}%", f"{100 * all_below[name] / total:.1f}%", name)
        for name, count in own.most_common(_HOTTEST)
    ]
    head = f"{answer['worker']} (pid {answer['pid']}): {answer['looks']} looks in {answer['seconds']} s"
    return f"{head}\n\n{table(('SELF', 'TOTAL', 'FUNCTION'), rows)}"


def collapsed(stacks: Mapping[str, int]) -> str:
    """Return a line for each stack, as tools for flame graphs read them: frames joined by ";", a count."""
    return "".join(f"{words} {count}\n" for words, count in _sorted(stacks))


def _sorted(stacks: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return sorted(stacks.items())
