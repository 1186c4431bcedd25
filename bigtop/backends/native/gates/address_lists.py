# Lists of addresses that are let in (--allow), or not (--deny).
#
# Rule: who is on both is not let in. A client that is not known, behind a unix socket, is on no list but *.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bigtop.backends.native.gates.fresh_file import FreshFile
from bigtop.http.clients.peer import BasePeer
from bigtop.http.gates.networks import Networks, listed
from bigtop.http.handlers import Reply, refusal_of
from bigtop.http.messages import Request

FILE: Final = "file:"  # before the name of a file with a list


class AddressList:
    """Addresses, networks, and those in files (file:PATH)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._given = [text for text in texts if not text.startswith(FILE)]
        self._files = [FreshFile(text.removeprefix(FILE), listed) for text in texts if text.startswith(FILE)]
        self._networks = self._all()

    def has(self, address: str, now: int) -> bool:
        if self._files:
            changed = [file for file in self._files if file.look(now)]
            if changed:
                self._networks = self._all()
        return address in self._networks

    def _all(self) -> Networks:
        return Networks([*self._given, *(text for file in self._files for text in file.value)])


class AddressLists:
    """Lets in who is in `allow`, where there is such a list, and not in `deny`."""

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        self._allow = AddressList(allow) if allow else None
        self._deny = AddressList(deny) if deny else None
        self._refusal = refusal_of(403, "this address is not let in")

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        address = peer.origin(request.headers).address
        if self._deny is not None and self._deny.has(address, now):
            return self._refusal
        if self._allow is not None and not self._allow.has(address, now):
            return self._refusal
        return None
