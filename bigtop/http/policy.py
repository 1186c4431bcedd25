# Request policy of a connection: which requests are let through, and which of their fields the application is
# shown.
#
# Rule 1: both native servers ask here, so that applications for WSGI and for ASGI are shown the same fields.
# Rule 2: nobody but a trusted peer says what only proxies say, however it is spelled: in an environ
# X_Forwarded_Proto and X-Forwarded-Proto would be one key. Other names with "_" are what the options make of
# them, which are gunicorn's: `header_map`, and `forwarder` for the names that trusted peers may send.
# Rule 3: what was found out about a name, or about a whole header, is remembered (see memo.py).

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from bigtop.errors import ProtocolError
from bigtop.http.memo import LONGEST_NAME
from bigtop.http.messages import Request
from bigtop.http.requestid import NAME as REQUEST_ID

Pairs = Sequence[tuple[bytes, bytes]]

SCRIPT_NAME: Final = b"script_name"

# What proxies add, and clients have no reason to send.
_BY_PROXIES: Final = frozenset((b"forwarded", b"x-real-ip", b"x-request-id"))
_OF_PROXIES: Final = (b"x-forwarded-", b"ssl-client-", b"x-ssl-client-")  # how names of such begin
_ENCODED: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")  # the keys of PEP 3333 without HTTP_
_PATH: Final = re.compile(rb"/[!-~]*")
_KEPT: Final = 1024  # names; clients choose them


class Policy:
    """The policy for the requests of trusted peers, or of all others.

    `claims` are the fields in which a trusted peer says where a request came from; `check_scheme` refuses
    what it says about the scheme, None where nothing is believed. `forwarder` are names with "_" that it may
    send; others get none. `by_proxies` are further names, in lower case, that only proxies use. No `methods`:
    any of them.

    `names` and `keys` are what name_of() and key_of() have said: to look there first spares a call.
    """

    __slots__ = (
        "_by_proxies",
        "_check_scheme",
        "_forwarder",
        "_map",
        "_methods",
        "claim_keys",
        "claims",
        "keys",
        "names",
        "trusted",
    )

    def __init__(
        self,
        *,
        trusted: bool,
        header_map: str = "drop",
        forwarder: Collection[str] = (),
        methods: Collection[str] = (),
        by_proxies: Collection[bytes] = (),
        claims: Collection[bytes] = (),
        check_scheme: Callable[[Pairs], object] | None = None,
    ) -> None:
        self.trusted = trusted
        self.claims = frozenset(claims)
        self.claim_keys = frozenset(key_of(name) for name in claims)
        self._map = header_map
        self._forwarder = frozenset(name.lower().encode() for name in forwarder)
        self._methods = frozenset(methods)
        self._by_proxies = _BY_PROXIES.union(by_proxies)
        self._check_scheme = check_scheme
        self.names: dict[bytes, bytes] = {}  # as they were spelled -> lower case; b"": not shown
        self.keys: dict[bytes, str] = {}  # the same -> keys of environs

    # ---- requests

    def check(self, request: Request) -> None:
        """Let a request through, or raise ProtocolError. Need not be asked when its Fields have `passed`."""
        if self._methods and request.method not in self._methods:
            allow = ", ".join(sorted(self._methods))
            raise ProtocolError(405, f"the method is none of {allow}", (("Allow", allow),))
        self._check_fields(request.headers)
        if request.fields is not None and not self._methods:
            request.fields.passed = self

    def _check_fields(self, headers: Pairs) -> None:
        if self._map == "refuse":
            for name, _value in headers:
                if b"_" in name and not self._may_forward(name.lower()):
                    raise ProtocolError(400, f"the field name {name.decode('latin-1')} has an underscore")
        if self._check_scheme is not None and self._has_claims(headers):
            self._check_scheme(headers)

    def _has_claims(self, headers: Pairs) -> bool:
        known, claims = self.names, self.claims
        for name, _value in headers:
            lower = known.get(name)
            if lower is None:
                lower = self.name_of(name)
            if lower in claims:
                return True
        return False

    # ---- fields

    def name_of(self, name: bytes) -> bytes:
        """Return the name by which ASGI applications are shown a field, b"" when they are not."""
        known = self.names.get(name)
        if known is None:
            lower = name.lower()
            known = lower if self._shows(lower) else b""
            if len(self.names) < _KEPT and len(name) <= LONGEST_NAME:
                self.names[name] = known
        return known

    def key_of(self, name: bytes) -> str:
        """Return the key by which WSGI applications are shown a field, "" when they are not."""
        known = self.keys.get(name)
        if known is None:
            known = key_of(name) if self.name_of(name) else ""
            if len(self.keys) < _KEPT and len(name) <= LONGEST_NAME:
                self.keys[name] = known
        return known

    def script_name(self, headers: Pairs) -> str:
        """Return where a proxy says that the application is mounted, "" when it says nothing that counts."""
        if SCRIPT_NAME in self._forwarder or b"*" in self._forwarder:
            for name, value in headers:
                if name.lower() == SCRIPT_NAME and _PATH.fullmatch(value) is not None:
                    return value.decode("latin-1").rstrip("/")
        return ""

    def _shows(self, lower: bytes) -> bool:
        dashed = lower.replace(b"_", b"-")
        if not self.trusted and (dashed.startswith(_OF_PROXIES) or dashed in self._by_proxies):
            return False
        if dashed == REQUEST_ID != lower:  # there is one that was checked, or made here, under the same key
            return False
        return b"_" not in lower or self._map == "dangerous" or self._may_forward(lower)

    def _may_forward(self, lower: bytes) -> bool:
        return lower in self._forwarder or b"*" in self._forwarder


def key_of(name: bytes) -> str:
    """Return the key of a field name in an environ. Only the real Content-Length is CONTENT_LENGTH."""
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in _ENCODED and b"_" not in name else "HTTP_" + key
