# Pages in the place of the server's own errors (--error-page), read once.
#
# Rule: what an application says is its own affair. A page stands for lines of text that we would have said.

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bigtop.errors import ConfigError
from bigtop.http.answers.own_pages import Page
from bigtop.http.answers.static import media_type
from bigtop.http.handlers import Draft, Reply
from bigtop.http.messages import Request
from bigtop.log import logger as get_logger

log = get_logger("bigtop.backend")


def pages_of(files: Sequence[tuple[int, str]]) -> dict[int, Page]:
    """Return the page for each status. ConfigError: it cannot be read."""
    found = {}
    for status, path in files:
        try:
            with open(path, "rb") as file:
                found[status] = Page(media_type(path.rpartition("/")[2].encode()), file.read())
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    return found


class ErrorPages:
    """Shows pages instead of what handlers say. Failed calls and broken requests get theirs elsewhere
    (response.error_page)."""

    def __init__(self, files: Sequence[tuple[int, str]]) -> None:
        self._pages: Mapping[int, Page] = pages_of(files)

    def filter(self, request: Request, draft: Draft) -> None:
        if draft.parts is None:
            return
        page = self._pages.get(int(draft.status[:3]))
        if page is None or not (draft.header("content-type") or "").startswith("text/plain"):
            return
        kept = [pair for pair in draft.headers if pair[0].lower() not in ("content-type", "content-length")]
        draft.replace(Reply(draft.status, [("Content-Type", page.kind), *kept], [page.body]))
