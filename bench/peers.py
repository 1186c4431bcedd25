# Who is measured: one declaration per server.
#
# Rules:
# - A peer is started the way its own documentation recommends for production, with access logs off (as ours)
#   and keep-alive long enough that it is never the generator's doing that connections are made anew.
# - All processes and threads of a peer share the same cores; how it divides them is its own affair.
# - Commands are templates, split by the shell's rules: $python and $bin (of the bench environment), $host,
#   $port, $workers, $threads, $app, $dir (empty, one per start), $build (compiled programs), $response (a
#   file for the floor), $certificate and $key (files, where TLS is spoken).

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    # "wsgi", "asgi", or "floor": bytes captured from the WSGI application. With something in front of that:
    # "static" (files), "cache".
    interface: str
    commands: tuple[str, ...]
    tls: str = ""  # what is added to the first command so that it speaks TLS; "": it cannot
    http2: bool = False  # it speaks that, too, where it speaks TLS
    packages: tuple[str, ...] = ()  # for pip; "." is this repository
    programs: tuple[str, ...] = ()  # that must be on PATH, because pip cannot bring them
    sources: tuple[str, ...] = ()  # C files to compile; the program's name is the file's stem
    files: tuple[tuple[str, str], ...] = ()  # (name, template) written to $dir before the start
    env: tuple[tuple[str, str], ...] = ()
    pip_options: tuple[str, ...] = ()
    pip_env: tuple[tuple[str, str], ...] = ()
    source: bool = False  # Bigtop as it stands here, instead of as users install it
    commit: str = ""  # Bigtop as it was then, instead of as it is
    note: str = ""

    def spoken(self, *, tls: bool) -> tuple[str, ...]:
        """Return the commands with which it speaks TLS, or does not."""
        first, *others = self.commands
        return (f"{first} {self.tls}" if tls else first, *others)

    @property
    def is_bigtop(self) -> bool:
        return "." in self.packages


# $$ is a dollar for nginx itself.
NGINX_CONF = """
user root;  # ignored unless root starts it: its usual user could not enter our folder
worker_processes 1; daemon off; pid $dir/nginx.pid; error_log stderr;
events { worker_connections 4096; }
http {
  access_log off; tcp_nodelay on; keepalive_requests 1000000000;
  client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi; client_max_body_size 64m;
  server {
    listen $host:$port backlog=2048;
    location /static/ { root $data; sendfile on; tcp_nopush on; open_file_cache max=100; }
    location / { proxy_pass http://unix:$dir/app.sock; proxy_set_header Host $$http_host; }
  }
}
"""

# nginx by itself. Its defaults are those of its users, but Debian's 1.22 would not offer TLS 1.3.
NGINX_ALONE = NGINX_CONF.replace(
    "location / { proxy_pass http://unix:$dir/app.sock; proxy_set_header Host $$http_host; }",
    'location / { default_type text/plain; return 200 "Hello, world!\\n"; }',
)
# The kernel keeps its files in memory.
NGINX_CACHE = NGINX_CONF.replace(
    "  server {",
    "  proxy_cache_path $dir/kept levels=1:2 keys_zone=kept:8m use_temp_path=off;\n  server {",
).replace("location / { ", "location / { proxy_cache kept; proxy_cache_lock on; ")
NGINX_TLS = NGINX_ALONE.replace(
    "backlog=2048;",
    "backlog=2048 ssl; ssl_protocols TLSv1.2 TLSv1.3;"
    " ssl_certificate $certificate; ssl_certificate_key $key;",
)
NGINX_FILES = (("nginx.conf", NGINX_ALONE), ("nginx-tls.conf", NGINX_TLS))
NGINX_OVER_TLS = "-c $dir/nginx-tls.conf"  # of two, the last one counts

