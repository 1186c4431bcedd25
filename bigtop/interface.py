# Interface of an application: WSGI, ASGI or the older ASGI 2, found out from its callable without a call.
#
# Rule 1: what counts is with how many arguments it can be called, their names, and what a call returns where
# that shows: a coroutine, a generator, an instance of a class.
# Rule 2: what says nothing (*args, compiled code) is looked into: the function of a partial, the __call__ of
# an instance, what a decorator left in __wrapped__. What wraps comes before what is wrapped.
# Rule 3: objects of an application may do anything when they are looked at: raise, or wrap themselves.
# Rule 4: a function that nobody added anything to is read without `inspect`, which takes most of a megabyte
# of each fork server. Frameworks, whose objects need it, import it themselves.

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Final, TypeGuard

App = Callable[..., Any]

# Of co_flags; `inspect` has them by these names with CO_ before.
_VARARGS: Final = 0x04
_GENERATOR: Final = 0x20
_COROUTINE: Final = 0x80
_ITERABLE_COROUTINE: Final = 0x100
_ASYNC_GENERATOR: Final = 0x200

_MOST_LAYERS = 64  # that are looked at; what wraps itself has no end


class Shape(Enum):
    """How an application is called."""

    WSGI = "app(environ, start_response)"
    ASGI = "await app(scope, receive, send)"
    ASGI2 = "await app(scope)(receive, send)"
    NEITHER = "in none of these ways"
    HIDDEN = "it does not say"


# By place.
_WSGI_NAMES = ("environ", "start_response")
_ASGI_NAMES = ("scope", "receive", "send")


def shape_of(app: App) -> Shape:
    layers = [app]
    for _ in range(_MOST_LAYERS):
        if not layers:
            break
        layer = layers.pop()
        # Its attributes may be code of the application.
        with suppress(Exception):
            shape = _judged(layer)
            if shape is not Shape.HIDDEN:
                return shape
        with suppress(Exception):
            layers += _inside(layer)
    return Shape.HIDDEN


# ---- one layer


def _judged(app: App) -> Shape:
    """Return what one layer says of itself."""
    function = _function(app)
    awaited = _is_coroutine_function(function)
    if _is_instance(function):  # its __call__ is the next layer
        return Shape.ASGI if awaited else Shape.HIDDEN
    try:
        arguments = _arguments_of(app)
    except (TypeError, ValueError):  # compiled code
        return Shape.ASGI if awaited else _shape_of_result(function)
    if awaited:
        return Shape.ASGI if arguments.may_be(3) else Shape.NEITHER
    if _is_generator_function(function):
        return Shape.WSGI if arguments.may_be(2) else Shape.NEITHER
    if _is_async_generator_function(function):
        return Shape.NEITHER
    result = _shape_of_result(function)
    if result is Shape.ASGI2 and arguments.may_be(1):
        return result
    shape = _shape_of_arguments(arguments)
    return result if shape is Shape.HIDDEN else shape


def _shape_of_arguments(arguments: _Arguments) -> Shape:
    if arguments.have_name(_ASGI_NAMES):
        if arguments.may_be(3):
            return Shape.ASGI
        return Shape.ASGI2 if arguments.may_be(1) else Shape.NEITHER
    if arguments.have_name(_WSGI_NAMES):
        return Shape.WSGI if arguments.may_be(2) else Shape.NEITHER
    otherwise = Shape.HIDDEN if arguments.variadic else Shape.NEITHER
    if arguments.have_foreign_name():
        return otherwise
    # Only those that must be given count: a function that makes the application has defaults for most.
    return {2: Shape.WSGI, 3: Shape.ASGI}.get(arguments.required, otherwise)


def _shape_of_result(function: App) -> Shape:
    """Return what the instances of a class show, where it is one."""
    if not isinstance(function, type):
        return Shape.HIDDEN
    import inspect

    call = inspect.getattr_static(function, "__call__", None)
    if _is_coroutine_function(call):
        # An application that was not made yet takes one argument more.
        with_self = _arguments_of(call)
        return Shape.ASGI2 if with_self.may_be(3) else Shape.HIDDEN
    if hasattr(function, "__await__"):
        return Shape.ASGI
    return Shape.WSGI if hasattr(function, "__iter__") else Shape.HIDDEN


