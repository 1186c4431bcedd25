# Text to value: what a flag, a variable or an argument may say.
#
# Rule: a converter takes the text as it was given and returns a checked value, or raises ValueError with a
# message that says what would be right. Who gave the text is not known here; settings.py puts the name of the
# flag or the variable in front of the message.

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from bigtop import sizes
from bigtop.http.declarations import LONGEST_METHOD, Mount, Rate, Route
from bigtop.http.paths.time_limits import policy_of
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.system import accounts
from bigtop.system.files import workdir

T = TypeVar("T")
Convert = Callable[[str], T]
Parse = Callable[[Sequence[str]], T]

SWITCH_WORDS = {"on": True, "yes": True, "true": True, "1": True}
SWITCH_WORDS |= {"off": False, "no": False, "false": False, "0": False}


# ---- how many texts an option takes


def one(convert: Convert[T]) -> Parse[T]:
    """Exactly one text; the last one wins when a flag is repeated."""
    return lambda texts: convert(texts[-1])


def maybe(convert: Convert[T]) -> Parse[T | None]:
    """One text, or None for none."""
    return lambda texts: convert(texts[-1]) if texts else None


def each(convert: Convert[T]) -> Parse[tuple[T, ...]]:
    """Any number of texts."""
    return lambda texts: tuple(convert(text) for text in texts)


# ---- what one text means


def switch(given: str) -> bool:
    try:
        return SWITCH_WORDS[given.lower()]
    except KeyError:
        raise ValueError(f"must be on or off, got {given!r}") from None


def choice(*allowed: str) -> Convert[str]:
    def convert(given: str) -> str:
        if given.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, got {given!r}")
        return given.lower()

    return convert


def unless_auto(given: str) -> str:
    """auto, on or off; gunicorn's preload_app is a switch, so its words count too."""
    if given.lower() == "auto":
        return "auto"
    if given.lower() not in SWITCH_WORDS:
        raise ValueError(f"must be auto, on or off, got {given!r}")
    return "on" if SWITCH_WORDS[given.lower()] else "off"


def proxy_protocol(given: str) -> str:
    """off, v1, v2 or auto; gunicorn's was a switch once, so its words count too."""
    if given.lower() in SWITCH_WORDS:
        return "auto" if SWITCH_WORDS[given.lower()] else "off"
    return choice("off", "v1", "v2", "auto")(given)


def whole(minimum: int, maximum: int | None = None) -> Convert[int]:
    bounds = f"from {minimum} to {maximum}" if maximum is not None else f"of at least {minimum}"

    def convert(given: str) -> int:
        # int() alone would also take "1_000" and digits of other scripts.
        number = int(given) if re.fullmatch(r"-?[0-9]{1,18}", given) else None
        if number is None or number < minimum or (maximum is not None and number > maximum):
            raise ValueError(f"must be a whole number {bounds}, got {given!r}")
        return number

    return convert


def processes(minimum: int, maximum: int) -> Convert[Bounds]:
    """A number, auto, or two of them with .. between."""

    def count(given: str) -> int:
        if given.lower() == "auto":
            from bigtop.config.serve.cpu_quota import available_cpus  # most say a number

            return min(available_cpus(), maximum)
        return whole(minimum, maximum)(given)

    def convert(given: str) -> Bounds:
        least, dots, most = given.partition("..")
        try:
            bounds = Bounds(count(least), count(most if dots else least))
        except ValueError:
            number = "a whole number of at least 0" if not minimum else f"a whole number from 1 to {maximum}"
            two = ", or two of them as in 2..8" if dots else ""
            raise ValueError(f"must be auto or {number}{two}, got {given!r}") from None
        if bounds.least > bounds.most or (dots and not bounds.least):
            raise ValueError(f"{given}: the first number is the least, 1 or more, the second one the most")
        return bounds

    return convert


def seconds(given: str) -> float:
    """Seconds, fractions allowed; never negative, and finite."""
    number = float(given) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?|\.[0-9]+", given) else None
    if number is None:
        raise ValueError(f"must be a number of seconds, 0 or more, got {given!r}")
    return number


def duration(given: str) -> float:
    """Seconds, more than 0."""
    number = seconds(given)
    if not number:
        raise ValueError(f"must be more than 0 seconds, got {given!r}")
    return number


_UNITS: Final[dict[str, float]] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds


