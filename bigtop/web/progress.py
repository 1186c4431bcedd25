# Progress of actions: who asked for what, how far it is, and how it ended; each is audited.
#
# Rules: event loop only. What cannot be written to the audit log is not done. An action goes on when the page
# that asked for it is closed.

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger
from bigtop.web.access.roles import includes
from bigtop.web.access.sessions import Person
from bigtop.web.daemons import Daemon, Daemons
from bigtop.web.rules.actions import DeclinedError, Order
from bigtop.web.rules.flows import Ring
from bigtop.web.rules.masking import masked
from bigtop.web.store import Store

if TYPE_CHECKING:
    from bigtop.web.cluster import ShownCluster

log = get_logger("bigtop.web")

_KEPT: Final = 200
_AT_ONCE: Final = 50  # actions that are not finished
_SHOWN: Final = 2000  # characters of a reason


class Progress:
    def __init__(
        self,
        daemons: Daemons,
        store: Store,
        changed: Callable[[], None],
        cluster: ShownCluster | None = None,
    ) -> None:
        self.ring = Ring(_KEPT)
        self._daemons = daemons
        self._cluster = cluster
        self._store = store
        self._changed = changed
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def obey(self, order: Order, person: Person, address: str) -> Mapping[str, Any]:
        """Do what somebody asked for. Returns the reply to what only reads, and the number of what takes its
        time. DeclinedError: it may not, or cannot be; BigtopError: the daemon refuses what only reads."""
        asked, action = self._asked(order), order.action
        if not includes(person.role, action.role):
            self._audit(order, person, address, "refused", f"needs the role {action.role}")
            raise NotAllowedError(f"{order.word} needs the role {action.role}; you have {person.role}")
        if action.reads:
            reply = await asked.call(person.role, action.command, dict(order.properties), 30.0)
            return {"reply": masked_reply(order.word, reply)}
        if len(self._tasks) >= _AT_ONCE:
            raise DeclinedError(f"{_AT_ONCE} actions are not finished yet")
        self._audit(order, person, address, "begun", "")
        self._count += 1
        number = self._count
        self._tell(number, order, person, "running", "")
        task = asyncio.create_task(self._perform(number, order, person, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {"number": number}

    async def _perform(self, number: int, order: Order, person: Person, address: str) -> None:
        action, state, words = order.action, "failed", "the console ended"
        asked = self._asked(order)
        timeout = None if action.waits else 30.0
        try:
            reply = await asked.call(person.role, action.command, dict(order.properties), timeout)
            state, words = "done", outcome(reply)
        except BigtopError as error:
            words = str(error)[:_SHOWN]
        finally:
            self._audit(order, person, address, state, words)
            self._tell(number, order, person, state, words)

    def _asked(self, order: Order) -> Daemon | ShownCluster:
        """DeclinedError: there is none such."""
        if not order.action.of_cluster:
            if (daemon := self._daemons.by_name.get(order.daemon)) is not None:
                return daemon
            raise DeclinedError(f"there is no daemon {order.daemon!r:.60}")
        if self._cluster is not None and self._cluster.name == order.daemon:
            return self._cluster
        raise DeclinedError(f"there is no cluster {order.daemon!r:.60}")

    def _tell(self, number: int, order: Order, person: Person, state: str, words: str) -> None:
        self.ring.add(
            {
                "number": number,
                "daemon": order.daemon,
                "do": order.word,
                "name": order.properties.get("name"),
                "what": order.words,
                "who": person.name,
                "state": state,
                "words": words,
                "at": round(time.time(), 1),
            }
        )
        self._changed()

    def _audit(self, order: Order, person: Person, address: str, state: str, words: str) -> None:
        self.note(person, address, order.words or order.word, state, words, order.daemon)

    def note(
        self, person: Person, address: str, what: str, state: str, words: str = "", daemon: str = ""
    ) -> None:
        """Write to the audit log. DeclinedError: that cannot be, so nothing may happen."""
        entry = {
            "at": round(time.time(), 3),
            "who": person.name,
            "role": person.role,
            "how": person.how,
            "from": address,
            "daemon": daemon,
            "what": what,
            "state": state,
            "words": words,
        }
        try:
            self._store.audit(entry)
        except OSError as error:
            log.error("%s: %s: no action without an audit log", self._store.audit_path, error.strerror)
            raise DeclinedError(f"the audit log cannot be written: {error.strerror}") from None
        log.info("%s (%s, %s): %s%s", person.name, person.role, address, what, f": {state}")


class NotAllowedError(DeclinedError):
    """The role does not include it."""


def outcome(reply: Mapping[str, Any]) -> str:
    """Return what is to be said of a reply, for people."""
    told = []
    for key in ("started", "kept", "killed", "steps"):
        found = reply.get(key)
        if isinstance(found, list) and found and key in ("killed", "steps"):
            told.append("; ".join(map(str, found)))
    return "; ".join(told)[:_SHOWN]


def masked_reply(word: str, reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a reply without secrets."""
    if word != "options":
        return reply
    return {**reply, "options": masked(reply["options"])}
