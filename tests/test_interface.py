"""What an application speaks, by its shape. Each is tried as a partial of itself as well."""

import functools
import inspect
import types

import pytest

from bigtop.interface import Shape, shape_of

pytestmark = pytest.mark.case("A19")


async def asgi(scope, receive, send): ...


def wsgi(environ, start_response): ...


def opaque(*args):
    return asgi(*args)


def decorated(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def awaiting(function):
    @functools.wraps(function)
    async def inner(*args):
        return function(*args)

    return inner


class AroundApp:
    def __init__(self, app):
        functools.update_wrapper(self, app)

    def __call__(self, *args): ...


class Delegates:
    """Has all that its application has."""

    def __init__(self, app):
        self.app = app

    def __getattr__(self, name):
        return getattr(self.app, name)

    def __call__(self, *args): ...


class Method:
    @decorated
    def wsgi(self, environ, start_response): ...

    @decorated
    async def asgi(self, scope, receive, send): ...


def forward(names):
    """Return a function with these arguments; the names count, and which have defaults."""
    space = {}
    exec(f"def app({names}): ...", space)
    return space["app"]


def class_of(names, **members):
    return type("Made", (), {"__init__": forward(f"self, {names}"), **members})


async def answer(self, receive, send): ...


async def whole(self, scope, receive, send): ...


def iterate(self): ...


class TestArguments:
    @pytest.mark.parametrize(
        ("names", "shape"),
        [
            ("scope, receive=None, send=None", Shape.ASGI),
            ("scope=None, receive=None, send=None", Shape.ASGI),
            ("scope, *rest", Shape.ASGI),
            ("_scope, *rest", Shape.ASGI),
            ("_scope, _receive, _send", Shape.ASGI),
            ("a, b, c", Shape.ASGI),
            ("a, b, c, d=None", Shape.ASGI),
            ("scope", Shape.ASGI2),
            ("scope, extra=None", Shape.ASGI2),
            ("environ, start_response", Shape.WSGI),
            ("environ=None, start_response=None", Shape.WSGI),
            ("environ, start_response, exc_info=None", Shape.WSGI),
            ("environ, *rest", Shape.WSGI),
            ("_environ, *rest", Shape.WSGI),
            ("env, start", Shape.WSGI),
            ("a, b, *, c=None", Shape.WSGI),
            # functions that make an application, and middlewares
            ("", Shape.NEITHER),
            ("config", Shape.NEITHER),
            ("config=None, debug=False", Shape.NEITHER),
            ("environ='prod', debug=False", Shape.NEITHER),
            ("scope='global', a=1, b=2", Shape.NEITHER),
            ("request, a=None, b=None", Shape.NEITHER),
            ("app, environ, start_response", Shape.NEITHER),
            ("app, scope, receive, send", Shape.NEITHER),
            ("scope, receive", Shape.NEITHER),
            ("environ, start_response, more", Shape.NEITHER),
            ("*, environ, start_response", Shape.NEITHER),
            ("environ, start_response, *, needed", Shape.NEITHER),
            ("*args", Shape.HIDDEN),
            ("first, *rest", Shape.HIDDEN),
        ],
    )
    def test_of_a_function(self, names, shape):
        app = forward(names)
        assert shape_of(app) is shape
        assert shape_of(functools.partial(app)) is shape
        assert shape_of(staticmethod(app)) is shape

    @pytest.mark.parametrize(
        ("names", "shape"),
        [
            ("config, environ, start_response", Shape.WSGI),
            ("config, scope, receive, send", Shape.ASGI),
            ("config, scope", Shape.ASGI2),
            ("config, *args", Shape.HIDDEN),
        ],
    )
    def test_that_a_partial_leaves(self, names, shape):
        assert shape_of(functools.partial(forward(names), 1)) is shape
        assert shape_of(functools.partial(decorated(forward(names)), 1)) is shape

    def test_that_a_partial_takes_by_name(self):
        assert shape_of(functools.partial(wsgi, start_response=None)) is Shape.NEITHER
        assert shape_of(functools.partial(forward("environ, start, key"), key=1)) is Shape.WSGI


class TestResult:
    @pytest.mark.parametrize(
        ("app", "shape"),
        [
            (awaiting(wsgi), Shape.ASGI),  # an adapter: what wraps comes before what is wrapped
            (functools.partial(awaiting(wsgi)), Shape.ASGI),
            (class_of("scope", __call__=answer), Shape.ASGI2),
            (class_of("s", __call__=answer), Shape.ASGI2),
            (class_of("*args", __call__=answer), Shape.ASGI2),
            (class_of("scope, config=None, debug=False", __call__=answer), Shape.ASGI2),
            (functools.partial(class_of("config, s", __call__=answer), 1), Shape.ASGI2),
            (class_of("scope, receive, send", __await__=iterate), Shape.ASGI),
            (class_of("*args", __await__=iterate), Shape.ASGI),
            (class_of("environ, start_response", __iter__=iterate), Shape.WSGI),
            (class_of("*args", __iter__=iterate), Shape.WSGI),
            (class_of("config=None", __call__=whole), Shape.NEITHER),  # nobody made an instance
            (class_of("*args", __call__=whole), Shape.HIDDEN),
        ],
    )
    def test_that_shows(self, app, shape):
        assert shape_of(app) is shape

    def test_of_generators(self):
        def generator(*args):
            yield b""

        async def asynchronous(scope, receive, send):
            yield

        assert shape_of(generator) is Shape.WSGI
        assert shape_of(types.coroutine(generator)) is Shape.ASGI
        assert shape_of(asynchronous) is Shape.NEITHER

    def test_of_coroutine_functions_that_take_something_else(self):
        async def make(): ...

        async def confused(environ, start_response): ...

        assert shape_of(make) is Shape.NEITHER
        assert shape_of(confused) is Shape.NEITHER

    def test_that_only_a_mark_shows(self):
        from asgiref.sync import markcoroutinefunction

        assert shape_of(markcoroutinefunction(forward("*args"))) is Shape.ASGI
        instance = AroundApp(opaque)
        markcoroutinefunction(instance)
        assert shape_of(instance) is Shape.ASGI


class TestInstances:
    def test_with_a_call_of_any_kind(self):
        async def run(*args): ...

        async def configured(self, config, scope, receive, send): ...

        wanted = {
            Shape.WSGI: (decorated(lambda self, environ, start: None), staticmethod(wsgi),
                         staticmethod(decorated(wsgi)), classmethod(lambda cls, environ, start: None),
                         decorated(wsgi)),
            Shape.ASGI: (whole, decorated(whole), staticmethod(run), property(lambda self: asgi),
                         AroundApp(asgi), functools.partialmethod(configured, 1)),
            Shape.HIDDEN: (opaque, staticmethod(opaque), property(lambda self: opaque)),
        }  # fmt: skip
        for shape, calls in wanted.items():
            for call in calls:
                instance = type("Made", (), {"__call__": call})()
                assert shape_of(instance) is shape, call
                assert shape_of(functools.partial(instance)) is shape, call

    def test_that_are_descriptors_as_well(self):
        members = {"__get__": lambda self, owner, kind=None: self, "__call__": whole}
        assert shape_of(type("Made", (), members)()) is Shape.ASGI

    def test_that_choose_their_call(self):
        class Chosen:
            __slots__ = ("__call__",)

        one = Chosen()
        one.__call__ = asgi
        assert shape_of(one) is Shape.ASGI

    def test_an_attribute_that_python_does_not_call(self):
        class Misled:
            def __call__(self, environ, start_response): ...

        one = Misled()
        one.__call__ = asgi
        assert shape_of(one) is Shape.WSGI

    @pytest.mark.parametrize("around", [AroundApp, Delegates, decorated])
    def test_around_an_application(self, around):
        assert shape_of(around(decorated(asgi))) is Shape.ASGI
        assert shape_of(around(around(decorated(wsgi)))) is Shape.WSGI
        assert shape_of(around(decorated(opaque))) is Shape.HIDDEN

    def test_methods(self):
        assert shape_of(Method().wsgi) is Shape.WSGI
        assert shape_of(Method().asgi) is Shape.ASGI
        assert shape_of(Method.wsgi) is Shape.NEITHER


class TestStrangeObjects:
    def test_loops(self):
        alone, left, right = (forward("*args") for _ in range(3))
        alone.__wrapped__ = alone
        left.__wrapped__, right.__wrapped__ = right, left
        instance = AroundApp(alone)
        instance.__wrapped__ = instance
        for app in (alone, left, instance, functools.partial(left)):
            assert shape_of(app) is Shape.HIDDEN

    def test_any_attribute(self):
        class Same:
            def __getattr__(self, name):
                return self

            def __call__(self, *args): ...

        class Fresh(Same):
            def __getattr__(self, name):
                return Fresh()

        assert shape_of(Same()) is Shape.HIDDEN
        assert shape_of(Fresh()) is Shape.HIDDEN

    def test_attributes_that_raise(self):
        class Raises:
            def __getattr__(self, name):
                return getattr(self, name)

            __wrapped__ = property(lambda self: {}["key"])

            async def __call__(self, *args): ...

        assert shape_of(Raises()) is Shape.ASGI

    def test_a_call_that_raises_when_it_is_looked_up(self):
        class Broken:
            def __get__(self, instance, owner):
                raise LookupError

            def __call__(self): ...

        class Raises:
            __call__ = Broken()

        assert shape_of(Raises()) is Shape.HIDDEN

    def test_a_signature_that_is_none(self):
        app = forward("environ, start_response")
        app.__signature__ = 3
        assert shape_of(app) is Shape.HIDDEN

    def test_a_signature_of_its_own(self):
        app = forward("*args")
        app.__signature__ = inspect.signature(wsgi)
        assert shape_of(app) is Shape.WSGI

    def test_compiled_code(self):
        assert shape_of(max) is Shape.HIDDEN
        assert shape_of(functools.lru_cache(wsgi)) is Shape.WSGI
        assert shape_of(functools.singledispatch(asgi)) is Shape.ASGI


ARGUMENTS = (
    *(
        "",
        "environ",
        "environ, start_response",
        "environ, start_response, /",
        "a, b, c",
        "scope, receive, send",
    ),
    *(
        "a, b, c",
        "scope",
        "_scope",
        "*args",
        "a, *args",
        "a, b=1",
        "a, b=1, *rest, **more",
        "app=None",
        "a, /, b, *, c",
    ),
    *("a, b, *, c=1", "a, b, *, c=1, d", "scope, receive, send, **more", "self, environ, start_response"),
)
KINDS = ("def f({}): return 1", "async def f({}): return 1", "def f({}): yield", "async def f({}): yield")


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_a_plain_function_is_read_as_inspect_reads_it(arguments: str) -> None:
    for kind in KINDS:
        made = {}
        exec(kind.format(arguments), made)
        plain = made["f"]
        assert not vars(plain)
        first = shape_of(plain)
        plain.mark = True  # a function that somebody added something to
        assert shape_of(plain) is first
