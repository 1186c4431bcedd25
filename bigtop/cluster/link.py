# Link to a hub: one connection of NATS, as somebody, which comes back by itself.
#
# Rule: it goes outwards only, and waits 1 to 4 s, by chance, before it tries again: a thousand nodes that
# lost their hub at once do not come back at once.

from __future__ import annotations

import asyncio
import base64
import random
import ssl
from typing import TYPE_CHECKING, Any, Final, Literal

from bigtop.cluster.claims import inbox
from bigtop.cluster.keys import KeyPair
from bigtop.cluster.places import Cluster, Identity
from bigtop.control.addresses import UnreachableError
from bigtop.errors import ConfigError
from bigtop.log import logger as get_logger

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection

logger = get_logger("bigtop.cluster")

_CONNECT: Final = 5  # seconds
_PATIENCE: Final = 60  # seconds until all is tried anew
_PING: Final = 20  # seconds; a hub that answers none of two is gone
_REFUSALS: Final = ("authorization", "authentication", "revoked")
_SOON: Final = 0.2  # seconds, where somebody sits and waits
_LEAST, _MOST = 1.0, 4.0  # seconds between two tries


async def connected(cluster: Cluster, identity: Identity, *, patient: bool = False) -> Connection:
    """Connect to one of the hubs. UnreachableError: nobody lets us in, also not within a minute if one is
    `patient`; ConfigError: nats-py is not installed.

    Who was patient is connected anew where the connection breaks, until it is closed: that happens to whom
    the hubs do not let in any more, and to who made a mistake.
    """
    try:
        from nats.aio.client import Client
        from nats.errors import Error, NoServersError
    except ImportError:
        raise ConfigError("a cluster takes nats-py: pip install 'bigtop[cluster]'") from None
    told: list[str] = []
    client, refused = Client(), asyncio.Event()
    closing: list[asyncio.Task[None]] = []  # held until it is over

    async def complain(error: Exception) -> None:
        text = str(error) or type(error).__name__
        if not client.is_connected and any(word in text.lower() for word in _REFUSALS):
            refused.set()
            if client.is_reconnecting:
                closing.append(asyncio.create_task(client.close()))  # it would go on for ever
        if not told or told[-1] != text:  # once for each trouble, not for each try
            logger.warning("hub: %s", text)
        told[:] = [text]

    options = _options(cluster, identity, patient=patient)
    trying = asyncio.create_task(client.connect(error_cb=complain, **options))
    limit = _CONNECT * len(cluster.hubs) + (_PATIENCE if patient else 1)
    await _first(trying, asyncio.create_task(refused.wait()), limit)
    if not await _is_over(trying, 0):
        raise _away(cluster, told[-1] if told else "")
    try:
        trying.result()
    except (Error, NoServersError, OSError, ssl.SSLError, TimeoutError) as error:
        await _is_over(asyncio.create_task(client.close()), 1)
        raise _away(cluster, str(error)) from None
    return client


def _options(cluster: Cluster, identity: Identity, *, patient: bool) -> dict[str, Any]:
    """Return what a connection is told of itself."""
    pair = KeyPair.of(identity.seed)
    options: dict[str, Any] = {
        "servers": list(cluster.hubs),
        "name": identity.name,
        "connect_timeout": _CONNECT,
        "ping_interval": _PING,
        "max_outstanding_pings": 2,
        "reconnect_time_wait": random.uniform(_LEAST, _MOST) if patient else _SOON,  # noqa: S311
        "max_reconnect_attempts": -1 if patient else 2,
        "allow_reconnect": patient,
        "inbox_prefix": inbox(identity.name),
        "user_jwt_cb": lambda: bytearray(identity.jwt.encode()),
        "signature_cb": lambda nonce: base64.b64encode(pair.sign(nonce.encode())),
    }
    if (context := cluster.context()) is not None:
        options["tls"] = context
    return options


def _away(cluster: Cluster, why: str) -> UnreachableError:
    return UnreachableError(f"{', '.join(cluster.hubs)}: {why or 'nobody answers'}")


async def _first(trying: asyncio.Task[None], refusal: asyncio.Task[Literal[True]], seconds: float) -> None:
    """Wait for what comes first, so long at most."""
    await asyncio.wait({trying, refusal}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    refusal.cancel()


async def _is_over(task: asyncio.Task[None], seconds: float) -> bool:
    """Wait for what nats-py does, which may take for ever: such as with a certificate that it does not
    believe. What is not over then is ended, also if it takes one cancellation for a failure, and goes on."""
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        return True
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    if not task.cancelled():
        task.exception()  # which nobody asks for
    return False
