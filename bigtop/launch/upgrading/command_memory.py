# Memory files of commands: what the service manager keeps of each, for a supervisor that finds it again.
#
# Rule: the numbers in it are those of who wrote it. What they stand for is told by device and inode, since a
# service manager passes descriptors on under others.

from __future__ import annotations

import json
import os
import select
from collections.abc import Mapping, Sequence
from io import FileIO
from typing import Final

from bigtop.ipc import snapshot
from bigtop.ipc.snapshot import Descriptor, SnapshotError
from bigtop.launch.upgrading.command_classes import OF_COMMANDS
from bigtop.log import logger as get_logger
from bigtop.record import Record, replace
from bigtop.supervisor.processes.commands.command_pool import CommandState
from bigtop.supervisor.streams.reader import ReaderState
from bigtop.system import kernel

logger = get_logger("bigtop.supervisor")

_MEMORY: Final = "bigtop-command"


class KeptCommand(Record):
    """What a memory file says of one; `files` are device and inode by number."""

    version: int
    state: CommandState
    files: Mapping[int, tuple[int, int]]


def written(state: CommandState) -> tuple[FileIO, list[int]]:
    """Return a file in memory that describes a process, to be closed; and the descriptors that it names."""
    found: set[int] = set()
    snapshot.plain(replace(state, pidfd=None), found)
    fds = sorted(found)
    kept = KeptCommand(snapshot.VERSION, replace(state, pidfd=None), {fd: _identity(fd) for fd in fds})
    file = FileIO(os.memfd_create(_MEMORY), "wb")
    file.write(json.dumps(snapshot.plain(kept)).encode())
    return file, fds


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def read(fds: Sequence[int]) -> tuple[CommandState | None, set[int], bool]:
    """Return what is known of a command of these descriptors, those that it is to go on with, and whether it
    lives."""
    states, files, pidfd, pid = [], {}, -1, -1
    for fd in fds:
        number = kernel.pid_of(fd)
        if number is not None:
            pidfd, pid = fd, number
        elif os.readlink(f"/proc/self/fd/{fd}").startswith(f"/memfd:{_MEMORY}"):
            states.append(_kept(fd))
        else:
            files[_identity(fd)] = fd
    # The one that knows that it is ready was written last.
    kept = max((one for one in states if one is not None), key=lambda one: one.state.watch.said, default=None)
    lives = pid > 0 and not select.select([pidfd], [], [], 0)[0]
    if kept is None or not lives or pid != kept.state.pid:
        return None, set(), lives
    state, used = _renumbered(kept, files)
    return replace(state, pidfd=Descriptor(pidfd)), {*used, pidfd}, True


def _kept(fd: int) -> KeptCommand | None:
    classes = snapshot.known((KeptCommand, ReaderState, *OF_COMMANDS))
    try:
        kept = snapshot.read(json.loads(os.pread(fd, os.fstat(fd).st_size, 0)), classes)
    except (OSError, ValueError, SnapshotError) as error:
        logger.error("a command of the last supervisor: %s", error)
        return None
    return kept if isinstance(kept, KeptCommand) and kept.version == snapshot.VERSION else None


def _renumbered(kept: KeptCommand, files: Mapping[tuple[int, int], int]) -> tuple[CommandState, set[int]]:
    """Return the state with the descriptors that we have; what is missing has come to its end."""
    used: set[int] = set()

    def here(old: Descriptor | None) -> Descriptor | None:
        number = -1 if old is None else files.get(kept.files[old.number], -1)
        used.add(number)
        return Descriptor(number) if number >= 0 else None

    state = kept.state
    readers = {which: replace(reader, pipe=here(reader.pipe)) for which, reader in state.readers.items()}
    state = replace(state, readers=readers, watch=replace(state.watch, socket=here(state.watch.socket)))
    return state, used - {-1}
