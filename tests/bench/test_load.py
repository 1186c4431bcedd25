# The load generator against a server that answers in every way HTTP/1.1 has to end a body: what it counts is
# what all figures of the bench rest on.

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.http11 import Request as Asked
from websockets.http11 import Response as Answer
from websockets.sync.server import ServerConnection, serve

from bench import workshop
from bench.beside import beside
from bench.scenarios import UPGRADE, Beside, Request, frame

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=g\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
)
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
OLD = b"HTTP/1.0 200 OK\r\n\r\nall there is until the end"
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def answering(response: bytes, piece: int = 1 << 20, keep: bool = True, stall: float = 0) -> Iterator[int]:
    """Answer each request with `response`, sent `piece` bytes at a time; yield the port.

    The first answer on each connection takes `stall` seconds.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen = b""
        pause = stall
        with connection, contextlib.suppress(ConnectionError):  # the generator leaves by a reset
            while data := connection.recv(65536):
                seen += data
                time.sleep(pause)
                pause = 0
                while b"\r\n\r\n" in seen:
                    seen = seen.partition(b"\r\n\r\n")[2]
                    for at in range(0, len(response), piece):
                        connection.sendall(response[at : at + piece])
                    if not keep:
                        return

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:  # shut down: the test is over
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request"
    file.write_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return file


def call(port: int, request_file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    try:
        program = workshop.ensure_load(tls="--tls" in options)
    except workshop.NotAvailableError as error:
        pytest.skip(f"{error} (apt install libssl-dev)")
    command = [str(program), "--port", str(port), "--request", f"all:1:{request_file}", *options]
    if "--requests" in options:  # however long they take
        command += ["--seconds", "25"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def load(port: int, request_file: Path, *options: str) -> dict[str, Any]:
    run = call(port, request_file, *options)
    assert run.returncode == 0, run.stderr
    data: dict[str, Any] = json.loads(run.stdout)
    assert sum(count for _, count in data["kinds"][0]["histogram"]) == data["kinds"][0]["answered"]
    return data


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("response", "keep"),
    [(LENGTH, True), (CHUNKED, True), (CLOSING, False), (OLD, False)],
    ids=["length", "chunked", "closing", "until-close"],
)
def test_every_kind_of_body_is_one_answer(
    response: bytes, keep: bool, piece: int, request_file: Path
) -> None:
    with answering(response, piece, keep) as port:
        data = load(port, request_file, "--requests", "30", "--connections", "3")
    assert data["kinds"][0]["answered"] == 30
    assert data["bytes"] == 30 * len(response)
    assert data["opened"] == (3 if keep else 30)
    assert not any(data["errors"].values())
    assert data["unanswered"] == 0


@contextlib.contextmanager
def encrypted(folder: Path, response: bytes) -> Iterator[int]:
    """Answer over TLS, with tickets, on one connection after the other."""
    for tool in ("openssl", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing (apt install openssl gcc)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*workshop.certificate(folder))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as tls:
                    while tls.recv(65536):
                        tls.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("options", "opened", "resumed"),
    [((), 1, 0), (("--reconnect",), 5, 0), (("--reconnect", "--resume"), 5, 4)],
    ids=["keep-alive", "whole", "resumed"],
)
def test_tls_is_spoken(
    options: tuple[str, ...], opened: int, resumed: int, request_file: Path, tmp_path: Path
) -> None:
    with encrypted(tmp_path, LENGTH) as port:
        data = load(port, request_file, "--requests", "5", "--tls", *options)
    assert data["kinds"][0]["answered"] == 5
    assert (data["opened"], data["handshakes"], data["resumed"]) == (opened, opened, resumed)
    assert not any(data["errors"].values())


def test_pipelined_answers_are_counted_one_by_one(request_file: Path) -> None:
    with answering(LENGTH) as port:
        data = load(port, request_file, "--requests", "40", "--pipeline", "8")
    assert data["kinds"][0]["answered"] == 40
    assert data["opened"] == 1


def test_an_open_loop_keeps_its_rate_and_its_seed(request_file: Path) -> None:
    options = ("--rate", "400", "--seconds", "0.4", "--connections", "4", "--seed")
    with answering(LENGTH) as port:
        first, again, other = (load(port, request_file, *options, seed) for seed in ("7", "7", "8"))
    assert first["kinds"][0]["answered"] == again["kinds"][0]["answered"]
    assert 100 < first["kinds"][0]["answered"] < 240
    assert other["kinds"][0]["answered"] > 100


def test_an_open_loop_charges_a_stall_to_everybody_who_had_to_wait(request_file: Path) -> None:
    def slow_answers(*options: str) -> int:
        with answering(LENGTH, stall=0.2) as port:
            data = load(port, request_file, "--seconds", "0.4", *options)
        return sum(count for us, count in data["kinds"][0]["histogram"] if us > 50_000)

    # Besides the stall there is room for few that this machine holds up so long.
    assert 1 <= slow_answers() <= 9, "a closed loop stops asking while it waits"
    assert slow_answers("--rate", "400") > 30


def test_failures_are_counted_by_kind(request_file: Path) -> None:
    with answering(REFUSAL) as port:
        assert load(port, request_file, "--requests", "5")["errors"]["status"] == 5
    with answering(LENGTH[:-1], keep=False) as port:
        assert load(port, request_file, "--requests", "5")["errors"]["closed"] == 5
    with answering(LENGTH + b"and more") as port:
        assert load(port, request_file, "--requests", "1")["errors"]["protocol"] <= 1
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: refused
        assert load(nobody.getsockname()[1], request_file, "--requests", "5")["errors"]["connect"] == 5


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "192.0.2.1"),
        ("--host", "localhost"),
        ("--connections", "10001"),
        ("--seconds", "601"),
        ("--seconds", "nan"),
        ("--pipeline", "65"),
        ("--rate", "5", "--pipeline", "2"),
    ],
)
def test_unsafe_amounts_and_addresses_are_refused(options: tuple[str, ...], request_file: Path) -> None:
    run = call(9, request_file, *options)
    assert run.returncode == 2
    assert run.stdout == ""


# ---- WebSockets

PING = b"\x89\x02hi"
PONG = b"\x8a\x82\0\0\0\0hi"
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def message(size: int) -> bytes:
    """Return a server's frame."""
    if size < 126:
        return bytes([0x82, size]) + b"x" * size
    length = size.to_bytes(2, "big") if size < 65536 else size.to_bytes(8, "big")
    return bytes([0x82, 126 if size < 65536 else 127]) + length + b"x" * size


