# Records of a keeper in its storage: accounts, orders that are under way, certificates, challenges.
#
# Rules: JSON and PEM that a person can read. What is missing is None; what cannot be understood is one
# StorageError that names the file, and is never taken for nothing: a lost account or a lost failure costs
# limits of the CA.

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from bigtop.keeper import certificates, signing
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.certificates import Key, Pair
from bigtop.keeper.storage import Storage, StorageError, file_name
from bigtop.record import Record, as_dict, field

_CHALLENGES: Final = "challenges"


class Account(Record):
    """An account with a CA; `url` is "" until the CA has given it."""

    key: ec.EllipticCurvePrivateKey = field(compare=False)
    url: str = ""


class OrderUnderWay(Record):
    """An order that a killed keeper's successor goes on with; `url` is "" until the CA has given it."""

    directory: str
    names: tuple[str, ...]
    key: Key = field(compare=False)
    url: str = ""
    resumed: int = 0  # times that it was gone on with


class Records:
    """Any thread, any machine; who changes something about a name has its lease."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    # ---- accounts

    def account(self, directory: str) -> Account:
        """Return the account with a CA; a new key, which is kept at once, if there is none."""
        key = _account_key(directory)
        words = self._read(key)
        if words is None:
            account = Account(signing.new_key())
            self.keep_account(directory, account)
            return account
        private = certificates.read_key(str(words.get("key", "")).encode(), self._storage.place(key))
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.key_size != 256:
            raise StorageError(f"{self._storage.place(key)}: the key of an account is ECDSA on P-256")
        return Account(private, str(words.get("url", "")))

    def keep_account(self, directory: str, account: Account) -> None:
        key = certificates.key_text(account.key).decode()
        self._write(_account_key(directory), {"directory": directory, "url": account.url, "key": key})

    # ---- orders

    def order(self, title: str, directory: str, names: Sequence[str]) -> OrderUnderWay | None:
        """Return the order that is under way, if it is one of these names with this CA."""
        key = f"orders/{title}.json"
        words = self._read(key)
        if words is None or words.get("directory") != directory or words.get("names") != list(names):
            return None
        private = certificates.read_key(str(words.get("key", "")).encode(), self._storage.place(key))
        resumed = words.get("resumed")
        times = resumed if isinstance(resumed, int) else 0
        return OrderUnderWay(directory, tuple(names), private, str(words.get("url", "")), times)

    def keep_order(self, title: str, order: OrderUnderWay | None) -> None:
        """Keep an order; None: there is none any more."""
        if order is None:
            self._storage.delete(f"orders/{title}.json")
            return
        words = {
            **as_dict(order),
            "names": list(order.names),
            "key": certificates.key_text(order.key).decode(),
        }
        self._write(f"orders/{title}.json", words)

    # ---- certificates

    def pair(self, title: str) -> Pair | None:
        """Return the certificate that was got. Raises CertificateError, too."""
        key = f"certificates/{title}.pem"
        text = self._storage.load(key)
        return None if text is None else certificates.read(text, text, self._storage.place(key))

    def keep_pair(self, title: str, pair: Pair) -> None:
        self._storage.store(f"certificates/{title}.pem", pair.pem)

    # ---- what else is kept of a name

    def notes(self, folder: str, title: str) -> Mapping[str, object] | None:
        return self._read(f"{folder}/{title}.json")

    def keep_notes(self, folder: str, title: str, words: Mapping[str, object]) -> None:
        self._write(f"{folder}/{title}.json", words)

    # ---- challenges

    def challenges(self) -> list[Challenge]:
        """Return what is shown to CAs now, by whichever machine."""
        found = [self.challenge(name.removesuffix(".json")) for name in self._storage.names(_CHALLENGES)]
        return [challenge for challenge in found if challenge is not None]

    def challenge(self, token: str) -> Challenge | None:
        words = self._read(f"{_CHALLENGES}/{token}.json")
        match words:
            case {"kind": str(kind), "name": str(name), "token": str(found), "answer": str(answer)}:
                return Challenge(kind, name, found, answer)
        return None

    def keep_challenge(self, challenge: Challenge) -> None:
        self._write(f"{_CHALLENGES}/{challenge.token}.json", as_dict(challenge))

    def forget_challenge(self, challenge: Challenge) -> None:
        self._storage.delete(f"{_CHALLENGES}/{challenge.token}.json")

    def challenge_age(self, token: str, now: float) -> float:
        """Return for how many seconds it has been shown."""
        return now - self._storage.changed_at(f"{_CHALLENGES}/{token}.json")

    # ---- files

    def _read(self, key: str) -> dict[str, object] | None:
        text = self._storage.load(key)
        if text is None:
            return None
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            words = None
        if not isinstance(words, dict):
            raise StorageError(f"{self._storage.place(key)}: this is no object of JSON")
        return words

    def _write(self, key: str, words: Mapping[str, object]) -> None:
        self._storage.store(key, json.dumps(words, indent=1).encode() + b"\n")


def title(names: Sequence[str]) -> str:
    """Return what the files of a certificate are called: after its first name."""
    return file_name(names[0])


def _account_key(directory: str) -> str:
    """Return a name for a CA that a person recognises: its host, and what tells its directories apart."""
    parts = urlsplit(directory)
    words = "-".join(filter(None, (parts.hostname or "ca", str(parts.port or ""), parts.path.strip("/"))))
    return f"accounts/{re.sub('[^a-z0-9.-]', '_', words.lower())[:150]}.json"
