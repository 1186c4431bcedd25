# Resolution of a command: from its description to its LaunchRequest, all looked up before it is made.
#
# Rule: what cannot be found is a SpawnError that says which option is wrong, before there is any process.

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping

from bigtop.errors import BigtopError
from bigtop.supervisor.policy.launch_request import LaunchRequest
from bigtop.supervisor.policy.spec import Command, ExecContext, WatcherSpec
from bigtop.supervisor.policy.variables import argv_of, names_of, sockets_named
from bigtop.system import accounts
from bigtop.system.accounts import Account
from bigtop.system.files import workdir


class SpawnError(BigtopError):
    """A command cannot be started; the message names the option."""


def sockets_used(spec: WatcherSpec, every: Collection[str]) -> set[str]:
    """Return which of `every` socket a watcher's commands are given."""
    if not isinstance(spec.target, Command):
        return set()
    if spec.target.all_sockets:
        return set(every)
    return sockets_named_by(spec, every)


def sockets_named_by(spec: WatcherSpec, every: Collection[str]) -> set[str]:
    """Return which of `every` socket a watcher's commands were meant to have, not only to see."""
    if not isinstance(spec.target, Command):
        return set()
    named = {*spec.sockets, *sockets_named(spec.target), spec.target.stdio.stdin_socket}
    return {name for name in every if name in named}


def visible_sockets(spec: WatcherSpec, command: Command, sockets: Mapping[str, int]) -> dict[str, int]:
    """Return the descriptors that the command may see, by name."""
    if command.all_sockets:
        return dict(sockets)
    named = sockets_named(command).union(spec.sockets)
    if missing := sorted(named - sockets.keys()):
        raise SpawnError(f"there is no socket {', '.join(missing)}")
    return {name: fd for name, fd in sockets.items() if name in named}


def request_for(spec: WatcherSpec, command: Command, wid: int, sockets: Mapping[str, int]) -> LaunchRequest:
    """Return the request for process `wid`; the descriptors of `sockets` keep their numbers."""
    context = command.context
    try:
        argv = argv_of(command, names_of(spec, command, wid, sockets))
    except ValueError as error:
        raise SpawnError(f"cmd {command.cmd!r}: {error}") from error
    if not argv:
        raise SpawnError("cmd is empty")
    account = _account(context)
    stays = context.cwd is None or workdir.is_current(context.cwd)
    return LaunchRequest(
        argv=tuple(argv),
        env=context.env,
        fds=(0, 1, 2, *sockets.values()),
        cwd=None if stays else context.cwd,
        folder=os.getcwd() if stays else None,
        uid=account.uid,
        gid=account.gid,
        groups=account.groups,
        umask=context.umask,
        nice=context.nice,
        cpu_affinity=context.cpu_affinity,
        oom_score_adj=context.oom_score_adj,
        no_new_privs=context.no_new_privs,
        rlimits=context.rlimits,
    )


def program(request: LaunchRequest) -> str:
    """Return the path of the program, found as execvp(3) finds it in the environment of the command."""
    path = dict(request.env).get("PATH", os.defpath)
    found = shutil.which(request.argv[0], path=path)
    if found is not None:
        return found
    where = "" if "/" in request.argv[0] else f" on its PATH ({path})"
    raise SpawnError(f"{request.argv[0]}: there is no such program{where}, or it may not be executed")


def _account(context: ExecContext) -> Account:
    try:
        return accounts.account(context.user, context.group, "gid")
    except LookupError as error:
        raise SpawnError(f"uid, gid: {error}") from error


def users_of(specs: Iterable[WatcherSpec], sockets: Collection[str]) -> list[WatcherSpec]:
    """Return those whose commands are given one of `sockets`."""
    return [spec for spec in specs if sockets_used(spec, sockets)]
