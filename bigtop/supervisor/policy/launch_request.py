# Request to the launcher: one process to be made, completely described.
#
# Rule: numbers and plain text only. Names of users, sockets and control groups are looked up by the
# supervisor, so that a wrong one is an error with a place, and the child has nothing left to find out.

from __future__ import annotations

import json
from typing import Any

from bigtop.record import Record, as_dict, replace


class LaunchRequest(Record):
    """See spec.ExecContext; `fds` are the numbers that the descriptors sent along get in the child."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    fds: tuple[int, ...] = ()
    cwd: str | None = None
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    umask: int | None = None
    nice: int | None = None
    cpu_affinity: tuple[int, ...] = ()
    oom_score_adj: int | None = None
    no_new_privs: bool = False
    rlimits: tuple[tuple[str, int], ...] = ()
    cgroup: str | None = None  # the folder to join
    folder: str | None = None  # where the supervisor is, if there is no cwd

    @property
    def is_plain(self) -> bool:
        """Whether nothing has to be done between fork and exec but to place descriptors."""
        return self == replace(LaunchRequest(self.argv), env=self.env, fds=self.fds, folder=self.folder)

    def encode(self) -> bytes:
        return json.dumps(as_dict(self)).encode()  # in ASCII: arbitrary bytes survive as lone surrogates

    @classmethod
    def decode(cls, data: bytes) -> LaunchRequest:
        fields: dict[str, Any] = json.loads(data)
        for name in ("argv", "fds", "groups", "cpu_affinity"):
            fields[name] = tuple(fields[name])
        for name in ("env", "rlimits"):
            fields[name] = tuple((key, value) for key, value in fields[name])
        return cls(**fields)
