# Open sockets that are described anew: what they can become, what takes their place, and the way back.

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from bigtop.errors import BindError, ConfigError
from bigtop.record import replace
from bigtop.sockets import ListeningSocket, SocketSpec, bind
from bigtop.system.rebinding import become, bind_beside, can_become
from tests.support.site import until

Bound = Callable[[SocketSpec], ListeningSocket]
WEB = SocketSpec("web", "127.0.0.1")


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bound() -> Iterator[Bound]:
    with ExitStack() as ends:

        def one(spec: SocketSpec) -> ListeningSocket:
            (listener,) = bind(spec)
            ends.callback(listener.close)
            return listener

        yield one


def queue_of(listener: ListeningSocket) -> int:
    """Return how many connections may wait (tcp_info.tcpi_sacked, for a socket that listens)."""
    info = listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int.from_bytes(info[28:32], "little")


def connected(listener: ListeningSocket) -> socket.socket:
    client = socket.socket(listener.socket.family)
    client.settimeout(10)
    client.connect(listener.socket.getsockname())
    return client


def arrived(*listeners: ListeningSocket, count: int = 1) -> list[int]:
    """Accept all that wait, which are `count` at least, and return how many did at each.

    Who is connected may still be on the way: the kernel need not have seen the last step of it.
    """
    found = [0] * len(listeners)

    def all_there() -> bool:
        for index, listener in enumerate(listeners):
            listener.socket.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    listener.socket.accept()[0].close()
                    found[index] += 1
        return sum(found) >= count

    until(all_there, f"{count} connections")
    return found


@pytest.mark.parametrize(
    ("change", "possible"),
    [
        ({"backlog": 5}, True),
        ({"replace": True}, True),
        ({"close_when_unused": True}, True),
        ({"interface": "lo"}, False),
        ({"blocking": True}, False),
        ({"port": 1}, False),
        ({"backlog": 5, "reuse_port": True}, False),
        ({"backlog": 5, "mode": 0o600}, False),  # of a TCP port there is none
    ],
)
def test_what_an_open_socket_can_become(change: dict[str, object], possible: bool) -> None:
    after = replace(WEB, **change)  # type: ignore[arg-type]
    assert can_become(WEB, after) is possible


def test_where_each_process_has_a_queue_another_length_takes_other_sockets() -> None:
    own = replace(WEB, reuse_port=True, own_queues=True)
    assert not can_become(own, replace(own, backlog=5))


def test_what_was_set_cannot_be_unset() -> None:
    path = SocketSpec("local", path="/x", mode=0o600)
    assert can_become(path, replace(path, mode=0o660, group="1"))
    assert not can_become(path, replace(path, mode=None))


def test_the_queue_gets_longer_and_back_again(bound: Bound) -> None:
    listener = bound(replace(WEB, backlog=7))
    with connected(listener), ExitStack() as undo:
        become(listener, replace(WEB, backlog=70), undo)
        assert (queue_of(listener), listener.spec.backlog) == (70, 70)
        assert listener.spec.port == listener.socket.getsockname()[1]
        undo.close()
        assert (queue_of(listener), listener.spec.backlog) == (7, 7)
        assert arrived(listener) == [1]


def test_permissions_change_and_back_again(bound: Bound, tmp_path: Path) -> None:
    spec = SocketSpec("local", path=str(tmp_path / "s"), mode=0o600)
    listener = bound(spec)
    with ExitStack() as undo:
        become(listener, replace(spec, mode=0o660), undo)
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
        with pytest.raises(ConfigError, match="no-such-group"):
            become(listener, replace(spec, mode=0o666, group="no-such-group"), undo)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert listener.spec == spec


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("share", [False, True])
def test_a_port_changes_hands_and_those_who_wait_stay(
    bound: Bound, undo: ExitStack, host: str, share: bool
) -> None:
    old = bound(SocketSpec("web", host))
    spec = SocketSpec("web", host, old.spec.port, reuse_port=share, interface="lo")
    with connected(old):
        (new,) = bind_beside(spec, [old], undo)
        assert new.spec == replace(spec, host=host)
        assert arrived(old) == [1]
        with connected(new), connected(new):  # nobody is refused, whoever is given it
            assert sum(arrived(old, new, count=2)) == 2
        old.close()
        undo.pop_all()
        with connected(new):
            assert arrived(new) == [1]
        new.close()


def test_over_ipv4_the_new_one_gets_everything_at_once(bound: Bound, undo: ExitStack) -> None:
    old = bound(WEB)
    (new,) = bind_beside(replace(WEB, port=old.spec.port, blocking=True), [old], undo)
    with ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(connected(new))
        assert arrived(old, new, count=20) == [0, 20]


def test_two_sockets_change_places(bound: Bound, undo: ExitStack) -> None:
    first, second = bound(WEB), bound(WEB)
    leaving = [first, second]
    (new,) = bind_beside(replace(WEB, port=second.spec.port), leaving, undo)
    (other,) = bind_beside(replace(WEB, port=first.spec.port), leaving, undo)
    assert (new.spec.port, other.spec.port) == (second.spec.port, first.spec.port)


def test_somebody_elses_port_is_not_taken(bound: Bound) -> None:
    old, taken = bound(WEB), bound(WEB)
    with pytest.raises(BindError), ExitStack() as undo:
        bind_beside(replace(WEB, port=taken.spec.port), [old], undo)


def test_the_way_back_from_a_port(bound: Bound) -> None:
    old = bound(WEB)
    with ExitStack() as undo:
        bind_beside(replace(WEB, port=old.spec.port), [old], undo)
    assert not old.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    with connected(old):
        assert arrived(old) == [1]


def test_a_path_changes_hands(bound: Bound, undo: ExitStack, tmp_path: Path) -> None:
    spec = SocketSpec("local", path=str(tmp_path / "s"))
    old = bound(spec)
    with connected(old):
        (new,) = bind_beside(replace(spec, kind="seqpacket"), [old], undo)
        old.close()
        undo.pop_all()
        assert os.listdir(tmp_path) == ["s"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(tmp_path / "s"))
            assert arrived(new) == [1]
        new.close()


def test_the_way_back_from_a_path(bound: Bound, tmp_path: Path) -> None:
    spec = SocketSpec("local", path=str(tmp_path / "s"))
    old = bound(spec)
    with ExitStack() as undo:
        bind_beside(replace(spec, kind="dgram"), [old], undo)
    assert os.listdir(tmp_path) == ["s"]
    with connected(old):
        assert arrived(old) == [1]
    old.close()
    assert os.listdir(tmp_path) == []