# Two sections: the socket that workers inherit, and the command that serves it.
CIRCUS_INI = """
[circus]
endpoint = ipc://$dir/endpoint
pubsub_endpoint = ipc://$dir/pubsub
loglevel = WARNING

[socket:web]
host = $host
port = $port
backlog = 2048

[watcher:app]
cmd = $bin/bigtop worker -k gevent --log-level warning --fd $$(circus.sockets.web) $app
numprocesses = $workers
use_sockets = True
copy_env = True
"""

BIGTOP = "$bin/bigtop serve $app --workers $workers --bind $host:$port"
BIGTOP_TLS = "--tls files:$certificate,$key"
GUNICORN = "$bin/gunicorn --no-control-socket --worker-tmp-dir /dev/shm --log-level warning -w $workers"
GRANIAN = "$bin/granian --host $host --port $port --workers $workers --no-access-log --log-level warning"
GRANIAN_TLS = "--ssl-certificate $certificate --ssl-keyfile $key"
GRANIAN_WSGI = f"{GRANIAN} --interface wsgi --blocking-threads 1 --runtime-threads 1"
HYPERCORN = "$bin/hypercorn --worker-class uvloop --keep-alive 75 --log-level warning"
CERTFILE_TLS = "--certfile $certificate --keyfile $key"  # gunicorn, hypercorn
UVICORN_TLS = "--ssl-certfile $certificate --ssl-keyfile $key"
UVICORN = "$bin/uvicorn --no-access-log --log-level warning"
EMBED = "$python -m bench.embed"


def adapter(backend: str, interface: str, *packages: str) -> Peer:
    """Return Bigtop serving through somebody else's server."""
    return Peer(f"bigtop-{backend}", interface, (f"{BIGTOP} -k {backend}",), packages=(".", *packages))


