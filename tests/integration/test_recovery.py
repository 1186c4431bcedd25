# Fork servers that are killed while the disk holds what nobody has tried: the old workers go on, clients lose
# nothing, and code that is mended is taken by itself.

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bigtop import Client as Control
from bigtop.control.client.client import Event, Events
from bigtop.control.protocol import RefusedError
from tests.integration.test_verified_deploys import QUICK, Release
from tests.support.load import Load
from tests.support.site import DEADLINE, until

# No client waits for long, however busy the machine is, but a check may.
CHECK = ("--health-check", "GET /healthz 200 <30s")


def kill(pids: dict[int, str]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def states(control: Control) -> dict[int, str]:
    """The generations that there are, as an operator sees them."""
    return {one["generation"]: one["state"] for one in control.call("generations")["generations"]}


def arrives(control: Control, events: Events) -> bool:
    """Whether an event is heard of; a subscription needs a moment to get to the publisher."""
    control.call("scale", name="released", count="3")
    return bool(events.socket.poll(50))


def first(events: Callable[[], Event], name: str) -> dict[str, object]:
    """Return the facts of the next event of that name."""
    while (event := events()).name != name:
        pass
    return dict(event.payload)


def test_untried_code_does_not_replace_what_works(tmp_path: Path) -> None:
    """Code that cannot be imported, code that fails its check, then good code; meanwhile a worker dies, and
    Bigtop is upgraded."""
    release = Release(tmp_path, "wsgi")
    with (
        release.site("--workers", "3", *CHECK) as site,
        Control(str(site.folder / "bigtop" / "released.ctl"), timeout=DEADLINE) as control,
        control.events("watcher.released.", timeout=DEADLINE) as events,
    ):
        until(lambda: arrives(control, events), "a first event")
        before = set(site.workers())
        with Load(site.port, 6) as load:
            release.write(top="def broken(:")
            kill(site.fork_servers())
            site.wait_for("generation 1 has no fork server any more, its workers go on")
            site.wait_for("not recovered, generation 2 cannot run")
            release.write(check="status = '500 Oh'")
            assert "SyntaxError" in site.log()
            assert states(control)[1] == "lost"
            victim = before.pop()
            kill({victim: ""})
            site.wait_for("died with signal 9; replaced when there is a fork server again")
            with pytest.raises(RefusedError, match="its fork server died, and there is no other one: "):
                control.call("incr", name="released", waiting=True)
            control.call("decr", name="released")
            site.wait_for("the health check failed: GET /healthz 200 <30s: answered with 500")
            until(lambda: set(site.workers()) == before, "those that were left, and no canary")
            assert load.workers <= before | {victim}
            seen = load.answered
            until(lambda: load.answered > seen + 20, "answers of the old code")
            site.send(signal.SIGUSR2)  # an upgrade waits for the trial, and the trying goes on after it
            site.wait_for("has taken over from")
            release.write()
            site.wait_for("recovered, every worker is of generation")
            until(lambda: len(site.workers()) == 3 and before.isdisjoint(site.workers()), "new workers only")
            until(lambda: load.workers & set(site.workers()), "an answer of the new code")
        assert {failure.worker for failure in load.failures} <= {victim}
        assert list(states(control).values()) == ["current"]
        assert len(site.fork_servers()) == 1
        told = iter(events)
        assert first(lambda: next(told), "fork_server_died")["generation"] == 1
        failed = first(lambda: next(told), "recovery_failed")
        assert (failed["generation"], failed["kept"], failed["retry_in"]) == (2, 1, 1.0)


def test_when_no_worker_is_left_what_boots_serves(tmp_path: Path) -> None:
    """There is nothing that could go on: as at the first start, nothing is checked, and that is told."""
    release = Release(tmp_path, "wsgi")
    with release.site("--workers", "1", *QUICK, "--canary-time", "600") as site:
        release.write(check="status = '500 Oh'")
        kill(site.fork_servers())
        site.wait_for("not recovered, generation 2 cannot run")
        kill(site.workers())
        site.wait_for("no worker of generation 1 is left, so generation")
        site.wait_for("recovered, every worker is of generation")
        assert int(site.get()) in site.workers()
