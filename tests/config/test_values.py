# Converters: right texts, wrong texts, and messages that say what would be right.

from __future__ import annotations

import contextlib
import getpass
import grp
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.config.serve.values import values
from bigtop.config.serve.values.values import Convert

RIGHT = [
    (values.switch, "on", True),
    (values.switch, "Yes", True),
    (values.switch, "1", True),
    (values.switch, "OFF", False),
    (values.switch, "false", False),
    (values.choice("wsgi", "asgi"), "WSGI", "wsgi"),
    (values.unless_auto, "auto", "auto"),
    (values.unless_auto, "true", "on"),
    (values.unless_auto, "no", "off"),
    (values.whole(0), "0", 0),
    (values.whole(1, 65535), "65535", 65535),
    (values.processes(1, 8), "8", (8, 8)),
    (values.processes(1, 8), "2..8", (2, 8)),
    (values.processes(0, 8), "0", (0, 0)),
    (values.seconds, "0", 0.0),
    (values.seconds, "2.5", 2.5),
    (values.seconds, ".5", 0.5),
    (values.seconds, "30.", 30.0),
    (values.size(0), "0", 0),
    (values.size(1), "8190", 8190),
    (values.size(1), "64k", 65536),
    (values.size(1), "10M", 10 << 20),
    (values.size(1), "1g", 1 << 30),
    (values.umask, "022", 0o22),
    (values.umask, "0", 0),
    (values.umask, "0o27", 0o27),
    (values.umask, "0777", 0o777),
    (values.user, "0", "0"),
    (values.user, getpass.getuser(), getpass.getuser()),
    (values.group, "65534", "65534"),
    (values.group, grp.getgrgid(os.getgid()).gr_name, grp.getgrgid(os.getgid()).gr_name),
    (values.path, "logs/a b.log", "logs/a b.log"),
    (values.name, "my-site.eu:2", "my-site.eu:2"),
    (values.variable, "A=b=c", ("A", "b=c")),
    (values.variable, "A=", ("A", "")),
    (values.header_value, "", ""),
    (values.header_value, "Apache (x)", "Apache (x)"),
    (values.proxy, "*", "*"),
    (values.proxy, "10.0.0.7/8", "10.0.0.0/8"),
    (values.proxy, "::1", "::1"),
    (values.proxy, "192.0.2.1", "192.0.2.1"),
]

WRONG = [
    (values.switch, "maybe", "must be on or off, got 'maybe'"),
    (values.choice("wsgi", "asgi"), "cgi", "must be one of wsgi, asgi, got 'cgi'"),
    (values.unless_auto, "x:app", "must be auto, on or off, got 'x:app'"),
    (values.whole(0), "-1", "must be a whole number of at least 0, got '-1'"),
    (values.whole(1, 9), "10", "must be a whole number from 1 to 9, got '10'"),
    (values.whole(0), "1_000", "got '1_000'"),
    (values.whole(0), "\u0661", "must be a whole number"),
    (values.whole(0), "", "got ''"),
    (
        values.processes(1, 8),
        "9",
        "must be auto or a whole number from 1 to 8, got '9'",
    ),
    (
        values.processes(1, 8),
        "2..",
        "must be auto or a whole number from 1 to 8, or two of them as in 2..8, got '2..'",
    ),
    (
        values.processes(1, 8),
        "4..2",
        "4..2: the first number is the least",
    ),
    (
        values.processes(0, 8),
        "0..2",
        "0..2: the first number is the least, 1 or more",
    ),
    (values.seconds, "-1", "must be a number of seconds, 0 or more, got '-1'"),
    (values.seconds, "nan", "got 'nan'"),
    (values.seconds, "inf", "got 'inf'"),
    (values.seconds, "30s", "got '30s'"),
    (values.size(1), "0", "must be a size of at least 1 such as 8190, 64k or 10M, got '0'"),
    (values.size(0), "10MB", "got '10MB'"),
    (values.umask, "8", "must be octal such as 022, got '8'"),
    (values.umask, "-1", "got '-1'"),
    (values.user, "nobody-at-all", "there is no user 'nobody-at-all' on this machine"),
    (values.user, "a\0b", "there is no user"),
    (values.group, "nobody-at-all", "there is no group 'nobody-at-all' on this machine"),
    (values.directory, "/nowhere", "'/nowhere' is not a directory"),
    (values.path, "", "must be the name of a file, got ''"),
    (values.name, "my site", "must be a word of letters"),
    (values.variable, "A", "must be NAME=VALUE, got 'A'"),
    (values.variable, "=b", "must be NAME=VALUE, got '=b'"),
    (values.header_value, "a\r\nSet-Cookie: b", "must be printable ASCII"),
    (values.proxy, "10.0.0.0/99", "must be an IP address, a network such as 10.0.0.0/8, or *"),
]


@pytest.mark.parametrize(("convert", "text", "value"), RIGHT)
def test_right(convert: Convert[object], text: str, value: object) -> None:
    assert convert(text) == value


@pytest.mark.parametrize(("convert", "text", "message"), WRONG)
def test_wrong(convert: Convert[object], text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        convert(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    # In one order in all test processes: a set of functions has another one in each.
    "convert",
    list(dict.fromkeys(pair[0] for pair in WRONG if pair[0] is not values.directory)),
)
@given(text=st.text())
def test_any_text_is_a_value_or_a_value_error(convert: Convert[object], text: str) -> None:
    with contextlib.suppress(ValueError):
        convert(text)


def test_directory_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    assert values.directory("site") == str(tmp_path / "site")


def test_workers_auto_is_what_the_machine_grants() -> None:
    assert 1 <= values.processes(1, 1024)("auto").most <= (os.cpu_count() or 1)
    assert values.processes(1, 1)("AUTO") == (1, 1)


def test_how_many_texts() -> None:
    count = values.whole(0)
    assert values.one(count)(["1", "2"]) == 2
    assert values.maybe(count)([]) is None
    assert values.maybe(count)(["1", "2"]) == 2
    assert values.each(count)(["1", "2"]) == (1, 2)
    assert values.commas(count)(["1, 2", "3,"]) == (1, 2, 3)