def span(given: str) -> float:
    """Seconds, or a number with one of _UNITS behind it."""
    number = given.rstrip("smhd")
    try:
        return seconds(number) * _UNITS[given.removeprefix(number) or "s"]
    except (ValueError, KeyError):
        raise ValueError(f"must be a time such as 0.1, 100ms or 12h, got {given!r}") from None


_PERIODS: Final = {"": 1, "/s": 1, "/m": 60, "/h": 3600, "/d": 86400}


def rate(given: str) -> Rate:
    """A number of requests in a second, minute, hour or day; 0 is any number."""
    match = re.fullmatch(r"([0-9]{1,7})(/[smhd])?", given)
    if match is None or int(match[1]) > 1_000_000:
        raise ValueError(
            f"must be a number of requests, at most 1000000, such as 10, 100/m or 1000/h, got {given!r}"
        )
    return Rate(int(match[1]), _PERIODS[match[2] or ""])


def unless_off(parse: Parse[tuple[T, ...]]) -> Parse[tuple[T, ...]]:
    """What `parse` makes of texts; none for the one word off."""
    return lambda texts: () if tuple(texts) == ("off",) else parse(texts)


def mount_point(given: str) -> str:
    """A path without a slash at its end, or ""; encoded or not."""
    if not re.fullmatch(r"(/[^\0-\x20\x7f?#]*)?", given):
        raise ValueError(f"must be a path that begins with /, got {given!r}")
    return given.rstrip("/")


def field_name(given: str) -> str:
    """The name of a header field, or *."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", given):
        raise ValueError(f"must be the name of a header field, or *, got {given!r}")
    return given


def scheme_header(given: str) -> tuple[str, str]:
    """NAME=VALUE of a header field."""
    name, equals, value = given.partition("=")
    if not equals or not value.strip() or "*" in name:
        raise ValueError(f"must be a field and a value such as X-Forwarded-Proto=https, got {given!r}")
    return field_name(name.strip()), header_value(value.strip())


def method(given: str) -> str:
    """What may be the method of a request; CONNECT and PRI are none that is taken."""
    if not re.fullmatch(rf"[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{LONGEST_METHOD}}}", given):
        raise ValueError(f"must be a method such as GET, got {given!r}")
    return given


def origin(given: str) -> str:
    """What browsers send as Origin: scheme, host, and a port if it is not the usual one."""
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s,]+", given):
        raise ValueError(f"must be an origin such as https://example.com, got {given!r}")
    return given


def size(minimum: int) -> Convert[int]:
    """Bytes, with k, M or G for powers of 1024 as nginx has them."""

    return lambda given: sizes.size(given, minimum)


def window(given: str) -> int:
    """Bytes that a client of HTTP/2 may send: not less than it may before it heard of us."""
    found = sizes.size(given, 65535)
    if found > 1 << 30:
        raise ValueError(f"must be at most 1G, got {given!r}")
    return found


def umask(given: str) -> int:
    return _octal(given, "022")


def mode(given: str) -> int:
    return _octal(given, "660")


def _octal(given: str, example: str) -> int:
    """Octal as chmod(1) has it; Python's 0o22 is understood too."""
    digits = given.lower().removeprefix("0o")
    if not re.fullmatch(r"0?[0-7]{1,3}", digits):
        raise ValueError(f"must be octal such as {example}, got {given!r}")
    return int(digits, 8)


def user(given: str) -> str:
    """A user that exists, by name; or any number."""
    _look_up(accounts.uid_of, given)
    return given


def group(given: str) -> str:
    """A group that exists, by name; or any number."""
    _look_up(accounts.gid_of, given)
    return given


def _look_up(number_of: Convert[int], given: str) -> None:
    try:
        number_of(given)
    except LookupError as error:
        raise ValueError(str(error)) from None


def directory(given: str) -> str:
    """A directory that exists, as an absolute path."""
    path = workdir.absolute(os.path.expanduser(given))
    if not os.path.isdir(path):
        raise ValueError(f"{given!r} is not a directory")
    return path


def mount(given: str) -> Mount:
    """/URL=DIR; the directory is looked for later, when it is known from where relative names count."""
    prefix, equals, folder = given.partition("=")
    if not re.fullmatch(r"/|(/[\w.~-]+)+/?", prefix, re.ASCII) or not equals:
        raise ValueError(f"must be a path and a directory such as /static=var/static, got {given!r}")
    return Mount(prefix.rstrip("/") + "/", path(folder))


