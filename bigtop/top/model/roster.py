# Roster for a stats process of ours: the reply to `overview` in the words of stats/roster.py.
#
# Rule: pure.

from __future__ import annotations

from bigtop.stats.roster import Group, Listener, Process, Roster, Standing
from bigtop.top.model.node import Said


def of(overview: Said, version: int) -> Roster:
    return Roster(
        version,
        tuple((one["pid"], one["name"]) for one in overview["own"]),
        tuple(_group(one) for one in overview["watchers"] if one["kind"] != "helper"),
        tuple(
            Listener(one["fd"], one["inode"], one["address"], tuple(map(tuple, one["served"])))
            for one in overview["sockets"]
        ),
    )


def _group(watcher: Said) -> Group:
    processes = tuple(Process(one["pid"], one["wid"]) for one in watcher["processes"] if one["pid"])
    standing = Standing(watcher["kind"] == "app", watcher["status"], watcher["wanted"], watcher["ready"])
    return Group(watcher["name"], processes, standing)
