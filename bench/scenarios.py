# What is measured: applications, requests, and how they come.
#
# Rules: a scenario is data; the runner has no special case by name. Paths and amounts of `work` are explained
# in apps/work.py. A scenario with a `rate` is an open loop (latency from the moment a request was due), the
# others are closed loops.

from __future__ import annotations

from dataclasses import dataclass

from bench.peers import expand

# ---- applications


@dataclass(frozen=True, slots=True)
class App:
    name: str
    wsgi: str | None = None
    # "static": files in $data/static, "cache": answers that are kept. What gives them is measured, in servers
    # that have it, and not the application.
    only: str = ""
    asgi: str | None = None
    packages: tuple[str, ...] = ()
    path: str | None = None  # a folder, relative to the repository, to be importable as well
    env: tuple[tuple[str, str], ...] = ()  # $data is a folder that lives as long as the bench run
    prepare: tuple[str, ...] = ()  # commands, once per bench run, before anything is started


SITE = "examples/django_site"
# Rows are made from numbers, so that each run serves the same page.
SEED = (
    "from guestbook.models import Entry;"
    "Entry.objects.bulk_create(Entry(name='guest %d' % i, message='A message of some length. ' * 4)"
    " for i in range(200))"
)

APPS = {
    app.name: app
    for app in (
        App("hello", "bench.apps.hello:app", asgi="bench.apps.hello_asgi:app"),
        App("work", "bench.apps.work:app", asgi="bench.apps.work_asgi:app"),
        App("echo", asgi="bench.apps.echo_asgi:app"),
        App(
            "files",
            "bench.apps.hello:app",
            only="static",
            prepare=("$python -m bench.apps.files $data/static",),
        ),
        App("kept", "bench.apps.kept:app", only="cache"),
        App("django-hello", "bench.apps.django_hello:app", packages=("Django>=5.2,<6",)),
        App(
            "django-site",
            "mysite.wsgi:application",
            packages=("Django>=5.2,<6",),
            path=SITE,
            env=(("DJANGO_DATA", "$data"), ("DJANGO_SECRET_KEY", "only for the bench")),
            prepare=(
                f"$python {SITE}/manage.py migrate --verbosity 0",
                f"$python {SITE}/manage.py collectstatic --noinput --verbosity 0",
                f'$python {SITE}/manage.py shell --verbosity 0 -c "{SEED}"',
            ),
        ),
    )
}

# ---- requests

PLAIN = (("Host", "127.0.0.1"), ("Accept", "*/*"))

