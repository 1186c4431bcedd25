# Keys of the sections [circus], [socket:NAME] and [plugin:NAME], and of [app:NAME] what
# `bigtop serve` has no option for. Watchers are in watcher_options.py, and so is what this table is good for;
# [stats] and [admin] are in stats_options.py.

from __future__ import annotations

from typing import Final

from bigtop import zones
from bigtop.config.file.options import watcher_values as wv
from bigtop.config.file.options.watcher_options import DEPENDS, ENV_FILE, NO, PRIORITY, SOCKETS, YES
from bigtop.config.file.text.key import Key
from bigtop.config.serve import options as o
from bigtop.config.serve.option import Group, Option
from bigtop.config.serve.values import values
from bigtop.config.serve.values.values import commas, each, maybe, one, switch

# ---- [circus]

# What an INI file means by saying nothing. TOML has no such habits to honour, and opens no TCP port unasked.
INI_ENDPOINTS: Final = {
    "endpoint": "tcp://127.0.0.1:5555",
    "pubsub_endpoint": "tcp://127.0.0.1:5556",
    "stats_endpoint": "tcp://127.0.0.1:5557",
    "multicast_endpoint": "udp://237.219.251.97:12027",
}
# Networks from which nobody can be who is far away.
NEAR: Final = (
    *("127.0.0.0/8", "169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fe80::/10", "fc00::/7"),
)
_UNLESS_GIVEN = "Unless given, Circus' own in INI and none in TOML."

CHECK_DELAY = Key(
    "check_delay",
    one(wv.number),
    "SECONDS",
    "Told to clients that ask for it; Bigtop itself looks at nothing by this clock.",
    ("5",),
)
ENDPOINT = Key(
    "endpoint", maybe(wv.endpoint("tcp", "ipc")), "URL", f"Where commands are taken. {_UNLESS_GIVEN}"
)
ENDPOINT_OWNER = Key(
    "endpoint_owner", wv.filled(values.user), "USER", "Owner of the file of an ipc:// `endpoint`."
)
SERVER_KEY = Key(
    "server_key",
    maybe(wv.text),
    "FILE",
    "The secret key of this server (`bigtop ctl keygen`): TCP endpoints take clients with keys only.",
)
CLIENT_KEYS = Key("client_keys", maybe(wv.text), "DIR", "Folder of the clients that `server_key` lets in.")
PUBSUB_ENDPOINT = Key(
    "pubsub_endpoint", maybe(wv.endpoint("tcp", "ipc")), "URL", f"Where events are published. {_UNLESS_GIVEN}"
)
STATS_ENDPOINT = Key(
    "stats_endpoint",
    maybe(wv.endpoint("tcp", "ipc")),
    "URL",
    f"Where figures are published, with `statsd`. {_UNLESS_GIVEN}",
)
STATSD = Key(
    "statsd",
    one(switch),
    "yes|no",
    "Publish figures on `stats_endpoint`; in TOML without one, on a unix socket beside that of `endpoint`.",
    NO,
)
MULTICAST_ENDPOINT = Key(
    "multicast_endpoint",
    maybe(wv.endpoint("udp")),
    "URL",
    f"Where clients may ask for the endpoint. {_UNLESS_GIVEN}",
)
MULTICAST_ALLOW_IPS = Key(
    "multicast_allow_ips",
    commas(values.proxy),
    "LIST",
    "Who is answered there: addresses, networks or *. Unless given, near ones: link-local and private.",
    (",".join(NEAR),),
    ours=True,
)
INCLUDE = Key(
    "include",
    each(wv.text),
    "FILES",
    "Patterns of further files, from this one's directory.",
    many=True,
)
INCLUDE_DIR = Key(
    "include_dir",
    each(wv.text),
    "DIRS",
    "Directories whose *.ini (*.toml) are read as well.",
    ("",),
    many=True,
)
UMASK = Key("umask", wv.filled(values.umask), "OCTAL", "File mode bits that new files do not get.")
WARMUP_DELAY = Key(
    "warmup_delay", one(values.seconds), "SECONDS", "Pause between the starts of two watchers.", ("0",)
)
DRAIN_DELAY = Key(
    "drain_delay",
    one(values.seconds),
    "SECONDS",
    "Time from TERM, which makes /readyz of [admin] say no, until anything stops, if applications run.",
    ("0",),
    ours=True,
)
DEBUG = Key("debug", one(switch), "yes|no", "Plugins log everything, to Bigtop's own output.", NO)
RELOAD_ON_CHANGE = Key(
    "reload_on_change",
    commas(wv.required),
    "NAMES",
    "Watchers that are reloaded when the program that they run was changed, by name or as in `web*`.",
    many=True,
    ours=True,
)
DEBUG_GC = Key("debug_gc", one(switch), "yes|no", "Does nothing.", NO)
PIDFILE = Key("pidfile", wv.filled(values.path), "FILE", "Write the process id here.")
LOGLEVEL = Key("loglevel", one(wv.loglevel), "LEVEL", "critical, error, warning, info or debug.", ("info",))
LOG_TIME_ZONE = Key(
    "log_time_zone",
    one(values.choice(*zones.NAMES)),
    "|".join(zones.NAMES),
    "The time zone of all log lines, of time_format too.",
    (zones.LOCAL,),
    ours=True,
)
OUTPUT_PREFIX = Key(
    "output_prefix",
    one(switch),
    "yes|no",
    "Put the watcher's name in front of each line of outputs that have no stream of their own.",
    YES,
    ours=True,
)
LOGOUTPUT = Key(
    "logoutput", one(wv.required), "FILE|URL", "A file, `-` for stderr, or syslog://HOST:PORT.", ("-",)
)
LOGGERCONFIG = Key(
    "loggerconfig",
    wv.filled(values.path),
    "FILE",
    "A logging configuration of Python instead: .ini, .json or, with PyYAML, .yaml. `default` is none.",
)
FQDN_PREFIX = Key("fqdn_prefix", one(wv.text), "TEXT", "Does nothing.", ("",))
HTTPD = Key("httpd", one(switch), "yes|no", "Run the web console; the section [web] alone does so, too.", NO)
HTTPD_HOST = Key("httpd_host", one(wv.required), "HOST", "Where `httpd` listens.", ("localhost",))
HTTPD_PORT = Key("httpd_port", one(values.whole(0, 65535)), "PORT", "Where `httpd` listens.", ("8080",))


