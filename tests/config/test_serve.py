# From checked options to what is launched.

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bigtop.backends.serve_options import (
    AnswerPolicy,
    BalancerPolicy,
    Gates,
    ProxyOptions,
    ServeOptions,
    TlsPolicy,
)
from bigtop.config.serve import site_preflight
from bigtop.config.serve.arguments import layer
from bigtop.config.serve.listing import print_config
from bigtop.config.serve.options import ACCESS_FORMAT, OPTIONS
from bigtop.config.serve.serve import Retirement, ServeSpec, SourceFiles, configure, site_name, spec
from bigtop.config.serve.specs.admin import AdminSpec
from bigtop.config.serve.tls_sources import AcmeSpec, TlsFiles, TlsSources
from bigtop.emission import Emission
from bigtop.errors import ConfigError
from bigtop.http.declarations import Mount, ProxyRoute, Rate
from bigtop.http.h2.limits import Http2Limits
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.keeper.issuers import Issuer
from bigtop.sockets import SocketSpec
from bigtop.supervisor.policy.deploys.comparison import Thresholds
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy, HealthCheck
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.supervisor.policy.spec import Lifetime
from bigtop.workers.bootstrap import Identity, Logs


def specified(app: str = "my.site:app", **given: object) -> ServeSpec:
    return spec(configure(app, {}, layer(given)))


def test_defaults() -> None:
    assert specified() == ServeSpec(
        name="my",
        app="my.site:app",
        factory=False,
        paste_logging=False,
        mounts=(),
        interface=None,
        backend=None,
        preload="auto",
        binds=(SocketSpec("127.0.0.1:8000", "127.0.0.1", 8000),),
        workers=Bounds(1, 1),
        retirement=Retirement(),
        graceful_timeout=30.0,
        boot_timeout=120.0,
        drain_delay=0.0,
        folder=os.getcwd(),
        identity=Identity(),
        pidfile=None,
        control="auto",
        stats="off",
        error_logfile="-",
        logs=Logs(),
        options=ServeOptions(),
        sources=SourceFiles(),
    )


