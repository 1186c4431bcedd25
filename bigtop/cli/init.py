# `bigtop init systemd`: a unit that starts what would be started by hand.

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import PurePath

import click

from bigtop.config import daemon, flags
from bigtop.config import serve as config_serve
from bigtop.errors import ConfigError

_UNIT = """\
[Unit]
Description=Bigtop: {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
User={user}
WorkingDirectory={folder}
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# The control socket: bigtop ctl -e {name}
RuntimeDirectory=bigtop/{name}
# TERM to the supervisor alone, which lets its processes finish; what is left then is killed.
KillMode=mixed
TimeoutStopSec={patience:g}
# The supervisor is killed and started again when its event loop stands still.
WatchdogSec=30
Restart=on-failure
# A command line, an application or a file that is wrong does not get better by trying again.
RestartPreventExitStatus=2 3 78

NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
{capabilities}
[Install]
WantedBy=multi-user.target
"""
# More than the supervisor gives its processes, so that it is never killed while they still finish.
_SPARE = 10.0


@click.group("init")
def command() -> None:
    """Write what starts Bigtop with the system."""


@command.command(
    "systemd", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option("--user", metavar="USER", help="Run as this user.  [default: whoever asks]")
@click.argument("words", nargs=-1, required=True, metavar="serve APP ... | run FILE")
def systemd(user: str | None, words: tuple[str, ...]) -> None:
    """Print a systemd unit for a command line of bigtop.

    For example: bigtop init systemd --user www serve myproj.wsgi:app --workers 4
    """
    name, port, patience = _facts(words)
    click.echo(
        _UNIT.format(
            name=name,
            user=user or pwd.getpwuid(os.geteuid()).pw_name,
            folder=_quoted(os.getcwd()),
            command=" ".join(map(_quoted, [_program(), *words])),
            patience=patience + _SPARE,
            capabilities="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if 0 < port < 1024 else "",
        ),
        nl=False,
    )


def _facts(words: Sequence[str]) -> tuple[str, int, float]:
    """Check the command; return its name, the lowest port, and the seconds that it takes to stop."""
    if {"-D", "--daemon"}.intersection(words):
        raise ConfigError("systemd wants its services in the foreground: leave --daemon out")
    match words:
        case ["run", *_, file]:
            spec = daemon.load(file)
            ports = [socket.port or 0 for socket in spec.sockets]
            ports += [bind.port or 0 for app in spec.apps for bind in app.site.binds]
            watchers = (*spec.watchers, *spec.plugins)
            times = [watcher.stop.graceful_timeout for watcher in watchers]
            times += [app.site.graceful_timeout for app in spec.apps]
            return PurePath(file).stem, min(filter(None, ports), default=0), max(times, default=30.0)
        case ["serve", *rest]:
            arguments = click.Command(
                "bigtop serve", params=[click.Argument(["app"]), *flags.parameters()]
            ).make_context("bigtop serve", flags.expand(rest))
            app = arguments.params.pop("app")
            site = config_serve.spec(config_serve.configure(app, {}, flags.collect(arguments.params)))
            ports = [bind.port or 0 for bind in site.binds]
            return site.name, min(filter(None, ports), default=0), site.graceful_timeout
    raise click.UsageError("the words behind the options are a command: serve APP ..., or run FILE")


def _program() -> str:
    """Return the absolute path of this very program, which need not be on the PATH of systemd."""
    beside = os.path.join(os.path.dirname(sys.executable), "bigtop")
    return beside if os.path.exists(beside) else shutil.which("bigtop") or "bigtop"


def _quoted(word: str) -> str:
    """Return a word as systemd reads it (systemd.service(5), "Command lines"): % and $ are its own."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
