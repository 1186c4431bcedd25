import contextlib
import faulthandler
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.system import signals


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "term", "SigTerm", " TERM ", "15", 15, signal.SIGTERM])
def test_every_way_to_write_term(text):
    assert signals.number(text) == 15


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+1", signal.SIGRTMIN + 1),
        ("rtmax-2", signal.SIGRTMAX - 2),
        ("SIGCLD", signal.SIGCHLD),
        (str(signal.SIGRTMIN + 4), signal.SIGRTMIN + 4),
    ],
)
def test_realtime_signals_and_aliases(text, expected):
    assert signals.number(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "SIG", "TERMINATE", "0", 0, "-1", -15, "65", "32", "999999999", "RTMIN-1", "RTMAX+1", "RTMIN+31",
     "TERM+1", "\u0661\u0665"],
)  # fmt: skip
def test_what_is_no_signal_is_named(text):
    with pytest.raises(ConfigError) as caught:
        signals.number(text)
    assert repr(text) in str(caught.value)


@given(st.one_of(st.text(), st.integers()))
def test_anything_is_a_valid_signal_or_a_config_error(text):
    with contextlib.suppress(ConfigError):
        assert signals.number(text) in signal.valid_signals()


@pytest.mark.parametrize("signum", sorted(signal.valid_signals()))
def test_names_lead_back_to_numbers(signum):
    assert signals.number(signals.name(signum)) == signum


def test_descriptions():
    assert signals.describe(signal.SIGSEGV) == "SIGSEGV (Segmentation fault)"
    assert signals.describe(signal.SIGRTMIN) == "SIGRTMIN"
    assert signals.describe(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
    assert signals.describe(32) == "signal 32"
    assert signals.describe(99) == "signal 99"


def test_the_stack_signal_dumps_stacks(tmp_path):
    with open(tmp_path / "stacks", "w+") as file:
        faulthandler.register(signals.STACK_SIGNAL, file)
        try:
            signal.raise_signal(signals.STACK_SIGNAL)
        finally:
            faulthandler.unregister(signals.STACK_SIGNAL)
        file.seek(0)
        assert "test_the_stack_signal_dumps_stacks" in file.read()


STACKS = """
import faulthandler, mmap, os
from bigtop.system import kernel
faulthandler.enable()
assert kernel.widen_signal_stack(1 << 16)
kernel._signal_stack[0] = 1
if os.fork() == 0:
    kernel._signal_stack[0] = 2
    os._exit(0)
os.wait()
print(kernel._signal_stack[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack(2) is asked for on Linux alone")
def test_a_process_that_is_forked_has_a_stack_of_its_own_for_signals() -> None:
    done = subprocess.run([sys.executable, "-c", STACKS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")
