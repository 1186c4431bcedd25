# Registry: the nodes of a cluster, what each says, and who lives, as the leading controller knows it.
#
# Rule: what a node says of itself is data. What does not fit is dropped, and is told once. That there was a
# higher epoch counts if the signer of that says so: one node cannot have leaders change.

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from bigtop.cluster.keys import ForgedError, opened
from bigtop.cluster.places import Cluster
from bigtop.cluster.policy.allowance import Allowance
from bigtop.cluster.policy.detector import Beat, Detector
from bigtop.cluster.policy.member import Condition, Figures, Load, Member, Report, up_to_date
from bigtop.errors import one_line
from bigtop.log import logger as get_logger
from bigtop.record import Record, as_dict

logger = get_logger("bigtop.cluster")

_LARGEST: Final = 64 << 10  # bytes of a beat
_HIGHEST: Final = 1 << 53  # of what a node says by itself
_MOST: Final = 256  # applications, or watchers, of a node
_LONGEST_NAME: Final = 200  # characters
_NONSENSE: Final = (ValueError, ArithmeticError, KeyError, TypeError, AttributeError, RecursionError)
_LONGEST: Final = 2000  # characters of why something went wrong


class Node(Record):
    """What the store knows of a node. `issued` is when its newest claims were, in seconds since 1970."""

    key: str  # public
    tags: tuple[str, ...] = ()
    cordoned: bool = False
    issued: int = 0


class _Said(Record):
    """One beat, taken apart. `connection` is its number in the hub."""

    beat: Beat
    epoch: int
    connection: int
    version: str
    reports: Mapping[str, Report]
    watchers: Mapping[str, tuple[str, int, int]]  # state, wanted, ready
    loads: Mapping[str, Load]