@contextlib.contextmanager
def conversing(answer: bytes, piece: int, opening: bytes = UPGRADED) -> Iterator[tuple[int, list[bytes]]]:
    """Say `opening`, then answer each message of one connection; yield the port and what the client said."""
    listener = socket.create_server(("127.0.0.1", 0))
    said: list[bytes] = []

    def serve() -> None:
        with listener.accept()[0] as connection, contextlib.suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            connection.sendall(opening)
            while data := connection.recv(65536):
                said.append(data)
                for at in range(0, len(answer) if frame(7) in data else 0, piece):
                    connection.sendall(answer[at : at + piece])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], said
    finally:
        thread.join()
        listener.close()


def talk(port: int, tmp_path: Path, *options: str) -> dict[str, Any]:
    upgrade, asked = tmp_path / "upgrade", tmp_path / "message"
    upgrade.write_bytes(Request("/", headers=UPGRADE).encode())
    asked.write_bytes(frame(7))
    return load(port, asked, "--upgrade", str(upgrade), *options)


@pytest.mark.parametrize(("size", "piece"), [(0, 1), (5, 1), (125, 7), (126, 1), (70_000, 1 << 20)])
def test_an_answer_is_one_message_and_pings_are_answered(size: int, piece: int, tmp_path: Path) -> None:
    with conversing(PING + message(size), piece) as (port, said):
        data = talk(port, tmp_path, "--requests", "20")
    assert data["kinds"][0]["answered"] == 20
    assert data["opened"] == 1
    assert not any(data["errors"].values())
    talked = b"".join(said)
    assert talked.count(frame(7)) == 20
    assert talked.count(PONG) == 20
    assert len(talked) == 20 * len(frame(7) + PONG)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"\x02\x01x", "protocol"), (b"\x88\x02\x03\xe8", "protocol"), (message(3) * 2, "protocol")],
    ids=["fragment", "close", "two"],
)
def test_what_is_no_echo_is_an_error(answer: bytes, error: str, tmp_path: Path) -> None:
    with conversing(answer, 1 << 20) as (port, _):
        data = talk(port, tmp_path, "--requests", "1")
    assert data["errors"][error] == 1


def test_a_refused_upgrade_is_a_connection_that_was_not_made(tmp_path: Path) -> None:
    with answering(REFUSAL) as port:
        data = talk(port, tmp_path, "--requests", "1")
    assert data["errors"]["connect"] == 1
    assert data["kinds"][0]["answered"] == 0


def test_messages_can_come_at_a_rate(tmp_path: Path) -> None:
    with conversing(message(7), 1 << 20) as (port, _):
        data = talk(port, tmp_path, "--rate", "400", "--seconds", "0.4", "--seed", "7")
    assert 100 < data["kinds"][0]["answered"] < 240
    assert not any(data["errors"].values())


def test_connections_that_stay_are_there_when_all_were_answered() -> None:
    answered = []

    def note(_: ServerConnection, __: Asked, answer: Answer) -> Answer:
        answered.append(answer.status_code)
        return answer

    def listen(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    with serve(listen, "127.0.0.1", 0, ping_interval=None, process_response=note) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        crowd = Beside(7, Request("/", headers=UPGRADE), stays=True)
        with beside(crowd, server.socket.getsockname()[1], os.sched_getaffinity(0)):
            there = list(answered)
        server.shutdown()
        thread.join()
    assert there == [101] * 7
