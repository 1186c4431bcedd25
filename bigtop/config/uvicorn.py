# uvicorn's command line, so that `uvicorn` in a Dockerfile can be replaced by `bigtop serve`.
#
# Rule: only what differs is here. Flags that both have need no translation; those that choose a part of
# uvicorn's inside (--http, --ws) are taken and mean nothing, where the choice makes no difference.

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bigtop.errors import ConfigError

_SAME = {
    "--uds": "--bind=unix:",
    "--fd": "--bind=fd://",
    "--timeout-keep-alive": "--keep-alive=",
    "--timeout-graceful-shutdown": "--graceful-timeout=",
    "--limit-max-requests": "--max-requests=",
    "--limit-max-requests-jitter": "--max-requests-jitter=",
    "--app-dir": "--pythonpath=",
    "--reload-include": "--reload-extra-file=",
    "--h11-max-incomplete-event-size": "--limit-request-head=",
}
_SWITCHES = {
    "--no-access-log": (),  # there is none unless --access-logfile asks for one
    "--no-server-header": ("--server-header=",),
    "--no-proxy-headers": ("--forwarded-allow-ips=",),
    "--proxy-headers": (),
    "--use-colors": (),
    "--no-use-colors": (),
}
_INNER = ("--http", "--ws")
_READ = ("--env-file", "--interface")
FLAGS = frozenset((*_SAME, *_SWITCHES, *_INNER, *_READ, "--host", "--port"))
_INTERFACES = {"asgi3": "asgi", "asgi2": "asgi"}


def translate(argv: Sequence[str]) -> list[str]:
    """Return a command line with uvicorn's flags replaced by ours; ConfigError for a bad --env-file."""
    words: list[str] = []
    place: dict[str, str] = {}
    left = iter(argv)
    for word in left:
        if word == "--":
            words += [word, *left]
            break
        flag, equals, value = word.partition("=")

        def argument(flag: str = flag, given: bool = bool(equals), value: str = value) -> str:
            text = value if given else next(left, None)
            if text is None:
                raise ConfigError(f"{flag} needs a value")
            return text

        if flag in ("--host", "--port"):
            place[flag] = argument()
        elif flag in _SWITCHES:
            words += _SWITCHES[flag]
        else:
            words += _one(flag, argument) if flag in FLAGS else [word]
    if place:
        host = place.get("--host", "127.0.0.1")
        host = f"[{host}]" if ":" in host else host
        words = [f"--bind={host}:{place.get('--port', '8000')}", *words]
    return words


def _one(flag: str, argument: Callable[[], str]) -> list[str]:
    value = argument()
    if flag in _SAME:
        return [_SAME[flag] + value]
    if flag == "--interface":
        return [f"--interface={_INTERFACES.get(value, value)}"]
    if flag == "--env-file":
        return [f"--env={pair}" for pair in _variables(value)]
    if value == "none":
        raise ConfigError(f"{flag} none: there is no way to turn that off")
    return []


_LINE = re.compile(r"""(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^#]*?))\s*(?:#.*)?""")


def _variables(path: str) -> list[str]:
    """Read lines of NAME=VALUE, with the quotes and comments of a shell but nothing else of it."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--env-file {path}: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ConfigError(f"{path}:{number}: wanted NAME=VALUE, got {line!r}")
        pairs.append(f"{match[1]}={match[2] or match[3] or match[4] or ''}")
    return pairs
