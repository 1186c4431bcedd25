# uvicorn's flags, as Dockerfiles have them.

from __future__ import annotations

import os
from pathlib import Path

import pytest
from uvicorn.main import main as uvicorn_command

from bigtop.config.gunicorn import flags as gunicorn
from bigtop.config.serve import flags, serve
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.uvicorn import FLAGS, translate
from bigtop.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--host 0.0.0.0 --port 80", "--bind=0.0.0.0:80"),
        ("--port=80", "--bind=127.0.0.1:80"),
        ("--host ::", "--bind=[::]:8000"),
        ("--uds /run/a.sock", "--bind=unix:/run/a.sock"),
        ("--fd 3", "--bind=fd://3"),
        ("--timeout-keep-alive 5", "--keep-alive=5"),
        ("--timeout-graceful-shutdown=9", "--graceful-timeout=9"),
        ("--limit-max-requests 10", "--max-requests=10"),
        ("--no-access-log --proxy-headers --http h11 --ws auto", ""),
        ("--date-header --use-colors --reset-contextvars --reload-delay 0.25", ""),
        ("--access-log", "--access-logfile=-"),
        ("--no-server-header", "--server-header="),
        ("--server-header --reload a:app", "--reload a:app"),
        ("--server-header", ""),
        ("--server-header own a:app", "--server-header own a:app"),
        ("--ws-per-message-deflate False a:app", "--ws-per-message-deflate=false a:app"),
        ("--ws-per-message-deflate 1", "--ws-per-message-deflate=true"),
        ("--ws-per-message-deflate a:app", "--ws-per-message-deflate a:app"),
        ("--log-level trace", "--log-level=debug"),
        ("--log-level info", "--log-level=info"),
        ("--reload --reload-dir src", "--reload --reload-extra-file=src/*.py"),
        ("--reload-include=*.html", "--reload-extra-file=*.html"),
        ("--interface asgi3", "--interface=asgi"),
        ("--app-dir src -w 2 a:app", "--pythonpath=src -w 2 a:app"),
        ("--root-path /api --lifespan on", "--root-path /api --lifespan on"),
        ("--ssl-keyfile k --ssl-certfile=c --ssl-ciphers x", "--keyfile=k --certfile=c --tls-ciphers=x"),
        ("--ssl-ca-certs=ca --ssl-cert-reqs 1", "--client-ca=ca --client-auth=optional"),
        ("-- --port", "-- --port"),
    ],
)
def test_translation(given: str, meant: str) -> None:
    assert translate(given.split()) == meant.split()


def test_variables_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\n\nA=1\nexport B='two words'  # why\nC=\"x#y\"\nD=\n")
    assert translate(["--env-file", str(path)]) == [
        "--env=A=1",
        "--env=B=two words",
        "--env=C=x#y",
        "--env=D=",
    ]


def test_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("A=1\nnonsense\n")
    with pytest.raises(ConfigError, match=r"env:2: wanted NAME=VALUE"):
        translate(["--env-file", str(path)])
    with pytest.raises(ConfigError, match="--env-file"):
        translate(["--env-file", str(tmp_path / "missing")])
    with pytest.raises(ConfigError, match="--port needs a value"):
        translate(["--port"])


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("--http2", "--backend hypercorn"),
        ("--header A:b", "set it in the application"),
        ("--no-date-header", "every answer has a Date"),
        ("--reload-exclude x", "--reload-extra-file"),
        ("--timeout-worker-healthcheck=9", "--timeout,"),
        ("--ws none", "no way to turn that off"),
        ("--ssl-keyfile-password x", "openssl pkey"),
    ],
)
def test_what_cannot_be_had_is_refused_with_advice(words: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{words.split()[0].split('=')[0]}.*{advice}"):
        translate(words.split())


def test_every_flag_of_uvicorn_is_known() -> None:
    theirs = {flag for param in uvicorn_command.params for flag in (*param.opts, *param.secondary_opts)}
    ours = {flag for option in OPTIONS for flag in option.flags}
    known = FLAGS | ours | gunicorn.FLAGS
    assert {flag for flag in theirs if flag.startswith("--")} - known == {"--version"}


def test_a_line_of_a_dockerfile() -> None:
    words = (
        "--host 0.0.0.0 --port 80 --proxy-headers --forwarded-allow-ips * --workers 2 --log-level info "
        "--no-access-log --timeout-keep-alive 5 --timeout-graceful-shutdown 10 --reload-dir ."
    )
    spec = serve.spec(serve.configure("a:app", {}, flags.parse(words.split(), "test")))
    assert (spec.binds[0].host, spec.binds[0].port, spec.workers.least) == ("0.0.0.0", 80, 2)
    assert (spec.options.limits.keep_alive, spec.graceful_timeout) == (5, 10)
    assert spec.options.forwarded_allow_ips == ("*",)
    assert spec.sources == serve.SourceFiles(False, (os.path.join(os.getcwd(), "*.py"),))


def test_options_reach_the_backend() -> None:
    words = (
        "--port 81 --loop asyncio --lifespan off --root-path /api/ --limit-concurrency 7 "
        "--slow-callback 100ms "
        "--ws-max-size 1M --ws-max-queue 3 --ws-ping-interval 1.5 --ws-ping-timeout 2 "
        "--ws-per-message-deflate false --ws-origins https://a.example,https://b.example:444"
    )
    spec = serve.spec(serve.configure("a:app", {}, flags.parse(words.split(), "test")))
    options, websocket = spec.options, spec.options.websocket
    assert spec.binds[0].port == 81
    assert (options.loop, options.lifespan, options.root_path) == ("asyncio", "off", "/api")
    assert (options.limit_concurrency, options.slow_callback) == (7, 0.1)
    assert (websocket.message, websocket.queue, websocket.deflate) == (1 << 20, 3, False)
    assert (websocket.ping_interval, websocket.ping_timeout) == (1.5, 2)
    assert websocket.origins == ("https://a.example", "https://b.example:444")


@pytest.mark.parametrize(
    "words", ["--loop tokio", "--slow-callback fast", "--root-path api", "--ws-origins x"]
)
def test_wrong_values_are_named(words: str) -> None:
    with pytest.raises(ConfigError, match=words.split()[0]):
        serve.configure("a:app", {}, flags.parse(words.split(), "test"))
