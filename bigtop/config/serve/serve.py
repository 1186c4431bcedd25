# Spec of a site: what `bigtop serve` is told, as the objects that the rest of Bigtop works with.
#
# The way: table (options.py) and sources (sources.py) -> settings.resolve() -> spec() here -> launch/.
# Rule: a ServeSpec is complete; nothing below asks the environment again. All paths in it are absolute,
# counted from --chdir, since the supervisor and its workers may stand elsewhere.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from bigtop import paste
from bigtop.backends.serve_options import (
    AnswerPolicy,
    BalancerPolicy,
    Gates,
    ProxyOptions,
    ServeOptions,
    TlsPolicy,
)
from bigtop.config.gunicorn.effective import effective
from bigtop.config.serve import options as o
from bigtop.config.serve import sources
from bigtop.config.serve.settings import DEFAULT, Layer, ServeConfig
from bigtop.config.serve.specs import admin, deploys, gates, tls
from bigtop.config.serve.specs.admin import AdminSpec
from bigtop.config.serve.tls_sources import TlsSources
from bigtop.config.serve.values import values
from bigtop.emission import Emission
from bigtop.errors import ConfigError
from bigtop.hooks.spec import HookSpec
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.http.paths.time_limits import TimeLimits
from bigtop.log import STANDARD
from bigtop.record import Record, field, replace
from bigtop.sockets import SocketSpec, parse_bind
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.supervisor.policy.spec import Lifetime
from bigtop.system import accounts
from bigtop.system.files import unixpaths, workdir
from bigtop.workers.bootstrap import Identity, Logs

_OF_FILES: Final = (o.BIND_MODE, o.BIND_OWNER, o.BIND_GROUP)


class Retirement(Record):
    """When workers are replaced by themselves, or become fork servers: after how many requests, 0: never."""

    max_requests: int = 0
    max_requests_jitter: int = 0
    lifetime: Lifetime = field(default_factory=Lifetime)
    refork: int = 0


class SourceFiles(Record):
    """Whether the code is loaded anew at their changes; `extra` are files and patterns besides."""

    watched: bool = False
    extra: tuple[str, ...] = ()


class ServeSpec(Record):
    """One site, ready to be launched. Times are seconds."""

    name: str
    app: str  # "pkg.mod:attr", see loader.py
    factory: bool
    paste_logging: bool
    mounts: tuple[tuple[str, str], ...]  # further applications: path, "pkg.mod:attr"
    interface: str | None  # "wsgi", "asgi" or None: to be found out
    backend: str | None  # None: chosen by interface
    preload: str  # "auto", "on" or "off"
    binds: tuple[SocketSpec, ...]
    workers: Bounds
    retirement: Retirement
    graceful_timeout: float
    boot_timeout: float  # 0: for ever
    drain_delay: float  # 0: none
    folder: str  # from which relative names count: --chdir, or where we were started
    identity: Identity
    pidfile: str | None
    control: str  # the path of the control socket, "auto" or "off"
    stats: str  # that of the socket where figures are published, likewise
    error_logfile: str  # "-": stderr
    logs: Logs
    options: ServeOptions
    sources: SourceFiles
    deploy: DeployPolicy = DeployPolicy()
    remarks: tuple[str, ...] = ()  # what the log says first
    hooks: HookSpec = HookSpec()
    app_metrics: str = "auto"  # whether those of prometheus_client are added up; "auto": with several workers
    admin: AdminSpec | None = None  # None: there is no such listener
    tls: TlsSources = TlsSources()
    statsd: Emission | None = None  # None: figures are sent nowhere
    otlp: str | None = None  # where metrics are sent over OTLP

    @property
    def has_helpers(self) -> bool:
        """Whether there are to be processes beside the application."""
        return self.has_statistics or self.tls.acme is not None

    @property
    def has_statistics(self) -> bool:
        """Whether there is to be a stats process."""
        return self.stats != "off" or self.has_early_helpers

    @property
    def has_early_helpers(self) -> bool:
        """Whether the stats process is to be there before the application: it is asked how the start goes, or
        counts all."""
        return self.admin is not None or self.statsd is not None or self.otlp is not None