def test_every_option_arrives(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "token").write_text("a-token-of-the-tests\n")
    (tmp_path / "users").write_text("")
    given: dict[str, object] = {
        "factory": True,
        "interface": "wsgi",
        "chdir": tmp_path,
        "pythonpath": "lib,/opt/lib",
        "env": ["A=b"],
        "bind": ["[::1]:81", "unix:run/x.sock", "fd://7"],
        "backlog": 5,
        "reuse_port": True,
        "bind_mode": "640",
        "bind_owner": "3",
        "bind_group": "4",
        "forwarded_allow_ips": "10.0.0.0/8",
        "forwarded_headers": "proto,host",
        "proxy_protocol": "auto",
        "tls": ["files:c.pem,/etc/k.pem", "auto:a.example.com,B.example.com", "auto:c.example.com"],
        "tls_storage": "certificates",
        "tls_storage_ephemeral": True,
        "tls_ticket_secret": "tickets",
        "tls_keeper_user": "5",
        "acme_directory": "https://ca.example/directory",
        "acme_email": "a@example.com",
        "acme_profile": "shortlived",
        "acme_eab": "id,secret",
        "acme_root_cert": "root.pem",
        "acme_fallback": "https://other.example/directory",
        "acme_fallback_eab": "another,/etc/secret",
        "acme_dns_hook": "dehydrated:bin/hook",
        "acme_dns_wait": 9,
        "certfile": "d.pem",
        "keyfile": "e.pem",
        "tls_min": "1.3",
        "tls_ciphers": "ECDHE",
        "tls_unknown_name": "refuse",
        "handshake_timeout": 8,
        "client_ca": "ca.pem",
        "client_crl": "crl.pem",
        "client_auth": "optional",
        "http_bind": ":80",
        "https_redirect": "a.example,B.example:8443",
        "hsts": "1y,subdomains,preload",
        "proxy_allow_ips": "::/0",
        "secure_scheme_headers": "X-Tls=yes",
        "header_map": "refuse",
        "forwarder_headers": "a_b",
        "methods": "GET,BAN",
        "root_path": "/shop",
        "mount": ["/api=b.asgi:app", "/x/=c:d"],
        "static": ["/static=files", "/media/=/usr"],
        "sendfile_root": "/private=/usr/bin",
        "proxy": ["/ws/=http://[::1]:9000/b/", "/api=unix:/run/x.sock"],
        "proxy_connect_timeout": 18,
        "proxy_timeout": 19,
        "proxy_connections": 20,
        "workers": "2..5",
        "threads": 3,
        "backend": "wsgi",
        "preload": "off",
        "app_metrics": "on",
        "refork": 500,
        "max_requests": 100,
        "max_requests_jitter": 10,
        "max_age": "2h",
        "max_age_variance": "5m",
        "max_memory": "300M",
        "timeout": 1,
        "timeout_for": ["/reports/*=300"],
        "timeout_action": "interrupt,kill=4",
        "graceful_timeout": 2,
        "boot_timeout": 3,
        "drain_delay": 21,
        "keep_alive": 4,
        "header_timeout": 5,
        "body_timeout": 6,
        "send_timeout": 7,
        "min_header_rate": "1k",
        "min_body_rate": 11,
        "min_send_rate": 12,
        "switch_interval": 0.25,
        "worker_connections": 13,
        "max_buffered": 14,
        "limit_address_connections": 15,
        "limit_address_rate": "16/m",
        "rate_limit_fields": True,
        "allow": "10.0.0.0/8,*",
        "deny": ["10.1.0.0/16", "::1"],
        "basic_auth": "users",
        "basic_auth_realm": "the shop",
        "canonical_host": "A.example=b.example,c.example:81",
        "maintenance_file": "down.html",
        "error_page": ["502,503=users"],
        "static_fallback": "/static=app",
        "stream_bodies": ["/upload/*"],
        "limit_concurrency": 17,
        "max_queue_time": "2s",
        "monkey": False,
        "loop": "asyncio",
        "lifespan": "on",
        "slow_callback": "100ms",
        "ws_max_size": 18,
        "ws_max_queue": 19,
        "ws_ping_interval": 20.5,
        "ws_ping_timeout": 21,
        "ws_per_message_deflate": False,
        "ws_origins": "https://a.example",
        "limit_request_line": 1001,
        "limit_request_fields": 102,
        "limit_request_field_size": 1003,
        "limit_request_head": 1004,
        "limit_request_body": "1M",
        "http2_max_concurrent_streams": 50,
        "http2_max_resets": 51,
        "http2_initial_window_size": "1M",
        "temp_dir": "/",
        "compress": "gzip,br",
        "compress_types": "text/*",
        "compress_min": "1k",
        "security_headers": True,
        "cache": "64M",
        "cache_cookies": "sessionid,tz",
        "accel_headers": True,
        "add_header": ["X-A: b", "X-C: d e"],
        "name": "shop",
        "user": "1",
        "group": "2",
        "umask": "027",
        "pid": "run/pid",
        "server_header": "",
        "access_logfile": "access.log",
        "access_logformat": "%(h)s",
        "log_json": True,
        "error_logfile": "/var/error.log",
        "log_level": "warning",
        "log_time_zone": "utc",
        "capture_output": True,
        "reload": True,
        "health_check": ["GET /a 200 <1s"],
        "health_check_header": ["X-A: b"],
        "check_command": "true",
        "http1_only": True,
        "check_timeout": 7,
        "canary_time": 31,
        "keep_generations": 3,
        "warm_up": ["/w"],
        "max_surge": 2,
        "max_unavailable": 1,
        "canary_errors": "3%",
        "canary_latency": 1.5,
        "canary_requests": 33,
        "reload_extra_file": ["*.html", "/etc/x"],
        "control": "run/ctl",
        "stats": "run/stats",
        "admin": ":9101",
        "admin_token_file": "token",
        "admin_allow": "10.0.0.0/8",
        "admin_hosts": "shop.internal,B",
        "statsd_host": "unix:run/statsd",
        "statsd_prefix": "shop.",
        "dogstatsd_tags": "env:live,b",
        "enable_backlog_metric": True,
        "otlp_endpoint": "http://here:4318/own",
        "daemon": True,
        "check_config": True,
        "print_config": True,
    }
    # The first is one of two that exclude each other; the others are in tests of their own.
    others = {"main_thread", "paste", "paste_logging", "config", "hooks"}
    others |= {"logger_class", "log_config", "log_config_json"}
    assert {option.name for option in OPTIONS} - given.keys() == others
    made = specified(**given)
    here = str(tmp_path)
    assert made == ServeSpec(
        name="shop",
        app="my.site:app",
        factory=True,
        paste_logging=False,
        mounts=(("/api", "b.asgi:app"), ("/x", "c:d")),
        interface="wsgi",
        backend="wsgi",
        preload="off",
        app_metrics="on",
        binds=(
            SocketSpec("[::1]:81", "::1", 81, backlog=5, reuse_port=True, tls=True),
            SocketSpec(
                "unix:run/x.sock",
                path=f"{here}/run/x.sock",
                backlog=5,
                mode=0o640,
                owner="3",
                group="4",
                tls=True,
            ),
            SocketSpec("fd://7", fd=7, backlog=5, tls=True),
            SocketSpec(":80", "", 80, backlog=5, reuse_port=True),
        ),
        workers=Bounds(2, 5),
        retirement=Retirement(
            100, 10, Lifetime(max_age=7200.0, max_age_variance=300.0, max_pss=300 << 20), 500
        ),
        graceful_timeout=2.0,
        boot_timeout=3.0,
        drain_delay=21.0,
        folder=here,
        identity=Identity("1", "2", 0o27, here, (f"{here}/lib", "/opt/lib"), (("A", "b"),)),
        pidfile=f"{here}/run/pid",
        control=f"{here}/run/ctl",
        stats=f"{here}/run/stats",
        admin=AdminSpec(
            SocketSpec(":9101", "", 9101), f"{here}/token", ("10.0.0.0/8",), ("shop.internal", "b")
        ),
        statsd=Emission(f"{here}/run/statsd", "shop", ("env:live", "b"), backlog=True),
        otlp="http://here:4318/own",
        error_logfile="/var/error.log",
        logs=Logs("warning", True, f"{here}/access.log", "utc", capture=True),
        options=ServeOptions(
            threads=3,
            switch_interval=0.25,
            worker_connections=13,
            gates=Gates(
                connections=15,
                rate=Rate(16, 60),
                rate_fields=True,
                allow=("10.0.0.0/8", "*"),
                deny=("10.1.0.0/16", "::1"),
                users=f"{here}/users",
                realm="the shop",
                canonical=("a.example=b.example", "c.example:81"),
                maintenance=f"{here}/down.html",
                error_pages=((502, f"{here}/users"), (503, f"{here}/users")),
            ),
            limits=Limits(
                *(1001, 102, 1003, 1004, 1 << 20, 5.0, 6.0, 7.0, 1024, 11, 12, 4.0),
                send_file=14,
                handshake_timeout=8.0,
                timeout_for=(("/reports/*", 300.0),),
                timeout_action="interrupt,kill=4",
                http2=Http2Limits(streams=50, resets=51, stream_window=1 << 20),
            ),
            tls=TlsPolicy(
                *("1.3", "ECDHE", "refuse", "optional", ("a.example", "b.example:8443"), True),
                "max-age=31536000; includeSubDomains; preload",
            ),
            server_header="",
            forwarded_allow_ips=("10.0.0.0/8",),
            forwarded_headers=("proto", "host"),
            balancers=BalancerPolicy("auto", ("::/0",)),
            proxy=ProxyOptions(
                (ProxyRoute("/ws/", "::1", 9000, "", "/b/"), ProxyRoute("/api", "", 0, "/run/x.sock", "")),
                *(18.0, 19.0, 20),
            ),
            secure_scheme_headers=(("X-Tls", "yes"),),
            header_map="refuse",
            forwarder_headers=("a_b",),
            methods=("GET", "BAN"),
            root_path="/shop",
            stream_bodies=("/upload/*",),
            monkey=False,
            loop="asyncio",
            lifespan="on",
            limit_concurrency=17,
            max_queue_time=2.0,
            slow_callback=0.1,
            websocket=WebSocketLimits(18, 19, 20.5, 21.0, False, ("https://a.example",)),
            static=(Mount("/static/", f"{here}/files", "app"), Mount("/media/", "/usr")),
            sendfile_roots=(Mount("/private/", "/usr/bin"),),
            temp_dir="/",
            answers=AnswerPolicy(
                *(("gzip", "br"), ("text/*",), 1024, True, (("X-A", "b"), ("X-C", "d e"))),
                *(64 << 20, ("sessionid", "tz"), True),
            ),
            access_format="json",
            timeout=1.0,
        ),
        tls=TlsSources(
            (TlsFiles(f"{here}/c.pem", "/etc/k.pem"), TlsFiles(f"{here}/d.pem", f"{here}/e.pem")),
            f"{here}/ca.pem",
            client_crl=f"{here}/crl.pem",
            auto=(("a.example.com", "b.example.com"), ("c.example.com",)),
            acme=AcmeSpec(
                f"{here}/certificates",
                (
                    Issuer(
                        *("https://ca.example/directory", "", "a@example.com", "shortlived"),
                        ("id", f"{here}/secret"),
                        f"{here}/root.pem",
                    ),
                    Issuer(
                        *("https://other.example/directory", "", "a@example.com", ""),
                        ("another", "/etc/secret"),
                    ),
                ),
                ("dns-01",),
                ("dehydrated", f"{here}/bin/hook"),
                9.0,
                "5",
                is_ephemeral=True,
            ),
            ticket_secret=f"{here}/tickets",
        ),
        sources=SourceFiles(True, (f"{here}/*.html", "/etc/x")),
        deploy=DeployPolicy(
            (HealthCheck("GET /a 200 <1s", "GET", "/a", ((200, 200),), 1.0),),
            "https",
            (("X-A", "b"),),
            "true",
            7.0,
            31.0,
            Thresholds(0.03, 1.5, 33),
            (HealthCheck("GET /w", "GET", "/w", ((100, 599),), 86400.0),),
            2,
            1,
            3,
        ),
    )


