# Replies and messages as a supervisor and its stats process send them, for tests of who shows them.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bigtop.top.model.node import Node

AT = 100.0  # when all of it came


def process(pid: int | None, wid: int, state: str = "ready", **more: Any) -> dict[str, Any]:
    return {"pid": pid, "wid": wid, "state": state, "generation": 1, "age": 10.0 * wid, **more}


def watcher(
    name: str, processes: Sequence[Mapping[str, Any]] = (), kind: str = "app", **more: Any
) -> dict[str, Any]:
    ready = sum(one["state"] == "ready" for one in processes)
    return {
        "name": name,
        "kind": kind,
        "status": "active",
        "wanted": len(processes),
        "ready": ready,
        "threads": 2 if kind == "app" else None,
        "generation": 1,
        "starts": len(processes),
        "exits": {},
        "reloads": 0,
        "failed_reloads": 0,
        "dropped": 0,
        "processes": list(processes),
        **more,
    }


def overview(*watchers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "pid": 1,
        "version": "9.9",
        "stats_endpoint": None,
        "watchers": list(watchers),
        "own": [{"pid": 1, "name": "circusd"}, {"pid": 2, "name": "fork server of web"}],
        "sockets": [{"fd": 7, "inode": 70, "address": "127.0.0.1:8000", "served": [["web", 0]]}],
        **more,
    }


def request(pid: int, wid: int, path: str = "/", phase: str = "app", **more: Any) -> dict[str, Any]:
    return {
        "watcher": "web",
        "wid": wid,
        "worker": f"web/{wid}",
        "pid": pid,
        "method": "GET",
        "path": path,
        "client": "10.0.0.9",
        "id": f"{pid}-0",
        "phase": phase,
        "seconds": 1.5,
        "bytes": 0,
        **more,
    }


def figure(cpu: float = 5.0, pss: int | None = 2**20, **more: Any) -> dict[str, Any]:
    return {"cpu": cpu, "pss": pss, "rss": 2**21, "age": 20.0, **more}


def counts(rate: float | None = 12.5, p99: float | None = 0.25, **more: Any) -> dict[str, Any]:
    times = None if p99 is None else {"p50": p99 / 2, "p90": p99, "p99": p99, "max": p99}
    windows = {"10": {"seconds": 10.0, "requests_per_second": rate, "latency": times, "queue": None}}
    return {"busy": 1, "waiting": 3, "requests_per_second": rate, "windows": windows, **more}


def node(name: str = "site") -> Node:
    """Return one that knows all there is: two workers of web, which answers a request, and a command."""
    made = Node(name)
    made.begin("stats process")
    web = watcher("Web one", [process(11, 1), process(12, 2, "draining")], exits={"signal": 2, "stop": 5})
    mail = watcher("mail", [process(21, 1, generation=0)], "command", generation=0)
    helper = watcher("circusd-stats", [process(2, 1)], "helper")
    rows = [
        request(11, 1, "/report", watcher="Web one"),
        request(11, 1, "/x", watcher="Web one", seconds=9.0, id="11-0"),
    ]
    made.hear(overview(web, mail, helper), rows, AT)
    for pid, cpu in ((1, 1.0), (2, 2.0), (11, 30.0), (12, 3.0), (21, 7.0)):
        made.measure(f"stat.circus.{pid}" if pid < 3 else f"stat.any.{pid}", figure(cpu), AT)
    made.measure("stat.web_one", {"cpu": 16.5, "tree": {"cpu": 33.0, "pss": 3 * 2**20}}, AT)
    made.measure("stat.mail", {"cpu": 7.0, "tree": {"cpu": 7.0, "pss": None, "rss": 2**21}}, AT)
    made.measure("stat.sockets.7", {"fd": 7, "reads": 4, "accepted": 90, "waiting": 2, "backlog": 2048}, AT)
    made.measure("http.web_one", counts(), AT)
    made.happen("web_one", "died", {"time": 50.0, "wid": 2, "exit_code": -9, "killed": ""})
    return made
