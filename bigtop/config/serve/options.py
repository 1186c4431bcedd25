# Options of `bigtop serve`, each once, by subject: in the order of --help.
#
# From this table come the flags, the variables, the arguments of bigtop.serve(), --help, --print-config and
# docs/reference/serve.md. Rule: an option is described here. Where it has a `field`, it sets that of
# ServeOptions (backends/serve_options.py); the others are read in serve.py. docs/howto/add-an-option.md shows
# both.
# Names and short flags are gunicorn's wherever the meaning is the same, and uvicorn's for ASGI; `also` lists
# gunicorn's name of the setting where ours differs, which bigtop.serve() takes as well.
#
# A default is a text like any other: it is shown as it stands and read by the same converter.

from __future__ import annotations

from typing import Final

from bigtop import emission, zones
from bigtop.backends.serve_options import ProxyOptions, ServeOptions, TlsPolicy
from bigtop.config.serve.option import Group, Option, Without
from bigtop.config.serve.values import (
    answer_values,
    deploy_values,
    gate_values,
    proxy_values,
    tls_values,
    values,
)
from bigtop.config.serve.values.values import commas, each, maybe, one
from bigtop.http.declarations import (
    COMPRESSED_LEAST,
    COMPRESSED_TYPES,
    FIELDS,
    FORWARDER,
    MAPS,
    SECURE_SCHEMES,
)
from bigtop.http.limits import Limits, WebSocketLimits
from bigtop.ipc.seats import CAPACITY
from bigtop.keeper.issuers import LETS_ENCRYPT
from bigtop.log import LEVELS
from bigtop.sockets import parse_bind

# gunicorn's default, which is the combined format that log analysers know.
ACCESS_FORMAT: Final = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
# During a reload a worker and its successor live side by side, each with a seat of its own.
MAX_WORKERS: Final = CAPACITY // 2
_DEFAULTS: Final = ServeOptions()
_LIMITS: Final = Limits()
_POLICY: Final = TlsPolicy()
_PROXY: Final = ProxyOptions()
_WEBSOCKET: Final = WebSocketLimits()

# Why one of the native servers does without an option.
_ONE_THREAD: Final = (
    Without("gevent", "one thread runs all calls, each in a greenlet"),
    Without("asgi", "one thread runs all calls, in its event loop"),
)
_MONKEY: Final = (
    Without("wsgi", "threads need no cooperation"),
    Without("asgi", "an event loop cannot have it"),
)
_NO_LOOP: Final = (
    Without("wsgi", "an application for WSGI runs in no event loop"),
    Without("gevent", "an application for WSGI runs in no event loop"),
)
_OWN_WEBSOCKETS: Final = (
    Without("wsgi", "an application for WSGI speaks WebSocket by itself, with a library of its own"),
    Without("gevent", "an application for WSGI speaks WebSocket by itself, with a library of its own"),
)

# ---- application

FACTORY = Option(
    "--factory",
    Group.APPLICATION,
    one(values.switch),
    "APP names a function that returns the application.",
    default=("off",),
)
INTERFACES = ("auto", "wsgi", "asgi", "asgi2")
INTERFACE = Option(
    "--interface",
    Group.APPLICATION,
    one(values.choice(*INTERFACES)),
    "What the application speaks; auto looks at it.",
    "|".join(INTERFACES),
    ("auto",),
)
CHDIR = Option(
    "--chdir",
    Group.APPLICATION,
    maybe(values.directory),
    "Go to this directory first; it is importable, and relative file names count from it.",
    "DIR",
)
PYTHONPATH = Option(
    "--pythonpath",
    Group.APPLICATION,
    commas(values.path),
    "Directories to import from before all others, separated by commas.",
    "DIRS",
    many=True,
)
ENV = Option(
    "-e --env",
    Group.APPLICATION,
    each(values.variable),
    "Set a variable in the application's environment.",
    "NAME=VALUE",
    many=True,
    also="raw_env",
)
CONFIG = Option(
    "-c --config",
    Group.APPLICATION,
    maybe(values.path),
    "Take settings from this configuration file of gunicorn's, FILE or python:MODULE. Unless given, from "
    "gunicorn.conf.py in the working folder, if it is there; off takes none.",
    "FILE|off",
)
HOOKS = Option(
    "--hooks",
    Group.APPLICATION,
    maybe(values.module),
    "Call the functions of this module that have names of gunicorn's hooks: post_fork, child_exit and so on.",
    "MODULE",
)
PASTE = Option(
    "--paste --paster",
    Group.APPLICATION,
    maybe(values.path),
    "Serve what this PasteDeploy file describes, in place of APP: FILE, or FILE#NAME.",
    "FILE",
)
PASTE_LOGGING = Option(
    "--paste-logging",
    Group.APPLICATION,
    one(values.switch),
    "Set Python's logging up as that file says in [loggers], [handlers] and [formatters].",
    default=("off",),
)
ROOT_PATH = Option(
    "--root-path",
    Group.APPLICATION,
    one(values.mount_point),
    "The path below which the application is mounted, whether or not a proxy takes it off. "
    "$SCRIPT_NAME is the default.",
    "PATH",
    ("",),
    field="root_path",
)
MOUNT = Option(
    "--mount",
    Group.APPLICATION,
    each(values.mounted_app),
    "Serve another application, WSGI or ASGI, below the path URL.",
    "URL=APP",
    many=True,
)

# ---- sockets

