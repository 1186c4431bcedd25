# Snapshots: what is written down is read as it was, and what a version does not know is refused.

from __future__ import annotations

import asyncio
import json
import os
import sys
from enum import Enum
from math import inf
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import CommandError
from bigtop.ipc import snapshot
from bigtop.ipc.snapshot import Descriptor, SnapshotError
from bigtop.launch.upgrading.upgrade import Attempts, Origin, Upgrade
from bigtop.record import Record
from tests.support.site import DEADLINE


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    first: object
    second: object


class Leaf(Record):
    name: str
    value: object = None


class Tree(Record):
    leaves: tuple[object, ...] = ()
    more: object = None


KNOWN = snapshot.known((Colour, Pair, Leaf, Tree))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)),  # of names that are no UTF-8
    st.binary(),
    st.sampled_from(Colour),
    st.builds(Descriptor, st.integers(0, 1000)),
)
keys = st.one_of(st.integers(), st.text(), st.sampled_from(Colour))


def _composed(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.frozensets(keys, max_size=4),
        st.builds(Leaf, st.text(), inner),
        st.builds(Pair, inner, inner),
        st.builds(Tree, st.lists(inner, max_size=3).map(tuple), inner),
    )


values = st.recursive(scalars, _composed, max_leaves=20)


@given(values)
def test_what_is_written_is_what_is_read(value: object) -> None:
    found: set[int] = set()
    text = json.dumps(snapshot.plain(value, found))
    again = snapshot.read(json.loads(text), KNOWN)
    assert again == value
    assert type(again) is type(value)
    assert found == _descriptors(value)


def _descriptors(value: object) -> set[int]:
    match value:
        case Descriptor(number):
            return {number}
        case Leaf(_, inner):
            return _descriptors(inner)
        case Tree(leaves, more):
            return _descriptors(leaves) | _descriptors(more)
        case tuple():
            return set().union(*map(_descriptors, value))
        case dict():
            return set().union(*map(_descriptors, value.values()))
    return set()


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"record": "Bush", "fields": {}}, "it holds a Bush, which this version does not know"),
        ({"record": "Leaf", "fields": {"name": "x", "colour": 1}}, "a Leaf of it is none here: .*colour"),
        ({"record": "Leaf", "fields": {}}, "a Leaf of it is none here: Leaf: name is missing"),
        ({"record": "Colour", "fields": {}}, "it holds a Colour, which is no record here"),
        ({"enum": "Colour", "member": "GREEN"}, "it holds Colour.GREEN, which this version does not know"),
        ({"enum": "Leaf", "member": "RED"}, "it holds Leaf.RED"),
        ({"named": "Pair", "values": [1]}, "a Pair of it is none here"),
        ({"named": "Leaf", "values": [1]}, "it holds a Leaf, which has other parts here"),
        ({"what": 1}, "it holds what nobody knows"),
    ],
)
def test_what_a_version_does_not_know_is_refused(written: object, reason: str) -> None:
    with pytest.raises(SnapshotError, match=reason):
        snapshot.read(written, KNOWN)


def test_fields_that_came_later_have_their_defaults() -> None:
    assert snapshot.read({"record": "Leaf", "fields": {"name": "x"}}, KNOWN) == Leaf("x")


def test_what_no_snapshot_can_hold() -> None:
    with pytest.raises(TypeError, match="a snapshot cannot hold a object"):
        snapshot.plain(object())


def test_a_file_of_it_is_sealed_and_names_its_descriptors() -> None:
    fd, found = snapshot.sealed({"limit": 30}, Tree((Descriptor(7),), inf))
    try:
        with pytest.raises(PermissionError):
            os.write(fd, b"x")
        order, state = snapshot.opened(fd, KNOWN)
        assert (order["limit"], order["fds"], found) == (30, [7], {7})
        assert state == Tree((Descriptor(7),), inf)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it cannot be read"),
        (b"[]", "it is of version None, and this Bigtop reads version 1 alone"),
        (b'{"snapshot": 2}', "it is of version 2, and this Bigtop reads version 1 alone"),
    ],
)
def test_another_version_is_refused(data: bytes, reason: str) -> None:
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        with pytest.raises(SnapshotError, match=reason):
            snapshot.opened(fd, KNOWN)
    finally:
        os.close(fd)


def test_what_cannot_be_written_down_refuses_the_upgrade_and_leaves_nobody_waiting() -> None:
    started = Origin((sys.executable, "-m", "bigtop"), (), (), {}, os.getcwd())
    attempts = Attempts()

    async def tried() -> None:
        upgrade = Upgrade(started, lambda: Tree(more=object()), attempts)
        with pytest.raises(CommandError, match="a snapshot cannot hold a object"):
            await asyncio.wait_for(upgrade.begin(), DEADLINE)

    asyncio.run(tried())
    assert (attempts.count, attempts.refused) == (1, "TypeError: a snapshot cannot hold a object")
