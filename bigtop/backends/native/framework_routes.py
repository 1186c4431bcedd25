# Route patterns of frameworks: what Django, Flask, Starlette and FastAPI say of a request that they answered.
#
# A pattern is what OpenTelemetry calls http.route: "/articles/<int:year>/", never the path of a request.
# Rule 1: nothing is imported here and nothing looked for where none of them was imported with the
# application. Rule 2: Starlette and FastAPI leave their pattern in the scope. Flask is asked by its signal,
# and Django by wrapping resolve_request(), to put theirs into the environ or scope, as KEY. Rule 3: these are
# objects of the application, which may do anything. Whatever it is, it costs the pattern and no more.

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

Told = Mapping[str, Any]  # the environ or the scope of a request
Reader = Callable[[Told], str]

KEY: Final = "bigtop.route"
_DJANGO: Final = "django.core.handlers.base"
_MOST_PREFIXES: Final = 8


def wsgi_reader() -> Reader | None:
    """Return what tells the pattern of a request by its environ, "" where there is none; None where no
    framework that tells one was imported."""
    asked = _ask_django(), _ask_flask()
    return _Prefixed(_of_environ) if any(asked) else None


def asgi_reader() -> Reader | None:
    """The same by its scope."""
    return _Prefixed(_of_scope) if _ask_django() or "starlette" in sys.modules else None


class _Prefixed:
    """Puts the path that an application is mounted at before its pattern. Where that path is not one of a few
    it is made of what clients ask for, and left out."""

    def __init__(self, parts: Callable[[Told], tuple[str, str]]) -> None:
        self._parts = parts
        self._prefixes: set[str] = set()

    def __call__(self, told: Told) -> str:
        with suppress(Exception):
            prefix, pattern = self._parts(told)
            if pattern and prefix and prefix not in self._prefixes:
                if len(self._prefixes) >= _MOST_PREFIXES:
                    return pattern
                self._prefixes.add(prefix)
            return prefix + pattern if pattern else ""
        return ""


def _of_environ(environ: Told) -> tuple[str, str]:
    """Return where the application is mounted, and the pattern."""
    return str(environ.get("SCRIPT_NAME", "")), str(environ.get(KEY, ""))


def _of_scope(scope: Told) -> tuple[str, str]:
    if scope["type"] != "http":  # how long a WebSocket was open is no time of an answer
        return "", ""
    prefix = str(scope.get("root_path", ""))
    pattern = scope.get(KEY)
    if pattern is not None:
        return prefix, str(pattern)
    route = scope.get("route")
    if route is None:
        return "", ""
    if _is_mount(route):  # of something that has no routes, such as static files: it is in the prefix
        return "", str(route.path)
    if set(scope.get("path_params") or ()) - set(route.param_convertors):  # then the prefix holds values
        prefix = ""
    # FastAPI, of a router that is included below another prefix.
    context = scope.get("fastapi", {}).get("effective_route_context")
    return prefix, str(route.path if context is None else context.path_format)


def _is_mount(route: Any) -> bool:
    return not hasattr(route, "endpoint")


# ---- Django


def _ask_django() -> bool:
    """Have Django tell the pattern of each request, if it was imported; say whether it was."""
    module = sys.modules.get(_DJANGO)
    handler = getattr(module, "BaseHandler", None)
    resolve = getattr(handler, "resolve_request", None)
    if handler is None or resolve is None:
        return False
    if not hasattr(resolve, "bigtop"):
        handler.resolve_request = _telling(resolve)
    return True


def _telling(resolve: Callable[..., Any]) -> Callable[..., Any]:
    def resolve_request(self: Any, request: Any) -> Any:
        match = resolve(self, request)
        with suppress(Exception):
            # WSGI's environ is what Django calls META.
            told: MutableMapping[str, Any] = getattr(request, "scope", None) or request.META
            told[KEY] = match.route if match.route.startswith("/") else f"/{match.route}"
        return match

    vars(resolve_request)["bigtop"] = True
    return resolve_request


# ---- Flask


def _ask_flask() -> bool:
    """Have Flask tell the pattern of each request, if it was imported; say whether it was."""
    flask = sys.modules.get("flask")
    if flask is None:
        return False
    with suppress(Exception):  # RuntimeError: an old one without signals
        flask.request_started.connect(_tell_flask, weak=False)
    return True


def _tell_flask(_app: Any, **_more: Any) -> None:
    with suppress(Exception):
        request = sys.modules["flask"].request
        if request.url_rule is not None:
            request.environ[KEY] = request.url_rule.rule
