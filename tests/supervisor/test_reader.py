# Pipes of children: read at once, then together, to the end, with nothing left open.

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from bigtop.supervisor.streams import reader
from bigtop.supervisor.streams.reader import _REST, LineReader
from tests.support.pool_harness import until


def test_lines_that_come_one_by_one_are_read_together() -> None:
    """However long that takes: between two looks there is a rest."""
    lines = [b"%d\n" % number for number in range(100)]

    def write(fd: int) -> None:
        for line in lines:
            os.write(fd, line)
            time.sleep(0.001)
        os.close(fd)

    async def play() -> None:
        heard: list[bytes] = []
        read_end, write_end = os.pipe()
        began = time.monotonic()
        LineReader(read_end, heard.append)
        writer = threading.Thread(target=write, args=(write_end,))
        writer.start()
        await until(lambda: b"".join(heard) == b"".join(lines), "all of it")
        assert len(heard) <= 1 + (time.monotonic() - began) / _REST
        writer.join()

    asyncio.run(play())


def test_floods_of_many_are_read_to_their_ends() -> None:
    block, blocks, writers = b"x" * 1023 + b"\n", 1000, 40

    def write(fd: int) -> None:
        for _ in range(blocks):
            os.write(fd, block)
        os.close(fd)

    async def play() -> None:
        heard = [0] * writers
        threads = []
        for number in range(writers):
            read_end, write_end = os.pipe()

            def count(lines: bytes, number: int = number) -> None:
                heard[number] += len(lines)

            LineReader(read_end, count)
            threads.append(threading.Thread(target=write, args=(write_end,)))
            threads[-1].start()
        await until(lambda: heard == [blocks * len(block)] * writers, "all of it")
        for thread in threads:
            thread.join()

    asyncio.run(play())


def test_nothing_is_open_when_the_last_pipe_is_closed() -> None:
    async def play() -> None:
        before = set(os.listdir("/proc/self/fd"))
        for _ in range(3):
            ends = [os.pipe() for _ in range(5)]
            readers = [LineReader(read_end, lambda _lines: None) for read_end, _ in ends]
            for _, write_end in ends:
                os.write(write_end, b"word\n")
            await until(lambda: all(each.last for each in readers), "the words")  # noqa: B023
            for (_, write_end), each in zip(ends, readers, strict=True):
                os.close(write_end)
                each.close()
        assert set(os.listdir("/proc/self/fd")) == before

    asyncio.run(play())


LONG = 150_000  # bytes of a line that is not waited for


@pytest.mark.case("B12")
def test_a_long_line_is_passed_on_between_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_PATIENCE", 1000.0)
    text = ("x" + "€" * (LONG // 3)).encode()

    async def play() -> None:
        heard: list[bytes] = []
        read_end, write_end = os.pipe()
        LineReader(read_end, heard.append)
        writer = threading.Thread(target=os.write, args=(write_end, text))
        writer.start()
        await until(lambda: len(b"".join(heard)) > LONG // 2, "the beginning, although it has no end yet")
        writer.join()
        os.close(write_end)
        await until(lambda: b"".join(heard) == text, "all of it")
        for part in heard:
            part.decode()

    asyncio.run(play())


@pytest.mark.case("B12")
def test_a_byte_that_is_no_character_is_passed_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another encoding it is one."""
    monkeypatch.setattr(reader, "_PATIENCE", 0.05)

    async def play() -> None:
        heard: list[bytes] = []
        read_end, write_end = os.pipe()
        lines = LineReader(read_end, heard.append)
        os.write(write_end, "café".encode("latin-1"))
        await until(lambda: b"".join(heard) == b"caf\xe9", "all of the prompt")
        assert heard[0] == b"caf"
        os.close(write_end)
        lines.close()

    asyncio.run(play())


@pytest.mark.case("B12")
def test_each_line_is_waited_for_from_its_own_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_PATIENCE", 1000.0)

    async def play() -> None:
        heard: list[bytes] = []
        read_end, write_end = os.pipe()
        lines = LineReader(read_end, heard.append)
        loop = asyncio.get_running_loop()
        clock, ahead = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: clock() + ahead)
        os.write(write_end, b"one")
        await until(lambda: lines._rest == b"one", "the first line to begin")
        ahead = 900.0
        os.write(write_end, b"\ntwo")
        await until(lambda: lines._rest == b"two", "the second line to begin")
        ahead = 1800.0
        for _ in range(3):  # turns of the loop, in which what is due is done
            await asyncio.sleep(0)
        assert heard == [b"one\n"]
        ahead = 1950.0
        await until(lambda: heard == [b"one\n", b"two"], "the second line")
        os.close(write_end)
        lines.close()

    asyncio.run(play())
