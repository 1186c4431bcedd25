# Who wins: defaults < $WEB_CONCURRENCY, $PORT < $BIGTOP_* < $BIGTOP_CMD_ARGS < command line or arguments.
# And who is blamed.

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click
import pytest

from bigtop.config.serve import arguments, flags
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.serve import configure
from bigtop.config.serve.settings import Layer, ServeConfig
from bigtop.errors import ConfigError


def command_line(argv: Sequence[str]) -> Layer:
    command = click.Command("serve", params=flags.parameters())
    return flags.collect(command.make_context("serve", flags.expand(argv)).params)


def configured(environ: Mapping[str, str] | None = None, argv: Sequence[str] = ()) -> ServeConfig:
    return configure("site:app", environ or {}, command_line(argv))


def origin(config: ServeConfig, option: Option[Any]) -> str:
    return config.settings[option.name].given.origin


# ---- the table


def test_every_name_and_flag_is_there_once() -> None:
    all_flags = [flag for option in OPTIONS for flag in option.flags]
    names = [name for option in OPTIONS for name in (option.name, option.also) if name]
    assert len(set(all_flags)) == len(all_flags)
    assert len(set(names)) == len(names)
    assert len(OPTIONS) > 40


def test_short_flags_are_those_of_gunicorn() -> None:
    short = {flag: option.name for option in OPTIONS for flag in option.flags if not flag.startswith("--")}
    assert short == {
        "-D": "daemon",
        "-b": "bind",
        "-c": "config",
        "-e": "env",
        "-g": "group",
        "-k": "backend",
        "-m": "umask",
        "-n": "name",
        "-p": "pid",
        "-t": "timeout",
        "-u": "user",
        "-w": "workers",
    }


def test_names_are_derived_from_the_flag() -> None:
    assert o.MAX_REQUESTS_JITTER.name == "max_requests_jitter"
    assert o.MAX_REQUESTS_JITTER.variable == "BIGTOP_MAX_REQUESTS_JITTER"
    assert o.BACKEND.flags == ("-k", "--backend", "--worker-class")
    assert o.BACKEND.flag == "--backend"


def test_defaults_are_valid_and_said_to_be_defaults() -> None:
    config = configured()
    assert {setting.given.origin for setting in config.settings.values()} == {"default"}
    assert config[o.WORKERS].least == 1
    assert config[o.KEEP_ALIVE] == 75.0
    assert config[o.USER] is None
    assert config[o.ENV] == ()


# ---- precedence


def test_each_source_wins_over_the_ones_before() -> None:
    environ: dict[str, str] = {}
    for name, text, source in [
        ("WEB_CONCURRENCY", "2", "$WEB_CONCURRENCY"),
        ("BIGTOP_WORKERS", "3", "$BIGTOP_WORKERS"),
        ("BIGTOP_CMD_ARGS", "-w 4", "--workers in $BIGTOP_CMD_ARGS"),
    ]:
        environ[name] = text
        config = configured(environ)
        assert (str(config[o.WORKERS]), origin(config, o.WORKERS)) == (text[-1], source)
    config = configured(environ, ["--workers", "5"])
    assert (config[o.WORKERS].least, origin(config, o.WORKERS)) == (5, "--workers")


def test_port_is_the_default_address() -> None:
    assert configured({"PORT": "5000"}).texts(o.BIND) == ("0.0.0.0:5000",)
    assert configured({"PORT": "5000"}, ["-b", ":80"]).texts(o.BIND) == (":80",)


def test_forwarded_allow_ips_has_the_variable_of_gunicorn_and_uvicorn() -> None:
    assert configured({"FORWARDED_ALLOW_IPS": "*"})[o.FORWARDED_ALLOW_IPS] == ("*",)


def test_a_repeated_option_replaces_the_weaker_source_as_a_whole() -> None:
    config = configured({"BIGTOP_BIND": "127.0.0.1:1 127.0.0.1:2"}, ["-b", ":3", "--bind", ":4"])
    assert config.texts(o.BIND) == (":3", ":4")


def test_a_flag_given_twice_counts_once() -> None:
    assert configured(argv=["-w", "2", "-w", "3"])[o.WORKERS].least == 3


def test_words_of_a_variable_are_quoted_as_in_a_shell() -> None:
    config = configured({"BIGTOP_ENV": "A=1 'B=two words'"})
    assert config[o.ENV] == (("A", "1"), ("B", "two words"))


def test_a_variable_for_one_text_is_not_split() -> None:
    assert configured({"BIGTOP_ACCESS_LOGFORMAT": "%(h)s 'x"})[o.ACCESS_LOGFORMAT] == "%(h)s 'x"


def test_an_empty_variable_is_not_set() -> None:
    environ = {"WEB_CONCURRENCY": "", "PORT": "", "BIGTOP_WORKERS": "", "BIGTOP_CMD_ARGS": ""}
    assert origin(configured(environ), o.WORKERS) == "default"


