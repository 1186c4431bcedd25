# Settings of gunicorn 27, each once, and what becomes of it.
#
# From this table come the meaning of a gunicorn.conf.py, of gunicorn's flags and of $GUNICORN_CMD_ARGS, and
# docs/reference/gunicorn.md. Rule: nothing that somebody wrote is ignored in silence. A setting is taken, is
# refused with what to do instead, or is set aside with a warning that says why.
# tests/config/test_gunicorn.py compares the names, flags and defaults with gunicorn's own.

from __future__ import annotations

from typing import Final

from bigtop.config.gunicorn import hooks, values
from bigtop.config.gunicorn.setting import AppName, ByApplication, Refused, SetAside, Setting, Taken
from bigtop.config.serve import options as o

_TLS: Final = Refused("it is code that makes a context; --tls and the options beside it say what can be had")
_EOFS: Final = Refused("a client that ends without saying so has ended, for an application as well")
_HTTP2: Final = SetAside("the limits of HTTP/2 are Bigtop's own")
_SYSLOG: Final = Refused("logs go to files and to stderr, which systemd's journal and containers collect")
_DIRTY: Final = Refused("there are no dirty arbiters; run such work beside the site with `bigtop run`")
_STRICT: Final = Refused("requests that bend HTTP are refused; let a proxy in front straighten them")

