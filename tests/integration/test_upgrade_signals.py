# Upgrades while signals arrive, and what is open behind them.

from __future__ import annotations

import re
import signal
from collections import Counter

from bigtop.supervisor.processes.descendants import children
from tests.support import procfs
from tests.support.site import lives, until
from tests.support.stack import Stack

TEXT = """
[stats]

[watcher.talks]
cmd = "sh -c 'while :; do echo x; sleep 0.1; done'"
stdout_stream = { class = "FileStream", filename = "{folder}/talks.log" }

[watcher.launched]
cmd = "sleep 1000"
umask = "077"

[app.web]
app = "tests.apps.site:app"
bind = "127.0.0.1:0"
"""
ASKED = "the new version is asked whether it can take over"


def open_ones(stack: Stack) -> Counter[str]:
    """Return how many descriptors of each kind the supervisor has."""
    return Counter(re.sub(r"[0-9]+", "N", kind) for kind in procfs.descriptors(stack.pid).values())


def test_signals_during_the_probe() -> None:
    with Stack(TEXT) as stack:
        stack.wait_for(": started", times=4)
        stack.send(signal.SIGUSR2)
        stack.wait_for("has taken over from")
        until(lambda: "talks.log" in " ".join(open_ones(stack)), "the file of an output")
        before, family = open_ones(stack), children(stack.pid)

        stack.send(signal.SIGUSR2)
        stack.wait_for(ASKED, times=2)
        stack.send(signal.SIGUSR2)
        stack.wait_for("upgrade refused: an upgrade is under way")
        stack.wait_for("has taken over from", times=2)
        assert children(stack.pid) == family
        until(lambda: open_ones(stack) == before, f"as many descriptors as {before}")

        stack.send(signal.SIGUSR2)
        stack.wait_for(ASKED, times=3)
        stack.send(signal.SIGHUP)
        stack.wait_for("has taken over from", times=3)
        log = stack.log()
        assert log.index("web: reloaded") < log.rindex("has taken over from")
        until(lambda: open_ones(stack) == before, f"as many descriptors as {before}")

        stack.send(signal.SIGUSR2)
        stack.wait_for(ASKED, times=4)
        stack.family()
        assert stack.stop(signal.SIGTERM) == 0
        assert not any(map(lives, stack._seen))
        assert stack.log().count("has taken over from") == 3
