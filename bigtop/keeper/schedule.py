# Schedule: when a certificate is renewed, and when somebody is asked again who refused, and who that is.
#
# Rules: pure; times are seconds since 1970, and chance is an argument. A try is counted before it begins, and
# what was counted is kept: whoever is killed in a try, or in a loop of them, waits as after a failure. After
# a first failure of a name the next tries are rehearsals, with the CA's staging; one that succeeds is
# followed by a real one at once. A CA that cannot or will not is left for the next one.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.keeper.acme import renewal_info
from bigtop.keeper.acme.problems import Fault
from bigtop.keeper.acme.renewal_info import RenewalInfo
from bigtop.record import Record, as_dict, replace

DAY: Final = 86400.0
_FIRST: Final = 60.0  # seconds after a first failure
_FACTOR: Final = 3.0  # so that five tries fall into the first hour, which Let's Encrypt allows
_LONGEST: Final = DAY
_NEVER: Final = 8 * DAY  # more than a CA's Retry-After (retry_after.py) and any pause
_JITTER: Final = 0.25  # of a pause, added by chance
_AFTER_SUCCESS: Final = 6 * 3600.0
_RESUMED: Final = 3  # times that an order is gone on with at once
_SHORT_LIVED: Final = 10 * DAY
_LAST: Final = 0.9  # of a lifetime: a window of the CA that is later is not believed
INTERRUPTED: Final = "the last try was interrupted"


class Tries(Record):
    """What is known of the tries for one certificate since the last that succeeded."""

    failures: int = 0  # in a row; one that is under way is counted
    not_before: float = 0.0
    issuer: int = 0  # who is asked next
    rehearses: bool = False
    is_open: bool = False  # it began, and nobody said how it ended
    error: str = ""
    at: float = 0.0  # when that was

    def encode(self) -> dict[str, object]:
        return as_dict(self)

    @classmethod
    def decode(cls, words: Mapping[str, object]) -> Tries:
        """Raises ValueError."""
        match words:
            case {
                "failures": int(failures),
                "not_before": float() | int() as not_before,
                "issuer": int(issuer),
                "rehearses": bool(rehearses),
                "is_open": bool(is_open),
                "error": str(error),
                "at": float() | int() as at,
            } if failures >= 0 and issuer >= 0:
                return cls(failures, float(not_before), issuer, rehearses, is_open, error, float(at))
        raise ValueError("these are no tries")


def renewal_time(begin: float, end: float, info: RenewalInfo | None = None, name: str = "") -> float:
    """Return when a certificate that is valid from `begin` to `end` is renewed; `name` is what its CA calls
    it (renewal_info.identifier())."""
    lifetime = end - begin
    if info is not None:
        return min(renewal_info.moment(info, name), begin + lifetime * _LAST)
    return begin + lifetime * (1 / 2 if lifetime < _SHORT_LIVED else 2 / 3)


def next_try(tries: Tries, resumed: int | None, now: float) -> float:
    """Return when a try may begin; `resumed` is how often an order that is under way was gone on with, None
    if there is no such order."""
    # Nobody waits for so long: a clock was wrong when that was written.
    is_wrong = tries.not_before > now + _NEVER
    return 0.0 if is_wrong or goes_on(tries, resumed) else tries.not_before


def goes_on(tries: Tries, resumed: int | None) -> bool:
    """Whether the next try is the one that was interrupted, gone on with."""
    return tries.is_open and resumed is not None and resumed < _RESUMED


def begun(tries: Tries, now: float, chance: float, resumed: int | None = None) -> Tries:
    """Return what to keep before a try begins: as if it had failed; `chance` is from 0 to 1. One that goes on
    with what was interrupted is the same try."""
    failures = tries.failures + (0 if goes_on(tries, resumed) else 1)
    return replace(
        tries,
        failures=failures,
        not_before=now + pause(failures, chance),
        is_open=True,
        error=INTERRUPTED,
        at=now,
    )


def failed(tries: Tries, fault: Fault, text: str, not_before: float, issuers: Sequence[bool]) -> Tries:
    """Return what to keep when the try that begun() counted has failed. `not_before` is what the CA asks for;
    `issuers` says of each CA whether it has a staging."""
    tries = replace(tries, is_open=False, error=text)
    number = tries.issuer % len(issuers)
    if fault is Fault.NAME:
        return replace(tries, issuer=number, rehearses=issuers[number])
    if tries.rehearses:  # the staging is not needed
        return replace(tries, issuer=number, rehearses=False)
    if len(issuers) > 1:
        return replace(tries, issuer=(number + 1) % len(issuers))
    return replace(tries, issuer=0, not_before=max(tries.not_before, not_before))


def rehearsed(tries: Tries, now: float) -> Tries:
    """Return what to keep when a rehearsal has succeeded: the real try is next, and now."""
    return replace(tries, is_open=False, rehearses=False, not_before=now)


def succeeded(now: float, lifetime: float) -> Tries:
    """Return what to keep when there is a certificate. Even if the CA wants that one renewed at once, it is
    not before a while."""
    return Tries(not_before=now + min(_AFTER_SUCCESS, lifetime / 10))


def pause(failures: int, chance: float) -> float:
    """Return the seconds to wait after so many failures in a row."""
    return min(_FIRST * _FACTOR ** min(failures - 1, 20), _LONGEST) * (1 + _JITTER * chance)


def kinds(wanted: Sequence[str], failures: int) -> tuple[str, ...]:
    """Return the kinds of challenges in the order in which they are tried: what failed comes last."""
    turn = failures % len(wanted)
    return (*wanted[turn:], *wanted[:turn])
