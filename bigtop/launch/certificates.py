# Certificates of one application, as its supervisor has them: read, tried, sealed, and passed on unread.
#
# Rule 1: what was read is kept in a sealed file alone, which fork servers and workers inherit, whatever user
# they become. Its descriptor keeps its number, so that orders that were given stay true.
# Rule 2: what cannot be served with is told, and changes nothing. Who writes two files may take a moment
# between them: files are read when they have not changed for one look.
# Rule 3: a secret for session tickets that nobody gave lasts as long as the supervisor, so that sessions are
# resumed by workers of every generation.

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bigtop.config.serve.serve import ServeSpec
from bigtop.config.serve.specs import tls
from bigtop.errors import ConfigError
from bigtop.ipc import keyring, lifeline
from bigtop.ipc.keyring import KeyPair, TicketSecret
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.sockets import ListeningSocket
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.certificate_notices import CertificateEnds

if TYPE_CHECKING:
    from bigtop.keeper.publishing.publication import Standing
    from bigtop.system.certificates import CertificateFacts

logger = get_logger("bigtop.supervisor")

LOOK = 2.0  # seconds between two looks whether files have changed
_OTHERS = "workers serve with other ones from now on"
_OTHER_TICKETS = "workers make session tickets of another secret from now on"
_DAY = 86400.0
# A bit less than the third that is left when it is renewed by rights: that takes a moment.
_NEAR = 0.33
_NOT_KEPT: Mapping[str, object] = {"next_try": None, "error": "", "failures": 0, "hints": []}
_NOTHING: Mapping[str, object] = {"key": "", "serial": "", "issuer": "", "days": None, "ends": None}
_LOCAL = 3 * _DAY  # seconds after which one of the local CA, which lasts a week, is made anew

HandOut = Callable[[lifeline.Certificates, int], None]
_Signature = tuple[tuple[int, ...], ...]


class Source(Protocol):
    """Who has certificates that CAs were asked for (launch/keeper.py), and secrets of session tickets that
    other machines have, too."""

    @property
    def ticket_secrets(self) -> tuple[TicketSecret, ...]: ...

    def pairs(self, sites: Sequence[tuple[str, ...]]) -> list[KeyPair]: ...

    def standing(self, names: Sequence[str]) -> Standing: ...


class _Served(NamedTuple):
    """A certificate that is served with."""

    names: tuple[str, ...]
    origin: str
    facts: CertificateFacts


