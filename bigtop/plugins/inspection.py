# Inspection of a plugin before it runs: `python -m bigtop.plugins.inspection`, its orders on standard input.
#
# The answer on standard output is one object of JSON: {"role", "problems": [[OPTION|null, WHY], ...]}. What
# the plugin itself prints goes to standard error.

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Coroutine, Iterator, Mapping, MutableMapping
from typing import Any

from bigtop.errors import BigtopError
from bigtop.log import logger as get_logger
from bigtop.plugins import lookup
from bigtop.plugins.circus.kinds import is_of_circus, is_ours
from bigtop.plugins.options import OptionError, options_of, read
from bigtop.plugins.orders import Orders
from bigtop.plugins.plugin import Plugin, Turn, configured

Problem = tuple[str | None, str]
_OF_ALL = ("active", "name")  # options that every plugin of Circus is given


class NoHost:
    """The world before anything runs: there is nobody to talk to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log = get_logger("bigtop")
        self.state: MutableMapping[str, Any] = {}

    def every(self, seconds: float, turn: Turn) -> None:
        raise BigtopError("check() starts nothing: every() is for start()")

    def background(self, work: Coroutine[Any, Any, object]) -> None:
        work.close()
        raise BigtopError("check() starts nothing: background() is for start()")

    async def call(self, command: str, properties: Mapping[str, object]) -> dict[str, Any]:
        raise BigtopError(f"check() has no supervisor to talk to: call({command!r}) is for start()")

    async def cast(self, command: str, properties: Mapping[str, object]) -> None:
        await self.call(command, properties)


def inspected(orders: Orders) -> tuple[str, list[Problem]]:
    """Return the role that a plugin asks for, and what is wrong with it."""
    try:
        kind = lookup.find(orders.use)
        if is_of_circus(kind):
            return _of_circus(kind, orders)
        if not issubclass(kind, Plugin):
            return "", [("use", f"{orders.use} is no subclass of bigtop.plugins.Plugin")]
        return kind.role, list(_of_plugin(kind, orders))
    except BigtopError as error:
        return "", [("use", str(error))]
    except Exception as error:  # whatever the code of others raises
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "", [("use", f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})")]


def _of_plugin(kind: type[Plugin], orders: Orders) -> Iterator[Problem]:
    values, problems = configured(kind, orders.given, orders.reserved)
    yield from ((problem.name, problem.reason) for problem in problems)
    if problems:
        return
    plugin = kind(NoHost(orders.name))
    vars(plugin).update(values)
    try:
        asyncio.run(plugin.check())
    except OptionError as error:
        yield error.name, error.reason


def _of_circus(kind: type, orders: Orders) -> tuple[str, list[Problem]]:
    if not is_ours(kind):
        return "admin", []  # as Circus has it: a plugin is given any text, and may do anything
    from bigtop.plugins.circus.plugin import CircusPlugin  # with ZeroMQ

    assert issubclass(kind, CircusPlugin)
    given = {name: texts for name, texts in orders.given.items() if name not in _OF_ALL}
    values, problems = read(options_of(kind, CircusPlugin), given, orders.reserved)
    problems += kind.lacking(values)
    return kind.role, [(problem.name, problem.reason) for problem in problems]


def main() -> int:
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, "")
    role, problems = inspected(Orders.decode(sys.stdin.read()))
    with open(answer, "w") as file:
        json.dump({"role": role, "problems": problems}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
