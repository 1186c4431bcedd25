# Hubs, as their system account tells of them: which are there, who was cut off, whose claims count no more.
#
# Rule: nothing that is decided rests on it. A cluster whose hubs tell nothing loses time: a node that is gone
# is missed by its beats then.

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bigtop.cluster import claims, link
from bigtop.cluster.keys import USER, KeyPair
from bigtop.cluster.places import Authority, Identity
from bigtop.control.addresses import UnreachableError
from bigtop.errors import BigtopError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_TO_ANSWER: Final = 5.0  # seconds
_TO_COUNT: Final = 1.0


class Hubs:
    """Of the cluster of `authority`, for the controller `name`. follow() is what connects it."""

    def __init__(self, authority: Authority, name: str) -> None:
        self._authority, self._name = authority, f"overseer-{name}"
        self._client: Client | None = None
        self.hear_of_cut: Callable[[str, int], None] | None = None  # key of a user, number of a connection
        self.is_new = asyncio.Event()  # a hub that may have older claims

    async def follow(self) -> None:
        """Be connected for ever."""
        pair, account = KeyPair.made(USER), self._authority.account.public
        allowed = claims.overseer(account, self._name)
        jwt = claims.of_user(self._authority.system, pair.public, self._name, allowed)
        identity = Identity(self._name, pair.seed, jwt)
        while True:
            with suppress(UnreachableError):
                client = await link.connected(self._authority.cluster, identity, patient=True)
                try:
                    await client.subscribe(f"$SYS.ACCOUNT.{account}.DISCONNECT", cb=self._hear)
                    self._client = client
                    await self._watch(client)
                finally:
                    self._client = None
                    await client.close()
            await asyncio.sleep(1)

    async def _watch(self, client: Client) -> None:
        """Return when the connection is over; tell of each hub that it was made to."""
        count = -1
        while not client.is_closed:
            if client.is_connected and client.stats["reconnects"] != count:
                count = client.stats["reconnects"]
                self.is_new.set()
            await asyncio.sleep(1)

    async def _hear(self, message: Msg) -> None:
        with suppress(ValueError, KeyError, TypeError):
            who = json.loads(message.data)["client"]
            if self.hear_of_cut is not None:
                self.hear_of_cut(str(who["user"]), int(who["id"]))

    async def there(self) -> set[str] | None:
        """Return the names of the hubs that answer; None: that cannot be known now."""
        client, found = self._client, set[str]()
        if client is None or not client.is_connected:
            return None
        everybody, many = asyncio.Event(), len(self._authority.cluster.hubs)

        async def hear(message: Msg) -> None:
            with suppress(ValueError, KeyError, TypeError):
                found.add(str(json.loads(message.data)["server"]["name"]))
            if len(found) >= many:
                everybody.set()

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=hear)
        await client.publish("$SYS.REQ.SERVER.PING", b"", reply=inbox)
        with suppress(TimeoutError):
            await asyncio.wait_for(everybody.wait(), _TO_COUNT)
        with suppress(Exception):  # of a connection that is over meanwhile
            await subscription.unsubscribe()
        return found

    async def publish(self, jwt: str) -> None:
        """Have all hubs take the claims of the account in. BigtopError: not now."""
        from nats.errors import Error

        if self._client is None:
            raise BigtopError("no hub is connected")
        try:
            reply = await self._client.request("$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), timeout=_TO_ANSWER)
            said: dict[str, Any] = json.loads(reply.data)
        except (Error, OSError, TimeoutError, ValueError) as error:
            raise BigtopError(f"no hub answers: {error!r}") from None
        if said.get("data", {}).get("code") != 200:
            raise BigtopError(f"a hub refuses them: {said.get('error')}")
