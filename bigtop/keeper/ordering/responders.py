# Responders: what is done so that a CA finds a challenge met.
#
# HTTP-01 and TLS-ALPN-01: the challenge gets into the storage, where each machine's keeper finds it, and to
# the workers of this one. DNS-01: a hook puts a record into the DNS.

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.ordering import propagation
from bigtop.keeper.ordering.dns_hook import DnsHook
from bigtop.keeper.ordering.propagation import Propagation
from bigtop.keeper.records import Records
from bigtop.log import logger as get_logger

logger = get_logger("bigtop.keeper")


class Responders:
    """Called by performers, each in its thread. `changed` is called when workers have to know others."""

    def __init__(
        self,
        records: Records,
        hook: DnsHook | None,
        changed: Callable[[], None],
        look: Callable[[Challenge], list[str]],
        stopping: threading.Event,
        propagation: Callable[[], Propagation] = propagation.of_this_machine,
    ) -> None:
        """`look` says in words what will keep the CA from it, seen from here."""
        self._propagation = propagation
        self._records = records
        self._hook = hook
        self._changed = changed
        self._look = look
        self._stopping = stopping
        self._hints: dict[str, list[str]] = {}

    def show(self, found: Sequence[Challenge]) -> str:
        """Return what is wrong, "" if the CA may come."""
        ours = [challenge for challenge in found if challenge.kind != challenges.DNS]
        for challenge in ours:
            self._records.keep_challenge(challenge)
        if ours:
            self._changed()
        for challenge in ours:
            self._hints[challenge.name] = self._look(challenge)
            for trouble in self._hints[challenge.name]:
                logger.warning("%s: %s", challenge.name, trouble)
        return self._presented([challenge for challenge in found if challenge.kind == challenges.DNS])

    def hints(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return what seemed to be wrong with these names when they were shown last."""
        return tuple(f"{name}: {text}" for name in names for text in self._hints.get(name, ()))

    def withdraw(self, found: Sequence[Challenge]) -> None:
        for challenge in found:
            if challenge.kind != challenges.DNS:
                self._records.forget_challenge(challenge)
            elif self._hook is not None and (trouble := self._hook.cleanup(challenge)):
                logger.warning("%s: %s", challenge.name, trouble)
        self._changed()

    def _presented(self, records: Sequence[Challenge]) -> str:
        if not records:
            return ""
        if self._hook is None:
            return "DNS-01 takes a program that changes the DNS, and none was named"
        for challenge in records:
            if trouble := self._hook.present(challenge):
                return trouble
        wanted: dict[str, set[str]] = {}
        for challenge in records:
            name, value = challenges.txt_record(challenge)
            wanted.setdefault(name, set()).add(value)
        if self._hook.seconds and not self._propagation().wait(wanted, self._hook.seconds, self._stopping):
            logger.warning("%s: not all servers of the DNS have the record yet", ", ".join(wanted))
        return ""
