# What the supervisor tells the stats process: questions and answers, whatever stands in a name.

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bigtop.stats import roster
from bigtop.stats.admin.admission import Admission
from bigtop.stats.orders import Admin, Orders
from bigtop.stats.pace import Pace
from bigtop.stats.roster import SAME, Group, Listener, Process, Roster, Standing
from bigtop.supervisor.policy.messages import Ending
from bigtop.supervisor.policy.tally import WatcherTally

NUMBERS = st.integers(0, 2**40)
PROCESS = st.builds(Process, NUMBERS, NUMBERS)
STANDING = st.builds(
    Standing, st.booleans(), st.text(), NUMBERS, NUMBERS, has_started=st.booleans(), metrics=st.text()
)
TALLY = st.builds(
    WatcherTally,
    NUMBERS,
    st.dictionaries(st.sampled_from(Ending), NUMBERS).map(Counter),
    NUMBERS,
    NUMBERS,
    st.floats(0, 2**40),
    NUMBERS,
)
GROUP = st.builds(Group, st.text(), st.lists(PROCESS, max_size=3).map(tuple), STANDING, TALLY, NUMBERS)
LISTENER = st.builds(
    Listener, NUMBERS, NUMBERS, st.text(), st.lists(st.tuples(st.text(), NUMBERS), max_size=2).map(tuple)
)
ROSTER = st.builds(
    Roster,
    NUMBERS,
    st.lists(st.tuples(NUMBERS, st.text()), max_size=3).map(tuple),
    st.lists(GROUP, max_size=3).map(tuple),
    st.lists(LISTENER, max_size=3).map(tuple),
)


@given(ROSTER)
def test_what_was_answered_is_read(one: Roster) -> None:
    line = roster.answer("w", one)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert roster.read_answer("w", line.rstrip(b"\n")) == one


def test_nothing_new() -> None:
    assert roster.read_answer("w", roster.answer("w", None)) == SAME


def test_the_answer_to_another_question_is_none_to_this() -> None:
    assert roster.read_answer("mine", roster.answer("other", None)) is None
    assert roster.read_answer("mine", b'42], "half of an answer"') is None


@given(ROSTER, st.data())
def test_a_part_of_an_answer_is_none(one: Roster, data: st.DataObject) -> None:
    line = roster.answer("w", one).rstrip(b"\n")
    assert roster.read_answer("w", line[: data.draw(st.integers(0, len(line) - 1))]) is None


def test_a_question() -> None:
    assert roster.read_question(roster.question("w", 7)) == ("w", 7)


@given(st.binary())
def test_what_is_no_question(line: bytes) -> None:
    found = roster.read_question(line)
    assert found is None or roster.question(*found).split() == line.split()


def test_orders() -> None:
    orders = Orders(3, 4, Pace(0.5, 7.0, history=True))
    assert Orders.decode(orders.encode()) == orders
    orders = Orders(None, 4, admin=Admin((5, 6), Admission(("::1",), "/run/token")))
    assert Orders.decode(orders.encode()) == orders
