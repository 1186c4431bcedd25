# Keys of the sections [stats] and [admin]. What this table is good for is said in watcher_options.py.

from __future__ import annotations

from typing import Final

from bigtop import emission
from bigtop.config.file.options import watcher_values as wv
from bigtop.config.file.options.watcher_options import NO
from bigtop.config.file.text.key import Key
from bigtop.config.serve.values import values
from bigtop.config.serve.values.values import commas, maybe, one, switch

# ---- [stats]: the section alone switches statsd on

INTERVAL = Key(
    "interval",
    one(values.duration),
    "SECONDS",
    "Time between two looks at all processes, while anybody subscribes.",
    ("1",),
    ours=True,
)
DETAILS_INTERVAL = Key(
    "details_interval",
    one(values.duration),
    "SECONDS",
    "Time in which each process has a turn with what costs more: PSS, swap, descriptors, disks.",
    ("10",),
    ours=True,
)
HISTORY = Key(
    "history",
    one(switch),
    "yes|no",
    "Look although nobody subscribes, and keep the last ten minutes, and six hours in steps of 10 s.",
    NO,
    ours=True,
)
INTERVALS = Key(
    "intervals",
    commas(wv.interval),
    "NAME=SECONDS",
    "Other intervals, of some watchers and applications.",
    many=True,
    ours=True,
)
STATSD_HOST = Key(
    "statsd_host",
    maybe(emission.address),
    "HOST[:PORT]|unix:PATH",
    "Send figures to this statsd server, each `interval`; the port is 8125 unless given.",
    ours=True,
)
STATSD_DIALECT = Key(
    "statsd_dialect",
    one(values.choice(*emission.DIALECTS)),
    "|".join(emission.DIALECTS),
    "Names of figures there: those that gunicorn gives to requests, with the name of each application before "
    "them; or those that Circus' plugins StatsdEmitter and FullStats give to processes.",
    (emission.GUNICORN,),
    ours=True,
)
STATSD_PREFIX = Key(
    "statsd_prefix",
    one(emission.prefix),
    "TEXT",
    "What gunicorn's names begin with; `application_name` of Circus' plugins, which is `app` unless given.",
    ("",),
    ours=True,
)
DOGSTATSD_TAGS = Key(
    "dogstatsd_tags",
    commas(emission.tag),
    "LIST",
    "Tags of all figures that are sent there, as Datadog has them: NAME:VALUE.",
    many=True,
    ours=True,
)
BACKLOG_METRIC = Key(
    "enable_backlog_metric",
    one(switch),
    "yes|no",
    "Send there, too, how many connections wait to be accepted, for each application.",
    NO,
    ours=True,
)
OTLP_ENDPOINT = Key(
    "otlp_endpoint", maybe(emission.collector), "URL", "Send metrics to this collector, by OTLP.", ours=True
)
STATS: Final[tuple[Key[object], ...]] = (
    *(INTERVAL, INTERVALS, DETAILS_INTERVAL, HISTORY),
    *(STATSD_HOST, STATSD_DIALECT, STATSD_PREFIX, DOGSTATSD_TAGS, BACKLOG_METRIC, OTLP_ENDPOINT),
)

# ---- [admin]

ADMIN_BIND = Key(
    "bind",
    maybe(wv.required),
    "HOST:PORT|unix:PATH",
    "Answer /livez, /readyz, /startupz, /metrics and /status here, by a process of its own. Addresses that "
    "others than this machine reach need `token_file` or `allow`.",
    ours=True,
)
TOKEN_FILE = Key(
    "token_file",
    wv.filled(values.path),
    "FILE",
    "Who asks for /metrics or /status sends the token in this file: `Authorization: Bearer TOKEN`. It is "
    "read anew for each request.",
    ours=True,
)
ALLOW = Key(
    "allow",
    commas(values.proxy),
    "LIST",
    "Answer only these: addresses, networks, or *.",
    many=True,
    ours=True,
)
ADMIN_HOSTS = Key(
    "hosts",
    commas(values.host),
    "NAMES",
    "Names of this machine that it may be asked under, or *. Its address and localhost go without saying; "
    "with a token any name does.",
    many=True,
    ours=True,
)
ADMIN_KEYS: Final[tuple[Key[object], ...]] = (ADMIN_BIND, TOKEN_FILE, ALLOW, ADMIN_HOSTS)
