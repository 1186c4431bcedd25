# Section [server:main] of a PasteDeploy file, as pserve and the like would serve it, in our words.
#
# Rule: it is told, not followed. What runs is what the command line or the file of `bigtop run` says, and
# nothing that somebody wrote is ignored in silence.

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bigtop import paste
from bigtop.config.serve.options import OPTIONS
from bigtop.errors import one_line

# Names of waitress, Paste and cheroot; those of gunicorn are ours.
_EQUALS: Final = {
    "channel_timeout": "keep_alive",
    "connection_limit": "worker_connections",
    "ident": "server_header",
    "max_request_body_size": "limit_request_body",
    "max_request_header_size": "limit_request_head",
    "numthreads": "threads",
    "request_queue_size": "backlog",
    "server_name": "server_header",
    "threadpool_workers": "threads",
    "trusted_proxy": "forwarded_allow_ips",
    "unix_socket_perms": "bind_mode",
    "url_prefix": "root_path",
}
_OURS: Final = {name: option.name for option in OPTIONS for name in (option.name, option.also) if name}


def as_flag(name: str, value: str) -> str:
    return f"--{name.replace('_', '-')} {value}"


def as_key(name: str, value: str) -> str:
    return f'{name} = "{value}"'


def advice(target: str, base: str, write: Callable[[str, str], str]) -> str:
    """Return a line that says what of a file's [server:main] has an equal here, as `write` writes an option;
    "" where there is nothing to say."""
    if not paste.is_named(target) or (found := paste.server(target, base)) is None:
        return ""
    place, says = found
    equals = [write(name, value) for name, value in _binds(says)]
    lacking = []
    for key, value in says.items():
        name = _EQUALS.get(key) or _OURS.get(key)
        if name is not None:
            equals.append(write(name, value))
        elif key not in ("use", "host", "port", "listen", "unix_socket"):
            lacking.append(key)
    text = f"{place}: [server:main] has no effect here"
    text += f"; what says the same: {', '.join(equals)}" if equals else ""
    text += f"; without an equal: {', '.join(lacking)}" if lacking else ""
    return one_line(text)


def _binds(says: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the addresses that a section names, as our option for them."""
    if "host" in says or "port" in says:
        yield "bind", f"{says.get('host', '0.0.0.0')}:{says.get('port', '8080')}"  # noqa: S104 - waitress' own
    for address in says.get("listen", "").split():
        yield "bind", address.replace("*:", "0.0.0.0:")
    if "unix_socket" in says:
        yield "bind", f"unix:{says['unix_socket']}"
