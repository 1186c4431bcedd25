# What hooks around requests make of an application: nothing that a server would see.

from __future__ import annotations

import asyncio
import importlib
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from bigtop.backends import registry
from bigtop.errors import ConfigError
from bigtop.hooks import log, stand_ins
from bigtop.hooks.calls import Around
from bigtop.hooks.cfg import Cfg
from bigtop.hooks.load import fitting
from bigtop.hooks.objects import Counts, Server, Worker
from bigtop.hooks.requests import Request, Response, environ_of, response_of
from bigtop.http.access_log.access_format import AccessRecord
from bigtop.http.interfaces.wsgi import FileWrapper
from bigtop.http.messages import Request as Asked

pytestmark = pytest.mark.case("C3")

SETTINGS = json.dumps(
    {
        "bind": ["127.0.0.1:80", "unix:/s"],
        "wsgi_app": "a:app",
        "proc_name": "a",
        "timeout": 3,
        "workers": 2,
        "loglevel": "info",
        "errorlog": "-",
        "accesslog": None,
        "access_log_format": "%(m)s %(U)s",
        "logconfig": None,
        "logconfig_json": None,
    }
)
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a?b=c",
    "SERVER_PROTOCOL": "HTTP/1.0",
    "wsgi.url_scheme": "http",
    "REMOTE_ADDR": "10.0.0.1",
    "REMOTE_PORT": "99",
    "HTTP_X_TWO_WORDS": "v",
    "CONTENT_TYPE": "text/plain",
}


@pytest.fixture
def worker() -> Worker:
    cfg = Cfg(SETTINGS, {"own": 1})
    return Worker(Server(cfg, log.of(cfg), 1), 1, 2, Counts(lambda: 7, lambda: 3))


def answered(worker: Worker, answer: Any) -> tuple[Any, list[Response]]:
    told: list[Response] = []

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("404 Not Found", [("Content-Length", "4")])
        return answer

    around = Around(worker, None, lambda _worker, _req, _environ, resp: told.append(resp))
    return around.wsgi(app)(dict(ENVIRON), lambda *_: None), told


@pytest.mark.parametrize("answer", [[b"ab", b"cd"], (b"abcd",)])
def test_a_whole_answer_stays_whole(worker: Worker, answer: Any) -> None:
    given, told = answered(worker, answer)
    assert isinstance(given, list)
    assert list(given) == list(answer)
    assert told == []
    given.close()
    assert (told[0].status_code, told[0].sent, told[0].response_length) == (404, 4, 4)


def test_a_file_stays_one(worker: Worker) -> None:
    file = io.BytesIO(b"abcd")
    given, told = answered(worker, FileWrapper(file))
    assert type(given) is FileWrapper
    given.close()
    assert file.closed
    assert len(told) == 1


def test_what_comes_by_and_by_is_counted_and_closed(worker: Worker) -> None:
    closed = []

    def pieces() -> Any:
        try:
            yield b"ab"
            yield b"c"
        finally:
            closed.append(True)

    given, told = answered(worker, pieces())
    assert list(given) == [b"ab", b"c"]
    given.close()
    assert closed == [True]
    assert told[0].sent == 3


def test_what_a_request_shows(worker: Worker) -> None:
    seen = []
    Around(worker, lambda _worker, req: seen.append(req), None).wsgi(lambda *_: [])(dict(ENVIRON), None)
    (req,) = seen
    assert (req.method, req.uri, req.path, req.query, req.version) == ("GET", "/a?b=c", "/a", "b=c", (1, 0))
    assert req.headers == [("X-TWO-WORDS", "v"), ("CONTENT-TYPE", "text/plain")]
    assert req.remote_addr == ("10.0.0.1", "99")


def test_what_a_configuration_shows(worker: Worker) -> None:
    cfg = worker.cfg
    assert (cfg.workers, cfg.own, cfg.address) == (2, 1, [("127.0.0.1", 80), "/s"])
    with pytest.raises(AttributeError, match="No configuration setting for: nothing"):
        _ = cfg.nothing
    cfg.set("workers", 5)
    assert (worker.cfg.workers, worker.nr) == (5, 7)


@pytest.mark.parametrize(
    ("hook", "given"),
    [
        (lambda *a: a, (1, 2, 3, 4)),
        (lambda a: (a,), (1,)),
        (lambda a, b: (a, b), (1, 2)),
        (lambda a, b, c: (a, b, c), (1, 2, 3)),
    ],
)
def test_a_hook_is_given_as_much_as_it_takes(hook: Any, given: tuple[int, ...]) -> None:
    assert fitting(hook, 4)(1, 2, 3, 4) == given


def test_servers_of_others_have_no_hooks_around_requests() -> None:
    registry.require(registry.load("wsgi"), interface="wsgi", request_hooks=True)
    with pytest.raises(ConfigError, match="pre_request and post_request; choose wsgi, gevent or asgi"):
        registry.require(registry.load("wsgiref"), interface="wsgi", request_hooks=True)


@pytest.mark.parametrize("client", [("1.2.3.4", 0), None])
def test_a_port_that_is_not_known_is_none(worker: Worker, client: Any) -> None:
    told = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
    }
    scope |= {"http_version": "1.1", "scheme": "http", "client": client}
    around = Around(worker, lambda _worker, req: told.append(req.remote_addr), None)
    asyncio.run(around.asgi(app)(scope, None, None))
    assert told == [("1.2.3.4" if client else "", "")]


# ---- the log


GUNICORN = "pip install 'bigtop[test]' brings gunicorn 27"
ASKED = Asked("GET", b"/a%0a?b=c")
ASKED.headers = [(b"User-Agent", b'x"y'), (b"Authorization", b"Basic YTpi")]
ACCESS = AccessRecord(ASKED, 404, [("Content-Type", "text/html")], 7, "10.0.0.1", 0, 0, 1_234_567_000)


def test_atoms_are_those_of_gunicorn(worker: Worker) -> None:
    glogging = pytest.importorskip("gunicorn.glogging", reason=GUNICORN)
    environ = environ_of(ACCESS)
    told = response_of(ACCESS), Request(environ), environ, timedelta(microseconds=ACCESS.duration)
    ours, theirs = log.Logger.__new__(log.Logger), glogging.Logger.__new__(glogging.Logger)
    for _ in range(9):
        mine, other = ours.atoms(*told), theirs.atoms(*told)
        if mine["t"] == other["t"]:  # no second began in between
            break
    assert mine == other
    assert log.SafeAtoms(ours.atoms(*told))["U"] == "/a\\n"
    assert log.SafeAtoms({"{a}i": 'x"'})["{A}i"] == 'x\\"'
    assert log.SafeAtoms({})["zz"] == "-"


def test_a_request_that_was_cut_off_has_no_status() -> None:
    response = response_of(AccessRecord(ASKED, 0, [], 0, "10.0.0.1", 0, 0, 0))
    assert (response.status_code, response.status, response.sent) == (0, "0 Unknown", 0)


def test_a_configuration_of_logging_is_added_to_what_gunicorn_adds_it_to() -> None:
    glogging = pytest.importorskip("gunicorn.glogging", reason=GUNICORN)
    assert log.defaults() == glogging.CONFIG_DEFAULTS


def test_each_stand_in_is_something_of_gunicorns() -> None:
    pytest.importorskip("gunicorn", reason=GUNICORN)
    for name, names in stand_ins.MODULES.items():
        module = importlib.import_module(name)
        assert [one for one in names() if not hasattr(module, one)] == [], name
