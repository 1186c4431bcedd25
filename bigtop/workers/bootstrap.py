# The orders that a fork server and its workers are born with.
#
# Rule: frozen, complete and plain. Written once by launch/app.py and passed on unread by the supervisor, so a
# generation that is started in a year gets the same orders. JSON: what crosses processes is data only.

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bigtop import zones
from bigtop.backends.serve_options import (
    AnswerPolicy,
    BalancerPolicy,
    Gates,
    PathOptions,
    ProxyOptions,
    ServeOptions,
    TlsPolicy,
)
from bigtop.hooks.spec import HookSpec
from bigtop.http.declarations import Mount, ProxyRoute, Rate
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.record import Record, as_dict, field, replace


class Identity(Record):
    """Who the application runs as and where; None leaves things as they are."""

    user: str | None = None
    group: str | None = None
    umask: int | None = None
    chdir: str | None = None
    pythonpath: tuple[str, ...] = ()
    environ: tuple[tuple[str, str], ...] = ()


class Logs(Record):
    """Where workers log: see log.py for what each string may be."""

    level: str = "info"
    json: bool = False
    access: str | None = None
    time_zone: str = zones.LOCAL
    capture: bool = False  # stdout goes where stderr goes


class Routing(Record):
    """Several applications on the same sockets, by number; this one is `mine`."""

    mine: int
    table: tuple[tuple[str, str, int], ...]  # host, path, application: see http/paths/routes.py
    app_queues: tuple[int, ...]  # descriptors, three for each application: see backends/native/app_queues.py
    mounted: tuple[str, ...] = ()  # paths below which this one is mounted


class Bootstrap(Record):
    """Everything between fork and serve()."""

    name: str
    app: str
    factory: bool
    interface: str | None  # "wsgi", "asgi" or None: found by looking at the application
    backend: str | None  # None: chosen by interface
    preload: str  # "auto", "on" or "off"
    listeners: tuple[int, ...]  # descriptors
    seats: int  # descriptor, see seats.py
    handoff: tuple[int, ...] = ()  # descriptors, see handoff.py
    routing: Routing | None = None
    keyring: int | None = None  # descriptor, see keyring.py
    encrypted: tuple[int, ...] = ()  # which of the listeners, by number, speak TLS
    clients: int | None = None  # descriptor, see client_table.py
    arena: int | None = None  # descriptor, see cache_arena.py
    answers: tuple[int, ...] = ()  # descriptors of the page and the line for questions, see answers.py
    paste_logging: bool = False
    mounts: tuple[tuple[str, str], ...] = ()  # other applications: path, "pkg.mod:attr"
    max_requests: int = 0
    max_requests_jitter: int = 0
    refork: int = 0  # requests after which a worker is warm; 0: none becomes a fork server
    graceful_timeout: float = 30.0
    identity: Identity = field(default_factory=Identity)
    logs: Logs = field(default_factory=Logs)
    options: ServeOptions = field(default_factory=ServeOptions)
    hooks: HookSpec = field(default_factory=HookSpec)
    app_metrics: str = ""  # the folder for metrics of the application, see app_metrics.py; "": none

    def descriptors(self) -> tuple[int, ...]:
        """All that these orders speak of."""
        app_queues = self.routing.app_queues if self.routing is not None else ()
        keyring = () if self.keyring is None else (self.keyring,)
        tables = [fd for fd in (self.clients, self.arena) if fd is not None]
        return (*self.listeners, self.seats, *self.handoff, *app_queues, *keyring, *tables, *self.answers)

    def with_descriptors(self, fds: Sequence[int]) -> Bootstrap:
        """Return the same orders where what descriptors() names has these numbers."""
        left = list(fds)

        def taken(old: Sequence[int]) -> tuple[int, ...]:
            new = tuple(left[: len(old)])
            del left[: len(old)]
            return new

        listeners, (seats,), handoff = taken(self.listeners), taken((self.seats,)), taken(self.handoff)
        routing = self.routing
        if routing is not None:
            routing = replace(routing, app_queues=taken(routing.app_queues))
        keyring = None if self.keyring is None else taken((self.keyring,))[0]
        clients = None if self.clients is None else taken((self.clients,))[0]
        arena = None if self.arena is None else taken((self.arena,))[0]
        return replace(
            self,
            listeners=listeners,
            seats=seats,
            handoff=handoff,
            routing=routing,
            keyring=keyring,
            clients=clients,
            arena=arena,
            answers=taken(self.answers),
        )

    def encode(self) -> bytes:
        return json.dumps(as_dict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Bootstrap:
        fields: dict[str, Any] = json.loads(data)
        identity, logs = fields["identity"], fields["logs"]
        identity["pythonpath"] = tuple(identity["pythonpath"])
        identity["environ"] = tuple((name, value) for name, value in identity["environ"])
        fields["listeners"] = tuple(fields["listeners"])
        fields["handoff"] = tuple(fields["handoff"])
        fields["encrypted"] = tuple(fields["encrypted"])
        fields["answers"] = tuple(fields["answers"])
        if fields["routing"] is not None:
            fields["routing"] = _routing(**fields["routing"])
        fields["mounts"] = tuple((path, app) for path, app in fields["mounts"])
        fields["hooks"] = HookSpec.of(**fields["hooks"])
        fields.update(identity=Identity(**identity), logs=Logs(**logs), options=_options(fields["options"]))
        return cls(**fields)


def _options(options: dict[str, Any]) -> ServeOptions:
    """Return what as_dict() and JSON, which knows no tuples, made of them."""
    limits = options["limits"]
    for name in ("timeout_for", "body_for"):
        limits[name] = tuple((pattern, value) for pattern, value in limits[name])
    limits["http2"] = Http2Limits(**limits["http2"])
    options["limits"] = Limits(**limits)
    for name in ("static", "sendfile_roots"):
        options[name] = [Mount(*mount) for mount in options[name]]
    options["secure_scheme_headers"] = [tuple(pair) for pair in options["secure_scheme_headers"]]
    options["paths"] = [PathOptions(one["pattern"], _options(one["options"])) for one in options["paths"]]
    for name, value in options.items():
        if isinstance(value, list):
            options[name] = tuple(value)
    answers = options["answers"]
    for name in ("compress", "compress_types", "cache_cookies"):
        answers[name] = tuple(answers[name])
    answers["add_headers"] = tuple((name, value) for name, value in answers["add_headers"])
    options["answers"] = AnswerPolicy(**answers)
    options["websocket"]["origins"] = tuple(options["websocket"]["origins"])
    options["websocket"] = WebSocketLimits(**options["websocket"])
    options["tls"]["redirect"] = tuple(options["tls"]["redirect"])
    options["tls"] = TlsPolicy(**options["tls"])
    gates = options["gates"]
    gates.update({name: tuple(gates[name]) for name in ("allow", "deny", "canonical")})
    gates.update(rate=Rate(*gates["rate"]), error_pages=tuple(map(tuple, gates["error_pages"])))
    options["gates"] = Gates(**options["gates"])
    options["balancers"]["allow_ips"] = tuple(options["balancers"]["allow_ips"])
    options["balancers"] = BalancerPolicy(**options["balancers"])
    options["proxy"]["routes"] = tuple(ProxyRoute(*route) for route in options["proxy"]["routes"])
    options["proxy"] = ProxyOptions(**options["proxy"])
    return ServeOptions(**options)


def _routing(
    mine: int, table: list[tuple[str, str, int]], app_queues: list[int], mounted: list[str]
) -> Routing:
    rows = tuple((host, path, owner) for host, path, owner in table)
    return Routing(mine, rows, tuple(app_queues), tuple(mounted))
