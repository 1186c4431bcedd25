# Schedules in cron's five fields: the next time, and those that are none.

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bigtop.errors import ConfigError
from bigtop.supervisor import cron
from bigtop.supervisor.policy.spec import Command, Lifetime, WatcherSpec
from bigtop.supervisor.triggers import Triggers


def test_a_schedule_knows_summer_time():
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 28, 12, 0, tzinfo=berlin)
    due = cron.next_run("0 4 * * *", now)
    assert due == datetime(2026, 3, 29, 4, 0, tzinfo=berlin)
    assert (due.astimezone(ZoneInfo("UTC")) - now.astimezone(ZoneInfo("UTC"))).total_seconds() == 15 * 3600
    assert cron.next_run("*/15 * * * *", now) == datetime(2026, 3, 28, 12, 15, tzinfo=berlin)


@pytest.mark.parametrize("text", ["", "* * *", "61 * * * *", "nonsense", "0 0 31 2 *"])
def test_a_schedule_that_is_none(text: str):
    with pytest.raises(ConfigError, match="cron's five fields are expected"):
        cron.check(text)


def test_what_became_due_while_nobody_looked_is_run_by_who_goes_on() -> None:
    async def play() -> list[str]:
        started: list[str] = []

        def triggers() -> Triggers:
            return Triggers(lambda _name, _event: None, started.append, dict, dict, {}, {})

        spec = WatcherSpec("job", Command("true"), lifetime=Lifetime(schedule="0 0 1 1 *"))
        first = triggers()
        first.arm(spec)
        due = first.due()["job"]
        assert due > time.time()
        first.close()
        after = [triggers() for _ in range(3)]
        for each, moment in zip(after, (due, time.time() - 2, time.time() - 3600), strict=True):
            each.resume(spec, runs=False, due=moment)
            assert started == [], "nothing happens before whoever goes on is ready"
        async with asyncio.timeout(30):
            while not started or after[2].due()["job"] != due:
                await asyncio.sleep(0)
        assert [each.due()["job"] for each in after] == [due] * 3
        for each in after:
            each.close()
        return started

    assert asyncio.run(play()) == ["job"]