class Registry:
    """Of one leader, since `now`."""

    def __init__(self, nodes: Mapping[str, Node], now: float, cluster: Cluster) -> None:
        self.nodes = dict(nodes)
        self.highest_epoch = 0  # that a node has heard of
        self._cluster = cluster
        self._detector = Detector()
        self._detector.expect(nodes, now)
        self._names = {node.key: name for name, node in nodes.items()}
        self._said: dict[str, _Said] = {}
        self._members: dict[str, dict[str, Member]] = {}  # by application, as they were asked for last
        self._odd: set[str] = set()
        self._allowance, self._loud = Allowance(), set[str]()

    def heard(self, node: str, data: bytes, now: float) -> bool:
        """Take a beat in; whether it was news."""
        if node not in self.nodes:
            return False
        if not self._allowance.take(node, now):
            if node not in self._loud:
                self._loud.add(node)
                logger.warning("%s beats more often than it is heard", node)
            return False
        try:
            said = self._read(node, data)
        except (*_NONSENSE, ForgedError) as error:
            if node not in self._odd:
                self._odd.add(node)
                logger.warning("%s says what makes no sense: %r", node, error)
            return False
        if not self._detector.heard(said.beat, now):
            return False
        self._said[node] = said
        self.highest_epoch = max(self.highest_epoch, said.epoch)
        return True

    def _read(self, node: str, data: bytes) -> _Said:
        if len(data) > _LARGEST:
            raise ValueError(f"{len(data)} bytes")
        said = json.loads(data)
        for word in ("apps", "watchers", "loads"):
            _check_names(said.get(word, {}))
        return _Said(
            Beat(node, str(said["boot"])[:64], _count(said["sequence"])),
            self._proved(str(said["epoch"])),
            _count(said.get("connection", 0)),
            one_line(str(said["version"])[:64]),
            {one_line(str(app)): _report(one) for app, one in said["apps"].items()},
            {
                one_line(str(name)): (one_line(str(state))[:64], _count(wanted), _count(ready))
                for name, (state, wanted, ready) in said["watchers"].items()
            },
            {one_line(str(app)): _load(one) for app, one in said.get("loads", {}).items()},
        )

    def _proved(self, seal: str) -> int:
        """Return the epoch that a leader sealed. ForgedError: none did."""
        if not seal:
            return 0
        if int(json.loads(json.loads(seal)["body"])["epoch"]) <= self.highest_epoch:
            return 0  # nothing hangs on it
        body = opened(seal.encode(), {self._cluster.signer})
        if body["kind"] != "epoch" or body["cluster"] != self._cluster.name:
            raise ForgedError("this seals no epoch")
        return int(body["epoch"])

    def know(self, name: str, node: Node) -> None:
        """A node is new, or is another one now."""
        self.nodes[name] = node
        self._names[node.key] = name

    def left(self, node: str, now: float) -> None:
        self._detector.left(node, now)

    def cut(self, key: str, connection: int, now: float) -> None:
        """A hub lost a connection: it counts if that is the one that the node spoke by."""
        node = self._names.get(key)
        if node in self._said and self._said[node].connection == connection:
            logger.info("%s: its connection is gone", node)
            self._detector.left(node, now)

    def forget(self, node: str) -> None:
        self._names.pop(self.nodes.pop(node).key, None)
        self._said.pop(node, None)
        self._odd.discard(node)
        self._loud.discard(node)
        self._allowance.forget(node)
        self._detector.forget(node)
        for known in self._members.values():
            known.pop(node, None)

    def members(self, app: str, now: float) -> dict[str, Member]:
        """Return all nodes; one that is as it was is the same object."""
        known, liveness_of = self._members.setdefault(app, {}), self._detector.liveness
        for name, node in self.nodes.items():
            said = self._said.get(name)
            report = said.reports.get(app) if said is not None else None
            liveness = liveness_of(name, now)
            known[name] = up_to_date(known.get(name), name, node.tags, liveness, node.cordoned, report)
        return dict(known)

    def number(self, app: str) -> int:
        """Return the highest number of an assignment that any node has heard of."""
        return max((one.reports[app].number for one in self._said.values() if app in one.reports), default=0)

    def told(self, now: float) -> dict[str, Any]:
        """Return all of it for people."""
        return {name: self._told(name, node, now) for name, node in sorted(self.nodes.items())}

    def _told(self, name: str, node: Node, now: float) -> dict[str, Any]:
        said = self._said.get(name)
        alarms = ["two agents answer to this name"] if self._detector.is_doubled(name) else []
        return {
            "state": self._detector.liveness(name, now).value,
            "tags": list(node.tags),
            "cordoned": node.cordoned,
            "version": said.version if said else "",
            "apps": {app: _plain(one) for app, one in said.reports.items()} if said else {},
            "watchers": {one: list(figures) for one, figures in said.watchers.items()} if said else {},
            "loads": {app: as_dict(one) for app, one in said.loads.items()} if said else {},
            "alarms": alarms,
        }


def clean(text: str) -> str:
    """Return what can be shown on a terminal, whoever wrote it."""
    return "\n".join(map(one_line, text[:_LONGEST].splitlines()))


def _check_names(said: Mapping[str, Any]) -> None:
    if len(said) > _MOST or any(len(name) > _LONGEST_NAME for name in said):
        raise ValueError(f"more than {_MOST} names, or longer ones than {_LONGEST_NAME}")


def _count(value: object) -> int:
    number = int(value)  # type: ignore[call-overload]
    if not 0 <= number < _HIGHEST:
        raise ValueError(f"{value!r} is no count")
    return int(number)


def _measured(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not (isfinite(number) and number >= 0):
        raise ValueError(f"{value!r} can be no measure")
    return number


def _report(said: Mapping[str, Any]) -> Report:
    figures = said["figures"]
    return Report(
        _count(said["number"]),
        _count(said["revision"]),
        Condition(said["condition"]),
        clean(str(said["why"])),
        Figures(
            _count(figures["requests"]),
            _count(figures["errors"]),
            _measured(figures["p99"]),
            _count(figures["respawns"]),
        ),
    )


def _load(said: Mapping[str, Any]) -> Load:
    rate, errors, p99 = (
        None if said[key] is None else _measured(said[key]) for key in ("rate", "errors", "p99")
    )
    return Load(_count(said["busy"]), _count(said["places"]), rate, errors, p99)


def _plain(report: Report) -> dict[str, Any]:
    return {**as_dict(report), "condition": report.condition.value}
