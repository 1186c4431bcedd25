# Pages that the server itself shows: a line of text, or what is to be shown in its place (--error-page).

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple


class Page(NamedTuple):
    """The body of an answer, and its media type."""

    kind: str
    body: bytes


Pages = Mapping[int, Page]  # by status


def own_page(status: int, reason: str, pages: Pages | None) -> Page:
    """Return what the server says of an error of its own."""
    page = None if pages is None else pages.get(status)
    if page is not None:
        return page
    text = f"{status} {HTTPStatus(status).phrase}\n{reason}\n"
    return Page("text/plain; charset=iso-8859-1", text.encode("latin-1", "replace"))
