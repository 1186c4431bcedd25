# A running plugin of Circus' kind: made with Circus' arguments, and told apart from others by its base class.
#
# Rule: nothing of Circus is imported here by name. Its plugins do that, and so may run without Circus.

from __future__ import annotations

import signal
import sys
from typing import Any

from bigtop.control.client.client import Client
from bigtop.log import logger as get_logger
from bigtop.plugins import alarm
from bigtop.plugins.orders import Orders

logger = get_logger("bigtop")


def run(kind: type, orders: Orders, endpoint: str, events: str) -> None:
    """Run a plugin until it stops, or SIGTERM comes."""
    with Client(endpoint) as client:
        supervisor = int(client.call("version")["pid"])
    _follow_our_log(orders.loglevel)
    signal.signal(signal.SIGTERM, _end)
    # Circus hands its plugins a mapping of texts.
    plugin: Any = kind(endpoint, events, orders.check_delay, None, **orders.config)

    if not plugin.active:
        logger.info("not active: waits to be stopped")
        alarm.disarm()
        signal.pause()

    def keep_off() -> None:
        try:
            alarm.put_off(orders.hang_timeout, supervisor)
        except alarm.AloneError as error:
            raise SystemExit(str(error)) from None
        plugin.loop.call_later(orders.hang_timeout / 4, keep_off)

    plugin.loop.call_later(0, keep_off)
    try:
        plugin.start()
    finally:
        plugin.stop()


def _end(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def _follow_our_log(level: str) -> None:
    """Have Circus' logger, if somebody imported it, say what it has to say where Bigtop's does."""
    theirs = getattr(sys.modules.get("circus"), "logger", None)
    if theirs is not None and theirs is not logger:
        theirs.handlers = logger.handlers[:]
        theirs.setLevel(level.upper())
        theirs.propagate = False
