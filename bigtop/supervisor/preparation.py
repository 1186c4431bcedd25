# From a description to an order: everything about a command that has to be looked up before it is made.
#
# Rule: what cannot be found is a SpawnError that says which option is wrong, before there is any process.

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Collection, Mapping

from bigtop.errors import BigtopError
from bigtop.supervisor.expansion import argv_of, names_of, sockets_named
from bigtop.supervisor.orders import Order
from bigtop.supervisor.spec import Command, ExecContext, WatcherSpec


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


def order_of(spec: WatcherSpec, command: Command, wid: int, sockets: Mapping[str, int]) -> Order:
    """Return the order for process `wid`; the descriptors of `sockets` keep their numbers."""
    context = command.context
    try:
        argv = argv_of(command, names_of(spec, command, wid, sockets))
    except ValueError as error:
        raise SpawnError(f"cmd {command.cmd!r}: {error}") from error
    if not argv:
        raise SpawnError("cmd is empty")
    uid, gid, groups = _account(context)
    return Order(
        argv=tuple(argv),
        env=context.env,
        fds=(0, 1, 2, *sockets.values()),
        cwd=None if context.cwd == os.getcwd() else context.cwd,
        uid=uid,
        gid=gid,
        groups=groups,
        umask=context.umask,
        nice=context.nice,
        cpu_affinity=context.cpu_affinity,
        oom_score_adj=context.oom_score_adj,
        no_new_privs=context.no_new_privs,
        rlimits=context.rlimits,
    )


def program(order: Order) -> str:
    """Return the path of the program, found as execvp(3) finds it in the environment of the command."""
    path = dict(order.env).get("PATH", os.defpath)
    found = shutil.which(order.argv[0], path=path)
    if found is not None:
        return found
    where = "" if "/" in order.argv[0] else f" on its PATH ({path})"
    raise SpawnError(f"{order.argv[0]}: there is no such program{where}, or it may not be executed")


def _account(context: ExecContext) -> tuple[int | None, int | None, tuple[int, ...]]:
    """Return user, group and further groups; a user's own group stands in for one that is not given."""
    uid: int | None = None
    gid: int | None = None
    name = None
    if context.user is not None:
        try:
            numeric = context.user.isdigit()
            entry = pwd.getpwuid(int(context.user)) if numeric else pwd.getpwnam(context.user)
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        except KeyError:
            if not context.user.isdigit():
                raise SpawnError(f"uid {context.user}: there is no such user") from None
            uid = int(context.user)
    if context.group is not None:
        try:
            gid = int(context.group) if context.group.isdigit() else grp.getgrnam(context.group).gr_gid
        except KeyError:
            raise SpawnError(f"gid {context.group}: there is no such group") from None
    groups = os.getgrouplist(name, gid) if name is not None and gid is not None else []
    return uid, gid, tuple(groups)
