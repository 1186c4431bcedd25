# The settings of uWSGI that sites have, and what becomes of each.
#
# uWSGI has a thousand; what is not here becomes a comment without advice. Those that are more than one option
# (sockets, modules, daemons) are in uwsgi.py and uwsgi_daemons.py.

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from bigtop.config.gunicorn.setting import Refused, SetAside, Setting, Taken
from bigtop.config.gunicorn.values import count, mask, word
from bigtop.config.serve import options as o

_TLS: Final = Refused("write tls = files:CERT,KEY beside bind; http_bind and https_redirect for http")
_FIXED: Final = Refused('workers = "2..16" has their number follow the load')
_MEMORY: Final = Refused("max_memory replaces workers, by what they do not share")
_RELOADS: Final = Refused("`bigtop ctl reload NAME` loads new code, worker by worker")
_ROTATION: Final = Refused("logrotate moves the file away, and SIGUSR1 opens it anew")
_ROUTES: Final = Refused("let the application do it, a middleware around it, or a proxy in front")
_STARTS: Final = Refused("run it from what starts Bigtop, such as ExecStartPre= of systemd")
_API: Final = Refused("there is no module uwsgi; run a task queue such as Celery as a [watcher.NAME]")
_CACHE: Final = Refused("there is no module uwsgi; use Redis, memcached or a database")
_ONE_FILE: Final = Refused("convert that file too, and put the two together")
_LOGIC: Final = Refused("write down what holds: the new file has no conditions and loops")
_LANGUAGE: Final = SetAside("Python is all that is spoken")
_ALWAYS: Final = SetAside("it is always so")
_NOTHING_TO_DO: Final = SetAside("there is nothing to do")
_INSIDE: Final = SetAside("it is of uWSGI's inside")


def _rows(names: str, fate: Taken | Refused | SetAside) -> Iterable[Setting]:
    return (Setting(name, fate) for name in names.split())


def _mode(given: object) -> object:
    return "666" if given == "true" else given


def _off(_given: object) -> object:
    return "off"


def _on(_given: object) -> object:
    return "on"


def _log(given: object) -> object:
    """file:/PATH, or a path."""
    text = str(given).removeprefix("file:")
    if re.match(r"\w+:", text) or text == "true":
        raise ValueError("logs go to a file or to stderr, or with logoutput of [circus] to syslog")
    return text


def _megabytes(given: object) -> object:
    return f"{given}M"


def _keep_alive(given: object) -> object:
    return None if given == "true" else given


