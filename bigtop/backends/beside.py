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
from collections.abc import Callable, Sequence

from bigtop.backends.base import Life
from bigtop.backends.books import Books
from bigtop.backends.draining import drain, wait_until_draining
from bigtop.backends.listeners import wait_until_watched, withdraw

log = logging.getLogger("bigtop.backends")

_OURS = (signal.SIGINT, signal.SIGTERM)


def serve_beside(
    serve: Callable[[], object],
    listeners: Sequence[socket.socket],
    life: Life,
    books: Books,
    say_goodbye: Callable[[], None] = lambda: None,
) -> None:
    """Run `serve` until the supervisor wants the worker gone; main thread only.

    `say_goodbye` makes the server end connections with the next answer.
    """
    handlers = {number: signal.getsignal(number) for number in _OURS}
    thread = threading.Thread(target=_guard, args=(serve, life), name="server", daemon=True)
    thread.start()
    wait_until_watched(listeners, thread)
    for number, handler in handlers.items():
        signal.signal(number, handler)  # C code may have taken it
    life.ready()
    wait_until_draining(life)
    withdraw(listeners)
    say_goodbye()
    drain(life, lambda: books.open > 0)


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