class Certificates:
    """`fd` is the descriptor of the sealed file, None where there are no certificates. ConfigError: there
    should be some, and they cannot be served with."""

    def __init__(
        self, spec: ServeSpec, source: Source | None = None, secret: TicketSecret | None = None
    ) -> None:
        self.own_secret = secret or TicketSecret(0, os.urandom(32).hex())
        self._spec = spec
        self._source = source
        self.fd: int | None = None
        self.digest = ""
        self.problem = ""  # why what the files hold is not served with
        self._news = ""  # what is told of what was read
        self._secrets: tuple[TicketSecret, ...] = ()
        self._served: list[_Served] = []
        self._told: set[str] = set()  # by their serial numbers, whose end was told
        self._is_watching = False
        self._seen = self._tried = _signature(spec)
        if spec.tls.is_wanted:
            self.read(spec)
        if spec.tls.local:
            _tell_root()

    def read(self, spec: ServeSpec) -> bool:
        """Take what the files hold now; whether that is something else. ConfigError: it stays as it was."""
        self._tried = _signature(spec)
        try:
            got = [] if self._source is None else self._source.pairs(spec.tls.auto)
            shared = () if self._source is None else self._source.ticket_secrets
            ring = tls.keyring(spec.tls, spec.options.tls, shared or (self.own_secret,), got)
        except ConfigError as error:
            self.problem = str(error)
            raise
        self._spec, self.problem = spec, ""
        fd = ring.seal()
        digest = keyring.digest(fd)
        if self.fd is None:
            self.fd = fd
        else:
            os.dup2(fd, self.fd, inheritable=False)
            os.close(fd)
        is_new, self.digest = digest != self.digest, digest
        self._served = [_served(pair) for pair in ring.pairs]
        self._news = _OTHERS if ring.ticket_secrets == self._secrets else _OTHER_TICKETS
        self._secrets = ring.ticket_secrets
        return is_new

    def become(self, spec: ServeSpec, hand_out: HandOut) -> None:
        """Take what the files of another description hold. ConfigError: it stays as it was."""
        if spec.tls.is_wanted and self.read(spec):
            self._hand_out(hand_out)

    def renew(self, hand_out: HandOut) -> None:
        """Read the files again, and have workers serve with what is new in them."""
        if self.fd is None:
            return
        try:
            if self.read(self._spec):
                self._hand_out(hand_out)
        except ConfigError as error:
            logger.error("certificates: %s; those that were read before are served", error)

    def _hand_out(self, hand_out: HandOut) -> None:
        assert self.fd is not None
        logger.info("certificates: %s", self._news)
        hand_out(lifeline.Certificates(self.digest), self.fd)

    def watch(self, hand_out: HandOut, tell: Callable[[messages.Notice], None]) -> None:
        """Renew them when files have changed, from now on, and tell whose end is near; event loop only."""
        if self.fd is not None and not self._is_watching:
            self._is_watching = True
            self._look(hand_out, tell)

    def _look(self, hand_out: HandOut, tell: Callable[[messages.Notice], None]) -> None:
        if self.fd is None:  # all is over
            return
        for notice in self._ending(time.time()):
            tell(notice)
        now = _signature(self._spec)
        if now == self._seen and now != self._tried:
            self.renew(hand_out)
        self._seen = now
        asyncio.get_running_loop().call_later(LOOK, self._look, hand_out, tell)

    def _ending(self, now: float) -> list[messages.Notice]:
        """Return what is to be told of certificates that are near their end, once of each."""
        found: list[messages.Notice] = []
        for _, _, facts in self._served:
            left = facts.ends - now
            if left < (facts.ends - facts.begins) * _NEAR and facts.serial not in self._told:
                self._told.add(facts.serial)
                found.append(CertificateEnds(facts.names, int(left // _DAY)))
        return found

    def facts(self, name: str, workers: Mapping[int, lifeline.Serves | None]) -> list[Mapping[str, object]]:
        """Return what is served with, as `bigtop ctl certificates` shows it; `workers` is what these said."""
        now = time.time()
        said = {wid: one for wid, one in workers.items() if one is not None}
        shared: Mapping[str, object] = {
            "watcher": name,
            # Who was not given any has those that it was born with: the newest of that time.
            "workers": sorted(wid for wid in workers if wid not in said or self._is_up(said[wid])),
            "behind": sorted(wid for wid, one in said.items() if not self._is_up(one)),
            "problem": self.problem or next((one.problem for one in said.values() if one.problem), ""),
        }
        kept = {} if self._source is None else self._kept(self._source)
        rows: list[Mapping[str, object]] = [
            {**shared, **kept.pop(one.origin, _NOT_KEPT), **_shown(one, now)} for one in self._served
        ]
        # Those that there are none of yet.
        return rows + [{**shared, **_NOTHING, **more, "file": origin} for origin, more in kept.items()]

    def _kept(self, source: Source) -> dict[str, Mapping[str, object]]:
        """Return what is said of those that CAs are asked for, by origin."""
        found: dict[str, Mapping[str, object]] = {}
        for names in self._spec.tls.auto:
            standing = source.standing(names)
            found[f"auto:{standing.title}"] = {
                "names": list(names),
                "next_try": standing.next_try or None,
                "error": standing.error,
                "failures": standing.failures,
                "hints": list(standing.hints),
            }
        return found

    def _is_up(self, said: lifeline.Serves) -> bool:
        return said.digest == self.digest and not said.problem

    @property
    def fds(self) -> tuple[int, ...]:
        return () if self.fd is None else (self.fd,)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def _tell_root() -> None:
    from bigtop.keeper.local.local_ca import LocalCA, folder  # with cryptography, for those who need it

    root = LocalCA(folder(os.environ)).root_path
    logger.info("certificates: by the local CA %s; `bigtop ca trust` has clients here trust it", root)


def _served(pair: KeyPair) -> _Served:
    from bigtop.system import certificates  # with OpenSSL, for those who encrypt

    facts = certificates.facts_of(pair.certificate)
    return _Served(facts.names, pair.origin, facts)


def _shown(one: _Served, now: float) -> Mapping[str, object]:
    return {
        "file": one.origin,
        "names": list(one.names),
        "key": one.facts.kind,
        "serial": one.facts.serial,
        "issuer": one.facts.issuer,
        "days": int((one.facts.ends - now) // _DAY),
        "ends": one.facts.ends,
    }


def _signature(spec: ServeSpec) -> _Signature:
    """Return what is another one when a file has changed, or when it is time for another one."""
    found: list[tuple[int, ...]] = []
    others = (spec.tls.client_ca, spec.tls.client_crl, spec.tls.ticket_secret)
    for path in (*(path for one in spec.tls.files for path in one), *others):
        try:
            status = os.stat(path)
        except OSError:
            found.append((0,))
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    if spec.tls.local:
        found.append((int(time.time() / _LOCAL),))
    return tuple(found)


def mark(listeners: Sequence[ListeningSocket], spec: ServeSpec) -> None:
    """Say which sockets that were passed on speak TLS: all but those with a port of --http-bind."""
    plain = {bind.port for bind in spec.binds if not bind.tls}
    for listener in listeners:
        where = listener.socket.getsockname()
        is_plain = isinstance(where, tuple) and where[1] in plain
        listener.spec = replace(listener.spec, tls=spec.tls.is_wanted and not is_plain)