BIND = Option(
    "-b --bind",
    Group.SOCKETS,
    each(parse_bind),
    "Listen here: HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME (an abstract socket) or fd://N. "
    "With $PORT set, 0.0.0.0:$PORT is the default.",
    "ADDRESS",
    ("127.0.0.1:8000",),
    many=True,
)
BIND_MODE = Option(
    "--bind-mode",
    Group.SOCKETS,
    maybe(values.mode),
    "Mode of unix sockets; 777 without the bits of --umask unless given.",
    "OCTAL",
)
BIND_OWNER = Option(
    "--bind-owner",
    Group.SOCKETS,
    maybe(values.user),
    "Owner of unix sockets; --user unless given.",
    "USER",
)
BIND_GROUP = Option(
    "--bind-group",
    Group.SOCKETS,
    maybe(values.group),
    "Group of unix sockets; --group, or that of --user, unless given.",
    "GROUP",
)
BACKLOG = Option(
    "--backlog",
    Group.SOCKETS,
    one(values.whole(1, 65535)),
    "Connections that may wait to be accepted.",
    "N",
    ("2048",),
)
REUSE_PORT = Option(
    "--reuse-port",
    Group.SOCKETS,
    one(values.switch),
    "Bind with SO_REUSEPORT, so that another server may share the port.",
    default=("off",),
)
CANONICAL_HOST = Option(
    "--canonical-host",
    Group.SOCKETS,
    values.unless_off(commas(gate_values.canonical)),
    "Redirect requests (308) for other hosts to this one, or with ALIAS=HOST those for the alias, such as "
    "example.com=www.example.com. off: none.",
    "HOST|ALIAS=HOST|off",
    many=True,
    field="gates.canonical",
    by_path=True,
)
FORWARDED_ALLOW_IPS = Option(
    "--forwarded-allow-ips",
    Group.SOCKETS,
    commas(values.proxy),
    "Proxies that may say that a request came by https: addresses, networks or *. With --tls, none unless "
    "given.",
    "LIST",
    ("127.0.0.1,::1",),
    field="forwarded_allow_ips",
)
FORWARDED_HEADERS = Option(
    "--forwarded-headers",
    Group.SOCKETS,
    commas(values.choice(*FIELDS)),
    "What those proxies set themselves, so that it can be believed: X-Forwarded-For, -Proto, -Host, -Port, "
    "or Forwarded.",
    ",".join(FIELDS),
    ("for,proto",),
    field="forwarded_headers",
)
SECURE_SCHEME_HEADERS = Option(
    "--secure-scheme-headers",
    Group.SOCKETS,
    commas(values.scheme_header),
    "The fields that proto stands for, and what they say of a request that came by https.",
    "LIST",
    (",".join(f"{name}={value}" for name, value in SECURE_SCHEMES),),
    many=True,
    field="secure_scheme_headers",
)
HEADER_MAP = Option(
    "--header-map",
    Group.SOCKETS,
    one(values.choice(*MAPS)),
    "Header fields with _ in their names: drop them, refuse the request, or dangerously pass them on.",
    "|".join(MAPS),
    ("drop",),
    field="header_map",
)
FORWARDER_HEADERS = Option(
    "--forwarder-headers",
    Group.SOCKETS,
    commas(values.field_name),
    "Such fields that proxies in --forwarded-allow-ips may send all the same; * is all of them.",
    "LIST",
    (",".join(FORWARDER),),
    many=True,
    field="forwarder_headers",
)
PROXY_PROTOCOL = Option(
    "--proxy-protocol",
    Group.SOCKETS,
    one(values.proxy_protocol),
    "Balancers say who their client is in front of the first request; auto, or no word, is v1 or v2.",
    "off|v1|v2|auto",
    ("off",),
    bare="auto",
    field="balancers.protocol",
)
PROXY_ALLOW_IPS = Option(
    "--proxy-allow-ips",
    Group.SOCKETS,
    commas(values.proxy),
    "Balancers that use --proxy-protocol, and must: addresses, networks or *.",
    "LIST",
    ("127.0.0.1,::1",),
    field="balancers.allow_ips",
)

HTTP1_ONLY = Option(
    "--http1-only",
    Group.SOCKETS,
    one(values.switch),
    "Speak HTTP/1.1 alone. Unless given, clients with TLS may choose HTTP/2, and proxies in "
    "--forwarded-allow-ips may begin with it without TLS.",
    default=("off",),
    field="tls.http1_only",
)

# ---- TLS

TLS = Option(
    "--tls",
    Group.TLS,
    each(tls_values.tls_source),
    "Speak TLS at each --bind, with the certificate and the key in these files (PEM). Give more of them for "
    "more names, or for other kinds of keys; the first is for clients that name none of those. auto: with a "
    "certificate for NAMES that Let's Encrypt is asked for, at ports 443 and 80 unless --bind and "
    "--http-bind say otherwise. local: with one of this user's own CA (bigtop ca), for localhost unless it "
    "says NAMES.",
    "auto:NAMES|files:CERT,KEY|local[:NAMES]",
    many=True,
)
CERTFILE = Option(
    "--certfile",
    Group.TLS,
    maybe(values.path),
    "The same as --tls files:FILE, with the key of --keyfile.",
    "FILE",
)
KEYFILE = Option(
    "--keyfile",
    Group.TLS,
    maybe(values.path),
    "The key of --certfile, unless that is in the same file.",
    "FILE",
)
TLS_MIN = Option(
    "--tls-min",
    Group.TLS,
    one(values.choice("1.2", "1.3")),
    "The oldest version of TLS that clients may speak.",
    "1.2|1.3",
    (_POLICY.minimum,),
    field="tls.minimum",
)
TLS_CIPHERS = Option(
    "--tls-ciphers --ciphers",
    Group.TLS,
    one(str),
    "Ciphers of TLS 1.2, as OpenSSL names them; those with ECDHE and AES-GCM or ChaCha20 unless given.",
    "LIST",
    (_POLICY.ciphers,),
    also="ciphers",
    field="tls.ciphers",
)
TLS_UNKNOWN_NAME = Option(
    "--tls-unknown-name",
    Group.TLS,
    one(values.choice("default", "refuse")),
    "Clients that ask for a name which is in no certificate, or for none: they get the first certificate, or "
    "are refused.",
    "default|refuse",
    (_POLICY.unknown_name,),
    field="tls.unknown_name",
)
HANDSHAKE_TIMEOUT = Option(
    "--handshake-timeout",
    Group.TLS,
    one(values.duration),
    "Time from a connection to the end of its handshake.",
    "SECONDS",
    (f"{_LIMITS.handshake_timeout:g}",),
    field="limits.handshake_timeout",
)
CLIENT_CA = Option(
    "--client-ca --ca-certs",
    Group.TLS,
    maybe(values.path),
    "Ask clients for certificates, which one of those in this file (PEM) has to have issued.",
    "FILE",
    also="ca_certs",
)
CLIENT_CRL = Option(
    "--client-crl",
    Group.TLS,
    maybe(values.path),
    "Refuse clients whose certificate is in this list of revoked ones (PEM). There must be a list of each "
    "issuer in --client-ca.",
    "FILE",
)
CLIENT_AUTH = Option(
    "--client-auth",
    Group.TLS,
    one(values.choice("required", "optional", "off")),
    "Whether clients must have such a certificate. One that is no good is refused also where it is optional.",
    "required|optional|off",
    (_POLICY.client_auth,),
    field="tls.client_auth",
)
TLS_TICKET_SECRET = Option(
    "--tls-ticket-secret",
    Group.TLS,
    maybe(values.path),
    "Make keys for session tickets of what is in this file, at least 32 random bytes. Machines with the same "
    "file resume each other's sessions, as those that share --tls-storage do.",
    "FILE",
)
HTTP_BIND = Option(
    "--http-bind",
    Group.TLS,
    values.unless_off(each(parse_bind)),
    "Listen here without TLS, beside --bind. With --tls auto it is port 80, where a CA comes, unless --bind "
    "is at another port than 443; off does without.",
    "ADDRESS|off",
    many=True,
)
HTTPS_REDIRECT = Option(
    "--https-redirect",
    Group.TLS,
    values.unless_off(commas(tls_values.https_host)),
    "Redirect requests that came by http (308), for these hosts only: www.example.com, *.example.com, or "
    "example.com:8443 where the port is another one. Other hosts get 421. With --tls auto for its names, "
    "unless it is off.",
    "HOSTS|off",
    many=True,
    field="tls.redirect",
    by_path=True,
)
HSTS = Option(
    "--hsts",
    Group.TLS,
    one(tls_values.hsts),
    "Tell browsers to come by https alone for so long, such as 5m or 1y,subdomains,preload.",
    "AGE[,WORDS]",
    (_POLICY.hsts,),
    field="tls.hsts",
    by_path=True,
)

