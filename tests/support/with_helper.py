# `python -m tests.support.with_helper ARGS...`: `bigtop ARGS` with one more process of its own, a helper that
# writes into $HEARD what it was told.

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from bigtop.cli import main
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.launch.run import helper_watchers
from bigtop.supervisor.policy.helper import ENDPOINT, EVENTS, Helper
from bigtop.supervisor.policy.spec import WatcherSpec

HELPER = Helper(
    name="helper",
    module="tests.support.with_helper",
    arguments=("--helper", ENDPOINT, EVENTS, "$(circus.sockets.web)"),
    env={"COLOUR": "red", "PYTHONPATH": os.getcwd()},
    sockets=("web",),
)


def asked_for(_spec: DaemonSpec) -> Iterator[WatcherSpec]:
    yield HELPER.watcher(os.environ)


if __name__ == "__main__":
    if sys.argv[1] == "--helper":
        _file, _helper, *words = sys.argv
        heard = Path(os.environ["HEARD"])
        heard.with_suffix(".new").write_text(" ".join([*words, os.environ["COLOUR"]]))
        heard.with_suffix(".new").rename(heard)
        signal.pause()
    helper_watchers.asked_for = asked_for
    main.main()
