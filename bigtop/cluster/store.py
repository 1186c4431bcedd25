# Store of a cluster: keys and values of JetStream, changed by compare-and-set alone.
#
# Rules: controllers use it, nodes never do. What is read may be old: who decides writes with the revision
# that it knows, and hears whether that still counts. Every value is signed: who has the hub can lose or hold
# back what is in it, and make nothing up. It is not the only copy of anything that runs.

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bigtop.cluster.keys import ForgedError, opened
from bigtop.cluster.places import Authority
from bigtop.errors import BigtopError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js.kv import KeyValue

_BUCKET: Final = "bigtop"
_LEAD: Final = "bigtop-lead"
_AUDIT: Final = "bigtop-audit"
_AUDITED: Final = 90 * 86400  # seconds
_AUDIT_BYTES: Final = 256 << 20
_TIMEOUT: Final = 5  # seconds
_LEADER: Final = "leader"


class LostError(BigtopError):
    """Somebody else wrote, or nobody can: who decided on this leads no more."""


class SilentError(LostError):
    """Nobody can write at the moment, or it cannot be known whether it was written."""


class Store:
    """From open() on. LostError: what was to be written was not."""

    def __init__(self, main: KeyValue, lead: KeyValue, client: Client, authority: Authority) -> None:
        self._main, self._lead = main, lead
        self._cluster, self._signer = authority.cluster.name, authority.signer
        self._js = client.jetstream(timeout=_TIMEOUT)

    @classmethod
    async def open(cls, client: Client, authority: Authority) -> Store:
        """Return the store behind the hubs; made where there is none."""
        from nats.errors import Error
        from nats.js.api import KeyValueConfig, StreamConfig

        js, replicas = client.jetstream(timeout=_TIMEOUT), authority.cluster.replicas
        try:
            main = await js.create_key_value(KeyValueConfig(bucket=_BUCKET, history=5, replicas=replicas))
            lead = await js.create_key_value(
                KeyValueConfig(bucket=_LEAD, ttl=authority.cluster.lease, replicas=replicas)
            )
            audit = StreamConfig(
                name=_AUDIT, subjects=[f"bt.{authority.cluster.name}.audit"], max_age=_AUDITED
            )
            audit.max_bytes = _AUDIT_BYTES
            audit.num_replicas = replicas
            await js.add_stream(audit)
        except (Error, OSError, TimeoutError) as error:
            raise SilentError(f"the store cannot be had: {error!r}") from None
        return cls(main, lead, client, authority)

    async def all(self) -> dict[str, tuple[Any, int]]:
        """Return every key with its value and the revision of that."""
        from nats.errors import Error

        found = {}
        try:
            watcher = await self._main.watchall(ignore_deletes=True)
            try:
                while (one := await watcher.updates(timeout=_TIMEOUT)) is not None:
                    found[one.key] = (self._opened(one.key, one.value or b""), one.revision or 0)
            finally:
                await watcher.stop()
        except (Error, OSError, TimeoutError) as error:
            raise SilentError(f"the store does not answer: {error!r}") from None
        return found

    def _opened(self, key: str, data: bytes) -> Any:
        try:
            said = opened(data, {self._signer.public})
        except ForgedError as error:
            raise LostError(f"the store was changed by somebody else: {key}: {error}") from None
        if said.get("key") != key:
            raise LostError(f"the store was changed by somebody else: {key} is not what was written there")
        return said["value"]

    async def put(self, key: str, value: Any, revision: int) -> int:
        """Write where the key has `revision`, 0: where there is none; return its new revision."""
        data = self._signer.signed({"key": key, "value": value})
        return await _written(self._main, key, data, revision)

    async def drop(self, key: str, revision: int) -> None:
        from nats.errors import Error

        try:
            await self._main.delete(key, last=revision)
        except (Error, OSError, TimeoutError) as error:
            raise _lost(key, error) from None

    async def erase(self, key: str, revision: int) -> None:
        """Drop a key that never comes back, and leave no mark: each one would stay for ever."""
        from nats.errors import Error

        await self.drop(key, revision)
        with suppress(Error, OSError, TimeoutError):  # then a mark is left
            await self._js.purge_stream(f"KV_{_BUCKET}", subject=f"$KV.{_BUCKET}.{key}")

    async def lead(self, name: str, revision: int) -> int:
        """Say that `name`, which nobody else has, leads, or leads still; return the revision to say it again
        with. SilentError: that may be known later."""
        try:
            return await _written(self._lead, _LEADER, name.encode(), revision)
        except LostError:
            mine = await self._said_by(name)
            if mine is None or mine == revision:
                raise
        return await _written(self._lead, _LEADER, name.encode(), mine)

    async def _said_by(self, name: str) -> int | None:
        """Return the revision by which `name` leads: one may have written, and not heard of it."""
        from nats.errors import Error

        try:
            found = await self._lead.get(_LEADER)
        except (Error, OSError, TimeoutError):
            return None
        return found.revision if found.value == name.encode() else None

    async def resign(self, revision: int) -> None:
        """Let another one lead at once."""
        from nats.errors import Error

        with suppress(Error, OSError, TimeoutError):  # else it is over when the lease is
            await self._lead.delete(_LEADER, last=revision)

    async def audit(self, said: dict[str, Any]) -> None:
        """Note what somebody did. What cannot be noted is not done: LostError."""
        from nats.errors import Error

        try:
            await self._js.publish(f"bt.{self._cluster}.audit", json.dumps(said).encode())
        except (Error, OSError, TimeoutError) as error:
            raise SilentError(f"nothing can be noted: {error!r}") from None


async def _written(bucket: KeyValue, key: str, value: bytes, revision: int) -> int:
    from nats.errors import Error

    try:
        if revision:
            return int(await bucket.update(key, value, last=revision))
        return int(await bucket.create(key, value))
    except (Error, OSError, TimeoutError) as error:
        raise _lost(key, error) from None


def _lost(key: str, error: Exception) -> LostError:
    from nats.js.errors import KeyWrongLastSequenceError

    kind = LostError if isinstance(error, KeyWrongLastSequenceError) else SilentError
    return kind(f"{key}: {error!r}")
