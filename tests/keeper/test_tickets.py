# Secrets of session tickets: the same on all machines of a storage, in time, and gone behind their turn.

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigtop.ipc.keyring import TURN, TicketSecret
from bigtop.keeper import leases, tickets
from bigtop.keeper.storage import Storage

NOW = 1_800_000_000.0 // TURN * TURN
FIRST = int(NOW // TURN)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "tls"))


def turns(found: Sequence[TicketSecret]) -> list[int]:
    return [one.since for one in found]


def test_all_machines_have_the_same_before_they_count(storage: Storage) -> None:
    assert tickets.read(storage, NOW) == ()
    one = tickets.provide(storage, NOW)
    other = tickets.provide(Storage(storage.path), NOW + 5)
    assert one == other == tickets.read(storage, NOW)
    assert turns(one) == [FIRST, FIRST + 1]
    assert len({secret.secret for secret in one}) == 2
    later = tickets.provide(storage, NOW + TURN)
    assert (turns(later), later[0]) == ([FIRST + 1, FIRST + 2], one[1])


def test_what_had_its_turn_is_gone(storage: Storage) -> None:
    tickets.provide(storage, NOW)
    tickets.provide(storage, NOW + TURN)  # another clock may be late
    assert storage.names(tickets.FOLDER) == [str(FIRST + number) for number in range(3)]
    tickets.provide(storage, NOW + TURN + 90)
    assert storage.names(tickets.FOLDER) == [str(FIRST + number) for number in (1, 2)]


def test_one_machine_at_a_time_makes_them(storage: Storage) -> None:
    lease = leases.take(storage, "-tickets", NOW)
    assert lease is not None
    assert tickets.provide(storage, NOW) == ()
    lease.release()
    assert turns(tickets.provide(storage, NOW)) == [FIRST, FIRST + 1]


@pytest.mark.parametrize("content", [b"", b"x", b"# sha256 0\nx"])
def test_what_is_damaged_is_made_anew(content: bytes, storage: Storage) -> None:
    before = tickets.provide(storage, NOW)
    Path(storage.place(f"{tickets.FOLDER}/{FIRST}")).write_bytes(content)
    assert tickets.read(storage, NOW) == before[1:]
    after = tickets.provide(storage, NOW)
    assert turns(after) == turns(before)
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    storage.store(f"{tickets.FOLDER}/{FIRST}", b"a secret of somebody else's\n")
    assert turns(tickets.provide(storage, NOW)) == [FIRST, FIRST + 1]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 2.5 * TURN)), max_size=12))
def test_machines_agree_whenever_they_look(looks: list[tuple[int, float]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machines = [Storage(f"{folder}/tls") for _ in range(3)]
        known: dict[int, str] = {}
        now = NOW
        for machine, pause in looks:
            now += pause
            found = tickets.provide(machines[machine], now)
            assert turns(found) == [int(now // TURN), int(now // TURN) + 1]
            for one in found:
                assert known.setdefault(one.since, one.secret) == one.secret
        for machine in machines:
            machine.close()
