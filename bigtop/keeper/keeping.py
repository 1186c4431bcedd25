# Keeping of one certificate: there from the first day, renewed in time, published to whoever serves it.
#
# Rules: one task per certificate. What the storage has is looked at anew each time, because another machine
# may have put it there. Who orders has the lease, and looks once more when it has it. Whatever goes wrong,
# the old certificate stays, and the log and the standing say why.

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Sequence

from bigtop.errors import BigtopError
from bigtop.keeper import certificates, leases, records, schedule
from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.messages import Fail
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.certificates import Pair
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.leases import Lease, LeaseLostError
from bigtop.keeper.ordering import obtaining, renewals
from bigtop.keeper.ordering.obtaining import OrderFailedError, Tools, Wanted
from bigtop.keeper.ordering.performer import StoppedError
from bigtop.keeper.ordering.responders import Responders
from bigtop.keeper.publishing.publication import Standing
from bigtop.keeper.publishing.publisher import Publisher
from bigtop.keeper.records import Records
from bigtop.keeper.schedule import Tries
from bigtop.keeper.storage import Storage
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace

logger = get_logger("bigtop.keeper")
_LOOKED: float = 600.0  # seconds after which the storage is looked at again, whatever is due
_ANOTHER: float = 2.0  # seconds until it is looked whether another keeper is done
_TRIES = "tries"
_ISSUED = "issued"


class Means(Record):
    """What all certificates of a keeper are got and published with."""

    storage: Storage
    records: Records
    issuers: tuple[Issuer, ...]
    kinds: tuple[str, ...]
    responders: Responders
    publisher: Publisher
    stopping: threading.Event  # for threads; the keeper ends
    places: asyncio.Semaphore  # for orders at a time


