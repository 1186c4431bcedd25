# `bigtop worker`: one server on a socket that somebody else opened. Takes chaussette's command line.
#
# Rule: what chaussette accepts is accepted; where it makes no difference any more (the kernel says what a
# descriptor is), it is checked and otherwise ignored. Rule of restarts: a successor finds what this process
# found. Sockets and environment are kept before the application is imported, and so is the exec itself, which
# debuggers wrap.

from __future__ import annotations

import importlib.util
import os
import pkgutil
import socket
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Mapping, Sequence
from os import execve
from signal import SIGTERM
from typing import Any

import click

from bigtop import loader, log, sockets, zones
from bigtop.backends import catalogue
from bigtop.backends.cutoff import CutOff
from bigtop.backends.serve_options import ServeOptions
from bigtop.config.serve import paste_server
from bigtop.config.serve.options import ACCESS_FORMAT, INTERFACE, INTERFACES, LOG_TIME_ZONE, MAIN_THREAD
from bigtop.config.serve.values.values import switch
from bigtop.errors import ConfigError
from bigtop.sockets import SocketSpec
from bigtop.system import activation
from bigtop.workers import standalone

_HELP = """\
Serve APP on an inherited socket, without a supervisor of Bigtop's: below Circus, systemd or supervisord.

APP is pkg.mod:app, pkg.mod.app, path/to/file.py:app or paste:/path/to/file.ini. The socket is --fd, or what
systemd passes on, or else one that is opened on --host and --port. TERM ends it when open requests are
answered; INT and QUIT end it at once.
"""
# chaussette serves a page of its own then. Whoever forgot the application should not find that page online.
_NO_APPLICATION = """\
Which application? Name it by module and variable, such as mysite.wsgi:application.
To only see the server work, take one that Python brings along:

    bigtop worker wsgiref.simple_server:demo_app"""
_FAMILIES = ("AF_INET", "AF_INET6", "AF_UNIX")


@click.command("worker", help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("application", metavar="APP", required=False)
@click.argument("arguments", nargs=-1)  # chaussette's: for hooks, which get all that was given
@click.option("--fd", type=click.IntRange(0), metavar="N", help="The listening socket's descriptor.")
@click.option("--host", default="localhost", metavar="HOST", help="Or bind this: a host, or unix:PATH.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--backlog", type=click.IntRange(1), default=2048, show_default=True)
@click.option("-k", "--backend", default="auto", metavar="NAME", help="See bigtop backends.")
@click.option("--interface", type=click.Choice(INTERFACES), default="auto", help=INTERFACE.help)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--main-thread", is_flag=True, help=MAIN_THREAD.help)
@click.option("--graceful-timeout", type=click.FloatRange(0), default=30.0, show_default=True)
@click.option("--pre-hook", metavar="CALLABLE", help="Called with all arguments before it serves.")
@click.option("--post-hook", metavar="CALLABLE", help="Called with all arguments when it has served.")
@click.option("--python-path", metavar="DIRS", help="Import from these first; separated by colons.")
@click.option("--log-level", type=click.Choice(log.LEVELS), default="info", show_default=True)
@click.option("--log-output", default=log.STANDARD, metavar="FILE", help="Log here; - is stderr.")
@click.option("--log-time-zone", type=click.Choice(zones.NAMES), default=zones.LOCAL, help=LOG_TIME_ZONE.help)
@click.option("--access-logfile", metavar="FILE", help="Log requests here; - is stdout.")
@click.option("--spawn", type=click.IntRange(1), metavar="N", help="Connections at once (gevent).")
@click.option("--no-monkey", is_flag=True, help="Leave the standard library as it is (gevent).")
@click.option("--use-reloader", is_flag=True, help="Start anew when a source file changes.")
@click.option("--address-family", type=click.Choice(_FAMILIES), help="Known from the socket; ignored.")
@click.option("--socket-type", type=click.Choice(["SOCK_STREAM"]), help="Known from the socket; ignored.")
def command(**params: Any) -> None:
    args = Namespace(**params)
    if args.application is None:
        raise click.UsageError(_NO_APPLICATION)
    output = "-" if args.log_output == "stdout" else args.log_output
    log.configure(args.log_level, path=output, time_zone=args.log_time_zone)
    sys.path[:0] = (args.python_path or "").split(":") if args.python_path else []
    sys.path.append(os.getcwd())
    changed = threading.Event()
    if args.use_reloader:
        _watch(changed)
    if note := catalogue.explain(args.backend):
        standalone.log.info("%s", note)
    program, words, environ = sys.executable, sys.orig_argv, dict(os.environ)
    given = _given(args)  # before the import, and with it LISTEN_FDS, which is wrong for what that starts
    own = _own_options(args)
    life = standalone.born(own)
    try:
        with standalone.importing(life):
            backend = standalone.prepared(own)
            app = load(args.application, _interface(args))
            if note := paste_server.advice(args.application, os.getcwd(), paste_server.as_flag):
                standalone.log.warning("%s", note)
            listeners = _listeners(args, given)
            _hook(args.pre_hook, args)
        standalone.serve(life, own, backend or standalone.choose(own, app), app, listeners)
        _hook(args.post_hook, args)
    except CutOff:
        standalone.log.info("stopped before it served")
    if changed.is_set():
        for one in given:
            one.set_inheritable(True)
        execve(program, words, environ)  # noqa: S606
    life.end(0)


def serve_paste(app: Any, global_conf: Mapping[str, str], **settings: str) -> None:
    """Serve for `paste.server_runner`: the settings are the options of `bigtop worker`, with _ for -."""
    known = {param.name: param for param in command.params if param.name not in ("application", None)}
    if unknown := settings.keys() - known.keys():
        raise ConfigError(f"[server:...]: there is no setting {', '.join(sorted(unknown))}")
    words = [word for name, value in settings.items() for word in _words(known[name], value)]
    args = Namespace(**command.make_context("bigtop worker", [*words, "paste:"]).params)
    log.configure(args.log_level, time_zone=args.log_time_zone)
    own = _own_options(args)
    life = standalone.born(own)
    loaded = loader.recognised(app, "paste", interface=_interface(args), otherwise="wsgi")
    backend = standalone.prepared(own) or standalone.choose(own, loaded)
    standalone.serve(life, own, backend, loaded, _listeners(args, _given(args)))
    life.end(0)


def _words(param: click.Parameter, value: str) -> list[str]:
    """Return a setting as it is given on a command line, where a flag is there or not."""
    flag = param.opts[-1]
    if not (isinstance(param, click.Option) and param.is_flag):
        return [f"{flag}={value}"]
    try:
        return [flag] if switch(value) else []
    except ValueError as error:
        raise ConfigError(f"[server:...]: {param.name} {error}") from error


def _interface(args: Namespace) -> str | None:
    return None if args.interface == "auto" else args.interface


def load(target: str, interface: str | None = None) -> loader.LoadedApp:
    """Import an application named in our way, or in chaussette's."""
    dotted, _, last = target.rpartition(".")
    if dotted and ":" not in target and os.sep not in target and last != "py" and not _is_module(target):
        target = f"{dotted}:{last}"
    return loader.load(target, interface=interface)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):
        return False  # something above it is no package, or fails; loader tells that better


