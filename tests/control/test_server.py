# The control channel on the wire: what Circus got wrong, and what may never happen.

from __future__ import annotations

import json
import os
import re
import signal
import socket as socketlib
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from bigtop.control.server.server import LARGEST_MESSAGE, MOST_AT_ONCE
from tests.support.controlled import WATCHERS, Controlled, receive
from tests.support.site import DEADLINE, until


@pytest.fixture(scope="module")
def running() -> Iterator[Controlled]:
    with Controlled() as daemon:
        yield daemon


@pytest.fixture
def daemon(running: Controlled) -> Controlled:
    """One for all tests here, with everything at work that the file starts."""
    running.call("start", waiting=True)
    return running


@pytest.fixture
def own() -> Iterator[Controlled]:
    """One that a test may end."""
    with Controlled() as daemon:
        yield daemon


def listening(daemon: Controlled, topic: str) -> zmq.Socket[bytes]:
    socket = daemon.context.socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    socket.connect(daemon.pubsub)
    return socket


def is_subscribed(daemon: Controlled, socket: zmq.Socket[bytes]) -> None:
    """Return when events arrive: a subscription needs a moment to get there."""

    def event() -> bool:
        daemon.call("set", name="two words", options={"max_age": time.monotonic()})
        return bool(socket.poll(50))

    until(event, "the first event")
    while socket.poll(50):
        socket.recv_multipart()


# ---- frames


@pytest.mark.parametrize("frame", [b"", b"[1, 2]", b"{", b"null", b"\xff", b'"x"', b'{"command": 1}'])
def test_a_malformed_frame_gets_an_error_and_harms_nobody(daemon: Controlled, frame: bytes) -> None:
    with daemon.dealer() as socket:
        socket.send(frame)
        assert receive(socket)["status"] == "error"
        # Circus went deaf here until somebody else connected.
        socket.send_json({"command": "numwatchers", "id": 2})
        assert receive(socket)["numwatchers"] == WATCHERS


def test_the_id_comes_back_whatever_it_is(daemon: Controlled) -> None:
    with daemon.dealer() as socket:
        for sent in ("a", None, 3, {"x": [1]}):
            socket.send_json({"command": "numwatchers", "id": sent})
            assert receive(socket)["id"] == sent
        socket.send_json({"command": "nope", "id": "b"})
        assert receive(socket)["id"] == "b"


def test_a_cast_is_obeyed_and_never_answered(daemon: Controlled) -> None:
    before = daemon.count("sleeper")
    with daemon.dealer() as socket:
        socket.send_json({"command": "incr", "msg_type": "cast", "properties": {"name": "sleeper"}})
        socket.send_json({"command": "nope", "msg_type": "cast"})
        socket.send_json({"command": "get", "msg_type": "cast", "properties": {"name": "nope", "keys": []}})
        socket.send_json({"command": "numwatchers", "id": "last"})
        assert receive(socket)["id"] == "last"
    until(lambda: daemon.count("sleeper") == before + 1, "one process more")


def test_a_req_socket_is_answered_too(daemon: Controlled) -> None:
    with daemon.context.socket(zmq.REQ) as socket:
        socket.connect(daemon.endpoint)
        socket.send_json({"command": "numwatchers"})
        assert receive(socket)["numwatchers"] == WATCHERS


def test_messages_of_other_shapes_are_ignored(daemon: Controlled) -> None:
    with daemon.dealer() as socket:
        socket.send_multipart([b"a", b"b", b"c"])
        socket.send_json({"command": "numwatchers", "id": "after"})
        assert receive(socket)["id"] == "after"


def test_who_sends_too_much_is_cut_off_and_nobody_else(daemon: Controlled) -> None:
    with daemon.dealer() as other, daemon.dealer() as huge:
        with huge.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            huge.send(b" " * (LARGEST_MESSAGE + 1))
            assert monitor.poll(DEADLINE * 1000)
            huge.disable_monitor()
        other.send_json({"command": "numwatchers", "id": 1})
        assert receive(other)["numwatchers"] == WATCHERS


