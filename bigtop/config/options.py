# Every option of `bigtop serve`, once.
#
# From this table come the flags, the variables, the arguments of bigtop.serve(), --help, --print-config and
# docs/reference/serve.md. Rule: an option is described here and read in serve.py, and nowhere else.
# Names and short flags are gunicorn's wherever the meaning is the same; `also` lists gunicorn's name of the
# setting where ours differs, which bigtop.serve() takes as well.
#
# A default is a text like any other: it is shown as it stands and read by the same converter.

from __future__ import annotations

from typing import Final

from bigtop.config import edge, options_asgi, options_process, traffic, values
from bigtop.config.option import Group, Option
from bigtop.config.values import commas, each, maybe, one
from bigtop.http.limits import Limits
from bigtop.log import LEVELS
from bigtop.scoreboard import SLOT_COUNT
from bigtop.sockets import parse_bind

# gunicorn's default, which is the combined format that log analysers know.
ACCESS_FORMAT: Final = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
# During a reload a worker and its successor live side by side, each with a slot of its own.
MAX_WORKERS: Final = SLOT_COUNT // 2
_LIMITS: Final = Limits()


# ---- application

FACTORY = Option(
    "--factory",
    Group.APPLICATION,
    one(values.switch),
    "APP names a function that returns the application.",
    default=("off",),
)
INTERFACE = Option(
    "--interface",
    Group.APPLICATION,
    one(values.choice("auto", "wsgi", "asgi")),
    "What the application speaks; auto looks at it.",
    "auto|wsgi|asgi",
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

# ---- sockets

BIND = Option(
    "-b --bind",
    Group.SOCKETS,
    each(parse_bind),
    "Listen here: HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N. With $PORT set, 0.0.0.0:$PORT is the default.",
    "ADDRESS",
    ("127.0.0.1:8000",),
    many=True,
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

# ---- workers

WORKERS = Option(
    "-w --workers",
    Group.WORKERS,
    one(values.workers(MAX_WORKERS)),
    "Worker processes; auto is one per CPU that the control group grants. $WEB_CONCURRENCY is the default.",
    "N|auto",
    ("1",),
)
THREADS = Option(
    "--threads",
    Group.WORKERS,
    one(values.whole(1, 1024)),
    "Requests that a worker handles at once; more than 1 needs a thread-safe application.",
    "N",
    ("1",),
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
    one(values.preload),
    "Import the application once and fork workers from it; auto: unless that leaves threads or sockets.",
    "auto|on|off",
    ("auto",),
    bare="on",
    also="preload_app",
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

# ---- times

TIMEOUT = Option(
    "-t --timeout",
    Group.TIMES,
    one(values.seconds),
    "Replace a worker whose application takes longer over one request; 0 is never.",
    "SECONDS",
    ("30",),
)
GRACEFUL_TIMEOUT = Option(
    "--graceful-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time for open requests when a worker is told to end.",
    "SECONDS",
    ("30",),
)
BOOT_TIMEOUT = Option(
    "--boot-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time for a worker from its start until it is ready; 0 is for ever.",
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
)
HEADER_TIMEOUT = Option(
    "--header-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time for a client to send a whole request head; 0 is no limit.",
    "SECONDS",
    (f"{_LIMITS.header_timeout:g}",),
)
BODY_TIMEOUT = Option(
    "--body-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time between two pieces of a request body; 0 is no limit.",
    "SECONDS",
    (f"{_LIMITS.body_timeout:g}",),
)
SEND_TIMEOUT = Option(
    "--send-timeout",
    Group.TIMES,
    one(values.seconds),
    "Time between two pieces that a client takes of a response; 0 is no limit.",
    "SECONDS",
    (f"{_LIMITS.send_timeout:g}",),
)

# ---- limits

LIMIT_REQUEST_LINE = Option(
    "--limit-request-line",
    Group.LIMITS,
    one(values.size(1)),
    "Bytes of a request line.",
    "SIZE",
    (str(_LIMITS.request_line),),
)
LIMIT_REQUEST_FIELDS = Option(
    "--limit-request-fields",
    Group.LIMITS,
    one(values.whole(1, 32768)),
    "Header fields of a request.",
    "N",
    (str(_LIMITS.fields),),
)
LIMIT_REQUEST_FIELD_SIZE = Option(
    "--limit-request-field-size --limit-request-field_size",
    Group.LIMITS,
    one(values.size(1)),
    "Bytes of one header field.",
    "SIZE",
    (str(_LIMITS.field_size),),
)
LIMIT_REQUEST_HEAD = Option(
    "--limit-request-head",
    Group.LIMITS,
    one(values.size(1)),
    "Bytes of the request line and all header fields together.",
    "SIZE",
    (str(_LIMITS.head),),
)
LIMIT_REQUEST_BODY = Option(
    "--limit-request-body",
    Group.LIMITS,
    one(values.size(0)),
    "Bytes of a request body; 0 is no limit.",
    "SIZE",
    (f"{_LIMITS.body >> 30}G",),
)
TEMP_DIR = Option(
    "--temp-dir",
    Group.LIMITS,
    maybe(values.directory),
    "Where large bodies and responses wait; the system's directory for temporary files unless given.",
    "DIR",
    also="tmp_upload_dir",
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
    "How a request is logged, in gunicorn's atoms.",
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

# In the order of the lines, a file at a time; a list kept by hand would one day lack an option.
OPTIONS: Final[tuple[Option[object], ...]] = tuple(
    option
    for names in (globals(), vars(traffic), vars(options_asgi), vars(options_process), vars(edge))
    for option in list(names.values())
    if isinstance(option, Option)
)
