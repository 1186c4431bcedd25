from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.supervisor.policy.launch_request import LaunchRequest
from bigtop.supervisor.policy.spec import Command, ExecContext, WatcherSpec
from bigtop.supervisor.policy.variables import argv_of, expand, names_of, sockets_named

NAMES = {"wid": "3", "sockets.web": "7", "env.home": "/home/me", "two": "a b"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(circus.wid)", "3"),
        ("((circus.wid))", "3"),
        ("$(CIRCUS.Wid)-((Circus.WID))", "3-3"),
        ("--fd $(circus.sockets.web)", "--fd 7"),
        ("$(circus.env.HOME)/x", "/home/me/x"),
        ("$(circus.unknown) stays", "$(circus.unknown) stays"),
        ("$(date) $WID $((1 + 2)) $HOME", "$(date) $WID $((1 + 2)) $HOME"),
        ("$(circus.wid", "$(circus.wid"),
    ],
)
def test_expansion(text: str, expanded: str):
    assert expand(text, NAMES) == expanded


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_text_without_names_is_left_alone(text: str, names: dict[str, str]):
    assert "circus." in text.lower() or expand(text, names) == text


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (Command("echo 'one word' two"), ["echo", "one word", "two"]),
        (Command("echo", "$(circus.two) 'c d'"), ["echo", "a", "b", "c d"]),
        (Command("echo", ("$(circus.two)", "c d")), ["echo", "a b", "c d"]),
        (Command("a | b", "c > d", shell=True), ["/bin/sh", "-c", "a | b c > d"]),
        (Command("a", shell=True, shell_args="x '$(circus.two)'"), ["/bin/sh", "-c", "a", "x", "a b"]),
        (Command("a", ("b c",), shell=True), ["/bin/sh", "-c", "a 'b c'"]),
        (Command(""), []),
    ],
)
def test_words(command: Command, argv: list[str]):
    assert argv_of(command, NAMES) == argv


def test_the_watchers_own_options_can_be_expanded():
    context = ExecContext(env=(("Home", "/h"),), user="me", cwd="/srv")
    command = Command("run", context=context)
    spec = WatcherSpec("Web", command, 4, options=(("Colour", "red"), ("numprocesses", "no")))
    names = names_of(spec, command, 2, {"Web": 9})
    assert names["wid"] == "2"
    assert names["numprocesses"] == "4"
    assert names["working_dir"] == "/srv"
    assert names["uid"] == "me"
    assert names["env.home"] == "/h"
    assert names["sockets.web"] == "9"
    assert names["colour"] == "red"


def test_sockets_are_named_anywhere_in_the_command_line():
    command = Command("a $(circus.sockets.A)", ("((circus.sockets.b))",), shell_args="$(circus.sockets.C)")
    assert sockets_named(command) == {"a", "b", "c"}
    assert sockets_named(Command("a", "--fd $(circus.sockets.web) $(circus.wid)")) == {"web"}


_text = st.text()
_numbers = st.lists(st.integers(0, 99)).map(tuple)


@given(
    st.builds(
        LaunchRequest,
        argv=st.lists(_text).map(tuple),
        env=st.lists(st.tuples(_text, _text)).map(tuple),
        fds=_numbers,
        cwd=st.none() | _text,
        groups=_numbers,
        umask=st.none() | st.integers(0, 0o777),
        rlimits=st.lists(st.tuples(_text, st.integers())).map(tuple),
    )
)
def test_a_request_arrives_as_it_was_sent(launch: LaunchRequest):
    assert LaunchRequest.decode(launch.encode()) == launch


def test_what_the_launcher_is_needed_for():
    assert LaunchRequest(("a",), env=(("b", "c"),), fds=(0, 1, 2, 7)).is_plain
    assert not LaunchRequest(("a",), umask=0).is_plain
    assert not LaunchRequest(("a",), cwd="/").is_plain