_APPLICATION: Final = (
    Setting("config", Taken(o.CONFIG), ("-c", "--config"), "./gunicorn.conf.py"),
    Setting("wsgi_app", AppName()),
    Setting("chdir", Taken(o.CHDIR), ("--chdir",)),
    Setting("raw_env", Taken(o.ENV), ("-e", "--env"), []),
    Setting("pythonpath", Taken(o.PYTHONPATH), ("--pythonpath",)),
    Setting("paste", Taken(o.PASTE), ("--paste", "--paster")),
    Setting(
        "raw_paste_global_conf",
        Refused("write such variables into [DEFAULT] of the PasteDeploy file"),
        ("--paste-global",),
        [],
    ),
    Setting("root_path", Taken(o.ROOT_PATH), ("--root-path",), ""),
)
_SOCKETS: Final = (
    Setting("bind", Taken(o.BIND, values.bind), ("-b", "--bind"), ["127.0.0.1:8000"]),
    Setting("backlog", Taken(o.BACKLOG, values.count), ("--backlog",), 2048),
    Setting("reuse_port", Taken(o.REUSE_PORT), ("--reuse-port",), False, ""),
    Setting(
        "secure_scheme_headers",
        Taken(o.SECURE_SCHEME_HEADERS),
        default={"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
    ),
    Setting("forwarded_allow_ips", Taken(o.FORWARDED_ALLOW_IPS), ("--forwarded-allow-ips",), "127.0.0.1,::1"),
    Setting(
        "forwarder_headers", Taken(o.FORWARDER_HEADERS), ("--forwarder-headers",), "SCRIPT_NAME,PATH_INFO"
    ),
    Setting("header_map", Taken(o.HEADER_MAP), ("--header-map",), "drop"),
    Setting("proxy_protocol", Taken(o.PROXY_PROTOCOL, values.protocol), ("--proxy-protocol",), "off"),
    Setting("proxy_allow_ips", Taken(o.PROXY_ALLOW_IPS), ("--proxy-allow-from",), "127.0.0.1,::1"),
    Setting(
        "protocol",
        Refused("only HTTP is spoken; have nginx say proxy_pass instead of uwsgi_pass"),
        ("--protocol",),
        "http",
    ),
    Setting(
        "uwsgi_allow_ips",
        SetAside("only HTTP is spoken"),
        ("--uwsgi-allow-from",),
        "127.0.0.1,::1",
    ),
)
_WORKERS: Final = (
    Setting("workers", Taken(o.WORKERS, values.count), ("-w", "--workers"), 1),
    Setting("worker_class", Taken(o.BACKEND, values.worker_class), ("-k", "--worker-class"), "sync"),
    Setting("threads", Taken(o.THREADS, values.count), ("--threads",), 1),
    Setting("worker_connections", Taken(o.WORKER_CONNECTIONS, values.count), ("--worker-connections",), 1000),
    Setting("max_requests", Taken(o.MAX_REQUESTS, values.count), ("--max-requests",), 0),
    Setting("max_requests_jitter", Taken(o.MAX_REQUESTS_JITTER, values.count), ("--max-requests-jitter",), 0),
    Setting("timeout", Taken(o.TIMEOUT, values.count), ("-t", "--timeout"), 30),
    Setting("graceful_timeout", Taken(o.GRACEFUL_TIMEOUT, values.count), ("--graceful-timeout",), 30),
    Setting("keepalive", Taken(o.KEEP_ALIVE, values.count), ("--keep-alive",), 2),
    Setting("preload_app", Taken(o.PRELOAD), ("--preload",), False, ""),
    Setting("asgi_loop", Taken(o.LOOP, values.small), ("--asgi-loop",), "auto"),
    Setting("asgi_lifespan", Taken(o.LIFESPAN, values.small), ("--asgi-lifespan",), "auto"),
    Setting(
        "asgi_disconnect_grace_period",
        SetAside("an application hears that its client has left, and is given the time that it takes"),
        ("--asgi-disconnect-grace-period",),
        3,
    ),
    Setting(
        "websocket_max_message_size",
        Taken(o.WS_MAX_SIZE, values.count),
        ("--websocket-max-message-size",),
        16777216,
    ),
    Setting("http_parser", SetAside("there is one parser"), ("--http-parser",), "auto"),
)
_MECHANICS: Final = (
    Setting(
        "sendfile",
        SetAside("sendfile(2) is used for what an application gives as wsgi.file_wrapper, and has no switch"),
        ("--no-sendfile",),
        None,
        "",
        switched=False,
    ),
    Setting("daemon", Taken(o.DAEMON), ("-D", "--daemon"), False, ""),
    Setting("pidfile", Taken(o.PID), ("-p", "--pid")),
    Setting(
        "worker_tmp_dir",
        SetAside("workers show that they live in shared memory, and in no file"),
        ("--worker-tmp-dir",),
    ),
    Setting("user", Taken(o.USER), ("-u", "--user")),
    Setting("group", Taken(o.GROUP), ("-g", "--group")),
    Setting("umask", Taken(o.UMASK, values.mask), ("-m", "--umask"), 0),
    Setting(
        "initgroups",
        SetAside("workers have all groups of --user anyway"),
        ("--initgroups",),
        False,
        "",
    ),
    Setting("tmp_upload_dir", Taken(o.TEMP_DIR)),
    Setting("proc_name", Taken(o.NAME, values.word), ("-n", "--name")),
    Setting(
        "default_proc_name", SetAside("a site without a name has that of its application"), (), "gunicorn"
    ),
    Setting("control_socket", Taken(o.CONTROL), ("--control-socket",)),
    Setting(
        "control_socket_mode",
        SetAside("the control socket is for one user alone: its mode is 600"),
        ("--control-socket-mode",),
        0o600,
    ),
    Setting(
        "control_socket_disable",
        Taken(o.CONTROL, values.off),
        ("--no-control-socket",),
        False,
        "",
    ),
)
_LIMITS: Final = (
    Setting("limit_request_line", Taken(o.LIMIT_REQUEST_LINE, values.count), ("--limit-request-line",), 4094),
    Setting(
        "limit_request_fields", Taken(o.LIMIT_REQUEST_FIELDS, values.count), ("--limit-request-fields",), 100
    ),
    Setting(
        "limit_request_field_size",
        Taken(o.LIMIT_REQUEST_FIELD_SIZE, values.count),
        ("--limit-request-field_size",),
        8190,
    ),
    Setting("permit_obsolete_folding", _STRICT, ("--permit-obsolete-folding",), False, ""),
    Setting("strip_header_spaces", _STRICT, ("--strip-header-spaces",), False, ""),
    Setting(
        "permit_unconventional_http_method",
        SetAside("a method may be any token, unless --methods says which"),
        ("--permit-unconventional-http-method",),
        False,
        "",
    ),
    Setting(
        "permit_unconventional_http_version", _STRICT, ("--permit-unconventional-http-version",), False, ""
    ),
    Setting("casefold_http_method", _STRICT, ("--casefold-http-method",), False, ""),
)
_LOGGING: Final = (
    Setting("accesslog", Taken(o.ACCESS_LOGFILE), ("--access-logfile",)),
    Setting(
        "disable_redirect_access_to_syslog",
        SetAside("nothing is sent to syslog"),
        ("--disable-redirect-access-to-syslog",),
        False,
        "",
    ),
    Setting("access_log_format", Taken(o.ACCESS_LOGFORMAT), ("--access-logformat",), o.ACCESS_FORMAT),
    Setting("errorlog", Taken(o.ERROR_LOGFILE), ("--error-logfile", "--log-file"), "-"),
    Setting("loglevel", Taken(o.LOG_LEVEL, values.small), ("--log-level",), "info"),
    Setting("capture_output", Taken(o.CAPTURE_OUTPUT), ("--capture-output",), False, ""),
    Setting(
        "logger_class",
        Taken(o.LOGGER_CLASS, values.logger_class),
        ("--logger-class",),
        "gunicorn.glogging.Logger",
    ),
    Setting("logconfig", Taken(o.LOG_CONFIG), ("--log-config",)),
    Setting(
        "logconfig_dict",
        ByApplication("workers log as it says, to gunicorn's loggers; no flag is like it"),
        (),
        {},
    ),
    Setting("logconfig_json", Taken(o.LOG_CONFIG_JSON), ("--log-config-json",)),
    Setting(
        "syslog_addr", SetAside("nothing is sent to syslog"), ("--log-syslog-to",), "udp://localhost:514"
    ),
    Setting("syslog", _SYSLOG, ("--log-syslog",), False, ""),
    Setting("syslog_prefix", SetAside("nothing is sent to syslog"), ("--log-syslog-prefix",)),
    Setting("syslog_facility", SetAside("nothing is sent to syslog"), ("--log-syslog-facility",), "user"),
    Setting(
        "enable_stdio_inheritance",
        SetAside("workers have the stdout of the supervisor, and their stderr is in its log"),
        ("-R", "--enable-stdio-inheritance"),
        False,
        "",
    ),
    Setting("statsd_host", Taken(o.STATSD_HOST), ("--statsd-host",)),
    Setting("dogstatsd_tags", Taken(o.DOGSTATSD_TAGS), ("--dogstatsd-tags",), ""),
    Setting("statsd_prefix", Taken(o.STATSD_PREFIX), ("--statsd-prefix",), ""),
    Setting("enable_backlog_metric", Taken(o.ENABLE_BACKLOG_METRIC), ("--enable-backlog-metric",), False, ""),
)
_DEVELOPMENT: Final = (
    Setting("reload", Taken(o.RELOAD), ("--reload",), False, ""),
    Setting("reload_engine", SetAside("watchfiles tells of changes"), ("--reload-engine",), "auto"),
    Setting("reload_extra_files", Taken(o.RELOAD_EXTRA_FILE), ("--reload-extra-file",), []),
    Setting(
        "spew",
        Refused("use a debugger, or `python -m trace` around the application"),
        ("--spew",),
        False,
        "",
    ),
    Setting("check_config", Taken(o.CHECK_CONFIG), ("--check-config",), False, ""),
    Setting("print_config", Taken(o.PRINT_CONFIG), ("--print-config",), False, ""),
)
_EDGE: Final = (
    Setting("keyfile", Taken(o.KEYFILE), ("--keyfile",)),
    Setting("certfile", Taken(o.CERTFILE), ("--certfile",)),
    Setting("ssl_version", SetAside("--tls-min is the oldest version, 1.2"), ("--ssl-version",), 2),
    Setting("cert_reqs", Taken(o.CLIENT_AUTH, values.cert_reqs), ("--cert-reqs",), 0),
    Setting("ca_certs", Taken(o.CLIENT_CA), ("--ca-certs",)),
    Setting("suppress_ragged_eofs", _EOFS, ("--suppress-ragged-eofs",), True, ""),
    Setting(
        "do_handshake_on_connect",
        SetAside("a handshake holds nobody up"),
        ("--do-handshake-on-connect",),
        False,
        "",
    ),
    Setting("ciphers", Taken(o.TLS_CIPHERS), ("--ciphers",)),
    Setting("ssl_context", _TLS),
    Setting("http_protocols", Taken(o.HTTP1_ONLY, values.http1_only), ("--http-protocols",), "h1"),
    Setting(
        "http2_cleartext",
        SetAside("proxies in forwarded_allow_ips may begin with HTTP/2"),
        ("--http2-cleartext",),
        "off",
    ),
    Setting(
        "http2_max_concurrent_streams",
        Taken(o.HTTP2_MAX_CONCURRENT_STREAMS, values.count),
        ("--http2-max-concurrent-streams",),
        100,
    ),
    Setting(
        "http2_initial_window_size",
        Taken(o.HTTP2_INITIAL_WINDOW_SIZE, values.count),
        ("--http2-initial-window-size",),
        65535,
    ),
    Setting("http2_max_frame_size", _HTTP2, ("--http2-max-frame-size",), 16384),
    Setting("http2_max_header_list_size", _HTTP2, ("--http2-max-header-list-size",), 65536),
    Setting("dirty_apps", _DIRTY, ("--dirty-app",), []),
    Setting("dirty_workers", _DIRTY, ("--dirty-workers",), 0),
    Setting("dirty_timeout", _DIRTY, ("--dirty-timeout",), 300),
    Setting("dirty_threads", _DIRTY, ("--dirty-threads",), 1),
    Setting("dirty_graceful_timeout", _DIRTY, ("--dirty-graceful-timeout",), 30),
    *(
        Setting(name, _DIRTY)
        for name in ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit")
    ),
)
HEADINGS: Final = {
    "Application": _APPLICATION,
    "Sockets and proxies": _SOCKETS,
    "Workers": _WORKERS,
    "Process": _MECHANICS,
    "Limits": _LIMITS,
    "Logging": _LOGGING,
    "Development and checks": _DEVELOPMENT,
    "TLS, HTTP/2, dirty arbiters": _EDGE,
    "Hooks": hooks.HOOKS,
}
SETTINGS: Final = {setting.name: setting for rows in HEADINGS.values() for setting in rows}