def configure(app: str, environ: Mapping[str, str], last: Layer, *, by_itself: bool = False) -> ServeConfig:
    """Resolve all options, as sources.py gathers them.

    The application may be "" where --paste or a file names one; it is still "" in the answer where none did.
    """
    return sources.gather(app, environ, last, by_itself=by_itself).read()


def spec(config: ServeConfig) -> ServeSpec:
    """Turn checked options into what is to be launched; ConfigError for those that exclude each other."""
    base = config[o.CHDIR] or workdir.current()
    pidfile = config[o.PID]
    statsd, remarks = _statsd(config, base)
    _check_timeout_action(config)
    return ServeSpec(
        name=config[o.NAME] or site_name(config.app),
        app=config.app,
        factory=config[o.FACTORY],
        paste_logging=_paste_logging(config),
        mounts=config[o.MOUNT],
        interface=_unless_auto(config[o.INTERFACE]),
        backend=_unless_auto(config[o.BACKEND]),
        preload=config[o.PRELOAD],
        binds=_binds(config, base),
        workers=config[o.WORKERS],
        retirement=_retirement(config),
        graceful_timeout=config[o.GRACEFUL_TIMEOUT],
        boot_timeout=config[o.BOOT_TIMEOUT],
        drain_delay=config[o.DRAIN_DELAY],
        folder=base,
        identity=_identity(config, base),
        pidfile=pidfile and os.path.join(base, pidfile),
        control=_unless_word(base, config[o.CONTROL]),
        stats=_unless_word(base, config[o.STATS]),
        error_logfile=_log(base, config[o.ERROR_LOGFILE]),
        logs=_logs(config, base),
        options=_options(config, base),
        sources=SourceFiles(config[o.RELOAD], _normal(_joined(base, config[o.RELOAD_EXTRA_FILE]))),
        deploy=deploys.policy(config, "https" if _encrypts(config) else "http"),
        remarks=(*config.remarks, *remarks),
        hooks=_hooks(config),
        app_metrics=config[o.APP_METRICS],
        admin=_admin(config, base),
        tls=tls.sources(config, base),
        statsd=statsd,
        otlp=config[o.OTLP_ENDPOINT],
    )


def _check_timeout_action(config: ServeConfig) -> None:
    """ConfigError: steps are asked for, and no request has a limit."""
    given = config.settings[o.TIMEOUT_ACTION.name].given
    if given.origin != DEFAULT and not TimeLimits(config[o.TIMEOUT], config[o.TIMEOUT_FOR]):
        raise ConfigError(
            f"{given.origin}: does nothing without a limit: {o.TIMEOUT.flag} is 0, and so is each "
            f"{o.TIMEOUT_FOR.flag}"
        )


def _admin(config: ServeConfig, base: str) -> AdminSpec | None:
    where = config[o.ADMIN]
    if where is None:
        for option in (o.ADMIN_TOKEN_FILE, o.ADMIN_ALLOW, o.ADMIN_HOSTS):
            if config[option]:
                origin = config.settings[option.name].given.origin
                raise ConfigError(f"{origin}: does nothing without {o.ADMIN.flag}")
        return None
    try:
        return admin.spec(
            where, config[o.ADMIN_TOKEN_FILE], config[o.ADMIN_ALLOW], config[o.ADMIN_HOSTS], base
        )
    except ConfigError as error:
        raise ConfigError(f"{config.settings[o.ADMIN.name].given.origin}: {error}") from None


def _statsd(config: ServeConfig, base: str) -> tuple[Emission | None, list[str]]:
    """Return where figures are sent, and what is to be said about it: files of gunicorn often hold a prefix
    for wherever there is a host."""
    address = config[o.STATSD_HOST]
    if address is None:
        others = (o.STATSD_PREFIX, o.DOGSTATSD_TAGS, o.ENABLE_BACKLOG_METRIC)
        return None, [
            f"{config.settings[option.name].given.origin}: does nothing without {o.STATSD_HOST.flag}"
            for option in others
            if config[option]
        ]
    if isinstance(address, str):
        address = unixpaths.absolute(address, base)
    prefix, tags = config[o.STATSD_PREFIX], config[o.DOGSTATSD_TAGS]
    return Emission(address, prefix, tags, backlog=config[o.ENABLE_BACKLOG_METRIC]), []


