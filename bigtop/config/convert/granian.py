# A command line of granian's as a site: every flag of granian 2.8, and what becomes of it.
#
# tests/config/test_convert_servers.py compares the names with granian's own.

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bigtop.config.convert import flagline
from bigtop.config.convert.site import SiteDraft
from bigtop.config.gunicorn.setting import Refused, SetAside, Setting, Taken
from bigtop.config.gunicorn.values import count, small, word
from bigtop.config.serve import options as o

_HTTP2: Final = SetAside("the limits of HTTP/2 are Bigtop's own")
_METRICS: Final = Refused(
    "`bigtop serve --admin HOST:PORT` and a section [admin] of `bigtop run` answer /metrics"
)
_RELOAD: Final = Refused("`bigtop serve --reload` is for development")
_INSIDE: Final = SetAside("it is of granian's inside")
_RSGI: Final = "RSGI is not spoken; the application has to be one for ASGI or WSGI"


def _interface(given: object) -> object:
    if given == "rsgi":
        raise ValueError(_RSGI)
    return "asgi" if given == "asginl" else given


def _tls_version(given: object) -> object:
    return given.removeprefix("tls") if isinstance(given, str) else given


def _seconds(given: object) -> object:
    """Milliseconds as seconds."""
    if not isinstance(given, str) or not re.fullmatch(r"[0-9]{1,12}", given):
        raise ValueError("is no number of milliseconds")
    return f"{int(given) / 1000:f}".rstrip("0").rstrip(".")


def _megabytes(given: object) -> object:
    return f"{given}M"


def _http1_only(given: object) -> object:
    """The version that is spoken, or auto."""
    return "on" if given == "1" else "off"


def _level(given: object) -> object:
    return {"notset": "debug", "warn": "warning"}.get(str(given).lower(), given)


def _one_list(given: object) -> object:
    if isinstance(given, list):
        if len(given) > 1:
            raise ValueError("is more than one file: client_crl takes one, with all lists behind each other")
        return given[0]
    return given


def _on_disk(_given: object) -> object:
    return "-"


def _never(_given: object) -> object:
    return "0"


def _flag(
    name: str, fate: Taken | Refused | SetAside, default: object = None, takes: str = "VALUE"
) -> Setting:
    return Setting(name, fate, (f"--{name.replace('_', '-')}",), default, takes)


def _switch(name: str, fate: Taken | Refused | SetAside) -> Setting:
    return _flag(name, fate, takes="")


