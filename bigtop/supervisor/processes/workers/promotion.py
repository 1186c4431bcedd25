# Promotions: workers that become fork servers.
#
# A worker is told so on its lifeline, and given one end of a control line. It drains, looks at itself, and
# says on that line whether it can be one. From then on its process is that of a fork server, and gets the
# descriptors that its workers are to have. If it cannot, or says nothing, it ends as any worker that drains.
#
# Rules: no policy. It is the process that it was, so nothing is asked of the kernel anew; but what it says
# from now on is what fork servers say.

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from bigtop.ipc import lifeline
from bigtop.ipc.board import Scoreboard
from bigtop.ipc.scoreboard import Word
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages
from bigtop.supervisor.processes import descendants
from bigtop.supervisor.processes.workers.forkserver import Running
from bigtop.supervisor.processes.workers.forkservers import ForkServers
from bigtop.supervisor.processes.workers.worker_member import WorkerMember, WorkerTable

logger = get_logger("bigtop.supervisor")

Tell = Callable[[int, lifeline.Message, tuple[int, ...]], None]


class Promotion:
    """One that is under way; `heard` is called once, with its control line, or None and why there is none.
    OSError: there is no descriptor for it. Event loop only."""

    def __init__(self, heard: Callable[[socket.socket | None, str], None]) -> None:
        self._control, self.far = lifeline.pair()
        self._control.setblocking(False)
        self._heard = heard
        asyncio.get_running_loop().add_reader(self._control, self._readable)

    def _readable(self) -> None:
        try:
            received = lifeline.receive(self._control)
            said = None if received is None else received[0]
        except BlockingIOError:
            return
        except (OSError, ValueError):  # it is gone, or in anybody's hands
            said = None
        asyncio.get_running_loop().remove_reader(self._control)
        if isinstance(said, lifeline.Loaded):
            self._heard(self._control, "")
            return
        self._control.close()
        why = "the worker has ended before it was a fork server"
        self._heard(None, said.message if isinstance(said, lifeline.LoadFailed) else why)

    def cancel(self) -> None:
        """It is not wanted any more: the worker ends."""
        if self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()


class Gain(Record, frozen=False):
    """What workers have of memory on average, in bytes, of what is shared each one's share (PSS): `before` a
    refork, right `after` it, and when they have answered as many requests (`warm`). 0: not known yet."""

    of: int  # the generation before
    before: int
    after: int = 0
    warm: int = 0


class Promotions:
    """Of one pool, that of the watcher `name`. `tell` sends a message with descriptors to a worker, by its
    key. `gains` are those of generations that are there."""

    def __init__(
        self,
        name: str,
        members: WorkerTable,
        board: Scoreboard,
        servers: ForkServers,
        tell: Tell,
        feed: Callable[[messages.Event], None],
    ) -> None:
        self._name = name
        self.gains: dict[int, Gain] = {}  # by the new generation
        self._members = members
        self._board = board
        self._servers = servers
        self._tell = tell
        self._feed = feed

    # ---- what it gains

    def warmed(self, key: int) -> None:
        """A worker has answered as many requests as one that becomes a fork server."""
        for gain in self.gains.values():
            if gain.after and not gain.warm:
                gain.warm = self._mean(key)
                self._tell_gain("after as many requests a worker", gain.warm, gain.before)
        self._feed(messages.Warmed(key))

    def discarded(self, generation: int) -> None:
        """A generation is over: it was replaced, or came to nothing."""
        self.gains.pop(generation, None)
        for gain in self.gains.values():
            if gain.of == generation and not gain.after:
                gain.after = self._mean()
                self._tell_gain("a worker", gain.after, gain.before)

    def _tell_gain(self, who: str, now: int, before: int) -> None:
        figures = now / 2**20, before / 2**20
        logger.info(
            "%s: %s has %.1f MiB of memory (PSS) on average, before the refork %.1f MiB",
            self._name,
            who,
            *figures,
        )

    def _mean(self, warm: int = 0) -> int:
        """Of workers that are to stay; of those that have answered half as many requests as `warm`."""
        requests = {key: view.words[Word.REQUESTS] for key, view in self._members.slots().items()}
        least = requests.get(warm, 0) / 2
        shares = [
            descendants.own_share(member.process.pid)
            for key, member in self._members.items()
            if member.cut is None and requests[key] >= least
        ]
        return sum(shares) // max(1, len(shares))

    # ---- how it goes

    def begin(self, promote: messages.Promote) -> None:
        self._servers.on_discarded = self.discarded
        self.gains[promote.generation] = Gain(promote.of, self._mean(promote.key))
        try:
            promotion = Promotion(lambda control, why: self._heard(promote, control, why))
        except OSError as error:
            self._fail(promote, f"there is no line to the worker: {error.strerror}")
            self._tell(promote.key, lifeline.Drain(promote.grace), ())
            return
        self._servers.promotions[promote.generation] = promotion
        with promotion.far:
            self._tell(promote.key, lifeline.Promote(promote.grace), (promotion.far.fileno(),))
        if promote.key in self._members:
            self._members[promote.key].cut_off_after(promote.grace)

    def _heard(self, promote: messages.Promote, control: socket.socket | None, why: str) -> None:
        self._servers.promotions.pop(promote.generation, None)
        member = self._members.get(promote.key)
        if control is None or member is None or not member.process.running:
            self._fail(promote, why or "the worker is gone")
        elif member.asked:  # nobody knows whether it has heard of them
            control.close()
            self._fail(promote, "certificates have changed meanwhile")
        else:
            self._take_over(promote, control, member)

    def _take_over(self, promote: messages.Promote, control: socket.socket, member: WorkerMember) -> None:
        del self._members[promote.key]
        member.leave(self._board)
        running = Running(member.process, control, member.stderr)
        self._feed(messages.Promoted(promote.key))
        self._servers.take_over(promote.generation, promote.of, running)
        self._feed(messages.GenerationReady(promote.generation))

    def _fail(self, promote: messages.Promote, reason: str) -> None:
        self._feed(messages.GenerationFailed(promote.generation, reason))
