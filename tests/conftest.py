# What holds for every test.

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, and how long to make one, depends on what else the machine does. Speed is
# measured in bench/. `make test` tries the same examples each time, so that a change is not refused for what
# was wrong before it; `make explore` tries others.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("bigtop", PATIENT, derandomize=True)
settings.register_profile("explore", PATIENT)
settings.load_profile("bigtop")


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """A shell that puts tests into the background has them ignore SIGINT, and so all that they start."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session", autouse=True)
def descriptors_end_here() -> None:
    """A shell may have more of them open than three, and leave them to all that it starts."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # that of the folder itself is closed
                os.set_inheritable(int(name), False)


@pytest.fixture(scope="session", autouse=True)
def folders_are_removed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests make with tempfile goes with them: a failed test has said what it saw. The name is short,
    for sockets are below it."""
    with pytest.MonkeyPatch.context() as patch:
        tmp_path_factory.getbasetemp()  # beside it: pytest keeps its own
        folder = tempfile.mkdtemp(prefix="bt-")
        os.chmod(folder, 0o711)  # other users run some of what is below
        patch.setattr(tempfile, "tempdir", folder)
        yield
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def runtime_folder() -> Iterator[None]:
    """Control sockets of what tests start have a folder of their own, with a name that is short enough; and
    so has what they remember, which would be with what this user has typed."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tempfile.mkdtemp(prefix="bigtop-run-")
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.setenv("XDG_STATE_HOME", folder)
        yield
        shutil.rmtree(folder)
