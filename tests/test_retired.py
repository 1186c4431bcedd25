"""The retired record, read here while a real process writes it."""

import os
import subprocess
import sys

import pytest

from bigtop.ipc import retired, scoreboard
from bigtop.ipc.counters import ACCEPTED_AT, Count
from bigtop.ipc.retired import CAPACITY, RetiredRecord, RetiredView
from bigtop.ipc.scoreboard import Slot, View, Word


@pytest.fixture
def record():
    made = RetiredRecord("site")
    yield made
    made.close()


@pytest.fixture
def slot_fd():
    fd = scoreboard.create(1)
    yield fd
    os.close(fd)


def answered(fd, requests):
    memory = scoreboard.attach(fd)
    Slot(memory).words[Word.REQUESTS] = requests
    return View(memory)


def test_a_new_one_is_empty(record):
    state = RetiredView(record.fd).state()
    assert not any(state.totals)
    assert state.workers == ()


def test_a_worker_is_in_the_directory_or_in_the_totals(record, slot_fd):
    reader = RetiredView(record.fd)
    record.enter(3, 77, slot_fd)
    (worker,) = reader.state().workers
    assert (worker.key, worker.wid, worker.inode) == (77, 4, os.fstat(slot_fd).st_ino)
    record.add(3, answered(slot_fd, 12))
    assert reader.state().workers == ()
    assert reader.state().totals[Count.REQUESTS] == 12
    record.enter(3, 78, slot_fd)
    record.add(3, answered(slot_fd, 5))
    assert reader.state().totals[Count.REQUESTS] == reader.state().totals[Count.STATUS_2XX] == 17


def test_a_successor_goes_on_from_what_was_counted(record, slot_fd):
    view = answered(slot_fd, 12)
    view.words[Word.ACCEPTED_AT + 1] = 5
    record.enter(0, 1, slot_fd)
    record.add(0, view)
    successor = RetiredRecord("site")
    successor.go_on_from(record)
    state = RetiredView(successor.fd).state()
    assert state.totals == RetiredView(record.fd).state().totals
    assert state.totals[ACCEPTED_AT][:3] == [0, 5, 0]
    assert state.workers == ()
    successor.close()


def test_nonsense_is_not_added(record, slot_fd):
    record.enter(0, 1, slot_fd)
    record.add(0, answered(slot_fd, 2**64 - 1))
    assert RetiredView(record.fd).state().totals[Count.REQUESTS] == 0


def test_a_worker_beyond_the_last_entry_is_counted_when_it_is_gone(record, slot_fd):
    record.enter(CAPACITY, 5, slot_fd)
    assert RetiredView(record.fd).state().workers == ()
    record.add(CAPACITY, answered(slot_fd, 4))
    assert RetiredView(record.fd).state().totals[Count.REQUESTS] == 4


def test_who_only_reads_cannot_write(record):
    with pytest.raises(TypeError):
        RetiredView(record.fd)._memory[0] = 1


def test_a_writer_that_died_half_way_leaves_no_state(record):
    record._words[retired._SEQUENCE_AT // 8] += 1
    assert RetiredView(record.fd).state() is None


def test_other_memory_is_none(slot_fd, record):
    with pytest.raises(ValueError, match="no retired record"):
        RetiredView(slot_fd)
    os.pwrite(record.fd, b"\xff", 8)
    with pytest.raises(ValueError, match="of version"):
        RetiredView(record.fd)


def test_a_descriptor_with_another_meaning_is_no_slot(slot_fd, record):
    inode = os.fstat(slot_fd).st_ino
    assert retired.slot(slot_fd, inode) is not None
    assert retired.slot(record.fd, inode) is None
    assert retired.slot(record.fd, os.fstat(record.fd).st_ino) is None


# Each worker answers one request and ends: what its slot says and the totals must always be the same number.
WRITER = """
import os, sys
from bigtop.ipc import scoreboard
from bigtop.ipc.retired import RetiredRecord
from bigtop.ipc.scoreboard import Slot, View, Word
record = RetiredRecord("site")
slot_fd = scoreboard.create(1)
memory = scoreboard.attach(slot_fd)
print(record.fd, os.getpid(), flush=True)
requests = 0
while True:
    record.enter(0, requests + 1, slot_fd)
    Slot(memory).words[Word.REQUESTS] = 1
    record.add(0, View(memory))
    requests += 1
"""


def test_nobody_is_counted_twice_or_missed():
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=-1, text=True) as process:
        try:
            number, pid = process.stdout.readline().split()
            fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY)
            reader = RetiredView(fd)
            os.close(fd)
            last, caught = 0, 0
            while last < 1000:
                state = reader.state()
                assert state is not None
                requests = state.totals[Count.REQUESTS]
                assert requests >= last
                for worker in state.workers:
                    assert worker.key == requests + 1
                    caught += 1
                last = requests
            assert caught
        finally:
            process.kill()