def _dead(name: str, reason: str) -> Key[str]:
    return Key(name, one(wv.text), "-", reason, ("",), is_dead=True)


_CIRCUS_DEAD = (
    _dead("stream_backend", "outputs are never written on the event loop"),
    _dead("papa_endpoint", "sockets and processes need no papa"),
    _dead("statsd_close_outputs", "Circus never reads it"),
    _dead("httpd_close_outputs", "Circus never reads it"),
)

CIRCUS: Final[tuple[Key[object], ...]] = (
    *(ENDPOINT, PUBSUB_ENDPOINT, STATS_ENDPOINT, ENDPOINT_OWNER, SERVER_KEY, CLIENT_KEYS),
    *(MULTICAST_ENDPOINT, MULTICAST_ALLOW_IPS),
    *(CHECK_DELAY, WARMUP_DELAY, DRAIN_DELAY, UMASK, PIDFILE, INCLUDE, INCLUDE_DIR),
    *(LOGLEVEL, LOGOUTPUT, LOG_TIME_ZONE, OUTPUT_PREFIX, LOGGERCONFIG, FQDN_PREFIX, DEBUG, DEBUG_GC),
    RELOAD_ON_CHANGE,
    *(STATSD, HTTPD, HTTPD_HOST, HTTPD_PORT),
    *_CIRCUS_DEAD,
)

# ---- [socket:NAME]

