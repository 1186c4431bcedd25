# A watcher's options by their Circus names.

from __future__ import annotations

import pytest

from bigtop.control.commands import watcher_options
from bigtop.control.protocol import RefusedError
from bigtop.supervisor.policy.spec import Command, Hook, Respawn, StreamSpec, WatcherSpec, Worker

SPEC = WatcherSpec("web", Command("sleep 1"), options=(("colour", "red"),))


def test_every_option_is_shown_and_can_be_set_to_what_is_shown() -> None:
    shown = watcher_options.shown(SPEC)
    assert {"numprocesses", "cmd", "executable", "stdout_stream_conf", "colour", "max_age"} <= shown.keys()
    assert list(shown) == sorted(shown)
    for key in watcher_options.OPTIONS:
        if shown[key] is not None:
            assert watcher_options.changed(SPEC, {key: shown[key]}) == SPEC, key


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("numprocesses", 3, 3),
        ("numprocesses", "3", 3),
        ("warmup_delay", 0.5, 0.5),
        ("stop_signal", "QUIT", 3),
        ("respawn", False, False),
        ("max_retry", -1, -1),
        ("env", {"A": "1"}, {"A": "1"}),
        ("env", "A=1,B=x=y", {"A": "1", "B": "x=y"}),
        ("uid", 33, "33"),
        ("args", ["-n", "1"], ["-n", "1"]),
        ("umask", "022", 0o22),
        ("singleton", "yes", True),
        ("colour", "blue", "blue"),
        ("rlimit_nofile", 100, 100),
        ("rlimit_core", None, -1),
        ("hooks.before_start", "os.getpid,true", "os.getpid"),
    ],
)
def test_what_is_set_is_what_is_shown(key: str, value: object, shown: object) -> None:
    changed = watcher_options.changed(SPEC, {key: value})
    assert watcher_options.shown(changed)[key] == shown
    assert changed.name == "web"


def test_streams_and_hooks_are_put_together() -> None:
    spec = watcher_options.changed(SPEC, {"stdout_stream.filename": "/a", "stdout_stream.max_bytes": 10})
    assert isinstance(spec.target, Command)
    assert spec.target.stdio.stdout == StreamSpec("FileStream", (("filename", "/a"), ("max_bytes", "10")))
    spec = watcher_options.changed(
        SPEC, {"stderr_stream": {"class": "StdoutStream"}, "hooks": {"after_stop": "os.getpid"}}
    )
    assert watcher_options.shown(spec)["stderr_stream_conf"] == {"class": "StdoutStream"}
    assert spec.hooks == (Hook("after_stop", "os.getpid"),)
    assert watcher_options.changed(SPEC, {"respawn": "off"}).restart.respawn is Respawn.NEVER


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"bogus": 1}, "unknown key 'bogus'"),
        ({"numprocesses": "many"}, "'numprocesses': 'many' isn't an integer"),
        ({"numprocesses": -1}, "'numprocesses': -1 is negative"),
        (
            {"singleton": True, "numprocesses": 2},
            "'numprocesses': web: a singleton has at most one process, got 2",
        ),
        ({"env": {"A": 1}}, "'env': 'A' isn't a string"),
        ({"rlimit_bogus": 1}, "'rlimit_bogus' isn't a valid rlimit setting"),
        ({"hooks.bogus": "a.b"}, "unknown hook 'bogus'"),
        ({"stdout_stream": {}}, "a stream must have a 'class' key"),
        ({"umask": "9"}, "'umask': '9' isn't an octal number"),
        ({"shell": 0.0}, "'shell': 0.0 isn't a valid boolean"),
        ({"cmd": "echo 'a"}, "'cmd': No closing quotation"),
    ],
)
def test_what_is_wrong_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(RefusedError) as refused:
        watcher_options.changed(SPEC, values)
    assert str(refused.value).startswith(reason)


def test_a_worker_has_no_options_of_commands() -> None:
    spec = WatcherSpec("site", Worker(b""))
    assert "cmd" not in watcher_options.shown(spec)
    assert "numprocesses" in watcher_options.shown(spec)
    for key in ("cmd", "rlimit_nofile", "stdout_stream"):
        with pytest.raises(RefusedError, match="unknown key"):
            watcher_options.changed(spec, {key: {}})