_ROWS: Final = (
    _flag("host", SetAside("")),  # together with the port, below
    _flag("port", SetAside("")),
    _flag("uds", SetAside("")),
    _flag("uds_permissions", Taken(o.BIND_MODE)),
    _flag("interface", Taken(o.INTERFACE, _interface)),
    _flag("http", Taken(o.HTTP1_ONLY, _http1_only), "auto"),
    _switch("ws", SetAside("WebSockets are always spoken")),
    _switch("no_ws", Refused("there is no way to turn WebSockets off")),
    _flag("workers", Taken(o.WORKERS, count)),
    _flag("blocking_threads", Taken(o.THREADS, count)),
    _flag("blocking_threads_idle_timeout", _INSIDE),
    _flag("runtime_threads", _INSIDE),
    _flag("runtime_blocking_threads", _INSIDE),
    _flag("runtime_mode", _INSIDE),
    _flag("loop", Taken(o.LOOP, small)),
    _flag("task_impl", _INSIDE),
    _flag("backlog", Taken(o.BACKLOG, count)),
    _flag(
        "backpressure",
        Refused("worker_connections limits what a worker accepts, limit_concurrency what it runs"),
    ),
    _flag("http1_buffer_size", Refused("limit_request_head is the limit of request heads")),
    _flag("http1_header_read_timeout", Taken(o.HEADER_TIMEOUT, _seconds)),
    _switch("http1_keep_alive", SetAside("connections are kept anyway")),
    _switch("no_http1_keep_alive", Taken(o.KEEP_ALIVE, _never)),
    _switch("http1_pipeline_flush", _INSIDE),
    _switch("no_http1_pipeline_flush", _INSIDE),
    _switch("http2_adaptive_window", _HTTP2),
    _switch("no_http2_adaptive_window", _HTTP2),
    _flag("http2_max_concurrent_streams", Taken(o.HTTP2_MAX_CONCURRENT_STREAMS, count)),
    *(
        _flag(f"http2_{name}", _HTTP2)
        for name in (
            *("initial_connection_window_size", "initial_stream_window_size", "keep_alive_interval"),
            *("keep_alive_timeout", "max_frame_size", "max_headers_size", "max_send_buffer_size"),
        )
    ),
    _switch("log", SetAside("there is always a log")),
    _switch("no_log", Refused('there is always a log; logoutput = "/dev/null" of [circus] throws it away')),
    _flag("log_level", Taken(o.LOG_LEVEL, _level)),
    _flag("log_config", Refused("use log_level and log_json, and set the application's loggers up there")),
    _switch("access_log", Taken(o.ACCESS_LOGFILE, _on_disk)),
    _switch("no_access_log", SetAside("there is none unless access_logfile asks for one")),
    _flag("access_log_fmt", Refused("access_logformat has gunicorn's atoms, not granian's")),
    _flag("ssl_certificate", Taken(o.CERTFILE)),
    _flag("ssl_keyfile", Taken(o.KEYFILE)),
    _flag("ssl_keyfile_password", Refused("take the password off the key: openssl pkey -in KEY -out PLAIN")),
    _flag("ssl_protocol_min", Taken(o.TLS_MIN, _tls_version)),
    _flag("ssl_ca", Taken(o.CLIENT_CA)),
    _flag("ssl_crl", Taken(o.CLIENT_CRL, _one_list), []),
    _switch("ssl_client_verify", SetAside("client_auth says that, beside client_ca")),
    _switch("no_ssl_client_verify", SetAside("client_auth says that, beside client_ca")),
    _flag("url_path_prefix", Taken(o.ROOT_PATH)),
    _switch("respawn_failed_workers", SetAside("workers that died are always replaced")),
    _switch("no_respawn_failed_workers", Refused("workers that died are always replaced")),
    _flag("respawn_interval", SetAside("a reload waits for each new worker to be ready, not for a time")),
    _flag("rss_sample_interval", SetAside("max_memory is looked at every five seconds")),
    _flag("rss_samples", SetAside("max_memory is looked at every five seconds, and counts at once")),
    _flag("workers_lifetime", Taken(o.MAX_AGE)),
    _flag("workers_max_rss", Taken(o.MAX_MEMORY, _megabytes)),
    _flag("workers_kill_timeout", Taken(o.GRACEFUL_TIMEOUT, count)),
    _switch("factory", Taken(o.FACTORY)),
    _switch("no_factory", SetAside("APP is the application itself unless factory says otherwise")),
    _flag("working_dir", Taken(o.CHDIR)),
    _flag("env_files", SetAside(""), []),  # below
    _flag("static_path_route", SetAside(""), []),  # below
    _flag("static_path_mount", SetAside(""), []),
    _flag(
        "static_path_dir_to_file", Refused("there are no index pages; let the application answer for them")
    ),
    _flag("static_path_expires", SetAside("names with a hash are kept for a year, all others are asked for")),
    _switch("metrics", _METRICS),
    _switch("no_metrics", SetAside("there are none")),
    *(_flag(f"metrics_{name}", _METRICS) for name in ("scrape_interval", "address", "port")),
    _switch("reload", _RELOAD),
    _switch("no_reload", SetAside("`bigtop run` watches no source files")),
    *(
        _flag(f"reload_{name}", _RELOAD, [])
        for name in ("paths", "ignore_dirs", "ignore_patterns", "ignore_paths")
    ),
    _flag("reload_tick", _RELOAD),
    _switch("reload_ignore_worker_failure", _RELOAD),
    _switch("no_reload_ignore_worker_failure", SetAside("`bigtop run` watches no source files")),
    _flag("process_name", Taken(o.NAME, word)),
    _flag("pid_file", Taken(o.PID)),
)
FLAGS: Final = {row.name: row for row in _ROWS}
_TOGETHER: Final = ("host", "port", "uds", "static_path_route", "static_path_mount", "env_files")


def from_command(site: SiteDraft, argv: Sequence[str], place: str) -> None:
    """Add what a command line says; ConfigError names `place` for what is no flag of granian's."""
    values, said, site.app = flagline.parsed(FLAGS, argv, place)
    alone = {name: value for name, value in values.items() if name not in _TOGETHER}
    if values.get("interface") != "wsgi" and (threads := alone.pop("blocking_threads", None)) is not None:
        site.needs_not(f"--blocking-threads {threads}", "one thread runs all calls of an ASGI application")
    _bind(site, values)
    site.apply(FLAGS, alone, said)
    match values.get("interface", "rsgi"):
        case "asginl":
            site.put(o.LIFESPAN, "off", "--interface asginl")
        case "wsgi":
            site.put(o.TIMEOUT, 0, "no limit")
            site.notes.append("granian has no time limit for calls; timeout = 30 has hung workers replaced.")
        case "rsgi" if "interface" not in values:
            site.lacks("--interface rsgi, which is granian's default", _RSGI)
    _static(site, values)
    files = values.get("env_files", [])
    assert isinstance(files, list)
    for path in files[:1]:
        site.env_file = path
    for path in files[1:]:
        site.lacks(f"--env-files {path}", "an application has one env_file")


def _bind(site: SiteDraft, values: dict[str, object]) -> None:
    host, port = str(values.get("host", "127.0.0.1")), values.get("port", "8000")
    said = f"--host {host} --port {port}"
    if "uds" in values:
        site.put(o.BIND, f"unix:{values['uds']}", f"--uds {values['uds']}")
        if "host" in values or "port" in values:
            site.needs_not(said, "granian has one address, that of --uds")
    else:
        site.put(o.BIND, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", said)


def _static(site: SiteDraft, values: dict[str, object]) -> None:
    routes, folders = values.get("static_path_route", []), values.get("static_path_mount", [])
    assert isinstance(routes, list)
    assert isinstance(folders, list)
    for number, folder in enumerate(folders):
        route = routes[number] if number < len(routes) else "/static"
        if "=" in route:
            site.lacks(f"--static-path-route {route}", "what is before the first = is the path")
        else:
            site.put(o.STATIC, f"{route}={folder}", f"--static-path-mount {folder}")
