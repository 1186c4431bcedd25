# Option: one row of the table in options.py.
#
# Rule: the name, the variable and the keyword are all derived from the first long flag, so that whoever knows
# one of them knows the others: --max-requests, $BIGTOP_MAX_REQUESTS, serve(max_requests=...).

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from bigtop.record import Record

T_co = TypeVar("T_co", covariant=True)

NATIVE = ("wsgi", "gevent", "asgi")  # the servers that heed the same options


class Without(NamedTuple):
    """One of the NATIVE servers that does without an option, and why that makes no sense there."""

    backend: str
    reason: str


class Group(Enum):
    """A heading of --help, in this order."""

    APPLICATION = "Application"
    SOCKETS = "Sockets"
    TLS = "TLS"
    FILES = "Files"
    PROXYING = "Other servers"
    WORKERS = "Workers"
    TIMES = "Times"
    LIMITS = "Limits"
    ASGI = "ASGI applications"
    PROCESS = "Process"
    LOGGING = "Logging"
    DEPLOYS = "Deploys"
    DEVELOPMENT = "Development and checks"


class Option(Record, Generic[T_co]):
    """One option. Without a `metavar` it is a switch: --x or --no-x."""

    declaration: str  # its flags, separated by blanks
    group: Group
    parse: Callable[[Sequence[str]], T_co]  # raises ValueError or ConfigError that says what would be right
    help: str
    metavar: str = ""
    default: tuple[str, ...] = ()  # texts, as a user would write them
    many: bool = False  # each use of the flag adds a text
    blanks: bool = False  # a text may hold some: in a file that is no list, each line is one
    also: str = ""  # gunicorn's name of the setting, where it differs
    bare: str = ""  # what the flag means when none of the words in `metavar` follows it
    field: str = ""  # of ServeOptions, which it sets: "limits.head"; "": what it is for is said in serve.py
    without: tuple[Without, ...] = ()  # native servers for which it makes no sense
    by_path: bool = False  # a handler is made of it: it may be another one for a path ([path:APP:PATH])

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.declaration.split())

    @property
    def flag(self) -> str:
        """The flag that messages use."""
        return _flag(self.declaration)

    @property
    def name(self) -> str:
        return _name(self.declaration)

    @property
    def variable(self) -> str:
        return f"BIGTOP_{self.name.upper()}"

    @property
    def is_switch(self) -> bool:
        return not self.metavar


# Asked for a thousand times while a site starts.


@cache
def _flag(declaration: str) -> str:
    return next(flag for flag in declaration.split() if flag.startswith("--"))


@cache
def _name(declaration: str) -> str:
    return _flag(declaration).removeprefix("--").replace("-", "_")
