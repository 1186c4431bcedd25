# Resolver of the names of upstreams: each question in a thread of its own, since getaddrinfo(3) waits.
#
# Rule: answers are told by the event loop, so nothing but this file knows of threads.

from __future__ import annotations

import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable

from bigtop.backends.native.upstream.reactor import Reactor
from bigtop.backends.native.upstream.upstream_socket import Address

Found = Callable[[list[Address], str, int], None]  # addresses, why there are none, and now


class Resolver:
    """Looks up names; `fd` is readable when there are answers, -1 as long as nobody has asked."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._answers: deque[tuple[Found, list[Address], str]] = deque()
        self.fd = -1

    def ask(self, host: str, port: int, found: Found) -> None:
        """Have `found` told the addresses of a name."""
        if self.fd < 0:
            self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._reactor.watch(self.fd, select.EPOLLIN, 0)
        threading.Thread(target=self._look_up, args=(host, port, found), name="resolver", daemon=True).start()

    def hear(self, now: int) -> None:
        """Tell the answers that there are."""
        os.eventfd_read(self.fd)
        while self._answers:
            found, addresses, reason = self._answers.popleft()
            found(addresses, reason, now)

    def _look_up(self, host: str, port: int, found: Found) -> None:
        addresses: list[Address] = []
        reason = ""
        try:
            for family, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                if (family, place) not in addresses:
                    addresses.append((family, place))
        except (OSError, UnicodeError) as error:
            reason = f"the name {host} has no address: {error}"
        self._answers.append((found, addresses, reason))
        os.eventfd_write(self.fd, 1)
