# Handlers by path: what stands in front of an application where options differ by path ([path:APP:PATH]).
#
# To its worker's chain it is one handler and one filter. What two paths have in common is one object in both.

from __future__ import annotations

from collections.abc import Sequence

from bigtop.errors import ProtocolError
from bigtop.http.clients.peer import BasePeer
from bigtop.http.handlers import Draft, Filter, Handler, Reply, refusal_of
from bigtop.http.messages import Request
from bigtop.http.paths.path_table import REST, PathTable


class PathHandlers:
    """Has the handlers answer, and the filters change, that are for the path of a request: those with the
    number that `table` says, the last ones where that is REST. None: there are none."""

    __slots__ = ("_filters", "_handlers", "_table")

    def __init__(
        self,
        table: PathTable,
        handlers: Sequence[Handler | None],
        filters: Sequence[tuple[Filter, ...] | None],
    ) -> None:
        self._table = table
        self._handlers = tuple(handlers)
        self._filters = tuple(filters)

    def handle(self, request: Request, peer: BasePeer, now: int) -> Reply | None:
        try:
            handler = self._handlers[self._table.of(request.target)]
        except ProtocolError as error:
            return refusal_of(error.status, str(error))
        return None if handler is None else handler.handle(request, peer, now)

    def filter(self, request: Request, draft: Draft) -> None:
        for one in self._filters[self._number(request)] or ():
            one.filter(request, draft)

    def _number(self, request: Request) -> int:
        try:
            return self._table.of(request.target)
        except ProtocolError:  # which it was refused for
            return REST
