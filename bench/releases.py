# The code of a site under torture: written, deployed, broken, and who was to answer when.
#
# Rules: each release has a version of its own, which its answers name. At any time some versions may answer:
# the one that is deployed, and beside it the one that is on its way. An answer from any other one is wrong.

from __future__ import annotations

import threading
import time
from pathlib import Path

from bench import workshop
from bench.visitors import Visit

# What breaks, and what is written before the rest of the code, or what ails it (apps/accountable.py).
AT_BOOT = {
    "syntax error": "def broken(:",
    "import error": "import no_such_module",
    "crash at boot": "import os; os._exit(3)",
    "hang at boot": "import time; time.sleep(1000)",
}
AILMENTS = {"failing health check": "unhealthy", "5xx under traffic": "failing", "slow under traffic": "slow"}
BROKEN = (*AT_BOOT, *AILMENTS)
SERVED = ("5xx under traffic", "slow under traffic")  # that clients may see for a while

CODE = """\
{top}
from bench.apps.accountable import {kind}
app = {kind}({version!r}, {ailment!r})
"""


class Releases:
    """Releases of one site, in `folder`. check() is for the thread of the visitors."""

    def __init__(self, folder: Path, interface: str) -> None:
        self.ailment = ""  # of what is on the disk
        self.out_of_turn: list[str] = []
        self._folder = folder
        self._kind = interface.capitalize()
        self._number = 1
        self._serving = {"v1"}
        self._written = "v1"
        self._failing: set[str] = set()
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()
        self._allowed = [(0.0, frozenset({"v1"}))]  # from when on; monotonic seconds
        self._save("v1")

    def environment(self) -> dict[str, str]:
        """Return the environment of a server that serves `released:app`."""
        env = workshop.environment(None, self._folder, [("PYTHONDONTWRITEBYTECODE", "1")])
        env["PYTHONPATH"] = f"{self._folder}:{env['PYTHONPATH']}"
        return env

    def write(self, broken: str = "") -> str:
        """Put a new release on the disk; return its version."""
        self._number += 1
        self._written = f"v{self._number}"
        self.ailment = broken
        if broken == "5xx under traffic":
            self._failing.add(self._written)
        self._save(self._written, AT_BOOT.get(broken, ""), AILMENTS.get(broken, ""))
        if not broken or broken in SERVED:
            self._allow(*self._serving, self._written)
        return self._written

    def succeeded(self) -> None:
        """What was written last serves, alone."""
        self._serving = {self._written}
        self._allow(*self._serving)

    def failed(self) -> None:
        """What was there before serves, alone; what is on the disk is good for nothing."""
        self._allow(*self._serving)
        self.ailment = ""
        self._save(next(iter(self._serving)))

    def undecided(self) -> None:
        """What was written last is good, and did not take over. A fork server that was killed meanwhile may
        have found it on the disk, so it may answer as well as what was there before."""
        self._serving.add(self._written)
        self._allow(*self._serving)

    def described(self) -> str:
        """Return what was written last, in words."""
        return f"{self._written}, {self.ailment or 'good'}; {' and '.join(sorted(self._serving))} serves"

    def is_failing(self, version: str) -> bool:
        return version in self._failing

    def last_taken(self, version: str) -> float:
        """Return when the last request came that this version has answered."""
        with self._lock:
            return self._last.get(version, 0.0)

    def check(self, visit: Visit) -> None:
        if not visit.version:
            return
        with self._lock:
            self._last[visit.version] = max(visit.due, self._last.get(visit.version, 0.0))
            ends = [*(begin for begin, _ in self._allowed[1:]), float("inf")]
            allowed = {
                version
                for (_, versions), end in zip(self._allowed, ends, strict=True)
                if end > visit.due
                for version in versions
            }
        if visit.version not in allowed:
            self.out_of_turn.append(
                f"{visit.kind} {visit.name}: answered by {visit.version}, not of {allowed}"
            )

    def _allow(self, *versions: str) -> None:
        with self._lock:
            self._allowed = [*self._allowed[-20:], (time.monotonic(), frozenset(versions))]

    def _save(self, version: str, top: str = "", ailment: str = "") -> None:
        code = CODE.format(top=top, kind=self._kind, version=version, ailment=ailment)
        (self._folder / "writing").write_text(code)
        (self._folder / "writing").replace(self._folder / "released.py")
