# Compression, as a decision: whether an answer is encoded for a client, with what, and what its head says
# then (RFC 9110, 8.4 and 12.5.3).
#
# Rule 1: no body and no library here; who encodes is backends/native/codings/compression.py.
# Rule 2: an answer that some clients are sent encoded names Accept-Encoding in Vary for all of them.
# Rule 3: an encoded answer is not byte for byte the same any more: it has a weak ETag, and no ranges. A
# client that has it asks with that weak ETag. Applications that compare text never find it, so it is compared
# here.
# Rule 4: nothing is encoded for a request that another site has a client's browser send, with its secrets:
# the length of an answer that holds both a secret and what that site chose would tell of it (BREACH).

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bigtop.http.answers import static
from bigtop.http.answers.codings import taken
from bigtop.http.answers.conditions import check
from bigtop.http.handlers import Draft, Reply
from bigtop.http.memo import remember
from bigtop.http.messages import Request, Wishes

LARGEST_FILE: Final = 1 << 20  # bytes that are read into memory to encode them; larger files go as they are

# A head that says one of these counts, or signs, the bytes as they are.
_FIXED: Final = frozenset(
    ("content-encoding", "content-range", "content-digest", "repr-digest", "digest", "content-md5")
)


class Rules:
    """What is encoded: bodies of `types`, patterns such as text/*, of at least `least` bytes; into one of
    `codings`, the best first."""

    __slots__ = ("_codings", "_known", "_least", "_types")

    def __init__(self, codings: tuple[str, ...], types: Sequence[str], least: int) -> None:
        self._codings = codings
        self._least = least
        patterns = [re.escape(one.lower()).replace(r"\*", "[^/;]*") for one in types]
        self._types = re.compile("|".join(patterns) or r"(?!)")
        self._known: dict[str, bool] = {}  # see memo.py

    def apply(self, request: Request, draft: Draft) -> str:
        """Return the coding for the body of an answer, "" for the body as it is; its head says so already.

        Where the client has the answer already, it becomes a 304.
        """
        if draft.status.startswith("304"):
            self._confirm(request, draft)
            return ""
        if not self._concerns(draft):
            return ""
        vary(draft)
        if not self._is_encodable(draft):
            return ""
        wishes = static.asked(request)
        codings = () if wishes.is_exposed else taken(wishes.accepts, self._codings)
        if codings:
            weaken(draft)
            draft.drop("accept-ranges")
        if _is_known(request, wishes, draft):
            kept = [pair for pair in draft.headers if not pair[0].lower().startswith("content-")]
            draft.replace(Reply("304 Not Modified", kept, []))
            return ""
        if not codings:
            return ""
        draft.headers.append(("Content-Encoding", codings[0]))
        return codings[0]

    def takes(self, content_type: str) -> bool:
        """Whether bodies of this type are encoded."""
        known = self._known.get(content_type)
        if known is None:
            media = content_type.partition(";")[0].strip().lower()
            known = self._types.fullmatch(media) is not None
            if len(content_type) <= 256:
                remember(self._known, content_type, known)
        return known

    def _concerns(self, draft: Draft) -> bool:
        """Whether answers of this kind are encoded for some clients."""
        size = draft.size
        if not draft.status.startswith("206"):  # whose size is that of the part
            if size is not None and (size < self._least or size == 0):
                return False
            if draft.is_in_file and (size is None or size > LARGEST_FILE):
                return False
        content_type = ""
        for name, value in draft.headers:
            lower = name.lower()
            if lower == "content-type":
                content_type = value
            elif lower == "content-encoding" or (
                lower == "cache-control" and "no-transform" in value.lower()
            ):
                return False
            elif lower == "content-length" and size is not None and value != str(size):
                return False  # a mistake, which an encoded body would hide
        return bool(content_type) and self.takes(content_type)

    def _is_encodable(self, draft: Draft) -> bool:
        code = draft.status[:3]
        if code == "204" or code == "205" or code == "206" or code < "200":
            return False
        return not any(name.lower() in _FIXED for name, _ in draft.headers)

    def _confirm(self, request: Request, draft: Draft) -> None:
        """Say in a 304 what the answer would have said that the client has."""
        etag = draft.header("etag")
        content_type = draft.header("content-type")
        if content_type is None:
            # Most leave it out of a 304. What ends in .png is none of ours; what has no such end may be.
            content_type = static.media_type(request.target.partition(b"?")[0])
            if content_type == "application/octet-stream":
                content_type = None
        if content_type is not None and not self.takes(content_type):
            return
        vary(draft)
        asked = static.asked(request).conditions.get(b"if-none-match", "")
        if etag is not None and f"W/{etag}" in asked and etag not in asked.replace(f"W/{etag}", ""):
            weaken(draft)


def vary(draft: Draft) -> None:
    """Have an answer say that it depends on Accept-Encoding."""
    last = -1
    for number, (name, value) in enumerate(draft.headers):
        if name.lower() == "vary":
            words = [word.strip().lower() for word in value.split(",")]
            if "*" in words or "accept-encoding" in words:
                return
            last = number
    if last < 0:
        draft.headers.append(("Vary", "Accept-Encoding"))
    else:
        name, value = draft.headers[last]
        draft.headers[last] = (name, f"{value}, Accept-Encoding")


def weaken(draft: Draft) -> None:
    """Have the ETag of an answer promise the same meaning and no more the same bytes."""
    for number, (name, value) in enumerate(draft.headers):
        if name.lower() == "etag" and not value.startswith("W/"):
            draft.headers[number] = (name, f"W/{value}")


def _is_known(request: Request, wishes: Wishes, draft: Draft) -> bool:
    """Whether the client says with a weak ETag that it has the answer."""
    asked = wishes.conditions.get(b"if-none-match")
    if asked is None or "W/" not in asked or draft.status[:3] != "200":
        return False
    etag = draft.header("etag")
    is_read = request.method == "GET" or request.method == "HEAD"
    return is_read and etag is not None and check({b"if-none-match": asked}, etag, "") == 304
