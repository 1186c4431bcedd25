# Outputs of processes: files and their rotation, formats, datagrams, and what happens when nobody can write.

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
import re
import socket
import stat
import subprocess
import sys
import termios
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.supervisor.policy.spec import Command, ExecContext, Stdio, StreamSpec
from bigtop.supervisor.streams import formats
from bigtop.supervisor.streams.files import Keeping, LogFile, TimedLogFile, next_rotation
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.sinks import QueueSink, make
from bigtop.supervisor.streams.writer import KEPT_BYTES, Outputs
from tests.support.pool_harness import DEADLINE, ENV, command, until
from tests.support.site import ROOT
from tests.support.supervisor_harness import SupervisorHarness, perform, watcher

NOON = datetime(2026, 5, 6, 12, 0, tzinfo=UTC).timestamp()
DAY = 86400.0


def chunk(lines: bytes, which: str = "stdout", at: float = NOON) -> Chunk:
    return Chunk("web", 77, 1, which, lines, at)


def stream(kind: str, **options: object) -> StreamSpec:
    return StreamSpec(kind, tuple((name, str(value)) for name, value in options.items()))


class TestFormats:
    def test_each_line_gets_a_stamp(self):
        assert formats.stamped("T", UTC)(chunk(b"a\n\nb\n"), False) == b"T [77] | a\nT [77] | \nT [77] | b\n"

    def test_colours(self):
        assert formats.fancy("red", "T", UTC)(chunk(b"a\n"), False) == b"\x1b[0;31mT [77] | a\x1b[0m\n"

    @given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), min_size=1))
    def test_json_is_one_object_per_line(self, lines: list[bytes]):
        text = formats.as_json(chunk(b"".join(line + b"\n" for line in lines), "stderr"), False)
        objects = [json.loads(line) for line in text.splitlines()]
        assert [one["message"] for one in objects] == [line.decode("utf-8", "replace") for line in lines]
        assert objects[0]["time"] == "2026-05-06T12:00:00.000+00:00"
        assert (objects[0]["watcher"], objects[0]["pid"], objects[0]["stream"]) == ("web", 77, "stderr")


