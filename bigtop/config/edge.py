# The options of `bigtop serve` about what stands around the application: proxies in front of it, files beside
# it. They belong to the table in options.py, which would be too long with them.

from __future__ import annotations

from bigtop.config import values
from bigtop.config.option import Group, Option
from bigtop.config.values import commas, each, one
from bigtop.http.forwarded import FIELDS

FORWARDED_ALLOW_IPS = Option(
    "--forwarded-allow-ips",
    Group.SOCKETS,
    commas(values.proxy),
    "Proxies that may say that a request came by https: addresses, networks or *.",
    "LIST",
    ("127.0.0.1,::1",),
)
FORWARDED_HEADERS = Option(
    "--forwarded-headers",
    Group.SOCKETS,
    commas(values.choice(*FIELDS)),
    "What those proxies set themselves, so that it can be believed: X-Forwarded-For, -Proto, -Host, -Port, "
    "or Forwarded.",
    ",".join(FIELDS),
    ("for,proto",),
)
PROXY_PROTOCOL = Option(
    "--proxy-protocol",
    Group.SOCKETS,
    one(values.choice("off", "v1", "v2", "auto")),
    "Balancers say who their client is in front of the first request; auto is v1 or v2.",
    "off|v1|v2|auto",
    ("off",),
)
PROXY_ALLOW_IPS = Option(
    "--proxy-allow-ips",
    Group.SOCKETS,
    commas(values.proxy),
    "Balancers that use --proxy-protocol, and must: addresses, networks or *.",
    "LIST",
    ("127.0.0.1,::1",),
)
MOUNT = Option(
    "--mount",
    Group.APPLICATION,
    each(values.mounted_app),
    "Serve another application, WSGI or ASGI, below the path URL.",
    "URL=APP",
    many=True,
)
STATIC = Option(
    "--static",
    Group.FILES,
    each(values.mount),
    "Serve the files in DIR below the path URL, without the application.",
    "URL=DIR",
    many=True,
)
SENDFILE_ROOT = Option(
    "--sendfile-root",
    Group.FILES,
    each(values.mount),
    "Let the application answer with a file in DIR: by X-Sendfile, or as URL/... by X-Accel-Redirect.",
    "URL=DIR",
    many=True,
)
