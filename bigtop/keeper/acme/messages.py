# Messages of the ACME machine: what it is told has happened, and what it says is to be done.
#
# Rule: of the actions that one event brings, the last one brings the next event; those before it are done on
# the way and bring none.

from __future__ import annotations

from collections.abc import Mapping

from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.problems import Fault
from bigtop.record import Record, field

# ---- events


class Answered(Record):
    """An answer of the CA, as a whole; names of fields in small letters."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Unreachable(Record):
    """There was no answer, for this reason."""

    text: str


class Shown(Record):
    """The challenges can be met from everywhere."""


class NotShown(Record):
    """They cannot, for this reason: a hook failed."""

    text: str


class Woken(Record):
    """The time has come that was waited for."""


Event = Answered | Unreachable | Shown | NotShown | Woken

# ---- actions


class Get(Record):
    """Ask without a signature; an Answered or Unreachable comes back."""

    url: str


class Post(Record):
    """Ask with a signature: by the account's address, or by its key where `account` is "". No payload is a
    POST-as-GET. What `is_final` cannot be taken back: the lease is looked at before."""

    url: str
    payload: Mapping[str, object] | None
    account: str
    new_nonce: str
    is_final: bool = False


class Show(Record):
    """Have the challenges met; Shown or NotShown comes back."""

    challenges: tuple[Challenge, ...]


class Wait(Record):
    """Woken comes back at that time, in seconds since 1970."""

    until: float


class Withdraw(Record):
    """Nobody asks for these challenges any more."""

    challenges: tuple[Challenge, ...]


class RememberAccount(Record):
    """Keep the address of the account; "": the CA does not know it."""

    url: str


class RememberOrder(Record):
    """Keep the address of the order that is under way; "": there is none."""

    url: str


class Finish(Record):
    """The certificates, as PEM."""

    chain: bytes


class Fail(Record):
    """It cannot be had now; not before `not_before`, if the CA said when (seconds since 1970)."""

    text: str
    fault: Fault
    not_before: float = 0.0


Action = Get | Post | Show | Wait | Withdraw | RememberAccount | RememberOrder | Finish | Fail
