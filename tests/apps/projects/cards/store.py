# Store of cards: a connection to a database, which no two processes may use.

from __future__ import annotations

import os
import sqlite3


class Pool:
    def __init__(self) -> None:
        self.owner = os.getpid()
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)

    def answer(self) -> int:
        assert self.owner == os.getpid(), "a connection that another process has made"
        return int(self.connection.execute("select 6 * 7").fetchone()[0])


pool = Pool()


def renew() -> None:
    global pool
    pool = Pool()
