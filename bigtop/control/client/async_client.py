# Talks to a supervisor from a program with asyncio, as client.py does from others.

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from types import TracebackType

import zmq.asyncio

from bigtop.control import addresses, protocol
from bigtop.control.addresses import UnreachableError
from bigtop.control.client import connection
from bigtop.control.client.client import (
    LINGER,
    REACHED_WITHIN,
    Event,
    NoReplyError,
    Properties,
    event,
    no_reply,
    nobody,
    opened,
)
from bigtop.control.client.connection import Identity, Way
from bigtop.control.client.ssh_tunnel import Tunnel
from bigtop.errors import BigtopError


class AsyncClient:
    """Client for asyncio; calls may overlap."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        timeout: float | None = 5.0,
        identity: Identity | None = None,
        tunnel: Tunnel | None = None,
        role: str = "",
    ) -> None:
        """As Client. `role`: the commands are for somebody who may no more than that."""
        self.timeout = timeout
        self._role = role
        self.way = Way(addresses.resolve(endpoint), identity, tunnel)
        self.context: zmq.Context[zmq.asyncio.Socket] = zmq.asyncio.Context()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        try:
            self._socket = connection.dealer(self.context, self.way)
        except BigtopError:
            self.context.term()
            raise
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self.context.destroy(linger=LINGER)

    async def call(self, command: str, **properties: object) -> Properties:
        """As Client.call()."""
        call_id = os.urandom(16).hex()
        self._reader = self._reader or asyncio.create_task(self._read())
        reply = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        sent = False
        try:
            async with asyncio.timeout(self.timeout):
                async with asyncio.timeout(REACHED_WITHIN):
                    await self._socket.send(protocol.call(command, properties, call_id, self._role))
                sent = True
                frame = await reply
        except TimeoutError:
            if not sent:
                raise UnreachableError(nobody(self.way)) from None
            raise NoReplyError(no_reply(self.timeout)) from None
        finally:
            del self._waiting[call_id]
        answer = opened(frame, call_id)
        assert answer is not None
        return answer

    async def cast(self, command: str, **properties: object) -> None:
        """As Client.cast()."""
        try:
            async with asyncio.timeout(REACHED_WITHIN):
                await self._socket.send(protocol.call(command, properties, None))
        except TimeoutError:
            raise UnreachableError(nobody(self.way)) from None

    async def events(self, *topics: str) -> AsyncIterator[Event]:
        """As Client.events(), without an end."""
        options = await self.call("globaloptions", option="pubsub_endpoint")
        way = connection.way_to_events(self.way, options["options"]["pubsub_endpoint"])
        with connection.subscriber(self.context, way, topics) as socket:
            while True:
                yield event(await socket.recv_multipart())

    async def _read(self) -> None:
        while True:
            frame = await self._socket.recv()
            waiting = self._waiting.get(json.loads(frame).get("id"))
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
