# Claims: the JWTs by which a hub knows who may connect, and what each may say and hear.
#
# Rules: a hub has public claims alone. Who may connect is decided by who holds the account's key, so a new
# node changes nothing on a hub. Claims that are newer, by what their signer says, take the place of older
# ones: `issued` is in seconds since 1970, grows for one key, and nobody compares it with a clock of his own.

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bigtop.cluster.keys import KeyPair
from bigtop.record import Record

_LIMITS: Final = (
    *("subs", "data", "payload", "imports", "exports", "conn", "leaf"),
    *("mem_storage", "disk_storage", "streams", "consumer"),
)
_EVERYTHING: Final = {**dict.fromkeys(_LIMITS, -1), "wildcards": True}


ANSWER: Final = 1 << 20  # bytes that a node may say at once: an answer to a command
WORD: Final = 1 << 12  # bytes that who has nothing but a token may


class Permissions(Record):
    """Subjects; `replies` lets who is asked something answer it once. `payload` is in bytes, `subscriptions`
    a number; -1: what the hub bears."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    replies: bool = False
    payload: int = -1
    subscriptions: int = -1


def node(cluster: str, name: str) -> Permissions:
    """Return what a node may say and hear: as itself, and to those who ask it."""
    said = tuple(f"bt.{cluster}.{word}.{name}" for word in ("hb", "ask", "bye"))
    heard = (f"bt.{cluster}.cmd.{name}", f"{inbox(name)}.>")
    return Permissions(said, heard, replies=True, payload=ANSWER, subscriptions=10)


def joiner(cluster: str, token: str) -> Permissions:
    """Return what who has a token may do: ask to be let in."""
    said, heard = (f"bt.{cluster}.join.{token}",), (f"{inbox(token)}.>",)
    return Permissions(said, heard, payload=WORD, subscriptions=10)


def operator(cluster: str, name: str) -> Permissions:
    """Return what a person may do: ask the controller, who checks a signature."""
    return Permissions((f"bt.{cluster}.op", f"bt.{cluster}.why"), (f"{inbox(name)}.>",))


def overseer(account: str, name: str) -> Permissions:
    """Return what a controller may do in the system account: hear who connects to the account, and change
    the claims of that."""
    said = ("$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE")
    return Permissions(said, (f"$SYS.ACCOUNT.{account}.DISCONNECT", f"{inbox(name)}.>"))


CONTROLLER: Final = Permissions((">",), (">",))


def inbox(name: str) -> str:
    """Return where replies to somebody go, who may hear no other ones."""
    return f"_INBOX.{name}"


def of_operator(key: KeyPair, cluster: str) -> str:
    return _signed(key, key.public, cluster, {"type": "operator"})


def of_account(
    operator_key: KeyPair,
    account: str,
    name: str,
    *,
    has_store: bool,
    revoked: Mapping[str, int] | None = None,
    issued: int | None = None,
) -> str:
    """Return the claims of an account; JetStream is for one that `has_store`. `revoked` are keys of users,
    whose claims count no more if they were issued by then."""
    limits = dict(_EVERYTHING)
    if not has_store:
        limits |= {"mem_storage": 0, "disk_storage": 0, "streams": 0, "consumer": 0}
    said = {"type": "account", "limits": limits, **({"revocations": dict(revoked)} if revoked else {})}
    return _signed(operator_key, account, name, said, issued=issued)


def of_user(
    account: KeyPair,
    user: str,
    name: str,
    allowed: Permissions,
    expires: float | None = None,
    issued: int | None = None,
) -> str:
    """Return the claims of one user of the account; `expires` is in seconds since 1970."""
    said: dict[str, Any] = {
        "type": "user",
        "pub": _allow(allowed.publish),
        "sub": _allow(allowed.subscribe),
        "subs": allowed.subscriptions,
        "data": -1,
        "payload": allowed.payload,
    }
    if allowed.replies:
        said["resp"] = {"max": 1, "ttl": 60_000_000_000}
    return _signed(account, user, name, said, expires, issued)


def _allow(subjects: Sequence[str]) -> dict[str, Any]:
    return {"allow": list(subjects)}


def _signed(
    key: KeyPair,
    subject: str,
    name: str,
    nats: dict[str, Any],
    expires: float | None = None,
    issued: int | None = None,
) -> str:
    at = int(time.time()) if issued is None else issued
    said = {"iat": at, "iss": key.public, "name": name, "sub": subject, "nats": {**nats, "version": 2}}
    if expires is not None:
        said["exp"] = int(expires)
    said["jti"] = hashlib.sha256(json.dumps(said).encode()).hexdigest()  # a hub takes equal ones for the same
    parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, said)
    text = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{text}.{_base64(key.sign(text.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
