from __future__ import annotations

from math import nan

import pytest

from bigtop.errors import ConfigError
from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.policy.spec import Command, RestartPolicy, StopPolicy, WatcherSpec

COMMAND = Command(("sleep", "1"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attempts": -1}, "attempts must not be negative, got -1"),
        ({"window": -1}, "window, retry_in and max_delay must be 0 or more"),
        ({"retry_in": -0.5}, "window, retry_in and max_delay must be 0 or more"),
        ({"max_delay": -1}, "window, retry_in and max_delay must be 0 or more"),
        ({"window": nan}, "window, retry_in and max_delay must be 0 or more"),
        ({"retry_in": nan}, "window, retry_in and max_delay must be 0 or more"),
        ({"max_delay": nan}, "window, retry_in and max_delay must be 0 or more"),
        ({"factor": nan}, "factor must be 1 or more, got nan"),
        ({"factor": 0.5}, "factor must be 1 or more, got 0.5"),
    ],
)
def test_a_restart_policy_says_what_is_wrong(values: dict[str, float], message: str):
    with pytest.raises(ConfigError) as caught:
        RestartPolicy(**values)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("seconds", [-2, nan])
def test_a_stop_policy_says_what_is_wrong(seconds: float):
    with pytest.raises(ConfigError) as caught:
        StopPolicy(graceful_timeout=seconds)
    assert str(caught.value) == f"graceful_timeout must be 0 or more, got {seconds}"


def test_a_watcher_needs_a_name():
    with pytest.raises(ConfigError) as caught:
        WatcherSpec("", COMMAND)
    assert str(caught.value) == "a watcher needs a name"


def test_a_watcher_cannot_have_fewer_than_no_processes():
    with pytest.raises(ConfigError) as caught:
        WatcherSpec("web", COMMAND, numprocesses=-1)
    assert str(caught.value) == "numprocesses must not be negative, got -1"


def test_the_limits_themselves_are_allowed():
    RestartPolicy(attempts=0, window=0, retry_in=0, factor=1, max_delay=0, max_retry=0)
    StopPolicy(graceful_timeout=0)
    assert WatcherSpec("web", COMMAND, numprocesses=0).numprocesses == 0


def test_specs_are_compared_by_value_and_cannot_be_changed():
    spec = WatcherSpec("web", COMMAND)
    assert spec == WatcherSpec("web", Command(("sleep", "1")))
    assert hash(spec) == hash(WatcherSpec("web", COMMAND))
    with pytest.raises(AttributeError):
        spec.numprocesses = 2  # type: ignore[misc]


def test_an_exit_status_reads_as_people_say_it():
    assert str(ExitStatus(code=3)) == "exit status 3"
    assert str(ExitStatus(signal=9)) == "signal 9"
