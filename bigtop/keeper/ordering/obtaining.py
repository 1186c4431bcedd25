# Ordering of one certificate, from what is kept of it to the certificate itself.
#
# Rule: the key of a certificate is made, and kept, before its order: whoever goes on with the order has it.

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from bigtop.errors import BigtopError, ConfigError
from bigtop.keeper import certificates, signing
from bigtop.keeper.acme import jose, machine
from bigtop.keeper.acme.messages import Fail
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.acme.state import Goal
from bigtop.keeper.certificates import CertificateError, Pair
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.ordering.https import Https
from bigtop.keeper.ordering.performer import Lease, Performer, Responder
from bigtop.keeper.ordering.session import Session
from bigtop.keeper.records import Account, OrderUnderWay, Records
from bigtop.record import Record, replace


class OrderFailedError(BigtopError):
    """A certificate cannot be had now, for the reason that `fail` says."""

    def __init__(self, fail: Fail) -> None:
        super().__init__(fail.text)
        self.fail = fail


class Tools(Record):
    """What is worked with."""

    records: Records
    responder: Responder
    lease: Lease
    stopping: threading.Event


class Wanted(Record):
    """What is ordered: `title` is what its files are called, `replaces` the certificate that it renews."""

    title: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    replaces: str = ""
    patience: float = 900.0  # seconds for all of it


def obtain(wanted: Wanted, issuer: Issuer, directory: str, tools: Tools) -> Pair:
    """Return a certificate of a CA, whose `directory` may be that of its rehearsals. Takes minutes, in a
    thread of its own. Raises OrderFailedError, LeaseLostError, StoppedError, and StorageError."""
    records, now = tools.records, time.time()
    account = records.account(directory)
    order = _under_way(wanted, directory, records)
    try:
        https = Https(issuer.root_cert)
        goal = _goal(wanted, issuer, directory, account, order)
    except ConfigError as error:
        raise OrderFailedError(Fail(str(error), Fault.SETUP)) from None
    try:
        performer = Performer(
            Session(https, account.key),
            _Memory(records, wanted.title, account, order),
            tools.responder,
            tools.lease,
            tools.stopping,
        )
        end = performer.run(*machine.begin(goal, now, account.url, order.url))
    finally:
        https.close()
    if isinstance(end, Fail):
        raise OrderFailedError(end)
    return _checked(end.chain, order, wanted.names)


def _under_way(wanted: Wanted, directory: str, records: Records) -> OrderUnderWay:
    found = records.order(wanted.title, directory, wanted.names)
    if found is None:
        found = OrderUnderWay(directory, wanted.names, signing.new_key())
    else:
        found = replace(found, resumed=found.resumed + 1)
    records.keep_order(wanted.title, found)
    return found


def _goal(wanted: Wanted, issuer: Issuer, directory: str, account: Account, order: OrderUnderWay) -> Goal:
    binding = None
    if issuer.binding is not None:
        kid, secret = issuer.binding
        try:
            binding = (kid, jose.decoded(secret.rstrip("=")))
        except ValueError:
            raise ConfigError("the secret for EAB is no base64url") from None
    return Goal(
        directory,
        wanted.names,
        signing.request(wanted.names, order.key),
        jose.jwk(account.key),
        wanted.kinds,
        issuer.email,
        binding,
        issuer.profile,
        wanted.replaces,
        wanted.patience,
    )


def _checked(chain: bytes, order: OrderUnderWay, names: Sequence[str]) -> Pair:
    try:
        pair = certificates.read(chain, certificates.key_text(order.key), "the certificate from the CA")
    except CertificateError as error:
        raise OrderFailedError(Fail(str(error), Fault.ISSUER)) from None
    faults = [found.text for found in certificates.check(pair, time.time(), names) if found.is_fault]
    if faults:
        raise OrderFailedError(Fail(f"the certificate from the CA is wrong: {faults[0]}", Fault.ISSUER))
    return pair


class _Memory:
    """What has to outlive a keeper gets into the records."""

    def __init__(self, records: Records, title: str, account: Account, order: OrderUnderWay) -> None:
        self._records = records
        self._title = title
        self._account = account
        self._order = order

    def account(self, url: str) -> None:
        self._records.keep_account(self._order.directory, replace(self._account, url=url))

    def order(self, url: str) -> None:
        self._records.keep_order(self._title, replace(self._order, url=url) if url else None)
