# One keeper at a time: on one machine, on several, with those that were killed or stood still.

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper import leases
from bigtop.keeper.leases import STALE, Claim, LeaseLostError
from bigtop.keeper.storage import Storage

NOW = 1_800_000_000.0


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "tls"))


def elsewhere(storage: Storage, generation: int, expires: float) -> None:
    """Have a keeper on another machine, whose locks nobody here sees, take the lease."""
    assert storage.create(f"leases/x.{generation}", Claim("process 1 on b", "boot b", expires).encode())


def test_a_lease_is_for_one_until_it_is_given_back(storage: Storage) -> None:
    first = leases.take(storage, "x", NOW)
    assert first is not None
    assert leases.take(storage, "x", NOW + 1) is None
    other = leases.take(storage, "y", NOW)
    assert other is not None
    first.check(NOW + STALE - 2)
    first.release()
    second = leases.take(storage, "x", NOW + 2)
    assert second is not None
    assert (first.generation, second.generation) == (1, 2)
    with pytest.raises(LeaseLostError, match="another keeper took over"):
        first.check(NOW + 2)
    first.release()  # which takes nothing from the second
    second.check(NOW + 2)
    assert leases.take(storage, "x", NOW + 3) is None
    for lease in (second, other):
        lease.release()
    assert storage.names("leases") == ["x.2", "x.lock", "y.1", "y.lock"]


def test_a_lease_that_is_not_renewed_ends_for_its_holder_first(storage: Storage) -> None:
    lease = leases.take(storage, "x", NOW)
    assert lease is not None
    lease.renew(NOW + 5)
    lease.check(NOW + STALE + 3)
    with pytest.raises(LeaseLostError, match="ended before it was renewed"):
        lease.check(NOW + STALE + 4.5)
    with pytest.raises(LeaseLostError):
        lease.renew(NOW + STALE + 4.5)
    lease.release()


def test_another_machine_waits_for_the_end_and_then_the_first_has_lost(storage: Storage) -> None:
    elsewhere(storage, 7, NOW + STALE)
    assert leases.take(storage, "x", NOW + STALE - 0.1) is None
    found = leases.holder(storage, "x")
    assert found is not None
    assert found.owner == "process 1 on b"
    lease = leases.take(storage, "x", NOW + STALE)
    assert lease is not None
    assert lease.generation == 8
    elsewhere(storage, 9, NOW + 3 * STALE)  # its clock is wrong, or ours
    with pytest.raises(LeaseLostError, match=r"another keeper took over \(lease 9\)"):
        lease.check(NOW + STALE)
    lease.release()
    assert leases.take(storage, "x", NOW + STALE) is None


def test_a_generation_that_is_long_past_gives_no_lease(storage: Storage) -> None:
    """Who looked, stood still, and goes on where others took it, gave it back and took it again."""
    elsewhere(storage, 3, NOW - 1)
    slow = Slow(storage)
    assert leases.take(slow, "x", NOW) is None
    assert leases.latest_generation(storage, "x") == 5
    assert storage.names("leases") == ["x.5", "x.lock"]


class Slow(Storage):
    """One in which others are quick: they were here twice before something is created."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage.path)

    def create(self, key: str, data: bytes) -> bool:
        self.delete("leases/x.3")
        elsewhere(Storage(self.path), 5, NOW + STALE)
        return super().create(key, data)


def test_a_file_that_is_not_whole_is_somebodys_for_as_long_as_a_lease_is(storage: Storage) -> None:
    elsewhere(storage, 1, NOW)
    path = Path(storage.place("leases/x.1"))
    path.write_bytes(b"")
    written = path.stat().st_mtime
    assert leases.take(storage, "x", written + STALE - 1) is None
    lease = leases.take(storage, "x", written + STALE)
    assert lease is not None
    lease.release()


HOLDER = """
import sys, time
from bigtop.keeper import leases
from bigtop.keeper.storage import Storage
lease = leases.take(Storage(sys.argv[1]), "x", float(sys.argv[2]))
print("none" if lease is None else lease.generation, flush=True)
sys.stdin.read()
"""


def holder(storage: Storage, now: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, storage.path, str(now)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_of_many_processes_one_gets_it_and_its_death_is_known_at_once(storage: Storage) -> None:
    processes = [holder(storage, NOW) for _ in range(4)]
    try:
        said = [process.stdout.readline().strip() for process in processes if process.stdout]
        assert Counter(said) == {"1": 1, "none": 3}
        assert leases.take(storage, "x", NOW) is None
        winner = processes[said.index("1")]
        winner.kill()
        winner.wait(30)
        lease = leases.take(storage, "x", NOW)
        assert lease is not None
        assert lease.generation == 2
        lease.release()
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@given(st.binary(max_size=60))
def test_no_content_of_a_file_is_an_error(text: bytes) -> None:
    try:
        claim = Claim.decode(text)
    except ValueError:
        return
    assert Claim.decode(claim.encode()) == claim


@given(st.integers(-100, 100), st.sampled_from(["a", "b"]), st.booleans())
def test_only_the_dead_and_those_whose_time_is_over_lose_theirs(
    left: int, machine: str, is_locked: bool
) -> None:
    is_free = leases.is_free(Claim("x", machine, NOW + left), NOW, "a", is_locked)
    assert is_free is (left <= 0 or left > 70 or (machine == "a" and is_locked))
