# Registry of backends: which there are, and whether one can do what is asked of it.
#
# Rule: a backend is imported when it is chosen and never before, so that one with a missing dependency harms
# nobody else. Rule: what a backend can do is what it declares (base.Features); there is no list of exceptions
# on the caller's side.

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from bigtop.backends import catalogue
from bigtop.backends.base import Backend, Features
from bigtop.backends.serve_options import FLAGS, ServeOptions
from bigtop.errors import ConfigError, one_line
from bigtop.http.paths.time_limits import policy_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "bigtop.backends"

_DEFAULTS: Final = ServeOptions()
# What nobody may believe to have who has it not: these are off unless somebody relies on them.
_PROTECTING: Final = (
    *("gates.allow", "gates.deny", "gates.users", "gates.maintenance"),
    *("gates.connections", "gates.rate", "limit_concurrency", "websocket.origins"),
    "max_queue_time",
    "methods",
    "limits.timeout_for",
    "proxy.routes",
)


def names() -> list[str]:
    """Return the names of all backends: those that come with Bigtop, and those that others registered."""
    return sorted({*catalogue.OFFERS, *(entry.name for entry in _entries())})


def version(name: str) -> str:
    """Return the version of the package that brings the backend `name`, "" where none does."""
    for entry in _entries():
        if entry.name == name:
            return entry.dist.version if entry.dist else ""
    return ""


def _entries() -> Iterable[EntryPoint]:
    # Not above: to import this, and to read the metadata of each package, takes a good part of a start, and
    # backends of ours are found without.
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def load(name: str) -> type[Backend]:
    """Import the backend called `name`, or by one of gunicorn's names for it.

    ConfigError says what exists, or how to install what is missing.
    """
    name = catalogue.canonical(name)
    if (offer := catalogue.OFFERS.get(name)) is not None:
        return _import(name, f"bigtop.backends.{offer.home}")
    for entry in _entries():
        if entry.name == name:
            return _import(name, entry.value)
    raise ConfigError(_unknown(name))


def require(
    backend: type[Backend],
    *,
    interface: str,
    options: ServeOptions = ServeOptions(),  # noqa: B008 - frozen
    unix: bool = False,
    reload: bool = False,
    request_hooks: bool = False,
    tls: bool = False,
) -> None:
    """Raise ConfigError unless `backend` declares everything that is asked for.

    `unix` asks for unix sockets, `reload` for replacing workers one by one on shared listeners,
    `request_hooks` for pre_request and post_request, `tls` for encrypted listeners.
    """
    threads = options.threads
    can: Features = backend.features
    if can.interface != interface:
        raise _lacks(
            backend,
            f"{interface.upper()} applications (it serves {can.interface.upper()})",
            "choose another one with --backend",
        )
    if threads > 1 and not can.threads:
        raise _lacks(backend, f"threads (--threads {threads})", "use --threads 1 and more --workers")
    if options.static and not can.static:
        raise _lacks(backend, "serving files (--static)", "let the application or a proxy do it")
    if options.sendfile_roots and not can.sendfile:
        raise _lacks(backend, "files by name (--sendfile-root)", "let the application send them")
    if options.wants_balancers and not can.balancers:
        raise _lacks(backend, "the PROXY protocol (--proxy-protocol)", "let the balancer speak plain HTTP")
    if options.paths and not can.paths:
        raise _lacks(backend, "options by path ([path:APP:PATH])", "choose wsgi, gevent or asgi")
    _require_protection(backend, options)
    if request_hooks and not can.request_hooks:
        raise _lacks(backend, "the hooks pre_request and post_request", "choose wsgi, gevent or asgi")
    if tls and not can.tls:
        raise _lacks(backend, "TLS (--tls)", "choose wsgi, gevent or asgi, or let a proxy do it")
    if unix and not can.unix:
        raise _lacks(backend, "unix sockets", "bind a HOST:PORT instead")
    if reload and not can.reload:
        raise _lacks(backend, "sharing its listeners during a reload", "restart instead of reloading")


def _require_protection(backend: type[Backend], options: ServeOptions) -> None:
    can: Features = backend.features
    for name in _PROTECTING:
        if name not in can.heeds and _differs(name, options):
            raise _lacks(backend, FLAGS[name], "choose another one with --backend, or let a proxy do it")
    steps = options.limits.timeout_action
    asked = steps != _DEFAULTS.limits.timeout_action and policy_of(steps).interrupts()
    if asked and "limits.timeout_for" not in can.heeds:
        remedy = "choose wsgi, gevent or asgi, or leave it out, as in --timeout-action retire,kill"
        raise _lacks(backend, "interrupting a request (--timeout-action)", remedy)


def require_held(backend: type[Backend], flag: str) -> None:
    """Raise ConfigError unless workers of `backend` can be ready and have no clients, which `flag` needs."""
    if not backend.features.held:
        raise _lacks(backend, f"workers without clients ({flag})", "choose wsgi, gevent or asgi")


def require_reforking(backend: type[Backend]) -> None:
    """Raise ConfigError unless a worker of `backend` that has drained can be forked."""
    if not backend.features.reforks:
        what = "forks of a worker that has served (--refork), for its event loop is not one that lasts"
        raise _lacks(backend, what, "choose wsgi, or leave it out")


def unheeded(backend: type[Backend], options: ServeOptions) -> str:
    """Return a line about what was asked for and `backend` does nothing about, "" when that is nothing."""
    heeds = backend.features.heeds
    flags = [flag for name, flag in FLAGS.items() if name not in heeds and _differs(name, options)]
    return f"backend {backend.name!r} does nothing about {', '.join(flags)}" if flags else ""


def _differs(name: str, options: ServeOptions) -> bool:
    value = attrgetter(name)
    return bool(value(options) != value(_DEFAULTS))


def _lacks(backend: type[Backend], feature: str, remedy: str) -> ConfigError:
    return ConfigError(f"backend {backend.name!r} does not support {feature}; {remedy}")


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    known = names()
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no backend {name!r}; {hint}there are: {', '.join(known) or 'none'}"


def _import(name: str, home: str) -> type[Backend]:
    try:
        module, _, attribute = home.partition(":")
        backend: type[Backend] = attrgetter(attribute)(import_module(module))
    except ModuleNotFoundError as error:
        if folder := _unreadable():
            raise ConfigError(
                f"backend {name!r} cannot be imported: user {os.geteuid()} may not read {folder}, "
                f"where this Python has its modules (it looked for {error.name!r}); install both "
                "where the user of --user may read them"
            ) from error
        ours = name in catalogue.OFFERS
        how = f"try: {catalogue.install_command(name)}" if ours else f"{home} imports it"
        raise ConfigError(
            f"backend {name!r} needs the module {error.name!r}, which is not installed; {how}"
        ) from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"backend {name!r} ({home}) cannot be imported: {one_line(str(error))}; "
            "reinstall what provides it"
        ) from error
    return backend


def _unreadable() -> str:
    """Return a folder of this Python's modules that we may not read, "" if there is none. Python itself takes
    such a one for empty."""
    for folder in sys.path:
        if folder.startswith((sys.prefix, sys.base_prefix)) and not folder.endswith(".zip"):
            try:
                os.scandir(folder).close()
            except PermissionError:
                return folder
            except OSError:  # sys.path names what need not be there
                continue
    return ""