def _own_options(args: Namespace) -> standalone.StandaloneOptions:
    options = ServeOptions(
        threads=args.threads,
        main_thread=args.main_thread,
        worker_connections=args.spawn or ServeOptions().worker_connections,
        monkey=not args.no_monkey,
        access_format=ACCESS_FORMAT if args.access_logfile else "",
    )
    backend = None if args.backend == "auto" else args.backend
    return standalone.StandaloneOptions(backend, args.graceful_timeout, args.access_logfile, options)


def _given(args: Namespace) -> list[socket.socket]:
    """Return --fd or systemd's sockets, which stay open for the successor that a reload starts."""
    if args.fd is not None:
        return [sockets.adopt(args.fd)]
    return [listener.socket for listener in activation.activated(os.environ)]


def _listeners(args: Namespace, given: Sequence[socket.socket]) -> list[socket.socket]:
    bound = given or sockets.bind_all([_spec(args)])
    return [sockets.adopt(os.dup(listener.fileno())) for listener in bound]


def _spec(args: Namespace) -> SocketSpec:
    if args.host.startswith(("unix:", "fd://")):
        return sockets.parse_bind(args.host, "worker", backlog=args.backlog)
    return SocketSpec("worker", host=args.host, port=args.port, backlog=args.backlog)


def _hook(name: str | None, args: Namespace) -> None:
    if name is None:
        return
    try:
        hook = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"hook {name!r}: {error}") from error
    hook(args)


def _watch(changed: threading.Event) -> None:
    """Set `changed` and drain this process when a source file changes."""
    if importlib.util.find_spec("watchfiles") is None:
        raise ConfigError("--use-reloader needs watchfiles: pip install 'bigtop[reload]'")
    argv = [sys.executable, "-P", "-m", "bigtop.workers.reloader", str(os.getpid()), os.getcwd(), "--"]
    watcher = subprocess.Popen(argv, stdout=subprocess.PIPE)

    def wait() -> None:
        assert watcher.stdout is not None
        if watcher.stdout.readline():
            changed.set()
            watcher.terminate()
            os.kill(os.getpid(), SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
