"""The scoreboard, read here while a real process writes it."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop import scoreboard
from bigtop.scoreboard import BUCKETS, RECORDS, Phase, RequestRecord, Scoreboard, State, Word


@pytest.fixture
def board():
    made = Scoreboard.create(4)
    yield made
    os.close(made.fd)


class TestWords:
    def test_a_new_board_is_empty(self, board):
        assert board.words(0).tolist() == [0] * scoreboard.WORDS
        assert board.histogram(0) == [0] * BUCKETS
        assert board.running(0) == board.finished(0) == []
        assert board.oldest(0) == 0

    def test_what_a_slot_writes_a_reader_sees(self, board):
        slot = board.slot(2)
        slot.words[Word.STATE] = State.READY
        slot.words[Word.BYTES_OUT] = 2**64 - 1
        other = Scoreboard(board.fd)
        assert other.words(2)[Word.STATE] == State.READY
        assert other.words(2)[Word.BYTES_OUT] == 2**64 - 1
        assert not any(other.words(1)) and not any(other.words(3))  # noqa: PT018

    @pytest.mark.parametrize("index", [-1, 4, 10**9])
    def test_slots_have_bounds(self, board, index):
        with pytest.raises(IndexError):
            board.slot(index)

    def test_clear_empties_one_slot_only(self, board):
        for index in (1, 2):
            slot = board.slot(index)
            slot.words[Word.PID] = 7
            slot.end(slot.begin(1, b"GET", b"c", b"/"), 1, 2, 200)
        board.clear(1)
        assert board.words(1)[Word.PID] == 0
        assert board.finished(1) == []
        assert sum(board.histogram(1)) == 0
        assert board.words(2)[Word.PID] == 7
        assert len(board.finished(2)) == 1

    def test_every_slot_has_its_own_memory(self, board):
        for index in range(board.capacity):
            slot = board.slot(index)
            for number in range(RECORDS):
                slot.begin(index * 100 + number + 1, b"GET", b"c", b"/")
        for index in range(board.capacity):
            began = [record.began for record in board.running(index)]
            assert began == [index * 100 + number + 1 for number in range(RECORDS)]

    def test_untouched_slots_cost_no_memory(self):
        board = Scoreboard.create()
        try:
            board.slot(2000).words[Word.PID] = 1
            assert board.capacity == scoreboard.SLOT_COUNT
            assert os.fstat(board.fd).st_blocks * 512 < 100_000
        finally:
            os.close(board.fd)


class TestForeignDescriptors:
    @pytest.mark.parametrize("size", [0, 8, 4096, 100_000])
    def test_other_memory(self, size):
        fd = os.memfd_create("other")
        os.ftruncate(fd, size)
        try:
            with pytest.raises(ValueError, match="not a scoreboard"):
                Scoreboard(fd)
        finally:
            os.close(fd)

    def test_a_pipe(self):
        fds = os.pipe()
        try:
            with pytest.raises(ValueError, match="not a scoreboard"):
                Scoreboard(fds[0])
        finally:
            for fd in fds:
                os.close(fd)

    def test_a_board_cut_short(self, board):
        os.ftruncate(board.fd, scoreboard.HEADER_SIZE + 3 * scoreboard.SLOT_SIZE)
        with pytest.raises(ValueError, match="not a scoreboard"):
            Scoreboard(board.fd)

    def test_another_version(self, board):
        os.pwrite(board.fd, (scoreboard.VERSION + 1).to_bytes(8, "little"), 8)
        with pytest.raises(ValueError, match="version"):
            Scoreboard(board.fd)

    def test_it_is_close_on_exec(self, board):
        assert not os.get_inheritable(board.fd)


class TestRequests:
    def test_a_requests_life(self, board):
        slot = board.slot(0)
        number = slot.begin(1000, b"GET", b"127.0.0.1:5", b"/caf\xe9", b"x" * 50)
        (record,) = board.running(0)
        assert record == RequestRecord(Phase.APP, 1000, 0, 0, "GET", "127.0.0.1:5", "/café", "x" * 40)
        slot.writing(number)
        assert board.running(0)[0].phase is Phase.WRITING
        assert board.oldest(0) == 0  # the application is out of it
        slot.end(number, 1000, 9000, 204)
        assert board.running(0) == []
        assert board.finished(0) == [
            RequestRecord(Phase.DONE, 1000, 9000, 204, "GET", "127.0.0.1:5", "/café", "x" * 40)
        ]

    def test_long_texts_are_cut(self, board):
        board.slot(0).begin(1, b"M" * 99, b"c" * 99, b"/" * 999)
        (record,) = board.running(0)
        assert [len(text) for text in (record.method, record.client, record.path)] == [16, 48, 160]

    def test_a_short_text_leaves_nothing_of_a_long_one(self, board):
        slot = board.slot(0)
        for _ in range(RECORDS):
            slot.end(slot.begin(1, b"OPTIONS", b"long-client", b"/long/path"), 1, 2, 200)
        slot.begin(3, b"GET", b"c", b"/")
        (record,) = board.running(0)
        assert (record.method, record.client, record.path) == ("GET", "c", "/")

    def test_oldest_is_the_one_that_began_first(self, board):
        slot = board.slot(0)
        numbers = {began: slot.begin(began, b"GET", b"c", b"/") for began in (50, 20, 90)}
        assert board.oldest(0) == 20
        slot.end(numbers[20], 20, 100, 200)
        assert board.oldest(0) == 50
        assert [record.began for record in board.running(0)] == [50, 90]

    def test_the_last_finished_stay_readable(self, board):
        slot = board.slot(0)
        for began in range(1, 101):
            slot.end(slot.begin(began, b"GET", b"c", b"/"), began, began, 200)
        assert [record.began for record in board.finished(0)] == list(range(100 - RECORDS + 2, 101))

    def test_more_requests_than_records(self, board):
        slot = board.slot(0)
        numbers = [slot.begin(began, b"GET", b"c", b"/") for began in range(1, RECORDS + 10)]
        assert len(board.running(0)) == RECORDS
        assert board.running(0)[-1].began == RECORDS + 9  # the shared record shows the newest
        for began, number in enumerate(numbers, 1):
            slot.end(number, began, 5000, 200)
        assert sum(board.histogram(0)) == len(numbers)
        # The place is free again, each record once.
        again = [slot.begin(1, b"GET", b"c", b"/") for _ in range(RECORDS)]
        assert sorted(again) == list(range(RECORDS))

    def test_a_record_left_half_written_by_a_dead_writer(self, board):
        slot = board.slot(0)
        slot.end(slot.begin(1, b"GET", b"c", b"/whole"), 1, 2, 200)
        number = slot.begin(3, b"GET", b"c", b"/half")
        slot._heads[number][0] += 1  # as if it had died inside begin()
        assert board.running(0) == []
        assert board.oldest(0) == 0
        assert [record.path for record in board.finished(0)] == ["/whole"]
        successor = board.slot(0)  # not cleared: must mend it by itself
        for _ in range(RECORDS):
            successor.begin(9, b"GET", b"c", b"/new")
        assert len(board.running(0)) == RECORDS

    @pytest.mark.parametrize(
        ("nanoseconds", "bucket"),
        [(0, 0), (999, 0), (1000, 1), (1999, 1), (2000, 2), (3999, 2), (10**9, 20), (10**15, 31)],
    )
    def test_buckets(self, board, nanoseconds, bucket):
        slot = board.slot(0)
        slot.end(slot.begin(10, b"GET", b"c", b"/"), 10, 10 + nanoseconds, 200)
        assert board.histogram(0)[bucket] == sum(board.histogram(0)) == 1

    @given(st.lists(st.integers(0, 1), max_size=200))
    def test_any_order_of_beginnings_and_ends(self, steps):
        board = Scoreboard.create(1)
        slot = board.slot(0)
        open_requests = {}
        for now, step in enumerate(steps, 1):
            if step and len(open_requests) < RECORDS:
                number = slot.begin(now, b"GET", b"c", b"/")
                assert number not in open_requests
                open_requests[number] = now
            elif open_requests:
                number = next(iter(open_requests))
                slot.end(number, open_requests[number], now, 200)
                del open_requests[number]
        assert [record.began for record in board.running(0)] == sorted(open_requests.values())
        assert board.oldest(0) == min(open_requests.values(), default=0)
        os.close(board.fd)


WRITER = """
import sys
from bigtop.scoreboard import Scoreboard, Word
slot = Scoreboard(int(sys.argv[1])).slot(1)
print("writing", flush=True)
n = 1
while True:
    # 0x0101...: a number of which any half would be seen
    slot.words[Word.BYTES_IN] = (n % 255) * 0x0101010101010101
    text = b"%d" % n
    number = slot.begin(n, text, text, text * 8)
    slot.end(number, n, n + 7, n % 1000)
    n += 1
