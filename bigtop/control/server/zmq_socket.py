# A ZeroMQ socket on the event loop of the standard library.
#
# The descriptor of a ZeroMQ socket is not the connection. It becomes readable when the socket's state may
# have changed, and says so once: a message that is left lying makes no new edge, and a send may consume the
# edge of a message that came meanwhile, for both go through one mailbox. Whoever forgets this has a server
# that sleeps beside a full queue.
#
# Rule: after every wake-up read until EAGAIN; after every send look again.

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import zmq

from bigtop.log import logger as get_logger

log = get_logger("bigtop")

_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
# Messages taken before everybody else on the loop gets a turn.
BATCH = 50


class EdgeSocket:
    """`take` is called with the frames of each message. After `batch` of them it rests `pause` seconds."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        take: Callable[[list[zmq.Frame]], None],
        batch: int = BATCH,
        pause: float = 0.0,
    ) -> None:
        self._socket = socket
        self._take = take
        self._batch = batch
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._looking: asyncio.Handle | None = None
        self._loop.add_reader(self._fd, self._drain)
        self._look_again()

    def send(self, frames: Sequence[bytes]) -> None:
        """Send or, to a peer that does not read, drop; never wait."""
        send, last = self._socket.send, len(frames) - 1
        try:  # as send_multipart() does it, which works out the same flags for each frame anew
            for frame in frames[:last]:
                send(frame, _MORE)
            send(frames[last], _NOBLOCK)
        except zmq.Again:
            pass
        self._look_again()

    def close(self, linger: int) -> None:
        """What was sent has `linger` milliseconds to leave."""
        self._loop.remove_reader(self._fd)
        if self._looking is not None:
            self._looking.cancel()
        self._socket.close(linger)

    def _look_again(self) -> None:
        if self._looking is None:
            self._looking = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        for _ in range(self._batch):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._take(frames)
        if self._pause:
            self._rest()
        else:
            self._look_again()

    def _rest(self) -> None:
        if self._looking is not None:  # since something was sent meanwhile
            self._looking.cancel()
        self._loop.remove_reader(self._fd)  # which stays readable
        self._looking = self._loop.call_later(self._pause, self._go_on)

    def _go_on(self) -> None:
        self._looking = None
        self._loop.add_reader(self._fd, self._drain)
        self._drain()


async def terminate(context: zmq.Context[zmq.Socket[bytes]], patience: float) -> None:
    """Wait, at most so many seconds, until what was sent has left and libzmq has no socket any more.

    libzmq was seen to wait for ever where connections ended at the moment at which their socket was closed. A
    thread that still waits ends with the process.
    """
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def tell() -> None:
        if not ended.done():
            ended.set_result(None)

    def term() -> None:
        context.term()
        with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=term, name="end of ZeroMQ", daemon=True).start()
    try:
        await asyncio.wait_for(ended, patience)
    except TimeoutError:
        log.warning("control channel: ZeroMQ has not ended within %g s; nobody waits for it", patience)
