# What a client of the control channel that means ill can do to the supervisor: nothing.

from __future__ import annotations

import os
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import zmq

from bigtop.control import keys
from bigtop.control.client.client import Client, Identity
from bigtop.control.server.client_acceptor import RelayLimits
from tests.support.controlled import Controlled, receive
from tests.support.site import until
from tests.support.zmtp import greet

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def running() -> Iterator[Controlled]:
    with Controlled() as controlled:
        yield controlled


def memory(controlled: Controlled) -> int:
    return int(psutil.Process(controlled.pid).memory_info().rss)


def cpu(controlled: Controlled) -> float:
    """Return the seconds of a processor that the supervisor has had."""
    return float(sum(psutil.Process(controlled.pid).cpu_times()[:2]))


def dealer(controlled: Controlled, place: Path | None = None, name: str = "") -> zmq.Socket[bytes]:
    made = controlled.context.socket(zmq.DEALER)
    return joined(made, controlled.endpoint.replace("0.0.0.0", "127.0.0.1"), place, name)


def joined(made: zmq.Socket[bytes], where: str, place: Path | None, name: str = "") -> zmq.Socket[bytes]:
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.SNDHWM, 0)
    if place is not None:
        key = keys.read(place / f"{name}.key_secret")
        assert key.secret is not None
        made.curve_serverkey = keys.read(place / "server.key").public.encode()
        made.curve_publickey, made.curve_secretkey = key.public.encode(), key.secret.encode()
    made.connect(where)
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "clients").mkdir()
    keys.generate(folder, "server", "")
    for name, role in (("boss", "admin"), ("looker", "view"), ("fired", "view"), ("flooder", "view")):
        keys.generate(folder, name, role)
        shutil.copy(folder / f"{name}.key", folder / "clients")
    return folder


@pytest.fixture(scope="module")
def keyed(place: Path) -> Iterator[Controlled]:
    settings = {"server_key": str(place / "server.key_secret"), "client_keys": str(place / "clients")}
    with Controlled("tcp://0.0.0.0:0", "tcp://0.0.0.0:0", **settings) as controlled:
        yield controlled


def asked(keyed: Controlled, place: Path, command: str) -> dict[str, object]:
    identity = Identity(place / "boss.key_secret", str(place / "server.key"))
    with Client(keyed.endpoint.replace("0.0.0.0", "127.0.0.1"), timeout=20.0, identity=identity) as talking:
        return dict(talking.call(command))


