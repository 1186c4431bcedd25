# The local CA of a user: roots that are made once and kept, certificates for this machine made when needed.
#
# Two roots, so that neither can do the other's work: one for hosts, which browsers are told to trust and
# which is constrained to local names; one for clients, which only a server of the user's own looks for.
#
# Rule: a root without its key is in a file of its own, which can be given to anybody.

from __future__ import annotations

import fcntl
import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes

from bigtop.errors import ConfigError
from bigtop.keeper import certificates, signing
from bigtop.keeper.certificates import DAY, Pair
from bigtop.keeper.local import local_names
from bigtop.keeper.storage import Storage

ROOT_DAYS: Final = 3652.0
LEAF_DAYS: Final = 7.0
CLIENT_DAYS: Final = 365.0
_HOSTS, _CLIENTS = "root", "clients"  # what the two roots are called in their folder
_LONGEST: Final = 64  # letters of a common name


def folder(environ: Mapping[str, str]) -> str:
    """Return where a user's CA is kept. Raises ConfigError for a user without a home."""
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        home = environ.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise ConfigError("a local CA is kept in the user's data directory: set HOME or XDG_DATA_HOME")
        data = os.path.join(home, ".local/share")
    return os.path.join(data, "bigtop", "ca")


def problem(environ: Mapping[str, str]) -> str:
    """Return why a user can have no CA, "" if it seems that one can be had. Makes nothing."""
    try:
        place = folder(environ)
    except ConfigError as error:
        return str(error)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return f"{place} is no directory"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} may not be written to"


class LocalCA:
    """Any process; the first one that asks for a root makes it. Raises what Storage raises."""

    def __init__(self, path: str) -> None:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        self._storage = Storage(path)

    def close(self) -> None:
        self._storage.close()

    def root(self, now: float) -> Pair:
        """Return the root for hosts."""
        return self._kept(_HOSTS, now)

    def client_root(self, now: float) -> Pair:
        """Return the root for clients."""
        return self._kept(_CLIENTS, now)

    @property
    def root_path(self) -> str:
        return self._storage.place(f"{_HOSTS}.pem")

    @property
    def client_root_path(self) -> str:
        return self._storage.place(f"{_CLIENTS}.pem")

    def leaf(self, names: Sequence[str], now: float) -> Pair:
        """Return a new certificate for local names, to be kept in memory. Raises ConfigError for others."""
        for name in names:
            if trouble := local_names.problem(name):
                raise ConfigError(trouble)
        return signing.leaf(self.root(now), names or local_names.USUAL, now, LEAF_DAYS)

    def client(self, name: str, now: float) -> Pair:
        """Return a new certificate for a client."""
        if not name.isprintable() or not 0 < len(name) <= _LONGEST:
            raise ConfigError(f"{name!r} is no name for a client: 1 to {_LONGEST} letters")
        return signing.client(self.client_root(now), name, now, CLIENT_DAYS)

    def _kept(self, word: str, now: float) -> Pair:
        lock = self._storage.open_lock("lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = self._storage.load(f"{word}-with-key.pem")
            pair = self._new(word, now) if text is None else self._read(word, text, now)
            if self._public(word) != pair.chain_pem:
                self._storage.store(f"{word}.pem", pair.chain_pem)
            return pair
        finally:
            os.close(lock)

    def _new(self, word: str, now: float) -> Pair:
        title = f"Bigtop {'local' if word == _HOSTS else 'client'} CA of {_owner()}"
        pair = signing.root(title[:_LONGEST], now, ROOT_DAYS, is_for_hosts=word == _HOSTS)
        self._storage.store(f"{word}-with-key.pem", pair.pem)
        return pair

    def _read(self, word: str, text: bytes, now: float) -> Pair:
        place = self._storage.place(f"{word}-with-key.pem")
        pair = certificates.read(text, text, place)
        if now >= pair.not_after - LEAF_DAYS * DAY or not certificates.fits(pair.leaf, pair.key):
            raise certificates.CertificateError(
                f"{place}: this root is at its end: delete it, and have the new one trusted (bigtop ca trust)"
            )
        return pair

    def _public(self, word: str) -> bytes | None:
        with suppress(Exception):  # whatever is wrong with this copy, it is written anew
            return self._storage.load(f"{word}.pem")
        return None


def leaf(names: Sequence[str], now: float, environ: Mapping[str, str]) -> Pair:
    """Return a certificate of the user's local CA, for a server that is started for development."""
    with closing(LocalCA(folder(environ))) as ca:
        return ca.leaf(names, now)


def fingerprint(pair: Pair) -> str:
    """Return the SHA-256 of a certificate, as browsers show it."""
    return pair.leaf.fingerprint(hashes.SHA256()).hex(":").upper()


def _owner() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