def test_the_main_thread_alone() -> None:
    assert specified(main_thread=True).options.main_thread
    with pytest.raises(ConfigError, match="--threads"):
        specified(main_thread=True, threads=2)


def test_relative_paths_count_from_here_without_chdir() -> None:
    assert specified(pid="x.pid").pidfile == os.path.join(os.getcwd(), "x.pid")


def test_an_access_log_on_stdout_has_the_usual_format() -> None:
    made = specified(access_logfile="-")
    assert (made.logs.access, made.options.access_format) == ("-", ACCESS_FORMAT)


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("myproj.wsgi:app", "myproj"),
        ("myproj", "myproj"),
        ("myproj:create_app('a:b')", "myproj"),
        ("site/app.py:application", "app"),
        ("app.py", "app"),
        ("/srv/shop/main.py", "main"),
    ],
)
def test_site_name(app: str, name: str) -> None:
    assert site_name(app) == name


def test_print_config_tells_every_value_and_its_origin() -> None:
    environ = {"BIGTOP_ENV": "'A=b c'", "WEB_CONCURRENCY": "auto"}
    text = print_config(configure("x:y", environ, layer({"limit_request_body": "10M"})))
    lines = {line.partition(" ")[0]: " ".join(line.split()) for line in text.splitlines()}
    assert list(lines) == ["app", *(option.name for option in OPTIONS)]
    assert lines["app"] == "app = x:y"
    assert lines["env"] == "env = 'A=b c' # $BIGTOP_ENV"
    assert lines["limit_request_body"] == "limit_request_body = 10M (10485760) # limit_request_body"
    assert lines["backlog"] == "backlog = 2048 # default"
    assert lines["user"] == "user = (not set) # default"
    assert lines["workers"].startswith("workers = auto (")
    assert lines["workers"].endswith(") # $WEB_CONCURRENCY")