@pytest.mark.case("E12")
def test_a_message_without_end_takes_no_memory(running: Controlled) -> None:
    """Three of them at once, with frames of several sizes: each is cut off after some seconds."""
    before, cut = memory(running), running.log().count("is cut off")
    # ZeroMQ sends no frame of a message before it has all of them, so these clients are none of its.
    host, _, port = running.endpoint.removeprefix("tcp://").rpartition(":")

    def send(size: int) -> None:
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            greet(raw)
            head = b"\x03" + size.to_bytes(8)
            with suppress(OSError):  # it is cut off, or not read any further
                for _ in range(200 * MEGABYTE // size):
                    raw.sendall(head + b"x" * size)

    sizes = (MEGABYTE, 20_000, 300)
    with ThreadPoolExecutor(len(sizes)) as pool:
        list(pool.map(send, sizes))
    running.wait_for("is cut off", cut + len(sizes))
    assert memory(running) - before < 30 * MEGABYTE
    assert running.call("numwatchers")["status"] == "ok"


@pytest.mark.case("E12")
def test_a_key_changes_nothing_about_that(keyed: Controlled, place: Path) -> None:
    before, cut = memory(keyed), keyed.log().count("is cut off")
    frames = [b"x" * (MEGABYTE // 2)] * 200
    with dealer(keyed, place, "flooder") as hostile:
        hostile.send_multipart(frames)
        keyed.wait_for("is cut off", cut + 1)
    assert memory(keyed) - before < 30 * MEGABYTE
    assert asked(keyed, place, "numwatchers")["status"] == "ok"


def test_many_commands_at_once_are_all_answered(running: Controlled) -> None:
    with running.dealer() as busy:
        for number in range(3000):
            busy.send_json({"command": "status", "properties": {"pad": "x" * 2000}, "id": number})
        assert [receive(busy)["id"] for _ in range(3000)] == list(range(3000))


def test_clients_that_leave_before_their_replies_are_no_errors(running: Controlled) -> None:
    host, _, port = running.endpoint.removeprefix("tcp://").rpartition(":")
    body = b'{"command": "options", "properties": {"name": "Web"}, "id": 1}'
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # with a reset
            greet(raw)
            raw.sendall((b"\x00" + bytes([len(body)]) + body) * 90)
            assert raw.recv(1)  # and there is more to come
    assert running.call("numwatchers")["status"] == "ok"
    assert "Traceback" not in running.log()


@pytest.mark.case("E11")
@pytest.mark.parametrize(
    "topics",
    [[b"x" * 257], [b"x" * 240 + b"%d" % n for n in range(70)], [b"%d" % n for n in range(1100)]],
    ids=["long", "bytes", "many"],
)
def test_subscriptions_are_few_and_short(running: Controlled, topics: list[bytes]) -> None:
    before, cut = memory(running), running.log().count("is cut off")
    where = running.pubsub
    with joined(running.context.socket(zmq.SUB), where, None) as hostile:
        for topic in topics:
            hostile.subscribe(topic)
        running.wait_for("is cut off", cut + 1)
    assert memory(running) - before < 20 * MEGABYTE
    with joined(running.context.socket(zmq.SUB), where, None) as honest:
        honest.subscribe("watcher.two_words.")
        until(lambda: subscribed(running, honest), "an event")


@pytest.mark.case("E11")
def test_a_large_subscription_never_gets_in(running: Controlled) -> None:
    before, cut = memory(running), running.log().count("is cut off")
    # Sent without ZeroMQ, which ends a program that subscribes to so much when it forgets it again.
    host, _, port = running.pubsub.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        greet(raw, b"SUB")
        raw.sendall(b"\x02" + (250_001).to_bytes(8) + b"\x01" + b"x" * 250_000)
        running.wait_for("is cut off", cut + 1)
    assert memory(running) - before < 20 * MEGABYTE


def subscribed(running: Controlled, socket: zmq.Socket[bytes]) -> bool:
    running.call("start", name="two words", waiting=True)
    running.call("stop", name="two words", waiting=True)
    return bool(socket.poll(100))


@pytest.mark.case("E13")
@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:\|){27}Z",
        "(a*)*zz",
        "(s|s|le*|sle*)+Z",
        "(?=s)x",
        r"(s)\1",
        "a{999}{999}",
        "(?:){4000000000}",
        "s{5000000000}",
        "(?:(?:){60000}){60000}",
        "(?:.?){2400}Z",
    ],
)
def test_a_pattern_cannot_stop_the_loop(running: Controlled, pattern: str) -> None:
    before = cpu(running)
    reply = running.call("stop", name=pattern.replace(r"\|", "s?|s??"), match="regex")
    assert reply["status"] == "error"
    assert reply["reason"] != "server error", "what it is was not foreseen"
    assert cpu(running) - before < 2


@pytest.mark.case("E13")
@pytest.mark.parametrize("pattern", ["(?i)sleeper", "(?x)s l e e p e r", "(?i:s)leeper", r"\bsleeper", "s++"])
def test_what_a_pattern_cannot_mean_is_refused(running: Controlled, pattern: str) -> None:
    reply = running.call("start", name=pattern, match="regex")
    assert reply["status"] == "error"
    assert "is no regular expression: what looks at more than the next character" in str(reply["reason"])


@pytest.mark.case("E13")
def test_a_pattern_is_short(running: Controlled) -> None:
    """One state may have any number of tests."""
    long, longest = (f"{'[' + 's' * size + ']'}leeper" for size in (243, 242))
    reply = running.call("start", name=long, match="regex")
    assert "a pattern has at most 250 characters" in str(reply["reason"])
    assert running.call("start", name=longest, match="regex")["status"] == "ok"