def test_a_stronger_source_can_switch_off() -> None:
    environ = {"BIGTOP_REUSE_PORT": "yes"}
    assert configured(environ)[o.REUSE_PORT] is True
    assert configured(environ, ["--no-reuse-port"])[o.REUSE_PORT] is False


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_its_variable(option: Option[object]) -> None:
    text = SAMPLES.get(option.name, "on" if option.is_switch else "7")
    config = configured({option.variable: shlex.quote(text) if option.blanks else text})
    assert origin(config, option) == f"${option.variable}"
    assert config.texts(option) == (text,)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_flag_is_understood(option: Option[object]) -> None:
    text = SAMPLES.get(option.name, "7")
    for flag in option.flags:
        config = configured(
            argv=[flag] if option.is_switch else [f"{flag}={text}"] if option.bare else [flag, text]
        )
        assert config.texts(option) == (("on",) if option.is_switch else (text,))


SAMPLES = {
    "canary_errors": "7%",
    "warm_up": "/x",
    "health_check": "GET /",
    "timeout_for": "/x=1",
    "timeout_action": "retire",
    "health_check_header": "X-A:b",
    "tls": "files:cert.pem,key.pem",
    "tls_min": "1.3",
    "client_auth": "optional",
    "http_bind": "[::1]:0",
    "https_redirect": "a.example",
    "tls_unknown_name": "refuse",
    "acme_directory": "https://ca.example/directory",
    "acme_fallback": "https://ca.example/directory",
    "acme_email": "a@example.com",
    "acme_eab": "id,key",
    "acme_fallback_eab": "id,key",
    "admin_allow": "10.0.0.0/8",
    "otlp_endpoint": "http://127.0.0.1:4318",
    "hooks": "string",
    "config": "off",
    "logger_class": "string.Formatter",
    "stream_bodies": "/upload/*",
    "bind": "[::1]:0",
    "access_logformat": "%(h)s %(r)s",
    "chdir": "/",
    "temp_dir": "/",
    "env": "A=b",
    "forwarded_allow_ips": "10.0.0.0/8",
    "forwarded_headers": "host",
    "secure_scheme_headers": "X-Forwarded-Ssl=on",
    "header_map": "refuse",
    "cache": "7M",
    "http2_initial_window_size": "7M",
    "compress": "gzip",
    "compress_types": "text/x",
    "add_header": "X-A: b",
    "proxy_protocol": "v2",
    "proxy_allow_ips": "*",
    "mount": "/m=b.asgi:app",
    "static_fallback": "/s=index.html",
    "error_page": "502=sorry.html",
    "allow": "10.0.0.0/8",
    "deny": "10.0.0.0/8",
    "static": "/s=var",
    "sendfile_root": "/s=var",
    "proxy": "/ws/=http://localhost:9000",
    "interface": "asgi",
    "lifespan": "on",
    "loop": "asyncio",
    "root_path": "/api",
    "ws_origins": "https://a.example",
    "ws_per_message_deflate": "false",
    "preload": "off",
    "app_metrics": "off",
    "log_level": "debug",
    "log_time_zone": "utc",
}


# ---- flags that may stand alone


@pytest.mark.parametrize(
    ("argv", "name", "value", "rest"),
    [
        (["--preload"], "preload", "on", []),
        (["--preload", "x:app"], "preload", "on", ["x:app"]),
        (["--preload", "-w", "2"], "preload", "on", []),
        (["--preload", "off"], "preload", "off", []),
        (["--preload=auto", "x:app"], "preload", "auto", ["x:app"]),
        (["--proxy-protocol"], "proxy_protocol", "auto", []),
        (["--proxy-protocol", "x:app"], "proxy_protocol", "auto", ["x:app"]),
        (["--proxy-protocol", "v2", "x:app"], "proxy_protocol", "v2", ["x:app"]),
    ],
)
@pytest.mark.case("F8")
def test_flags_that_may_stand_alone_take_only_words_that_they_know(
    argv: list[str], name: str, value: str, rest: list[str]
) -> None:
    command = click.Command("serve", params=[*flags.parameters(), click.Argument(["app"], required=False)])
    params = command.make_context("serve", flags.expand(argv)).params
    assert params[name] == value
    assert params["app"] == (rest[0] if rest else None)


@pytest.mark.case("F8")
@pytest.mark.parametrize(("given", "value"), [(True, "auto"), (False, "off"), ("V1", "v1")])
def test_what_was_a_switch_of_gunicorns_takes_its_words(given: object, value: str) -> None:
    by_name = configure("x:app", {}, arguments.layer({"proxy_protocol": given}))
    by_variable = configured({"BIGTOP_PROXY_PROTOCOL": str(given)})
    assert by_name[o.PROXY_PROTOCOL] == by_variable[o.PROXY_PROTOCOL] == value


# ---- mistakes