TLS_STORAGE = Option(
    "--tls-storage",
    Group.TLS,
    maybe(values.path),
    "Keep certificates, keys and accounts of --tls auto in this folder, which several machines may share. "
    "Unless given: /var/lib/bigtop/certificates for root, $STATE_DIRECTORY/certificates with systemd, else "
    "~/.local/share/bigtop/certificates.",
    "DIR",
)
TLS_STORAGE_EPHEMERAL = Option(
    "--tls-storage-ephemeral",
    Group.TLS,
    one(values.switch),
    "That folder may be on a file system that is gone with its container or at the next boot. Each new one "
    "asks the CA anew, until its limits are reached.",
    default=("off",),
)
TLS_KEEPER_USER = Option(
    "--tls-keeper-user",
    Group.TLS,
    maybe(values.user),
    "The process that gets them runs as this user, who owns that folder; as who starts Bigtop unless given.",
    "USER",
)
ACME_DIRECTORY = Option(
    "--acme-directory",
    Group.TLS,
    one(tls_values.https_url),
    "The directory (RFC 8555) of the CA that is asked for certificates of --tls auto.",
    "URL",
    (LETS_ENCRYPT,),
)
ACME_EMAIL = Option(
    "--acme-email", Group.TLS, one(tls_values.email), "Where that CA can write to you.", "ADDRESS", ("",)
)
ACME_PROFILE = Option(
    "--acme-profile",
    Group.TLS,
    one(tls_values.profile),
    "The kind of certificate, by that CA's name for it, such as shortlived.",
    "NAME",
    ("",),
)
ACME_EAB = Option(
    "--acme-eab",
    Group.TLS,
    maybe(tls_values.binding),
    "The account with that CA, if it wants one (external account binding): the id of its key, and a file "
    "with the key.",
    "KID,FILE",
)
ACME_ROOT_CERT = Option(
    "--acme-root-cert",
    Group.TLS,
    maybe(values.path),
    "Trust the CA's own https by this certificate (PEM), which a CA that is not public has. Such a CA is "
    "asked for local names, too.",
    "FILE",
)
ACME_FALLBACK = Option(
    "--acme-fallback",
    Group.TLS,
    maybe(tls_values.https_url),
    "Another CA, which is asked when the first one cannot or will not.",
    "URL",
)
ACME_FALLBACK_EAB = Option(
    "--acme-fallback-eab", Group.TLS, maybe(tls_values.binding), "The account with that one.", "KID,FILE"
)
ACME_DNS_HOOK = Option(
    "--acme-dns-hook",
    Group.TLS,
    maybe(tls_values.dns_hook),
    "Prove that names are yours by the DNS (DNS-01), which this program changes. *.example.com can be had so "
    "only. It is called as lego calls one, or as dehydrated does.",
    "[dehydrated:]PROGRAM",
)

ACME_DNS_WAIT = Option(
    "--acme-dns-wait",
    Group.TLS,
    one(values.seconds),
    "Time after that program until the CA looks, unless all servers of the zone have its records before.",
    "SECONDS",
    ("120",),
)

# ---- files

STATIC = Option(
    "--static",
    Group.FILES,
    each(values.mount),
    "Serve the files in DIR below the path URL, without the application.",
    "URL=DIR",
    many=True,
    field="static",
)
STATIC_FALLBACK = Option(
    "--static-fallback",
    Group.FILES,
    each(gate_values.fallback),
    "What is not there below the URL of a --static: FILE of its folder, as applications of one page want it, "
    "where the last name of the path has no dot; app: the application answers.",
    "URL=FILE|URL=app",
    many=True,
)
ERROR_PAGE = Option(
    "--error-page",
    Group.FILES,
    each(gate_values.error_page),
    "Show FILE where the server itself answers with one of these statuses, such as 502,503=sorry.html or "
    "5xx=sorry.html. Answers of the application stay as they are.",
    "CODES=FILE",
    many=True,
    field="gates.error_pages",
)
MAINTENANCE_FILE = Option(
    "--maintenance-file",
    Group.FILES,
    one(gate_values.unless_none(values.path)),
    "While this file is there, answer all requests 503, with what is in it. off: never.",
    "FILE|off",
    (_DEFAULTS.gates.maintenance,),
    field="gates.maintenance",
    by_path=True,
)
SENDFILE_ROOT = Option(
    "--sendfile-root",
    Group.FILES,
    each(values.mount),
    "Let the application answer with a file in DIR: by X-Sendfile, or as URL/... by X-Accel-Redirect.",
    "URL=DIR",
    many=True,
    field="sendfile_roots",
    by_path=True,
)
ACCEL_HEADERS = Option(
    "--accel-headers",
    Group.FILES,
    one(values.switch),
    "Heed X-Accel-Charset and -Limit-Rate of the application, and -Expires for --cache; keep these and "
    "-Buffering from clients.",
    default=("off",),
    field="answers.accel_headers",
    by_path=True,
)
COMPRESS = Option(
    "--compress",
    Group.FILES,
    values.unless_off(answer_values.codings),
    "Compress answers for clients that take it: auto is with what is installed here, LIST names some of "
    "zstd, br and gzip, the best first.",
    "auto|LIST|off",
    many=True,
    field="answers.compress",
    by_path=True,
)
COMPRESS_TYPES = Option(
    "--compress-types",
    Group.FILES,
    commas(answer_values.media_type),
    "The media types of answers that are compressed; * stands for any word.",
    "LIST",
    (",".join(COMPRESSED_TYPES),),
    many=True,
    field="answers.compress_types",
    by_path=True,
)
COMPRESS_MIN = Option(
    "--compress-min",
    Group.FILES,
    one(values.size(0)),
    "Send smaller answers as they are.",
    "SIZE",
    (str(COMPRESSED_LEAST),),
    field="answers.compress_min",
    by_path=True,
)
CACHE = Option(
    "--cache",
    Group.FILES,
    one(answer_values.cache_size),
    "Keep answers that say for how long, in so much shared memory, and answer with them: as in 64M.",
    "SIZE|off",
    ("off",),
    field="answers.cache",
    by_path=True,
)
CACHE_COOKIES = Option(
    "--cache-cookies",
    Group.FILES,
    commas(answer_values.cookie_name),
    "The cookies that answers depend on, such as sessionid; others mean nothing to the cache. Unless given, "
    "a request with any cookie gets only what is public.",
    "LIST",
    many=True,
    field="answers.cache_cookies",
    by_path=True,
)
SECURITY_HEADERS = Option(
    "--security-headers",
    Group.FILES,
    one(values.switch),
    "Add X-Content-Type-Options, Referrer-Policy and X-Frame-Options to answers of an application that says "
    "none.",
    default=("off",),
    field="answers.security_headers",
    by_path=True,
)
ADD_HEADER = Option(
    "--add-header",
    Group.FILES,
    each(answer_values.added_header),
    "Add this field to answers that have none of its name.",
    "NAME:VALUE",
    many=True,
    blanks=True,
    field="answers.add_headers",
    by_path=True,
)

