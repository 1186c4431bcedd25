# Several applications below different paths of one site (`--mount URL=APP`), as one application.
#
# They share workers, sockets and connections: a client that keeps its connection reaches all of them through
# it, and reload, drain, limits and figures are those of the site. Where all speak WSGI the site is a WSGI
# application. Where one speaks ASGI it is an ASGI application, in which those for WSGI run in threads
# (backends/asgi/calls/wsgi_app.py), never in the thread of the event loop.
#
# Rule: the longest path wins, and whole segments count: /api is not /apiary.

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bigtop.backends.asgi.calls.lifespan import Lifespan
from bigtop.backends.asgi.calls.wsgi_app import InThreads
from bigtop.backends.base import App
from bigtop.backends.serve_options import ServeOptions
from bigtop.errors import AppError
from bigtop.http.interfaces.asgi import Message
from bigtop.http.interfaces.scope import Scope
from bigtop.http.interfaces.wsgi import Environ
from bigtop.http.paths.paths import is_below
from bigtop.loader import LoadedApp
from bigtop.loader import load as load_app


def load(
    main: LoadedApp, mounts: Iterable[tuple[str, str]], options: ServeOptions, *, otherwise: str | None
) -> LoadedApp:
    """Return `main` with others below their paths, which are imported now; AppError when that fails.

    `otherwise` is what one of them speaks that does not show it.
    """
    others = [(path, load_app(target, otherwise=otherwise)) for path, target in mounts]
    return combine(main, others, options)


def combine(main: LoadedApp, mounts: Sequence[tuple[str, LoadedApp]], options: ServeOptions) -> LoadedApp:
    """Return `main` with the others below their paths ("/api"); `main` itself if there are none."""
    if not mounts:
        return main
    table = sorted(mounts, key=lambda mount: len(mount[0]), reverse=True)
    if all(loaded.interface == "wsgi" for loaded in (main, *(loaded for _, loaded in table))):
        return LoadedApp(_Wsgi(main.app, [(path, one.app) for path, one in table]), "wsgi", main.target)
    apps = [_speaking_asgi(one, options) for one in (main, *(loaded for _, loaded in table))]
    paths = [path for path, _ in table]
    mounted = [_Mounted(path, app, options.lifespan) for path, app in zip(["", *paths], apps, strict=True)]
    return LoadedApp(_Asgi(mounted), "asgi", main.target)


def below(loaded: LoadedApp, paths: Sequence[str]) -> LoadedApp:
    """Return an application that is told by which of these paths it was found, as one that is mounted there;
    `loaded` itself if there are none."""
    if not paths:
        return loaded
    table = sorted(paths, key=len, reverse=True)
    if loaded.interface == "wsgi":
        app: App = _Wsgi(loaded.app, [(path, loaded.app) for path in table])
    else:
        app = _Below(loaded.app, table)
    return LoadedApp(app, loaded.interface, loaded.target)


def _speaking_asgi(loaded: LoadedApp, options: ServeOptions) -> App:
    if loaded.interface == "asgi":
        return loaded.app
    return InThreads(
        loaded.app,
        options.threads,
        options.limits.body_memory,
        options.temp_dir,
        options.stream_bodies,
        options.max_queue_time,
    )


class _Wsgi:
    def __init__(self, main: App, table: list[tuple[str, App]]) -> None:
        self._main = main
        self._table = table

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        for mount, app in self._table:
            if is_below(path, mount):
                environ["SCRIPT_NAME"] += mount
                environ["PATH_INFO"] = path[len(mount) :]
                return app(environ, start_response)  # type: ignore[no-any-return]
        return self._main(environ, start_response)  # type: ignore[no-any-return]


class _Below:
    """An application for ASGI, below any of `paths`, the longest first."""

    def __init__(self, app: App, paths: Sequence[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "lifespan":
            root: str = scope["root_path"]
            path: str = scope["path"][len(root) :]
            scope["root_path"] = root + next((one for one in self._paths if is_below(path, one)), "")
        await self._app(scope, receive, send)


class _Mounted:
    """An application for ASGI, and its own lifespan and state."""

    def __init__(self, path: str, app: App, lifespan: str) -> None:
        self.path = path
        self.app = app
        self.lifespan_mode = "off" if isinstance(app, InThreads) else lifespan
        self.state: dict[str, Any] = {}

    def lifespan(self) -> Lifespan:
        """Return the protocol's other side; where an event loop runs."""
        return Lifespan(self.app, self.lifespan_mode, self.state)


class _Asgi:
    """`apps`: the main one first, then the others, the longest path first."""

    def __init__(self, apps: Sequence[_Mounted]) -> None:
        self._main = apps[0]
        self._others = apps[1:]

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        root: str = scope["root_path"]
        path: str = scope["path"][len(root) :]
        chosen = next((one for one in self._others if is_below(path, one.path)), self._main)
        scope["root_path"] = root + chosen.path
        scope["state"] = chosen.state.copy()
        await chosen.app(scope, receive, send)

    async def _live(self, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Start all, and end all in the opposite order."""
        await receive()
        started: list[Lifespan] = []
        failure: Message = {"type": "lifespan.startup.complete"}
        for one in (self._main, *self._others):
            lifespan = one.lifespan()
            try:
                await lifespan.startup()
            except AppError as error:
                where = f"{one.path or '/'}: "
                failure = {"type": "lifespan.startup.failed", "message": f"{error.traceback}\n{where}{error}"}
                break
            started.append(lifespan)
        await send(failure)
        if "message" not in failure:
            await receive()
        for lifespan in reversed(started):
            await lifespan.shutdown()
        if "message" not in failure:
            await send({"type": "lifespan.shutdown.complete"})
