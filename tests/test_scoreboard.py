"""The scoreboard, read here while a real process writes it."""

import fcntl
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.ipc import scoreboard, seats
from bigtop.ipc.board import Scoreboard
from bigtop.ipc.histogram import FAR, QUICK, bucket_of
from bigtop.ipc.scoreboard import BUCKETS, RECORDS, RequestPhase, RequestRecord, Slot, View, Word
from bigtop.ipc.seats import Seat, Seats, SeatState


class Board:
    """One slot, as its worker and as the supervisor see it."""

    def __init__(self):
        self.fd = scoreboard.create(1)
        self.view = View(scoreboard.attach(self.fd))

    def slot(self):
        return Slot(scoreboard.attach(self.fd))


def attached(fd):
    slot = Slot(scoreboard.attach(fd))
    os.close(fd)
    return slot


@pytest.fixture
def board():
    made = Board()
    yield made
    os.close(made.fd)


class TestWords:
    def test_a_new_board_is_empty(self, board):
        assert board.view.words.tolist() == [0] * scoreboard.WORDS
        assert board.view.latencies() == board.view.waits() == [0] * BUCKETS
        assert board.view.running() == board.view.finished() == []
        assert board.view.soonest(7) == 0

    def test_what_a_slot_writes_a_reader_sees(self, board):
        slot = board.slot()
        slot.words[Word.KEY] = 3
        slot.words[Word.BYTES_OUT] = 2**64 - 1
        assert board.view.words[Word.KEY] == 3
        assert board.view.words[Word.BYTES_OUT] == 2**64 - 1

    def test_words_and_records_do_not_touch(self, board):
        slot = board.slot()
        for word in range(scoreboard.WORDS):
            slot.words[word] = 2**64 - 1
        for bucket in range(BUCKETS):
            slot.buckets[bucket] = slot.waits[bucket] = 2**64 - 1
        for number in range(RECORDS):
            slot.begin(number + 1, b"GET", b"c", b"/")
        assert [record.began for record in board.view.running()] == list(range(1, RECORDS + 1))
        assert board.view.words.tolist() == [2**64 - 1] * scoreboard.WORDS
        for histogram in (board.view.latencies(), board.view.waits()):
            assert histogram[1:] == [2**64 - 1] * (BUCKETS - 1)
            assert histogram[0] == 0  # what the others leave of the requests: no less than nothing


class TestScoreboard:
    @pytest.fixture
    def table(self):
        fd = seats.create()
        yield Seats(fd)
        os.close(fd)

    def test_every_worker_has_memory_of_its_own(self, table):
        all_slots = Scoreboard(table)
        slots = []
        for index in (0, 1, 5):
            fd = all_slots.renew(index, 1)
            slots.append(Slot(scoreboard.attach(fd)))
            os.close(fd)
        for number, slot in enumerate(slots):
            slot.words[Word.PID] = number + 1
        assert [all_slots.of(index).words[Word.PID] for index in (0, 1, 5)] == [1, 2, 3]

    def test_a_successor_has_another_slot_and_an_empty_seat(self, table):
        all_slots = Scoreboard(table)
        first = all_slots.renew(0, 1)
        slot = Slot(scoreboard.attach(first), table.words(0))
        slot.words[Word.PID] = slot.seat[Seat.STATE] = 3
        second = all_slots.renew(0, 1)
        assert table.words(0)[Seat.STATE] == 0
        slot.words[Word.PID] = 7  # what is left of the dead writes to nobody
        assert all_slots.of(0).words[Word.PID] == 0
        for fd in (first, second):
            os.close(fd)

    def test_who_is_gone_has_no_slot(self, table):
        all_slots = Scoreboard(table)
        os.close(all_slots.renew(2, 1))
        table.words(2)[Seat.STATE] = SeatState.READY
        all_slots.drop(2)
        assert table.words(2)[Seat.STATE] == SeatState.EMPTY
        assert all_slots.of(2).running() == all_slots.of(99).running() == []

    def test_there_are_workers_without_a_seat(self, table):
        all_slots = Scoreboard(table)
        os.close(all_slots.renew(seats.CAPACITY, 1))
        table.words(seats.CAPACITY)[Seat.STATE] = SeatState.READY
        assert not any(table.words(seats.CAPACITY - 1))

    def test_seats_that_nobody_takes_cost_no_memory(self):
        fd = seats.create()
        Seats(fd).words(2000)[Seat.STATE] = 1
        assert os.fstat(fd).st_blocks * 512 < 10_000
        os.close(fd)