# ---- where the application is mounted, and limits that are none


@pytest.mark.case("A10")
@pytest.mark.parametrize(
    ("environ", "arguments", "path"),
    [
        ({"SCRIPT_NAME": "/foo/"}, {}, "/foo"),
        ({"SCRIPT_NAME": ""}, {}, ""),
        ({"SCRIPT_NAME": "/foo"}, {"root_path": "/bar"}, "/bar"),
        ({"SCRIPT_NAME": "/foo", "BIGTOP_ROOT_PATH": "/bar"}, {}, "/bar"),
        ({"SCRIPT_NAME": "/foo"}, {"env": {"SCRIPT_NAME": "/own"}}, "/own"),
        ({}, {"env": {"SCRIPT_NAME": "/own"}, "root_path": "/bar"}, "/bar"),
        ({}, {"root_path": "/f\xf6"}, "/f\xf6"),
    ],
)
def test_the_root_path_is_the_option_or_the_variable_script_name(
    environ: dict[str, str], arguments: dict[str, object], path: str
) -> None:
    assert spec(configure("x:y", environ, layer(arguments))).options.root_path == path


@pytest.mark.case("A10")
@pytest.mark.parametrize(
    ("environ", "arguments", "place"),
    [
        ({"SCRIPT_NAME": "foo"}, {}, "$SCRIPT_NAME: "),
        ({}, {"env": {"SCRIPT_NAME": "foo"}}, "env: SCRIPT_NAME: "),
    ],
)
def test_a_wrong_one_is_told_with_its_place(
    environ: dict[str, str], arguments: dict[str, object], place: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(configure("x:y", environ, layer(arguments)))
    assert str(caught.value) == f"{place}must be a path that begins with /, got 'foo'"


@pytest.mark.case("A21")
def test_no_limit_is_that_of_the_head() -> None:
    none = dict.fromkeys(("limit_request_line", "limit_request_fields", "limit_request_field_size"), 0)
    limits = spec(configure("x:y", {}, layer({**none, "limit_request_head": "1k"}))).options.limits
    assert (limits.request_line, limits.fields, limits.field_size) == (1024, 1024, 1024)


def test_only_a_logger_class_may_have_atoms_of_its_own() -> None:
    given = {"access_logfile": "-", "access_logformat": "%(zz)s"}
    with pytest.raises(ConfigError) as caught:
        spec(configure("x:y", {}, layer(given)))
    assert str(caught.value).startswith("access_logformat: access log format: there is no %(zz)s; known are ")
    made = spec(configure("x:y", {}, layer({**given, "logger_class": "site.logs.Own"})))
    assert made.options.access_format == "%(zz)s"
    assert made.hooks.asks_for_something


@pytest.mark.parametrize("name", ["log_config", "log_config_json"])
def test_a_configuration_of_logging_has_to_be_there(name: str, tmp_path: Path) -> None:
    config = configure("x:y", {}, layer({name: str(tmp_path / "nix")}))
    with pytest.raises(ConfigError, match=f"^{name}: there is no file {tmp_path}/nix$"):
        site_preflight.check(config, spec(config))


def test_steps_against_hung_requests_need_a_limit() -> None:
    for given in ({}, {"timeout_for": ("/a=0",)}):
        with pytest.raises(ConfigError, match="timeout_action: does nothing without a limit"):
            specified(timeout=0, timeout_action="kill", **given)
    assert specified(timeout=0, timeout_action="kill", timeout_for=("/a=1",)).options.timeout == 0
    assert specified(timeout=0).options.timeout == 0


def test_tls_and_what_goes_with_it(tmp_path: Path) -> None:
    for given in ({"keyfile": "k"}, {"tls_min": "1.3"}, {"handshake_timeout": 3}):
        with pytest.raises(ConfigError, match=r"does nothing without --(tls|certfile)"):
            specified(**given)
    for text in ("c.pem", "files:", "files:a,b,c", "file:a"):
        with pytest.raises(ConfigError, match="tls: must be auto:NAMES, files:CERT,KEY"):
            specified(tls=text)
    with pytest.raises(ConfigError, match="http_bind: does nothing without --tls"):
        specified(http_bind=":80")
    for wrong in ("a b", "https://a.example", "a.example/x", "*"):
        with pytest.raises(ConfigError, match="must be hosts such as"):
            specified(https_redirect=wrong)
    for wrong in ("x", "1y,all", "1y subdomains"):
        with pytest.raises(ConfigError, match="must be an age such as"):
            specified(hsts=wrong)
    with pytest.raises(ConfigError, match="client_auth: does nothing without --client-ca"):
        specified(tls="files:/c", client_auth="optional")
    with pytest.raises(ConfigError, match="client_crl: does nothing without --client-ca"):
        specified(tls="files:/c", client_crl="/l")
    with pytest.raises(ConfigError, match="client_ca: does nothing without --tls"):
        specified(client_ca="/c")
    assert specified(tls="files:/c").tls.files == (TlsFiles("/c", "/c"),)
    assert not specified().binds[0].tls
