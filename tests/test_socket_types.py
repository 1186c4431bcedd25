"""Sockets that are no TCP listeners: what Circus' users pass to programs of all kinds."""

import errno
import os
import socket
import stat

import pytest

from bigtop.errors import BindError, ConfigError
from bigtop.sockets import SocketSpec, bind, bind_all


@pytest.fixture
def bound():
    """Bind one spec; what is still open afterwards is closed."""
    opened = []

    def bind_this(spec):
        opened.extend(listeners := bind_all([spec]))
        (listener,) = listeners
        return listener

    yield bind_this
    for listener in opened:
        listener.close()


def test_datagrams_arrive(bound):
    listener = bound(SocketSpec("udp", "127.0.0.1", kind="dgram"))
    assert listener.spec.port > 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", ("127.0.0.1", listener.spec.port))
    listener.socket.settimeout(10)
    assert listener.socket.recv(100) == b"hello"


def test_two_cannot_have_one_udp_port(bound):
    port = bound(SocketSpec("first", "127.0.0.1", kind="dgram")).spec.port
    with pytest.raises(BindError, match=str(port)):
        bind(SocketSpec("second", "127.0.0.1", port, kind="dgram"))


def test_two_can_if_both_say_so(bound):
    port = bound(SocketSpec("first", "127.0.0.1", kind="dgram", reuse_port=True)).spec.port
    assert bound(SocketSpec("second", "127.0.0.1", port, kind="dgram", reuse_port=True)).spec.port == port


def test_records_keep_their_borders(bound, tmp_path):
    path = str(tmp_path / "s")
    listener = bound(SocketSpec("packets", path=path, kind="seqpacket"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(path)
        client.send(b"one")
        client.send(b"two")
        listener.socket.settimeout(10)
        with listener.socket.accept()[0] as server:
            assert [server.recv(100), server.recv(100)] == [b"one", b"two"]


def test_a_datagram_socket_in_a_file(bound, tmp_path):
    path = str(tmp_path / "s")
    listener = bound(SocketSpec("log", path=path, kind="dgram", mode=0o660))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"line", path)
    listener.socket.settimeout(10)
    assert listener.socket.recv(100) == b"line"


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_a_path_in_use_is_taken_only_with_replace(bound, tmp_path, kind):
    path = str(tmp_path / "s")
    bound(SocketSpec("first", path=path, kind=kind))
    with pytest.raises(BindError):
        bind(SocketSpec("second", path=path))
    second = bound(SocketSpec("second", path=path, replace=True))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        second.socket.settimeout(10)
        second.socket.accept()[0].close()


def test_replace_removes_sockets_only(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(BindError):
        bind(SocketSpec("x", path=str(path), replace=True))
    assert path.read_text() == "data"


def test_who_was_replaced_leaves_the_path_to_its_successor(bound, tmp_path):
    path = tmp_path / "s"
    (first,) = bind(SocketSpec("first", path=str(path)))
    bound(SocketSpec("second", path=str(path), replace=True))
    first.close()
    assert path.exists()


def test_a_family_is_one_address(bound):
    listener = bound(SocketSpec("web", "localhost", family="inet"))
    assert (listener.name, listener.socket.family, listener.spec.host) == ("web", socket.AF_INET, "127.0.0.1")


def test_any_address_of_one_family(bound):
    assert bound(SocketSpec("web", "", family="inet")).spec.host == "0.0.0.0"


def test_one_interface_only(bound):
    try:
        listener = bound(SocketSpec("web", "127.0.0.1", interface="lo"))
    except BindError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EPERM:
            pytest.skip("binding to an interface takes CAP_NET_RAW here")
        raise
    device = listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    assert device.rstrip(b"\0") == b"lo"


def test_blocking_is_as_asked(bound):
    assert bound(SocketSpec("a", "127.0.0.1", blocking=True)).socket.getblocking()
    assert not bound(SocketSpec("b", "127.0.0.1")).socket.getblocking()


@pytest.mark.parametrize("wrong", [{"kind": "rdm"}, {"family": "inet5"}])
def test_types_and_families_that_do_not_exist(wrong):
    with pytest.raises(ConfigError, match="there is no socket of type"):
        SocketSpec("x", "127.0.0.1", **wrong)
