# Schedules in cron's five fields: the next time, and those that are none.

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bigtop.errors import ConfigError
from bigtop.supervisor import cron


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
