# Interruptions of a job: who interrupts and who leaves see each other, whoever comes first.

from __future__ import annotations

import threading

import pytest

from bigtop.backends.cutoff import InterruptibleJob, Overdue
from tests.support.site import DEADLINE


class LateJob(InterruptibleJob):
    """Begins in another thread in the moment in which somebody looks whether it has begun."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.leaves = threading.Event()
        self.runner: threading.Thread | None = None
        super().__init__()

    @property
    def _thread(self) -> int:
        found = self.inside
        if self.runner is None:
            self.leaves.clear()
            work = (lambda: self.done.append("all of it"),)
            self.runner = threading.Thread(target=self.run, args=work, daemon=True)
            self.runner.start()
            assert self.leaves.wait(DEADLINE)
        return found

    @_thread.setter
    def _thread(self, thread: int) -> None:
        self.inside = thread
        if not thread:
            self.leaves.set()


def test_a_job_that_begins_while_it_is_interrupted_does_nothing() -> None:
    """Else it would go on, with nobody who interrupts it again."""
    job = LateJob()
    job.interrupt()
    assert job.runner is not None
    job.runner.join(DEADLINE)
    assert not job.runner.is_alive()
    assert job.done == []


def test_a_job_that_was_interrupted_before_it_began_does_nothing() -> None:
    job = InterruptibleJob()
    done: list[str] = []
    job.interrupt()
    job.run(lambda: done.append("all of it"))
    assert done == []


def test_what_fails_inside_is_told() -> None:
    def fail() -> None:
        raise Overdue

    with pytest.raises(Overdue):
        InterruptibleJob().run(fail)
