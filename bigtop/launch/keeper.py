# The keeper of certificates as its supervisor sees it: lines to it, what it told, and the description of the
# helper watcher.
#
# Rules: whatever becomes of it, what was got is served with. All descriptors outlive each keeper: those that
# workers have lead to its successor. What was kept in the storage is read before anything starts, so that a
# start needs no keeper, and no CA.

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from bigtop.config.serve.serve import ServeSpec
from bigtop.config.serve.specs import acme
from bigtop.config.serve.tls_sources import KEEPER, AcmeSpec
from bigtop.errors import BigtopError, ConfigError
from bigtop.ipc.keyring import KeyPair, TicketSecret
from bigtop.ipc.snapshot import Descriptor
from bigtop.keeper.publishing import page, publication
from bigtop.keeper.publishing.publication import Published, Standing
from bigtop.keeper.storage import file_name
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.policy.certificate_notices import CertificateFailed, CertificateRenewed
from bigtop.supervisor.policy.helper import Helper
from bigtop.supervisor.policy.spec import StopPolicy, WatcherSpec
from bigtop.system import accounts, certificates

logger = get_logger("bigtop.supervisor")

# Names that no [socket:NAME] can have.
_LINE, _QUESTIONS, _PAGE = f"{KEEPER} line", f"{KEEPER} questions", f"{KEEPER} page"
_PATIENCE: Final = 2.0  # seconds to end in; an order that is killed is gone on with
_LARGEST: Final = 1 << 24  # bytes that it may tell at once
Sites = Sequence[tuple[str, ...]]


class Served(Protocol):
    """An application that serves with certificates."""

    spec: ServeSpec
    tell: Callable[[messages.Notice], None]

    def renew(self) -> None:
        """Serve with those that there are now."""


class KeeperState(Record):
    """What outlives each keeper of certificates, for a supervisor that goes on with it."""

    fds: tuple[Descriptor, ...]  # page, its read end, and four ends of lines
    got: tuple[Published, ...]
    standings: tuple[Standing, ...]
    ticket_secrets: tuple[TicketSecret, ...]


