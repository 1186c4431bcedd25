# Fields that are added to answers (--security-headers, --add-header): a filter.
#
# Rule: the application's word counts. A field is added to an answer that has none of its name, and browsers
# are told nothing about frames by one that says so in its Content-Security-Policy.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bigtop.http.handlers import Draft
from bigtop.http.messages import Request

# No Content-Security-Policy: what a site loads, and from where, is known to its makers only.
SECURITY: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-Frame-Options", "SAMEORIGIN"),
)


class AddedHeaders:
    """Adds `pairs`; of those with the same name all or none."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Sequence[tuple[str, str]], is_secure: bool) -> None:
        own = {name.lower() for name, _ in pairs}
        more = [pair for pair in SECURITY if pair[0].lower() not in own] if is_secure else []
        self._pairs = [(name.lower(), (name, value)) for name, value in [*pairs, *more]]

    def filter(self, request: Request, draft: Draft) -> None:
        known = {name.lower() for name, _ in draft.headers}
        if "content-security-policy" in known:
            policy = draft.header("content-security-policy") or ""
            if "frame-ancestors" in policy.lower():
                known.add("x-frame-options")
        draft.headers += [pair for name, pair in self._pairs if name not in known]
