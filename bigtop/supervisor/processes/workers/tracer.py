# A tool of others that reads the stacks of a process from outside: py-spy or pystack, where one is installed.
#
# Rules: it is a child of ours, whose end is noticed as that of any other, and it is killed when it takes too
# long. What it writes goes to memory without a name, of which a bounded part is read, and has no control
# characters then.

from __future__ import annotations

import asyncio
import os
import shutil
import sys

from bigtop.errors import CommandError, one_line
from bigtop.supervisor.policy.messages import ExitStatus
from bigtop.supervisor.processes import killing, scarcity
from bigtop.supervisor.processes.child import Process, spawn

_WITHIN = 30.0  # seconds; to read the symbols of a large program takes a while
_MOST = 1 << 20  # bytes
_RIGHTS = "it takes the right to trace: run Bigtop with CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)"

# The arguments of each tool, without and with frames of C.
_TOOLS = {
    "py-spy": (("dump", "--pid"), ("dump", "--native", "--pid")),
    "pystack": (("remote",), ("remote", "--native-all")),
}


def installed() -> tuple[str, str] | None:
    """Return name and path of the tool to use, None if there is none."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    for name in _TOOLS:
        if (found := shutil.which(name, path=path)) is not None:
            return name, found
    return None


async def stacks(pid: int, *, native: bool) -> tuple[str, str]:
    """Return which tool was used and what it says of a process. CommandError: none is there, or why not."""
    tool = installed()
    if tool is None:
        raise CommandError(
            "neither py-spy nor pystack is installed: pip install py-spy, beside Bigtop or into the PATH"
        )
    name, path = tool
    status, text = await _run([path, *_TOOLS[name][native], str(pid)], f"{name} of process {pid}")
    if status.code != 0:
        words = one_line(text.strip()[:2000])
        denied = "ermission" in text or "ptrace" in text.lower()
        raise CommandError(f"{name}: {words or f'ended with {status}'}" + (f"; {_RIGHTS}" if denied else ""))
    return name, "\n".join(map(one_line, text.splitlines()))


async def _run(argv: list[str], who: str) -> tuple[ExitStatus, str]:
    ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    def hear(status: ExitStatus) -> None:
        if not ended.done():  # else it took too long
            ended.set_result(status)

    written = os.memfd_create("bigtop-tracer")
    try:
        scarcity.check()
        pid = spawn(argv, os.environ, stdout=written, stderr=written)
        try:
            process = Process(pid, hear)
        except OSError as error:
            killing.unwatched(pid, who, error)
            raise
        try:
            async with asyncio.timeout(_WITHIN):
                status = await ended
        except TimeoutError:
            raise CommandError(f"{who} took longer than {_WITHIN:g} seconds") from None
        finally:
            if process.running:
                killing.process(process, who, "nobody waits for it any longer")
        return status, os.pread(written, _MOST, 0).decode("utf-8", "replace")
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from error
    finally:
        os.close(written)