HOST = Key("host", one(wv.text), "HOST", "The address.", ("localhost",))
PORT = Key("port", one(values.whole(0, 65535)), "PORT", "The port; 0 is any free one.", ("8080",))
FAMILY = Key(
    "family",
    one(wv.name_of("AF_", "inet", "inet6", "unix")),
    "FAMILY",
    "AF_INET, AF_INET6, AF_UNIX.",
    ("AF_INET",),
)
TYPE = Key(
    "type",
    one(wv.name_of("SOCK_", "stream", "dgram", "seqpacket", "raw")),
    "TYPE",
    "SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW.",
    ("SOCK_STREAM",),
)
PROTO = Key("proto", wv.filled(wv.protocol), "NAME", "The protocol of a raw socket.")
BACKLOG = Key(
    "backlog", one(values.whole(1, 65535)), "N", "Connections that may wait to be accepted.", ("2048",)
)
PATH = Key("path", wv.filled(values.path), "PATH", "Bind a unix socket here; `@NAME` is an abstract one.")
SOCKET_UMASK = Key("umask", wv.filled(values.umask), "OCTAL", "Mode bits that a unix socket does not get.")
REPLACE = Key("replace", one(switch), "yes|no", "Take the path even from a server that listens there.", NO)
INTERFACE = Key("interface", wv.filled(wv.text), "NAME", "Only what comes in by this network interface.")
SO_REUSEPORT = Key(
    "so_reuseport",
    one(switch),
    "yes|no",
    "Give each process a queue of connections of its own, which ends with it. Datagrams have one for all.",
    NO,
)
BLOCKING = Key(
    "blocking", one(switch), "yes|no", "Leave the socket blocking, for programs that expect it.", NO
)
SOCKET_MODE = Key(
    "mode", wv.filled(values.mode), "OCTAL", "Mode of a unix socket, instead of `umask`.", ours=True
)
OWNER = Key("owner", wv.filled(values.user), "USER", "Owner of a unix socket.", ours=True)
GROUP = Key("group", wv.filled(values.group), "GROUP", "Group of a unix socket.", ours=True)
CLOSE_WHEN_UNUSED = Key(
    "close_when_unused",
    one(switch),
    "yes|no",
    "Close it when the last process that uses it has stopped.",
    NO,
    ours=True,
)

SOCKET_TLS = Key(
    "tls", one(switch), "yes|no", "Speak TLS there, with the certificates of the applications.", NO, ours=True
)

SOCKET: Final[tuple[Key[object], ...]] = (
    *(HOST, PORT, FAMILY, TYPE, PROTO, BACKLOG, INTERFACE, SO_REUSEPORT, BLOCKING),
    *(PATH, SOCKET_UMASK, SOCKET_MODE, OWNER, GROUP, REPLACE, CLOSE_WHEN_UNUSED, SOCKET_TLS),
    _dead("use_papa", "sockets need no papa"),
)

# ---- [plugin:NAME]: all keys of a watcher as well

USE = Key(
    "use",
    maybe(wv.plugin),
    "CLASS",
    "The plugin: package.module.Class, such as circus.plugins.statsd.StatsdEmitter; a name of Bigtop's own, "
    "such as notify; or one that a package gives it. Without it `cmd` is a program in any language.",
)
PLUGIN_EVENTS = Key(
    "events",
    commas(wv.required),
    "LIST",
    "Which events the program `cmd` is told of: WATCHER.EVENT, with * in both, such as *.reap. Some classes "
    "have it as well.",
    many=True,
    ours=True,
)
ROLE = Key(
    "role",
    maybe(values.choice("view", "operate", "admin")),
    "view|operate|admin",
    "What its commands may do. Unless given, what its class asks for; programs may view.",
    ours=True,
)
HANG_TIMEOUT = Key(
    "hang_timeout",
    one(wv.positive),
    "SECONDS",
    "A plugin whose event loop stands still for longer is started again, with its stacks in the log.",
    ("10",),
    ours=True,
)
STATE_FILE = Key(
    "state_file",
    maybe(wv.required),
    "FILE",
    "What it remembers over restarts. Unless given, below $STATE_DIRECTORY, /var/lib/bigtop for root or "
    "~/.local/share/bigtop.",
    ours=True,
)
PLUGIN: Final[tuple[Key[object], ...]] = (USE, PLUGIN_EVENTS, ROLE, HANG_TIMEOUT, STATE_FILE)

