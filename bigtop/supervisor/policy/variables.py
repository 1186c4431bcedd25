# Variables in commands: from the description of a command to the words that are executed.
#
# Rule: pure. $(circus.NAME) and ((circus.NAME)) stand for a value in any case of letters; a name that nobody
# knows is left as it is, because it may mean something to a shell. Text is expanded first and split after
# that, as Circus does, so that a value may hold several words.

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from bigtop.supervisor.policy.spec import Command, WatcherSpec

_NAMES = re.compile(r"\$\(circus\.([^()\s]+)\)|\(\(circus\.([^()\s]+)\)\)", re.IGNORECASE)
_SOCKETS = "sockets."
SHELL = "/bin/sh"


def expand(text: str, names: Mapping[str, str]) -> str:
    """Put in the values of `names`, whose keys are in lower case."""
    return _NAMES.sub(lambda found: names.get((found[1] or found[2]).lower(), found[0]), text)


def sockets_named(command: Command) -> frozenset[str]:
    """Return the names of the sockets that the command line asks for, in lower case."""
    texts = [command.cmd, command.shell_args]
    texts += [command.args] if isinstance(command.args, str) else command.args
    asked = {(found[1] or found[2]).lower() for text in texts for found in _NAMES.finditer(text)}
    return frozenset(name.removeprefix(_SOCKETS) for name in asked if name.startswith(_SOCKETS))


def names_of(spec: WatcherSpec, command: Command, wid: int, sockets: Mapping[str, int]) -> dict[str, str]:
    """Return what can be expanded in the command line of process `wid`; `sockets` are descriptors by name."""
    context = command.context
    names = dict(spec.options) | {
        "name": spec.name,
        "wid": str(wid),
        "numprocesses": str(spec.numprocesses),
        "priority": str(spec.priority),
        "shell": str(command.shell),
        "singleton": str(spec.singleton),
        "send_hup": str(spec.send_hup),
        "use_sockets": str(command.all_sockets),
        "use_fds": str(command.all_sockets),
        "working_dir": context.cwd or "",
        "uid": context.user or "",
        "gid": context.group or "",
        "stop_signal": str(int(spec.stop.signal)),
        "stop_children": str(spec.stop.children),
        "graceful_timeout": f"{spec.stop.graceful_timeout:g}",
        "warmup_delay": f"{spec.lifetime.warmup_delay:g}",
        "max_age": f"{spec.lifetime.max_age:g}",
        "max_age_variance": f"{spec.lifetime.max_age_variance:g}",
        "autostart": str(spec.lifetime.autostart),
        "on_demand": str(spec.lifetime.on_demand),
    }
    names |= {f"env.{name}": value for name, value in context.env}
    names |= {f"{_SOCKETS}{name}": str(fd) for name, fd in sockets.items()}
    return {name.lower(): value for name, value in names.items()}


def misquoted(command: Command) -> dict[str, str]:
    """Return what is wrong with the quotes, by option; a shell reads its own command line."""
    texts = {"shell_args": command.shell_args} if command.shell else {"cmd": command.cmd}
    if not command.shell and isinstance(command.args, str):
        texts["args"] = command.args
    found = {}
    for option, text in texts.items():
        try:
            shlex.split(text)
        except ValueError as error:
            found[option] = str(error)
    return found


def argv_of(command: Command, names: Mapping[str, str]) -> list[str]:
    """Return the words to execute; ValueError says what cannot be split."""
    cmd = expand(command.cmd, names)
    if isinstance(command.args, str):
        args = expand(command.args, names)
        split_args = [] if command.shell else shlex.split(args)
    else:
        split_args = [expand(arg, names) for arg in command.args]
        args = shlex.join(split_args)
    if command.shell:
        return [SHELL, "-c", f"{cmd} {args}".rstrip(), *shlex.split(expand(command.shell_args, names))]
    return shlex.split(cmd) + split_args
