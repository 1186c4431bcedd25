# Description of a web console: where it is, what it shows, who may come; and its orders in one word.
#
# Rule: what everybody could reach is refused. Who lets others in than this machine encrypts, or names the
# proxy that does, and has at least one user.

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bigtop.errors import ConfigError
from bigtop.record import Record, as_dict, replace
from bigtop.sockets import SocketSpec, parse_bind
from bigtop.system.files import unixpaths
from bigtop.web.access.origins import is_loopback

BIND: Final = "127.0.0.1:8080"
NAME: Final = "circushttpd"  # the watcher, as Circus calls it
_WILDCARDS: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


class Target(Record):
    """A supervisor that is shown. `keys` is a folder with server.key and view.key_secret, operate.key_secret,
    admin.key_secret, or some of these; "": it is reached without keys."""

    endpoint: str  # or the name or path of one that runs here; "": the only one that does
    name: str = ""  # in the console; "": said by the endpoint
    keys: str = ""


class WebSpec(Record):
    """`hosts` are names that it is asked under besides those of its address; `proxies` are addresses and
    networks whose word counts for who a client is and how it came."""

    bind: str = BIND
    targets: tuple[Target, ...] = ()
    keys: str = ""  # of targets without their own
    state: str = ""  # a folder for users, tokens, its secret, and the audit log; "": the usual one
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    certfile: str = ""
    keyfile: str = ""  # "": in certfile
    cluster: str = ""  # the name of one that is led from here, or its folder; "": none is shown

    @property
    def where(self) -> SocketSpec:
        """ConfigError: `bind` is no address."""
        found = parse_bind(self.bind, "web")
        if found.fd is not None or (found.path is not None and unixpaths.is_abstract(found.path)):
            raise ConfigError(f"bind: must be HOST:PORT or unix:PATH, got {self.bind!r}")
        return replace(found, mode=0o600) if found.path is not None else found

    @property
    def is_open(self) -> bool:
        """Whether others than this machine reach it."""
        where = self.where
        return where.path is None and not is_loopback(where.host.lower())

    def names(self) -> frozenset[str]:
        """Return the names that it may be asked under."""
        where = self.where
        own = set() if where.path is not None or where.host in _WILDCARDS else {where.host.lower()}
        if where.path is None and (where.host in _WILDCARDS or is_loopback(where.host.lower())):
            own |= {"localhost", "127.0.0.1", "::1"}
        return frozenset(own | {name.lower() for name in self.hosts})

    def based_on(self, folder: str) -> WebSpec:
        """Return it with all paths from `folder` on."""
        targets = tuple(replace(one, keys=_joined(folder, one.keys)) for one in self.targets)
        certfile, keyfile = _joined(folder, self.certfile), _joined(folder, self.keyfile)
        bind = self.bind
        if (path := self.where.path) is not None:
            bind = f"unix:{unixpaths.absolute(path, folder)}"
        state, keys = _joined(folder, self.state), _joined(folder, self.keys)
        cluster = _joined(folder, self.cluster) if "/" in self.cluster else self.cluster
        files = {"certfile": certfile, "keyfile": keyfile, "cluster": cluster}
        return replace(self, bind=bind, targets=targets, keys=keys, state=state, **files)

    def encode(self) -> str:
        return json.dumps(as_dict(self))

    @classmethod
    def decode(cls, text: str) -> WebSpec:
        said: dict[str, Any] = json.loads(text)
        targets = tuple(Target(**one) for one in said.pop("targets"))
        hosts, proxies = tuple(said.pop("hosts")), tuple(said.pop("proxies"))
        return cls(targets=targets, hosts=hosts, proxies=proxies, **said)


def _joined(folder: str, path: str) -> str:
    return os.path.join(folder, path) if path else ""


def target(text: str) -> Target:
    """Return what [NAME=]ENDPOINT means; ValueError: it is nothing of that kind."""
    name, equals, endpoint = text.partition("=")
    if not equals or "://" in name or "/" in name:
        name, endpoint = "", text
    if not endpoint or (equals and not name and endpoint != text):
        raise ValueError(f"must be an endpoint, a path or a name, perhaps behind NAME=, got {text!r}")
    return Target(endpoint, name)


def proxy(text: str) -> str:
    """Return an address or a network; ValueError: it is none."""
    ipaddress.ip_network(text, strict=False)
    return text


def problems(spec: WebSpec, users: int) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, by the name of the option; `users` there are."""
    if spec.keyfile and not spec.certfile:
        yield "keyfile", "does nothing without certfile"
    try:
        where = spec.where
    except ConfigError as error:
        yield "bind", str(error).removeprefix("bind: ")
        return
    if where.path is not None and not spec.hosts:
        yield "hosts", f"a proxy before {spec.bind} is asked under a name: say which"
    if where.path is not None and spec.certfile:
        yield "certfile", f"does nothing on {spec.bind}: a proxy before a unix socket speaks TLS itself"
    if not spec.is_open:
        return
    if not (spec.certfile or spec.proxies):
        yield "bind", f"others than this machine reach {spec.bind}: it needs certfile, or trusted_proxies"
    if not users:
        state = f"--state {spec.state} " if spec.state else ""
        command = f"bigtop web {state}user NAME"
        yield "bind", f"others than this machine reach {spec.bind}: it needs a user ({command})"
    if where.host in _WILDCARDS and not spec.hosts:
        yield "hosts", f"{spec.bind} is every address: say under which names it is asked"


def default_state(environ: Mapping[str, str], uid: int) -> str:
    """Return where users and the audit log are kept unless somebody says so."""
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # of systemd (StateDirectory=)
    if os.path.isabs(state):
        return os.path.join(state, "web")
    if uid == 0:
        return "/var/lib/bigtop/web"
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        data = os.path.join(environ.get("HOME") or "/", ".local/share")
    return os.path.join(data, "bigtop", "web")
