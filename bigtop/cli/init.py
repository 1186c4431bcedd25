# `bigtop init systemd`: a unit that starts what would be started by hand.

from __future__ import annotations

import math
import os
import pwd
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import click

from bigtop.backends.cutoff import MARGIN
from bigtop.cli.serve import credentials
from bigtop.config.file import daemon
from bigtop.config.file.daemon_spec import DaemonSpec
from bigtop.config.serve import flags
from bigtop.config.serve import serve as config_serve
from bigtop.errors import ConfigError, one_line
from bigtop.system.files import workdir

_UNIT = """\
[Unit]
Description=Bigtop: {title}
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
User={user}
WorkingDirectory={folder}
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# The control socket: bigtop ctl -e {word}
RuntimeDirectory=bigtop/{runtime}
{killing}
TimeoutStopSec={patience:.0f}
# The supervisor is killed and started again when its event loop stands still.
WatchdogSec=30
Restart=on-failure
# Sockets are kept over a crash of the supervisor: clients wait in their queues.{keeps}
FileDescriptorStoreMax={descriptors}
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
{capabilities}{credentials}
[Install]
WantedBy=multi-user.target
"""
_MIXED = """\
# TERM to the supervisor alone, which lets its processes finish; what is left then is killed.
KillMode=mixed"""
_ALONE = """\
# Only ever the supervisor: if it crashes, commands go on, and its successor finds them.
KillMode=process"""
_LEAST_DESCRIPTORS = 128
_OF_A_COMMAND = 6  # descriptors in the store, at most
# More than the supervisor gives its processes, so that it is never killed while they still finish.
_SPARE = MARGIN + 10.0


@click.group("init")
def command() -> None:
    """Write what starts Bigtop with the system."""


@command.command(
    "systemd", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option("--user", metavar="USER", help="Run as this user.  [default: whoever asks]")
@click.option(
    "--keep-commands",
    is_flag=True,
    help="Commands of FILE go on while a supervisor that crashed is replaced.",
)
@click.argument("words", nargs=-1, required=True, metavar="serve APP ... | run FILE")
def systemd(user: str | None, keep_commands: bool, words: tuple[str, ...]) -> None:
    """Print a systemd unit for a command line of bigtop.

    For example: bigtop init systemd --user www serve myproj.wsgi:app --workers 4
    """
    name, port, patience, files, kept = _facts(words)
    if keep_commands and words[0] != "run":
        raise ConfigError("--keep-commands: serve has none, and its workers end with their supervisor")
    user = user or pwd.getpwuid(os.geteuid()).pw_name
    secret = credentials.unreadable(files, user)
    copies: dict[str, str] = {}
    if secret and words[0] == "serve":
        changed, copies = credentials.handed_over(flags.expand(words[1:]), secret)
        words = ("serve", *changed) if copies else words
    for path in sorted({*secret} - {*copies.values()}):
        click.echo(f"bigtop: {user} may not read {path}: give it to a group of that user", err=True)
    click.echo(
        _UNIT.format(
            title=_plain(name),
            word=shlex.quote(one_line(name)),
            runtime=re.sub(r"[^A-Za-z0-9_.@+-]", "_", name),
            user=user,
            folder=_plain(workdir.current()),
            killing=_ALONE if keep_commands else _MIXED,
            keeps=" So are commands." if keep_commands else "",
            descriptors=max(_LEAST_DESCRIPTORS, kept),
            command=credentials.placed(" ".join(map(_quoted, [_program(), *words]))),
            patience=math.ceil(patience + _SPARE),
            capabilities="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if 0 < port < 1024 else "",
            credentials=_loaded(copies, user),
        ),
        nl=False,
    )


def _loaded(copies: Mapping[str, str], user: str) -> str:
    if not copies:
        return ""
    lines = [f"LoadCredential={name}:{_plain(path)}\n" for name, path in copies.items()]
    return f"# Copies, since {user} may not read these. Renewed ones are read at a restart.\n" + "".join(
        lines
    )


def _facts(words: Sequence[str]) -> tuple[str, int, float, list[str], int]:
    """Check the command; return its name, the lowest port, the seconds that it takes to stop, the files for
    TLS, and how many descriptors there are to be kept."""
    if {"-D", "--daemon"}.intersection(words):
        raise ConfigError("systemd wants its services in the foreground: leave --daemon out")
    match words:
        case ["run", *_, file]:
            spec = daemon.load(file)
            ports = [socket.port or 0 for socket in spec.sockets]
            ports += [bind.port or 0 for app in spec.apps for bind in app.site.binds]
            watchers = (*spec.watchers, *spec.plugin_watchers)
            times = [watcher.stop.graceful_timeout for watcher in watchers]
            times += [app.site.graceful_timeout for app in spec.apps]
            files = [path for app in spec.apps for path in credentials.paths_of(app.site.tls)]
            lowest = min(filter(None, ports), default=0)
            return PurePath(file).stem, lowest, max(times, default=30.0), files, _kept(spec)
        case ["serve", *rest]:
            arguments = click.Command(
                "bigtop serve", params=[click.Argument(["app"]), *flags.parameters()]
            ).make_context("bigtop serve", flags.expand(rest))
            app = arguments.params.pop("app")
            site = config_serve.spec(config_serve.configure(app, {}, flags.collect(arguments.params)))
            ports = [bind.port or 0 for bind in site.binds]
            files = credentials.paths_of(site.tls)
            lowest = min(filter(None, ports), default=0)
            return site.name, lowest, site.graceful_timeout, files, len(site.binds) + 1
    raise click.UsageError("the words behind the options are a command: serve APP ..., or run FILE")


def _kept(spec: DaemonSpec) -> int:
    """Return how many descriptors there are to be kept: each watcher may have a process more for a while."""
    sockets = len(spec.sockets) + sum(len(app.site.binds) for app in spec.apps)
    most = [one.numprocesses if one.scaling is None else one.scaling.most for one in spec.watchers]
    most += [1 for _ in spec.plugin_watchers]
    return sockets + 1 + sum((count + 1) * _OF_A_COMMAND for count in most)


def _program() -> str:
    """Return the absolute path of this very program, which need not be on the PATH of systemd."""
    beside = os.path.join(os.path.dirname(sys.executable), "bigtop")
    return beside if os.path.exists(beside) else shutil.which("bigtop") or "bigtop"


def _plain(text: str) -> str:
    """Return a value that systemd takes as it stands, quotes and blanks included; but % is its own."""
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise ConfigError(f"{text!r} cannot stand in a unit: choose another name")
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word as systemd reads it (systemd.service(5), "Command lines"): % and $ are its own."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", word):
        return word
    return '"' + "".join(map(_in_quotes, word)) + '"'


def _in_quotes(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
