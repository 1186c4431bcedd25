# A 24-hour life in miniature: whatever happens to a supervisor, in the end it is as it was. bench/life.py has
# what happens; `python -m bench life --seconds 3600` is the longer one.

import sys
from dataclasses import replace

import pytest

from bench import life
from bench.life import Story
from bench.remains import Census


def test_a_life_of_everything_leaves_no_descriptor_no_process_and_no_memory() -> None:
    story = life.live(sys.executable, 30.0, seed=1)
    assert story.complaints() == []
    assert story.done.keys() == {action.__name__ for action in life.ACTIONS}


USUAL = Census(80, 5, 14, 0, 25 << 20, {"builtins.list": 1000, "bigtop.Thing": 10})


@pytest.mark.parametrize(
    ("after", "complaint"),
    [
        (USUAL, ""),
        (replace(USUAL, fds=79, threads=4, processes=13), ""),
        (replace(USUAL, fds=81), "fds: 80 became 81"),
        (replace(USUAL, threads=6), "threads: 5 became 6"),
        (replace(USUAL, processes=15), "processes: 14 became 15"),
        (replace(USUAL, zombies=1), "1 zombies"),
        (replace(USUAL, private=30 << 20), "5,242,880 bytes more after 100 actions"),
        (replace(USUAL, objects={"bigtop.Thing": 110}), "100 more objects of the type bigtop.Thing"),
    ],
)
def test_whatever_is_left_is_told(after: Census, complaint: str) -> None:
    story = Story(30.0, 1, {"kill": 60, "reload": 40}, USUAL, after, left=0, status=0)
    said = story.complaints()
    assert len(said) == bool(complaint)
    assert complaint in "".join(said)
    assert Story(30.0, 1).complaints() == ["it did not come to its end"]
