# The control channel before its first client: its sockets listen, and nothing else is there.
#
# ZeroMQ and all that answers commands take a tenth of a second and 6 MB. Most supervisors are not asked
# anything for hours, and a program is to answer requests before it answers questions.
#
# Rule: a client is somebody who says something. Who looks whether somebody is here (control/addresses.py)
# connects and leaves.

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from bigtop.control.server.binding import Places

_PAUSE = 1.0  # seconds in which nobody is accepted, when no descriptor is free
_MOST = 16  # who are silent; with one more they are the server's business, which limits them

Open = Callable[[Sequence[socket.socket], Sequence[socket.socket]], bool]


class Standby:
    """From construction to close(), or until `open` took over: called with those who came for commands and
    those who came for events. False: it cannot be opened now, and the next client is the first again.
    """

    def __init__(self, places: Places, open_now: Open) -> None:
        self._places = places
        self._open = open_now
        self._loop = asyncio.get_running_loop()
        self._arrived: dict[socket.socket, socket.socket] = {}  # and where
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._listen()

    def _listen(self) -> None:
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # they wait in the kernel's queue
            self._loop.remove_reader(listener)
            self._pauses[listener] = self._loop.call_later(_PAUSE, self._resume, listener)
            return
        client.setblocking(False)
        self._arrived[client] = listener
        self._loop.add_reader(client, self._look, client)
        if len(self._arrived) > _MOST:
            self._hand_over()

    def _resume(self, listener: socket.socket) -> None:
        self._pauses.pop(listener, None)
        self._loop.add_reader(listener, self._accept, listener)

    def _look(self, client: socket.socket) -> None:
        said = b""
        try:
            said = client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            pass
        if said:
            self._hand_over()
        else:
            self._loop.remove_reader(client)
            del self._arrived[client]
            client.close()

    def _hand_over(self) -> None:
        arrived = self._leave()
        of = [[client for client, at in arrived.items() if at is place] for place in self._listeners]
        if not self._open(*of):
            for client in arrived:
                client.close()
            self._listen()

    def _leave(self) -> dict[socket.socket, socket.socket]:
        """Hear of nothing any more; return those who are here."""
        arrived, self._arrived = self._arrived, {}
        for one in (*self._listeners, *arrived):
            self._loop.remove_reader(one)
        for pause in self._pauses.values():
            pause.cancel()
        self._pauses.clear()
        return arrived

    @property
    def _listeners(self) -> tuple[socket.socket, socket.socket]:
        return self._places.commands, self._places.events

    def close(self) -> None:
        for client in self._leave():
            client.close()
        self._places.close()
