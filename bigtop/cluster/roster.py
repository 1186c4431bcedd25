# Roster of a cluster: its nodes with their keys, the tokens that were used, and the keys that count no more.
#
# Rules: what is stored comes first, as with all that a leader decides. Who left is not heeded from then on;
# that hubs cut it off, and let it in no more, follows, and is said again until they have heard it.

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from bigtop.cluster import places
from bigtop.cluster.hubs import Hubs
from bigtop.cluster.keys import is_public
from bigtop.cluster.places import Authority
from bigtop.cluster.registry import Node, Registry
from bigtop.cluster.store import Store
from bigtop.errors import BigtopError, CommandError
from bigtop.log import logger as get_logger
from bigtop.record import as_dict, replace

logger = get_logger("bigtop.cluster")

_REMEMBERED: Final = 3600.0 * 24 * 8  # seconds that a used token is
MOST_TAGS: Final = 32
_AGAIN: Final = 5.0  # seconds


class Roster:
    """Of one leader; who calls what writes holds its lock. `check` raises where it may not write."""

    def __init__(self, store: Store, authority: Authority, hubs: Hubs, check: Callable[[], None]) -> None:
        self._store, self._authority, self._hubs, self._check = store, authority, hubs, check
        self.registry = Registry({}, time.monotonic(), authority.cluster)
        self.revoked: dict[str, int] = {}  # by key: claims that were issued by then, since 1970
        self._issued = 0  # of the claims of the account
        self._is_told = False  # hubs know of those
        self._tried_at = -_AGAIN
        self._revisions: dict[str, int] = {}  # of the store
        self._tokens: dict[str, int] = {}

    def restore(self, found: Mapping[str, tuple[Any, int]]) -> None:
        """Know what is stored."""
        nodes = {}
        for key, (value, at) in found.items():
            kind, _, name = key.partition(".")
            if kind == "node":
                nodes[name] = node_of(value)
                self._revisions[key] = at
            elif kind == "token":
                self._tokens[name] = at
        value, self._revisions["meta.claims"] = found.get("meta.claims", ({}, 0))
        self.revoked, self._issued = dict(value.get("revoked", {})), int(value.get("issued", 0))
        self.registry = Registry(nodes, time.monotonic(), self._authority.cluster)

    async def join(self, token: str, said: Mapping[str, Any]) -> str:
        """Let a node in; return its claims. CommandError: not so, or not with this token."""
        name, key, tags = str(said["name"]), str(said["key"]), tuple(map(str, said["tags"]))
        if not all(places.NAME.fullmatch(word) for word in (name, *tags)) or len(tags) > MOST_TAGS:
            raise CommandError(
                f"names of nodes and tags have letters, digits, _ and -; {MOST_TAGS} tags at most"
            )
        if time.time() >= float(token.partition("-")[0]):
            raise CommandError("the token has expired")
        if token in self._tokens:
            raise CommandError("the token was used before")
        if not is_public(key):
            raise CommandError("this is no key of a node")
        known = self.registry.nodes.get(name)
        if known is not None and known.key != key:
            raise CommandError(f"there is a node {name} with another key: bigtop cluster leave {name}")
        if any(one.key == key for other, one in self.registry.nodes.items() if other != name):
            raise CommandError("this key is that of a node with another name: bigtop cluster leave it")
        before = known.issued if known is not None else 0
        issued = max(int(time.time()), self.revoked.get(key, -1) + 1, before)
        self._check()
        self._tokens[token] = await self._store.put(f"token.{token}", {}, 0)
        await self.put(name, Node(key, tags, known is not None and known.cordoned, issued))
        await self._store.audit({"what": "join", "node": name, "tags": list(tags)})
        await self._forget_tokens()
        logger.info("node %s joined", name)
        return self._authority.node_claims(name, key, issued)

    async def _forget_tokens(self) -> None:
        for token, revision in list(self._tokens.items()):
            if time.time() - float(token.partition("-")[0]) > _REMEMBERED:
                await self._store.drop(f"token.{token}", revision)
                del self._tokens[token]

    async def put(self, name: str, node: Node) -> None:
        await self._put(f"node.{name}", as_dict(node))
        self.registry.know(name, node)

    async def change(self, name: str, **changes: Any) -> None:
        """Have a node that there is be another one in some ways."""
        await self.put(name, replace(self.registry.nodes[name], **changes))

    async def _put(self, key: str, value: Any) -> None:
        self._check()
        self._revisions[key] = await self._store.put(key, value, self._revisions.get(key, 0))

    async def drop(self, name: str) -> None:
        """Have a node belong no more, nor the claims that it has."""
        node = self.registry.nodes[name]
        await self.revoke({node.key: max(node.issued, int(time.time()))})
        self._check()
        await self._store.drop(f"node.{name}", self._revisions.pop(f"node.{name}"))
        self.registry.forget(name)
        await self.publish()

    async def revoke(self, keys: Mapping[str, int]) -> None:
        """Have claims count no more: for each key, those that were issued by then."""
        revoked = {**self.revoked, **{key: max(at, self.revoked.get(key, 0)) for key, at in keys.items()}}
        if revoked != self.revoked:
            issued = max(int(time.time()), self._issued + 1)
            await self._put("meta.claims", {"issued": issued, "revoked": revoked})
            self.revoked, self._issued, self._is_told = revoked, issued, False
            self._tried_at = -_AGAIN

    async def publish(self) -> None:
        """Tell hubs which claims count no more, if they may not know."""
        if self._hubs.is_new.is_set():
            self._hubs.is_new.clear()
            self._is_told = False
        now = time.monotonic()
        if self._is_told or not self.revoked or now - self._tried_at < _AGAIN:
            return
        self._tried_at = now
        try:
            await self._hubs.publish(self._authority.account_claims(self.revoked, self._issued))
            self._is_told = True
        except BigtopError as error:
            logger.warning("hubs do not know yet who left: %s", error)


def node_of(said: Mapping[str, Any]) -> Node:
    """Return what as_dict() made of one. KeyError, TypeError, ValueError: it is nothing of that kind."""
    return Node(str(said["key"]), tuple(said["tags"]), bool(said["cordoned"]), int(said.get("issued", 0)))
