# A server that blocks its thread for good, in a thread beside the one that hears the supervisor.
#
# Rule 1: the main thread is ours. It waits for the supervisor's word and runs signal handlers, which Python
# never runs while C code holds the main thread.
# Rule 2: servers of this kind know no gentle end. They are cut off from new connections, given time to answer
# what they have, and end with the process.
# Rule 3: a server that ends by itself takes the worker with it, to be replaced.

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence

from bigtop.backends.adapters.drain import SOON, drain, wait_until_draining
from bigtop.backends.adapters.listeners import unclaimed, wait_until_watched, withdraw
from bigtop.backends.adapters.wsgi_meter import WsgiMeter
from bigtop.backends.base import Life
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backends")

_OURS = (signal.SIGINT, signal.SIGTERM)


def serve_in_thread(
    serve: Callable[[], object],
    listeners: Sequence[socket.socket],
    life: Life,
    meter: WsgiMeter,
    end_keep_alive: Callable[[], None] = lambda: None,
) -> None:
    """Run `serve` until the supervisor wants the worker gone; main thread only.

    `end_keep_alive` makes the server end connections with the next answer.
    """
    handlers = {number: signal.getsignal(number) for number in _OURS}
    thread = threading.Thread(target=_guard, args=(serve, life), name="server", daemon=True)
    thread.start()
    wait_until_watched(listeners, thread)
    for number, handler in handlers.items():
        signal.signal(number, handler)  # C code may have taken it
    life.ready()
    wait_until_draining(life)
    for _ in unclaimed(listeners, life):
        time.sleep(SOON)
    withdraw(listeners)
    end_keep_alive()
    drain(life, lambda: meter.is_busy)


def _guard(serve: Callable[[], object], life: Life) -> None:
    try:
        serve()
    except BaseException:
        # Whatever it was, nobody answers requests any more. A dead worker is replaced, a deaf one is not.
        log.critical("the worker ends: its server failed", exc_info=True)
    else:
        if life.draining:
            return
        log.critical("the worker ends: its server stopped by itself")
    logging.shutdown()
    os._exit(os.EX_SOFTWARE)
