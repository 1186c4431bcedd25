# uvicorn's command line, so that `uvicorn` in a Dockerfile can be replaced by `bigtop serve`.
#
# Rule 1: only what differs is here. Flags that both have need no translation; those that choose a part of
# uvicorn's inside (--http, --ws) are taken and mean nothing, where the choice makes no difference.
# Rule 2: what cannot be had is refused, with what to use instead; nothing is dropped that would be missed.

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from bigtop.config.serve.values.values import SWITCH_WORDS
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
    "--ssl-keyfile": "--keyfile=",
    "--ssl-certfile": "--certfile=",
    "--ssl-ciphers": "--tls-ciphers=",
    "--ssl-ca-certs": "--client-ca=",
}
_SWITCHES = {
    "--access-log": ("--access-logfile=-",),
    "--no-access-log": (),  # there is none unless --access-logfile asks for one
    "--no-server-header": ("--server-header=",),
    "--date-header": (),
    "--no-proxy-headers": ("--forwarded-allow-ips=",),
    "--proxy-headers": (),
    "--use-colors": (),
    "--no-use-colors": (),
    "--reset-contextvars": (),  # no request sees those of another one anyway
}
_INNER = ("--http", "--ws", "--reload-delay")
_READ = ("--ssl-cert-reqs", "--env-file", "--interface", "--log-config", "--log-level", "--reload-dir")

_REFUSED: Final = {
    "--http2": "HTTP/2 is spoken by --backend hypercorn, or by a proxy in front",
    "--header": "set it in the application, or in a middleware around it",
    "--no-date-header": "every answer has a Date, as RFC 9110 asks for",
    "--reload-exclude": "every *.py below --chdir is watched, and what --reload-extra-file names",
    "--timeout-worker-healthcheck": "use --timeout, the time for which an event loop may stand still",
    "--ssl-keyfile-password": "take the password off the key: openssl pkey -in KEY -out PLAIN",
}
# Of these, what takes no value.
_REFUSED_SWITCHES: Final = ("--http2", "--no-date-header")
FLAGS = frozenset((*_SAME, *_SWITCHES, *_INNER, *_READ, *_REFUSED, "--host", "--port"))

# Numbers of the ssl module.
CERT_REQS: Final = {"0": "off", "1": "optional", "2": "required"}
# What click takes for a truth value. Flags of ours that need no value have a smaller choice.
_TRUTHS = {**SWITCH_WORDS, "t": True, "y": True, "f": False, "n": False}


def _refuse(flag: str, reason: str) -> None:
    raise ConfigError(f"{flag}: {reason}")


def translate(argv: Sequence[str], refuse: Callable[[str, str], None] = _refuse) -> list[str]:
    """Return a command line with uvicorn's flags replaced by ours; ConfigError for a bad --env-file.

    `refuse` is told of flags that mean nothing here, and why; unless given, that is a ConfigError."""
    words: list[str] = []
    place: dict[str, str] = {}
    left = deque(argv)
    while left:
        word = left.popleft()
        if word == "--":
            words += [word, *left]
            break
        flag, equals, value = word.partition("=")

        def argument(flag: str = flag, given: bool = bool(equals), value: str = value) -> str:
            if not given and not left:
                raise ConfigError(f"{flag} needs a value")
            return value if given else left.popleft()

        if flag in ("--host", "--port"):
            place[flag] = argument()
        elif flag in _SWITCHES:
            words += _SWITCHES[flag]
        elif flag in _REFUSED:
            refuse(flag, _REFUSED[flag])
            if flag not in _REFUSED_SWITCHES:
                argument()
        elif flag in FLAGS:
            words += _one(flag, argument, refuse)
        else:
            words += _ours(word, left)
    if place:
        host = place.get("--host", "127.0.0.1")
        host = f"[{host}]" if ":" in host else host
        words = [f"--bind={host}:{place.get('--port', '8000')}", *words]
    return words


def _one(flag: str, argument: Callable[[], str], refuse: Callable[[str, str], None]) -> list[str]:
    value = argument()
    if flag in _SAME:
        return [_SAME[flag] + value]
    match flag:
        case "--interface":
            return [f"--interface={'asgi' if value == 'asgi3' else value}"]
        case "--log-config" if value.lower().endswith((".yaml", ".yml")):
            refuse(flag, f"YAML is not read; write {value} as JSON, for --log-config-json")
            return []
        case "--log-config" if value.lower().endswith(".json"):
            return [f"--log-config-json={value}"]
        case "--log-config":
            return [f"--log-config={value}"]
        case "--log-level":
            return [f"--log-level={'debug' if value == 'trace' else value}"]
        case "--reload-dir":
            return [f"--reload-extra-file={value}/*.py"]
        case "--ssl-cert-reqs" if value in CERT_REQS:
            return [f"--client-auth={CERT_REQS[value]}"]
        case "--env-file":
            return [f"--env={pair}" for pair in variables(value)]
    if value == "none":
        refuse(f"{flag} none", "there is no way to turn that off")
    return []


def _ours(word: str, left: deque[str]) -> list[str]:
    """Return a word of ours, or one that both know but for the value behind it."""
    following = left[0] if left else "--"
    if word == "--server-header" and following.startswith("-"):
        return []  # uvicorn's switch; there is one anyway
    if word == "--ws-per-message-deflate" and following.lower() in _TRUTHS:
        return [f"{word}={str(_TRUTHS[left.popleft().lower()]).lower()}"]
    return [word]


_LINE = re.compile(r"""(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^#]*?))\s*(?:#.*)?""")


def variables(path: str) -> list[str]:
    """Return the lines of an --env-file, NAME=VALUE with the quotes and comments of a shell and nothing else
    of it; ConfigError names a line that is none."""
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
