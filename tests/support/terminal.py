# A program in a terminal of its own: what it draws, keys for it, sizes of it.

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from tests.support.site import DEADLINE, ROOT, until

_CODES = re.compile(r"\033\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs `command` in a with statement; its process ends with it."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        # The terminal is the one that it is controlled by, so that Ctrl-C and its size come as signals.
        self._command = ["setsid", "--ctty", *command]
        self._env = {**os.environ, "TERM": "xterm-256color", **env}
        self._size = columns, lines
        self.said = ""

    def __enter__(self) -> Terminal:
        self._main, other = pty.openpty()
        self.resize(*self._size)
        self._before = termios.tcgetattr(self._main)
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdin=other, stdout=other, stderr=other
        )
        os.close(other)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._main)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def look(self) -> str:
        """Return everything that it has written so far."""
        while select.select([self._main], [], [], 0.05)[0]:
            try:
                text = os.read(self._main, 65536).decode(errors="replace")
            except OSError:  # nobody has the other end open any more
                break
            self.said += text
        return self.said

    def screen(self) -> list[str]:
        """Return the lines of the last screen that was drawn from its beginning to its end."""
        frames = re.findall(r"\033\[H(.*?)\033\[J", self.look(), re.DOTALL)
        return [_CODES.sub("", line).rstrip() for line in frames[-1].split("\r\n")] if frames else []

    def wait_for(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """Return the first screen that is as wanted."""
        found: list[list[str]] = [[]]

        def there() -> object:
            found[0] = self.screen()
            return condition(found[0])

        try:
            until(there, what)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n" + "\n".join(found[0] or [self.said])) from None
        return found[0]

    def provoke(self, act: Callable[[], object], text: str) -> list[str]:
        """Act each second until something is seen of it: who has just subscribed may miss the first."""
        due = 0.0

        def seen(screen: list[str]) -> bool:
            nonlocal due
            if any(text in line for line in screen):
                return True
            if time.monotonic() >= due:
                due = time.monotonic() + 1
                act()
            return False

        return self.wait_for(seen, repr(text))

    def wait(self) -> int:
        """Return the exit status."""
        until(lambda: (self.look(), self.process.poll() is not None)[1], "its end", DEADLINE)
        return self.process.wait()

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal takes lines and echoes them, as it did."""
        return bool(termios.tcgetattr(self._main) == self._before)
