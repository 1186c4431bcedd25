# Description of a node's agent, as a file asks for it.
#
# Rule: nothing of NATS, nor of keys, is imported here: a supervisor reads it.

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from bigtop.record import Record

NAME: Final = "cluster-agent"  # the watcher
ROLES: Final = ("view", "operate", "admin")


class AgentSpec(Record):
    """`folder` is where the node joined; `role` is the most that commands from the cluster may do here."""

    folder: str
    role: str = "operate"


def problems(spec: AgentSpec) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, by the name of the option."""
    path = os.path.join(spec.folder, "node.json")
    if not os.path.isfile(path):
        yield "folder", f"{spec.folder}: no node has joined there: bigtop cluster join HUB --token TOKEN"
    elif not os.access(spec.folder, os.W_OK | os.X_OK) or not os.access(path, os.R_OK):
        yield "folder", f"{spec.folder}: may not be used"
