# Propagation of TXT records: whether all servers that a CA may ask have them.
#
# The zone's own servers are asked, each at all of its addresses, because caches in between would remember
# that there was nothing. Which these are, the resolver of this machine says.
#
# Rule: it only shortens a wait. Where nobody can be asked, the whole time is waited, and the CA may look.

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from bigtop.keeper.ordering import dns_message
from bigtop.keeper.ordering.dns_message import AAAA, CNAME, NS, TXT, A, Answer, MalformedDnsError

RESOLV_CONF: Final = "/etc/resolv.conf"
_PATIENCE: Final = 2.0  # seconds for an answer
_PAUSE: Final = 2.0  # seconds between looks
_TRIES: Final = 2
_ALIASES: Final = 8  # that lead to each other
_LARGEST: Final = 4096


class Propagation:
    """Any thread. `resolvers` are addresses; ports are 53, but in tests."""

    def __init__(self, resolvers: tuple[str, ...], port: int = 53) -> None:
        self._resolvers = resolvers
        self._port = port

    def wait(self, wanted: Mapping[str, set[str]], seconds: float, stopping: threading.Event) -> bool:
        """Wait until all servers have the wanted values, by name, at most for so long; return whether they
        have."""
        end = time.monotonic() + seconds
        while not all(self.has(name, values) for name, values in wanted.items()):
            left = end - time.monotonic()
            if left <= 0 or stopping.wait(min(_PAUSE, left)):
                return False
        return True

    def has(self, name: str, values: set[str]) -> bool:
        """Whether each server of the name's zone has these values."""
        name = self._target(name)
        servers = self._servers(name)
        return bool(servers) and all(values <= self._texts(server, name) for server in servers)

    def _target(self, name: str) -> str:
        """Return where the aliases of a name lead: a challenge may be delegated to another zone."""
        for _ in range(_ALIASES):
            found = self._resolved(name, CNAME)
            if not found:
                break
            name = found[0]
        return name

    def _servers(self, name: str) -> list[str]:
        """Return the addresses of those who answer for a name's zone."""
        labels = name.rstrip(".").split(".")
        for number in range(len(labels) - 1):
            hosts = self._resolved(".".join(labels[number:]), NS)
            if hosts:
                return [address for host in hosts for address in self._addresses(host)]
        return []

    def _addresses(self, host: str) -> tuple[str, ...]:
        kinds = (A, AAAA) if _has_ipv6() else (A,)
        return tuple(address for kind in kinds for address in self._resolved(host, kind))

    def _resolved(self, name: str, kind: int) -> tuple[str, ...]:
        for resolver in self._resolvers:
            answer = self._ask(resolver, name, kind, recursive=True)
            if answer is not None:
                return answer.of(kind)
        return ()

    def _texts(self, server: str, name: str) -> set[str]:
        answer = self._ask(server, name, TXT, recursive=False)
        return set(answer.of(TXT)) if answer is not None else set()

    def _ask(self, server: str, name: str, kind: int, recursive: bool) -> Answer | None:
        for _ in range(_TRIES):
            number = secrets.randbelow(65536)
            try:
                asked = dns_message.question(number, name, kind, recursive)
                answer = dns_message.read(self._exchanged(server, asked, number), number, name, kind)
            except (OSError, MalformedDnsError):
                continue
            if answer.is_cut:
                continue
            return answer
        return None

    def _exchanged(self, server: str, asked: bytes, number: int) -> bytes:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asker:
            asker.connect((server, self._port))  # so that nobody else's datagrams get in
            asker.send(asked)
            end = time.monotonic() + _PATIENCE
            while True:
                asker.settimeout(max(0.01, end - time.monotonic()))
                data = asker.recv(_LARGEST)
                if data[:2] == number.to_bytes(2, "big"):
                    return data


def resolvers(text: str) -> tuple[str, ...]:
    """Return the servers that a resolv.conf(5) names."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            with suppress(ValueError):
                ipaddress.ip_address(words[1].partition("%")[0])
                found.append(words[1])
    return tuple(found)


def of_this_machine() -> Propagation:
    try:
        with open(RESOLV_CONF, encoding="utf-8", errors="replace") as file:
            return Propagation(resolvers(file.read()))
    except OSError:
        return Propagation(())


def _has_ipv6() -> bool:
    """Whether there is a way to IPv6 addresses at all; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
            asker.connect(("2001:db8::1", 53))
    except OSError:
        return False
    return True
