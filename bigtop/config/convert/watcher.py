# A [watcher.NAME] of the new file in the making.
#
# Rule: a value that a key does not take becomes a comment. What names something of a machine (a folder, a
# user) is kept, since the file may be for another machine; `bigtop check` says there whether it is there.

from __future__ import annotations

import re
from typing import Final

from bigtop.config.convert import shell
from bigtop.config.convert.notes import no_equal, not_needed
from bigtop.config.file.options import watcher_options as w
from bigtop.config.file.text.key import Key
from bigtop.config.file.text.tomltext import Literal, Table
from bigtop.errors import ConfigError

_OF_A_MACHINE: Final = (w.WORKING_DIR, w.UID, w.GID)


class WatcherDraft:
    """What is said of one command, key by key; `line` is that command, as it is given to sh."""

    def __init__(self, name: str, line: str) -> None:
        self.environ: dict[str, str] = {}  # for its env section
        self.table = Table(("watcher", name), {w.CMD.name: line, w.COPY_ENV.name: True})
        # What we put in ourselves is replaced before a shell could see it.
        found = shell.words(re.sub(r"\$\(circus\.\S+?\)", "x", line), {})
        if found is None or not found or _is_assignment(found[0]):
            self.table.keys |= {w.SHELL.name: True, w.STOP_CHILDREN.name: True}
        elif found[0] == "exec":  # a word for a shell, which there is none of
            self.table.keys[w.CMD.name] = line.strip().removeprefix("exec").lstrip()

    @property
    def name(self) -> str:
        return self.table.path[-1]

    def rename(self, name: str) -> None:
        self.table.path = ("watcher", name)

    def put(self, key: Key[object], value: Literal, said: str) -> None:
        """Set a key; `said` is what the old file says."""
        texts = tuple(value) if isinstance(value, list) else (_text(value),)
        try:
            key.parse(texts)
        except (ValueError, ConfigError) as error:
            if key not in _OF_A_MACHINE or not texts[-1]:
                return self.lacks(said, str(error))
        table, dot, name = key.name.partition(".")
        if dot:
            self.table.put(table, name, value)
        else:
            self.table.keys[key.name] = value
        return None

    def lacks(self, said: str, why: str = "") -> None:
        self.table.notes.append(no_equal(said, why))

    def needs_not(self, said: str, why: str) -> None:
        self.table.notes.append(not_needed(said, why))


def _text(value: Literal) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _is_assignment(word: str) -> bool:
    return re.match(r"[A-Za-z_]\w*=", word) is not None


def unused(name: str, taken: set[str]) -> str:
    """Return `name`, or with a number where it is taken; case does not count. It is taken from now on."""
    found, number = name, 1
    while found.lower() in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found.lower())
    return found
