# gunicorn's values as ours, where the two are written differently.
#
# Rule: a file is Python, so a value may be of any type that JSON has. What has no meaning raises ValueError,
# which says what would be right; texts and numbers that fit are checked by the option itself.

from __future__ import annotations

import re

from bigtop.backends import catalogue


def bind(given: object) -> object:
    """One address or several; gunicorn allows a scheme, and a port without a host, which is any."""
    return [_address(one) for one in given] if isinstance(given, list) else _address(given)


def _address(given: object) -> object:
    if not isinstance(given, str):
        return given
    text = given.strip()
    for scheme in ("tcp://", "http://", "https://"):
        text = text.removeprefix(scheme)
    if text.startswith("unix://"):
        return f"unix:{text.removeprefix('unix://')}"
    if re.fullmatch(r":?[0-9]+", text):
        return f"0.0.0.0:{text.removeprefix(':')}"
    return text


def worker_class(given: object) -> object:
    """A name of gunicorn's, or a class in a file."""
    if not isinstance(given, str):
        return given
    name = given.strip()
    if "eventlet" in name:
        raise ValueError("eventlet is not maintained, and gunicorn 26 dropped it as well; use gevent")
    backend = catalogue.canonical(name)
    if backend == name and "." in name:
        raise ValueError(
            f"{name} is a worker class for gunicorn's own machinery; choose a backend instead (wsgi, asgi, "
            "gevent ...) and give what the class sets as options (--loop, --lifespan, --interface ...)"
        )
    return backend


_CERT_REQS = ("off", "optional", "required")


def cert_reqs(given: object) -> object:
    """A number of the ssl module (CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED), or its text."""
    text = str(given).strip()
    if text not in ("0", "1", "2"):
        raise ValueError(
            f"must be 0, 1 or 2, as ssl.CERT_NONE, CERT_OPTIONAL and CERT_REQUIRED, got {text!r}"
        )
    return _CERT_REQS[int(text)]


# The last one is the first with figures for statsd, which another process sends here.
_DEFAULT_LOGGER = ("gunicorn.glogging.Logger", "simple", "gunicorn.instrument.statsd.Statsd")


def logger_class(given: object) -> object:
    """The name of a class, None for gunicorn's own."""
    if not isinstance(given, str):
        return given
    name = given.strip()
    if name.startswith("egg:"):
        raise ValueError(f"name the class behind {name} as package.module.Class")
    return None if name in _DEFAULT_LOGGER else name


def count(given: object) -> object:
    """A number, which gunicorn takes as a text, too."""
    return given.strip() if isinstance(given, str) else given


def mask(given: object) -> object:
    """A umask: a number, or a text as Python writes numbers."""
    if not isinstance(given, str):
        return given
    text = re.sub(r"^0(?=\d)", "0o", given.strip())
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"must be a number such as 0o022, got {given!r}") from None


def word(given: object) -> object:
    """A name of a process, in which there may be anything."""
    return re.sub(r"[^\w.:@+-]+", "-", given).strip("-") or None if isinstance(given, str) else given


def protocol(given: object) -> object:
    return "off" if isinstance(given, str) and given.lower() == "none" else given


def small(given: object) -> object:
    """A word, in capitals or not."""
    return given.lower() if isinstance(given, str) else given


def off(given: object) -> object:
    """What a switch that turns something off means for the option of that something."""
    return "off" if given else None


def http1_only(given: object) -> object:
    """What the protocols that may be spoken, such as "h2,h1", mean for HTTP/2."""
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, (list, tuple)):
        return given
    names = {str(word).strip().lower() for word in words}
    if not names or names - {"h1", "h2"}:
        raise ValueError(f"must be h1, h2 or both, got {given!r}")
    return "off" if "h2" in names else "on"
