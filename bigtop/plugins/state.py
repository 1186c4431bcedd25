# State of a plugin: an object of JSON in a file, which outlives the process.
#
# Rules: each change is written at once, into a new file that takes the place of the old one. A file that
# cannot be understood is put aside, so that a plugin is never kept from starting by what it once wrote.

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

LARGEST: Final = 1 << 20  # bytes; more is no state but a database


def default_path(daemon: str, plugin: str, environ: Mapping[str, str], uid: int) -> str:
    """Return where a plugin of the supervisor `daemon` keeps its state unless its section says so."""
    name = "".join(char if char.isalnum() or char in "-_" else "_" for char in plugin)
    folder = environ.get("STATE_DIRECTORY", "").partition(":")[0]  # of systemd (StateDirectory=)
    if not os.path.isabs(folder):
        folder = "/var/lib/bigtop"
        if uid != 0:
            data = environ.get("XDG_DATA_HOME", "")
            if not os.path.isabs(data):
                data = os.path.join(os.path.expanduser("~"), ".local/share")
            folder = os.path.join(data, "bigtop")
    return os.path.join(folder, "plugins", daemon, f"{name}.json")


class State(MutableMapping[str, Any]):
    """What is in the file `path`, which need not exist yet. Raises ValueError for what JSON does not have,
    and OSError where it cannot be written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._values: dict[str, Any] = {}
        try:
            with open(path, encoding="utf-8") as file:
                found = json.loads(file.read(LARGEST + 1))
        except FileNotFoundError:
            return
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            self._values = found
        else:
            with suppress(OSError):
                os.replace(path, f"{path}.broken")

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._become({**self._values, key: value})

    def __delitem__(self, key: str) -> None:
        if key not in self._values:
            raise KeyError(key)
        self._become({name: value for name, value in self._values.items() if name != key})

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def _become(self, values: dict[str, Any]) -> None:
        try:
            text = json.dumps(values)
        except (TypeError, RecursionError) as error:
            raise ValueError(f"state is JSON: {error}") from None
        if len(text) > LARGEST:
            raise ValueError(f"state has at most {LARGEST} bytes, not {len(text)}")
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        new = f"{self.path}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(new, self.path)
        self._values = values
