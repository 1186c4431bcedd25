# The keeper: `python -m bigtop.keeper.program ORDERS`, a helper process that gets and keeps certificates.
#
# It alone has account keys and speaks to CAs. Who started it has a line to it: snapshots come out
# (publication.py), and a message that goes in, whatever it says, has it look at everything now. Workers read
# the challenges of this machine from a page (page.py), and ask for others on a line of their own
# (questions.py).
#
# Rules: it ends with that line, or at SIGTERM. An order that is under way then is gone on with by the next
# keeper. One certificate that cannot be had holds up no other one.

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bigtop import log
from bigtop.errors import BigtopError, ConfigError
from bigtop.keeper import trusted
from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.issuers import Issuer
from bigtop.keeper.keeping import Keeping, Means
from bigtop.keeper.ordering.responders import Responders
from bigtop.keeper.ordering.self_check import SelfCheck
from bigtop.keeper.orders import Orders
from bigtop.keeper.publishing import questions
from bigtop.keeper.publishing.publisher import Publisher
from bigtop.keeper.publishing.questions import Question
from bigtop.keeper.records import Records
from bigtop.keeper.storage import Storage, volatile_kind_of
from bigtop.keeper.tickets import TicketKeeping
from bigtop.keeper.watching import Watching
from bigtop.log import logger as get_logger
from bigtop.record import replace
from bigtop.system import kernel

logger = get_logger("bigtop.keeper")
_FORGOTTEN = 86400.0  # seconds after which a challenge is nobody's
_SHOWN = 10.0  # seconds that an order waits until its challenges are shown
_LONGEST = 64
_ORDERS = 8  # at a time


class Keeper:
    """All certificates of one process; event loop only."""

    def __init__(self, orders: Orders) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._threads_stopping = asyncio.Event(), threading.Event()
        self._line = _socket(orders.line)
        self._questions = _socket(orders.questions)
        storage = Storage(orders.storage)
        if kind := volatile_kind_of(storage.path):
            logger.warning("%s: on %s, so all certificates are gone with it", storage.path, kind)
        self._records = Records(storage)
        self._publisher = Publisher(self._line, orders.page)
        responders = Responders(
            self._records, orders.hook, self._changed, SelfCheck(*orders.ports).look, self._threads_stopping
        )
        means = Means(
            storage,
            self._records,
            tuple(map(_with_secret, orders.issuers)),
            orders.kinds,
            responders,
            self._publisher,
            self._threads_stopping,
            asyncio.Semaphore(_ORDERS),
        )
        self._loop.set_default_executor(ThreadPoolExecutor(4 * _ORDERS))
        self._keepings = [Keeping(names, means, self._stopping) for names in orders.sites]
        self._watchings: list[Watching | TicketKeeping] = [
            TicketKeeping(storage, self._publisher.tickets),
            *(Watching(folder, self._publisher) for folder in orders.watched),
        ]
        for folder in ("accounts", "certificates", "challenges", "leases", "orders", "tickets", "tries"):
            storage.tidy(folder)

    async def run(self) -> None:
        """Keep them until the end."""
        if self._line is not None:
            self._loop.add_reader(self._line, self._told)
        if self._questions is not None:
            self._loop.add_reader(self._questions, self._asked)
        self._loop.add_signal_handler(signal.SIGTERM, self.stop)
        self._show()
        keeping = [asyncio.create_task(one.run()) for one in self._keepings]
        watching = [asyncio.create_task(one.run()) for one in self._watchings]
        ended = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({ended, *keeping, *watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ended}:
                task.result()  # none returns before: a fault of ours, which ends us loudly
        finally:
            self.stop()
        for task in watching:
            task.cancel()
        await asyncio.gather(*keeping)

    def stop(self) -> None:
        self._stopping.set()
        self._threads_stopping.set()

    def _told(self) -> None:
        assert self._line is not None
        try:
            said = self._line.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._loop.remove_reader(self._line)
            self.stop()
        for keeping in self._keepings:
            keeping.look()
        for watching in self._watchings:
            watching.look()

    # ---- challenges

    def _changed(self) -> None:
        """Show anew which challenges there are, and return when they can be seen: the CA comes at once. From
        any thread but that of the loop."""
        shown = threading.Event()

        def show() -> None:
            try:
                self._show()
            finally:
                shown.set()

        self._loop.call_soon_threadsafe(show)
        shown.wait(_SHOWN)

    def _show(self) -> None:
        now = time.time()
        try:
            found = self._records.challenges()
            for old in [one for one in found if self._records.challenge_age(one.token, now) > _FORGOTTEN]:
                self._records.forget_challenge(old)
                found.remove(old)
        except BigtopError as error:
            logger.error("%s", error)
            return
        self._publisher.challenges(found, now)

    def _asked(self) -> None:
        assert self._questions is not None
        try:
            question = questions.receive(self._questions)
        except BlockingIOError:
            return
        if question is None:
            return
        try:
            text = self._answer(question)
        except BigtopError as error:
            logger.error("%s", error)
            text = ""
        questions.answer(question, text.encode())

    def _answer(self, question: Question) -> str:
        found: Challenge | None
        if question.kind == questions.HTTP:
            found = self._records.challenge(question.word) if challenges.is_token(question.word) else None
            return found.answer if found is not None and found.kind == challenges.HTTP else ""
        for found in self._records.challenges():
            if found.kind == challenges.ALPN and challenges.server_name(found) == question.word.lower():
                return self._publisher.alpn(found, time.time())
        return ""


def _socket(fd: int | None) -> socket.socket | None:
    if fd is None:
        return None
    found = socket.socket(fileno=fd)
    found.setblocking(False)
    return found


def _with_secret(issuer: Issuer) -> Issuer:
    """Return the issuer with the secret of its binding, instead of the file that has it."""
    if issuer.binding is None:
        return issuer
    kid, path = issuer.binding
    try:
        secret = trusted.read(path, path, (0, os.geteuid())).decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise ConfigError(f"{path}: No such file or directory") from None
    return replace(issuer, binding=(kid, secret))


async def _until_the_end(orders: Orders) -> None:
    await Keeper(orders).run()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: who started us says when we end
    orders = Orders.decode(sys.argv[1])
    kernel.set_title("bigtop: keeper")
    log.configure()
    try:
        asyncio.run(_until_the_end(orders))
    except BigtopError as error:
        logger.critical("%s", error)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
