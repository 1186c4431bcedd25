# The gate of instructions: what a profile says, and which rows cost more than they may.

from bench.instructions import MOST, ROWS, STORED, Row, grown, parse, stored
from bench.scenarios import SCENARIOS

PROFILE = """\
version: 1
events: Ir
fl=ceval.c
fn=_PyEval_EvalFrameDefault
100 40
101 2
cfi=send.c
cfn=sock_send
calls=3 10
102 3000
103 8
fl=send.c
fn=sock_send
10 3000
totals: 3050
"""


def test_a_function_has_its_own_instructions_and_not_those_of_whom_it_calls() -> None:
    assert parse(PROFILE) == {"_PyEval_EvalFrameDefault": 50, "sock_send": 3000}


def test_a_row_that_costs_more_is_told_with_its_functions() -> None:
    before = {"hello": Row(1000, {"parse": 600, "send": 400}), "page": Row(1000, {}), "gone": Row(1, {})}
    now = {"hello": Row(1100, {"parse": 600, "look": 100, "send": 400}), "page": Row(1000 * (1 + MOST), {})}
    assert grown(before, {**now, "new": Row(9, {})}) == [
        "hello: +10.0%, 1,000 → 1,100",
        *("        +100  look", "          +0  parse", "          +0  send"),
    ]


def test_a_row_that_costs_less_is_none() -> None:
    assert grown({"hello": Row(1000, {})}, {"hello": Row(500, {})}) == []


def test_the_rows_are_scenarios_of_one_worker_for_wsgi() -> None:
    assert {SCENARIOS[name].workers for name in ROWS} == {1}
    assert all(name in STORED.read_text() for name in ROWS)


def test_what_is_stored_leaves_small_functions_out() -> None:
    kept = stored({"hello": Row(10_000, {"large": 9_991, "small": 9})})["rows"]
    assert kept == {"hello": {"total": 10_000, "functions": {"large": 9_991}}}