# ---- other servers

PROXY = Option(
    "--proxy",
    Group.PROXYING,
    proxy_values.proxy_routes,
    "Let another server answer requests below PATH: at http://HOST:PORT, or at unix:SOCKET.",
    "PATH=URL",
    many=True,
    field="proxy.routes",
)
PROXY_CONNECT_TIMEOUT = Option(
    "--proxy-connect-timeout",
    Group.PROXYING,
    one(values.seconds),
    "Time for a connection to such a server, then 504; and for one that is free, then 503. 0 is for ever.",
    "SECONDS",
    (f"{_PROXY.connect_timeout:g}",),
    field="proxy.connect_timeout",
)
PROXY_TIMEOUT = Option(
    "--proxy-timeout",
    Group.PROXYING,
    one(values.seconds),
    "Time for which such a server may send nothing of an answer; then 504. 0 is for ever.",
    "SECONDS",
    (f"{_PROXY.timeout:g}",),
    field="proxy.timeout",
)
PROXY_CONNECTIONS = Option(
    "--proxy-connections",
    Group.PROXYING,
    one(values.whole(1)),
    "Connections of one worker to one such server at once; more requests wait.",
    "N",
    (str(_PROXY.connections),),
    field="proxy.connections",
)

# ---- workers

WORKERS = Option(
    "-w --workers",
    Group.WORKERS,
    one(values.processes(1, MAX_WORKERS)),
    "Worker processes; auto is one per CPU that the control group grants. With 2..16 as many as the load "
    "asks for. $WEB_CONCURRENCY is the default.",
    "N|N..M|auto",
    ("1",),
)
THREADS = Option(
    "--threads",
    Group.WORKERS,
    one(values.whole(1, 1024)),
    "Requests that a worker handles at once; more than 1 needs a thread-safe application.",
    "N",
    ("1",),
    field="threads",
    without=(
        Without("gevent", "each call has a greenlet; `--worker-connections` is their number"),
        Without("asgi", "any number of calls runs at once; with `--mount` it is for those for WSGI"),
    ),
)
BACKEND = Option(
    "-k --backend --worker-class",
    Group.WORKERS,
    one(values.name),
    "The server inside a worker; auto takes the one for the application's interface.",
    "NAME",
    ("auto",),
    also="worker_class",
)
PRELOAD = Option(
    "--preload",
    Group.WORKERS,
    one(values.unless_auto),
    "Import the application once, fork workers from it; auto: unless that leaves threads, sockets, locks.",
    "auto|on|off",
    ("auto",),
    bare="on",
    also="preload_app",
)
REFORK = Option(
    "--refork",
    Group.WORKERS,
    one(values.whole(0)),
    "When a worker has answered so many requests, have it become the fork server of all others, if that is "
    "safe; without a number after 1000; 0 is never.",
    "N",
    ("0",),
    bare="1000",
)
MAX_REQUESTS = Option(
    "--max-requests",
    Group.WORKERS,
    one(values.whole(0)),
    "Replace a worker after so many requests; 0 is never.",
    "N",
    ("0",),
)
MAX_REQUESTS_JITTER = Option(
    "--max-requests-jitter",
    Group.WORKERS,
    one(values.whole(0)),
    "Add a random number up to N to --max-requests, so that workers do not retire together.",
    "N",
    ("0",),
)
MAX_AGE = Option(
    "--max-age",
    Group.WORKERS,
    one(values.span),
    "Replace a worker of this age, such as 12h; 0 is never.",
    "TIME",
    ("0",),
)
MAX_AGE_VARIANCE = Option(
    "--max-age-variance",
    Group.WORKERS,
    one(values.span),
    "Add a random time up to this to --max-age, so that workers do not retire together.",
    "TIME",
    ("30",),
)
MAX_MEMORY = Option(
    "--max-memory",
    Group.WORKERS,
    one(values.size(0)),
    "Replace a worker that, with what it started, has more memory (PSS), such as 300M; 0 is never.",
    "SIZE",
    ("0",),
)
MAIN_THREAD = Option(
    "--main-thread",
    Group.WORKERS,
    one(values.switch),
    "Call the application in the main thread only; during a call the worker does nothing else.",
    default=("off",),
    field="main_thread",
    without=(
        Without("gevent", "the main thread runs all calls as it is"),
        Without("asgi", "the main thread runs all calls as it is"),
    ),
)
SWITCH_INTERVAL = Option(
    "--switch-interval",
    Group.WORKERS,
    one(values.duration),
    "Time after which a thread that computes lets another one of its worker run.",
    "SECONDS",
    (f"{_DEFAULTS.switch_interval:g}",),
    field="switch_interval",
    without=_ONE_THREAD,
)
WORKER_CONNECTIONS = Option(
    "--worker-connections",
    Group.WORKERS,
    one(values.whole(1)),
    "Connections that a worker has open at most; the limit of open files counts too.",
    "N",
    (str(_DEFAULTS.worker_connections),),
    field="worker_connections",
)
MONKEY = Option(
    "--monkey",
    Group.WORKERS,
    one(values.switch),
    "For gevent: make the standard library cooperative before the application is imported.",
    default=("on",),
    field="monkey",
    without=_MONKEY,
)

# ---- times

