# All commands.
#
# A new one is a class in reading.py, steering.py or changing.py, its place in this tuple, and a test. The
# wire, `bigtop ctl`, completion and docs/reference/control.md know it by then.

from __future__ import annotations

from bigtop.control import changing, parameters, reading, steering
from bigtop.control.command import Command
from bigtop.control.wire import Errno, RefusedError, Request

COMMANDS: tuple[type[Command], ...] = (
    reading.Status,
    reading.List,
    reading.Stats,
    reading.DaemonStats,
    reading.Tail,
    reading.Requests,
    reading.Listen,
    steering.Start,
    steering.Stop,
    steering.Restart,
    steering.Reload,
    steering.Increase,
    steering.Decrease,
    steering.Signal,
    steering.Kill,
    reading.NumProcesses,
    reading.NumWatchers,
    reading.ListSockets,
    reading.Options,
    reading.Get,
    changing.Set,
    reading.GlobalOptions,
    changing.Add,
    changing.Remove,
    changing.ReloadConfig,
    changing.Save,
    changing.Quit,
    reading.Version,
    changing.IPython,
)

_BY_WORD = {command.word: command for command in COMMANDS}


def decode(request: Request) -> Command:
    """Return the command that is asked for; RefusedError where there is none such or a property is wrong."""
    command = _BY_WORD.get(request.word)
    if command is None:
        raise RefusedError(f"unknown command: {request.word!r}", Errno.UNKNOWN_COMMAND)
    return command(**parameters.values(command, request.properties))
