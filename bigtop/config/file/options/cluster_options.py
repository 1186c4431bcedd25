# Keys of the section [cluster]. What this table is good for is said in watcher_options.py.

from __future__ import annotations

from typing import Final

from bigtop.cluster import spec
from bigtop.config.file.options import watcher_values as wv
from bigtop.config.file.text.key import Key
from bigtop.config.serve.values import values
from bigtop.config.serve.values.values import one

NODE_FOLDER = Key(
    "folder",
    wv.filled(values.path),
    "FOLDER",
    "Where this node joined (`bigtop cluster join --folder`): its key, and what it was assigned.",
    ours=True,
)
NODE_ROLE = Key(
    "role",
    one(values.choice(*spec.ROLES)),
    "|".join(spec.ROLES),
    "The most that commands from the cluster may do here. What is assigned is reloaded with any of them.",
    ("operate",),
    ours=True,
)
CLUSTER: Final[tuple[Key[object], ...]] = (NODE_FOLDER, NODE_ROLE)
