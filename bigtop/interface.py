# Interface of an application: WSGI, ASGI or the older ASGI 2, found out from its callable without a call.
#
# Rule 1: what counts is with how many arguments it can be called, their names, and what a call returns where
# that shows: a coroutine, a generator, an instance of a class.
# Rule 2: what says nothing (*args, compiled code) is looked into: the function of a partial, the __call__ of
# an instance, what a decorator left in __wrapped__. What wraps comes before what is wrapped.
# Rule 3: objects of an application may do anything when they are looked at: raise, or wrap themselves.

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from inspect import Parameter
from typing import Any

App = Callable[..., Any]

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
        arguments = _Arguments(inspect.signature(app, follow_wrapped=False))
    except (TypeError, ValueError):  # compiled code
        return Shape.ASGI if awaited else _shape_of_result(function)
    if awaited:
        return Shape.ASGI if arguments.may_be(3) else Shape.NEITHER
    if inspect.isgeneratorfunction(function):
        return Shape.WSGI if arguments.may_be(2) else Shape.NEITHER
    if inspect.isasyncgenfunction(function):
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
    if not inspect.isclass(function):
        return Shape.HIDDEN
    call = inspect.getattr_static(function, "__call__", None)
    if _is_coroutine_function(call):
        # An application that was not made yet takes one argument more.
        with_self = _Arguments(inspect.signature(call, follow_wrapped=False))
        return Shape.ASGI2 if with_self.may_be(3) else Shape.HIDDEN
    if hasattr(function, "__await__"):
        return Shape.ASGI
    return Shape.WSGI if hasattr(function, "__iter__") else Shape.HIDDEN


class _Arguments:
    """Which arguments a callable takes by position."""

    def __init__(self, signature: inspect.Signature) -> None:
        parameters = signature.parameters.values()
        placed = [one for one in parameters if one.kind <= Parameter.POSITIONAL_OR_KEYWORD]
        self._names = [one.name.strip("_") for one in placed]
        self._callable = not any(
            one.kind is Parameter.KEYWORD_ONLY and one.default is Parameter.empty for one in parameters
        )
        self.required = sum(one.default is Parameter.empty for one in placed)
        self.variadic = any(one.kind is Parameter.VAR_POSITIONAL for one in parameters)

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
    call = inspect.getattr_static(type(app), "__call__")
    bind = getattr(type(call), "__get__", None)
    return call if bind is None else bind(call, app, type(app))  # type: ignore[no-any-return]


def _function(app: App) -> App:
    while isinstance(app, functools.partial):
        app = app.func
    return app


def _is_instance(app: App) -> bool:
    """Whether a class written in Python says what a call does."""
    call = inspect.getattr_static(type(app), "__call__", None)
    return not (isinstance(call, types.WrapperDescriptorType) or inspect.isclass(app))


def _is_coroutine_function(app: Any) -> bool:
    if inspect.iscoroutinefunction(app):
        return True
    code = _attribute(app, "__code__")
    if isinstance(code, types.CodeType) and code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        return True
    # What compiled functions and asgiref's decorator say. Who says so has imported it.
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and _attribute(app, "_is_coroutine") is mark


def _attribute(app: Any, name: str) -> Any:
    try:
        return getattr(app, name)
    except Exception:  # a property or __getattr__ of the application, which may raise anything
        return None
