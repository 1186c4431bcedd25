# Applier: has the applications of one node run what the node was assigned, through its own supervisor.
#
# Rules: what was assigned last is on the disk, as it was signed, and counts again after a start without any
# hub. A link named `current` leads to what runs; a reload that fails leaves the old code running and the link
# where it was. One application is changed by one task at a time, and the newest assignment wins.

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bigtop.cluster import places
from bigtop.cluster.artifacts import prepared
from bigtop.cluster.policy.fence import Fence, Word
from bigtop.cluster.policy.member import Condition
from bigtop.cluster.revision import of_plain
from bigtop.control.client.async_client import AsyncClient
from bigtop.errors import BigtopError, ConfigError
from bigtop.log import logger as get_logger
from bigtop.record import Record

logger = get_logger("bigtop.cluster")

_KEPT: Final = 3  # folders of revisions


class App(Record, frozen=False):
    """One application here. `serving` is the revision that runs; `origin` is where the link led at first."""

    assigned: dict[str, Any]
    serving: int = 0
    origin: str = ""
    condition: Condition = Condition.CHANGING
    why: str = ""
    in_doubt: bool = False  # a reload was begun, and nobody knows how it ended


class Applier:
    """Of the node in `folder`, by the supervisor at `endpoint`. `changed` is called when there is news."""

    def __init__(self, folder: Path, node: str, endpoint: str, changed: Callable[[], None]) -> None:
        self._folder, self._node, self._endpoint, self._changed = folder, node, endpoint, changed
        self.apps: dict[str, App] = {}
        self.fence = Fence()
        self.seal = ""  # of the epoch of the fence, by its leader
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._restore()

    def begin(self) -> None:
        """Go on with what was under way when the agent before this one ended."""
        for name, app in self.apps.items():
            if app.condition is Condition.CHANGING:
                self._work(name)

    def assign(self, body: Mapping[str, Any]) -> Word:
        """Take an assignment in. StaleError: it is too old; KeyError, TypeError, ValueError: it is none."""
        name, number = str(body["app"]), int(body["number"])
        if not places.NAME.fullmatch(name):
            raise ValueError("app")
        if int(body["revision"]):
            of_plain(body["what"])
        word = self.fence.assignment(name, number, int(body["epoch"]))
        if word is Word.NEW:
            app = self.apps.setdefault(name, App({}))
            app.assigned, app.condition, app.why = dict(body), Condition.CHANGING, ""
            self.save()
            self._work(name)
        return word

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def save(self) -> None:
        """Write down what has to outlive this process."""
        apps = {
            name: {
                "assigned": one.assigned,
                "serving": one.serving,
                "origin": one.origin,
                "in_doubt": one.in_doubt,
                "condition": one.condition.value,
                "why": one.why,
            }
            for name, one in self.apps.items()
        }
        places.write_json(
            self._folder / "state.json", {"fence": self.fence.plain(), "seal": self.seal, "apps": apps}
        )

    def _restore(self) -> None:
        path = self._folder / "state.json"
        if not path.exists():
            return
        said = places.read_json(path)
        try:
            self.fence, self.seal = Fence.of(said["fence"]), str(said["seal"])
            for name, one in said["apps"].items():
                condition = Condition(one["condition"])
                app = App(one["assigned"], one["serving"], one["origin"], condition, one["why"])
                app.in_doubt = bool(one.get("in_doubt"))
                self.apps[name] = app
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{path}: was written by somebody else") from None

    # ---- what is done

    def _work(self, name: str) -> None:
        before = self._tasks.get(name)
        if before is not None:
            before.cancel()
        self._tasks[name] = asyncio.create_task(self._apply(name, before))

    async def _apply(self, name: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        app = self.apps[name]
        while app.condition is Condition.CHANGING:
            body = app.assigned
            try:
                await self._become(name, app, body)
                condition, why = Condition.APPLIED, ""
            except BigtopError as error:
                condition, why = Condition.REFUSED, str(error)
            except (KeyError, TypeError, ValueError, OSError) as error:
                condition, why = Condition.REFUSED, f"{type(error).__name__}: {error}"
            if app.assigned is body:  # else a newer one came meanwhile
                app.condition, app.why = condition, why
                say = logger.info if condition is Condition.APPLIED else logger.error
                say("%s: revision %s %s%s", name, body["revision"], condition.value, why and f": {why}")
            self.save()
            self._changed()

    async def _become(self, name: str, app: App, body: Mapping[str, Any]) -> None:
        number = int(body["revision"])
        if number == app.serving and not app.in_doubt:
            return
        folder = self._folder / "apps" / name
        link = folder / "current"
        before = os.readlink(link) if link.is_symlink() else ""
        if not app.origin:
            if not before:
                raise ConfigError(f"{link}: must be a link to what runs: chdir of {name} leads through it")
            app.origin = before
            self.save()
        if number:
            place = folder / f"r{number}"
            facts = {
                "BIGTOP_NODE": self._node,
                "BIGTOP_APP": name,
                "BIGTOP_REVISION": str(number),
            }
            is_first = bool(body.get("is_first"))
            await prepared(of_plain(body["what"]), place, facts, is_first=is_first)
            target = place.name
        else:
            target = app.origin
        if app.assigned is not body:
            return
        was_in_doubt, app.in_doubt = app.in_doubt, True
        self.save()
        _lead(link, target)
        try:
            await self._reload(name)
        except asyncio.CancelledError:  # and the supervisor may go on with it
            _lead(link, before)
            raise
        except BigtopError:
            _lead(link, before)
            app.in_doubt = was_in_doubt
            raise
        app.serving, app.in_doubt = number, False
        _sweep(folder, number)

    async def _reload(self, name: str) -> None:
        """Have the supervisor reload. BigtopError: the old code goes on."""
        async with AsyncClient(self._endpoint, timeout=None) as client:
            await client.call("reload", name=name, waiting=True)


def _lead(link: Path, target: str) -> None:
    draft = link.with_name(f".{link.name}.draft")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


def _sweep(folder: Path, serving: int) -> None:
    """Remove revisions that are older than the last few."""
    found = sorted(int(path.name[1:]) for path in folder.glob("r*") if path.name[1:].isdigit())
    for number in found[:-_KEPT]:
        if number != serving:
            shutil.rmtree(folder / f"r{number}", ignore_errors=True)
