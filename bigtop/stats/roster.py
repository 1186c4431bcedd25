# Roster: who runs, as the supervisor tells the stats process.
#
# It has watchers with their processes, and sockets with those who accept at them.
#
# Rules: pure. The stats process asks, one line at a time, and says which state it knows; the supervisor
# answers with a newer one, or that there is none. So nothing is sent while nobody looks, and a stats process
# that is started anew, or was too slow to read an answer, needs no more than to ask again. A question begins
# with a word that its answer begins with, too: what an earlier process asked is not taken for an answer.

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from bigtop.record import Record, field
from bigtop.supervisor.policy.messages import Ending
from bigtop.supervisor.policy.tally import WatcherTally

SAME = "same"


class Process(Record):
    """One process."""

    pid: int
    wid: int


class Standing(Record):
    """How a watcher stands. `status` is that of its machine, in small letters, or "stopping" from the moment
    on when its stop was asked for; `metrics` the folder in which its workers count for prometheus_client, ""
    for none."""

    is_app: bool = False
    status: str = "stopped"
    wanted: int = 0
    ready: int = 0
    has_started: bool = False  # was whole once
    metrics: str = ""
    threads: int = 1  # calls that each worker of an application can run at once


class Group(Record):
    """One watcher. `dropped` are lines of its output that there was no room for."""

    name: str
    processes: tuple[Process, ...]
    standing: Standing = Standing()
    tally: WatcherTally = field(default_factory=WatcherTally)
    dropped: int = 0


class Listener(Record):
    """One listening socket. `served`: by which watchers, and which of their listeners it is."""

    fd: int
    inode: int
    address: str
    served: tuple[tuple[str, int], ...] = ()


class Roster(Record):
    """All of it. `own` are processes of Bigtop itself, by pid, with their names; the supervisor's is the
    first."""

    version: int
    own: tuple[tuple[int, str], ...]
    groups: tuple[Group, ...] = ()
    listeners: tuple[Listener, ...] = ()


def question(word: str, known: int) -> bytes:
    return f"{word} {known}\n".encode()


def read_question(line: bytes) -> tuple[str, int] | None:
    """Return the word and what is known; None for what is no question."""
    word, _, known = line.decode("ascii", "replace").strip().partition(" ")
    return (word, int(known)) if word and known.isascii() and known.isdecimal() else None


def answer(word: str, roster: Roster | None) -> bytes:
    """Return the line that answers; None: nothing is new."""
    return f"{word} {SAME if roster is None else json.dumps(_plain(roster))}\n".encode()


def read_answer(word: str, line: bytes) -> Roster | str | None:
    """Return the roster, or SAME; None for what does not answer the question that began with `word`."""
    said, _, text = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
    if said != word:
        return None
    if text == SAME:
        return SAME
    try:
        return _roster(json.loads(text))
    except (ValueError, TypeError):  # another stats process, which is about to end, has read a part of it
        return None


def _plain(roster: Roster) -> object:
    groups = [
        [
            group.name,
            [(one.pid, one.wid) for one in group.processes],
            _standing(group),
            _tally(group.tally),
            group.dropped,
        ]
        for group in roster.groups
    ]
    listeners = [[one.fd, one.inode, one.address, one.served] for one in roster.listeners]
    return [roster.version, roster.own, groups, listeners]


def _standing(group: Group) -> list[object]:
    one = group.standing
    return [one.is_app, one.status, one.wanted, one.ready, one.has_started, one.metrics, one.threads]


def _tally(tally: WatcherTally) -> list[object]:
    exits = {ending.value: count for ending, count in tally.exits.items()}
    return [tally.starts, exits, tally.reloads, tally.failed_reloads, tally.reloaded_at, tally.generation]


def _counted(plain: Any) -> WatcherTally:
    starts, exits, *rest = plain
    return WatcherTally(starts, Counter({Ending(reason): count for reason, count in exits.items()}), *rest)


def _roster(plain: Any) -> Roster:
    version, own, groups, listeners = plain
    return Roster(
        version,
        tuple(map(tuple, own)),
        tuple(
            Group(
                name,
                tuple(Process(*numbers) for numbers in processes),
                Standing(*standing),
                _counted(tally),
                dropped,
            )
            for name, processes, standing, tally, dropped in groups
        ),
        tuple(
            Listener(fd, inode, address, tuple(map(tuple, served)))
            for fd, inode, address, served in listeners
        ),
    )
