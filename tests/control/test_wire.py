# Frames in, commands or refusals out; nothing else ever comes out.

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.control import protocol
from bigtop.control.commands import config_commands, parameters, process_commands, queries, table
from bigtop.control.commands.base import Command
from bigtop.control.protocol import Errno, RefusedError


def decode(frame: bytes) -> Command:
    return table.decode(protocol.request(protocol.open_envelope(frame)))


@pytest.mark.parametrize(
    ("frame", "errno", "reason"),
    [
        (b"", Errno.INVALID_JSON, "empty command"),
        (b" \n", Errno.INVALID_JSON, "empty command"),
        (b"{", Errno.INVALID_JSON, "json invalid"),
        (b"\xff\xfe", Errno.INVALID_JSON, "json invalid"),
        (b"[" * 100_000, Errno.INVALID_JSON, "json invalid"),
        (b"[1, 2]", Errno.INVALID_JSON, "json invalid: a command is an object"),
        (b"{}", Errno.UNKNOWN_COMMAND, "unknown command: None"),
        (b'{"command": ["stop"]}', Errno.UNKNOWN_COMMAND, "unknown command: ['stop']"),
        (b'{"command": "nope"}', Errno.UNKNOWN_COMMAND, "unknown command: 'nope'"),
        (
            b'{"command": "list", "properties": [1]}',
            Errno.MESSAGE,
            "message invalid: 'properties' is an object",
        ),
        (b'{"command": "rm"}', Errno.MESSAGE, "message invalid 'name' is missing"),
        (
            b'{"command": "rm", "properties": {"name": 3}}',
            Errno.MESSAGE,
            "message invalid, 'name': 3 isn't a string",
        ),
        (
            b'{"command": "signal", "properties": {"name": "a", "signum": "FOO"}}',
            Errno.MESSAGE,
            "signal invalid",
        ),
        (
            b'{"command": "kill", "properties": {"name": "a", "graceful_timeout": "soon"}}',
            Errno.MESSAGE,
            "message invalid, 'graceful_timeout': 'soon' isn't a number",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_circus_number(frame: bytes, errno: Errno, reason: str) -> None:
    with pytest.raises(RefusedError) as refused:
        decode(frame)
    assert (refused.value.errno, str(refused.value)) == (errno, reason)


@pytest.mark.parametrize(
    ("word", "properties", "expected"),
    [
        ("LIST", {"name": "web"}, queries.List(name="web")),
        ("list", {"name": None, "unknown": 1}, queries.List()),
        ("start", {"match": "regex", "name": "w.*"}, process_commands.Start(name="w.*", match="regex")),
        (
            "kill",
            {"name": "a", "pid": "12", "signum": "quit"},
            process_commands.Kill(name="a", pid=12, signum=3),
        ),
        # The string is what circusctl sends.
        (
            "kill",
            {"name": "a", "graceful_timeout": "2.5"},
            process_commands.Kill(name="a", graceful_timeout=2.5),
        ),
        ("signal", {"name": "a", "signum": "SIGTERM"}, process_commands.Signal(name="a", signum=15)),
        (
            "incr",
            {"name": "a", "nb": 2, "waiting": True},
            process_commands.Increase(name="a", nb=2, waiting=True),
        ),
        ("stats", {"name": "a", "process": 7}, queries.Stats(name="a", process=7)),
        ("reload", {"graceful": False}, process_commands.Reload(graceful=False)),
        ("get", {"name": "a", "keys": ["b", "c"]}, queries.Get(name="a", keys=("b", "c"))),
        ("add", {"name": "a", "cmd": "b", "start": True}, config_commands.Add(name="a", cmd="b", start=True)),
    ],
)
def test_commands_are_read_as_circus_clients_write_them(
    word: str, properties: dict[str, object], expected: Command
) -> None:
    frame = json.dumps({"command": word, "properties": properties, "id": 1}).encode()
    assert decode(frame) == expected


def test_every_command_of_circus_and_ours_is_there_once() -> None:
    words = [command.word for command in table.COMMANDS]
    circus = {
        *("add", "rm", "start", "stop", "restart", "reload", "reloadconfig", "quit", "incr", "decr", "list"),
        *("numprocesses", "numwatchers", "status", "stats", "dstats", "get", "options", "set", "listsockets"),
        *("globaloptions", "signal", "kill", "listen", "ipython"),
    }
    assert len(set(words)) == len(words)
    ours = {
        *("scale", "explain", "tail", "overview", "requests", "recent", "certificates", "stack", "profile"),
        *("generations", "rollback", "version", "save", "upgrade", "cache", "purge"),
    }
    assert set(words) == {*circus, *ours}
    for command in table.COMMANDS:
        assert (command.__doc__ or "").endswith("."), command
        assert all(parameter.about for parameter, _ in parameters.of(command).values())


def test_replies_carry_the_id_and_no_traceback() -> None:
    envelope = protocol.open_envelope(b'{"command": "list", "id": {"a": [null]}}')
    assert json.loads(protocol.ok({"status": "active", "x": 1}, envelope, 2.0)) == {
        "status": "active",
        "time": 2.0,
        "x": 1,
        "id": {"a": [None]},
    }
    assert json.loads(protocol.error("no", Errno.COMMAND, envelope, 2.0)) == {
        "status": "error",
        "reason": "no",
        "tb": None,
        "time": 2.0,
        "errno": 5,
        "id": {"a": [None]},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
WORDS = st.sampled_from([command.word for command in table.COMMANDS])
NAMES = st.sampled_from(sorted({name for command in table.COMMANDS for name in parameters.of(command)}))


@given(st.binary())
def test_any_bytes_are_a_command_or_refused(frame: bytes) -> None:
    with pytest.raises(RefusedError):
        decode(frame)


@given(WORDS | JSON, st.dictionaries(NAMES, JSON) | JSON)
def test_any_properties_are_a_command_or_refused(word: object, properties: object) -> None:
    try:
        command = decode(json.dumps({"command": word, "properties": properties}).encode())
    except RefusedError as error:
        protocol.error(str(error), error.errno, protocol.Envelope(), 0.0)
    else:
        assert isinstance(command, Command)