class TestForeignDescriptors:
    @pytest.mark.parametrize("size", [0, 8, scoreboard.SIZE, seats.SIZE])
    def test_other_memory(self, size):
        fd = os.memfd_create("other")
        os.ftruncate(fd, size)
        try:
            with pytest.raises(ValueError, match="not a scoreboard"):
                scoreboard.attach(fd)
            if size != seats.SIZE:
                with pytest.raises(ValueError, match="no table of seats"):
                    Seats(fd)
        finally:
            os.close(fd)

    def test_a_pipe(self):
        fds = os.pipe()
        try:
            with pytest.raises(ValueError, match="not a scoreboard"):
                scoreboard.attach(fds[0])
        finally:
            for fd in fds:
                os.close(fd)

    def test_another_version(self, board):
        os.pwrite(board.fd, (scoreboard.VERSION + 1).to_bytes(8, "little"), 8)
        with pytest.raises(ValueError, match="version"):
            scoreboard.attach(board.fd)

    def test_it_is_close_on_exec(self, board):
        assert not os.get_inheritable(board.fd)

    @pytest.mark.case("E4")
    @pytest.mark.parametrize("make", [lambda: scoreboard.create(1), seats.create])
    def test_nobody_makes_it_shorter_or_longer(self, make):
        fd = make()
        for size in (0, 4096, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        os.close(fd)


class TestHostileWriters:
    @given(st.binary(min_size=512, max_size=512), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
    @pytest.mark.case("E9")
    def test_any_bytes_can_be_read(self, noise, phase, number):
        fd = scoreboard.create(1)
        view = View(scoreboard.attach(fd))
        os.pwrite(fd, noise * (scoreboard.SIZE // len(noise)), 0)
        slot = Slot(view._memory)
        for head, at in zip(slot._heads, slot._at, strict=True):
            head[0], head[4] = number, phase
            view._memory[at + scoreboard._LAST_AT : at + scoreboard.RECORD_SIZE] = number.to_bytes(
                8, "little"
            )
        for record in [*view.running(), *view.finished()]:
            assert record.phase in RequestPhase
            texts = record.method + record.client + record.path + record.id
            assert not any(ord(character) < 32 or 126 < ord(character) < 160 for character in texts)
        assert view.soonest(7) >= 0
        assert len(view.latencies()) == len(view.waits()) == BUCKETS
        os.close(fd)

    @pytest.mark.case("E9")
    @pytest.mark.parametrize("phase", [0, 6, 99, 2**64 - 1])
    def test_a_phase_that_there_is_not_is_no_record(self, board, phase):
        slot = board.slot()
        slot.begin(1, b"GET", b"c", b"/whole")
        slot._heads[slot.begin(1, b"GET", b"c", b"/x")][scoreboard._PHASE] = phase
        assert [record.path for record in board.view.running()] == ["/whole"]
        assert board.view.finished() == []

    @pytest.mark.case("E18")
    def test_texts_come_without_control_characters(self, board):
        board.slot().begin(1, b"GET\n", b"\x1b[2Jc", b"/caf\xe9\x85\t")
        (record,) = board.view.running()
        assert (record.method, record.client, record.path) == (r"GET\n", r"\x1b[2Jc", r"/café\x85\t")


class TestRequests:
    def test_a_requests_life(self, board):
        slot = board.slot()
        number = slot.begin(1000, b"GET", b"127.0.0.1:5", b"/caf\xe9", b"x" * 50)
        (record,) = board.view.running()
        told = "GET", "127.0.0.1:5", "/café", "x" * 40
        assert record == RequestRecord(RequestPhase.APP, 1000, 0, 0, *told, number=1)
        slot.writing(number)
        assert board.view.running()[0].phase is RequestPhase.WRITING
        assert board.view.soonest(7) == 0  # the application is out of it
        slot.end(number, 1000, 9000, 204)
        assert board.view.running() == []
        (record,) = board.view.finished()
        assert record == RequestRecord(RequestPhase.DONE, 1000, 9000, 204, *told, number=1)

    def test_bytes_move(self, board):
        slot = board.slot()
        number = slot.begin(1, b"GET", b"c", b"/")
        assert board.view.running()[0].bytes == 0
        slot.moved(number, 2**40)
        assert board.view.running()[0].bytes == 2**40
        slot.end(number, 1, 2, 200, 7)
        assert [record.bytes for record in board.view.finished()] == [7]

    @pytest.mark.parametrize("phase", [RequestPhase.READING, RequestPhase.QUEUED])
    def test_requests_that_are_not_in_the_application_yet(self, board, phase):
        slot = board.slot()
        place = slot.arrive(phase, 5, b"POST", b"c", b"/")
        (record,) = board.view.present()
        assert (record.phase, record.began, record.method) == (phase, 5, "POST")
        assert board.view.running() == board.view.finished() == []
        assert board.view.soonest(7) == 0, "no request is late that has not begun"
        slot.begin(6, b"GET", b"c", b"/")
        assert [record.began for record in board.view.present()] == [5, 6]
        slot.leave(place)
        assert [record.began for record in board.view.present()] == [6]
        assert board.view.latencies() == [0] * BUCKETS

    def test_half_of_all_places_are_kept_for_the_application(self, board):
        slot = board.slot()
        places = [slot.arrive(RequestPhase.READING, 5, b"", b"c", b"") for _ in range(100)]
        assert len(board.view.present()) == RECORDS // 2 - 1
        assert places[-1] == scoreboard.NOWHERE
        for _ in range(RECORDS // 2):
            slot.begin(1, b"GET", b"c", b"/")
        assert len(board.view.running()) == RECORDS // 2
        shown = [place for place in places if place != scoreboard.NOWHERE]
        for place in shown:
            slot.leave(place)
        again = [slot.begin(2, b"GET", b"c", b"/") for _ in shown]
        assert sorted(again) == sorted(shown), "each place is free again, once"

    def test_long_texts_are_cut(self, board):
        board.slot().begin(1, b"M" * 99, b"c" * 99, b"/" * 999)
        (record,) = board.view.running()
        assert [len(text) for text in (record.method, record.client, record.path)] == [16, 48, 160]

    def test_a_short_text_leaves_nothing_of_a_long_one(self, board):
        slot = board.slot()
        for _ in range(RECORDS):
            slot.end(slot.begin(1, b"OPTIONS", b"long-client", b"/long/path"), 1, 2, 200)
        slot.begin(3, b"GET", b"c", b"/")
        (record,) = board.view.running()
        assert (record.method, record.client, record.path) == ("GET", "c", "/")

    def test_a_time_limit_of_its_own(self, board):
        slot = board.slot()
        places = {began: slot.begin(began, b"GET", b"c", b"/") for began in (50, 20, 90)}
        assert board.view.soonest(0) == 0, "none has a limit"
        slot.limit(places[90], 90, 95)
        assert board.view.soonest(0) == 95
        slot.limit(places[20], 20, 400)
        assert board.view.soonest(100) == 95
        assert [record.deadline for record in board.view.running()] == [400, 0, 95]
        slot.end(places[90], 90, 91, 200)
        assert board.view.soonest(100) == 150

    def test_how_long_calls_have_been_running(self, board):
        slot = board.slot()
        assert board.view.elapsed(100, 100) == 0
        for began in (50, 20, 99):
            slot.begin(began, b"GET", b"c", b"/")
        assert board.view.elapsed(100, 100) == 50 + 80 + 1
        assert board.view.elapsed(100, 60) == 50 + 60 + 1, "no call is older than its process"
        assert board.view.elapsed(40, 100) == 20, "nor younger than nothing"
        slot.writing(slot.begin(30, b"GET", b"c", b"/"))
        assert board.view.elapsed(100, 100) == 50 + 80 + 1, "the application is done with it"

    def test_a_limit_comes_too_late_for_a_request_that_is_over(self, board):
        slot = board.slot()
        for _ in range(RECORDS):
            place = slot.begin(20, b"GET", b"c", b"/")
            slot.end(place, 20, 30, 200)
        later = slot.begin(40, b"GET", b"c", b"/")
        slot.limit(later, 20, 25)
        assert board.view.soonest(0) == 0

    def test_each_request_has_a_number_of_its_own(self, board):
        slot = board.slot()
        for _ in range(3 * RECORDS):
            slot.end(slot.begin(1, b"GET", b"c", b"/"), 1, 2, 200)
        numbers = [record.number for record in board.view.finished()]
        assert len(set(numbers)) == len(numbers)

    def test_the_first_to_be_late_is_the_one_that_began_first(self, board):
        slot = board.slot()
        numbers = {began: slot.begin(began, b"GET", b"c", b"/") for began in (50, 20, 90)}
        assert board.view.soonest(7) == 27
        slot.end(numbers[20], 20, 100, 200)
        assert board.view.soonest(7) == 57
        assert [record.began for record in board.view.running()] == [50, 90]

    def test_the_last_finished_stay_readable(self, board):
        slot = board.slot()
        for began in range(1, 101):
            slot.end(slot.begin(began, b"GET", b"c", b"/"), began, began, 200)
        assert [record.began for record in board.view.finished()] == list(range(100 - RECORDS + 2, 101))

    def test_more_requests_than_records(self, board):
        slot = board.slot()
        numbers = [slot.begin(began, b"GET", b"c", b"/") for began in range(1, RECORDS + 10)]
        assert len(board.view.running()) == RECORDS
        assert board.view.running()[-1].began == RECORDS + 9  # the shared record shows the newest
        for began, number in enumerate(numbers, 1):
            slot.end(number, began, 5000, 200)
        # The place is free again, each record once.
        again = [slot.begin(1, b"GET", b"c", b"/") for _ in range(RECORDS)]
        assert sorted(again) == list(range(RECORDS))

    def test_a_record_left_half_written_by_a_dead_writer(self, board):
        slot = board.slot()
        slot.end(slot.begin(1, b"GET", b"c", b"/whole"), 1, 2, 200)
        number = slot.begin(3, b"GET", b"c", b"/half")
        slot._heads[number][0] += 1  # as if it had died inside begin()
        assert board.view.running() == []
        assert board.view.soonest(7) == 0
        assert [record.path for record in board.view.finished()] == ["/whole"]
        successor = board.slot()  # not cleared: must mend it by itself
        for _ in range(RECORDS):
            successor.begin(9, b"GET", b"c", b"/new")
        assert len(board.view.running()) == RECORDS

    @pytest.mark.parametrize("nanoseconds", [0, QUICK, QUICK + 1, 10**6, FAR - 1, FAR, 10**9, 10**15])
    def test_a_time_is_counted_where_it_belongs(self, board, nanoseconds):
        slot = board.slot()
        slot.end(slot.begin(10, b"GET", b"c", b"/"), 10, 10 + nanoseconds, 200)
        slot.words[Word.REQUESTS] = slot.words[Word.QUEUE_NS] = 1  # posted by whoever counts them
        if nanoseconds > QUICK:
            slot.waited(nanoseconds)
        for histogram in (board.view.latencies(), board.view.waits(), slot.latencies()):
            assert histogram[bucket_of(nanoseconds)] == sum(histogram) == 1
        assert slot.latency_ns == nanoseconds

    def test_where_nobody_measures_queue_times_there_are_none(self, board):
        board.slot().words[Word.REQUESTS] = 7
        assert sum(board.view.latencies()) == 7
        assert sum(board.view.waits()) == 0

    @given(st.lists(st.integers(0, 1), max_size=200))
    def test_any_order_of_beginnings_and_ends(self, steps):
        board = Board()
        slot = board.slot()
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
        assert [record.began for record in board.view.running()] == sorted(open_requests.values())
        assert board.view.soonest(7) == (min(open_requests.values()) + 7 if open_requests else 0)
        os.close(board.fd)


WRITER = """
import sys
from bigtop.ipc import scoreboard
from bigtop.ipc.scoreboard import Slot, Word
slot = Slot(scoreboard.attach(int(sys.argv[1])))
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
        seen, began = set(), time.monotonic()
        words = written.view.words
        while (passed := time.monotonic() - began) < 1.5 or len(seen) <= 100:  # the writer really was at it
            assert passed < 30
            word = words[Word.BYTES_IN]
            assert word == (word & 0xFF) * 0x0101010101010101
            for record in written.view.finished() + written.view.running():
                assert record.method == record.client == str(record.began)
                assert record.path == record.method * 8
                if record.phase is RequestPhase.DONE:
                    assert (record.ended, record.status) == (record.began + 7, record.began % 1000)
                else:
                    assert (record.ended, record.status) == (0, 0)
                seen.add(record.began)

    def test_what_is_late_first_never_goes_back(self, written):
        """A call that begins must not be shown with its predecessor's beginning: it would look hung."""
        last, deadline = 0, time.monotonic() + 1.5
        while time.monotonic() < deadline:
            soonest = written.view.soonest(7)
            assert soonest == 0 or soonest >= last
            last = soonest or last
