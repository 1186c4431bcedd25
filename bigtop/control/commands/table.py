# Table of commands.
#
# A new one is a class in queries.py, inspection.py, process_commands.py or config_commands.py, its place in
# this tuple, and a test. The protocol, `bigtop ctl`, completion and docs/reference/control.md know it then.

from __future__ import annotations

from bigtop.control.commands import config_commands, inspection, parameters, process_commands, queries
from bigtop.control.commands.base import Command
from bigtop.control.protocol import ControlRequest, Errno, RefusedError

COMMANDS: tuple[type[Command], ...] = (
    queries.Status,
    queries.List,
    queries.Overview,
    queries.Stats,
    queries.DaemonStats,
    queries.Tail,
    inspection.Requests,
    inspection.Recent,
    inspection.Certificates,
    inspection.Cache,
    inspection.Purge,
    inspection.Generations,
    inspection.Stack,
    inspection.Profile,
    queries.Listen,
    process_commands.Start,
    process_commands.Stop,
    process_commands.Restart,
    process_commands.Reload,
    process_commands.Rollback,
    process_commands.Increase,
    process_commands.Decrease,
    process_commands.Scale,
    process_commands.Signal,
    process_commands.Kill,
    queries.NumProcesses,
    queries.Explain,
    queries.NumWatchers,
    queries.ListSockets,
    queries.Options,
    queries.Get,
    config_commands.Set,
    queries.GlobalOptions,
    config_commands.Add,
    config_commands.Remove,
    config_commands.ReloadConfig,
    config_commands.Save,
    config_commands.Upgrade,
    config_commands.Quit,
    queries.Version,
    config_commands.IPython,
)

_BY_WORD = {command.word: command for command in COMMANDS}


def decode(request: ControlRequest) -> Command:
    """Return the command that is asked for; RefusedError where there is none such or a property is wrong."""
    command = _BY_WORD.get(request.word)
    if command is None:
        raise RefusedError(f"unknown command: {request.word!r}", Errno.UNKNOWN_COMMAND)
    return command(**parameters.values(command, request.properties))
