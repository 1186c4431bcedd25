"""Sockets are bound, adopted, passed on and closed for real; only parsing is tested without the kernel."""

import errno
import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop import sockets
from bigtop.errors import BindError, ConfigError
from bigtop.sockets import SocketSpec, adopt, bind, bind_all, fds, parse_bind
from bigtop.system import holders
from bigtop.system.activation import activated


def loopback(name: str = "web", **options: object) -> SocketSpec:
    return SocketSpec(name, "127.0.0.1", 0, **options)  # type: ignore[arg-type]


@pytest.fixture
def bound():
    """Bind specs; whatever is still open afterwards is closed."""
    opened = []

    def bind_these(*specs):
        opened.extend(listeners := bind_all(specs))
        return listeners

    yield bind_these
    for listener in opened:
        listener.close()


def answers(listener, family, address) -> bool:
    """Connect, accept and compare: proves that this very listener got the connection."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        if client.connect_ex(address):
            return False
        listener.socket.settimeout(5)
        peer, _ = listener.socket.accept()
        with peer:
            peer.sendall(b"x")
            return client.recv(1) == b"x"


class TestParse:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("127.0.0.1:8000", "127.0.0.1", 8000),
            ("example.org:80", "example.org", 80),
            (":8000", "", 8000),
            ("*:8000", "", 8000),
            ("[::1]:8000", "::1", 8000),
            ("[fe80::1%lo]:1", "fe80::1%lo", 1),
            ("8000", "127.0.0.1", 8000),
            ("0.0.0.0:0", "0.0.0.0", 0),
            ("h:65535", "h", 65535),
        ],
    )
    def test_tcp(self, text, host, port):
        assert parse_bind(text) == SocketSpec(text, host, port)

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("unix:/run/x.sock", "/run/x.sock"),
            ("unix:x.sock", "x.sock"),
            ("unix:///run/x.sock", "/run/x.sock"),
            ("unix:/odd:80", "/odd:80"),
        ],
    )
    def test_unix(self, text, path):
        assert parse_bind(text) == SocketSpec(text, path=path)

    def test_descriptor(self):
        assert parse_bind("fd://7", "web").fd == 7

    def test_options_and_name(self):
        spec = parse_bind(":80", "web", backlog=5, reuse_port=True)
        assert (spec.name, spec.backlog, spec.reuse_port) == ("web", 5, True)

    def test_reuse_port_is_for_tcp_only(self):
        assert not parse_bind("unix:/x", reuse_port=True).reuse_port

    @pytest.mark.parametrize(
        "text",
        ["", "0.0.0.0", "localhost", "h:", "h:x", "h:-1", "h:65536", "h:99999999999999999999", "::1:80",
         "[::1]", "[::1:80", "[h]:80", "a/b:80", "fd://", "fd://x", "fd://-1", "unix:", "99999", "h:٣", "٣"],
    )  # fmt: skip
    def test_bad_text_is_named(self, text):
        with pytest.raises(ConfigError) as caught:
            parse_bind(text, "web")
        assert text in str(caught.value)

    @pytest.mark.parametrize("text", ["unix:\0a", "h\0:1"])
    def test_nul_is_no_part_of_an_address(self, text):
        with pytest.raises(ConfigError, match=r"'.*\\x00.*' is not a"):
            parse_bind(text, "web")

    def test_a_url_is_answered_with_the_right_form(self):
        with pytest.raises(ConfigError, match=r"as 127\.0\.0\.1:80$"):
            parse_bind("http://127.0.0.1:80/")

    @given(st.one_of(st.text(), st.from_regex(r"\A(unix:|fd://|\[.*\])?[^\n]{0,8}(:[0-9]{0,6})?\Z")))
    def test_any_text_is_a_spec_or_a_config_error(self, text):
        try:
            spec = parse_bind(text, "web")
        except ConfigError:
            return
        assert 0 <= spec.port <= 65535

    @pytest.mark.parametrize(
        "wrong",
        [
            {"port": -1},
            {"port": 65536},
            {"backlog": 0},
            {"path": ""},
            {"path": "/x", "fd": 3},
            {"host": "h", "path": "/x"},
            {"path": "/x", "reuse_port": True},
        ],
    )
    def test_specs_check_themselves(self, wrong):
        with pytest.raises(ConfigError, match=r"^web: "):
            SocketSpec("web", **wrong)

    def test_a_spec_needs_a_name(self):
        with pytest.raises(ConfigError):
            SocketSpec("")


class TestTcp:
    def test_port_zero_reports_the_real_port(self, bound):
        (web,) = bound(loopback())
        assert web.spec.port > 0
        assert web.address() == f"http://127.0.0.1:{web.spec.port}"
        assert answers(web, socket.AF_INET, ("127.0.0.1", web.spec.port))

    def test_accepted_sockets_inherit_nodelay(self, bound):
        (web,) = bound(loopback())
        with socket.create_connection(web.socket.getsockname(), timeout=5):
            web.socket.settimeout(5)
            peer, _ = web.socket.accept()
            with peer:
                assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_nodelay_can_be_left_off(self, bound):
        (web,) = bound(loopback(nodelay=False))
        assert not web.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_sockets_are_nonblocking_and_close_on_exec(self, bound):
        (web,) = bound(loopback())
        assert not web.socket.getblocking()
        assert not web.socket.get_inheritable()

    def test_the_queue_is_as_long_as_the_backlog(self, bound):
        for backlog in (7, 300):
            (listener,) = bound(loopback(backlog=backlog))
            info = listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
            # Of a socket that listens, tcpi_sacked is the length that its queue may have.
            assert struct.unpack_from("I", info, 28) == (backlog,)

    def test_an_ipv6_wildcard_leaves_ipv4_alone(self, bound):
        (web,) = bound(SocketSpec("web", "::", 0))
        assert answers(web, socket.AF_INET6, ("::1", web.spec.port))
        assert not answers(web, socket.AF_INET, ("127.0.0.1", web.spec.port))
        assert web.address() == f"http://[::]:{web.spec.port}"

    @pytest.mark.parametrize("host", ["::", ""])
    def test_dual_stack_takes_both_in_one_socket(self, bound, host):
        (web,) = bound(SocketSpec("web", host, 0, dual_stack=True))
        assert answers(web, socket.AF_INET6, ("::1", web.spec.port))
        assert answers(web, socket.AF_INET, ("127.0.0.1", web.spec.port))

    def test_all_addresses_are_two_sockets_on_one_port(self, bound):
        listeners = bound(SocketSpec("web", "", 0))
        families = {listener.socket.family: listener for listener in listeners}
        assert set(families) == {socket.AF_INET, socket.AF_INET6}
        assert len({listener.spec.port for listener in listeners}) == 1
        assert [listener.name for listener in listeners] == ["web", "web-2"]
        assert answers(families[socket.AF_INET], socket.AF_INET, ("127.0.0.1", listeners[0].spec.port))
        assert answers(families[socket.AF_INET6], socket.AF_INET6, ("::1", listeners[0].spec.port))

    def test_a_host_name_is_resolved(self, bound):
        listeners = bound(SocketSpec("web", "localhost", 0))
        assert {listener.spec.host for listener in listeners} <= {"127.0.0.1", "::1"}

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".x", "."])
    def test_an_unknown_host_is_a_bind_error(self, host):
        with pytest.raises(BindError, match="cannot find the host"):
            bind(SocketSpec("web", host, 0))

    def test_an_address_of_another_machine(self):
        with pytest.raises(BindError, match=r"192\.0\.2\.1:0: no interface of this machine"):
            bind(SocketSpec("web", "192.0.2.1", 0))

    def test_a_restart_binds_at_once(self, bound):
        (web,) = bound(loopback())
        port = web.spec.port
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            web.socket.settimeout(5)
            web.socket.accept()[0].close()  # the server closes first: TIME_WAIT is on its side
            assert client.recv(1) == b""
        web.close()
        bound(SocketSpec("again", "127.0.0.1", port))


class TestConflicts:
    def test_the_holder_is_named(self, held_port):
        port, process = held_port
        with pytest.raises(BindError) as caught:
            bind(SocketSpec("web", "127.0.0.1", port))
        message = str(caught.value)
        assert f"127.0.0.1:{port}: it is held by process {process.pid} (" in message
        assert "import socket" in message
        assert "bind another port" in message

    @pytest.fixture
    def held_port(self):
        code = (
            "import socket; s = socket.create_server(('127.0.0.1', 0)); "
            "print(s.getsockname()[1], flush=True); input()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
            try:
                yield int(process.stdout.readline()), process
            finally:
                process.communicate("\n", timeout=30)

    def test_a_wildcard_collides_with_a_single_address(self, bound):
        (web,) = bound(loopback())
        with pytest.raises(BindError, match="this very process"):
            bind(SocketSpec("other", "0.0.0.0", web.spec.port))

    def test_all_or_nothing(self, bound, tmp_path):
        (taken,) = bound(loopback())
        path = tmp_path / "site.sock"
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BindError):
            bind_all([SocketSpec("a", path=str(path)), SocketSpec("b", "127.0.0.1", taken.spec.port)])
        assert not path.exists()
        assert len(os.listdir("/proc/self/fd")) == before

    def test_names_are_unique(self, tmp_path):
        with pytest.raises(ConfigError, match="web, web"):
            bind_all([loopback(), loopback()])

    def test_a_low_port_explains_the_ways_out(self):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                if os.getuid() == 0:
                    os.setuid(65534)  # root may bind anything
                bind(SocketSpec("web", "127.0.0.1", 1))
            except BindError as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader) as file:
            message = file.read()
        os.waitpid(pid, 0)
        for part in (
            "127.0.0.1:1:",
            "CAP_NET_BIND_SERVICE",
            "ip_unprivileged_port_start",
            "socket activation",
        ):
            assert part in message

    def test_no_ipv6(self):
        message = holders.explain(OSError(errno.EAFNOSUPPORT, "x"), ("::1", 80, 0, 0))
        assert message == "cannot listen on [::1]:80: this machine has no IPv6; bind an IPv4 address"

    @pytest.mark.parametrize(
        ("number", "part"),
        [
            (errno.EACCES, f"user {os.geteuid()} may not create files in /run"),
            (errno.EROFS, f"user {os.geteuid()} may not create files in /run"),
            (errno.EPERM, "only root may give the socket to another owner"),
        ],
    )
    def test_what_a_unix_path_may_lack(self, number, part):
        assert part in holders.explain(OSError(number, "x"), "/run/x")

    def test_of_several_addresses_of_a_name_those_that_exist_are_enough(self):
        """As for localhost where IPv6 is switched off; a resolver cannot be told so, this function can."""
        here, elsewhere = ((socket.AF_INET, (host, 0)) for host in ("127.0.0.1", "192.0.2.1"))
        (web,) = sockets._bind_tcp(loopback(), [elsewhere, here])
        web.close()
        assert (web.name, web.spec.host) == ("web", "127.0.0.1")
        with pytest.raises(BindError, match="no interface"):
            sockets._bind_tcp(loopback(), [elsewhere, elsewhere])

    @pytest.mark.parametrize("address", [("127.0.0.1", 80), "/run/x"])
    def test_other_errors_keep_the_systems_words(self, address):
        message = holders.explain(OSError(errno.ENOMEM, "x"), address)
        assert message.endswith(os.strerror(errno.ENOMEM))

    def test_an_unseen_holder_is_admitted(self):
        # Nobody listens on port 0, so nobody is found: as when the holder belongs to another user.
        message = holders.explain(OSError(errno.EADDRINUSE, "x"), ("127.0.0.1", 0))
        assert "in use by a process of another user" in message


class TestReusePort:
    def test_clones_have_queues_of_their_own(self, bound):
        (web,) = bound(loopback(reuse_port=True))
        other = web.clone()
        try:
            assert other.address() == web.address()
            assert other.fileno() != web.fileno()
            assert other.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        finally:
            other.close()

    def test_without_it_there_are_no_clones(self, bound):
        (web,) = bound(loopback())
        with pytest.raises(ConfigError, match="reuse_port"):
            web.clone()


class TestUnix:
    def spec(self, path: Path, **options: object) -> SocketSpec:
        return SocketSpec("web", path=str(path), **options)  # type: ignore[arg-type]

    def test_it_listens_and_is_removed(self, tmp_path):
        path = tmp_path / "x.sock"
        (web,) = bind(self.spec(path))
        assert web.address() == f"unix:{path}"
        assert answers(web, socket.AF_UNIX, str(path))
        web.close()
        assert not path.exists()

    def test_a_relative_path_survives_chdir(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (web,) = bind(SocketSpec("web", path="x.sock"))
        monkeypatch.chdir("/")
        web.close()
        assert not (tmp_path / "x.sock").exists()

    @pytest.mark.parametrize("mode", [0o600, 0o666, 0o777])
    def test_mode(self, bound, tmp_path, mode):
        bound(self.spec(tmp_path / "x", mode=mode))
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode

    def test_owner_by_number_and_group_by_name(self, bound, tmp_path):
        import grp

        group = grp.getgrgid(os.getgid()).gr_name
        bound(self.spec(tmp_path / "x", owner=str(os.getuid()), group=group))
        status = (tmp_path / "x").stat()
        assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())

    @pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
    def test_owner_is_given_away(self, bound, tmp_path):
        bound(self.spec(tmp_path / "x", owner=12345, group="54321"))
        status = (tmp_path / "x").stat()
        assert (status.st_uid, status.st_gid) == (12345, 54321)

    def test_an_unknown_owner_leaves_nothing(self, tmp_path):
        with pytest.raises(ConfigError, match="no-such-user"):
            bind(self.spec(tmp_path / "x", owner="no-such-user"))
        assert not (tmp_path / "x").exists()

    def test_a_stale_path_is_replaced(self, bound, tmp_path):
        path = tmp_path / "x"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
            dead.listen()
        (web,) = bound(self.spec(path))
        assert answers(web, socket.AF_UNIX, str(path))

    def test_a_live_path_is_left_alone(self, bound, tmp_path):
        (web,) = bound(self.spec(tmp_path / "x"))
        with pytest.raises(BindError, match="held by process"):
            bind(self.spec(tmp_path / "x"))
        web.socket.accept()[0].close()  # the question whether anybody listens
        assert answers(web, socket.AF_UNIX, str(tmp_path / "x"))

    def test_a_live_path_with_a_full_backlog_is_left_alone(self, bound, tmp_path):
        (web,) = bound(self.spec(tmp_path / "x", backlog=1))
        clients = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        try:
            for client in clients:
                client.setblocking(False)
            assert errno.EAGAIN in [client.connect_ex(str(tmp_path / "x")) for client in clients]
            with pytest.raises(BindError, match="held by process"):
                bind(self.spec(tmp_path / "x"))
        finally:
            for client in clients:
                client.close()
        assert web.socket.family == socket.AF_UNIX

    @pytest.mark.parametrize("kind", ["file", "directory", "link"])
    def test_what_is_not_a_socket_is_left_alone(self, tmp_path, kind):
        path = tmp_path / "x"
        if kind == "file":
            path.write_text("precious")
        elif kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BindError, match="not a socket"):
            bind(self.spec(path))
        assert os.path.lexists(path)

    def test_a_missing_directory(self, tmp_path):
        with pytest.raises(BindError, match=f"no directory {tmp_path}/no"):
            bind(self.spec(tmp_path / "no" / "x"))

    def test_a_path_too_long(self, tmp_path):
        with pytest.raises(ConfigError, match="107"):
            bind(self.spec(tmp_path / ("x" * 108)))

    def test_somebody_elses_file_is_not_removed(self, tmp_path):
        path = tmp_path / "x"
        (web,) = bind(self.spec(path))
        path.unlink()
        path.write_text("new owner")
        web.close()
        assert path.read_text() == "new owner"

    def test_a_missing_file_is_no_error_at_close(self, tmp_path):
        (web,) = bind(self.spec(tmp_path / "x"))
        (tmp_path / "x").unlink()
        web.close()
        web.close()

    def test_a_forked_child_does_not_remove_the_path(self, bound, tmp_path):
        (web,) = bound(self.spec(tmp_path / "x"))
        pid = os.fork()
        if pid == 0:
            try:
                web.close()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert answers(web, socket.AF_UNIX, str(tmp_path / "x"))

    def test_of_many_starting_at_once_one_wins(self, tmp_path):
        """The stale path is found by all of them; whoever comes second must see the first one's socket."""
        path = tmp_path / "x"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        code = (
            "import sys; from bigtop.sockets import *; from bigtop.errors import BindError\n"
            "input()\n"
            "try: s = bind(SocketSpec('web', path=sys.argv[1]))\n"
            "except BindError: print('lost', flush=True)\n"
            "else: print('won', flush=True)\n"
            "input()"
        )
        racers = [
            subprocess.Popen([sys.executable, "-c", code, path], stdin=-1, stdout=-1, text=True)
            for _ in range(4)
        ]
        try:
            for racer in racers:
                racer.stdin.write("\n")
                racer.stdin.flush()
            results = sorted(racer.stdout.readline() for racer in racers)
        finally:
            for racer in racers:
                racer.communicate("\n", timeout=30)
        assert results == ["lost\n"] * 3 + ["won\n"]