TIMEOUT = Option(
    "-t --timeout",
    Group.TIMES,
    one(values.seconds),
    "Time that the application may take over one request, or an event loop for one turn; 0 is for ever.",
    "SECONDS",
    ("30",),
    field="timeout",
)
TIMEOUT_FOR = Option(
    "--timeout-for",
    Group.TIMES,
    each(values.path_timeout),
    "Give requests whose path is like PATTERN, as in /reports/*=300, so much time; 0 is no limit.",
    "PATTERN=SECONDS",
    many=True,
    field="limits.timeout_for",
)
TIMEOUT_ACTION = Option(
    "--timeout-action",
    Group.TIMES,
    one(values.timeout_steps),
    "Steps against a request past its limit, with the seconds after the one before: "
    "interrupt, retire=5, kill=30.",
    "STEPS",
    (_LIMITS.timeout_action,),
    field="limits.timeout_action",
)
GRACEFUL_TIMEOUT = Option(
    "--graceful-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time for open requests when a worker is told to end.",
    "SECONDS",
    ("30",),
)
DRAIN_DELAY = Option(
    "--drain-delay",
    Group.TIMES,
    one(values.seconds),
    "Time from TERM, which makes /readyz of --admin say no, until the site stops to accept connections.",
    "SECONDS",
    ("0",),
)
BOOT_TIMEOUT = Option(
    "--boot-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time to import the application, and for a worker from its start until it is ready; 0 is for ever.",
    "SECONDS",
    ("120",),
)
KEEP_ALIVE = Option(
    "--keep-alive",
    Group.TIMES,
    one(values.seconds),
    "Keep an idle connection open for the next request; 0 closes it after each.",
    "SECONDS",
    (f"{_LIMITS.keep_alive:g}",),
    also="keepalive",
    field="limits.keep_alive",
)
HEADER_TIMEOUT = Option(
    "--header-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time for a client to send a whole request head; 0 is no limit.",
    "SECONDS",
    (f"{_LIMITS.header_timeout:g}",),
    field="limits.header_timeout",
)
BODY_TIMEOUT = Option(
    "--body-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time between two pieces of a request body; 0 is no limit.",
    "SECONDS",
    (f"{_LIMITS.body_timeout:g}",),
    field="limits.body_timeout",
)
SEND_TIMEOUT = Option(
    "--send-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time between two pieces that a client takes of a response; 0 is no limit.",
    "SECONDS",
    (f"{_LIMITS.send_timeout:g}",),
    field="limits.send_timeout",
)
MIN_HEADER_RATE = Option(
    "--min-header-rate",
    Group.TIMES,
    one(values.size(0)),
    "Bytes of a head per second that a client has to send, after 5 seconds; 0 is no limit.",
    "SIZE",
    (str(_LIMITS.header_rate),),
    field="limits.header_rate",
)
MIN_BODY_RATE = Option(
    "--min-body-rate",
    Group.TIMES,
    one(values.size(0)),
    "Bytes of a body per second that a client has to send, after 5 seconds; 0 is no limit.",
    "SIZE",
    (str(_LIMITS.body_rate),),
    field="limits.body_rate",
)
MIN_SEND_RATE = Option(
    "--min-send-rate",
    Group.TIMES,
    one(values.size(0)),
    "Bytes of a response per second that a client has to take, after 5 seconds; 0 is no limit.",
    "SIZE",
    (str(_LIMITS.send_rate),),
    field="limits.send_rate",
)

# ---- limits

LIMIT_REQUEST_LINE = Option(
    "--limit-request-line",
    Group.LIMITS,
    one(values.size(0)),
    "Bytes of a request line; 0 is as many as the head may have.",
    "SIZE",
    (str(_LIMITS.request_line),),
    field="limits.request_line",
)
LIMIT_REQUEST_FIELDS = Option(
    "--limit-request-fields",
    Group.LIMITS,
    one(values.whole(0, 32768)),
    "Header fields of a request; 0 is as many as the head has room for.",
    "N",
    (str(_LIMITS.fields),),
    field="limits.fields",
)
LIMIT_REQUEST_FIELD_SIZE = Option(
    "--limit-request-field-size --limit-request-field_size",
    Group.LIMITS,
    one(values.size(0)),
    "Bytes of one header field; 0 is as many as the head may have.",
    "SIZE",
    (str(_LIMITS.field_size),),
    field="limits.field_size",
)
LIMIT_REQUEST_HEAD = Option(
    "--limit-request-head",
    Group.LIMITS,
    one(values.size(1)),
    "Bytes of the request line and all header fields together.",
    "SIZE",
    (str(_LIMITS.head),),
    field="limits.head",
)
LIMIT_REQUEST_BODY = Option(
    "--limit-request-body",
    Group.LIMITS,
    one(values.size(0)),
    "Bytes of a request body; 0 is no limit.",
    "SIZE",
    (f"{_LIMITS.body >> 30}G",),
    field="limits.body",
    by_path=True,
)
HTTP2_MAX_CONCURRENT_STREAMS = Option(
    "--http2-max-concurrent-streams",
    Group.LIMITS,
    one(values.whole(1, 32768)),
    "Requests at once on one connection of HTTP/2; the client may try others again.",
    "N",
    (str(_LIMITS.http2.streams),),
    field="limits.http2.streams",
)
HTTP2_MAX_RESETS = Option(
    "--http2-max-resets",
    Group.LIMITS,
    one(values.whole(1)),
    "Requests that the client of a connection of HTTP/2 gives up, in 10 s; beyond it the connection ends.",
    "N",
    (str(_LIMITS.http2.resets),),
    field="limits.http2.resets",
)
HTTP2_INITIAL_WINDOW_SIZE = Option(
    "--http2-initial-window-size",
    Group.LIMITS,
    one(values.window),
    "Bytes of a request body that a client of HTTP/2 may send before any of it was taken, 64k to 1G. An "
    "upload is no faster than this for each round trip.",
    "SIZE",
    (f"{_LIMITS.http2.stream_window >> 10}k",),
    field="limits.http2.stream_window",
)
TEMP_DIR = Option(
    "--temp-dir",
    Group.LIMITS,
    maybe(values.directory),
    "Where large bodies and responses wait; the system's directory for temporary files unless given.",
    "DIR",
    also="tmp_upload_dir",
    field="temp_dir",
)
MAX_BUFFERED = Option(
    "--max-buffered",
    Group.LIMITS,
    one(values.size(0)),
    "Bytes of a response in a temporary file for a slow client, before the application has to wait.",
    "SIZE",
    (f"{_LIMITS.send_file >> 20}M",),
    field="limits.send_file",
    without=(Without("asgi", "a call that waits for its client takes no thread: it waits when 1 MB does"),),
)
STREAM_BODIES = Option(
    "--stream-bodies",
    Group.LIMITS,
    each(values.path_pattern),
    "Call the application before the body is here where the path is like PATTERN, as in /upload/*.",
    "PATTERN",
    many=True,
    field="stream_bodies",
)
LIMIT_ADDRESS_CONNECTIONS = Option(
    "--limit-address-connections",
    Group.LIMITS,
    one(values.whole(0)),
    "Connections of one client address, in all workers; 503 beyond it. 0 is no limit.",
    "N",
    (str(_DEFAULTS.gates.connections),),
    field="gates.connections",
)
LIMIT_ADDRESS_RATE = Option(
    "--limit-address-rate",
    Group.LIMITS,
    one(values.rate),
    "Requests of one client address per second, minute, hour or day, in all workers; 429 beyond it. As many "
    "may come at once. 0 is no limit.",
    "N[/s|/m|/h|/d]",
    (str(_DEFAULTS.gates.rate.requests),),
    field="gates.rate",
    by_path=True,
)
RATE_LIMIT_FIELDS = Option(
    "--rate-limit-fields",
    Group.LIMITS,
    one(values.switch),
    "Tell clients in each answer how much of --limit-address-rate they have left: RateLimit and "
    "RateLimit-Policy. A 429 says so in any case.",
    default=("off",),
    field="gates.rate_fields",
    by_path=True,
)
ALLOWED = Option(
    "--allow",
    Group.LIMITS,
    values.unless_off(commas(gate_values.address_list)),
    "Let in only these clients, 403 for others: addresses, networks, or file:PATH with one a line, which is "
    "read again when it changes. off: everybody.",
    "LIST",
    many=True,
    field="gates.allow",
    by_path=True,
)
DENIED = Option(
    "--deny",
    Group.LIMITS,
    values.unless_off(commas(gate_values.address_list)),
    "Do not let in these clients, 403, also where --allow has them: addresses, networks, or file:PATH with "
    "one a line, which is read again when it changes. off: nobody.",
    "LIST",
    many=True,
    field="gates.deny",
    by_path=True,
)
BASIC_AUTH = Option(
    "--basic-auth",
    Group.LIMITS,
    one(gate_values.unless_none(values.path)),
    "Ask for a user and a password of this file, as `htpasswd -B` writes it; it is read again when it "
    "changes. off: nobody is asked.",
    "FILE|off",
    (_DEFAULTS.gates.users,),
    field="gates.users",
    by_path=True,
)
BASIC_AUTH_REALM = Option(
    "--basic-auth-realm",
    Group.LIMITS,
    one(gate_values.quotable),
    "What browsers show where they ask for these.",
    "TEXT",
    (_DEFAULTS.gates.realm,),
    field="gates.realm",
    by_path=True,
)
LIMIT_CONCURRENCY = Option(
    "--limit-concurrency",
    Group.LIMITS,
    one(values.whole(0)),
    "Requests that a worker runs at once, more are answered 503; 0 is any number.",
    "N",
    ("0",),
    field="limit_concurrency",
    without=(Without("wsgi", "`--threads` is that number; more requests wait, or go to another worker"),),
)
MAX_QUEUE_TIME = Option(
    "--max-queue-time",
    Group.LIMITS,
    one(values.span),
    "Time, such as 2s, that a request may wait for the application; then it is answered 503. 0 is for ever.",
    "TIME",
    ("0",),
    field="max_queue_time",
)
METHODS = Option(
    "--methods",
    Group.LIMITS,
    commas(values.method),
    "Methods of requests, such as GET,HEAD,POST; 405 for others. All of them unless given.",
    "LIST",
    many=True,
    field="methods",
)

