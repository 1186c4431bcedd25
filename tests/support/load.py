# Many keep-alive clients at once, each asking again and again, which count what went wrong.
#
# They leave room on the machine for others: RATE is what all of them together ask at most.
#
# A client does what HTTP/1.1 obliges it to (it reconnects after `Connection: close`) and nothing more: it
# never repeats a request. The application answers with its pid, so a failure can be laid at a worker's door.

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field

RATE = 500  # requests per second


@dataclass
class Failure:
    worker: int | None  # the pid that answered on this connection before
    error: str
    port: int = 0  # of the client


@dataclass
class Load:
    """`clients` connections to `port`, from a thread of its own, in a with statement."""

    port: int
    clients: int
    path: str = "/pid"
    tls: ssl.SSLContext | None = None  # with one, it is spoken
    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    workers: set[int] = field(default_factory=set)
    _over: bool = False

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(60)
        assert not self._thread.is_alive(), "a client hangs"

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self) -> None:
        while not self._over:
            worker: int | None = None
            try:
                name = None if self.tls is None else "localhost"
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=self.tls, server_hostname=name
                )
            except OSError as error:
                if not self._over:
                    self.failures.append(Failure(None, f"connect: {error!r}"))
                return
            port = writer.get_extra_info("sockname")[1]
            try:
                closing = False
                while not self._over and not closing:
                    writer.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 40)
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                    body = await reader.readexactly(length)
                    if head.split(b" ", 2)[1] != b"200":
                        raise ValueError(head)
                    worker = int(body)
                    self.workers.add(worker)
                    self.answered += 1
                    closing = head.startswith(b"HTTP/1.0") or b"connection: close" in head.lower()
                    await asyncio.sleep(0 if closing else self.clients / RATE)
            except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.failures.append(Failure(worker, repr(error), port))
            finally:
                writer.close()
                if self.tls is not None:  # nobody waits for the other side's goodbye
                    writer.transport.abort()
                    with suppress(OSError):
                        await writer.wait_closed()
