# Lateness: what a scoreboard says at one moment, and what follows from that.

from __future__ import annotations

import pytest

from bigtop.http.paths.time_limits import NEVER, SECOND, TimeoutAction, policy_of
from bigtop.ipc import scoreboard
from bigtop.ipc.scoreboard import Slot, View, Word
from bigtop.supervisor.policy.spec import Worker
from bigtop.supervisor.processes.workers.lateness import Lateness, look

START = 1_000 * SECOND
INTERRUPT, RETIRE, KILL = TimeoutAction
THREADS = Worker(b"", timeout=30.0)


class Scene:
    """A slot, as its worker writes it."""

    def __init__(self, *, interrupts: bool = True) -> None:
        memory = scoreboard.nothing()
        self.slot, self.view = Slot(memory), View(memory)
        self.slot.words[Word.INTERRUPTS] = interrupts

    def begin(self, after: float, path: bytes = b"/", deadline: float = 0) -> int:
        began = START + int(after * SECOND)
        place = self.slot.begin(began, b"GET", b"c", path)
        if deadline:
            self.slot.limit(place, began, began + int(deadline * SECOND))
        return place

    def look(self, after: float, target: Worker = THREADS, *, leaves: bool = False) -> Lateness | None:
        return look(self.view, target, START + int(after * SECOND), leaves=leaves)


@pytest.fixture
def scene():
    return Scene()


def test_nothing_runs(scene):
    assert scene.look(1e6) is None


@pytest.mark.parametrize(
    ("after", "due"),
    [
        (30.1, None),
        (31.6, INTERRUPT),
        (36.4, INTERRUPT),
        (36.6, RETIRE),
    ],
)
def test_what_is_due_when(scene, after, due):
    scene.begin(0, b"/slow")
    assert scene.look(30) is None
    late = scene.look(after)
    assert (late.due, late.alone) == (due, True)
    assert late.reason == f"GET /slow for {after:.0f} s"


def test_a_worker_that_interrupts_nothing_is_retired_at_once():
    scene = Scene(interrupts=False)
    scene.begin(0)
    assert scene.look(30.1).due is RETIRE


def test_the_step_is_that_of_the_one_that_is_late_for_longest(scene):
    scene.begin(0, b"/a")
    scene.begin(5, b"/b")
    late = scene.look(36.6)
    assert late.reason == "GET /a for 37 s, GET /b for 32 s"
    assert late.due is RETIRE
    assert len(late.numbers) == 2


@pytest.mark.parametrize(
    ("threads", "others", "leaves", "alone"),
    [
        (1, 0, False, True),
        (2, 0, False, False),  # the other thread can do something
        (2, 0, True, True),
        (2, 1, False, False),
        (2, 1, True, False),  # it may finish that
    ],
)
def test_whether_there_is_anything_to_lose(scene, threads, others, leaves, alone):
    scene.begin(0, b"/late")
    for _ in range(others):
        scene.begin(29)
    target = Worker(b"", timeout=30.0, threads=threads)
    assert scene.look(31, target, leaves=leaves).alone is alone


def test_who_waits_for_its_client_is_not_late(scene):
    place = scene.begin(0)
    assert scene.look(31) is not None
    scene.slot.writing(place)
    assert scene.look(31) is None


@pytest.mark.parametrize(
    ("timeout", "deadline", "after", "is_late"),
    [
        (30, 300, 100, False),
        (30, 300, 301, True),
        (30, 2, 3, True),
        (0, 2, 3, True),
        (0, 0, 1e6, False),
    ],
)
def test_limits_of_their_own(scene, timeout, deadline, after, is_late):
    scene.begin(0, deadline=deadline)
    assert (scene.look(after, Worker(b"", timeout=timeout, by_path=True)) is not None) is is_late


def test_a_request_without_any_limit_beside_one_that_has_one(scene):
    place = scene.begin(0, b"/events")
    scene.slot.limit(place, START, NEVER)
    assert scene.look(1e6) is None
    scene.begin(10, b"/late")
    assert scene.look(41).reason == "GET /late for 31 s"


class TestEventLoops:
    @pytest.fixture
    def loop(self):
        scene = Scene()
        scene.slot.words[Word.BUSY] = 1
        scene.slot.words[Word.BEAT] = START
        return scene

    def test_a_loop_that_stands_still(self, loop):
        loop.begin(0, b"/block")
        assert loop.look(30) is None
        late = loop.look(31.6)
        assert late.reason == "its event loop stands still for 32 s, in one of: GET /block"
        assert (late.due, late.alone) == (INTERRUPT, True)
        assert loop.look(40).due is RETIRE

    def test_it_is_told_of_once_for_each_standstill(self, loop):
        loop.begin(0, b"/block")
        first, second = loop.look(31).numbers, loop.look(32).numbers
        assert first == second
        loop.slot.words[Word.BEAT] = START + 40 * SECOND
        assert loop.look(71).numbers != first

    def test_an_idle_loop_has_nothing_to_prove(self, loop):
        loop.slot.words[Word.BUSY] = 0
        assert loop.look(1e6) is None

    def test_requests_may_wait_while_it_turns(self, loop):
        loop.begin(0)
        loop.slot.words[Word.BEAT] = START + 100 * SECOND
        assert loop.look(100) is None

    def test_but_those_with_a_limit_of_their_own(self, loop):
        loop.begin(0, b"/reports", deadline=50)
        loop.begin(0, b"/events")
        loop.slot.words[Word.BEAT] = START + 52 * SECOND
        late = loop.look(52)
        assert (late.reason, late.due, late.alone) == (
            "GET /reports for 52 s",
            INTERRUPT,
            False,
        )

    def test_without_a_time_limit_it_may_stand_still(self, loop):
        loop.begin(0)
        assert loop.look(1e6, Worker(b"", timeout=0.0, by_path=True)) is None


def test_other_policies(scene):
    scene.begin(0)
    target = Worker(b"", timeout=30.0, timeout_policy=policy_of("retire,kill=10"))
    assert [scene.look(after, target).due for after in (30.1, 39, 41)] == [
        RETIRE,
        RETIRE,
        KILL,
    ]
