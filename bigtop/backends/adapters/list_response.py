# A response that was a list: still one, and closed like any other. (Not in wsgi_meter.py, which is compiled:
# mypyc derives nothing from a list.)

from __future__ import annotations

from collections.abc import Callable


class ListResponse(list[bytes]):
    """The pieces of a response, with what its server calls when they are sent."""

    __slots__ = ("close",)

    close: Callable[[], None]