class _Arguments:
    """Which arguments a callable takes by position."""

    def __init__(self, names: list[str], required: int, *, variadic: bool, by_name: bool) -> None:
        self._names = [name.strip("_") for name in names]
        self._callable = not by_name  # there are none that must be given by name
        self.required = required
        self.variadic = variadic

    def may_be(self, number: int) -> bool:
        """Whether a call with that many is possible."""
        return self._callable and self.required <= number and (self.variadic or number <= len(self._names))

    def have_name(self, names: tuple[str, ...]) -> bool:
        """Whether one of them has the name that it has in an interface. "scope" and "environ" alone are words
        of others as well, so the first one counts only where it must be given."""
        first = 0 if self.required else 1
        return any(name == known for name, known in list(zip(self._names, names, strict=False))[first:])

    def have_foreign_name(self) -> bool:
        """Whether something else stands before an interface's arguments: a middleware's application, self."""
        return not {*_WSGI_NAMES[1:], *_ASGI_NAMES[1:]}.isdisjoint(self._names)


def _arguments_of(app: App) -> _Arguments:
    """Return what a callable takes. Raises TypeError, ValueError: that cannot be known."""
    if _is_plain(app):
        code, by_name = app.__code__, app.__kwdefaults__ or {}
        placed = code.co_argcount
        named = code.co_varnames[placed : placed + code.co_kwonlyargcount]
        return _Arguments(
            list(code.co_varnames[:placed]),
            placed - len(app.__defaults__ or ()),
            variadic=bool(code.co_flags & _VARARGS),
            by_name=not by_name.keys() >= set(named),
        )
    from inspect import Parameter, signature

    parameters = signature(app, follow_wrapped=False).parameters.values()
    at_places = [one for one in parameters if one.kind <= Parameter.POSITIONAL_OR_KEYWORD]
    return _Arguments(
        [one.name for one in at_places],
        sum(one.default is Parameter.empty for one in at_places),
        variadic=any(one.kind is Parameter.VAR_POSITIONAL for one in parameters),
        by_name=any(
            one.kind is Parameter.KEYWORD_ONLY and one.default is Parameter.empty for one in parameters
        ),
    )


def _is_plain(app: Any) -> TypeGuard[types.FunctionType]:
    """Whether the code of a function tells all: nobody gave it a signature, or wrapped or marked it."""
    return type(app) is types.FunctionType and not vars(app)


# ---- from layer to layer


def _inside(app: App) -> list[App]:
    """Return the layers below one; what is called by it comes last."""
    if isinstance(app, functools.partial):
        return [functools.partial(inner, *app.args, **app.keywords) for inner in _inside(app.func)]
    found = []
    wrapped = _wrapped(app)
    if callable(wrapped):
        found.append(wrapped)
    if _is_instance(app):
        found.append(_bound_call(app))
    return found


def _wrapped(app: App) -> Any:
    wrapped = _attribute(app, "__wrapped__")
    if isinstance(app, types.MethodType) and isinstance(wrapped, types.FunctionType):
        bound = types.MethodType(wrapped, app.__self__)
        if _judged(bound) is not Shape.NEITHER:  # otherwise it was no method
            return bound
    return wrapped


def _bound_call(app: App) -> App:
    """Return what Python calls when an instance is called: it asks the class, not the instance."""
    import inspect

    call = inspect.getattr_static(type(app), "__call__")
    bind = getattr(type(call), "__get__", None)
    return call if bind is None else bind(call, app, type(app))  # type: ignore[no-any-return]


def _function(app: App) -> App:
    while isinstance(app, functools.partial):
        app = app.func
    return app


def _is_instance(app: App) -> bool:
    """Whether a class written in Python says what a call does."""
    if _is_plain(app) or isinstance(app, type):
        return False
    import inspect

    return not isinstance(inspect.getattr_static(type(app), "__call__", None), types.WrapperDescriptorType)


def _is_generator_function(function: App) -> bool:
    if _is_plain(function):
        return bool(function.__code__.co_flags & _GENERATOR)
    import inspect

    return inspect.isgeneratorfunction(function)


def _is_async_generator_function(function: App) -> bool:
    if _is_plain(function):
        return bool(function.__code__.co_flags & _ASYNC_GENERATOR)
    import inspect

    return inspect.isasyncgenfunction(function)


def _is_coroutine_function(app: Any) -> bool:
    if _is_plain(app):
        return bool(app.__code__.co_flags & (_COROUTINE | _ITERABLE_COROUTINE))
    import inspect

    if inspect.iscoroutinefunction(app):
        return True
    code = _attribute(app, "__code__")
    if isinstance(code, types.CodeType) and code.co_flags & _ITERABLE_COROUTINE:
        return True
    # What compiled functions and asgiref's decorator say. Who says so has imported it.
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and _attribute(app, "_is_coroutine") is mark


def _attribute(app: Any, name: str) -> Any:
    try:
        return getattr(app, name)
    except Exception:  # a property or __getattr__ of the application, which may raise anything
        return None
