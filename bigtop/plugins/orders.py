# Orders of a plugin's process: what is to run there, and with which options. In the environment, since a
# command line is for everybody to read, and options may be passwords.

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from bigtop.record import Record, field

VARIABLE: Final = "BIGTOP_PLUGIN"
PROGRAM: Final = "program"  # the plugin that stands for a section with `cmd`


class Orders(Record):
    """`given` has the texts of each option, several where a list was written."""

    name: str  # of the watcher, such as "plugin:x"
    use: str
    given: Mapping[str, Sequence[str]] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)  # every key, as Circus' plugins are given them
    reserved: Sequence[str] = ()  # keys that a section may have anyhow
    state_file: str | None = None
    hang_timeout: float = 10.0  # seconds in which the event loop has to turn
    loglevel: str = "info"
    check_delay: float = 5.0

    def encode(self) -> str:
        told = {
            "name": self.name,
            "use": self.use,
            "given": {key: list(texts) for key, texts in self.given.items()},
            "config": dict(self.config),
            "reserved": list(self.reserved),
            "state_file": self.state_file,
            "hang_timeout": self.hang_timeout,
            "loglevel": self.loglevel,
            "check_delay": self.check_delay,
        }
        return json.dumps(told, sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Orders:
        return cls(**json.loads(text))
