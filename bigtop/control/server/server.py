# The control channel: a ROUTER socket that takes commands, and an XPUB socket beside it that tells events.
#
# Rule 1: every command gets one reply, whatever happens, and a cast none. Rule 2: no message, however wrong,
# large or frequent, does anything to other clients or to the supervisor. Rule 3: nothing here waits; what
# takes time runs as a task, and a client has a limited number of them.

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Sequence

import zmq

from bigtop.control import protocol
from bigtop.control.commands import table
from bigtop.control.commands.base import Command, Role, Steering
from bigtop.control.commands.target import Daemon
from bigtop.control.events import Event
from bigtop.control.protocol import Envelope, Errno, RefusedError, Reply
from bigtop.control.server import subscriptions, zmq_socket
from bigtop.control.server.auth import ROLES, Guard
from bigtop.control.server.binding import Places
from bigtop.control.server.client_acceptor import ClientAcceptor, ClientRelay, RelayLimits
from bigtop.control.server.endpoint_security import OWNER_ONLY, EndpointSecurity
from bigtop.control.server.keyholders import Keyholders
from bigtop.control.server.publisher import QUEUE, Publisher
from bigtop.control.server.zmq_socket import EdgeSocket
from bigtop.errors import BigtopError, BindError
from bigtop.log import logger as get_logger
from bigtop.record import Record
from bigtop.supervisor.policy import messages

log = get_logger("bigtop")

# Bytes; who sends more is cut off. Commands have a few hundred.
LARGEST_MESSAGE = 1 << 20
# Bytes of one client that are on their way and not taken yet.
COMMANDS_UNDER_WAY = LARGEST_MESSAGE + (1 << 16)
# Commands of one client that are not finished yet.
MOST_AT_ONCE = 100
# Commands taken one after the other where these are paced, and seconds until the next ones are.
PACE = (10, 0.02)
# When the server closes, commands have so many seconds to finish, and replies milliseconds to leave.
LAST_MOMENT = 0.2
READING_TIME = 0.1
LAST_WORDS = 1000
# Seconds in which ZeroMQ has to be done with that.
ZMQ_PATIENCE = 5.0


class _Client(Record):
    """Where replies go: the frames before the request, which is an empty one more for a REQ socket."""

    route: tuple[bytes, ...]
    role: Role | None


