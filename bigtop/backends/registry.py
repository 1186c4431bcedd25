# Which backends there are, and whether one can do what is asked of it.
#
# Rule: a backend is imported when it is chosen and never before, so that one with a missing dependency harms
# nobody else. Rule: what a backend can do is what it declares (base.Features); there is no list of exceptions
# on the caller's side.

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from bigtop.backends import catalogue
from bigtop.backends.base import Backend, Features, ServeOptions
from bigtop.errors import ConfigError

GROUP = "bigtop.backends"


def names() -> list[str]:
    """Return the names of all installed backends."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


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
    if options.wants_files and not can.files:
        raise _lacks(
            backend, "serving files (--static, --sendfile-root)", "let the application or a proxy do it"
        )
    if options.wants_balancers and not can.balancers:
        raise _lacks(backend, "the PROXY protocol (--proxy-protocol)", "let the balancer speak plain HTTP")
    if unix and not can.unix:
        raise _lacks(backend, "unix sockets", "bind a HOST:PORT instead")
    if reload and not can.reload:
        raise _lacks(backend, "sharing its listeners during a reload", "restart instead of reloading")


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
        raise ConfigError(
            f"backend {entry.name!r} needs the module {error.name!r}, which is not installed; "
            f"try: {catalogue.install_command(entry.name)}"
        ) from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"backend {entry.name!r} ({entry.value}) cannot be imported: {error}; reinstall what provides it"
        ) from error
    return backend
