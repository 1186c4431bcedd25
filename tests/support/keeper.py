# A keeper in a process of its own, with the lines that a supervisor and its workers have to it.

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.orders import Orders
from bigtop.keeper.publishing import page, publication, questions
from bigtop.keeper.publishing.publication import Challenges, Published, Standing
from tests.support.pebble import Answers
from tests.support.site import ROOT, until

LIMIT = 60.0


class Keeper:
    """One that runs, in a with statement."""

    def __init__(self, log: Path, **orders: Any) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.workers, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.setblocking(False)
        self._page, self._read = page.create()
        os.set_inheritable(self._page, True)
        self.log = log
        self.snapshots: list[tuple[str, int]] = []
        self._last: dict[str, bytes] = {}
        told = Orders(line=theirs.fileno(), questions=asked.fileno(), page=self._page, **orders)
        with theirs, asked, log.open("ab") as written:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bigtop.keeper.program", told.encode()],
                pass_fds=(theirs.fileno(), asked.fileno(), self._page),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=written,
            )

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for end in (self.line, self.workers):
            end.close()
        for fd in (self._page, self._read):
            os.close(fd)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        """Return what it logged so far, and who had this log before."""
        return self.log.read_text()

    def hear(self) -> None:
        """Take what it has published."""
        while True:
            try:
                snapshot = publication.receive(self.line)
            except BlockingIOError:
                return
            assert snapshot is not None, self.text()
            self.snapshots.append((snapshot.topic, snapshot.generation))
            self._last[snapshot.topic] = snapshot.content()
            os.close(snapshot.fd)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that its snapshots tell."""

        def found() -> object:
            select.select([self.line], [], [], 0.05)
            assert self.process.poll() is None, self.text()
            self.hear()
            return condition()

        try:
            until(found, what, LIMIT)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}\n{self.standings()}") from None

    def certificates(self) -> list[Published]:
        return publication.read_certificates(self._last.get(publication.CERTIFICATES, b"[]"))

    def standings(self) -> dict[str, Standing]:
        found = publication.read_status(self._last.get(publication.STATUS, b"[]"))
        return {one.title: one for one in found}

    def challenges(self) -> Challenges:
        data = page.read(self._read)
        return Challenges(data) if data else Challenges()

    def ask(self, kind: str, word: str) -> str | None:
        """Ask as a worker does, and wait for the answer."""
        reply = questions.ask(self.workers.fileno(), kind, word)
        if reply is None:
            return None
        try:
            assert select.select([reply], [], [], LIMIT)[0], self.text()
            return reply.recv(65536).decode() or None
        finally:
            reply.close()


class Workers(Answers):
    """Servers that know nothing themselves and ask whichever keepers there are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.keepers: list[Keeper] = []
        self.held = False  # whether challenges are answered by nobody

    def find(self, token: str) -> Challenge | None:
        answer = self._ask(questions.HTTP, token)
        return Challenge("http-01", "", token, answer) if answer else None

    def find_pem(self, name: str) -> str | None:
        return self._ask(questions.ALPN, name)

    def _ask(self, kind: str, word: str) -> str | None:
        if self.held:
            return None
        answers = [keeper.ask(kind, word) for keeper in self.keepers]
        return next(filter(None, answers), None)