# ---- ASGI applications

LOOP = Option(
    "--loop",
    Group.ASGI,
    one(values.choice("auto", "asyncio", "uvloop")),
    "The event loop; auto is uvloop where it is installed.",
    "auto|asyncio|uvloop",
    ("auto",),
    field="loop",
    without=_NO_LOOP,
)
LIFESPAN = Option(
    "--lifespan",
    Group.ASGI,
    one(values.choice("auto", "on", "off")),
    "Tell the application of start and end; auto: if it understands that.",
    "auto|on|off",
    ("auto",),
    field="lifespan",
    without=_NO_LOOP,
)
SLOW_CALLBACK = Option(
    "--slow-callback",
    Group.ASGI,
    one(values.span),
    "Log what keeps the event loop for longer, such as 100ms; costs speed. 0 is never.",
    "TIME",
    ("0",),
    field="slow_callback",
    without=_NO_LOOP,
)
WS_MAX_SIZE = Option(
    "--ws-max-size",
    Group.ASGI,
    one(values.size(1)),
    "Bytes of one WebSocket message.",
    "SIZE",
    (f"{_WEBSOCKET.message >> 20}M",),
    field="websocket.message",
    without=_OWN_WEBSOCKETS,
)
WS_MAX_QUEUE = Option(
    "--ws-max-queue",
    Group.ASGI,
    one(values.whole(1)),
    "WebSocket messages that may wait for the application before nothing more is read.",
    "N",
    (str(_WEBSOCKET.queue),),
    field="websocket.queue",
    without=_OWN_WEBSOCKETS,
)
WS_PING_INTERVAL = Option(
    "--ws-ping-interval",
    Group.ASGI,
    one(values.seconds),
    "Ask WebSocket clients for a sign of life so often; 0 is never.",
    "SECONDS",
    (f"{_WEBSOCKET.ping_interval:g}",),
    field="websocket.ping_interval",
    without=_OWN_WEBSOCKETS,
)
WS_PING_TIMEOUT = Option(
    "--ws-ping-timeout",
    Group.ASGI,
    one(values.seconds),
    "Time for that sign of life; 0 is for ever.",
    "SECONDS",
    (f"{_WEBSOCKET.ping_timeout:g}",),
    field="websocket.ping_timeout",
    without=_OWN_WEBSOCKETS,
)
WS_PER_MESSAGE_DEFLATE = Option(
    "--ws-per-message-deflate",
    Group.ASGI,
    one(values.switch),
    "Compress WebSocket messages for clients that ask for it.",
    "true|false",
    ("true",),
    bare="true",
    field="websocket.deflate",
    without=_OWN_WEBSOCKETS,
)
WS_ORIGINS = Option(
    "--ws-origins",
    Group.ASGI,
    commas(values.origin),
    "Origins such as https://example.com whose pages may open WebSockets; all of them unless given.",
    "LIST",
    field="websocket.origins",
    without=_OWN_WEBSOCKETS,
)

# ---- process

