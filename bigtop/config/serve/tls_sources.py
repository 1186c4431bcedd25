# Sources of certificates of a site: files, the local CA, and CAs that are asked for them.

from __future__ import annotations

import os
from typing import Final, NamedTuple

from bigtop.keeper.acme import kinds
from bigtop.keeper.issuers import Issuer
from bigtop.record import Record
from bigtop.system import accounts

KEEPER: Final = "keeper"  # the name of the watcher whose process gets certificates


class TlsFiles(NamedTuple):
    """Files with a certificate and its key (PEM)."""

    certificate: str
    key: str


class TlsLocal(NamedTuple):
    """A certificate of the local CA; no `names`: for this machine."""

    names: tuple[str, ...] = ()


class TlsAuto(NamedTuple):
    """A certificate for these names that a CA is asked for (ACME)."""

    names: tuple[str, ...]


class AcmeSpec(Record):
    """How certificates are got and kept: the same for all applications of a supervisor."""

    storage: str  # a folder
    issuers: tuple[Issuer, ...] = (Issuer(),)
    kinds: tuple[str, ...] = (kinds.HTTP, kinds.ALPN)
    hook: tuple[str, str] | None = None  # style and program
    dns_wait: float = 120.0  # seconds, at most, until records of that program have arrived everywhere
    user: str | None = None  # who the keeper runs as; None: who starts it
    is_ephemeral: bool = False  # whether the storage may be gone with its container

    @property
    def uid(self) -> int:
        """Whose the storage is. LookupError: there is no such user."""
        return os.geteuid() if self.user is None else accounts.uid_of(self.user)


class TlsSources(NamedTuple):
    """Where certificates are; none: TLS is not spoken."""

    files: tuple[TlsFiles, ...] = ()
    client_ca: str = ""  # of those that clients are asked for; "": they are not
    local: tuple[str, ...] = ()  # names for which the local CA makes one at each start
    auto: tuple[tuple[str, ...], ...] = ()  # for each certificate that a CA is asked for, its names
    acme: AcmeSpec | None = None  # how those are got; None: there are none
    client_crl: str = ""  # which certificates of clients were revoked; "": nobody says so
    ticket_secret: str = ""  # what keys for session tickets are made of; "": nobody says so

    @property
    def is_wanted(self) -> bool:
        return bool(self.files or self.local or self.auto)