def site_name(app: str) -> str:
    """Return the top package of "pkg.mod:attr", or the file's name without its ending for a path."""
    if paste.is_named(app):
        return _stem(app.removeprefix("paste:").partition("#")[0])
    module = app.partition(":")[0]
    if "/" in module or module.endswith(".py"):
        return _stem(module)
    return module.partition(".")[0]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path.rstrip("/")))[0]


def _paste_logging(config: ServeConfig) -> bool:
    file, wanted = config[o.PASTE], config[o.PASTE_LOGGING]
    if file is not None and config.app != f"paste:{file}":
        origin = config.settings[o.PASTE.name].given.origin
        raise ConfigError(f"{origin}: {config.app} is an application already; give one of them")
    if wanted and not paste.is_named(config.app):
        origin = config.settings[o.PASTE_LOGGING.name].given.origin
        raise ConfigError(f"{origin}: {config.app} is not of a PasteDeploy file; name it as paste:FILE")
    return wanted


def _unless_auto(text: str) -> str | None:
    return None if text == "auto" else text


def _retirement(config: ServeConfig) -> Retirement:
    lifetime = Lifetime(
        max_age=config[o.MAX_AGE],
        max_age_variance=config[o.MAX_AGE_VARIANCE],
        max_pss=config[o.MAX_MEMORY],
    )
    return Retirement(config[o.MAX_REQUESTS], config[o.MAX_REQUESTS_JITTER], lifetime, config[o.REFORK])


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
    encrypted = _encrypts(config)
    for text in config.texts(o.BIND):
        bind = parse_bind(text, backlog=config[o.BACKLOG], reuse_port=config[o.REUSE_PORT])
        bind = replace(bind, tls=encrypted)
        binds.append(
            bind if bind.path is None else _with_file(config, bind, unixpaths.absolute(bind.path, base))
        )
    for bind in config[o.HTTP_BIND]:
        if not encrypted:
            origin = config.settings[o.HTTP_BIND.name].given.origin
            raise ConfigError(f"{origin}: does nothing without {o.TLS.flag}: --bind listens without TLS, too")
        binds.append(replace(bind, backlog=config[o.BACKLOG], reuse_port=config[o.REUSE_PORT]))
    if not any(bind.mode is not None for bind in binds):
        for option in _OF_FILES:
            if config[option] is not None:
                origin = config.settings[option.name].given.origin
                raise ConfigError(f"{origin}: is for unix sockets, and --bind names none that is a file")
    return tuple(binds)


def _encrypts(config: ServeConfig) -> bool:
    """Whether sockets speak TLS."""
    return bool(config[o.TLS] or config[o.CERTFILE])


def _with_file(config: ServeConfig, bind: SocketSpec, path: str) -> SocketSpec:
    """Give a unix socket to who serves, as gunicorn does: what may connect is for the umask to say."""
    if unixpaths.is_abstract(path):
        return replace(bind, path=path)
    mode = config[o.BIND_MODE]
    group: str | int | None = config[o.BIND_GROUP]
    if group is None:
        with suppress(LookupError):  # told where it is looked whether all of this can be had
            group = accounts.account(config[o.USER], config[o.GROUP], o.GROUP.flag).gid
    return replace(
        bind,
        path=path,
        mode=0o777 & ~(config[o.UMASK] or 0) if mode is None else mode,
        owner=config[o.BIND_OWNER] or config[o.USER],
        group=group,
    )


def _identity(config: ServeConfig, base: str) -> Identity:
    return Identity(
        user=config[o.USER],
        group=config[o.GROUP],
        umask=config[o.UMASK],
        chdir=config[o.CHDIR],
        pythonpath=_joined(base, config[o.PYTHONPATH]),
        environ=config[o.ENV],
    )


