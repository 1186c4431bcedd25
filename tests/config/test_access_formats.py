# Formats of the access log as they are given: checked, named by where they come from, and what workers get.

from __future__ import annotations

import pytest

from bigtop.config.serve.values.access_formats import checked
from bigtop.errors import ConfigError


def test_what_workers_get() -> None:
    assert checked("$status $request_id", "--x", has_logger=False) == "%(s)s %(id)s"
    assert checked("%(h)s", "--x", has_logger=False) == "%(h)s"
    assert checked("caddy", "--x", has_logger=False) == "caddy"
    assert checked("%(mine)s $status", "--x", has_logger=True) == "%(mine)s $status"


@pytest.mark.parametrize(
    ("text", "has_logger", "message"),
    [
        ("$upstream_addr", False, r"^--x: access log format: \$upstream_addr has no equal"),
        ("%(mine)s", False, r"^--x: access log format: there is no %\(mine\)s"),
        ("combined", True, r"^--x: combined is for Bigtop's own log, and here a logger class writes it"),
    ],
)
def test_mistakes(text: str, has_logger: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(text, "--x", has_logger=has_logger)
