# Which backends there are, and whether one can do what is asked of it.
#
# Rule: a backend is imported when it is chosen and never before, so that one with a missing dependency harms
# nobody else. Rule: what a backend can do is what it declares (base.Features); there is no list of exceptions
# on the caller's side.

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from typing import Final

from bigtop.backends import catalogue
from bigtop.backends.base import Backend, Features, ServeOptions
from bigtop.errors import ConfigError

GROUP = "bigtop.backends"

_DEFAULTS: Final = ServeOptions()
# What a backend may heed or not -> how people ask for it.
FLAGS: Final = {
    "main_thread": "--main-thread",
    "switch_interval": "--switch-interval",
    "worker_connections": "--worker-connections",
    "address_connections": "--limit-address-connections",
    "address_rate": "--limit-address-rate",
    "server_header": "--server-header",
    "forwarded_allow_ips": "--forwarded-allow-ips",
    "forwarded_headers": "--forwarded-headers",
    "temp_dir": "--temp-dir",
    "stream_bodies": "--stream-bodies",
    "loop": "--loop",
    "lifespan": "--lifespan",
    "root_path": "--root-path",
    "limit_concurrency": "--limit-concurrency",
    "slow_callback": "--slow-callback",
    "limits.request_line": "--limit-request-line",
    "limits.fields": "--limit-request-fields",
    "limits.field_size": "--limit-request-field-size",
    "limits.head": "--limit-request-head",
    "limits.body": "--limit-request-body",
    "limits.header_timeout": "--header-timeout",
    "limits.body_timeout": "--body-timeout",
    "limits.send_timeout": "--send-timeout",
    "limits.header_rate": "--min-header-rate",
    "limits.body_rate": "--min-body-rate",
    "limits.send_rate": "--min-send-rate",
    "limits.keep_alive": "--keep-alive",
    "limits.send_file": "--max-buffered",
    "websocket.message": "--ws-max-size",
    "websocket.queue": "--ws-max-queue",
    "websocket.ping_interval": "--ws-ping-interval",
    "websocket.ping_timeout": "--ws-ping-timeout",
    "websocket.deflate": "--ws-per-message-deflate",
    "websocket.origins": "--ws-origins",
}
# What nobody may believe to have who has it not: these are off unless somebody relies on them.
_PROTECTING: Final = ("address_connections", "address_rate", "limit_concurrency", "websocket.origins")


def names() -> list[str]:
    """Return the names of all installed backends."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def version(name: str) -> str:
    """Return the version of the package that brings the backend `name`, "" where none does."""
    for entry in entry_points(group=GROUP, name=name):
        return entry.dist.version if entry.dist else ""
    return ""


def load(name: str) -> type[Backend]:
    """Import the backend called `name`, or by one of gunicorn's names for it.

    ConfigError says what exists, or how to install what is missing.
    """
    name = catalogue.canonical(name)
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise ConfigError(_unknown(name))
    return _import(found[0])


def require(
    backend: type[Backend],
    *,
    interface: str,
    options: ServeOptions = ServeOptions(),  # noqa: B008 - frozen
    unix: bool = False,
    reload: bool = False,
) -> None:
    """Raise ConfigError unless `backend` declares everything that is asked for.

    `unix` asks for unix sockets, `reload` for replacing workers one by one on shared listeners.
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
    for name in _PROTECTING:
        if name not in can.heeds and _differs(name, options):
            raise _lacks(backend, FLAGS[name], "choose another one with --backend, or let a proxy do it")
    if unix and not can.unix:
        raise _lacks(backend, "unix sockets", "bind a HOST:PORT instead")
    if reload and not can.reload:
        raise _lacks(backend, "sharing its listeners during a reload", "restart instead of reloading")


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
    known = names()
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no backend {name!r}; {hint}there are: {', '.join(known) or 'none'}"


def _import(entry: EntryPoint) -> type[Backend]:
    try:
        backend: type[Backend] = entry.load()
    except ModuleNotFoundError as error:
        ours = entry.name in catalogue.OFFERS
        how = f"try: {catalogue.install_command(entry.name)}" if ours else f"{entry.value} imports it"
        raise ConfigError(
            f"backend {entry.name!r} needs the module {error.name!r}, which is not installed; {how}"
        ) from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"backend {entry.name!r} ({entry.value}) cannot be imported: {error}; reinstall what provides it"
        ) from error
    return backend
