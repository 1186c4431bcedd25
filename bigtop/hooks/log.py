# What hooks find as log, with the methods of gunicorn's: it writes into Bigtop's own log.

from __future__ import annotations

import logging

from bigtop import log as own
from bigtop.hooks.cfg import Cfg


class Log:
    """`error_log` is the logger that files name by hand, too."""

    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        ours = own.logger("bigtop")
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        for theirs in (self.error_log, self.access_log):
            if not theirs.handlers:
                theirs.handlers[:] = ours.handlers
                theirs.propagate = False
                theirs.setLevel(ours.level)
        self.loglevel = self.error_log.level
        self.critical, self.error = self.error_log.critical, self.error_log.error
        self.warning, self.info = self.error_log.warning, self.error_log.info
        self.debug, self.exception = self.error_log.debug, self.error_log.exception
        self.log = self.error_log.log

    def reopen_files(self) -> None:
        """Nothing to be done: Bigtop does that with its log."""

    def close_on_exec(self) -> None:
        """Likewise."""