class TestAdoption:
    def test_an_exec_child_gets_the_socket_by_number(self, bound):
        (web,) = bound(loopback())
        code = (
            "import sys; from bigtop.sockets import adopt\n"
            "s = adopt(int(sys.argv[1])); s.setblocking(True); c, _ = s.accept(); c.sendall(b'child')"
        )
        handed = fds([web])
        assert handed == {"web": web.fileno()}
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(handed["web"])], pass_fds=tuple(handed.values())
        )
        try:
            with socket.create_connection(web.socket.getsockname(), timeout=30) as client:
                assert client.recv(5) == b"child"
        finally:
            child.kill()
            child.wait(10)

    @pytest.mark.parametrize(
        ("family", "address"),
        [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0)), (socket.AF_UNIX, None)],
    )
    def test_the_family_is_found(self, family, address, tmp_path):
        with socket.socket(family) as original:
            original.bind(address if family != socket.AF_UNIX else str(tmp_path / "x"))
            original.listen()
            (web,) = bind(SocketSpec("web", fd=os.dup(original.fileno())))
            assert web.socket.family == family
            assert not web.socket.getblocking()
            assert web.address().startswith("unix:" if family == socket.AF_UNIX else "http://")
            web.close()
            if family == socket.AF_UNIX:
                assert (tmp_path / "x").exists()  # not ours

    def test_abstract_names_are_shown_with_an_at_sign(self):
        name = f"\0bigtop-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as original:
            original.bind(name)
            original.listen()
            (web,) = bind(SocketSpec("web", fd=os.dup(original.fileno())))
            assert web.address() == f"unix:@{name[1:]}"
            web.close()

    def test_what_is_not_a_listener_is_refused_and_left_open(self, tmp_path):
        with (
            socket.socket() as silent,
            socket.socket(type=socket.SOCK_DGRAM) as datagram,
            open(tmp_path / "f", "w") as file,
        ):
            for thing, reason in ((silent, "does not listen"), (datagram, "stream"), (file, "not a socket")):
                with pytest.raises(BindError, match=reason):
                    adopt(thing.fileno())
                os.fstat(thing.fileno())

    def test_a_closed_descriptor(self):
        with pytest.raises(BindError, match=r"fd://9999 is not a socket"):
            bind(parse_bind("fd://9999"))


