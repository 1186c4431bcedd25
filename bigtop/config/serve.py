# What `bigtop serve` is told, as the objects that the rest of Bigtop works with.
#
# The way: table (options.py) and sources (environment.py, flags.py, arguments.py) -> settings.resolve() ->
# spec() here -> launch/. Rule: a ServeSpec is complete; nothing below asks the environment again. All paths
# in it are absolute, counted from --chdir, since the supervisor and its workers may stand elsewhere.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from bigtop.backends.base import ServeOptions
from bigtop.config import edge, environment
from bigtop.config import options as o
from bigtop.config import options_asgi as a
from bigtop.config import options_process as p
from bigtop.config import traffic as t
from bigtop.config.option import Option
from bigtop.config.settings import Layer, ServeConfig, resolve
from bigtop.errors import ConfigError
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.http.static import Mount
from bigtop.log import STANDARD
from bigtop.sockets import SocketSpec, parse_bind
from bigtop.workers.bootstrap import Identity, Logs


@dataclass(frozen=True, slots=True)
class ServeSpec:
    """One site, ready to be launched. Times are seconds."""

    name: str
    app: str  # "pkg.mod:attr", see loader.py
    factory: bool
    mounts: tuple[tuple[str, str], ...]  # further applications: path, "pkg.mod:attr"
    interface: str | None  # "wsgi", "asgi" or None: to be found out
    backend: str | None  # None: chosen by interface
    preload: str  # "auto", "on" or "off"
    binds: tuple[SocketSpec, ...]
    workers: int
    max_requests: int  # 0: never
    max_requests_jitter: int
    graceful_timeout: float
    boot_timeout: float  # 0: for ever
    identity: Identity
    pidfile: str | None
    control: str  # the path of the control socket, "auto" or "off"
    error_logfile: str  # "-": stderr
    logs: Logs
    options: ServeOptions
    reload: bool
    reload_extra_files: tuple[str, ...]  # paths and glob patterns


def configure(app: str, environ: Mapping[str, str], last: Layer) -> ServeConfig:
    """Resolve all options; `last`, the command line or the arguments of a call, wins over `environ`."""
    return resolve(app, o.OPTIONS, [*environment.layers(environ), last])


def spec(config: ServeConfig) -> ServeSpec:
    """Turn checked options into what is to be launched; ConfigError for those that exclude each other."""
    base = config[o.CHDIR] or os.getcwd()
    pidfile = config[p.PID]
    return ServeSpec(
        name=config[p.NAME] or site_name(config.app),
        app=config.app,
        factory=config[o.FACTORY],
        mounts=config[edge.MOUNT],
        interface=_unless_auto(config[o.INTERFACE]),
        backend=_unless_auto(config[o.BACKEND]),
        preload=config[o.PRELOAD],
        binds=_binds(config, base),
        workers=config[o.WORKERS],
        max_requests=config[o.MAX_REQUESTS],
        max_requests_jitter=config[o.MAX_REQUESTS_JITTER],
        graceful_timeout=config[o.GRACEFUL_TIMEOUT],
        boot_timeout=config[o.BOOT_TIMEOUT],
        identity=_identity(config, base),
        pidfile=pidfile and os.path.join(base, pidfile),
        control=_unless_word(base, config[p.CONTROL]),
        error_logfile=_log(base, config[o.ERROR_LOGFILE]),
        logs=_logs(config, base),
        options=_options(config, base),
        reload=config[o.RELOAD],
        reload_extra_files=_normal(_joined(base, config[o.RELOAD_EXTRA_FILE])),
    )


def site_name(app: str) -> str:
    """Return the top package of "pkg.mod:attr", or the file's name without .py for a path."""
    module = app.partition(":")[0]
    if "/" in module or module.endswith(".py"):
        return PurePath(module).stem
    return module.partition(".")[0]


def _unless_auto(text: str) -> str | None:
    return None if text == "auto" else text


def _unless_word(base: str, place: str) -> str:
    return place if place in ("auto", "off") else os.path.join(base, place)