class Keeping:
    """Event loop only, but for what says otherwise."""

    def __init__(self, names: Sequence[str], means: Means, stopping: asyncio.Event) -> None:
        self.names = tuple(map(certificates.plain, names))
        self.title = records.title(self.names)
        self._means = means
        self._stopping = stopping
        self._woken = asyncio.Event()
        self._pair: Pair | None = None
        self._warned = ""
        self._tries = Tries()
        self._hints: tuple[str, ...] = ()  # what seemed to keep the CA from it when it was asked last

    def look(self) -> None:
        """Look at the storage now."""
        self._woken.set()

    async def run(self) -> None:
        """Keep it until the keeper ends."""
        while not self._stopping.is_set():
            try:
                pause = await self._turn()
            except BigtopError as error:  # the storage cannot be used now
                logger.error("%s: %s", self.title, error)
                self._stands(str(error), time.time() + _LOOKED)
                pause = _LOOKED
            self._woken.clear()
            woken = asyncio.create_task(self._woken.wait())
            ended = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({woken, ended}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in (woken, ended):
                task.cancel()

    async def _turn(self) -> float:
        """Do what is due; return for how many seconds nothing is."""
        now = time.time()
        due, is_at_work = await asyncio.to_thread(lambda: (self._due(now), self._is_at_work(now)))
        self._publish(now)
        self._stands(self._tries.error, due)
        if due > now:
            return _ANOTHER if is_at_work else min(due - now, _LOOKED)
        async with self._means.places:
            lease = leases.take(self._means.storage, self.title, time.time())
            if lease is None:
                return _ANOTHER
            try:
                await self._with_lease(lease)
            finally:
                lease.release()
        return 0.0

    async def _with_lease(self, lease: Lease) -> None:
        renewing = asyncio.create_task(self._renewed(lease))
        try:
            await asyncio.to_thread(self._try, lease)
        except StoppedError:
            logger.info("%s: the keeper ends; the next one goes on with the order", self.title)
        except LeaseLostError as error:
            logger.warning("%s", error)
        finally:
            renewing.cancel()

    async def _renewed(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(leases.RENEWED)
            try:
                lease.renew(time.time())  # here, where it waits for no other order
            except BigtopError:  # whoever works under the lease learns it from check()
                return

    def _publish(self, now: float) -> None:
        if self._pair is None:
            return
        found = certificates.check(self._pair, now)
        faults = [finding.text for finding in found if finding.is_fault]
        if not faults:
            self._means.publisher.certificate(self.title, self._pair)
        said = "; ".join(finding.text for finding in found)
        if said and said != self._warned:
            logger.warning("%s: %s", self.title, said)
        self._warned = said

    def _stands(self, error: str, next_try: float) -> None:
        pair, now = self._pair, time.time()
        line = certificates.describe(pair, now) if pair is not None else ""
        until = pair.not_after if pair is not None else 0.0
        failures = self._tries.failures
        hints = self._hints if failures else ()
        self._means.publisher.standing(
            Standing(self.title, self.names, line, until, next_try, error, failures, hints)
        )

    # ---- in a thread

    def _due(self, now: float) -> float:
        """Return when something is to be done; read all that says so."""
        self._pair = self._means.records.pair(self.title)
        self._tries = self._read_tries()
        renewal = 0.0
        if self._pair is not None and not _lacks(self._pair, now, self.names):
            known = self._known(self._pair, now)
            renewal = schedule.renewal_time(
                self._pair.not_before, self._pair.not_after, known.info, known.name
            )
        return max(renewal, schedule.next_try(self._tries, self._resumed(), now))

    def _is_at_work(self, now: float) -> bool:
        """Whether another keeper tries now."""
        holder = leases.holder(self._means.storage, self.title) if self._tries.is_open else None
        return holder is not None and now < holder.expires

    def _try(self, lease: Lease) -> None:
        """Order a certificate, unless that was done meanwhile, and keep what comes of it."""
        now, kept = time.time(), self._means.records
        if self._due(now) > now:
            return
        tries = self._tries
        tries = schedule.begun(tries, now, secrets.randbelow(1000) / 1000, self._resumed())
        self._keep(tries)
        issuer = self._means.issuers[tries.issuer % len(self._means.issuers)]
        rehearses = tries.rehearses and bool(issuer.staging)
        directory = issuer.staging if rehearses else issuer.directory
        logger.info("%s: asks %s for a certificate", self.title, directory)
        wanted = Wanted(self.title, self.names, self._kinds(tries), self._replaced(directory))
        try:
            tools = Tools(kept, self._means.responders, lease, self._means.stopping)
            pair = obtaining.obtain(wanted, issuer, directory, tools)
        except OrderFailedError as error:
            self._failed(tries, error.fail)
            return
        lease.check(time.time())
        kept.keep_order(self.title, None)
        if rehearses:
            logger.info("%s: the rehearsal succeeded; the order follows", self.title)
            self._keep(schedule.rehearsed(tries, time.time()))
            return
        kept.keep_pair(self.title, pair)
        kept.keep_notes(_ISSUED, self.title, {"directory": directory})
        self._keep(schedule.succeeded(time.time(), pair.not_after - pair.not_before))
        logger.info("%s", certificates.describe(pair, time.time()))

    def _failed(self, tries: Tries, fail: Fail) -> None:
        stagings = [bool(issuer.staging) for issuer in self._means.issuers]
        tries = schedule.failed(tries, fail.fault, fail.text, fail.not_before, stagings)
        self._hints = self._means.responders.hints(self.names)
        self._keep(tries)
        wait = max(0.0, tries.not_before - time.time())
        hint = "; this needs a person" if fail.fault is Fault.SETUP else ""
        logger.error(
            "%s: %s%s (try %d failed, the next in %.0f s)", self.title, fail.text, hint, tries.failures, wait
        )

    def _kinds(self, tries: Tries) -> tuple[str, ...]:
        if any(name.startswith("*.") for name in self.names):
            return (challenges.DNS,)
        return schedule.kinds(self._means.kinds, tries.failures - 1)

    def _replaced(self, directory: str) -> str:
        """Return what the CA calls the certificate that is renewed, if it is the CA's and it has ARI."""
        issued = self._means.records.notes(_ISSUED, self.title) or {}
        if self._pair is None or issued.get("directory") != directory:
            return ""
        known = renewals.known(self._means.records, self.title, self._pair)
        return known.name if known.info is not None else ""

    def _known(self, pair: Pair, now: float) -> renewals.Known:
        known = renewals.known(self._means.records, self.title, pair)
        issued = (self._means.records.notes(_ISSUED, self.title) or {}).get("directory")
        issuer = next((one for one in self._means.issuers if one.directory == issued), None)
        if issuer is None or now < known.ask_again:
            return known
        return renewals.asked(self._means.records, self.title, pair, issuer, issuer.directory, now)

    def _resumed(self) -> int | None:
        for issuer in self._means.issuers:
            for directory in filter(None, (issuer.directory, issuer.staging)):
                order = self._means.records.order(self.title, directory, self.names)
                if order is not None and order.url:
                    return order.resumed
        return None

    def _read_tries(self) -> Tries:
        words = self._means.records.notes(_TRIES, self.title)
        if words is None or words.get("names") != list(self.names):  # a person changed them: that is new
            return Tries()
        hints = words.get("hints", ())
        self._hints = tuple(map(str, hints)) if isinstance(hints, list) else ()
        try:
            return Tries.decode(words)
        except ValueError as error:
            raise obtaining.OrderFailedError(
                Fail(f"{_TRIES}/{self.title}.json: {error}", Fault.SETUP)
            ) from None

    def _keep(self, tries: Tries) -> None:
        self._tries = replace(tries)
        words = {**tries.encode(), "names": list(self.names), "hints": list(self._hints)}
        self._means.records.keep_notes(_TRIES, self.title, words)


def _lacks(pair: Pair, now: float, wanted: Sequence[str]) -> bool:
    """Whether it cannot serve what is wanted."""
    return any(finding.is_fault for finding in certificates.check(pair, now, wanted))
