# Attempts to log in: who failed how often, and how long that one has to wait.
#
# Rules: pure; time is an argument. The first few failures are free, each further one doubles the pause, up to
# a longest one. A failure counts for a name at an address, which is slowed down most; for the address,
# whatever names it tries; and for the name, wherever that is tried from, which is slowed down late and
# little: else a stranger could keep somebody out. Who has once come in under a name from an address is not
# held up by others. What is kept is bounded: who fills it up is forgotten last.

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from bigtop.record import Record

FREE: Final = 5  # of a name at an address
_FIRST: Final = 1.0  # seconds
LONGEST: Final = 900.0  # seconds
_FORGOTTEN: Final = 3600.0  # seconds without a failure
_MOST: Final = 10_000
_KNOWN: Final = 1000  # names at addresses that have come in


class Account(Record):
    """What failures are counted for: so many are free, and a pause is never longer than `longest`."""

    key: str
    free: int = FREE
    longest: float = LONGEST


class _Failures(Record):
    count: int
    last: float


class Attempts:
    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}
        self._known: dict[str, None] = {}

    def wait(self, accounts: Iterable[Account], now: float) -> float:
        """Return for how many seconds who counts for these may not try; 0: at once."""
        return max(self._wait(one, now) for one in accounts)

    def _wait(self, account: Account, now: float) -> float:
        found = self._failures.get(account.key)
        if found is None or found.count < account.free:
            return 0.0
        pause = min(account.longest, _FIRST * 2.0 ** min(found.count - account.free, 20))
        return max(0.0, found.last + pause - now)

    def failed(self, accounts: Iterable[Account], now: float) -> None:
        for account in accounts:
            before = self._failures.pop(account.key, None)
            stands = before is not None and now - before.last < _FORGOTTEN
            self._failures[account.key] = _Failures(
                before.count + 1 if before is not None and stands else 1, now
            )
        while len(self._failures) > _MOST:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, accounts: Iterable[Account]) -> None:
        """Somebody came in who counted as a failure before that was known: that is taken back. What was
        counted for a name at an address is forgiven."""
        for account in accounts:
            found = self._failures.pop(account.key, None)
            if account.free != FREE and found is not None and found.count > 1:
                self._failures[account.key] = _Failures(found.count - 1, found.last)

    # ---- who is counted

    def of_login(self, name: str, address: str) -> tuple[Account, ...]:
        """Return what a login with a password counts for."""
        pair = f"pair:{_place(address)} {name[:100]}"
        found = (Account(pair), self.of_address(address))
        return found if pair in self._known else (*found, Account(f"name:{name[:100]}", 50, 30.0))

    def of_address(self, address: str) -> Account:
        return Account(f"address:{_place(address)}", 20)

    def remember(self, name: str, address: str) -> None:
        """Somebody has come in under that name from there."""
        pair = f"pair:{_place(address)} {name[:100]}"
        self._known.pop(pair, None)
        self._known[pair] = None
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]


def _place(address: str) -> str:
    """Return whose an address is: of IPv6, a network of 64 bits is one customer's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6:
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
