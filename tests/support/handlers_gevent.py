# The native gevent server with the handlers of handlers.py: apart, since it needs gevent.

from __future__ import annotations

from collections.abc import Callable

from bigtop.backends.native.handlers.handler_chain import Chain
from bigtop.backends.wsgi.gevent import GeventBackend
from tests.support.handlers import Guard, chain


class HandledGevent(GeventBackend):
    def chain_of(self, busy: Callable[[], int]) -> Chain:
        return chain()


class GuardedGevent(GeventBackend):
    def chain_of(self, busy: Callable[[], int]) -> Chain:
        return Chain(connections=Guard())
