# Asking the leading controller: for programs that have the keys of a cluster, and for who wants to join one.
#
# Rule: an answer counts when the cluster's signer signed it, for what was asked.

from __future__ import annotations

import asyncio
import getpass
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bigtop.cluster import claims, keys, link, places
from bigtop.cluster.keys import USER, KeyPair
from bigtop.cluster.places import Authority, Cluster, Identity, Membership
from bigtop.control.addresses import UnreachableError
from bigtop.errors import CommandError
from bigtop.record import replace

if TYPE_CHECKING:
    from nats.aio.client import Client

_AGAIN: Final = 0.3  # seconds
_TO_TELL: Final = 3.0  # seconds
TIMEOUT: Final = 10.0  # seconds


Ask = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]


async def ask(
    authority: Authority, kind: str, said: Mapping[str, Any], timeout: float = TIMEOUT
) -> dict[str, Any]:
    """Return what the leader answers. CommandError: it says no; UnreachableError: nobody leads."""
    async with session(authority, timeout) as asked:
        return await asked(kind, said)


@asynccontextmanager
async def session(authority: Authority, timeout: float = TIMEOUT) -> AsyncIterator[Ask]:
    """Have one connection for many questions; yield what asks one of them. UnreachableError: to no hub."""
    name = f"op-{os.urandom(4).hex()}"
    identity = authority.identity(name, claims.operator(authority.cluster.name, name))
    client = await link.connected(authority.cluster, identity)

    async def asked(kind: str, said: Mapping[str, Any]) -> dict[str, Any]:
        limit = time.monotonic() + TIMEOUT
        while (answer := await _asked(authority, client, {**said, "kind": kind}, timeout)) is None:
            if time.monotonic() >= limit:
                why = await _why(authority.cluster, client) or "its time is over"
                raise UnreachableError(f"cluster {authority.cluster.name}: no controller leads ({why})")
            await asyncio.sleep(_AGAIN)
        if answer.pop("status") != "ok":
            raise CommandError(str(answer["reason"]))
        return answer

    try:
        yield asked
    finally:
        await client.close()


async def _asked(
    authority: Authority, client: Client, said: Mapping[str, Any], timeout: float
) -> dict[str, Any] | None:
    """Return what was answered; None: by one who leads no more, and has done nothing."""
    trusted, subject = {authority.signer.public}, f"bt.{authority.cluster.name}.op"
    async with _answered(authority.cluster, client):
        hello = keys.opened((await client.request(subject, b"hello", timeout=TIMEOUT)).data, trusted)
        if hello["status"] != "ok":
            return None
        word = hello["word"]
        data = authority.signer.signed({**said, "word": word, "who": getpass.getuser()})
        answer = keys.opened((await client.request(subject, data, timeout=timeout)).data, trusted)
    if answer["status"] == "over":
        return None
    if answer.pop("to") != word:
        raise CommandError("the answer is one to somebody else")
    return answer


async def join(token: str, hub: str, name: str, tags: tuple[str, ...], folder: Path) -> Membership:
    """Join a cluster, and note that in `folder`. The private key of the node never leaves it."""
    cluster, identity = places.read_token(token)
    if hub:
        cluster = replace(cluster, hubs=(hub,))
    pair = _own_key(folder, cluster)
    client = await link.connected(cluster, identity)
    try:
        said = {"name": name, "tags": list(tags), "key": pair.public}
        subject = f"bt.{cluster.name}.join.{identity.name}"
        async with _answered(cluster):
            reply = await client.request(subject, json.dumps(said).encode(), timeout=TIMEOUT)
    finally:
        await client.close()
    answer = keys.opened(reply.data, {cluster.signer})
    if answer.get("to") != identity.name or answer.get("cluster") != cluster.name:
        raise CommandError("the answer is one to somebody else")
    if "error" in answer:
        raise CommandError(str(answer["error"]))
    membership = Membership(cluster, Identity(name, pair.seed, str(answer["jwt"])))
    places.write_membership(folder, membership)
    return membership


@asynccontextmanager
async def _answered(cluster: Cluster, client: Client | None = None) -> AsyncIterator[None]:
    """Say that nobody leads where nobody answers; and why not, if who asks may hear of it."""
    try:
        yield
    except Exception as error:  # nats-py is an extra: its errors are known by their module
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] != "nats":
            raise
        why = await _why(cluster, client) if client is not None else ""
        raise UnreachableError(
            f"cluster {cluster.name}: no controller leads ({why or repr(error)})"
        ) from None


async def _why(cluster: Cluster, client: Client) -> str:
    """Return what a controller that does not lead says of that, "" if there is none."""
    word = os.urandom(8).hex()
    try:
        reply = await client.request(f"bt.{cluster.name}.why", word.encode(), timeout=_TO_TELL)
        answer = keys.opened(reply.data, {cluster.signer})
    except Exception:  # nobody, or no hub: the first error tells it
        return ""
    return f"{answer['name']}: {answer['reason']}" if answer["to"] == word else ""


def _own_key(folder: Path, cluster: Cluster) -> KeyPair:
    """Return the key of this node: who joins the same cluster again keeps it."""
    if (folder / "node.json").exists():
        before = places.read_membership(folder)
        if before.cluster.name != cluster.name:
            raise CommandError(f"{folder}: this node is one of cluster {before.cluster.name}")
        return KeyPair.of(before.identity.seed)
    return KeyPair.made(USER)