def mounted_app(given: str) -> tuple[str, str]:
    """/URL=APP."""
    prefix, equals, app = given.partition("=")
    if not re.fullmatch(r"(/[\w.~-]+)+/?", prefix, re.ASCII) or not equals or not app:
        raise ValueError(f"must be a path and an application such as /api=b.asgi:app, got {given!r}")
    return prefix.rstrip("/"), app


def route(given: str) -> Route:
    """HOST, /PATH or both."""
    match = re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\]|)((?:/[\w.~-]+)*)/?", given, re.ASCII)
    if not match or not given:
        raise ValueError(
            f"must be a path, a host without a port, or both, such as /api, api.example.org or "
            f"api.example.org/v2, got {given!r}"
        )
    return Route(match[1].lower().removesuffix("."), match[2])


def path_pattern(given: str) -> str:
    """A pattern of URL paths, as of fnmatch(3)."""
    if not given.startswith(("/", "*")):
        raise ValueError(f"must be a pattern of paths such as /upload/*, got {given!r}")
    return given


def path_timeout(given: str) -> tuple[str, float]:
    """A pattern of URL paths and the seconds that requests for them may take, 0 for ever."""
    pattern, equals, time = given.rpartition("=")
    if not equals:
        raise ValueError(f"must be a pattern of paths and seconds such as /reports/*=300, got {given!r}")
    return path_pattern(pattern), seconds(time)


def timeout_steps(given: str) -> str:
    policy_of(given)  # which says what is wrong
    return given


def path(given: str) -> str:
    if not given or "\0" in given:
        raise ValueError(f"must be the name of a file, got {given!r}")
    return os.path.expanduser(given)


def ini_file(given: str) -> str:
    """A configuration of Python's logging, as its fileConfig() reads it."""
    if given.lower().endswith(".json"):
        raise ValueError(f"reads INI files; give {given} as --log-config-json")
    return path(given)


def dotted(given: str) -> str:
    """The name of something in a module."""
    if not all(given.partition(".")):
        raise ValueError(f"must name a class as package.module.Class, got {given!r}")
    return given


def name(given: str) -> str:
    """A word that can stand in a process title and on the control channel."""
    if not re.fullmatch(r"[\w.:@+-]+", given):
        raise ValueError(f"must be a word of letters, digits and . : @ + - _, got {given!r}")
    return given


def module(given: str) -> str:
    """A dotted name."""
    if not all(part.isidentifier() for part in given.split(".")):
        raise ValueError(f"must be a module such as myproj.hooks, got {given!r}")
    return given


def variable(given: str) -> tuple[str, str]:
    """NAME=VALUE."""
    key, equals, value = given.partition("=")
    if not key or not equals or "\0" in given:
        raise ValueError(f"must be NAME=VALUE, got {given!r}")
    return key, value


def header_value(given: str) -> str:
    """What may follow the colon of a response header."""
    if not re.fullmatch(r"[\x20-\x7e]*", given) or given != given.strip():
        raise ValueError(f"must be printable ASCII without surrounding blanks, got {given!r}")
    return given


def access_format(given: str) -> str:
    """A format of access_format.py, or of a logger class, which may have atoms of its own: see serve.py."""
    if not given:
        raise ValueError("must not be empty; without --access-logfile no request is logged")
    return given


def proxy(given: str) -> str:
    """An address, a network or * of a trusted proxy; normalized."""
    if given in ("*", "127.0.0.1", "::1"):  # most sites know no others
        return given
    import ipaddress

    try:
        network = ipaddress.ip_network(given, strict=False)
    except ValueError:
        raise ValueError(
            f"must be an IP address, a network such as 10.0.0.0/8, or *, got {given!r}"
        ) from None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def host(given: str) -> str:
    """The name of a host, or * for any."""
    if given != "*" and not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", given.lower()):
        raise ValueError(f"must be the name of a host, or *, got {given!r}")
    return given.lower()


def commas(convert: Convert[T]) -> Parse[tuple[T, ...]]:
    """Any number of texts, each of which may be a list with commas."""
    return lambda texts: tuple(convert(part.strip()) for text in texts for part in text.split(",") if part)