@pytest.mark.parametrize(
    ("pattern", "status"),
    [(r"SLEE\Der$", "ok"), (r"slee\der", "error"), (r"\AS[A-L]e+\w", "ok"), ("[^S]leeper", "error")],
)
def test_case_does_not_count_in_patterns_but_in_classes(
    running: Controlled, pattern: str, status: str
) -> None:
    assert running.call("start", name=pattern, match="regex")["status"] == status


@pytest.mark.case("E15")
def test_a_revoked_key_hears_nothing_more(keyed: Controlled, place: Path) -> None:
    where = str(asked(keyed, place, "globaloptions")["options"]["pubsub_endpoint"])  # type: ignore[index]
    where = where.replace("0.0.0.0", "127.0.0.1")
    with (
        joined(keyed.context.socket(zmq.SUB), where, place, "fired") as fired,
        joined(keyed.context.socket(zmq.SUB), where, place, "looker") as looker,
        dealer(keyed, place, "fired") as asking,
    ):
        asking.send_json({"command": "numwatchers", "id": 1})
        assert receive(asking)["status"] == "ok"
        for listening in (fired, looker):
            listening.subscribe("output.chatty.")
            assert listening.poll(20_000)
        for _ in range(60):  # more than a second, in which the keys are looked at
            assert fired.poll(20_000)
            fired.recv_multipart()
        (place / "clients" / "fired.key").unlink()
        keyed.wait_for("its key is not known any more", 2)
        while fired.poll(500):
            fired.recv_multipart()
        assert looker.poll(20_000)


@pytest.mark.case("E15")
def test_a_revoked_key_subscribes_to_nothing_more(place: Path) -> None:
    """Whenever the keys are looked at: here, they are not."""
    settings = {"server_key": str(place / "server.key_secret"), "client_keys": str(place / "clients")}
    patient = "from bigtop.control.server import keyholders; keyholders.PERIOD = 600; "
    run = "from bigtop.cli.main import main; main()"
    controlled = Controlled("tcp://0.0.0.0:0", "tcp://0.0.0.0:0", **settings)
    controlled.command[1:3] = ["-c", patient + run]
    key = place / "clients" / "late.key"
    keys.generate(place, "late", "view")
    shutil.copy(place / "late.key", key)
    with controlled:
        where = str(asked(controlled, place, "globaloptions")["options"]["pubsub_endpoint"])  # type: ignore[index]
        where = where.replace("0.0.0.0", "127.0.0.1")
        with joined(controlled.context.socket(zmq.SUB), where, place, "late") as late:
            late.subscribe("output.chatty.")
            assert late.poll(20_000)
            key.unlink()
            late.subscribe("output.Web.")
            controlled.wait_for("its key is not known any more")


@pytest.mark.case("B1")
@pytest.mark.case("E12")
def test_clients_that_only_come_leave_room_for_others(running: Controlled) -> None:
    host, _, port = running.endpoint.removeprefix("tcp://").rpartition(":")
    most = RelayLimits(1, 1).clients
    idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(most + 5)]
    try:
        running.wait_for("no further client is let in for now")
        assert len(os.listdir(f"/proc/{running.pid}/fd")) < 3 * most + 100
        # Who does not shake hands loses its place, long before ZeroMQ would take it.
        began = time.monotonic()
        assert running.call("numwatchers")["status"] == "ok"
        assert time.monotonic() - began < 20
    finally:
        for one in idle:
            one.close()


def test_the_network_is_asked_whether_a_client_is_still_there(running: Controlled) -> None:
    local = f":{int(running.endpoint.rpartition(':')[2]):04X}"

    def timers() -> set[str]:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {row[5][:2] for row in rows if row[1].endswith(local) and row[3] == "01"}  # established

    with running.dealer() as client:
        client.send_json({"command": "numwatchers", "id": 1})
        receive(client)
        until(lambda: timers() == {"02"}, "a timer for keepalive, and none for data under way")