# ---- [app:NAME]: all options of `bigtop serve` but those that do not serve

APP_TARGET = Key("app", maybe(wv.required), "APP", "What to serve: package.module:attribute.", ours=True)
ROUTES = Key(
    "routes",
    commas(values.route),
    "LIST",
    "What it answers on `sockets` that other applications have too: /PATH, HOST or HOST/PATH each; "
    "one application may be without, and has the rest.",
    many=True,
    ours=True,
)
MOUNTED = Key(
    "mounted",
    one(switch),
    "yes|no",
    "The path of its route is where it is mounted: SCRIPT_NAME or root_path, as with `mount`.",
    NO,
    ours=True,
)
APP: Final[tuple[Key[object], ...]] = (APP_TARGET, ENV_FILE, SOCKETS, ROUTES, MOUNTED, DEPENDS, PRIORITY)
# What is of Bigtop as a whole, and not of one application of several: option -> what to use instead.
NOT_OF_APPS: Final[dict[str, str]] = {
    o.CHECK_CONFIG.name: "`bigtop check FILE` looks at a whole file",
    o.PRINT_CONFIG.name: "`bigtop check --all FILE` shows every value of a whole file",
    o.CONFIG.name: "write its settings into the section, by their names here or gunicorn's",
    o.HOOKS.name: "such hooks are called by `bigtop serve` alone",
    o.CONTROL.name: "one control channel is for all; `endpoint` of [circus] places it",
    o.STATS.name: "one process is for all; `statsd` of [circus] starts it",
    **dict.fromkeys(
        (o.ADMIN.name, o.ADMIN_TOKEN_FILE.name, o.ADMIN_ALLOW.name, o.ADMIN_HOSTS.name),
        "one listener is for all; the section [admin] describes it",
    ),
    **dict.fromkeys(
        (
            *(o.STATSD_HOST.name, o.STATSD_PREFIX.name, o.DOGSTATSD_TAGS.name),
            *(o.ENABLE_BACKLOG_METRIC.name, o.OTLP_ENDPOINT.name),
        ),
        "one process sends for all; such keys of the section [stats] say where to",
    ),
    o.DRAIN_DELAY.name: "one signal is for all; `drain_delay` of [circus] says it",
    o.DAEMON.name: "`bigtop run --daemon FILE` goes into the background",
    o.PASTE.name: 'say app = "paste:FILE" instead',
    o.PID.name: "the process id is that of the supervisor; `pidfile` of [circus] names its file",
    o.ERROR_LOGFILE.name: "one log is for all that a file names; `logoutput` of [circus] places it",
    LOG_TIME_ZONE.name: "all lines have one; `log_time_zone` of [circus] chooses it",
    o.RELOAD.name: "`bigtop run` watches no source files; `bigtop ctl reload NAME` loads the code anew, "
    "`bigtop serve --reload` is for development",
    o.RELOAD_EXTRA_FILE.name: "`bigtop run` watches no files; `bigtop ctl reload NAME` loads the code anew, "
    "`bigtop serve --reload-extra-file` is for development",
}
APP_OPTIONS: Final[tuple[Option[object], ...]] = tuple(
    option for option in o.OPTIONS if option.name not in NOT_OF_APPS
)
# ---- [path:APP:PATH]: those of handlers

PATH_OPTIONS: Final[tuple[Option[object], ...]] = tuple(option for option in APP_OPTIONS if option.by_path)

# ---- [tls]: those about TLS, for all applications that speak it

TLS_OPTIONS: Final[tuple[Option[object], ...]] = tuple(
    option for option in APP_OPTIONS if option.group is Group.TLS and option is not o.HTTP_BIND
)
