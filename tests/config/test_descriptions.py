# Each option and each key changes the description of what is started. Many of the tests that are named in
# tests/witnesses.py begin at a description: what they show is shown of an option only if that gets there.

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bigtop.config.file import daemon
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.file.options import (
    cluster_options,
    daemon_options,
    stats_options,
    watcher_options,
    web_options,
)
from bigtop.config.file.text.key import Key
from bigtop.config.serve import options, serve
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import Given
from bigtop.config.serve.specs.acme import ABOUT as ACME
from bigtop.record import replace
from tests.support import certificates

# Of each kind of value, as the tables call it, one that nothing has by default; by name where none suits all.
OF_KIND = {
    "N": "7", "N|auto": "7", "N|N..M|auto": "7", "PORT": "7", "SECONDS": "7", "TIME": "7", "SIZE": "7M",
    "SIZE|off": "7M", "OCTAL": "022", "PATTERN=SECONDS": "/x/*=7", "STEPS": "kill",
    "STATUSES": "7", "CPUS": "0", "CRON": "5 4 * * *", "WHEN": "delay:7",
    "USER": "nobody", "GROUP": "0", "NAME": "lo", "NAMES": "other", "NAME=VALUE": "A=1", "X.Y": "3.9",
    "FILE": "{folder}/file", "FILE|URL": "{folder}/log", "PATH": "/x", "DIR": "{folder}",
    "FOLDER": "{folder}",
    "FILES": "more/*.toml", "DIRS": "more", "URL": "tcp://127.0.0.1:7", "URL=DIR": "/x={folder}",
    "URL=APP": "/x=m:b", "ADDRESS": "127.0.0.1:7", "HOST:PORT|unix:PATH": "127.0.0.1:7", "HOST": "127.0.0.2",
    "HOST[:PORT]|unix:PATH": "127.0.0.1:7", "gunicorn|circus": "circus",
    "LIST": "10.9.8.7", "view|operate|admin": "view",
    "COMMAND": "run it", "ARGUMENTS": "one two", "TARGET[,yes|no]": "!true", "CLASS": "m.Plugin",
    "APP": "m:b", "TEXT": "other", "FORMAT": "%(h)s", "PATTERN": "/x", "SIGNAL": "INT", "SIGNALS": "INT,TERM",
    "FILE.ini": "{folder}/file", "FILE.json": "{folder}/file", "MODULE.CLASS": "string.Formatter",
    "FAMILY": "AF_INET6", "TYPE": "SOCK_DGRAM", "LEVEL": "debug",
    "debug|info|warning|error|critical": "debug", "local|utc": "utc", "off|try|require": "try",
    "yes|no|auto": "yes", "yes|no|unexpected": "no", "auto|on|off": "on", "auto|off|PATH": "off",
    "auto|wsgi|asgi|asgi2": "asgi", "auto|asyncio|uvloop": "asyncio", "off|v1|v2|auto": "v1",
    "auto:NAMES|files:CERT,KEY|local[:NAMES]": "files:{folder}/site.pem,{folder}/site.key", "1.2|1.3": "1.3",
    "default|refuse": "refuse", "required|optional|off": "optional",
    "HOSTS|off": "a.example", "ADDRESS|off": "127.0.0.1:7", "KID,FILE": "id,{folder}/token",
    "AGE[,WORDS]": "1y", "CHECK": "TCP 127.0.0.1:7", "REQUEST": "GET /x", "SHARE": "7%", "FACTOR": "7",
    "HOST|ALIAS=HOST|off": "a.example", "URL=FILE|URL=app": "/x=app", "CODES=FILE": "502={folder}/file",
    "FILE|off": "{folder}/file", "N[/s|/m|/h|/d]": "7/m",
    "PATH=URL": "/x=http://a.example:8000", "NAME:VALUE": "X-A: b", "auto|LIST|off": "gzip",
    "drop|refuse|dangerous": "refuse", "for,proto,host,port,forwarded": "for", "true|false": "false",
}  # fmt: skip
BY_NAME = {
    "backend": "gevent", "cgroup_cpus": "1.5", "endpoint": "ipc://{folder}/x",
    "multicast_endpoint": "udp://237.0.0.7:7", "methods": "GET", "proto": "udp", "path": "{folder}/x",
    "events": "*.reap", "routes": "/x", "secure_scheme_headers": "X-A=b", "sockets": "s", "stdin_socket": "s",
    "virtualenv": "{folder}/venv", "ws_origins": "https://a.example", "forwarder_headers": "X-A",
    "certfile": "{folder}/both.pem", "client_ca": "{folder}/site.pem",
    "client_crl": "{folder}/crl.pem",
    "keyfile": "{folder}/site.key", "tls_ciphers": "ECDHE+CHACHA20",
    "state": "{folder}/state", "keys": "{folder}/keys", "web.endpoints": "other", "web.hosts": "a.example",
    "hooks": "string", "otlp_endpoint": "http://a:1", "intervals": "other=7", "stats": "auto",
    "admin_token_file": "{folder}/token", "token_file": "{folder}/token",
    "acme_directory": "https://a.example/", "acme_fallback": "https://a.example/",
    "acme_email": "a@example.com", "acme_dns_hook": "dehydrated:/bin/true",
    "acme_root_cert": "{folder}/site.pem", "tls_storage": "{folder}/certificates",
    "tls_ticket_secret": "{folder}/secret", "compress_types": "text/x", "basic_auth": "{folder}/users",
}  # fmt: skip
# What else has to be said.
BESIDE = {
    "cache_cookies": {"cache": "7M"},
    "admin_allow": {"admin": "127.0.0.1:8"},
    "admin_token_file": {"admin": "127.0.0.1:8"},
    "admin_hosts": {"admin": "127.0.0.1:8"},
    "allow": {"bind": "127.0.0.1:8"},
    "hosts": {"bind": "127.0.0.1:8"},
    "token_file": {"bind": "127.0.0.1:8"},
    "client_ca": {"tls": "files:{folder}/both.pem"},
    "client_crl": {"tls": "files:{folder}/both.pem", "client_ca": "{folder}/both.pem"},
    "client_auth": {"tls": "files:{folder}/both.pem", "client_ca": "{folder}/both.pem"},
    "http_bind": {"tls": "files:{folder}/both.pem"},
    "keyfile": {"certfile": "{folder}/both.pem"},
    "plugin.events": {"use": "", "cmd": "x"},
    **{
        name: {"tls": "files:{folder}/both.pem"}
        for name in ("tls_min", "tls_ciphers", "tls_unknown_name", "handshake_timeout")
    },
    "tls_ticket_secret": {"tls": "files:{folder}/both.pem"},
    **{option.name: {"tls": "auto:a.example.com"} for option in ACME},
    "acme_dns_wait": {"tls": "auto:a.example.com", "acme_dns_hook": "/bin/true"},
    "acme_fallback_eab": {"tls": "auto:a.example.com", "acme_fallback": "https://b.example/"},
    "access_logformat": {"access_logfile": "-"},
    "static_fallback": {"static": "/x={folder}/more"},
    "health_check_header": {"health_check": "GET /x"},
    "check_timeout": {"check_command": "x"},
    "scale_command": {"numprocesses": "2..8"},
    "scale_interval": {"numprocesses": "2..8", "scale_command": "x"},
    **{name: {"canary_time": "7"} for name in ("canary_errors", "canary_latency", "canary_requests")},
    "copy_path": {"copy_env": "yes"},
    "flapping.active": {"max_retry": "5"},
    **{name: {"httpd": "yes"} for name in ("httpd_host", "httpd_port")},
    "hook_timeout": {"hooks.after_stop": "!true"},
    "mounted": {"sockets": "s", "routes": "/x"},
    "paste_logging": {"app": "paste:{folder}/paste.ini"},
    "proto": {"type": "SOCK_RAW"},
    "routes": {"sockets": "s"},
    "stats_endpoint": {"statsd": "yes"},
    **{
        name: {"statsd_host": "127.0.0.1:8"}
        for name in ("statsd_prefix", "statsd_dialect", "dogstatsd_tags", "enable_backlog_metric")
    },
    "virtualenv": {"copy_env": "yes"},
    "virtualenv_py_ver": {"copy_env": "yes", "virtualenv": "{folder}/venv"},
    **{name: {"bind": "unix:{folder}/x"} for name in ("bind_mode", "bind_owner", "bind_group")},
    **{f"socket.{name}": {"path": "{folder}/x"} for name in ("umask", "mode", "owner", "group", "replace")},
}
FIRST = {
    "watcher": {"cmd": "x"},
    "app": {"app": "m:a"},
    "plugin": {"use": "m.P"},
    "admin": {"bind": "127.0.0.1:9"},
    "cluster": {"folder": "/n"},
}
SECTIONS: dict[str, Sequence[Key[object] | Option[object]]] = {
    "circus": daemon_options.CIRCUS,
    "stats": stats_options.STATS,
    "admin": stats_options.ADMIN_KEYS,
    "web": web_options.WEB,
    "cluster": cluster_options.CLUSTER,
    "socket": daemon_options.SOCKET,
    "plugin": daemon_options.PLUGIN,
    "app": (*daemon_options.APP, *daemon_options.APP_OPTIONS),
    "watcher": watcher_options.WATCHER,
}
KEYS = [
    pytest.param(section, key, id=f"{section}.{key.name}")
    for section, keys in SECTIONS.items()
    for key in keys
    if not (isinstance(key, Key) and key.is_dead)
]
# The description of a site does not tell where it was read, and what becomes of the command.
OF_THE_COMMAND = ("check_config", "config", "daemon", "print_config")


