# Keys of the section [web]. What this table is good for is said in watcher_options.py.

from __future__ import annotations

from typing import Final

from bigtop.config.file.options import watcher_values as wv
from bigtop.config.file.text.key import Key
from bigtop.config.serve.values import values
from bigtop.config.serve.values.values import commas, one
from bigtop.web import spec as web

WEB_BIND = Key(
    "bind",
    one(wv.required),
    "HOST:PORT|unix:PATH",
    "Serve the console here. Addresses that others than this machine reach need `certfile` or "
    "`trusted_proxies`, and a user (`bigtop web user NAME`).",
    (web.BIND,),
    ours=True,
)
ENDPOINTS = Key(
    "endpoints",
    commas(web.target),
    "LIST",
    "Show these supervisors, too: the name, path or address of each, perhaps behind NAME=.",
    many=True,
    ours=True,
)
KEYS = Key(
    "keys",
    wv.filled(values.path),
    "FOLDER",
    "Keys for those on TCP: server.key, and view.key_secret, operate.key_secret, admin.key_secret or some of "
    "these; in a folder NAME in it for the supervisor NAME.",
    ours=True,
)
STATE = Key(
    "state",
    wv.filled(values.path),
    "FOLDER",
    "Where users, tokens and the audit log are; `bigtop web --state` names it to commands.",
    ours=True,
)
WEB_HOSTS = Key(
    "hosts",
    commas(values.host),
    "NAMES",
    "Names that the console is asked under, besides those of its address.",
    many=True,
    ours=True,
)
PROXIES = Key(
    "trusted_proxies",
    commas(web.proxy),
    "LIST",
    "Believe these addresses and networks who a client is, and that it came by https.",
    many=True,
    ours=True,
)
WEB_CERTFILE = Key(
    "certfile", wv.filled(values.path), "FILE", "Speak TLS with this certificate (PEM).", ours=True
)
WEB_KEYFILE = Key(
    "keyfile",
    wv.filled(values.path),
    "FILE",
    "The private key of `certfile`, unless it is in there.",
    ours=True,
)
CLUSTER = Key(
    "cluster",
    wv.filled(str),
    "NAME",
    "Show the nodes and rollouts of this cluster, too: its name, or the folder of its keys, which this user "
    "may read.",
    ours=True,
)
WEB: Final[tuple[Key[object], ...]] = (
    *(WEB_BIND, ENDPOINTS, KEYS, STATE, WEB_HOSTS, PROXIES, WEB_CERTFILE, WEB_KEYFILE, CLUSTER),
)
