# Pipes of children: read at once, then together, to the end, with nothing left open.

from __future__ import annotations

import asyncio
import os
import threading
import time

from bigtop.supervisor.streams.reader import _REST, LineReader
from tests.support.yard import until


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
            await until(lambda: all(reader.last for reader in readers), "the words")  # noqa: B023
            for (_, write_end), reader in zip(ends, readers, strict=True):
                os.close(write_end)
                reader.close()
        assert set(os.listdir("/proc/self/fd")) == before

    asyncio.run(play())
