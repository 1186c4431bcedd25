# Performer of an ACME order: does what the machine says, and tells it what came of it.
#
# Rules: it runs in a thread of its own and can be stopped between two steps, and in each wait. The lease is
# looked at before each step that cannot be taken back. What is to be remembered is on the disk before the
# next step.

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from bigtop.errors import BigtopError
from bigtop.keeper.acme import machine
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.messages import (
    Action,
    Event,
    Fail,
    Finish,
    Get,
    NotShown,
    Post,
    RememberAccount,
    RememberOrder,
    Show,
    Shown,
    Wait,
    Withdraw,
    Woken,
)
from bigtop.keeper.acme.state import State
from bigtop.keeper.ordering.session import Session


class StoppedError(BigtopError):
    """The keeper ends; its successor goes on."""


class Memory(Protocol):
    """Where it is kept what has to outlive a keeper."""

    def account(self, url: str) -> None: ...

    def order(self, url: str) -> None: ...


class Responder(Protocol):
    """Who has challenges met."""

    def show(self, found: Sequence[Challenge]) -> str:
        """Return what is wrong, "" if the CA may come."""
        ...

    def withdraw(self, found: Sequence[Challenge]) -> None: ...


class Lease(Protocol):
    def check(self, now: float) -> None: ...


class Performer:
    """One order, in one thread."""

    def __init__(
        self,
        session: Session,
        memory: Memory,
        responder: Responder,
        lease: Lease,
        stopping: threading.Event,
    ) -> None:
        self._session = session
        self._memory = memory
        self._responder = responder
        self._lease = lease
        self._stopping = stopping

    def run(self, state: State, actions: Sequence[Action]) -> Finish | Fail:
        """Perform until the end. Raises LeaseLostError, and StoppedError with nothing shown any more."""
        try:
            while True:
                event: Event | None = None
                for action in actions:
                    if isinstance(action, (Finish, Fail)):
                        return action
                    event = self._perform(action)
                assert event is not None, "the last action brings an event"
                state, actions = machine.handle(state, event, time.time())
        except StoppedError:
            if state.shown:
                self._responder.withdraw(state.shown)
            raise
        # Who has lost the lease withdraws nothing: who has it now shows the same challenges.

    def _perform(self, action: Action) -> Event | None:
        if self._stopping.is_set():
            raise StoppedError("the keeper ends")
        match action:
            case Get():
                return self._session.ask(action)
            case Post():
                if action.is_final:
                    self._lease.check(time.time())
                return self._session.ask(action)
            case Show(found):
                trouble = self._responder.show(found)
                return NotShown(trouble) if trouble else Shown()
            case Wait(until):
                if self._stopping.wait(max(0.0, until - time.time())):
                    raise StoppedError("the keeper ends")
                return Woken()
            case Withdraw(found):
                self._responder.withdraw(found)
            case RememberAccount(url):
                self._memory.account(url)
            case RememberOrder(url):
                self._memory.order(url)
        return None