NAME = Option(
    "-n --name",
    Group.PROCESS,
    maybe(values.name),
    "The site's name in process titles and logs; the application's top package unless given.",
    "NAME",
    also="proc_name",
)
USER = Option("-u --user", Group.PROCESS, maybe(values.user), "Run the application as this user.", "USER")
GROUP = Option(
    "-g --group",
    Group.PROCESS,
    maybe(values.group),
    "Run the application as this group; the user's own unless given.",
    "GROUP",
)
UMASK = Option(
    "-m --umask",
    Group.PROCESS,
    maybe(values.umask),
    "Mode bits that the application's new files and unix sockets of --bind do not get. Unless given, files "
    "are made as the caller has it, and sockets with mode 777.",
    "OCTAL",
)
PID = Option(
    "-p --pid",
    Group.PROCESS,
    maybe(values.path),
    "Write the supervisor's process id here.",
    "FILE",
    also="pidfile",
)
DAEMON = Option(
    "-D --daemon",
    Group.PROCESS,
    one(values.switch),
    "Go on in the background and return once the site is served; log to a file then (--error-logfile).",
    default=("off",),
)
CONTROL = Option(
    "--control",
    Group.PROCESS,
    one(values.path),
    "Where bigtop ctl finds this site: a socket for this user alone; auto is one named after the site.",
    "auto|off|PATH",
    ("auto",),
    also="control_socket",
)
STATS = Option(
    "--stats",
    Group.PROCESS,
    one(values.path),
    "Publish figures of all processes, for circus-top: on a socket for this user alone; auto is one named "
    "after the site.",
    "auto|off|PATH",
    ("off",),
    bare="auto",
)
ADMIN = Option(
    "--admin",
    Group.PROCESS,
    maybe(values.path),
    "Answer /livez, /readyz, /startupz, /metrics and /status here, by a process of its own. Addresses that "
    "others than this machine reach need --admin-token-file or --admin-allow.",
    "HOST:PORT|unix:PATH",
)
ADMIN_TOKEN_FILE = Option(
    "--admin-token-file",
    Group.PROCESS,
    maybe(values.path),
    "Who asks --admin for /metrics or /status sends the token in this file: Authorization: Bearer TOKEN. It "
    "is read anew for each request.",
    "FILE",
)
ADMIN_ALLOW = Option(
    "--admin-allow",
    Group.PROCESS,
    commas(values.proxy),
    "Answer at --admin only these: addresses, networks, or *.",
    "LIST",
    many=True,
)
ADMIN_HOSTS = Option(
    "--admin-hosts",
    Group.PROCESS,
    commas(values.host),
    "Names of this machine that --admin may be asked under, or *. Its address and localhost go without "
    "saying; with a token any name does.",
    "NAMES",
    many=True,
)
STATSD_HOST = Option(
    "--statsd-host",
    Group.PROCESS,
    maybe(emission.address),
    "Send figures to this statsd server, under gunicorn's names; the port is 8125 unless given.",
    "HOST[:PORT]|unix:PATH",
)
STATSD_PREFIX = Option(
    "--statsd-prefix",
    Group.PROCESS,
    one(emission.prefix),
    "What those names begin with.",
    "TEXT",
    ("",),
)
DOGSTATSD_TAGS = Option(
    "--dogstatsd-tags",
    Group.PROCESS,
    commas(emission.tag),
    "Tags of all figures that are sent there, as Datadog has them: NAME:VALUE,NAME:VALUE.",
    "LIST",
)
ENABLE_BACKLOG_METRIC = Option(
    "--enable-backlog-metric",
    Group.PROCESS,
    one(values.switch),
    "Send there, too, how many connections wait to be accepted.",
    default=("off",),
)
OTLP_ENDPOINT = Option(
    "--otlp-endpoint",
    Group.PROCESS,
    maybe(emission.collector),
    "Send metrics to this collector of OpenTelemetry, over HTTP; the path is /v1/metrics unless given.",
    "URL",
)
SERVER_HEADER = Option(
    "--server-header",
    Group.PROCESS,
    one(values.header_value),
    'The Server header of responses; "" sends none.',
    "TEXT",
    ("bigtop",),
    field="server_header",
)

# ---- logging

ACCESS_LOGFILE = Option(
    "--access-logfile",
    Group.LOGGING,
    maybe(values.path),
    "Log each request here; - is stdout. No access log unless given.",
    "FILE",
    also="accesslog",
)
ACCESS_LOGFORMAT = Option(
    "--access-logformat",
    Group.LOGGING,
    one(values.access_format),
    "How a request is logged: common, combined, main, json or caddy, or in atoms of gunicorn or variables of "
    "nginx.",
    "FORMAT",
    (ACCESS_FORMAT,),
    also="access_log_format",
)
LOG_JSON = Option(
    "--log-json",
    Group.LOGGING,
    one(values.switch),
    "Write both logs as one JSON object per line.",
    default=("off",),
)
ERROR_LOGFILE = Option(
    "--error-logfile --log-file",
    Group.LOGGING,
    one(values.path),
    "Bigtop's own log; - is stderr.",
    "FILE",
    ("-",),
    also="errorlog",
)
LOG_LEVEL = Option(
    "--log-level",
    Group.LOGGING,
    one(values.choice(*LEVELS)),
    "Leave out what matters less than this.",
    "|".join(LEVELS),
    ("info",),
    also="loglevel",
)
LOG_TIME_ZONE = Option(
    "--log-time-zone",
    Group.LOGGING,
    one(values.choice(*zones.NAMES)),
    "The time zone of all log lines, whatever the application makes of its own.",
    "|".join(zones.NAMES),
    (zones.LOCAL,),
)
LOGGER_CLASS = Option(
    "--logger-class",
    Group.LOGGING,
    maybe(values.dotted),
    "Have workers log through this class, which is like gunicorn's.",
    "MODULE.CLASS",
)
LOG_CONFIG = Option(
    "--log-config",
    Group.LOGGING,
    maybe(values.ini_file),
    "Have workers log as this file of Python's logging says, to gunicorn's loggers.",
    "FILE.ini",
    also="logconfig",
)
LOG_CONFIG_JSON = Option(
    "--log-config-json",
    Group.LOGGING,
    maybe(values.path),
    "The same, as JSON.",
    "FILE.json",
    also="logconfig_json",
)
CAPTURE_OUTPUT = Option(
    "--capture-output",
    Group.LOGGING,
    one(values.switch),
    "Send what the application writes to stdout into the log (--error-logfile), as what it writes to stderr.",
    default=("off",),
)

APP_METRICS = Option(
    "--app-metrics",
    Group.LOGGING,
    one(values.unless_auto),
    "Add up what the application counts with prometheus_client; auto: where there are several workers.",
    "auto|on|off",
    ("auto",),
)

# ---- deploys

HEALTH_CHECK = Option(
    "--health-check",
    Group.DEPLOYS,
    each(deploy_values.check),
    "At a reload, ask the first new worker this, before clients come to it: METHOD, a path or a URL, perhaps "
    "a status (2xx) and a time (<10s). With another answer the old code goes on.",
    "REQUEST",
    many=True,
    blanks=True,
)
HEALTH_CHECK_HEADER = Option(
    "--health-check-header",
    Group.DEPLOYS,
    each(deploy_values.header),
    "Send this field with each health check, and with each request of --warm-up.",
    "NAME:VALUE",
    many=True,
    blanks=True,
)
CHECK_COMMAND = Option(
    "--check-command",
    Group.DEPLOYS,
    maybe(deploy_values.command),
    "At a reload, run this with a shell, as the application's user. If it fails the old code goes on.",
    "COMMAND",
)
CHECK_TIMEOUT = Option(
    "--check-timeout",
    Group.DEPLOYS,
    one(values.seconds),
    "Time for the check command; 0 is for ever.",
    "SECONDS",
    ("60",),
)
CANARY_TIME = Option(
    "--canary-time",
    Group.DEPLOYS,
    one(values.seconds),
    "At a reload, let one new worker serve clients for so long beside the old ones, and compare them; 0 is "
    "not at all.",
    "SECONDS",
    ("0",),
)
CANARY_ERRORS = Option(
    "--canary-errors",
    Group.DEPLOYS,
    one(deploy_values.share),
    "So much more of its answers than of the old workers' may be 5xx.",
    "SHARE",
    ("1%",),
)
CANARY_LATENCY = Option(
    "--canary-latency",
    Group.DEPLOYS,
    one(deploy_values.factor),
    "Nine of ten of its answers may take so many times as long as those of the old workers.",
    "FACTOR",
    ("2",),
)
CANARY_REQUESTS = Option(
    "--canary-requests",
    Group.DEPLOYS,
    one(values.whole(1)),
    "With fewer answers nothing is compared.",
    "N",
    ("20",),
)
WARM_UP = Option(
    "--warm-up",
    Group.DEPLOYS,
    each(deploy_values.warm_up),
    "Ask each new worker for this path or URL before it is ready; the answer does not matter.",
    "PATH",
    many=True,
)
MAX_SURGE = Option(
    "--max-surge",
    Group.DEPLOYS,
    one(values.whole(0, MAX_WORKERS)),
    "Replace so many workers at a time at a reload, each beside an old one.",
    "N",
    ("1",),
)
MAX_UNAVAILABLE = Option(
    "--max-unavailable",
    Group.DEPLOYS,
    one(values.whole(0, MAX_WORKERS)),
    "So many workers fewer may serve while a reload replaces them.",
    "N",
    ("0",),
)
KEEP_GENERATIONS = Option(
    "--keep-generations",
    Group.DEPLOYS,
    one(values.whole(0, 20)),
    "Keep so many old fork servers after reloads, for bigtop ctl rollback; each takes memory.",
    "N",
    ("0",),
)