class Keeper:
    """From construction, which makes the storage, to close(). ConfigError: that cannot be used."""

    def __init__(self, spec: AcmeSpec, sites: Sites, before: KeeperState | None = None) -> None:
        self._got: dict[str, Published] = {}
        self._standings: dict[str, Standing] = {}
        self.ticket_secrets: tuple[TicketSecret, ...] = ()  # that all machines of the storage have
        if before is None:
            self._page, self._read = page.create()
            self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._asking, self._asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        else:
            self._page, self._read, *ends = (one.number for one in before.fds)
            lines = [socket.socket(fileno=fd) for fd in ends]
            self._ours, self._theirs, self._asking, self._asked = lines
            self._got = {one.title: one for one in before.got}
            self._standings = {one.title: one for one in before.standings}
            self.ticket_secrets = before.ticket_secrets
        self._ours.setblocking(False)
        self._served: Callable[[], Iterable[Served]] = list
        try:
            self.become(spec, sites)
        except BigtopError:
            self.close()
            raise

    def become(self, spec: AcmeSpec, sites: Sites) -> None:
        """Keep these from now on; the watcher is to be described anew. ConfigError as for a new one."""
        _prepare(spec)
        self._have_tickets(acme.ticket_secrets(spec, time.time()))
        for names in sites:
            if (title := file_name(names[0])) not in self._got:
                found = _stored(spec, title)
                if found is not None:
                    self._got[title] = found
                else:
                    logger.warning(
                        "certificates: there is none for %s yet; one is asked for, and until it is here "
                        "handshakes are refused",
                        ", ".join(names),
                    )

    def held(self) -> KeeperState:
        lines = (self._ours, self._theirs, self._asking, self._asked)
        fds = (self._page, self._read, *(line.fileno() for line in lines))
        return KeeperState(
            tuple(map(Descriptor, fds)),
            tuple(self._got.values()),
            tuple(self._standings.values()),
            self.ticket_secrets,
        )

    def attend(self, served: Callable[[], Iterable[Served]]) -> None:
        """Hear it from now on, for these applications. Event loop only."""
        self._served = served
        asyncio.get_running_loop().add_reader(self._ours, self._heard)

    def leave(self) -> None:
        """Hear it no more; event loop only."""
        asyncio.get_running_loop().remove_reader(self._ours)

    def watcher(self, spec: AcmeSpec, sites: Sites) -> WatcherSpec:
        """Return the description of the helper watcher."""
        orders = acme.orders(spec, sites, self._theirs.fileno(), self._asked.fileno(), self._page)
        return Helper(
            name=KEEPER,
            module="bigtop.keeper.program",
            arguments=(orders.encode(),),
            sockets=tuple(self._own),
            user=spec.user,
            autostart=False,  # when somebody is there who answers a CA
            stop=StopPolicy(graceful_timeout=_PATIENCE),
        ).watcher(os.environ)

    def sockets_for(self, spec: WatcherSpec) -> Mapping[str, int]:
        """Return the descriptors that are for the keeper alone, by name."""
        return self._own if _LINE in spec.sockets else {}

    @property
    def _own(self) -> dict[str, int]:
        return {_LINE: self._theirs.fileno(), _QUESTIONS: self._asked.fileno(), _PAGE: self._page}

    @property
    def answers(self) -> tuple[int, ...]:
        """The descriptors by which workers answer CAs."""
        return self._read, self._asking.fileno()

    def pairs(self, sites: Sites) -> list[KeyPair]:
        """Return what there is for these."""
        found = [self._got.get(file_name(names[0])) for names in sites]
        return [KeyPair(one.pem, one.pem, origin(one.title)) for one in found if one is not None]

    def standing(self, names: Sequence[str]) -> Standing:
        """Return how the certificate for these names stands."""
        title = file_name(names[0])
        return self._standings.get(title) or Standing(title, tuple(names), "", 0.0, 0.0, "", 0)

    def look(self) -> None:
        """Have it look at its storage now."""
        try:
            self._ours.send(b"look", socket.MSG_NOSIGNAL)
        except BlockingIOError:  # it has not read the last hundred yet
            return

    def close(self) -> None:
        for end in (self._ours, self._theirs, self._asking, self._asked):
            end.close()
        for fd in (self._page, self._read):
            os.close(fd)

    # ---- what it says

    def _heard(self) -> None:
        try:
            snapshot = publication.receive(self._ours)
        except (BlockingIOError, ValueError):
            return
        if snapshot is None:
            return
        try:
            data = snapshot.content(_LARGEST)
            if snapshot.topic == publication.CERTIFICATES:
                self._take(publication.read_certificates(data))
            elif snapshot.topic == publication.STATUS:
                self._know(publication.read_status(data))
            elif snapshot.topic == publication.TICKETS and self._have_tickets(publication.read_tickets(data)):
                for app in self._served():
                    app.renew()
        except (ValueError, KeyError, TypeError, RecursionError) as error:  # it may be somebody else's by now
            logger.error("the keeper of certificates says what makes no sense: %r", error)
        finally:
            os.close(snapshot.fd)

    def _take(self, found: Sequence[Published]) -> None:
        new = [one for one in found if self._got.get(one.title) != one]
        self._got.update({one.title: one for one in found})
        if not new:
            return
        for app in self._served():
            app.renew()
        for one in new:
            self._announce(one.title, CertificateRenewed(one.names))

    def _have_tickets(self, found: tuple[TicketSecret, ...]) -> bool:
        """Take the secrets of session tickets that there are; whether they are others."""
        if not found or found == self.ticket_secrets:
            return False
        if not self.ticket_secrets:
            logger.info("session tickets: of the secrets in the storage, as on all machines that share it")
        self.ticket_secrets = found
        return True

    def _know(self, found: Sequence[Standing]) -> None:
        before = self._standings
        self._standings = {one.title: one for one in found}
        for one in found:
            old = before.get(one.title)
            if old is not None and one.failures and (one.failures, one.error) != (old.failures, old.error):
                self._announce(one.title, CertificateFailed(one.names, one.error, one.hints))

    def _announce(self, title: str, notice: messages.Notice) -> None:
        for app in self._served():
            if any(file_name(names[0]) == title for names in app.spec.tls.auto):
                app.tell(notice)


def origin(title: str) -> str:
    """Return what stands in the place of a file's name."""
    return f"auto:{title}"


def _prepare(spec: AcmeSpec) -> None:
    """Make the storage, which belongs to who the keeper is."""
    path = Path(spec.storage)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(0o700)
        except FileExistsError:
            return
        if spec.user is not None:
            account = accounts.account(spec.user, None, "")
            os.chown(path, spec.uid, -1 if account.gid is None else account.gid)
    except (OSError, LookupError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"--tls-storage: {spec.storage}: {reason}") from None


def _stored(spec: AcmeSpec, title: str) -> Published | None:
    """Return what was kept when it can be served with."""
    try:
        text = acme.stored(spec, title)
        facts = None if text is None else certificates.facts_of(text)
    except (BigtopError, OSError) as error:
        logger.error("certificates: %s", error)
        return None
    if text is None or facts is None or facts.ends <= time.time():
        return None
    return Published(title, facts.names, text)