PEERS = (
    Peer(
        "bigtop",
        "wsgi",
        (f"{BIGTOP} --threads $threads",),
        tls=BIGTOP_TLS,
        http2=True,
        packages=(".",),
    ),
    Peer(
        "bigtop-pure",
        "wsgi",
        (f"{BIGTOP} --threads $threads",),
        tls=BIGTOP_TLS,
        http2=True,
        packages=(".",),
        source=True,
        note="without what `pip install` compiles",
    ),
    Peer(
        "bigtop-asgi",
        "asgi",
        (BIGTOP,),
        tls=BIGTOP_TLS,
        http2=True,
        packages=(".", "uvloop"),
    ),
    adapter("gevent", "wsgi", "gevent"),
    adapter("cheroot", "wsgi", "cheroot"),
    adapter("fastpysgi", "wsgi", "fastpysgi"),
    adapter("tornado", "wsgi", "tornado"),
    adapter("waitress", "wsgi", "waitress"),
    adapter("bjoern", "wsgi", "bjoern"),
    adapter("wsgiref", "wsgi"),
    adapter("uvicorn", "asgi", "uvicorn[standard]"),
    adapter("granian", "asgi", "granian"),
    adapter("hypercorn", "asgi", "hypercorn"),
    Peer(
        "circus-gevent",
        "wsgi",
        ("$bin/circusd $dir/circus.ini",),
        packages=(".", "circus", "gevent"),
        files=(("circus.ini", CIRCUS_INI),),
        note="Circus supervises bigtop worker -k gevent",
    ),
    Peer(
        "c-epoll",
        "floor",
        ("$build/epoll_hello $port $workers $response",),
        sources=("c_epoll/epoll_hello.c",),
        note="the floor: the same bytes, no parsing, no Python",
    ),
    Peer(
        "gunicorn-sync",
        "wsgi",
        (f"{GUNICORN} -k sync -b $host:$port $app",),
        tls=CERTFILE_TLS,
        packages=("gunicorn",),
        note="no keep-alive: a new connection per request",
    ),
    Peer(
        "gunicorn-gthread",
        "wsgi",
        (f"{GUNICORN} -k gthread --threads 4 --keep-alive 75 -b $host:$port $app",),
        tls=CERTFILE_TLS,
        packages=("gunicorn",),
    ),
    Peer(
        "gunicorn-gevent",
        "wsgi",
        (f"{GUNICORN} -k gevent --keep-alive 75 -b $host:$port $app",),
        tls=CERTFILE_TLS,
        packages=("gunicorn", "gevent", "packaging"),  # its worker imports packaging without requiring it
    ),
    Peer(
        "gunicorn-asgi",
        "asgi",
        (f"{GUNICORN} -k asgi --keep-alive 75 -b $host:$port $app",),
        tls=CERTFILE_TLS,
        packages=("gunicorn", "uvloop"),
    ),
    Peer(
        "nginx-gunicorn",
        "wsgi",
        (f"{GUNICORN} -k sync -b unix:$dir/app.sock $app", "nginx -p $dir -c $dir/nginx.conf"),
        packages=("gunicorn",),
        programs=("nginx",),
        files=(("nginx.conf", NGINX_CONF),),
        note="nginx before gunicorn-sync over a unix socket",
    ),
    Peer(
        "uvicorn",
        "asgi",
        (f"{UVICORN} --host $host --port $port --workers $workers --timeout-keep-alive 75 $app",),
        tls=UVICORN_TLS,
        packages=("uvicorn[standard]",),
        note="with httptools and uvloop",
    ),
    Peer(
        "hypercorn",
        "asgi",
        (f"{HYPERCORN} --bind $host:$port --workers $workers $app",),
        tls=CERTFILE_TLS,
        http2=True,
        packages=("hypercorn", "uvloop"),
    ),
    Peer(
        "granian",
        "wsgi",
        (f"{GRANIAN_WSGI} $app",),
        tls=GRANIAN_TLS,
        http2=True,
        packages=("granian",),
    ),
    Peer(
        "granian-asgi",
        "asgi",
        (f"{GRANIAN} --interface asgi --runtime-threads 1 $app",),
        tls=GRANIAN_TLS,
        http2=True,
        packages=("granian",),
    ),
    Peer(
        "bjoern",
        "wsgi",
        (f"{EMBED} bjoern $app $host $port $workers",),
        packages=("bjoern",),
        note="built from source: needs libev's headers",
    ),
    Peer("fastpysgi", "wsgi", (f"{EMBED} fastpysgi $app $host $port $workers",), packages=("fastpysgi",)),
    Peer(
        "meinheld",
        "wsgi",
        (f"{EMBED} meinheld $app $host $port $workers",),
        packages=("meinheld",),
        # Its pinned greenlet does not compile on Python 3.10 or newer, and it does not need it.
        pip_options=("--no-deps",),
        pip_env=(("MEINHELD_NOGREEN", "1"),),
        note="built from source, without greenlets",
    ),
    Peer(
        "waitress",
        "wsgi",
        ("$bin/waitress-serve --host $host --port $port --threads 4 $app",),
        packages=("waitress",),
        note="always one process",
    ),
    Peer(
        "nginx",
        "floor",
        ("nginx -p $dir -c $dir/nginx.conf",),
        tls=NGINX_OVER_TLS,
        programs=("nginx",),
        files=NGINX_FILES,
        note="alone: the answer stands in its configuration",
    ),
    # Those which serve files beside an application.
    Peer(
        "bigtop-static",
        "static",
        (f"{BIGTOP} --threads $threads --static /static=$data/static",),
        tls=BIGTOP_TLS,
        packages=(".",),
    ),
    Peer(
        "nginx-static",
        "static",
        ("nginx -p $dir -c $dir/nginx.conf",),
        tls=NGINX_OVER_TLS,
        programs=("nginx",),
        files=NGINX_FILES,
        note="with an open file cache",
    ),
    # Those which keep answers of an application.
    Peer(
        "bigtop-cache",
        "cache",
        (f"{BIGTOP} --threads $threads --cache 64M",),
        tls=BIGTOP_TLS,
        packages=(".",),
    ),
    Peer(
        "nginx-cache",
        "cache",
        (f"{GUNICORN} -k sync -b unix:$dir/app.sock $app", "nginx -p $dir -c $dir/nginx.conf"),
        packages=("gunicorn",),
        programs=("nginx",),
        files=(("nginx.conf", NGINX_CACHE),),
        note="proxy_cache before gunicorn-sync, which is not asked",
    ),
    Peer(
        "granian-static",
        "static",
        (f"{GRANIAN_WSGI} --static-path-route /static --static-path-mount $data/static $app",),
        tls=GRANIAN_TLS,
        packages=("granian",),
    ),
)