class TestSystemd:
    """Runs in a child of its own, since systemd's descriptors begin at 3."""

    CODE = (
        "import os, sys; from bigtop.system.activation import activated\n"
        "if sys.argv[1] == 'self': os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "print([s.name + ' ' + s.address() for s in activated(os.environ)])\n"
        "print([key for key in os.environ if key.startswith('LISTEN_')])\n"
    )

    def run(self, count, pid="self", **environ):
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            # The shell puts the sockets where systemd would.
            command = f'exec "$0" -c "$1" {pid} 3<&{a.fileno()} 4<&{b.fileno()}'
            # dash knows single-digit descriptors only, hence bash.
            result = subprocess.run(
                ["bash", "-c", command, sys.executable, self.CODE],
                env={**os.environ, "LISTEN_FDS": count, "LISTEN_PID": "1", **environ},
                pass_fds=(a.fileno(), b.fileno()),
                capture_output=True,
                text=True,
                timeout=30,
            )
            addresses = [f"http://127.0.0.1:{s.getsockname()[1]}" for s in (a, b)]
        return result, addresses

    def test_names(self):
        result, (a, b) = self.run("2", LISTEN_FDNAMES="web:admin", LISTEN_PIDFDID="9")
        assert result.stdout.splitlines() == [str([f"web {a}", f"admin {b}"]), "[]"]

    def test_equal_names_are_numbered(self):
        result, (a, b) = self.run("2", LISTEN_FDNAMES="web:web")
        assert result.stdout.splitlines()[0] == str([f"web {a}", f"web-2 {b}"])

    def test_no_names(self):
        result, (a, b) = self.run("2")
        assert result.stdout.splitlines()[0] == str([f"fd3 {a}", f"fd4 {b}"])

    def test_another_pid_is_ignored(self):
        result, _ = self.run("2", pid="other")
        assert result.stdout.splitlines() == ["[]", "[]"]

    def test_a_bad_count(self):
        result, _ = self.run("many")
        assert "LISTEN_FDS='many' is not a number of sockets" in result.stderr

    def test_too_few_descriptors(self):
        result, _ = self.run("60")
        assert "BindError: systemd's socket fd" in result.stderr

    def test_nothing_announced(self):
        assert activated({}) == []
