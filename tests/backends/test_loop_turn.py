# The end of a turn of the ASGI server's loop, by itself.

from __future__ import annotations

import asyncio
from typing import Any

from bigtop.backends.asgi.connections.buffered_transport import LoopTurn


class Sender:
    def __init__(self, order: list[str], name: str, fails: bool = False) -> None:
        self._order = order
        self._name = name
        self._fails = fails

    def flush(self) -> None:
        self._order.append(self._name)
        if self._fails:
            raise ValueError(self._name)


def test_who_fails_to_send_costs_nobody_behind_it() -> None:
    faults: list[Any] = []
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
        turn = LoopTurn(loop, 1000, lambda: order.append("post"))
        for name, fails in (("a", False), ("b", True), ("c", True), ("d", False)):
            turn.add(Sender(order, name, fails))
        while "d" not in order:
            await asyncio.sleep(0)
        assert not turn.is_due

    asyncio.run(asyncio.wait_for(main(), 30))
    assert [name for name in order if name != "post"] == ["a", "b", "c", "d"]
    assert [str(fault) for fault in faults] == ["b", "c"]