class TestFiles:
    def test_rotation_by_size_keeps_as_many_as_wanted(self, tmp_path: Path):
        file = LogFile(str(tmp_path / "x"), Keeping(max_bytes=10, backups=2))
        for number in range(8):
            file.write(b"line %d\n" % number, NOON)
        file.close()
        texts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert texts == {"x": b"line 7\n", "x.1": b"line 6\n", "x.2": b"line 5\n"}

    def test_many_lines_at_once_are_rotated_too(self, tmp_path: Path):
        file = LogFile(str(tmp_path / "x"), Keeping(max_bytes=10, backups=9))
        file.write(b"".join(b"line %d\n" % n for n in range(4)) + b"much too long for it\n", NOON)
        file.close()
        written = [(tmp_path / f"x.{n}").read_bytes() for n in (4, 3, 2, 1)]
        assert written == [b"line %d\n" % n for n in range(4)]
        assert (tmp_path / "x").read_bytes() == b"much too long for it\n"

    def test_packed_ones_have_owner_and_mode(self, tmp_path: Path):
        keeping = Keeping(
            max_bytes=5, backups=1, compress=True, mode=0o640, owner=os.getuid(), group=os.getgid()
        )
        file = LogFile(str(tmp_path / "x"), keeping)
        file.write(b"one\ntwo\n", NOON)
        file.close()
        status = (tmp_path / "x.1.gz").stat()
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, os.getuid(), os.getgid())
        assert gzip.decompress((tmp_path / "x.1.gz").read_bytes()) == b"one\n"

    def test_older_ones_can_be_compressed(self, tmp_path: Path):
        file = LogFile(str(tmp_path / "x"), Keeping(max_bytes=1, backups=2, compress=True))
        for number in range(4):
            file.write(b"%d\n" % number, NOON)
        file.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.1.gz", "x.2.gz"]
        packed = [(tmp_path / f"x.{number}.gz").read_bytes() for number in (1, 2)]
        assert [gzip.decompress(data) for data in packed] == [b"2\n", b"1\n"]

    def test_without_backups_it_begins_anew(self, tmp_path: Path):
        file = LogFile(str(tmp_path / "x"), Keeping(max_bytes=3))
        file.write(b"a\n", NOON)
        file.write(b"b\n", NOON)
        file.close()
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"b\n"]

    def test_mode_and_owner(self, tmp_path: Path):
        owner = os.getuid()
        file = LogFile(str(tmp_path / "x"), Keeping(mode=0o640, owner=owner, group=os.getgid()))
        file.write(b"a\n", NOON)
        file.close()
        status = (tmp_path / "x").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o640, owner)

    def test_a_file_that_was_moved_is_opened_anew(self, tmp_path: Path):
        path = tmp_path / "x"
        file = LogFile(str(path), Keeping(), watched=True)
        file.write(b"a\n", NOON)
        path.rename(tmp_path / "y")
        file.write(b"b\n", NOON)
        file.close()
        assert (tmp_path / "y").read_bytes() == b"a\n"
        assert path.read_bytes() == b"b\n"

    def test_rotation_by_time(self, tmp_path: Path):
        file = TimedLogFile(str(tmp_path / "x"), Keeping(backups=2), "D", zone=UTC)
        for day in range(5):
            file.write(b"%d\n" % day, NOON + day * DAY)
        file.close()
        texts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert texts == {"x": b"4\n", "x.2026-05-09": b"3\n", "x.2026-05-08": b"2\n"}

    def test_an_older_file_that_somebody_else_removes_meanwhile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Between our look into the folder and our own removal."""
        really = os.listdir
        monkeypatch.setattr(os, "listdir", lambda folder: [*really(folder), "x.2026-05-01"])
        file = TimedLogFile(str(tmp_path / "x"), Keeping(backups=1), "D", zone=UTC)
        for day in range(3):
            file.write(b"%d\n" % day, NOON + day * DAY)
        file.close()
        monkeypatch.undo()
        texts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert texts == {"x": b"2\n", "x.2026-05-07": b"1\n"}

    @pytest.mark.parametrize(
        ("when", "interval", "hours"),
        [("S", 30, 30 / 3600), ("H", 2, 2), ("D", 1, 24), ("MIDNIGHT", 1, 12), ("W2", 1, 12), ("W3", 1, 36)],
    )
    def test_when_a_file_is_full(self, when: str, interval: int, hours: float):
        """The sixth of May 2026 is a Wednesday, W2."""
        assert next_rotation(NOON, when, interval, UTC) == pytest.approx(NOON + hours * 3600)

    def test_a_day_may_have_23_hours(self):
        berlin = ZoneInfo("Europe/Berlin")
        noon = datetime(2026, 3, 28, 12, tzinfo=berlin).timestamp()
        assert next_rotation(noon, "MIDNIGHT", 2, berlin) - noon == (12 + 23) * 3600

    @pytest.mark.case("F7")
    @pytest.mark.parametrize(
        ("option", "utc", "day"), [("local", "no", "07"), ("utc", "no", "06"), ("local", "yes", "06")]
    )
    def test_older_files_are_named_in_the_time_zone_of_all_lines(
        self, tmp_path: Path, option: str, utc: str, day: str
    ):
        """At noon it is the next day there already."""
        code = f"""
            from bigtop import log
            from bigtop.supervisor.policy.spec import StreamSpec
            from bigtop.supervisor.streams import sinks
            from bigtop.supervisor.streams.formats import Chunk
            log.configure(time_zone={option!r})
            options = {{"filename": {str(tmp_path / "x")!r}, "rotate_when": "MIDNIGHT", "utc": {utc!r}}}
            sink = sinks.make(StreamSpec("TimedRotatingFileStream", tuple(sorted(options.items()))), "w")
            for day in range(2):
                sink.write(Chunk("w", 1, 1, "stdout", b"x", {NOON} + day * {DAY}))
            sink.close()
        """
        env = {**os.environ, "TZ": "Pacific/Kiritimati", "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, check=True, timeout=30)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x", f"x.2026-05-{day}"]


@pytest.mark.case("B2")
class TestWhatIsNoFile:
    @pytest.mark.parametrize("timed", [False, True])
    def test_a_named_pipe_is_written_and_not_renamed(self, tmp_path: Path, timed: bool):
        path = tmp_path / "fifo"
        os.mkfifo(path)
        keeping = Keeping(max_bytes=3, backups=2)
        file = TimedLogFile(str(path), keeping, "S", zone=UTC) if timed else LogFile(str(path), keeping)
        for number in range(5):
            file.write(b"%d\n" % number, time.time() + number * DAY)
        with open(path, "rb", buffering=0) as fifo:
            assert fifo.read(99) == b"0\n1\n2\n3\n4\n"
        file.close()
        assert [one.name for one in tmp_path.iterdir()] == ["fifo"]

    def test_a_pipe_whose_name_is_gone_is_written_all_the_same(self, tmp_path: Path):
        path = tmp_path / "fifo"
        os.mkfifo(path)
        file = LogFile(str(path), Keeping(), watched=True)
        file.write(b"one\n", NOON)
        with open(path, "rb", buffering=0) as fifo:
            path.unlink()
            file.write(b"two\n", NOON)
            assert fifo.read(99) == b"one\ntwo\n"
        file.close()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
    def test_our_own_output_is_written_whatever_it_is(self, tmp_path: Path, kind: str):
        code = (
            "import sys; from bigtop.supervisor.streams.files import *\n"
            "file = LogFile(sys.argv[1], Keeping(max_bytes=3, backups=2), watched=True)\n"
            "[file.write(b'%d\\n' % number, 0.0) for number in range(4)]\n"
            "file.close()"
        )
        (tmp_path / "log").symlink_to("/dev/stdout")
        read_end, write_end = os.pipe()
        near, far = socket.socketpair()
        with open(tmp_path / "file", "wb") as plain, near, far, open(read_end, "rb", buffering=0) as pipe:
            output = {"pipe": write_end, "file": plain.fileno(), "socket": far.fileno()}[kind]
            for path in ("/dev/stdout", "/proc/self/fd/1", str(tmp_path / "log")):
                subprocess.run([sys.executable, "-c", code, path], stdout=output, check=True)
            os.close(write_end)
            if kind == "pipe":
                assert pipe.read(99) == b"0\n1\n2\n3\n" * 3
            elif kind == "socket":
                assert near.recv(99) == b"0\n1\n2\n3\n" * 3
        if kind == "file":
            assert (tmp_path / "file").read_bytes() == b"0\n1\n2\n3\n" * 3
        assert os.readlink("/dev/stdout") == "/proc/self/fd/1"
        assert (tmp_path / "log").is_symlink()
        assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "log"]

    def test_a_device_keeps_its_name(self):
        file = LogFile("/dev/null", Keeping(max_bytes=3, backups=2, mode=0o600))
        before = os.stat("/dev/null")
        for _ in range(4):
            file.write(b"x\n", NOON)
        file.close()
        assert os.stat("/dev/null") == before
        assert not os.path.exists("/dev/null.1")


class TestOptions:
    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            ("Nope", {}, "class: there is no class Nope; there are FileStream, "),
            ("FileStream", {"max_bytes": "lots"}, "max_bytes: must be a size"),
            (
                "FileStream",
                {"max_byte": 1},
                "max_byte: FileStream has no option max_byte; did",
            ),
            ("FileStream", {"owner": "no-one"}, "owner: there is no user 'no-one'"),
            ("TimedRotatingFileStream", {}, "rotate_when: must be S, M, H"),
            (
                "TimedRotatingFileStream",
                {"rotate_when": "d", "utc": "perhaps"},
                "utc: must be yes or no",
            ),
            ("FancyStdoutStream", {"color": "mauve"}, "color: must be a colour"),
            ("syslog", {"facility": "gossip"}, "facility: must be one of"),
            ("syslog", {"address": "somewhere"}, "address: must be a path or HOST:PORT"),
            ("journald", {"address": "/nowhere"}, "address: there is no journal here: /nowhere"),
        ],
    )
    def test_each_mistake_is_told(self, kind: str, options: dict[str, object], message: str):
        with pytest.raises(ConfigError) as caught:
            make(stream(kind, **options), "web")
        assert str(caught.value).startswith(message)

    def test_dotted_names_are_circus_own(self, tmp_path: Path):
        sink = make(stream("circus.stream.FileStream", filename=tmp_path / "x", time_format="T"), "web")
        sink.write(chunk(b"a\n"))
        sink.close()
        assert (tmp_path / "x").read_bytes() == b"T [77] | a\n"


class TestDatagrams:
    def test_syslog(self, tmp_path: Path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(tmp_path / "log"))
            sink = make(stream("syslog", address=tmp_path / "log", facility="local0"), "web")
            sink.write(chunk(b"a\nb\n", "stderr"))
            sink.close()
            assert [server.recv(99) for _ in range(2)] == [b"<131>web[77]: a", b"<131>web[77]: b"]

    def test_journal(self, tmp_path: Path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(tmp_path / "log"))
            sink = make(stream("journald", address=tmp_path / "log"), "web")
            sink.write(chunk(b"a=\xff\n"))
            sink.close()
            fields = b"SYSLOG_IDENTIFIER=web\nSYSLOG_PID=77\nPRIORITY=6\n"
            assert server.recv(999) == fields + b"MESSAGE\n\x03\0\0\0\0\0\0\0a=\xff\n"


def with_stream(one: StreamSpec, code: str) -> Command:
    return command(code, context=ExecContext(env=ENV), stdio=Stdio(stdout=one, stderr=one))


def bytes_in(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


class TestOutputs:
    def test_lines_stay_whole_and_characters_too(self, tmp_path: Path):
        """Circus reads 1,024 bytes at a time: stamps land in mid-line, characters are split."""
        one = stream("FileStream", filename=tmp_path / "x", time_format="T")
        code = "for _ in range(300): print('ü' * 1001, flush=True)\nimport time; time.sleep(60)"

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await until(lambda: (tmp_path / "x").exists(), "the file")
            await until(lambda: (tmp_path / "x").read_bytes().count(b"\n") == 900, "all lines")
            pids = harness.pids("web")
            lines = (tmp_path / "x").read_text().splitlines()
            for pid in pids:
                assert lines.count(f"T [{pid}] | " + "ü" * 1001) == 300
            last = harness.pools.outputs.tail(pids, 3)
            assert [piece.lines.decode() for piece in last] == ["ü" * 1001 + "\n"] * 3

        perform(play, watcher("web", with_stream(one, code), numprocesses=3))

    @pytest.mark.case("B12")
    def test_nothing_is_inserted_into_a_line_without_an_end(self, tmp_path: Path):
        one = stream("FileStream", filename=tmp_path / "x")
        code = (
            "import sys, time\n"
            "for _ in range(20): sys.stdout.write('\u20ac' * 111_111)\n"
            "sys.stdout.flush()\n"
            "time.sleep(60)"
        )
        text = "€" * 111_111 * 20

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await until(lambda: (tmp_path / "x").exists(), "the file")
            await until(lambda: (tmp_path / "x").stat().st_size >= len(text.encode()), "all of it")
            assert (tmp_path / "x").read_bytes() == text.encode()

        perform(play, watcher("web", with_stream(one, code)))

    @pytest.mark.case("B12")
    def test_a_prompt_is_passed_on_soon_and_its_line_ends_where_another_process_writes(self, tmp_path: Path):
        one = stream("FileStream", filename=tmp_path / "x", time_format="T")
        code = (
            "import sys, time\n"
            "print(end='\\rprogress 1%', flush=True)\n"
            f"while not __import__('os').path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)\n"
            "print(' done', flush=True)\n"
            "time.sleep(60)"
        )

        async def play(harness: SupervisorHarness) -> None:
            harness.supervisor.start()
            await until(lambda: (tmp_path / "x").exists(), "the file")
            await until(lambda: (tmp_path / "x").read_bytes().count(b"%") == 2, "both prompts")
            (tmp_path / "go").touch()
            await until(lambda: (tmp_path / "x").read_bytes().count(b" done\n") == 2, "both ends")
            first, second = re.findall(rb"\[(\d+)\]", (tmp_path / "x").read_bytes())[:2]
            begun = b"T [%s] | \rprogress 1%%\nT [%s] | \rprogress 1%%" % (first, second)
            assert (tmp_path / "x").read_bytes().startswith(begun)
            # the second goes on where it was, the first is behind it
            rest = (tmp_path / "x").read_bytes().removeprefix(begun)
            assert rest in (
                b" done\nT [%s] |  done\n" % first,
                b"\nT [%s] |  done\nT [%s] |  done\n" % (first, second),
            )

        perform(play, watcher("web", with_stream(one, code), numprocesses=2))

    @pytest.mark.case("B12")
    def test_a_part_of_a_line_is_an_object_of_its_own(self):
        joint = formats.Joint()
        first = joint.chunk(chunk(b"whole\npart"), formats.as_json)
        second = joint.chunk(chunk(b" rest\n"), formats.as_json)
        objects = [json.loads(line) for line in (first + second).splitlines()]
        assert [(one["message"], one.get("partial")) for one in objects] == [
            ("whole", None),
            ("part", True),
            (" rest", None),
        ]

    def test_last_words_are_written_and_a_stream_can_be_exchanged(self, tmp_path: Path):
        one = stream("FileStream", filename=tmp_path / "one")
        two = stream("FileStream", filename=tmp_path / "two", json="yes")
        code = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye'))\n"
            "print('up', flush=True)\n"
            "time.sleep(60)"
        )

        async def play(harness: SupervisorHarness) -> None:
            supervisor = harness.supervisor
            supervisor.start()
            await until(lambda: (tmp_path / "one").exists(), "the file")
            supervisor.configuration.update("web", watcher("web", with_stream(two, code)))
            await until(lambda: (tmp_path / "two").exists(), "the other file")
            # a process is ready as soon as it is there: the old one leaves before the new one speaks
            await until(lambda: (tmp_path / "two").read_bytes().count(b"\n") == 2, "the words of both")
            messages = [json.loads(line)["message"] for line in (tmp_path / "two").read_text().splitlines()]
            assert sorted(messages) == ["bye", "up"]

        perform(play, watcher("web", with_stream(one, code)))

    @pytest.mark.case("B3")
    def test_a_reader_that_is_slow_costs_lines_of_its_own(self, tmp_path: Path):
        os.mkfifo(tmp_path / "fifo")
        complaints: list[tuple[str, str]] = []
        outputs = Outputs(lambda *words: complaints.append(words), room=100_000)
        outputs.open(watcher("slow", with_stream(stream("FileStream", filename=tmp_path / "fifo"), "")))
        outputs.open(watcher("web", with_stream(stream("FileStream", filename=tmp_path / "x"), "")))
        began = time.monotonic()
        for number in range(400):
            outputs.take("slow", 7, 1, "stdout", b"%03d" % number + b"x" * 996 + b"\n")
        outputs.take("web", 8, 1, "stdout", b"line\n")
        assert time.monotonic() - began < 30

        async def wait() -> None:
            await until(lambda: (tmp_path / "x").exists() and (tmp_path / "x").read_bytes(), "the other file")
            await until(lambda: complaints, "the complaint")

        asyncio.run(wait())
        taken: list[bytes] = []
        with open(tmp_path / "fifo", "rb") as fifo:
            reader = threading.Thread(target=lambda: taken.append(fifo.read()))
            reader.start()
            assert outputs.end(DEADLINE)
            reader.join()
        lines = taken[0].splitlines()
        assert all(len(line) == 999 for line in lines)
        assert [int(line[:3]) for line in lines] == sorted(int(line[:3]) for line in lines)
        assert {who for who, _ in complaints} == {"slow"}
        dropped = [int(text.split()[0]) for _, text in complaints if "lines were dropped" in text]
        assert sum(dropped) + len(lines) == 400
        assert outputs.dropped == {"slow": sum(dropped)}
        assert len(dropped) <= 2

    @pytest.mark.case("B3")
    def test_what_nobody_took_before_the_end_is_told(self, tmp_path: Path):
        os.mkfifo(tmp_path / "fifo")
        complaints: list[tuple[str, str]] = []
        outputs = Outputs(lambda *words: complaints.append(words))
        outputs.open(watcher("slow", with_stream(stream("FileStream", filename=tmp_path / "fifo"), "")))
        for _ in range(200):
            outputs.take("slow", 7, 1, "stdout", b"x" * 999 + b"\n")

        async def wait() -> None:
            await until(lambda: bytes_in(fifo) >= 60_000, "the pipe to be full")

        fifo = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        asyncio.run(wait())
        assert not outputs.end(timeout=0.2)
        os.close(fifo)
        ((who, what),) = complaints
        assert who == "slow"
        assert re.fullmatch(r"1[34]\d lines are lost: nobody took them before the end", what)

    @pytest.mark.case("B3")
    def test_a_syslog_that_hangs_holds_up_nobody(self, tmp_path: Path):
        outputs = Outputs(lambda *_: None)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(str(tmp_path / "log"))  # its queue is never emptied
            outputs.open(watcher("slow", with_stream(stream("syslog", address=tmp_path / "log"), "")))
            outputs.open(watcher("web", with_stream(stream("FileStream", filename=tmp_path / "x"), "")))
            for _ in range(100):
                outputs.take("slow", 7, 1, "stdout", b"line\n" * 100)
            outputs.take("web", 8, 1, "stdout", b"line\n")

            async def wait() -> None:
                await until(
                    lambda: (tmp_path / "x").exists() and (tmp_path / "x").read_bytes(), "the other file"
                )

            asyncio.run(wait())
            assert not outputs.end(timeout=0.1)

    def test_a_sink_that_fails_is_told_once_and_tried_again(self, tmp_path: Path):
        complaints: list[tuple[str, str]] = []
        outputs = Outputs(lambda *words: complaints.append(words))
        outputs.open(watcher("web", with_stream(stream("FileStream", filename=tmp_path / "no" / "x"), "")))
        for _ in range(3):
            outputs.take("web", 7, 1, "stdout", b"a\n")

        async def wait() -> None:
            await until(lambda: complaints, "the complaint")

        asyncio.run(wait())
        (tmp_path / "no").mkdir()
        outputs.take("web", 7, 1, "stdout", b"b\n")
        assert outputs.end(DEADLINE)
        assert len(complaints) == 1
        assert "No such file or directory" in complaints[0][1]
        assert (tmp_path / "no" / "x").read_bytes().endswith(b"b\n")

    def test_a_queue_for_programs_has_an_end(self):
        outputs = Outputs(lambda *_: None)
        outputs.open(watcher("web", with_stream(stream("QueueStream", maxsize=2), "")))
        sink = outputs.sink("web", "stdout")
        for number in range(4):
            outputs.take("web", 7, 1, "stdout", b"%d\n" % number)
        assert outputs.end(DEADLINE)
        assert isinstance(sink, QueueSink)
        assert [sink.queue.get_nowait().lines for _ in range(2)] == [b"0\n", b"1\n"]
        assert sink.queue.empty()

    def test_whoever_follows_is_told_until_it_has_enough(self):
        outputs = Outputs(lambda *_: None)
        heard: list[bytes] = []
        unfollow = outputs.follow("web", lambda piece: heard.append(piece.lines))
        outputs.take("web", 7, 1, "stdout", b"a\n")
        outputs.take("api", 8, 1, "stdout", b"no\n")
        unfollow()
        outputs.take("web", 7, 1, "stdout", b"b\n")
        assert heard == [b"a\n"]

    def test_a_tail_is_bounded_in_bytes(self):
        outputs = Outputs(lambda *_: None)
        outputs.take("web", 7, 1, "stdout", b"old\n" + b"x" * 2 * KEPT_BYTES + b"\nlast\n")
        assert [piece.lines for piece in outputs.tail([7])] == [b"last\n"]
        for number in range(10_000):
            outputs.take("web", 7, 1, "stdout", b"%07d\n" % number)
        kept = outputs.tail([7], 100_000)
        assert sum(len(piece.lines) for piece in kept) <= KEPT_BYTES
        assert kept[-1].lines == b"0009999\n"
