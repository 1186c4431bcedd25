from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bigtop.record import replace
from bigtop.supervisor.policy.plan import Add, Keep, Remove, Replace, Scale, Step, plan
from bigtop.supervisor.policy.spec import Command, StopPolicy, WatcherSpec

WEB = WatcherSpec("web", Command(("web",)), numprocesses=2)
JOBS = WatcherSpec("jobs", Command(("jobs",)))


def by_name(*specs: WatcherSpec) -> dict[str, WatcherSpec]:
    return {spec.name: spec for spec in specs}


def test_a_new_name_is_added():
    assert plan(by_name(WEB), by_name(WEB, JOBS)) == [Keep("web"), Add(JOBS)]


def test_a_missing_name_is_removed_before_anything_else():
    assert plan(by_name(WEB), by_name(JOBS)) == [Remove("web"), Add(JOBS)]


def test_an_equal_spec_is_kept():
    assert plan(by_name(WEB), by_name(replace(WEB))) == [Keep("web")]


def test_another_count_is_scaled():
    assert plan(by_name(WEB), by_name(replace(WEB, numprocesses=5))) == [Scale("web", 5)]


def test_any_other_difference_replaces():
    slower = replace(WEB, stop=StopPolicy(graceful_timeout=60))
    assert plan(by_name(WEB), by_name(slower)) == [Replace(slower)]


def test_a_difference_besides_the_count_replaces():
    other = replace(WEB, numprocesses=5, boot_timeout=1)
    assert plan(by_name(WEB), by_name(other)) == [Replace(other)]


def test_nothing_to_nothing():
    assert plan({}, {}) == []


def perform(running: dict[str, WatcherSpec], steps: list[Step]) -> dict[str, WatcherSpec]:
    after = dict(running)
    for step in steps:
        match step:
            case Add(spec):
                assert spec.name not in after
                after[spec.name] = spec
            case Replace(spec):
                assert spec.name in after
                after[spec.name] = spec
            case Remove(name):
                del after[name]
            case Scale(name, count):
                assert count != after[name].numprocesses
                after[name] = replace(after[name], numprocesses=count)
            case Keep(name):
                assert name in after
    return after


specs = st.builds(
    WatcherSpec,
    name=st.sampled_from("abcd"),
    target=st.sampled_from([Command(("x",)), Command(("y",))]),
    numprocesses=st.integers(0, 2),
    boot_timeout=st.sampled_from([1.0, 2.0]),
)
sets = st.lists(specs, max_size=4).map(lambda specs: by_name(*specs))


@given(sets, sets)
def test_performed_it_makes_the_new_out_of_the_old(old: dict[str, WatcherSpec], new: dict[str, WatcherSpec]):
    assert perform(old, plan(old, new)) == new
