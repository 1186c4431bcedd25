# An upgrade of a program in which something new is under way each time that it is about to become the next
# version.

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

import pytest

from bigtop.errors import CommandError
from bigtop.launch.upgrading.upgrade import Attempts, Origin, Upgrade
from bigtop.record import Record

# What the new version is asked, it answers so.
NEW = """#!{python}
import json, os
_, _, fd = os.environ["BIGTOP_UPGRADE"].split(":")
found = {{"version": "9.9.9", "package": "/nowhere", "python": "/nowhere/python", "path": []}}
os.write(int(fd), json.dumps(found).encode())
"""


class Nothing(Record):
    """What such a program holds."""


def test_it_is_given_up_after_a_time_however_often_something_new_is_under_way(tmp_path: Path) -> None:
    program = tmp_path / "bigtop"
    program.write_text(NEW.format(python=sys.executable))
    program.chmod(0o755)
    origin = Origin((str(program),), (), (), dict(os.environ), str(tmp_path))
    # At the first look nothing is, at the second one something has begun.
    looks = itertools.cycle([Nothing(), "web: a reload is under way"])
    first = [Nothing()]

    async def tried() -> None:
        attempts = Attempts()
        upgrade = Upgrade(origin, lambda: first.pop() if first else next(looks), attempts, patience=0.5)
        told = asyncio.Event()
        upgrade.hear.add(told.set)
        assert (await upgrade.begin())["version"] == "9.9.9"
        async with asyncio.timeout(30):
            await told.wait()
        assert attempts.refused == "web: a reload is under way, for 0.5 seconds already"

    asyncio.run(tried())


def test_what_is_under_way_all_the_time_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    origin = Origin((str(tmp_path / "bigtop"),), (), (), dict(os.environ), str(tmp_path))

    async def tried() -> None:
        upgrade = Upgrade(origin, lambda: "web: it stops", Attempts(), patience=0.1)
        with pytest.raises(CommandError, match=r"web: it stops, for 0\.1 seconds already"):
            await upgrade.begin()

    asyncio.run(tried())
