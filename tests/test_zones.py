# Time zones of log lines: what $TZ may be, and that they stay as they were.

from __future__ import annotations

from datetime import datetime

import pytest

from bigtop import zones

WINTER, SUMMER = 1_768_000_000, 1_785_000_000


@pytest.mark.case("F7")
@pytest.mark.parametrize(
    ("variable", "winter", "summer"),
    [
        ("", "+0000", "+0000"),
        ("Europe/Berlin", "+0100", "+0200"),
        (":Europe/Berlin", "+0100", "+0200"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "+0900", "+0900"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "+0100", "+0200"),
        ("EST5", "-0500", "-0500"),
    ],
)
def test_the_zone_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, winter: str, summer: str
) -> None:
    monkeypatch.setenv("TZ", variable)
    zone = zones.named(zones.LOCAL)
    assert [f"{datetime.fromtimestamp(when, zone):%z}" for when in (WINTER, SUMMER)] == [winter, summer]
    assert f"{datetime.fromtimestamp(SUMMER, zones.named(zones.UTC_NAME)):%z}" == "+0000"