class ControlServer:
    """Serves `daemon` from construction to close(), on the running event loop.

    `places` are its own from then on. Raises ConfigError for keys that cannot be read, BindError where there
    are too few descriptors; then they are as they were.
    """

    def __init__(self, daemon: Daemon, places: Places, security: EndpointSecurity = OWNER_ONLY) -> None:
        self._daemon = daemon
        self._places = places
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._guard: Guard | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: Counter[bytes] = Counter()
        with contextlib.ExitStack() as undo:
            undo.callback(self._context.destroy, linger=0)
            try:
                if security.curve:
                    self._guard = Guard(self._context, security.curve)
                    undo.callback(self._guard.close)
                router = self._socket(zmq.ROUTER, LARGEST_MESSAGE)
                xpub = self._socket(zmq.XPUB, subscriptions.LIMITS.largest)
            except zmq.ZMQError as error:  # too few descriptors
                raise BindError(f"control endpoint {places.endpoint}: {error.strerror}") from None
            undo.pop_all()
        self._clients = ClientAcceptor(
            places.commands, router, RelayLimits(LARGEST_MESSAGE, COMMANDS_UNDER_WAY)
        )
        self._listeners = ClientAcceptor(places.events, xpub, subscriptions.LIMITS)
        self._router = EdgeSocket(router, self._receive, *(PACE if security.is_paced else ()))
        self._keyholders = Keyholders(self._guard, self._relays, ROLES[security.role])
        self.publisher = Publisher(subscriptions.Subscriptions(xpub, self._listeners, self._may_listen))

    def admit(self, clients: Iterable[socket.socket], listeners: Iterable[socket.socket]) -> None:
        """Let in those who came before there was a server."""
        for acceptor, arrived in ((self._clients, clients), (self._listeners, listeners)):
            for outer in arrived:
                acceptor.admit(outer)

    def publish(self, name: str, notice: messages.Notice | Event) -> None:
        """Tell subscribers what happened to the watcher `name`."""
        self.publisher.publish(name, notice)

    def allow(self, role: str) -> None:
        """Let those who come without a key do what `role` may, from now on."""
        self._keyholders.of_all = ROLES[role]

    async def close(self) -> None:
        """Send the replies that are due, refuse what is unfinished, leave no socket and no file behind."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_MOMENT)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks)
            # A client of ZeroMQ may forget a reply that it has not read yet when the connection ends.
            await asyncio.sleep(READING_TIME)
        self._places.release()
        acceptors = self._clients, self._listeners
        for acceptor in acceptors:
            acceptor.shut()
        self._keyholders.close()
        self._router.close(LAST_WORDS)
        self.publisher.close()
        if self._guard:
            self._guard.close()
        await zmq_socket.terminate(self._context, ZMQ_PATIENCE)
        await asyncio.gather(*(acceptor.close() for acceptor in acceptors))

    def _socket(self, kind: int, largest: int) -> zmq.Socket[bytes]:
        zsocket = self._context.socket(kind)
        zsocket.setsockopt(zmq.MAXMSGSIZE, largest)
        zsocket.setsockopt(zmq.SNDHWM, QUEUE)
        if self._guard:
            self._guard.protect(zsocket)
        return zsocket

    def _may_listen(self, client: ClientRelay, frame: zmq.Frame) -> bool:
        return self._keyholders.role(client, frame) is not None

    def _relays(self) -> list[ClientRelay]:
        return [*self._clients.relays.values(), *self._listeners.relays.values()]

    # ---- a message

    def _receive(self, frames: Sequence[zmq.Frame]) -> None:
        relay = self._clients.relays.get(frames[0].bytes.decode("utf-8", "replace"))
        if relay is not None:
            relay.took(len(frame) for frame in frames[1:])
        *route, body = (frame.bytes for frame in frames)
        if len(route) != 1 and route[1:] != [b""]:
            return  # neither DEALER nor REQ: who could read a reply?
        client = _Client(tuple(route), self._keyholders.role(relay, frames[-1]))
        envelope = Envelope()
        try:
            envelope = protocol.open_envelope(body)
            self._obey(client, envelope, table.decode(protocol.request(envelope)))
        except RefusedError as error:
            self._refuse(client, envelope, str(error), error.errno)

    def _obey(self, client: _Client, envelope: Envelope, command: Command) -> None:
        if client.role is None or min(client.role, _asked_for(envelope)) < command.role:
            needed = command.role.name.lower()
            raise RefusedError(f"{command.word} needs a key with the role {needed}", Errno.NOT_ALLOWED)
        if self._busy[client.route[0]] >= MOST_AT_ONCE:
            raise RefusedError(f"{MOST_AT_ONCE} commands are not finished yet", Errno.COMMAND)
        if isinstance(command, Steering):
            # Not the whole command: the options of a watcher may hold passwords.
            name = protocol.request(envelope).properties.get("name", "")
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
        frame = protocol.ok(reply, envelope, time.time())
        if not envelope.cast:
            self._router.send([*client.route, frame])

    def _refuse(self, client: _Client, envelope: Envelope, reason: str, errno: int) -> None:
        if envelope.cast:
            log.error("command: refused without a reply: %s", reason)
        else:
            self._router.send([*client.route, protocol.error(reason, errno, envelope, time.time())])


def _asked_for(envelope: Envelope) -> Role:
    """Return what somebody may for whom a client asks: a console has users with roles of their own."""
    if envelope.role is None:
        return Role.ADMIN
    found = ROLES.get(envelope.role) if isinstance(envelope.role, str) else None
    if found is None:
        raise RefusedError(f"message invalid: 'role' is one of {', '.join(ROLES)}")
    return found


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
