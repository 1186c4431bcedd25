# Secrets in what is shown of a configuration. Pure.

from __future__ import annotations

import pytest

from bigtop.web.rules.masking import MASK, masked, words

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"DB_PASSWORD": SECRET}},
        {"env": {"SECRET_KEY": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET}},
        {"env": {"DATABASE_URL": f"postgres://app:{SECRET}@db/app"}},
        {"env": {"SENTRY_DSN": f"https://{SECRET}@sentry.example/1"}},
        {"env": {"REDIS_PW": SECRET}},
        {"cmd": f"worker --password {SECRET}"},
        {"cmd": f"worker --api-key={SECRET} --verbose"},
        {"cmd": f"env TOKEN={SECRET} worker"},
        {"cmd": f"worker --db amqp://u:{SECRET}@mq/"},
        {"args": ["--token", f"--token={SECRET}"]},
        {"statsd_token": SECRET},
    ],
)
def test_secrets_are_masked(options: dict[str, object]) -> None:
    shown = str(masked(options))
    assert SECRET not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "options",
    [
        {"cmd": "worker --queue mail --port 80"},
        {"env": {"PATH": "/bin", "TZ": "UTC"}},
        {"numprocesses": 3, "uid": None, "singleton": False},
        {"args": ["a", "b"]},
        {"hooks": {}},
    ],
)
def test_the_rest_is_as_it_is(options: dict[str, object]) -> None:
    assert masked(options) == options


def test_a_mask_does_not_tell_the_length() -> None:
    assert words("--password a") == words("--password abcdefghijkl")