def _joined(base: str, paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(os.path.join(base, path) for path in paths)


def _normal(paths: Sequence[str]) -> tuple[str, ...]:
    """Return `paths` without "." and "..", as files are named that change."""
    return tuple(map(os.path.normpath, paths))


def _log(base: str, path: str) -> str:
    return path if path == STANDARD else os.path.join(base, path)


def _binds(config: ServeConfig, base: str) -> tuple[SocketSpec, ...]:
    binds = []
    for text in config.texts(o.BIND):
        bind = parse_bind(text, backlog=config[o.BACKLOG], reuse_port=config[o.REUSE_PORT])
        binds.append(bind if bind.path is None else replace(bind, path=os.path.join(base, bind.path)))
    return tuple(binds)


def _identity(config: ServeConfig, base: str) -> Identity:
    return Identity(
        user=config[p.USER],
        group=config[p.GROUP],
        umask=config[p.UMASK],
        chdir=config[o.CHDIR],
        pythonpath=_joined(base, config[o.PYTHONPATH]),
        environ=config[o.ENV],
    )


def _logs(config: ServeConfig, base: str) -> Logs:
    access = config[o.ACCESS_LOGFILE]
    return Logs(config[o.LOG_LEVEL], config[o.LOG_JSON], access and _log(base, access))


def _options(config: ServeConfig, base: str) -> ServeOptions:
    return ServeOptions(
        threads=config[o.THREADS],
        main_thread=config[t.MAIN_THREAD],
        switch_interval=config[t.SWITCH_INTERVAL],
        worker_connections=config[t.WORKER_CONNECTIONS],
        address_connections=config[t.LIMIT_ADDRESS_CONNECTIONS],
        address_rate=config[t.LIMIT_ADDRESS_RATE],
        limits=_limits(config),
        server_header=config[p.SERVER_HEADER],
        forwarded_allow_ips=config[edge.FORWARDED_ALLOW_IPS],
        forwarded_headers=config[edge.FORWARDED_HEADERS],
        proxy_protocol=config[edge.PROXY_PROTOCOL],
        proxy_allow_ips=config[edge.PROXY_ALLOW_IPS],
        static=_mounts(config, edge.STATIC, base),
        sendfile_roots=_mounts(config, edge.SENDFILE_ROOT, base),
        stream_bodies=config[t.STREAM_BODIES],
        temp_dir=config[o.TEMP_DIR],
        access_format=config[o.ACCESS_LOGFORMAT] if config[o.ACCESS_LOGFILE] else "",
        access_json=config[o.LOG_JSON],
        timeout=config[o.TIMEOUT],
        monkey=config[t.MONKEY],
        loop=config[a.LOOP],
        lifespan=config[a.LIFESPAN],
        root_path=config[a.ROOT_PATH],
        limit_concurrency=config[a.LIMIT_CONCURRENCY],
        slow_callback=config[a.SLOW_CALLBACK],
        websocket=WebSocketLimits(
            message=config[a.WS_MAX_SIZE],
            queue=config[a.WS_MAX_QUEUE],
            ping_interval=config[a.WS_PING_INTERVAL],
            ping_timeout=config[a.WS_PING_TIMEOUT],
            deflate=config[a.WS_PER_MESSAGE_DEFLATE],
            origins=config[a.WS_ORIGINS],
        ),
    )


def _mounts(config: ServeConfig, option: Option[tuple[Mount, ...]], base: str) -> tuple[Mount, ...]:
    mounts = [Mount(mount.prefix, os.path.join(base, mount.folder)) for mount in config[option]]
    for mount in mounts:
        if not os.path.isdir(mount.folder):
            origin = config.settings[option.name].given.origin
            raise ConfigError(f"{origin}: there is no directory {mount.folder}")
    return tuple(mounts)


def _limits(config: ServeConfig) -> Limits:
    return Limits(
        request_line=config[o.LIMIT_REQUEST_LINE],
        fields=config[o.LIMIT_REQUEST_FIELDS],
        field_size=config[o.LIMIT_REQUEST_FIELD_SIZE],
        head=config[o.LIMIT_REQUEST_HEAD],
        body=config[o.LIMIT_REQUEST_BODY],
        header_timeout=config[o.HEADER_TIMEOUT],
        body_timeout=config[o.BODY_TIMEOUT],
        send_timeout=config[o.SEND_TIMEOUT],
        header_rate=config[t.MIN_HEADER_RATE],
        body_rate=config[t.MIN_BODY_RATE],
        send_rate=config[t.MIN_SEND_RATE],
        keep_alive=config[o.KEEP_ALIVE],
        send_file=config[t.MAX_BUFFERED],
    )
