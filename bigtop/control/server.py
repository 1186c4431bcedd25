# The control channel: a ROUTER socket that takes commands, and an XPUB socket beside it that tells events.
#
# Rule 1: every command gets one reply, whatever happens, and a cast none. Rule 2: no message, however wrong,
# large or frequent, does anything to other clients or to the supervisor. Rule 3: nothing here waits; what
# takes time runs as a task, and a client has a limited number of them.

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass

import zmq

from bigtop.control import auth, binding, commands, wire
from bigtop.control.auth import Access, Guard
from bigtop.control.command import Command, Role, Steering
from bigtop.control.daemon import Daemon
from bigtop.control.edge import EdgeSocket
from bigtop.control.events import Event
from bigtop.control.publisher import QUEUE, Publisher
from bigtop.control.wire import Envelope, Errno, RefusedError, Reply
from bigtop.errors import BigtopError
from bigtop.supervisor import messages

log = logging.getLogger("bigtop")

# Bytes; ZeroMQ cuts off who sends more. Commands have a few hundred.
LARGEST_MESSAGE = 1 << 20
# Commands of one client that are not finished yet.
MOST_AT_ONCE = 100
# When the server closes, commands have so many seconds to finish, and replies milliseconds to leave.
LAST_MOMENT = 0.2
READING_TIME = 0.1
LAST_WORDS = 1000


@dataclass(frozen=True, slots=True)
class _Client:
    """Where replies go: the frames before the request, which is an empty one more for a REQ socket."""

    route: tuple[bytes, ...]
    role: Role | None


class ControlServer:
    """Serves `daemon` from construction to close(), on the running event loop.

    Raises ConfigError for endpoints that would be open to others, BindError for those that are taken.
    """

    def __init__(self, daemon: Daemon, endpoint: str, pubsub: str, access: Access = Access()) -> None:  # noqa: B008
        for address in (endpoint, pubsub):
            auth.check(address, access)
        self._daemon = daemon
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._guard: Guard | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: Counter[bytes] = Counter()
        try:
            self._guard = Guard(self._context, access.curve) if access.curve else None
            router, self.endpoint = self._bind(zmq.ROUTER, endpoint, access)
            xpub, self.pubsub_endpoint = self._bind(zmq.XPUB, pubsub, access)
        except (BigtopError, zmq.ZMQError):
            if self._guard:
                self._guard.close()
            self._context.destroy(linger=0)
            raise
        self._router = EdgeSocket(router, self._receive)
        self.publisher = Publisher(xpub)

    def publish(self, name: str, notice: messages.Notice | Event) -> None:
        """Tell subscribers what happened to the watcher `name`."""
        self.publisher.publish(name, notice)

    async def close(self) -> None:
        """Send the replies that are due, refuse what is unfinished, leave no socket and no file behind."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_MOMENT)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks)
            # A client of ZeroMQ may forget a reply that it has not read yet when the connection ends.
            await asyncio.sleep(READING_TIME)
        for endpoint in (self.endpoint, self.pubsub_endpoint):
            binding.release(endpoint)
        self._router.close(LAST_WORDS)
        self.publisher.close()
        if self._guard:
            self._guard.close()
        await asyncio.to_thread(self._context.term)

    def _bind(self, kind: int, endpoint: str, access: Access) -> tuple[zmq.Socket[bytes], str]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        socket.setsockopt(zmq.SNDHWM, QUEUE)
        if self._guard:
            self._guard.protect(socket)
        return socket, binding.bind(socket, endpoint, access)

    # ---- a message

    def _receive(self, frames: Sequence[zmq.Frame]) -> None:
        *route, body = (frame.bytes for frame in frames)
        if len(route) != 1 and route[1:] != [b""]:
            return  # neither DEALER nor REQ: who could read a reply?
        client = _Client(tuple(route), self._role(frames[-1]))
        envelope = Envelope()
        try:
            envelope = wire.open_envelope(body)
            self._obey(client, envelope, commands.decode(wire.request(envelope)))
        except RefusedError as error:
            self._refuse(client, envelope, str(error), error.errno)

    def _role(self, frame: zmq.Frame) -> Role | None:
        if self._guard is None:
            return Role.ADMIN
        return self._guard.role(str(frame.get("User-Id")))

    def _obey(self, client: _Client, envelope: Envelope, command: Command) -> None:
        if client.role is None or client.role < command.role:
            needed = command.role.name.lower()
            raise RefusedError(f"{command.word} needs a key with the role {needed}", Errno.NOT_ALLOWED)
        if self._busy[client.route[0]] >= MOST_AT_ONCE:
            raise RefusedError(f"{MOST_AT_ONCE} commands are not finished yet", Errno.COMMAND)
        if isinstance(command, Steering):
            # Not the whole command: the options of a watcher may hold passwords.
            name = wire.request(envelope).properties.get("name", "")
            log.info("command: %s %s", command.word, name)
        try:
            outcome = command.apply(self._daemon)
            if not inspect.isawaitable(outcome):
                self._reply(client, envelope, outcome)
                return
        except Exception as error:  # a mistake in one command must not cost the operator the channel
            raise RefusedError(*_failure(command, error)) from error
        if not command.replies_at_end():
            self._reply(client, envelope, {})
        self._watch(client, self._finish(client, envelope, command, outcome))

    def _watch(self, client: _Client, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        self._busy[client.route[0]] += 1
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self, client: _Client, envelope: Envelope, command: Command, outcome: Awaitable[Reply]
    ) -> None:
        reason, errno = "the supervisor ended before this was done", Errno.COMMAND
        try:
            try:
                reply = await outcome
            finally:  # before the reply: whoever has that may send the next command
                self._busy[client.route[0]] -= 1
                if not self._busy[client.route[0]]:
                    del self._busy[client.route[0]]
            if command.replies_at_end():
                self._reply(client, envelope, reply)
            return
        except asyncio.CancelledError:  # by close()
            pass
        except Exception as error:  # as above
            reason, errno = _failure(command, error)
        if command.replies_at_end():
            self._refuse(client, envelope, reason, errno)
        else:
            log.error("command: %s: %s", command.word, reason)

    # ---- its reply

    def _reply(self, client: _Client, envelope: Envelope, reply: Reply) -> None:
        frame = wire.ok(reply, envelope, time.time())
        if not envelope.cast:
            self._router.send([*client.route, frame])

    def _refuse(self, client: _Client, envelope: Envelope, reason: str, errno: int) -> None:
        if envelope.cast:
            log.error("command: refused without a reply: %s", reason)
        else:
            self._router.send([*client.route, wire.error(reason, errno, envelope, time.time())])


def _failure(command: Command, error: Exception) -> tuple[str, Errno]:
    match error:
        case RefusedError():
            return str(error), error.errno
        case BigtopError():
            return str(error), Errno.COMMAND
        case OSError():
            return str(error), Errno.OS
        case _:
            log.error("command: %s: a mistake in Bigtop", command.word, exc_info=error)
            return "server error", Errno.SERVER
