# Signals by name and by number, and what our caller left of them.
#
# Rule: people may write TERM, SIGTERM, term, 15 or SIGRTMIN+1; the program only ever holds the number.

from __future__ import annotations

import re
import signal
import sys

from bigtop.errors import ConfigError

# Asks a process for the stack of every thread (faulthandler.register). A real-time signal where there are
# any: applications have their own ideas about SIGUSR1 and SIGUSR2, while nobody uses this one. (systemd's
# SIGRTMIN+n are for PID 1, glibc keeps its own two below SIGRTMIN.)
STACK_SIGNAL: int = signal.SIGRTMAX - 2 if sys.platform == "linux" else signal.SIGUSR2

# Asks a worker what each of its threads, tasks and greenlets does, and for a profile of its next second
# (workers/reporter.py). These take Python code to be answered.
REPORT_SIGNAL: int = signal.SIGRTMAX - 4 if sys.platform == "linux" else signal.SIGXCPU
PROFILE_SIGNAL: int = signal.SIGRTMAX - 5 if sys.platform == "linux" else signal.SIGPROF

# Interrupts what the main thread of a worker waits for, when the time for open requests is over.
CUT_SIGNAL: int = signal.SIGRTMAX - 3 if sys.platform == "linux" else signal.SIGVTALRM

# Has the main thread of a worker interrupt the application call that it is inside of, if that is past its
# time limit, or holds up the event loop.
INTERRUPT_SIGNAL: int = signal.SIGRTMAX - 6 if sys.platform == "linux" else signal.SIGALRM

_NUMBERS = {name.removeprefix("SIG"): int(member) for name, member in signal.Signals.__members__.items()}
_NAMES = {int(member): member.name for member in signal.Signals}
_REALTIME = re.compile(r"(RTMIN|RTMAX)([+-][0-9]{1,3})")


def heed_children() -> None:
    """Take back that SIGCHLD is ignored; for a process that is Bigtop's, main thread only.

    Ignoring is inherited through exec, and then the kernel itself collects
    children (wait(2)): nobody could learn how they ended.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def number(text: str | int) -> int:
    """Return the number of a signal; ConfigError for what is none on this system."""
    word = str(text).strip().upper().removeprefix("SIG")
    found = _NUMBERS.get(word, 0)
    if re.fullmatch(r"[0-9]{1,3}", word):
        found = int(word)
    elif (match := _REALTIME.fullmatch(word)) and match[1] in _NUMBERS:
        found = _NUMBERS[match[1]] + int(match[2])
        found = found if _is_realtime(found) else 0
    if found not in signal.valid_signals():
        raise ConfigError(f"{text!r} is not a signal here: write a name (TERM, SIGRTMIN+1) or a number")
    return found


def name(signum: int) -> str:
    """Return SIGTERM, SIGRTMIN+3, or "signal 99" for what the system does not know."""
    if signum not in _NAMES and _is_realtime(signum):
        return f"SIGRTMIN+{signum - _NUMBERS['RTMIN']}"
    return _NAMES.get(signum, f"signal {signum}")


def describe(signum: int) -> str:
    """Return a signal as a log line shows it: SIGSEGV (Segmentation fault)."""
    if signum not in _NAMES or _is_realtime(signum):  # strsignal(3) says "Real-time signal 3" to these
        return name(signum)
    return f"{name(signum)} ({signal.strsignal(signum)})"


def _is_realtime(signum: int) -> bool:
    return "RTMIN" in _NUMBERS and _NUMBERS["RTMIN"] <= signum <= _NUMBERS["RTMAX"]
