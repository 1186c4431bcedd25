# State of an ACME order under way: what is wanted, and how far it is.

from __future__ import annotations

import enum
from collections.abc import Mapping

from bigtop.keeper.acme import challenges
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.messages import Get, Post
from bigtop.keeper.acme.resources import Directory, Order
from bigtop.record import Record, field


class Phase(enum.Enum):
    DIRECTORY = "asks for the directory"
    ACCOUNT = "makes an account"
    NEW_ORDER = "orders"
    ORDER = "looks at the order"
    AUTHORIZATIONS = "asks what is to be shown"
    SHOWING = "shows it"
    RESPONDING = "says that it is shown"
    POLLING = "waits for the CA to look"
    FINALIZING = "asks for the certificate"
    DOWNLOAD = "fetches the certificate"


class Goal(Record):
    """What is wanted, from whom, by which account."""

    directory: str
    names: tuple[str, ...]
    request: bytes  # CSR, DER
    key: Mapping[str, str]  # public half of the account's key, as jose.jwk() returns it
    kinds: tuple[str, ...] = challenges.KINDS  # of challenges, the first one that is offered is taken
    email: str = ""
    binding: tuple[str, bytes] | None = field(default=None)  # of an external account: key id, secret
    profile: str = ""
    replaces: str = ""  # the certificate that is renewed, as renewal_info.identifier() returns it
    patience: float = 900.0  # seconds for all of it


class State(Record):
    """How far it is. `last` is the question that waits for its answer, `queue` what is asked after it."""

    goal: Goal
    deadline: float
    phase: Phase = Phase.DIRECTORY
    account: str = ""
    order_url: str = ""
    directory: Directory | None = None
    order: Order | None = None
    last: Get | Post | None = None
    retries: int = 0
    looks: int = 0
    anew: int = 0
    queue: tuple[str, ...] = ()
    found: tuple[Challenge, ...] = ()
    shown: tuple[Challenge, ...] = ()
