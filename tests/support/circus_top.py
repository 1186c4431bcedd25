# circus-top of Circus itself, in a terminal of its own.

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from tests.support.site import until


def shows(endpoint: str, enough: Callable[[bytes], bool], log: Callable[[], str]) -> None:
    """Wait until what circus-top has drawn is enough. It draws only what differs from the line before, so not
    every number is there whole."""
    words = [str(Path(sys.executable).with_name("circus-top")), "--endpoint", endpoint]
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 100, 100, 0, 0))
    environ = {**os.environ, "TERM": "linux", "PYTHONWARNINGS": "ignore", "LINES": "99", "COLUMNS": "99"}
    with subprocess.Popen(words, stdin=other, stdout=other, stderr=other, env=environ) as top:
        os.close(other)
        seen = b""

        def shown() -> bool:
            nonlocal seen
            if select.select([main], [], [], 0.1)[0]:
                seen += os.read(main, 65536)
            return enough(seen)

        try:
            until(shown, "the figures on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen!r}\n{log()}") from None
        finally:
            top.kill()
            os.close(main)
