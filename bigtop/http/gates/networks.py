# Networks: sets of addresses, as they are written in options and in files of one a line.
#
# Rule: an address of IPv4 that came as one of IPv6 (::ffff:10.0.0.1) is that of IPv4. What is no address,
# such as a name that a proxy made up, is in no network but *.

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from bigtop.http.memo import remember

ALL: Final = "*"


class Networks:
    """Which addresses are meant: addresses, networks such as 10.0.0.0/8, or * for all. ValueError: one of the
    texts is none of these."""

    __slots__ = ("_all", "_known", "_of_size")

    def __init__(self, texts: Iterable[str]) -> None:
        self._all = False
        self._known: dict[str, bool] = {}  # see memo.py
        # (bits of an address, of which so many are left out) -> the others, of all networks of that size
        self._of_size: dict[tuple[int, int], set[int]] = {}
        for text in texts:
            if text == ALL:
                self._all = True
                continue
            network = ipaddress.ip_network(text, strict=False)
            shift = network.max_prefixlen - network.prefixlen
            found = self._of_size.setdefault((network.max_prefixlen, shift), set())
            found.add(int(network.network_address) >> shift)

    def __contains__(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            known = self._all or self._looked_up(address)
            remember(self._known, address, known)
        return known

    def _looked_up(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        bits, number = found.max_prefixlen, int(found)
        return any(
            size == bits and number >> shift in networks for (size, shift), networks in self._of_size.items()
        )


def listed(text: str) -> tuple[str, ...]:
    """Return what a file lists: one a line, # begins a comment. ValueError names the line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        try:
            Networks((word,))
        except ValueError:
            raise ValueError(
                f"{number}: must be an IP address, a network such as 10.0.0.0/8, or *, got {word!r}"
            ) from None
        found.append(word)
    return tuple(found)