def test_a_flood_delays_others_only_a_little(daemon: Controlled) -> None:
    local = f":{int(daemon.endpoint.rpartition(':')[2]):04X}"

    def waiting() -> int:
        """Return how many clients sent what the supervisor has not read."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(local) and not row[4].endswith(":00000000") for row in rows)

    with daemon.dealer() as flood, daemon.dealer() as other:
        flood.setsockopt(zmq.SNDHWM, 0)
        flood.setsockopt(zmq.RCVHWM, 0)
        for client in (flood, other):
            client.send_json({"command": "numwatchers"})
            receive(client)
        os.kill(daemon.pid, signal.SIGSTOP)  # it finds both at once
        try:
            for _ in range(20_000):
                flood.send(b'{"command": "numwatchers"}')
            other.send_json({"command": "numwatchers"})
            until(lambda: waiting() == 2, "the flood and the other one")
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        answered = receive(other)["time"]
        before = 0
        while receive(flood)["time"] < answered:
            before += 1
        assert before < 1000


def test_a_client_has_only_so_many_unfinished_commands(daemon: Controlled) -> None:
    (slow,) = daemon.pids("slow")
    with daemon.dealer() as socket:
        for number in range(MOST_AT_ONCE + 1):
            socket.send_json(
                {"command": "stop", "properties": {"name": "slow", "waiting": True}, "id": number}
            )
        refused = receive(socket)
        assert (refused["id"], refused["errno"]) == (MOST_AT_ONCE, 5)
        assert daemon.call("numwatchers")["numwatchers"] == WATCHERS
        os.kill(slow, signal.SIGKILL)
        assert {receive(socket)["status"] for _ in range(MOST_AT_ONCE)} == {"ok"}
        socket.send_json({"command": "stop", "properties": {"name": "slow", "waiting": True}, "id": "again"})
        assert receive(socket)["status"] == "ok"


# ---- waiting, and nobody else's


def test_a_slow_stop_blocks_nothing(daemon: Controlled) -> None:
    (there,) = daemon.pids("slow")
    with daemon.dealer() as slow:
        slow.send_json({"command": "stop", "properties": {"name": "slow", "waiting": True}, "id": 1})
        until(lambda: daemon.call("status", name="slow")["status"] == "stopping", "the stop to begin")
        assert daemon.call("stop", name="Web", waiting=True)["info"] is None
        assert daemon.call("start", name="Web", waiting=True)["info"]["kept"] == []
        assert daemon.call("set", name="sleeper", options={"numprocesses": 3}, waiting=True)["status"] == "ok"
        # Circus notices no death meanwhile.
        (pid,) = daemon.pids("Web")
        os.kill(pid, signal.SIGKILL)
        until(lambda: daemon.pids("Web") not in ([], [pid]), "the successor")
        assert daemon.call("status", name="slow")["status"] == "stopping"
        assert not slow.poll(0)
        os.kill(there, signal.SIGKILL)
        assert receive(slow)["info"] is None


def test_the_newest_goal_wins_and_the_overtaken_command_says_so(daemon: Controlled) -> None:
    (slow,) = daemon.pids("slow")
    with daemon.dealer() as socket:
        for word in ("stop", "start"):
            socket.send_json({"command": word, "properties": {"name": "slow", "waiting": True}, "id": word})
        socket.send_json({"command": "numwatchers", "id": "both were taken"})
        replies: dict[str, dict[str, Any]] = {}
        while len(replies) < 3:
            reply = receive(socket)
            replies[reply["id"]] = reply
            if reply["id"] == "both were taken":
                os.kill(slow, signal.SIGKILL)
    assert replies["start"]["status"] == "ok"
    assert replies["stop"]["status"] == "error"
    assert "overtook" in replies["stop"]["reason"]


def test_without_waiting_ok_comes_at_once_and_a_failure_is_logged(daemon: Controlled) -> None:
    reply = daemon.call("start", name="broken")
    assert set(reply) == {"status", "time", "id"}
    failed = daemon.call("start", name="broken", waiting=True)  # both wait for the same failure
    assert (failed["errno"], failed["tb"]) == (5, None)
    assert failed["reason"].startswith("broken: process 1 used up its retries")
    assert failed["reason"].endswith("/no/such/program: there is no such program, or it may not be executed")
    daemon.wait_for(f"command: start: {failed['reason']}")
    assert "Traceback" not in daemon.log()


def test_several_watchers_get_a_bare_ok_and_one_its_info(daemon: Controlled) -> None:
    daemon.call("set", name="sleeper", options={"numprocesses": 2}, waiting=True)
    assert "info" not in daemon.call("start", name="(web|sleeper)$", match="regex", waiting=True)
    kept = daemon.call("start", name="sleep*", waiting=True)["info"]
    assert (len(kept["kept"]), kept["started"]) == (2, [])
    restarted = daemon.call("restart", name="sleeper", match="simple", waiting=True)["info"]
    assert sorted(restarted["stopped"]) == sorted(kept["kept"])
    assert len(restarted["started"]) == 2
    assert daemon.call("start", name="no*", waiting=True)["reason"] == "program no* not found"
    assert "regular expression" in daemon.call("start", name="(", match="regex")["reason"]


def test_names_do_not_mind_case_and_may_come_from_topics(daemon: Controlled) -> None:
    assert daemon.call("status", name="WEB")["status"] == "active"
    assert daemon.call("status", name="Two_Words")["status"] == "stopped"
    assert "Web" in daemon.call("status")["statuses"]
    assert "web" in daemon.call("list")["watchers"]


def test_a_singleton_stays_one_and_a_count_never_gets_negative(daemon: Controlled) -> None:
    assert daemon.call("incr", name="one", waiting=True)["singleton"] is True
    assert daemon.call("decr", name="sleeper", nb=9, waiting=True)["numprocesses"] == 0


def test_a_count_that_was_changed_by_steps_can_be_set_back(daemon: Controlled) -> None:
    daemon.call("set", name="sleeper", options={"numprocesses": 2}, waiting=True)
    assert daemon.call("decr", name="sleeper", nb=2, waiting=True)["numprocesses"] == 0
    daemon.call("set", name="sleeper", options={"numprocesses": 2}, waiting=True)
    assert daemon.count("sleeper") == 2


def test_strangers_are_not_signalled(daemon: Controlled) -> None:
    for command in ("signal", "kill"):
        reply = daemon.call(command, name="Web", pid=os.getpid(), signum="KILL")
        assert reply["reason"] == f"process {os.getpid()} not found in 'Web'"


def test_a_killed_process_is_replaced_and_others_stay(daemon: Controlled) -> None:
    daemon.call("set", name="sleeper", options={"numprocesses": 2}, waiting=True)
    first, second = daemon.pids("sleeper")
    # circusctl sends numbers as text, which was the end of Circus' kill.
    killed = daemon.call("kill", name="sleeper", pid=str(first), graceful_timeout="5", waiting=True)
    assert killed["status"] == "ok"
    until(lambda: len(daemon.pids("sleeper")) == 2, "the successor")
    assert second in daemon.pids("sleeper")
    assert first not in daemon.pids("sleeper")


def test_stats_are_those_of_circus(daemon: Controlled) -> None:
    pid = daemon.call("list", name="Web")["pids"][0]
    info = daemon.call("stats", name="Web", process=pid)["info"]
    assert set(info) == {
        *("mem_info1", "mem_info2", "cpu", "mem", "ctime", "pid", "username", "nice", "create_time", "age"),
        *("cmdline", "children", "started", "wid"),
    }
    assert (info["pid"], info["cmdline"], info["wid"]) == (pid, "sleep", 1)
    everything = daemon.call("stats")["infos"]
    assert set(everything["Web"]) == {str(pid)}
    assert daemon.call("stats", name="Web", extended=True)["info"][str(pid)]["extended"] == "Web"
    assert daemon.call("dstats")["info"]["pid"] == daemon.pid
    assert daemon.call("stats", name="Web", process=1)["errno"] == 3


def test_stats_of_many_delay_nobody(daemon: Controlled) -> None:
    """Whoever asks one thing after the other beside them is answered again and again: they need no turn."""
    options = {"numprocesses": 300}
    daemon.call("add", name="crowd", cmd="sleep 1000", options=options, start=True, waiting=True)

    def let_through() -> int:
        with daemon.dealer() as socket:
            socket.send_json({"command": "stats", "id": "stats"})
            answers = []
            while "stats" not in answers:
                socket.send_json({"command": "numwatchers", "id": "other"})
                answer = receive(socket)
                answers.append(answer["id"])
        assert len(answer["infos"]["crowd"]) == 300
        return answers.count("other")

    try:
        # In one piece they let a dozen through at most. We may be those who pause.
        until(lambda: let_through() > 20, "many answers beside the figures")
    finally:
        daemon.call("rm", name="crowd", waiting=True)


def test_a_bad_configuration_changes_nothing(daemon: Controlled) -> None:
    good = daemon.file.read_text()
    pids = daemon.pids("Web")
    try:
        daemon.file.write_text(good.replace("colour = red", "colour = red\nnumprocesses = 2"))
        assert daemon.call("reloadconfig", dry_run=True)["steps"] == ["scale Web to 2"]
        daemon.file.write_text(good.replace("colour = red", "numprocesses = many"))
        for command in ("reloadconfig", "restart"):
            reply = daemon.call(command, waiting=True)
            assert re.search(r"circus\.ini:\d+: numprocesses: .*many", reply["reason"])
    finally:
        daemon.file.write_text(good)
    assert daemon.pids("Web") == pids


def test_quit_replies_when_all_is_over(own: Controlled) -> None:
    ports = [one["port"] for one in own.call("listsockets")["sockets"]]
    (slow,) = own.pids("slow")
    with own.dealer() as socket, own.dealer() as other:
        other.send_json({"command": "stop", "properties": {"name": "slow", "waiting": True}, "id": 1})
        until(lambda: own.call("status", name="slow")["status"] == "stopping", "the stop to begin")
        socket.send_json({"command": "quit", "properties": {"waiting": True}, "id": 1})
        os.kill(slow, signal.SIGKILL)
        assert receive(other)["status"] == "ok"
        assert receive(socket)["status"] == "ok"
        for port in ports:  # Circus says ok while they are still taken
            socketlib.create_server(("127.0.0.1", port)).close()
    assert own.wait() == 0


# ---- events


def test_events_have_circus_topics_and_payloads(daemon: Controlled) -> None:
    with listening(daemon, "watcher.") as socket:
        is_subscribed(daemon, socket)
        pid = daemon.call("list", name="Web")["pids"][0]
        daemon.call("stop", name="Web", waiting=True)
        daemon.call(
            "add", name="New One", cmd="sleep 9", start=True, options={"rlimit_core": 0}, waiting=True
        )
        daemon.call("rm", name="new one", waiting=True)
        seen = []
        while not seen or seen[-1][0] != "watcher.new_one.remove":
            assert socket.poll(DEADLINE * 1000), seen
            topic, payload = socket.recv_multipart()
            seen.append((topic.decode(), json.loads(payload)))
    topics = [topic for topic, _ in seen]
    for event in ("watcher.web.reap", "watcher.web.stop", "watcher.new_one.add", "watcher.new_one.spawn",
                  "watcher.new_one.start", "watcher.new_one.remove"):  # fmt: skip
        assert event in topics
    reap = next(payload for topic, payload in seen if topic == "watcher.web.reap")
    assert (reap["process_pid"], reap["exit_code"]) == (pid, -15)
    assert isinstance(reap["time"], float)


def test_output_is_published_only_while_it_is_wanted(daemon: Controlled) -> None:
    with listening(daemon, "output.chatty.") as socket:
        told = []
        for _ in range(3):
            assert socket.poll(DEADLINE * 1000)
            topic, line = socket.recv_multipart()
            assert topic == b"output.chatty."
            told.append(json.loads(line))
    assert [one["line"] for one in told] == ["chat"] * 3
    numbers = [one["number"] for one in told]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_a_subscriber_that_does_not_read_harms_nobody(daemon: Controlled) -> None:
    with listening(daemon, "") as lazy, listening(daemon, "watcher.") as eager:
        lazy.setsockopt(zmq.RCVHWM, 1)
        is_subscribed(daemon, eager)
        with daemon.dealer() as socket:
            for number in range(3000):
                options = {"max_age": 1000 + number}
                socket.send_json({"command": "set", "properties": {"name": "one", "options": options}})
                if number % 50 == 49:
                    assert {receive(socket)["status"] for _ in range(50)} == {"ok"}
        assert eager.poll(DEADLINE * 1000)
        assert daemon.call("numwatchers")["numwatchers"] == WATCHERS


# ---- the place


def test_a_unix_socket_is_for_its_owner_and_not_taken_from_the_living(tmp_path: Path) -> None:
    paths = tmp_path / "a.ctl", tmp_path / "a.events"
    with Controlled(*(f"ipc://{path}" for path in paths)) as daemon:
        for path in paths:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert daemon.call("numwatchers")["numwatchers"] == WATCHERS
        with (
            pytest.raises(AssertionError, match="another supervisor answers there"),
            Controlled(f"ipc://{paths[0]}", "tcp://127.0.0.1:*"),
        ):
            pass
        assert daemon.call("numwatchers")["numwatchers"] == WATCHERS
        daemon.kill()
        assert paths[0].exists()
        with Controlled(*(f"ipc://{path}" for path in paths)) as successor:
            assert successor.call("numwatchers")["numwatchers"] == WATCHERS


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("tcp://0.0.0.0:0", "anybody who reaches it"),
        ("tcp://*:0", "anybody who reaches it"),
        ("udp://127.0.0.1:1", "must be tcp://HOST:PORT or ipc://PATH"),
        ("ipc:///no/such/folder/a.ctl", "there is no directory /no/such/folder"),
        ("ipc:///tmp/" + "a" * 110, "at most 107 bytes"),
    ],
)
def test_a_place_that_cannot_be_or_is_open_to_all_is_refused(endpoint: str, reason: str) -> None:
    with pytest.raises(AssertionError) as refused, Controlled(endpoint):
        pass
    assert reason in str(refused.value)


def test_plain_loopback_tcp_is_warned_of_once(running: Controlled) -> None:
    assert running.log().count("every user of this machine") == 1
