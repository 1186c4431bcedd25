# Emission of figures to a statsd server, or to a collector of OpenTelemetry, as somebody asked for it: where
# to, and under which names.

from __future__ import annotations

import re
from typing import Final

from bigtop.record import Record

PORT: Final = 8125  # statsd's, where none is given
GUNICORN: Final = "gunicorn"
CIRCUS: Final = "circus"
DIALECTS: Final = (GUNICORN, CIRCUS)

Address = str | tuple[str, int]  # the path of a socket for datagrams; or host and port


class Emission(Record):
    """`tags` are NAME:VALUE, as DogStatsD has them. `has_names`: the name of the application stands in those
    of its figures, since there may be several."""

    address: Address
    prefix: str = ""
    tags: tuple[str, ...] = ()
    dialect: str = GUNICORN
    backlog: bool = False
    has_names: bool = False


def address(given: str) -> Address:
    """Return what HOST, HOST:PORT or unix:PATH stands for; ValueError for anything else. Paths may be
    relative."""
    if found := re.fullmatch(r"unix:(//)?(.*)", given):
        path = found[2]
        if path.isdigit() and not found[1]:  # a host of that name, as gunicorn has it
            return "unix", _port(path, given)
        if not path or "\0" in path:
            raise ValueError(f"must be HOST:PORT or unix:PATH, got {given!r}")
        return path
    text = re.sub("^(udp|tcp)://", "", given)
    found = re.fullmatch(r"(?:\[([^\[\]\0]+)\]|([^\[\]:\s\0]+))(?::(.*))?", text)
    if found is None:
        raise ValueError(f"must be HOST:PORT or unix:PATH, got {given!r}")
    return (found[1] or found[2]).lower(), PORT if found[3] is None else _port(found[3], given)


def _port(text: str, given: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 1 << 16:
        raise ValueError(f"the port must be a number from 1 to 65535, got {given!r}")
    return int(text)


def prefix(given: str) -> str:
    """Return a beginning of names without the dots that end it; ValueError for what no name holds."""
    if re.search(r"[:|@#\s]", given):
        raise ValueError(f"must hold neither blanks nor any of : | @ #, got {given!r}")
    return given.rstrip(".")


def tag(given: str) -> str:
    """Return a tag; ValueError for what would end it, or the line."""
    if not given or re.search(r"[|#,\n\r]", given):
        raise ValueError(f"must be NAME:VALUE without any of | # and line ends, got {given!r}")
    return given


def collector(given: str) -> str:
    """Return the URL at which a collector of OpenTelemetry takes metrics; ValueError for what is none."""
    found = re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", given)
    if found is None:
        raise ValueError(f"must be a URL such as http://127.0.0.1:4318, got {given!r}")
    return given if (found[1] or "/") != "/" else f"{given.rstrip('/')}/v1/metrics"


def lacking(url: str | None) -> str:
    """Return what has to be installed before metrics can be sent there; "" for nothing."""
    if url is None or _is_there("opentelemetry.exporter.otlp.proto.http"):
        return ""
    return "needs OpenTelemetry's exporter: pip install 'bigtop[otlp]'"


def _is_there(module: str) -> bool:
    import importlib.util  # here: few sites send anything

    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of a package above it
        return False


def shown(where: Address) -> str:
    """Return an address for people."""
    if isinstance(where, str):
        return f"unix:{where}"
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