def text_for(one: Key[object] | Option[object]) -> str:
    """Return a value that is not the default."""
    kind = one.takes if isinstance(one, Key) else one.metavar
    if kind in ("", "yes|no"):
        return "no" if one.default in (("yes",), ("on",)) else "yes"
    assert one.name in BY_NAME or kind in OF_KIND, f"say in OF_KIND what {kind} may be, for {one.name}"
    return BY_NAME.get(one.name, OF_KIND.get(kind, ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("described")
    for version in ("3.9", "{}.{}".format(*sys.version_info)):
        (made / f"venv/lib/python{version}/site-packages").mkdir(parents=True)
    (made / "more").mkdir()
    (made / "more/x.toml").write_text('[watcher.more]\ncmd = "x"\n')
    (made / "paste.ini").write_text("[app:main]\nuse = egg:x\n")
    (made / "file").write_text("A=1\n")
    (made / "users").write_text("ann:$2b$04$XnAXYKhmZJIJ7A16QkKoiOeUYSXT3RE/5MLsL8WPlk/V4b8oGh87.\n")
    (made / "token").write_text("a-token-of-the-tests\n")
    (made / "token").chmod(0o600)
    pair = certificates.made("localhost")
    certificates.written(made, pair)
    (made / "both.pem").write_text(pair.certificate + pair.key)
    (made / "secret").write_text("a secret of the tests, of thirty-two bytes and more\n")
    (made / "secret").chmod(0o600)
    (made / "crl.pem").write_text(certificates.revoking(pair))
    return made


def lines(section: str, said: dict[str, str]) -> Iterator[str]:
    own = {"endpoint": "ipc://{folder}/e", "pubsub_endpoint": "ipc://{folder}/p"}
    yield "[circus]"
    yield from (f'{key} = "{value}"' for key, value in (own | said if section == "circus" else own).items())
    yield '[socket.s]\nport = 0\n[watcher.other]\ncmd = "y"'
    if section != "circus":
        yield f"[{section}]" if section in ("stats", "admin", "web", "cluster") else f"[{section}.x]"
        told = FIRST.get(section, {}) | said  # "" takes the first one away
        yield from (f'{key} = "{value}"' for key, value in told.items() if value)


def described(folder: Path, section: str, said: dict[str, str]) -> DaemonSpec:
    path = folder / "x.toml"
    path.write_text("\n".join(lines(section, said)).replace("{folder}", str(folder)))
    return replace(daemon.load(str(path)), warnings=())


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_each_key_is_described(section: str, key: Key[object] | Option[object], folder: Path) -> None:
    beside = BESIDE.get(f"{section}.{key.name}", BESIDE.get(key.name, {}))
    with_it = described(folder, section, {**beside, key.name: text_for(key)})
    assert with_it != described(folder, section, beside)


@pytest.mark.parametrize(
    "option", [one for one in options.OPTIONS if one.name not in OF_THE_COMMAND], ids=lambda one: one.name
)
def test_each_option_of_serve_is_described(option: Option[object], folder: Path) -> None:
    def site(said: dict[str, str]) -> serve.ServeSpec:
        said = {name: text.replace("{folder}", str(folder)) for name, text in said.items()}
        app = said.pop("app", "" if "paste" in said else "m:a")
        layer = {name: Given((text,), name) for name, text in said.items()}
        return serve.spec(serve.configure(app, {}, layer))

    beside = BESIDE.get(option.name, {})
    assert site({**beside, option.name: text_for(option)}) != site(beside)