"""


class TestTornReads:
    @pytest.fixture
    def written(self, board):
        command = [sys.executable, "-c", WRITER, str(board.fd)]
        with subprocess.Popen(command, pass_fds=[board.fd], stdout=-1) as process:
            try:
                assert process.stdout.readline() == b"writing\n"
                yield board
                assert process.poll() is None
            finally:
                process.kill()

    def test_records_and_words_are_whole(self, written):
        seen, deadline = set(), time.monotonic() + 1.5
        words = written.words(1)
        while time.monotonic() < deadline:
            word = words[Word.BYTES_IN]
            assert word == (word & 0xFF) * 0x0101010101010101
            for record in written.finished(1) + written.running(1):
                assert record.method == record.client == str(record.began)
                assert record.path == record.method * 8
                if record.phase is Phase.DONE:
                    assert (record.ended, record.status) == (record.began + 7, record.began % 1000)
                else:
                    assert (record.ended, record.status) == (0, 0)
                seen.add(record.began)
        assert len(seen) > 100  # the writer really was at it

    def test_oldest_never_goes_back(self, written):
        """A call that begins must not be shown with its predecessor's beginning: it would look hung."""
        last, deadline = 0, time.monotonic() + 1.5
        while time.monotonic() < deadline:
            oldest = written.oldest(1)
            assert oldest == 0 or oldest >= last
            last = oldest or last
