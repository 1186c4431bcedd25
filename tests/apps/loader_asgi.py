"""ASGI applications of every shape; `application` stands first in the default order."""

import functools


async def application(scope, receive, send):
    await send({"type": "three", "scope": scope})


async def app(scope, receive, send):
    raise AssertionError("the default order is application, app")


def forwards(scope, receive, send):
    return application(scope, receive, send)


def scope_first(scope, *rest):
    return application(scope, *rest)


@functools.wraps(application)
def wrapped(*args, **kwargs):
    return application(*args, **kwargs)


async def opaque(*args):
    await application(*args)


class Instance:
    async def __call__(self, scope, receive, send):
        await application(scope, receive, send)


class Two:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await send({"type": "two", "scope": self.scope})


def two(scope):
    return Two(scope)


class PerInstance:
    """Chooses its __call__ when it is made, as an older Sentry middleware does."""

    __slots__ = ("__call__",)

    def __init__(self):
        self.__call__ = self._run

    async def _run(self, scope, receive, send):
        await application(scope, receive, send)


instance = Instance()
per_instance = PerInstance()
partial = functools.partial(application)
partial_instance = functools.partial(instance)


def create_app():
    return instance
