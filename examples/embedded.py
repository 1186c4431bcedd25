"""A program with helpers: three workers that are kept alive for as long as it runs.

    python examples/embedded.py

The supervisor is a process of its own, so this program keeps its signals, threads and children to itself.
When it ends, however it ends, its workers do.
"""

from __future__ import annotations

import asyncio
import os
import signal

from bigtop import Supervisor

WORKER = {"name": "worker", "cmd": "sleep 1000", "numprocesses": 3}


async def main() -> None:
    async with Supervisor([WORKER]) as supervisor:
        pids = await supervisor.pids("worker")
        print("workers:", *pids)

        print("killing one of them")
        asyncio.get_running_loop().call_later(0.2, os.kill, pids[0], signal.SIGKILL)
        async for event in supervisor.events("watcher.worker."):
            print("  ", event.name, event.payload.get("process_pid", ""))
            if event.name == "spawn":
                break

        await supervisor.scale("worker", 5)
        print("workers:", *await supervisor.pids("worker"))


if __name__ == "__main__":
    asyncio.run(main())