BROWSER = (
    ("Host", "127.0.0.1"),
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", '"Chromium";v="130", "Not?A_Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("Upgrade-Insecure-Requests", "1"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
    ("Referer", "http://127.0.0.1/guestbook/?page=2"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    ("Cookie", "sessionid=kq4v1x2m8c0z7t5n3b6w9y1a2s4d6f8g; csrftoken=Zt7Qm2Xw9Lk4Vb1Nc8Rf3Hd6Jp5Ys0Ga"),
)


UPGRADE = (
    ("Host", "127.0.0.1"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
MASK = bytes.fromhex("37fa213d")  # any will do, as long as it is not zero: servers have work with it


def frame(size: int) -> bytes:
    """Return a client's text message of `size` bytes."""
    if not 0 < size < 65536:
        raise ValueError("a message has 1 to 65535 bytes")
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126, *size.to_bytes(2, "big")])
    return b"\x81" + length + MASK + bytes(b"x"[0] ^ MASK[i % 4] for i in range(size))


@dataclass(frozen=True, slots=True)
class Request:
    path: str = "/"
    name: str = "all"  # requests of one name are counted together, and apart from others
    share: float = 1.0  # of all requests
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = PLAIN
    body_bytes: int = 0

    def encode(self) -> bytes:
        headers = self.headers
        if self.method in ("POST", "PUT"):
            headers += (
                ("Content-Type", "application/octet-stream"),
                ("Content-Length", str(self.body_bytes)),
            )
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + b"x" * self.body_bytes


# ---- scenarios


@dataclass(frozen=True, slots=True)
class Beside:
    """Connections that are there at the same time and are not measured: what do they cost the others?"""

    connections: int
    request: Request
    trickle: bool = (
        False  # a byte each second, for as long as it lasts; otherwise whole, and again when answered
    )
    stays: bool = False  # asks once, is answered and stays: what memory does it take?


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    app: str
    requests: tuple[Request, ...] = (Request(),)
    connections: int = 32
    workers: int = 1
    threads: int = 1  # for servers that let one choose; gthread and waitress always run their usual four
    rate: float | None = None  # requests per second
    pipeline: int = 1
    reconnect: bool = False
    at_least: float = 0  # seconds; where requests are few, their tail needs more time than --seconds
    floor: bool = False  # the same bytes without the application mean something
    burst: bool = False  # all connections at once on idle workers: who answers how many?
    starts: bool = False  # no load: how soon is the first answer there, how soon are all gone?
    beside: Beside | None = None
    tls: bool = False
    streams: int = 0  # requests at once on each connection, over HTTP/2; 0: HTTP/1.1
    resume: bool = False  # with `reconnect`: with the session of the connection before
    message_bytes: int = 0  # of WebSockets that the first request opens; then each message and its echo count

    @property
    def kind(self) -> str:
        if self.starts or self.burst:
            return "start" if self.starts else "burst"
        return "closed" if self.rate is None else "open"


def slow_mix(slow_path: str) -> tuple[Request, ...]:
    return (Request("/", name="fast", share=0.95), Request(slow_path, name="slow", share=0.05))


CLOSE = (*PLAIN, ("Connection", "close"))

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("hello", "hello world, 2 headers", "hello", floor=True),
        Scenario(
            "hello-17", "hello world, 17 browser headers", "hello", (Request(headers=BROWSER),), floor=True
        ),
        Scenario("django-hello", "Django hello", "django-hello", floor=True),
        Scenario(
            "django-page",
            "Django page: 20 rows by the ORM, a form, sessions",
            "django-site",
            (Request("/guestbook/", headers=BROWSER),),
            connections=16,
            floor=True,
        ),
        Scenario("sleep-10ms", "each request waits 10 ms", "work", (Request("/sleep/10"),), workers=4),
        Scenario(
            "mixed-sleeping",
            "5 % of the requests wait 200 ms",
            "work",
            slow_mix("/sleep/200"),
            connections=64,
            workers=4,
            rate=150,
            at_least=6,
        ),
        Scenario(
            "mixed-computing",
            "5 % of the requests compute for 40 ms",
            "work",
            slow_mix("/spin/40"),
            connections=64,
            workers=4,
            rate=100,
            at_least=6,
        ),
        Scenario(
            "slow-clients",
            "hello world beside 500 clients that send a byte per second",
            "hello",
            connections=8,
            workers=2,
            rate=200,
            at_least=4,
            beside=Beside(500, Request("/", headers=BROWSER), trickle=True),
        ),
        Scenario(
            "three-of-four",
            "hello world while 3 of 4 workers have a request of 3 s",
            "work",
            connections=8,
            workers=4,
            rate=100,
            at_least=6,
            beside=Beside(3, Request("/sleep/3000", headers=CLOSE)),
        ),
        Scenario("body-100k", "answers of 100 KB", "work", (Request("/bytes/100000"),), floor=True),
        Scenario(
            "body-1m", "answers of 1 MB", "work", (Request("/bytes/1000000"),), connections=8, floor=True
        ),
        Scenario(
            "upload-100k",
            "uploads of 100 KB",
            "work",
            (Request("/upload", method="POST", body_bytes=100_000),),
        ),
        Scenario("stream-1m", "1 MB in 16 pieces", "work", (Request("/stream/1000000"),), connections=8),
        Scenario("static-small", "a file of 2 KB", "files", (Request("/static/small.css", headers=BROWSER),)),
        Scenario("static-large", "a file of 8 MB", "files", (Request("/static/large.bin"),), connections=8),
        Scenario("cache-hit", "an answer of 2 KB that is kept", "kept", (Request("/kept", headers=BROWSER),)),
        Scenario("pipelining", "hello world, 8 requests in one send", "hello", pipeline=8, floor=True),
        Scenario(
            "reconnect",
            "hello world, a connection per request",
            "hello",
            (Request(headers=CLOSE),),
            reconnect=True,
            floor=True,
        ),
        Scenario(
            "burst",
            "32 connections at once over 4 idle workers",
            "work",
            (Request("/pid/10", headers=CLOSE),),
            workers=4,
            burst=True,
        ),
        Scenario("tls-hello", "hello world over HTTPS, keep-alive", "hello", floor=True, tls=True),
        Scenario(
            "tls-hello-100",
            "hello world over HTTPS, 100 connections",
            "hello",
            connections=100,
            tls=True,
        ),
        Scenario(
            "http2-hello",
            "hello world over HTTP/2, 10 connections with 10 requests each",
            "hello",
            connections=10,
            streams=10,
            tls=True,
        ),
        Scenario(
            "http2-hello-17",
            "hello world over HTTP/2, 17 browser headers",
            "hello",
            (Request(headers=BROWSER),),
            connections=10,
            streams=10,
            tls=True,
        ),
        Scenario(
            "http2-body-100k",
            "answers of 100 KB over HTTP/2",
            "work",
            (Request("/bytes/100000"),),
            connections=10,
            streams=10,
            tls=True,
        ),
        Scenario(
            "tls-handshake",
            "hello world over HTTPS, a whole handshake per request",
            "hello",
            (Request(headers=CLOSE),),
            connections=8,
            reconnect=True,
            floor=True,
            tls=True,
        ),
        Scenario(
            "tls-resumed",
            "hello world over HTTPS, a resumed handshake per request",
            "hello",
            (Request(headers=CLOSE),),
            connections=8,
            reconnect=True,
            floor=True,
            tls=True,
            resume=True,
        ),
        Scenario(
            "tls-idle",
            "hello world over HTTPS beside 1,000 idle connections",
            "hello",
            floor=True,
            tls=True,
            beside=Beside(1000, Request("/"), stays=True),
        ),
        Scenario(
            "tls-body-1m",
            "answers of 1 MB over HTTPS",
            "work",
            (Request("/bytes/1000000"),),
            connections=8,
            tls=True,
        ),
        Scenario(
            "tls-static-large",
            "a file of 8 MB over HTTPS",
            "files",
            (Request("/static/large.bin"),),
            connections=8,
            tls=True,
        ),
        Scenario("start", "hello world: start, memory at rest, stop", "hello", workers=2, starts=True),
        Scenario(
            "websocket",
            "WebSocket: echo of 64 bytes, as fast as it goes, beside 1,000 idle ones",
            "echo",
            (Request("/", headers=UPGRADE),),
            beside=Beside(1000, Request("/", headers=UPGRADE), stays=True),
            message_bytes=64,
        ),
        Scenario(
            "websocket-paced",
            "WebSocket: echo of 64 bytes, 2,000 each second, beside 1,000 idle ones",
            "echo",
            (Request("/", headers=UPGRADE),),
            rate=2000,
            at_least=2,
            beside=Beside(1000, Request("/", headers=UPGRADE), stays=True),
            message_bytes=64,
        ),
        Scenario(
            "websocket-16k",
            "WebSocket: echo of 16 KB",
            "echo",
            (Request("/", headers=UPGRADE),),
            message_bytes=16_384,
        ),
    )
}

SETS = {
    "quick": ("hello", "django-page"),
    "speed": ("hello", "hello-17", "django-hello", "django-page", "pipelining", "reconnect"),
    "bodies": ("body-100k", "body-1m", "stream-1m", "upload-100k"),
    "fairness": (
        "sleep-10ms",
        "mixed-sleeping",
        "mixed-computing",
        "slow-clients",
        "three-of-four",
        "burst",
    ),
    "https": (
        "hello",
        "tls-hello",
        "tls-handshake",
        "tls-resumed",
        "tls-idle",
        "tls-body-1m",
        "tls-static-large",
    ),
    "http2": ("tls-hello-100", "http2-hello", "http2-hello-17", "http2-body-100k"),
    "start": ("start",),
    "static": ("static-small", "static-large"),
    "cache": ("cache-hit",),
    "websocket": ("websocket", "websocket-paced", "websocket-16k"),
    "backends": ("hello", "django-page", "sleep-10ms", "body-100k", "body-1m"),
    "all": tuple(SCENARIOS),
}


def select(names: str) -> list[Scenario]:
    return [SCENARIOS[name] for name in expand(names, SETS, known=SCENARIOS, what="scenario")]
