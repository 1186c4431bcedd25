"""Applications of every shape, for tests/test_loader.py."""

import functools


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


def with_defaults(environ, start_response, exc_info=None):
    return []


@functools.wraps(app)
def wrapped(*args, **kwargs):
    return app(*args, **kwargs)


class Instance:
    def __init__(self, inner=None):
        self.inner = inner

    def __call__(self, environ, start_response):
        return app(environ, start_response)

    def method(self, environ, start_response):
        return app(environ, start_response)


class PerRequest:
    def __init__(self, environ, start_response):
        self.start_response = start_response

    def __iter__(self):
        self.start_response("200 OK", [])
        yield b"wsgi"


class Site:
    class Inner:
        wsgi = Instance()

    inner = Inner()

    @property
    def broken(self):
        return {}["no such key"]


site = Site()
middleware = Instance(app)
method = middleware.method
bound = functools.partial(with_defaults, exc_info=None)
not_callable = 42


def create_app(name="default", *, debug=False, extra=()):
    def made(environ, start_response):
        return [name, debug, extra]

    return made


def failing_factory():
    raise RuntimeError("no database")


def needs_arguments(config):
    return app


def returns_nothing():
    return None
