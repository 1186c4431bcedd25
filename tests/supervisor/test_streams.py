# Outputs of processes: files and their rotation, formats, datagrams, and what happens when nobody can write.

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.errors import ConfigError
from bigtop.supervisor.spec import Command, ExecContext, Stdio, Stream
from bigtop.supervisor.streams import formats
from bigtop.supervisor.streams.files import Keeping, LogFile, TimedLogFile, next_rotation
from bigtop.supervisor.streams.formats import Chunk
from bigtop.supervisor.streams.sinks import QueueSink, make
from bigtop.supervisor.streams.writer import KEPT_BYTES, Outputs
from tests.support.troupe import Troupe, perform, watcher
from tests.support.yard import ENV, command, until

NOON = datetime(2026, 5, 6, 12, 0, tzinfo=UTC).timestamp()
DAY = 86400.0


def chunk(lines: bytes, which: str = "stdout", at: float = NOON) -> Chunk:
    return Chunk("web", 77, 1, which, lines, at)


def stream(kind: str, **options: object) -> Stream:
    return Stream(kind, tuple((name, str(value)) for name, value in options.items()))


class TestFormats:
    def test_each_line_gets_a_stamp(self):
        assert formats.stamped("T")(chunk(b"a\n\nb\n")) == b"T [77] | a\nT [77] | \nT [77] | b\n"

    def test_colours(self):
        assert formats.fancy("red", "T")(chunk(b"a\n")) == b"\x1b[0;31mT [77] | a\x1b[0m\n"

    @given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), min_size=1))
    def test_json_is_one_object_per_line(self, lines: list[bytes]):
        text = formats.as_json(chunk(b"".join(line + b"\n" for line in lines), "stderr"))
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
        file = TimedLogFile(str(tmp_path / "x"), Keeping(backups=2), "D", utc=True)
        for day in range(5):
            file.write(b"%d\n" % day, NOON + day * DAY)
        file.close()
        texts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert texts == {"x": b"4\n", "x.2026-05-09": b"3\n", "x.2026-05-08": b"2\n"}

    @pytest.mark.parametrize(
        ("when", "interval", "hours"),
        [("S", 30, 30 / 3600), ("H", 2, 2), ("D", 1, 24), ("MIDNIGHT", 1, 12), ("W2", 1, 12), ("W3", 1, 36)],
    )
    def test_when_a_file_is_full(self, when: str, interval: int, hours: float):
        """The sixth of May 2026 is a Wednesday, W2."""
        assert next_rotation(NOON, when, interval, utc=True) == pytest.approx(NOON + hours * 3600)

    def test_a_day_may_have_23_hours(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        try:
            noon = time.mktime((2026, 3, 28, 12, 0, 0, 0, 0, -1))
            assert next_rotation(noon, "MIDNIGHT", 2, utc=False) - noon == (12 + 23) * 3600
        finally:
            monkeypatch.undo()
            time.tzset()


class TestOptions:
    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            ("Nope", {}, "stream class Nope: there is no such; there are FileStream, "),
            ("FileStream", {"max_bytes": "lots"}, "FileStream.max_bytes: 'lots' is not a number"),
            ("FileStream", {"max_byte": 1}, "FileStream has no option max_byte"),
            ("FileStream", {"owner": "no-one"}, "FileStream.owner or group: 'no-one:' is not known here"),
            ("TimedRotatingFileStream", {}, "TimedRotatingFileStream.rotate_when: '' is not S, M, H"),
            (
                "TimedRotatingFileStream",
                {"rotate_when": "d", "utc": "perhaps"},
                "TimedRotatingFileStream.utc",
            ),
            ("FancyStdoutStream", {"color": "mauve"}, "FancyStdoutStream.color: 'mauve' is not a colour"),
            ("syslog", {"facility": "gossip"}, "syslog.facility: 'gossip' is not one of"),
            ("syslog", {"address": "somewhere"}, "syslog.address: 'somewhere' is not a path or HOST:PORT"),
            ("journald", {"address": "/nowhere"}, "journald: there is no journal here: /nowhere"),
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


def with_stream(one: Stream, code: str) -> Command:
    return command(code, context=ExecContext(env=ENV), stdio=Stdio(stdout=one, stderr=one))


class TestOutputs:
    def test_lines_stay_whole_and_characters_too(self, tmp_path: Path):
        """Circus reads 1,024 bytes at a time: stamps land in mid-line, characters are split."""
        one = stream("FileStream", filename=tmp_path / "x", time_format="T")
        code = "for _ in range(300): print('ü' * 1001, flush=True)\nimport time; time.sleep(60)"

        async def play(troupe: Troupe) -> None:
            troupe.supervisor.start()
            await until(lambda: (tmp_path / "x").exists(), "the file")
            await until(lambda: (tmp_path / "x").read_bytes().count(b"\n") == 900, "all lines")
            pids = troupe.pids("web")
            lines = (tmp_path / "x").read_text().splitlines()
            for pid in pids:
                assert lines.count(f"T [{pid}] | " + "ü" * 1001) == 300
            last = troupe.yard.outputs.tail(pids, 3)
            assert [piece.lines.decode() for piece in last] == ["ü" * 1001 + "\n"] * 3

        perform(play, watcher("web", with_stream(one, code), numprocesses=3))

    def test_a_line_without_an_end_is_cut_between_characters(self, tmp_path: Path):
        one = stream("FileStream", filename=tmp_path / "x")
        code = "import time\nprint('a' + '\u20ac' * 60000, flush=True)\ntime.sleep(60)"

        async def play(troupe: Troupe) -> None:
            troupe.supervisor.start()
            await until(lambda: (tmp_path / "x").exists(), "the file")
            await until(lambda: (tmp_path / "x").read_bytes().count("€".encode()) == 60000, "all of it")
            assert len((tmp_path / "x").read_text().splitlines()) > 1

        perform(play, watcher("web", with_stream(one, code)))

    def test_last_words_are_written_and_a_stream_can_be_exchanged(self, tmp_path: Path):
        one = stream("FileStream", filename=tmp_path / "one")
        two = stream("FileStream", filename=tmp_path / "two", json="yes")
        code = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit('bye'))\n"
            "print('up', flush=True)\n"
            "time.sleep(60)"
        )

        async def play(troupe: Troupe) -> None:
            supervisor = troupe.supervisor
            supervisor.start()
            await until(lambda: (tmp_path / "one").exists(), "the file")
            supervisor.update("web", watcher("web", with_stream(two, code)))
            await until(lambda: (tmp_path / "two").exists(), "the other file")
            # a process is ready as soon as it is there: the old one leaves before the new one speaks
            await until(lambda: (tmp_path / "two").read_bytes().count(b"\n") == 2, "the words of both")
            messages = [json.loads(line)["message"] for line in (tmp_path / "two").read_text().splitlines()]
            assert sorted(messages) == ["bye", "up"]

        perform(play, watcher("web", with_stream(one, code)))

    def test_a_sink_that_hangs_costs_lines_and_nothing_else(self, tmp_path: Path):
        os.mkfifo(tmp_path / "fifo")  # nobody reads: opening it for writing blocks
        complaints: list[tuple[str, str]] = []
        outputs = Outputs(lambda *words: complaints.append(words), room=1000)
        outputs.open(watcher("web", with_stream(stream("FileStream", filename=tmp_path / "fifo"), "")))
        began = time.monotonic()
        for _ in range(50):
            outputs.take("web", 7, 1, "stdout", b"x" * 99 + b"\n")
        assert time.monotonic() - began < 1.0
        taken: list[bytes] = []

        def read() -> None:
            with open(tmp_path / "fifo", "rb") as fifo:
                taken.append(fifo.read())

        reader = threading.Thread(target=read)
        reader.start()
        assert outputs.end()
        reader.join()
        lines = taken[0].count(b"\n")
        assert 10 <= lines <= 11  # one was on its way already
        assert complaints == [
            ("web", f"{50 - lines} lines were dropped: they came faster than they could be written")
        ]

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
        assert outputs.end()
        assert len(complaints) == 1
        assert "No such file or directory" in complaints[0][1]
        assert (tmp_path / "no" / "x").read_bytes().endswith(b"b\n")

    def test_a_queue_for_programs_has_an_end(self):
        outputs = Outputs(lambda *_: None)
        outputs.open(watcher("web", with_stream(stream("QueueStream", maxsize=2), "")))
        sink = outputs.sink("web", "stdout")
        for number in range(4):
            outputs.take("web", 7, 1, "stdout", b"%d\n" % number)
        assert outputs.end()
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