# ---- development and checks

RELOAD = Option(
    "--reload",
    Group.DEVELOPMENT,
    one(values.switch),
    "Load the code anew whenever a source file changes.",
    default=("off",),
)
RELOAD_EXTRA_FILE = Option(
    "--reload-extra-file",
    Group.DEVELOPMENT,
    each(values.path),
    "Watch this file too; a pattern such as templates/**/*.html is allowed.",
    "FILE",
    many=True,
    also="reload_extra_files",
)
CHECK_CONFIG = Option(
    "--check-config",
    Group.DEVELOPMENT,
    one(values.switch),
    "Check everything and load the application, but bind nothing and serve nothing.",
    default=("off",),
)
PRINT_CONFIG = Option(
    "--print-config",
    Group.DEVELOPMENT,
    one(values.switch),
    "Show every value and where it comes from, and end.",
    default=("off",),
)


# ---- all of them

OPTIONS: Final[tuple[Option[object], ...]] = (
    FACTORY, INTERFACE, CHDIR, PYTHONPATH, ENV, CONFIG, HOOKS, PASTE, PASTE_LOGGING, ROOT_PATH, MOUNT,
    BIND, BIND_MODE, BIND_OWNER, BIND_GROUP, BACKLOG, REUSE_PORT, CANONICAL_HOST, FORWARDED_ALLOW_IPS,
    FORWARDED_HEADERS, SECURE_SCHEME_HEADERS, HEADER_MAP, FORWARDER_HEADERS, PROXY_PROTOCOL,
    PROXY_ALLOW_IPS, HTTP1_ONLY,
    TLS, CERTFILE, KEYFILE, TLS_MIN, TLS_CIPHERS, TLS_UNKNOWN_NAME, HANDSHAKE_TIMEOUT, CLIENT_CA, CLIENT_CRL,
    CLIENT_AUTH, TLS_TICKET_SECRET, HTTP_BIND, HTTPS_REDIRECT, HSTS,
    TLS_STORAGE, TLS_STORAGE_EPHEMERAL, TLS_KEEPER_USER,
    ACME_DIRECTORY, ACME_EMAIL, ACME_PROFILE, ACME_EAB, ACME_ROOT_CERT,
    ACME_FALLBACK, ACME_FALLBACK_EAB, ACME_DNS_HOOK, ACME_DNS_WAIT,
    STATIC, STATIC_FALLBACK, ERROR_PAGE, MAINTENANCE_FILE, SENDFILE_ROOT,
    ACCEL_HEADERS, COMPRESS, COMPRESS_TYPES, COMPRESS_MIN, CACHE, CACHE_COOKIES, SECURITY_HEADERS,
    ADD_HEADER,
    PROXY, PROXY_CONNECT_TIMEOUT, PROXY_TIMEOUT, PROXY_CONNECTIONS,
    WORKERS, THREADS, BACKEND, PRELOAD, REFORK, MAX_REQUESTS, MAX_REQUESTS_JITTER, MAX_AGE,
    MAX_AGE_VARIANCE, MAX_MEMORY, MAIN_THREAD, SWITCH_INTERVAL,
    WORKER_CONNECTIONS, MONKEY,
    TIMEOUT, TIMEOUT_FOR, TIMEOUT_ACTION, GRACEFUL_TIMEOUT, DRAIN_DELAY, BOOT_TIMEOUT, KEEP_ALIVE,
    HEADER_TIMEOUT, BODY_TIMEOUT, SEND_TIMEOUT, MIN_HEADER_RATE, MIN_BODY_RATE, MIN_SEND_RATE,
    LIMIT_REQUEST_LINE, LIMIT_REQUEST_FIELDS, LIMIT_REQUEST_FIELD_SIZE, LIMIT_REQUEST_HEAD,
    LIMIT_REQUEST_BODY, HTTP2_MAX_CONCURRENT_STREAMS, HTTP2_MAX_RESETS, HTTP2_INITIAL_WINDOW_SIZE,
    TEMP_DIR, MAX_BUFFERED, STREAM_BODIES, LIMIT_ADDRESS_CONNECTIONS,
    LIMIT_ADDRESS_RATE, RATE_LIMIT_FIELDS, ALLOWED, DENIED, BASIC_AUTH, BASIC_AUTH_REALM,
    LIMIT_CONCURRENCY, MAX_QUEUE_TIME, METHODS,
    LOOP, LIFESPAN, SLOW_CALLBACK, WS_MAX_SIZE, WS_MAX_QUEUE, WS_PING_INTERVAL, WS_PING_TIMEOUT,
    WS_PER_MESSAGE_DEFLATE, WS_ORIGINS,
    NAME, USER, GROUP, UMASK, PID, DAEMON, CONTROL, STATS, ADMIN, ADMIN_TOKEN_FILE, ADMIN_ALLOW,
    ADMIN_HOSTS, STATSD_HOST, STATSD_PREFIX, DOGSTATSD_TAGS, ENABLE_BACKLOG_METRIC, OTLP_ENDPOINT,
    SERVER_HEADER,
    ACCESS_LOGFILE, ACCESS_LOGFORMAT, LOG_JSON, ERROR_LOGFILE, LOG_LEVEL, LOG_TIME_ZONE,
    LOGGER_CLASS, LOG_CONFIG, LOG_CONFIG_JSON, CAPTURE_OUTPUT, APP_METRICS,
    HEALTH_CHECK, HEALTH_CHECK_HEADER, CHECK_COMMAND, CHECK_TIMEOUT,
    CANARY_TIME, CANARY_ERRORS, CANARY_LATENCY, CANARY_REQUESTS, WARM_UP, MAX_SURGE, MAX_UNAVAILABLE,
    KEEP_GENERATIONS,
    RELOAD, RELOAD_EXTRA_FILE, CHECK_CONFIG, PRINT_CONFIG,
)  # fmt: skip
