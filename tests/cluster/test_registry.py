# What a leader takes from nodes, who may be anybody by now, and what it drops.

from __future__ import annotations

import json
from typing import Any

import pytest

from bigtop.cluster.keys import USER, KeyPair
from bigtop.cluster.places import Cluster
from bigtop.cluster.policy.allowance import BURST, RATE, Allowance
from bigtop.cluster.policy.member import Condition, Liveness
from bigtop.cluster.registry import Node, Registry, clean

SIGNER = KeyPair.made(USER)
FIGURES = {"requests": 100, "errors": 1, "p99": 0.1, "respawns": 0}
REPORT = {"number": 3, "revision": 2, "condition": "applied", "why": "", "figures": FIGURES}
BEAT: dict[str, Any] = {
    "boot": "x",
    "sequence": 1,
    "version": "1.0",
    "epoch": "",
    "connection": 7,
    "apps": {"site": REPORT},
    "watchers": {"site": ["active", 2, 2]},
}


def registry() -> Registry:
    nodes = {"one": Node("K1", ("web",)), "two": Node("K2")}
    return Registry(nodes, 0.0, Cluster("test", ("nats://h",), SIGNER.public))


def heard(known: Registry, **said: Any) -> bool:
    return known.heard("one", json.dumps({**BEAT, **said}).encode(), 1.0)


def sealed(epoch: object, cluster: str = "test", by: KeyPair = SIGNER) -> str:
    return by.signed({"kind": "epoch", "cluster": cluster, "epoch": epoch}).decode()


def test_a_beat_is_taken_apart() -> None:
    known = registry()
    assert heard(known)
    (member, _) = known.members("site", 1.0).values()
    assert member.report is not None
    assert (member.report.number, member.report.condition) == (3, Condition.APPLIED)
    told = known.told(1.0)["one"]
    assert told["apps"] == {"site": REPORT}
    assert (told["state"], told["version"], told["watchers"]) == ("alive", "1.0", {"site": ["active", 2, 2]})
    assert known.number("site") == 3
    assert not known.heard("stranger", json.dumps(BEAT).encode(), 1.0)


def test_who_is_as_before_is_the_same_member_and_who_changed_is_another() -> None:
    known = registry()
    heard(known)
    first = known.members("site", 1.0)
    assert all(known.members("site", 2.0)[name] is one for name, one in first.items())
    known.know("two", Node("K2", ("jobs",)))
    assert known.members("site", 2.0)["two"].tags == ("jobs",)
    known.know("two", Node("K2", ("jobs",), cordoned=True))
    assert known.members("site", 2.0)["two"].cordoned
    assert known.members("site", 16.0)["one"].liveness is Liveness.SUSPECT
    heard(known, sequence=2, apps={"site": {**REPORT, "number": 4}})
    report = known.members("site", 2.0)["one"].report
    assert report is not None
    assert report.number == 4
    known.forget("one")
    assert list(known.members("site", 2.0)) == ["two"]
    known.know("one", Node("K9"))
    assert known.members("site", 2.0)["one"].report is None, "another one by this name"


def odd(**report: Any) -> dict[str, Any]:
    return {"apps": {"site": {**REPORT, **report}}}


