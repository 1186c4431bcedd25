# A folder that is trusted with keys: what gets in whole, what is refused.

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper import storage as module
from bigtop.keeper.storage import Storage, StorageError
from bigtop.keeper.trusted import TrustError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "tls"))


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_what_was_stored_is_there_for_others_too(storage: Storage) -> None:
    storage.store("certificates/example.com.pem", b"text\n")
    assert Storage(storage.path).load("certificates/example.com.pem") == b"text\n"
    storage.store("certificates/example.com.pem", b"")
    assert storage.load("certificates/example.com.pem") == b""
    assert storage.names("certificates") == ["example.com.pem"]
    storage.delete("certificates/example.com.pem")
    storage.delete("certificates/example.com.pem")
    assert storage.load("certificates/example.com.pem") is None
    assert storage.load("nowhere/at/all") is None
    assert storage.names("nowhere") == []


def test_nobody_else_can_look_into_it_whatever_the_umask(storage: Storage) -> None:
    old = os.umask(0)
    try:
        storage.store("accounts/ca/account.json", b"secret")
    finally:
        os.umask(old)
    paths = [storage.path, *map(storage.place, ("accounts", "accounts/ca", "accounts/ca/account.json"))]
    assert [oct(mode(path)) for path in paths] == ["0o700", "0o700", "0o700", "0o600"]


def test_only_one_creates(storage: Storage) -> None:
    assert storage.create("a/b", b"first")
    assert not storage.create("a/b", b"second")
    assert storage.load("a/b") == b"first"


@pytest.mark.parametrize(
    "key",
    ["", "/", "a/", "/etc/passwd", "../x", "a/../b", ".hidden", "a/.new-1", "a b", "a\n", "ü", "x" * 200],
)
def test_a_key_leads_nowhere_else(storage: Storage, key: str) -> None:
    for use in (storage.load, storage.delete, lambda key: storage.store(key, b"")):
        with pytest.raises(StorageError, match="cannot be the name of anything"):
            use(key)
    assert os.listdir(storage.path) == []


def test_what_was_changed_or_cut_is_an_error_that_names_the_file(storage: Storage) -> None:
    storage.store("a/b", b"some text")
    path = Path(storage.place("a/b"))
    whole = path.read_bytes()
    for broken in (whole[:-1], whole + b"x", whole[1:], b""):
        path.write_bytes(broken)
        with pytest.raises(StorageError) as raised:
            storage.load("a/b")
        assert str(raised.value).startswith(f"{path}: ")


@given(st.binary(max_size=100), st.data())
def test_no_change_of_a_byte_goes_unnoticed(content: bytes, data: st.DataObject) -> None:
    text = module.sealed(content)
    assert module.unsealed(text, "x") == content
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[at]))
    with pytest.raises(StorageError):
        module.unsealed(text[:at] + bytes([other]) + text[at + 1 :], "x")


@pytest.mark.parametrize(("bits", "words"), [(0o777, "may write"), (0o770, "may write"), (0o755, "may look")])
def test_a_folder_that_is_open_to_others_is_refused(storage: Storage, bits: int, words: str) -> None:
    storage.store("certificates/x", b"")
    for path in (storage.path, storage.place("certificates")):
        os.chmod(path, bits)
        with pytest.raises(TrustError, match=f"{path}: others {words}"):
            Storage(storage.path).load("certificates/x")
        os.chmod(path, 0o700)
    os.chmod(storage.place("certificates/x"), bits)
    with pytest.raises(TrustError, match=f"certificates/x: others {words}"):
        storage.load("certificates/x")


@needs_root
def test_what_belongs_to_somebody_else_is_refused(storage: Storage) -> None:
    storage.store("a/b", b"")
    for path in (storage.place("a/b"), storage.place("a"), storage.path):
        os.chown(path, 65534, -1)
        with pytest.raises(TrustError, match=f"{path}: belongs to user 65534"):
            Storage(storage.path).load("a/b")
        os.chown(path, 0, -1)


def test_links_and_what_is_no_file_are_refused(storage: Storage, tmp_path: Path) -> None:
    storage.store("a/b", b"")
    other = Storage(str(tmp_path / "other"))
    other.store("c/d", b"theirs")
    os.symlink(other.place("c"), storage.place("linked"))
    os.symlink(other.place("c/d"), storage.place("a/linked"))
    os.mkfifo(storage.place("a/pipe"), 0o600)
    os.mkdir(storage.place("a/folder"), 0o700)
    for key in ("linked/d", "a/linked", "a/pipe", "a/folder"):
        with pytest.raises(TrustError):
            storage.load(key)
    storage.store("a/linked", b"ours")
    assert other.load("c/d") == b"theirs"


def test_a_file_that_is_too_large_is_not_read(storage: Storage) -> None:
    storage.store("a/b", b"")
    os.truncate(storage.place("a/b"), 1 << 21)
    with pytest.raises(TrustError, match="2097152 bytes are too many"):
        storage.load("a/b")


def test_a_folder_whose_parent_is_missing_or_that_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the folder above it is not there"):
        Storage(str(tmp_path / "x/y"))
    (tmp_path / "file").touch()
    with pytest.raises(TrustError, match="is a link or no folder"):
        Storage(str(tmp_path / "file"))


WRITER = """
import sys
from bigtop.keeper.storage import Storage
storage = Storage(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in b"ab":
        storage.store("x/y", bytes([letter]) * 500_000)
"""


def test_readers_see_all_or_nothing_while_writers_are_killed(storage: Storage) -> None:
    command = [sys.executable, "-c", WRITER, storage.path]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            try:
                assert writer.stdout is not None
                assert writer.stdout.readline() == b"ready\n"
                seen = [storage.load("x/y") for _ in range(20)]
            finally:
                writer.send_signal(signal.SIGKILL)
        seen.append(storage.load("x/y"))
        for text in seen:
            assert text is None or text in (b"a" * 500_000, b"b" * 500_000)


def test_what_was_left_half_written_goes_when_it_is_old(storage: Storage) -> None:
    storage.store("x/y", b"")
    new, old = (Path(storage.place(f"x/.new-{name}")) for name in ("new", "old"))
    new.touch()
    old.touch()
    os.utime(old, (1, 1))
    assert storage.names("x") == ["y"]
    storage.tidy("x")
    storage.tidy("nowhere")
    assert sorted(os.listdir(storage.place("x"))) == [".new-new", "y"]


@pytest.mark.parametrize(
    ("host", "name"), [("*.Example.com", "_.example.com"), ("2001:db8::1", "2001_db8__1"), ("a.b", "a.b")]
)
def test_names_of_files_for_hosts(storage: Storage, host: str, name: str) -> None:
    assert module.file_name(host) == name
    storage.store(f"certificates/{name}", b"")


MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/a
23 22 8:1 / /var/lib/bigtop rw,relatime - ext4 /dev/sda1 rw
24 22 0:30 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("device", "kind"), [((0, 21), "overlay"), ((8, 1), ""), ((0, 30), "tmpfs"), ((9, 9), "")]
)
def test_file_systems_that_forget(device: tuple[int, int], kind: str) -> None:
    assert module.volatile_kind(MOUNTS, os.makedev(*device)) == kind


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs is here")
def test_a_storage_in_memory_is_known_for_that() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert module.volatile_kind_of(folder) == "tmpfs"
    assert module.volatile_kind_of("/none") == ""


@given(st.text())
def test_no_text_of_mounts_is_an_error(text: str) -> None:
    module.volatile_kind(text, 1)
