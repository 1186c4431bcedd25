# The process of a plugin: `python -m bigtop.plugins.host ENDPOINT EVENTS`, with its orders in $BIGTOP_PLUGIN.
#
# Rule: whatever is wrong ends it with one line, or with the traceback of the plugin's own code.

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback

from bigtop import log
from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger
from bigtop.plugins import alarm, lookup, state
from bigtop.plugins.orders import VARIABLE, Orders
from bigtop.plugins.plugin import Plugin
from bigtop.record import replace
from bigtop.system import kernel

logger = get_logger("bigtop")


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the supervisor says when we end
    alarm.arm()
    endpoint, events = sys.argv[1:]
    orders = Orders.decode(os.environ.pop(VARIABLE))
    kernel.set_title(f"bigtop: {orders.name}")
    log.configure(orders.loglevel)
    sys.path.insert(0, "")  # plugins may lie in the folder where they run
    try:
        run(orders, endpoint, events)
    except BigtopError as error:
        logger.error("%s", error)
        return error.exit_status
    except BaseExceptionGroup as group:
        return _failed(group)
    return 0


def run(orders: Orders, endpoint: str, events: str) -> None:
    kind = lookup.find(orders.use)
    if not issubclass(kind, Plugin):
        from bigtop.plugins.circus import running as of_circus

        of_circus.run(kind, orders, endpoint, events)
        return
    daemon = os.path.basename(endpoint).rsplit(".", 2)[0]
    path = orders.state_file or state.default_path(daemon, orders.name, os.environ, os.geteuid())
    asyncio.run(_until_told(kind, replace(orders, state_file=path), endpoint, events))


async def _until_told(kind: type[Plugin], orders: Orders, endpoint: str, events: str) -> None:
    from bigtop.plugins import running  # with ZeroMQ

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await running.run(kind, orders, endpoint, events, over)


def _failed(group: BaseExceptionGroup[BaseException]) -> int:
    """Tell what a plugin raised, without the machinery around it."""
    status = 1
    for error in _leaves(group):
        if isinstance(error, BigtopError):
            logger.error("%s", error)
            status = error.exit_status
        else:
            logger.error("%s", "".join(traceback.format_exception(error)).rstrip())
    return status


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]


if __name__ == "__main__":
    sys.exit(main())