@pytest.mark.parametrize(
    "said",
    [
        {"sequence": -1},
        {"sequence": 1 << 60},
        {"sequence": "1e9"},
        {"apps": []},
        {"watchers": {"site": ["active"]}},
        {"watchers": {"site": ["active", 1, float("inf")]}},
        {"version": "x" * 100_000},
        odd(number=1 << 53),
        odd(number=-1),
        odd(condition="fine"),
        odd(figures={**FIGURES, "p99": float("nan")}),
        odd(figures={**FIGURES, "p99": float("inf")}),
        odd(figures={**FIGURES, "p99": -1}),
        odd(figures={**FIGURES, "requests": -5}),
        odd(figures={**FIGURES, "errors": None}),
        {"loads": {"site": {"busy": 1, "places": 2, "rate": float("nan"), "errors": None, "p99": None}}},
        {"loads": {"site": {"busy": -1, "places": 2, "rate": None, "errors": None, "p99": None}}},
        {"apps": {f"a{number}": REPORT for number in range(257)}},
        {"watchers": {f"w{number}": ["active", 1, 1] for number in range(257)}},
        {"watchers": {"w" * 201: ["active", 1, 1]}},
        {"epoch": 7},
        {"epoch": "x"},
        {"epoch": sealed(7, by=KeyPair.made(USER))},
        {"epoch": sealed(7, cluster="other")},
        {"epoch": sealed("x")},
        {"epoch": SIGNER.signed({"kind": "assign", "cluster": "test", "epoch": 7}).decode()},
    ],
)
def test_a_beat_that_makes_no_sense_counts_for_nothing(
    said: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    known = registry()
    assert not heard(known, **said)
    assert not heard(known, **said)
    assert (known.highest_epoch, known.number("site")) == (0, 0)
    assert known.told(1.0)["one"]["state"] == "suspect"
    assert caplog.text.count("one says what makes no sense") == 1


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"1", b"\xff", b"[" * 30_000, b"9" * 9000, b'"x"'])
def test_what_is_no_beat_counts_for_nothing(data: bytes) -> None:
    known = registry()
    assert not known.heard("one", data, 1.0)


def test_an_epoch_counts_by_the_seal_of_who_began_it() -> None:
    known = registry()
    assert heard(known, epoch=sealed(7))
    assert known.highest_epoch == 7
    assert heard(known, epoch=sealed(3), sequence=2), "one that slept"
    assert known.highest_epoch == 7


def test_a_connection_that_is_gone_is_that_of_the_last_beat_or_means_nothing() -> None:
    known = registry()
    known.cut("K1", 7, 1.0)
    heard(known)
    for key, number in (("K1", 6), ("K2", 7), ("K3", 7)):
        known.cut(key, number, 1.0)
        assert known.told(1.0)["one"]["state"] == "alive"
    known.cut("K1", 7, 1.0)
    assert known.told(1.0)["one"]["state"] == "suspect"
    assert heard(known, sequence=2, connection=8)
    assert known.told(1.0)["one"]["state"] == "alive"
    known.forget("one")
    known.cut("K1", 8, 1.0)
    assert list(known.told(1.0)) == ["two"]
    known.know("one", Node("K9"))
    assert known.told(1.0)["one"]["apps"] == {}, "another one by this name"


def test_nothing_that_a_node_says_moves_a_cursor() -> None:
    known = registry()
    wild = "\x1b[2J\u202eevil"
    said = {
        "version": wild,
        "watchers": {wild: [wild, 1, 1]},
        "apps": {wild: {**REPORT, "why": f"{wild}\nb"}},
    }
    assert heard(known, **said)

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for pair in value.items() for one in pair for text in texts(one)]
        return [text for one in value for text in texts(one)] if isinstance(value, list) else [str(value)]

    assert all(text.replace("\n", "").isprintable() for text in texts(known.told(1.0)))
    assert clean("a\x00\nb" + "x" * 5000) == "a\\x00\nb" + "x" * 1996


def test_a_node_is_heard_so_often_and_not_more_and_others_as_before() -> None:
    allowance = Allowance(burst=3, rate=2)
    assert [allowance.take("loud", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert allowance.take("calm", 0.0)
    assert not allowance.take("loud", 0.4)
    assert [allowance.take("loud", 0.5) for _ in range(2)] == [True, False]
    assert sum(allowance.take("loud", 100.0) for _ in range(9)) == 3, "who was silent gets no more than that"
    allowance.forget("loud")
    assert allowance.take("loud", 100.0)


def test_who_beats_a_thousand_times_a_second_is_read_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    known, seconds = registry(), 60
    read = sum(
        known.heard("one", json.dumps({**BEAT, "sequence": number + 1}).encode(), number / 1000)
        for number in range(1000 * seconds)
    )
    assert BURST + RATE * (seconds - 1) <= read <= BURST + RATE * seconds
    assert known.told(seconds)["one"]["state"] == "alive"
    assert caplog.text.count("one beats more often than it is heard") == 1
    assert known.heard("two", json.dumps(BEAT).encode(), seconds)