@pytest.mark.parametrize(
    ("environ", "argv", "message"),
    [
        ({}, ["-w", "0"], "--workers: must be auto or a whole number from 1 to 1024, got '0'"),
        ({}, ["--worker-class", "a b"], "--backend: must be a word"),
        ({}, ["-t", "soon"], "--timeout: must be a number of seconds, 0 or more, got 'soon'"),
        ({}, ["--access-logformat", ""], "--access-logformat: must not be empty"),
        ({}, ["--log-config", "a.yaml"], "--log-config: YAML is not read; write a.yaml as JSON"),
        ({"BIGTOP_LOG_CONFIG": "a.json"}, [], "$BIGTOP_LOG_CONFIG: reads INI files; give a.json as"),
        ({}, ["--logger-class", "Own"], "--logger-class: must name a class as package.module.Class"),
        ({}, ["-b", "localhost"], "--bind: bind address 'localhost' has no port"),
        ({"WEB_CONCURRENCY": "many"}, [], "$WEB_CONCURRENCY: must be auto or a whole number"),
        ({"PORT": "http"}, [], "$PORT: bind address '0.0.0.0:http': 'http' is not a port"),
        ({"BIGTOP_RELOAD": "sure"}, [], "$BIGTOP_RELOAD: must be on or off, got 'sure'"),
        ({"BIGTOP_ENV": "'A=b"}, [], '$BIGTOP_ENV: no closing quotation in "\'A=b"'),
        ({"BIGTOP_CMD_ARGS": "-w 0"}, [], "--workers in $BIGTOP_CMD_ARGS: must be auto"),
        ({"BIGTOP_CMD_ARGS": "--wokers 2"}, [], "$BIGTOP_CMD_ARGS: No such option"),
        ({"BIGTOP_CMD_ARGS": "site:app"}, [], "$BIGTOP_CMD_ARGS: Got unexpected extra argument"),
        ({"BIGTOP_CMD_ARGS": "-n 'x"}, [], "$BIGTOP_CMD_ARGS: no closing quotation"),
        ({"BIGTOP_CMD_ARGS": "--help"}, [], "$BIGTOP_CMD_ARGS: No such option"),
    ],
)
def test_a_mistake_is_told_with_its_place(environ: dict[str, str], argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(environ, argv)
    assert message in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        configured({"BIGTOP_BACKLOG": "0", "PORT": "x"}, ["--threads", "none", "-b", "127.0.0.1:80"])
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "$BIGTOP_BACKLOG",
        "--threads",
    ]


def test_a_wrong_value_that_does_not_count_is_no_mistake() -> None:
    assert configured({"WEB_CONCURRENCY": "many"}, ["-w", "2"])[o.WORKERS].least == 2


# ---- arguments


def test_arguments_are_python_values() -> None:
    layer = arguments.layer(
        {
            "workers": 3,
            "timeout": 2.5,
            "bind": ["127.0.0.1:1", "unix:/x"],
            "reload": False,
            "env": {"A": "b c"},
            "name": None,
            "preload_app": True,
            "worker_class": "wsgi",
        }
    )
    config = configure("site:app", {"BIGTOP_WORKERS": "9", "BIGTOP_NAME": "kept"}, layer)
    assert (config[o.WORKERS].least, config[o.TIMEOUT], config[o.RELOAD]) == (3, 2.5, False)
    assert config.texts(o.BIND) == ("127.0.0.1:1", "unix:/x")
    assert config[o.ENV] == (("A", "b c"),)
    assert (config[o.PRELOAD], config[o.BACKEND], config[o.NAME]) == ("on", "wsgi", "kept")
    assert origin(config, o.BACKEND) == "worker_class"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wokers": 3}, "serve() has no option 'wokers'; did you mean 'workers'?"),
        ({"zzz": 3}, "serve() has no option 'zzz'"),
        ({"backend": "wsgi", "worker_class": "wsgi"}, "worker_class and backend are the same option"),
        ({"workers": [1, 2]}, "workers: takes one value, got [1, 2]"),
        ({"workers": object}, "workers: cannot be <class 'object'>"),
        ({"workers": 0}, "workers: must be auto or a whole number from 1 to 1024, got '0'"),
        ({"workers": True}, "workers: must be auto or a whole number from 1 to 1024, got 'on'"),
        ({"timeout": float("nan")}, "timeout: must be a number of seconds"),
    ],
)
def test_a_wrong_argument_is_told_by_its_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure("site:app", {}, arguments.layer(given))
    assert message in str(caught.value)


# ---- completion


def completions(flag_name: str, begun: str) -> list[tuple[str, str]]:
    param = next(param for param in flags.parameters() if param.name == flag_name)
    found = param.shell_complete(click.Context(click.Command("serve")), begun)
    return [(item.value, item.type) for item in found]


def test_words_files_and_directories_are_completed() -> None:
    assert completions("log_level", "de") == [("debug", "plain")]
    assert completions("preload", "o") == [("on", "plain"), ("off", "plain")]
    assert completions("workers", "") == [("auto", "plain")]
    assert completions("access_logfile", "/va") == [("/va", "file")]
    assert completions("chdir", "/va") == [("/va", "dir")]
    assert completions("timeout", "") == []