BY_NAME = {peer.name: peer for peer in PEERS}

QUICK = ("bigtop", "gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "c-epoll")
FAST = ("bigtop", "bigtop-pure", "granian", "bjoern", "fastpysgi", "c-epoll")
SETS = {
    "quick": QUICK,
    "fast": FAST,
    "wsgi": (
        "bigtop",
        "bigtop-pure",
        "granian",
        "bjoern",
        "fastpysgi",
        "meinheld",
        "waitress",
        "gunicorn-sync",
        "gunicorn-gthread",
        "gunicorn-gevent",
        "nginx-gunicorn",
        "c-epoll",
    ),
    "asgi": ("bigtop-asgi", "granian-asgi", "uvicorn", "gunicorn-asgi"),
    "http2": ("bigtop", "granian", "bigtop-asgi", "granian-asgi", "hypercorn"),
    "websocket": ("bigtop-asgi", "granian-asgi", "uvicorn", "hypercorn", "gunicorn-asgi"),
    "https": (
        "nginx",
        "bigtop",
        "bigtop-asgi",
        "granian",
        "granian-asgi",
        "uvicorn",
        "hypercorn",
        "gunicorn-gthread",
        "gunicorn-asgi",
        "nginx-static",
        "bigtop-static",
        "granian-static",
    ),
    "deploys": (
        "bigtop",
        "gunicorn-gthread",
        "granian",
        "bigtop-asgi",
        "gunicorn-asgi",
        "uvicorn",
        "granian-asgi",
    ),
    "static": tuple(peer.name for peer in PEERS if peer.interface == "static"),
    "cache": tuple(peer.name for peer in PEERS if peer.interface == "cache"),
    "backends": (
        "bigtop",
        *(f"bigtop-{name}" for name in ("gevent", "cheroot", "fastpysgi", "tornado", "waitress", "bjoern")),
        *(f"bigtop-{name}" for name in ("wsgiref", "asgi", "uvicorn", "granian", "hypercorn")),
    ),
    "all": tuple(BY_NAME),
}


class UnknownNameError(ValueError):
    """A name on the command line that nothing was declared under."""


def select(names: str) -> list[Peer]:
    """Return the peers of a comma-separated list of names and set names, each once, in that order."""
    chosen = expand(names, SETS, known=BY_NAME, what="peer")
    return [BY_NAME[name] for name in chosen]


def with_earlier(chosen: Iterable[Peer], commit: str) -> list[Peer]:
    """Return the peers, and behind each that is Bigtop as users install it the same as of `commit`."""
    both = []
    for peer in chosen:
        both.append(peer)
        if peer.is_bigtop and not peer.source:
            # The program in the environment belongs to what is installed there.
            commands = tuple(one.replace("$bin/bigtop", "$python -P -m bigtop", 1) for one in peer.commands)
            name, note = f"{peer.name}@{commit}", f"as of {commit}"
            both.append(replace(peer, name=name, commands=commands, commit=commit, note=note))
    return both


def expand(names: str, sets: dict[str, tuple[str, ...]], known: Iterable[str], what: str) -> list[str]:
    known = list(known)
    chosen: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in sets and name not in known:
            raise UnknownNameError(
                f"no {what} {name!r}; there are {', '.join(known)}; sets: {', '.join(sets)}"
            )
        chosen.update(dict.fromkeys(sets.get(name, (name,))))
    if not chosen:
        raise UnknownNameError(f"no {what} named")
    return list(chosen)