SETTINGS: Final = {
    row.name: row
    for row in (
        # ---- application
        *_rows("chdir chdir2 cd", Taken(o.CHDIR)),
        *_rows("pythonpath python-path pp", Taken(o.PYTHONPATH)),
        *_rows("env", Taken(o.ENV)),
        *_rows("manage-script-name single-interpreter need-app catch-exceptions", _NOTHING_TO_DO),
        *_rows("pyargv", Refused("an application has no arguments; give it a variable with env")),
        *_rows(
            "import shared-import pyimport python-import spooler-import",
            Refused("import it in the application"),
        ),
        # ---- sockets
        *_rows("listen", Taken(o.BACKLOG, count)),
        *_rows("reuse-port", Taken(o.REUSE_PORT, _on)),
        *_rows("chmod-socket chmod", Taken(o.BIND_MODE, _mode)),
        *_rows("so-keepalive tcp-nodelay freebind abstract-socket", _INSIDE),
        *_rows(
            "http-auto-chunked http-chunked-input http-raw-body http-processes http-backend-connect-timeout",
            _INSIDE,
        ),
        *_rows("http-keepalive", Taken(o.KEEP_ALIVE, _keep_alive)),
        *_rows(
            "http-timeout",
            Refused("timeout is the limit for a call, body_timeout and send_timeout for clients"),
        ),
        *_rows(
            "socket-timeout so-timeout",
            Refused("body_timeout and send_timeout are the limits for slow clients"),
        ),
        *_rows(
            "https https2 https-socket ssl-socket suwsgi-socket http-to-https sni ssl-sessions-use-cache",
            _TLS,
        ),
        *_rows(
            "zmq-socket zeromq-socket fastcgi-socket scgi-socket fastrouter rawrouter",
            Refused("only HTTP is spoken"),
        ),
        *_rows(
            "log-x-forwarded-for",
            Refused("forwarded_allow_ips names the proxies whose X-Forwarded-For counts"),
        ),
        # ---- workers
        *_rows("processes workers", Taken(o.WORKERS, count)),
        *_rows("threads", Taken(o.THREADS, count)),
        *_rows("max-requests", Taken(o.MAX_REQUESTS, count)),
        *_rows("max-requests-delta", Taken(o.MAX_REQUESTS_JITTER, count)),
        *_rows("harakiri", Taken(o.TIMEOUT, count)),
        *_rows("reload-mercy worker-reload-mercy", Taken(o.GRACEFUL_TIMEOUT, count)),
        *_rows("lazy-apps lazy", Taken(o.PRELOAD, _off)),
        *_rows("gevent-monkey-patch gevent-early-monkey-patch", SetAside("monkey is on anyway")),
        *_rows(
            "cheaper cheaper-algo cheaper-initial cheaper-step cheaper-overload cheaper-idle idle", _FIXED
        ),
        *_rows("cheaper-busyness-max cheaper-busyness-min cheaper-busyness-multiplier", _FIXED),
        *_rows(
            "cheaper-busyness-backlog-alert cheaper-busyness-backlog-step cheaper-busyness-verbose", _FIXED
        ),
        *_rows("cheaper-rss-limit-soft cheaper-rss-limit-hard", _FIXED),
        *_rows("reload-on-rss evil-reload-on-rss", Taken(o.MAX_MEMORY, _megabytes)),
        *_rows("reload-on-as evil-reload-on-as limit-as", _MEMORY),
        *_rows("max-worker-lifetime", Taken(o.MAX_AGE, count)),
        *_rows("max-worker-lifetime-delta", Taken(o.MAX_AGE_VARIANCE, count)),
        *_rows("min-worker-lifetime", Refused("max_age and max_requests replace workers whatever their age")),
        *_rows(
            "async asyncio greenlet ugreen", Refused('use backend = "gevent", or an application for ASGI')
        ),
        *_rows(
            "cpu-affinity",
            Refused("a [watcher.NAME] has cpu_affinity; workers go where the kernel puts them"),
        ),
        *_rows("harakiri-verbose", SetAside("the log has the stack of every thread of a worker that hangs")),
        *_rows(
            "enable-threads thunder-lock py-call-osafterfork close-on-exec no-threads-wait", _NOTHING_TO_DO
        ),
        *_rows("master vacuum die-on-term no-orphans auto-procname strict threads-stacksize", _ALWAYS),
        *_rows("offload-threads py-sharedarea queue-blocksize reaper", _INSIDE),
        *_rows(
            "py-tracebacker",
            Refused("`bigtop ctl requests` lists requests, and the log has the stacks of those that hang"),
        ),
        # ---- limits
        *_rows("limit-post", Taken(o.LIMIT_REQUEST_BODY)),
        *_rows(
            "post-buffering post-buffering-bufsize",
            SetAside("bodies are read before the application is called"),
        ),
        *_rows("ignore-sigpipe ignore-write-errors disable-write-exception disable-sendfile", _NOTHING_TO_DO),
        # ---- files
        *_rows(
            "check-static static-index static-skip-ext",
            Refused("static names a path and a folder; there are no index pages"),
        ),
        *_rows(
            "static-expires static-expires-uri static-expires-type static-cache-paths",
            SetAside("names with a hash are kept for a year, all others are asked for"),
        ),
        *_rows(
            "static-gzip static-gzip-all static-gzip-dir static-gzip-ext static-safe honour-stdin",
            _NOTHING_TO_DO,
        ),
        # ---- process
        *_rows("uid", Taken(o.USER)),
        *_rows("gid", Taken(o.GROUP)),
        *_rows("umask", Taken(o.UMASK, mask)),
        *_rows("pidfile pidfile2 safe-pidfile safe-pidfile2", Taken(o.PID)),
        *_rows("procname procname-master procname-prefix procname-prefix-spaced", Taken(o.NAME, word)),
        *_rows(
            "virtualenv venv home pyhome",
            Refused(
                "Bigtop runs in the Python that it is installed in: start the bigtop of that environment"
            ),
        ),
        *_rows("plugin plugins plugins-dir plugin-dir need-plugin protocol socket-protocol", _LANGUAGE),
        *_rows(
            "emperor vassals-dir vassal-set vassals emperor-tyrant",
            Refused("one file may have several [app.NAME]; convert each vassal"),
        ),
        *_rows("daemonize2", Refused("`bigtop run --daemon FILE` goes into the background")),
        *_rows("touch-reload touch-chain-reload touch-workers-reload touch-mules-reload fs-reload", _RELOADS),
        *_rows(
            "py-autoreload py-auto-reload python-autoreload",
            Refused("`bigtop serve --reload` is for development"),
        ),
        *_rows("chain-reload-delay", SetAside("each new worker is ready before an old one goes")),
        *_rows(
            "stats stats-server stats-http memory-report",
            Refused("`bigtop ctl stats` and `bigtop ctl requests` show it"),
        ),
        *_rows("master-fifo", Refused("`bigtop ctl` sends commands")),
        *_rows(
            "exec-asap exec-pre-jail exec-post-jail exec-pre-app exec-as-user hook-asap hook-pre-app", _STARTS
        ),
        *_rows("hook-post-fork hook-post-app hook-as-user hook-as-root hook-accepting hook-touch", _STARTS),
        *_rows("exec-as-root exec-as-user-atexit hook-as-user-atexit hook-master-start hook-start", _STARTS),
        # ---- logging
        *_rows("logto logto2 logger daemonize log-master-logger", Taken(o.ERROR_LOGFILE, _log)),
        *_rows("req-logger", Taken(o.ACCESS_LOGFILE, _log)),
        *_rows(
            "log-5xx log-4xx log-slow log-zero log-big log-sendfile log-micros",
            SetAside("the access log has every request"),
        ),
        *_rows(
            "log-master threaded-logger log-master-bufsize log-drain log-encoder log-req-encoder", _INSIDE
        ),
        *_rows(
            "log-format logformat log-date logdate log-strftime",
            Refused("access_logformat has gunicorn's atoms, and log_json writes JSON"),
        ),
        *_rows(
            "log-maxsize log-backupname log-truncate log-reopen touch-logreopen touch-logrotate", _ROTATION
        ),
        *_rows("logfile-chmod logfile-chown", Refused("create the file with the mode that it is to have")),
        # ---- what applications do with the module uwsgi
        *_rows(
            "spooler spooler-processes spooler-frequency spooler-max-tasks spooler-harakiri spooler-quiet",
            _API,
        ),
        *_rows("mules farm rpc queue cron-harakiri mule-harakiri mule-reload-mercy", _API),
        *_rows("cache cache2 sharedarea caches cache-blocksize locks", _CACHE),
        *_rows(
            "subscribe subscribe-to subscription-server legion", Refused("a proxy in front knows the servers")
        ),
        *_rows(
            "route route-uri route-host route-if route-label route-run route-remote-addr final-route", _ROUTES
        ),
        *_rows("add-header collect-header del-header response-route error-route", _ROUTES),
        # ---- the file itself
        *_rows("ini include inherit inherit-only xml yaml json", _ONE_FILE),
        *_rows("if-env if-not-env if-opt if-not-opt if-file if-dir if-exists if-not-exists endif", _LOGIC),
        *_rows("for end-for endfor for-readline for-glob for-times print declare-option", _LOGIC),
    )
}
# Of those that are taken, the ones for which a value such as `false` is the same as none.
SWITCHES: Final = ("lazy-apps", "lazy", "reuse-port", "disable-logging")