def _logs(config: ServeConfig, base: str) -> Logs:
    access = config[o.ACCESS_LOGFILE]
    return Logs(
        config[o.LOG_LEVEL],
        config[o.LOG_JSON],
        access and _log(base, access),
        config[o.LOG_TIME_ZONE],
        config[o.CAPTURE_OUTPUT],
    )


def _options(config: ServeConfig, base: str) -> ServeOptions:
    """Return what each option with a `field` sets, and what depends on more than one option."""
    fields: dict[str, Any] = {option.field: config[option] for option in o.OPTIONS if option.field}
    for name in ("limits.request_line", "limits.fields", "limits.field_size"):
        # Where there is no limit, that of the whole head is one.
        fields[name] = fields[name] or config[o.LIMIT_REQUEST_HEAD]
    if _encrypts(config) and config.settings[o.FORWARDED_ALLOW_IPS.name].given.origin == DEFAULT:
        fields["forwarded_allow_ips"] = ()  # clients come by themselves, also those on this machine
    if fields["answers.cache_cookies"] and config.settings[o.CACHE.name].given.origin == DEFAULT:
        place = config.settings[o.CACHE_COOKIES.name].given.origin
        raise ConfigError(f"{place}: means nothing without {o.CACHE.flag}")
    fields["root_path"] = _root_path(config)
    fields["static"] = gates.static(config, base)
    fields["sendfile_roots"] = gates.mounts(config, o.SENDFILE_ROOT, base)
    if config[o.ACCESS_LOGFILE]:
        fields["access_format"] = "json" if config[o.LOG_JSON] else _access_format(config)
    return ServeOptions(
        limits=Limits(http2=Http2Limits(**_below("limits.http2.", fields)), **_below("limits.", fields)),
        websocket=WebSocketLimits(**_below("websocket.", fields)),
        tls=TlsPolicy(**_below("tls.", fields)),
        gates=gates.checked(config, base, Gates(**_below("gates.", fields))),
        answers=AnswerPolicy(**_below("answers.", fields)),
        proxy=ProxyOptions(**_below("proxy.", fields)),
        balancers=BalancerPolicy(**_below("balancers.", fields)),
        **fields,
    )


def _below(prefix: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a record inside the options out of `fields`."""
    return {name.removeprefix(prefix): fields.pop(name) for name in list(fields) if name.startswith(prefix)}


def _hooks(config: ServeConfig) -> HookSpec:
    found = [one for one in (config.file, config.hooks) if one is not None]
    if not (found or _has_logger(config)):
        return HookSpec()
    names = {name: None for one in found for name in one.hooks}
    return HookSpec(tuple(one.location for one in found), tuple(names), effective(config))


def _has_logger(config: ServeConfig) -> bool:
    """Whether gunicorn's loggers are told what to do."""
    by_file = config.file is not None and config.file.values.get("logconfig_dict")
    return bool(by_file or config[o.LOGGER_CLASS] or config[o.LOG_CONFIG] or config[o.LOG_CONFIG_JSON])


def _access_format(config: ServeConfig) -> str:
    text = config[o.ACCESS_LOGFORMAT]
    if text == o.ACCESS_FORMAT:
        return text
    from bigtop.config.serve.values import access_formats  # with all of HTTP, for those who give one

    origin = config.settings[o.ACCESS_LOGFORMAT.name].given.origin
    return access_formats.checked(text, origin, has_logger=_has_logger(config))


def _root_path(config: ServeConfig) -> str:
    """Return where the application is mounted. As with gunicorn, $SCRIPT_NAME of its own environment says so
    where nothing else does."""
    variable = dict(config[o.ENV]).get("SCRIPT_NAME")
    origin = config.settings[o.ROOT_PATH.name].given.origin
    if variable is None or origin not in (DEFAULT, "$SCRIPT_NAME"):
        return config[o.ROOT_PATH]
    try:
        return values.mount_point(variable)
    except ValueError as error:
        origin = config.settings[o.ENV.name].given.origin
        raise ConfigError(f"{origin}: SCRIPT_NAME: {error}") from None
